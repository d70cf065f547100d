/* dispatch - from the queue to the slots: running, in batches, staged ahead, and taken back again.
 * thread: the pool loop.
 * owns:   nothing beyond the pool.
 * fails:  never: what cannot be handed over is answered. */
#ifndef CORE_DISPATCH_H
#define CORE_DISPATCH_H

#include "core/pool.h"

/* Matches waiting requests with slots until no slot has room or nobody may go: what is staged goes to a
 * slot that is free, then those that wait run at once, then the next are staged, of one class at a time. */
void dispatch_run(struct pool *pool, uint64_t now_ns);

/* A slot that runs something for so long holds nothing ahead: whoever waits behind it could be long done
 * elsewhere. Twice the mean run; at least 5 ms; 100 ms while nothing is known. */
uint64_t dispatch_late_ns(const struct pool *pool);

/* Takes back all that is staged at the slot; it waits again, at its old rank. */
void dispatch_recall(struct pool *pool, struct slot *slot, uint64_t now_ns);
void dispatch_recall_all(struct pool *pool, uint64_t now_ns);
/* Everything at the slot that its worker has not begun waits again: before a lost worker is judged. */
void dispatch_salvage(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* Takes the request, which nobody follows, from the slot that has it: silently if the worker has not
 * begun it, else the worker is told to stop and has until stop_ns. */
void dispatch_withdraw(struct pool *pool, struct request *request, enum reason why,
                       uint64_t stop_ns, uint64_t now_ns);
/* The worker is done with it, or gone: its place at the slot is free, and as a probe of the breaker. */
void dispatch_release(struct pool *pool, struct slot *slot, struct assignment *assignment,
                      uint64_t now_ns);
/* A unit may have ended at the slot: what is staged next has begun; with nothing left it is ready. */
void dispatch_vacate(struct pool *pool, struct slot *slot, uint64_t now_ns);
/* Tells the breaker how the request's last hand-over ended; nothing if it had none under way. */
void dispatch_verdict(struct pool *pool, struct request *request, enum breaker_result result,
                      uint64_t now_ns);

#endif
