/* work - the way of a request through its pool: in, to a slot, back, out; and every detour.
 * thread: the pool loop.
 * owns:   a submitted request is the pool's until pool_answer hands it to its done.
 * fails:  never: whatever goes wrong becomes the outcome of the request. */
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include "core/pool.h"

void work_submit(struct pool *pool, struct request *request, uint64_t now_ns);
/* Ignores an id that is not live. */
void work_cancel(struct pool *pool, uint64_t id, enum cancel_cause cause, uint64_t now_ns);
/* A round begins. Answers everything whose deadline has passed, whose worker is told to stop, and goes on
 * with work_refuse_waiting: at most WORK_A_ROUND in one round, so that a crowd that leaves at once delays
 * nobody else. False: there are more, and a round must follow at once. */
#define WORK_A_ROUND 2000
bool work_dismiss(struct pool *pool, uint64_t now_ns);
/* From now to the end of its run, for a newcomer of this class and tenant (NULL: before anybody): what its
 * deadline must leave. 0: nothing is known, or it may start at once. */
uint64_t work_needs(const struct pool *pool, const char *tenant, enum priority priority);

/* A reply or an error from the slot's worker. False: it has no such request, it broke the protocol. */
bool work_replied(struct pool *pool, struct slot *slot, const struct transport_event *event,
                  uint64_t now_ns);

/* Who is to blame for the end of a worker that had work. */
enum blame { BLAME_REQUEST, BLAME_NOBODY };
/* The slot's worker is lost: each of its requests waits again or is answered, by the rules of retry. */
void work_lost(struct pool *pool, struct slot *slot, enum blame blame, const char *what,
               uint64_t now_ns);

/* Answers all that wait, now and in the next rounds. why is copied. until_ns: when trying again may help; 0: not known. */
void work_refuse_waiting(struct pool *pool, enum outcome outcome, const char *why,
                         uint64_t until_ns, uint64_t now_ns);
/* Answers all that is live, in as many rounds, SHUTTING_DOWN: the drain's time is over. */
void work_abandon(struct pool *pool, uint64_t now_ns);

#endif
