/* orchestrator - all pools, and the one place where something is decided: handlers mark, settle acts.
 * thread: the pool loop. It has no loop and no clock of its own: a test calls it with numbers for time.
 * owns:   its pools.
 * fails:  orchestrator_init: MEMORY_EXHAUSTED. */
#ifndef CORE_ORCHESTRATOR_H
#define CORE_ORCHESTRATOR_H

#include "core/pool.h"

enum event_kind {
    EVENT_SUBMIT, /* pool, request */
    EVENT_CANCEL, /* pool, id, cause */
    EVENT_WORKER, /* pool, slot, worker */
    EVENT_MEMORY, /* memory */
    EVENT_WISH,   /* pool, wish */
    EVENT_SCALE,  /* pool, slots_min, slots_max */
    EVENT_DRAIN   /* until_ns */
};

/* What was weighed; 0: it could not be read. */
struct memory_reading {
    uint64_t total_bytes, used_bytes, gateway_bytes;
    double stall_percent;
};

struct event {
    enum event_kind kind;
    uint32_t pool, slot;
    struct request *request;
    uint64_t id;
    enum cancel_cause cause;
    const struct transport_event *worker;
    enum wish wish;
    uint32_t slots_min, slots_max;
    const struct memory_reading *memory;
    uint64_t until_ns;
};

struct orchestrator {
    struct pool *pools;
    size_t pools_count;
    struct memory_governor governor;
    enum pressure pressure;      /* as it was last told */
    struct event_stream *events; /* NULL: nobody listens */
    uint64_t random;             /* state of the generator; never 0 */
    uint64_t settled;            /* settles so far */
    bool draining;
    uint64_t drain_until_ns;
};

/* Every pool's transports must be set before the first settle. events may be NULL. */
enum outcome orchestrator_init(struct orchestrator *orchestrator,
                               const struct pool_options *options, size_t count,
                               uint64_t memory_limit_bytes, struct event_stream *events,
                               uint64_t seed, uint64_t now_ns);
void orchestrator_free(struct orchestrator *orchestrator);

/* The one door for everything that happens. */
void orchestrator_handle(struct orchestrator *orchestrator, const struct event *event,
                         uint64_t now_ns);
/* Expire, tend the slots, size the pools, match the queue to slots, tell the gate. Returns the next
 * moment at which it must be called even if nothing happens. */
uint64_t orchestrator_settle(struct orchestrator *orchestrator, uint64_t now_ns);
/* Draining, nothing live, no worker left. */
bool orchestrator_drained(const struct orchestrator *orchestrator);

#endif
