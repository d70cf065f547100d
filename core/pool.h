/* pool - one pool: its slots, its queue, its measures, and what it tells the gate.
 * thread: the pool loop; `admission` also from any thread.
 * owns:   its slots and queue. Requests are borrowed until pool_answer hands them back through done.
 * fails:  pool_init: MEMORY_EXHAUSTED. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "core/policy/admission.h"
#include "core/policy/health.h"
#include "core/policy/pool_options.h"
#include "core/policy/request_queue.h"
#include "core/policy/slot.h"
#include "core/policy/stats.h"
#include "core/transport/transport.h"

#define POOL_ABANDONED_MOST 2 /* so many threads are left behind, then no more are started */

struct pool {
    const struct pool_options *options;
    struct slot *slots;            /* options->slots_max of them */
    struct transport **transports; /* one for each slot; set by whoever owns the loop */
    struct worker_census census;
    struct request_queue queue;
    struct admission admission;
    struct stats stats;
    enum wish wish;
    uint64_t able_ns;          /* since when some slot can serve; 0: none */
    uint64_t scale_ns;         /* next look at the size */
    uint64_t backoff_until_ns; /* loads failed and no slot can serve: no new start before; 0: no */
    enum outcome load_outcome; /* what the last failed load answers: SPAWN_FAILED, SPAWN_TIMEOUT */
    bool reached_min;
    uint32_t abandoned; /* threads that hung and were left behind */
    uint64_t answered, retried, crashed, restarts, cancelled, expired;
    uint64_t restarts_by_reason[REASON_COUNT];
};

enum outcome pool_init(struct pool *pool, const struct pool_options *options, uint64_t now_ns);
void pool_free(struct pool *pool);

/* The sum of inflight over the slots that can work now, and how many slots that is. */
uint32_t pool_places(const struct pool *pool);
uint32_t pool_able(const struct pool *pool);
uint32_t pool_coming(const struct pool *pool);
/* Too many threads were left behind: with the last able slot gone there will be no other. */
bool pool_is_given_up(const struct pool *pool);
/* Nobody lives in its slots. */
bool pool_empty(const struct pool *pool);

/* Ends a live request: gives its permit back, sets its times and calls done, once. A request that is
 * out at a slot must have been taken from its assignment before. */
void pool_answer(struct pool *pool, struct request *request, enum outcome outcome,
                 enum source source, uint64_t now_ns);

#endif
