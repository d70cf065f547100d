/* orchestrator - all pools, and the one place where something is decided: handlers mark, settle acts.
 * thread: the pool loop. It has no loop and no clock of its own: a test calls it with numbers for time.
 * owns:   its pools.
 * fails:  orchestrator_init: MEMORY_EXHAUSTED. */
#ifndef CORE_ORCHESTRATOR_H
#define CORE_ORCHESTRATOR_H

#include "core/pool.h"

struct question;

enum event_kind {
    EVENT_SUBMIT,  /* pool, request */
    EVENT_CANCEL,  /* pool, id, cause */
    EVENT_WORKER,  /* pool, slot, worker */
    EVENT_MEMORY,  /* memory */
    EVENT_WISH,    /* pool, wish, why */
    EVENT_SCALE,   /* pool, slots_min, slots_max (POOL_KEEP: as it is), why */
    EVENT_DRAIN,   /* until_ns */
    EVENT_QUESTION /* question */
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
    const char *why; /* of what an administrator asks for; NULL: nobody asked */
    const struct memory_reading *memory;
    uint64_t until_ns;
    struct question *question;
};

#define ORCHESTRATOR_POOLS 256

struct orchestrator {
    struct pool **pools;  /* by place; NULL: the place is free */
    size_t pools_count;   /* from here on all places are free */
    size_t places;        /* at least ORCHESTRATOR_POOLS, at least twice the first pools */
    struct pool **listed; /* those that have a name now, in the configuration's order */
    size_t listed_count;
    _Atomic uint32_t *holds; /* by place; see gate_hold_pool */
    uint32_t abandoned;      /* threads that pools which are gone have left behind */
    struct memory_governor governor;
    enum pressure pressure;      /* as it was last told */
    struct event_stream *events; /* NULL: nobody listens */
    struct finished *finished;   /* NULL: nothing is remembered */
    struct answers *answers;     /* where its pools keep them; NULL: each is handed back at once */
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
/* What its pools answer is remembered there from now on. The caller's, until after orchestrator_free. */
void orchestrator_remember(struct orchestrator *orchestrator, struct finished *finished);
/* From now on its pools keep what they answer there, for whoever owns the loop to hand back. */
void orchestrator_keep_answers(struct orchestrator *orchestrator, struct answers *answers);
/* A pool that stands at its place already becomes one of its own. */
void orchestrator_adopt(struct orchestrator *orchestrator, struct pool *pool);
/* The next pool that has left and to which nothing refers any more, from place *at on; NULL: none. The
 * caller closes its transports and then lets it go. */
struct pool *orchestrator_gone(struct orchestrator *orchestrator, size_t *at);
void orchestrator_let_go(struct orchestrator *orchestrator, struct pool *pool);

/* The one door for everything that happens. */
void orchestrator_handle(struct orchestrator *orchestrator, const struct event *event,
                         uint64_t now_ns);
/* Expire, tend the slots, size the pools, match the queue to slots, tell the gate. Returns the next
 * moment at which it must be called even if nothing happens. */
uint64_t orchestrator_settle(struct orchestrator *orchestrator, uint64_t now_ns);
/* Draining, nothing live, no worker left. */
bool orchestrator_drained(const struct orchestrator *orchestrator);

#endif
