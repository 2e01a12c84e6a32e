/* change_plan.h - what a change set would make of this hub: which peers come and go, who gets which
 * prefix, which conflicts there are. Nothing that workers or others see is touched.
 *
 * It says for each peer change which peer it is about, seen in order: a key may be removed and come
 * back new in one set. Threads: the control side's. Cost: a copy of the routes and a new table
 * where prefixes change. Ownership: borrows hub and change; what change.c takes over of it, it sets
 * to NULL here.
 */
#ifndef CORE_CHANGE_PLAN_H
#define CORE_CHANGE_PLAN_H

#include "core/flows.h"
#include "core/hub.h"

struct planned_key;

struct change_plan {
	struct hub *hub;
	const struct wgh_change *change;
	struct noise_identity *identity; /* the new one; NULL: stays */
	struct planned_key *keys;
	uint32_t keys_mask;
	struct peer **targets; /* of each peer change; NULL: nothing to do */
	struct peer **created, **removed;
	size_t n_created, n_removed;
	struct route_set *routes; /* NULL: prefixes stay as they are */
	struct policy *policy; /* the new one; NULL: stays */
	struct flows_swap *flows; /* for it; NULL: the table stays */
	bool regroups; /* policy or groups change */
	struct hub_view *view; /* for them; NULL: stays */
	struct wgh_conflict *conflicts; /* those there was memory for */
	size_t n_conflicts, n_noted, room;
};

/* All that applying needs is there afterwards, so that it cannot fail. -EINVAL, -ENOMEM with words;
 * then, too, change_plan_undo() and change_plan_fini() it. */
MUST_CHECK int change_plan_make(struct change_plan *plan, struct hub *hub,
	const struct wgh_change *change, struct wgh_error *error);
/* Instead of applying. */
void change_plan_undo(struct change_plan *plan);
void change_plan_fini(struct change_plan *plan);

#endif
