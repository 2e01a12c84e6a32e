/* flows.h - the flow table in the life of the hub: its log, its sweep, and what ends flows from
 * outside: a new policy, a peer that goes. Threads: flows_tell_begun() and the worker's flow log
 * from a worker; the rest on the control side.
 */
#ifndef CORE_FLOWS_H
#define CORE_FLOWS_H

#include "core/hub.h"

/* The flow that the worker has just opened. */
void flows_tell_begun(struct worker *w);
/* What a worker's flow table calls tell to. */
struct flow_log flows_log_of_worker(struct worker *w);

/* A larger table in place of the present one, for more flows than that was made for, and a memory
 * for fragments, if there is none yet: a hub of plain peers has neither to speak of. */
struct flows_swap;

/* *swap NULL: what is there will do. -ENOMEM. */
MUST_CHECK int flows_swap_new(struct hub *hub, uint32_t room, struct flows_swap **swap);
void flows_swap_free(struct flows_swap *swap);
/* The hub's policy is a new one: its bounds hold from now on. swap is taken over; with one all
 * flows end. Before the view that has the table is published. */
void flows_set_bounds(struct hub *hub, struct flows_swap *swap, uint64_t now_ns);
/* The policy or peers' groups have changed: what may not be any more ends. */
void flows_recheck(struct hub *hub, uint64_t now_ns);
/* Flows of peers that are leaving end. */
void flows_end_leaving(struct hub *hub, uint64_t now_ns);
/* Nobody sees the hub's address any more at this peer. */
void flows_end_translated(struct hub *hub, struct peer *peer, uint64_t now_ns);
/* Ends some of what is idle. Returns when to call again. */
uint64_t flows_run(struct hub *hub, uint64_t now_ns);
/* A worker's message about a flow. */
void flows_emit(struct hub *hub, const struct flow_report *report, uint64_t now_ns);

#endif
