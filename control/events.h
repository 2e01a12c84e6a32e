/* events.h - what the device reports, as lines of the log. Threads: the main thread.
 */
#ifndef CONTROL_EVENTS_H
#define CONTROL_EVENTS_H

#include "control/names.h"

void event_log(const struct wgh_event *event, struct names *names);

#endif
