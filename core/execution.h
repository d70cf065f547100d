/* execution - one run for a request and for those identical to it that joined: join, leave, end.
 * thread: the pool loop.
 * owns:   nothing: a follower hangs on its leader, both are live requests of the pool.
 * fails:  never. */
#ifndef CORE_EXECUTION_H
#define CORE_EXECUTION_H

#include "core/pool.h"

/* The follower (new, not yet in the queue) waits for the leader's answer. MEMORY_EXHAUSTED: it does not. */
enum outcome execution_join(struct pool *pool, struct request *leader, struct request *follower,
                            uint64_t now_ns);
/* Somebody would carry on if it left. */
bool execution_has_heir(const struct request *request);
/* The latest deadline of all whose run this is: what the worker is told. */
uint64_t execution_deadline(const struct request *leader);
/* This one is answered and leaves; if it led, the first follower takes its place in line or at its slot. */
void execution_leave(struct pool *pool, struct request *request, enum outcome outcome,
                     enum source source, uint64_t now_ns);
/* The run has ended, or never will begin: everybody gets this answer, with the leader's reply. */
void execution_end(struct pool *pool, struct request *leader, enum outcome outcome,
                   enum source source, uint64_t now_ns);

#endif
