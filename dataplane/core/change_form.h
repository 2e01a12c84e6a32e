/* change_form.h - what is wrong with a change set by itself, whatever the hub has.
 * Threads: any; no state.
 */
#ifndef CORE_CHANGE_FORM_H
#define CORE_CHANGE_FORM_H

#include "crypto/secret.h"
#include "wghub.h"

/* -EINVAL: error names the member, and which peer it is of. What a policy says is policy_new()'s to
 * check. */
MUST_CHECK int change_check_form(const struct wgh_change *change, struct wgh_error *error);

#endif
