/* offline.h - a peer that was called and does not answer: the senders of what waits for it are
 * told, as a router owes it. Its packets go on waiting as long as there is hope; workers tell the
 * senders of later ones at once (peer->silent). Any authenticated packet of the peer ends it.
 * Threads: the control side. What the hub's own host sent stays unsaid here: it hears of its next
 * packet.
 */
#ifndef CORE_OFFLINE_H
#define CORE_OFFLINE_H

#include "core/hub.h"

/* An initiation to the peer was not answered in time. Says something only the first time. */
void offline_begin(struct hub *hub, struct peer *peer, uint64_t now_ns);

#endif
