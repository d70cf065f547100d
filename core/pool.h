/* pool - one pool: its slots, its queue, its policies, its measures, and what it tells the gate.
 * thread: the pool loop; `admission` also from any thread.
 * owns:   its slots and queue. Requests are borrowed until pool_answer hands them back through done.
 * fails:  pool_init: MEMORY_EXHAUSTED. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "core/answers.h"
#include "core/event_stream.h"
#include "core/policy/admission.h"
#include "core/policy/circuit_breaker.h"
#include "core/policy/codel.h"
#include "core/policy/dedup.h"
#include "core/policy/finished.h"
#include "core/policy/forecast.h"
#include "core/policy/health.h"
#include "core/policy/history.h"
#include "core/policy/pool_options.h"
#include "core/policy/quarantine.h"
#include "core/policy/request_queue.h"
#include "core/policy/slot.h"
#include "core/policy/stats.h"
#include "core/transport/transport.h"

#define POOL_ABANDONED_MOST 2  /* so many threads are left behind, then no more are started */
#define POOL_BATCH_SIZES    11 /* of 1, up to 2, 4, … 1,024 requests */

struct pool_totals {
    uint64_t answered, retried, crashed, restarts, cancelled, expired;
    uint64_t unmeetable, shed, evictions, recycled, staged_back, alarms;
    uint64_t batches, batched, batch_sizes[POOL_BATCH_SIZES];
    uint64_t restarts_by_reason[REASON_COUNT];
};

/* All who waited at one moment get this answer, some of them each round. */
struct mass_refusal {
    enum outcome outcome; /* OK: nobody is refused */
    uint64_t until_ns;    /* when trying again may help; 0: not known */
    uint64_t last;        /* rank of the last of them */
    char why[SLOT_ERROR_BYTES];
};

struct pool {
    const struct pool_options *options; /* a reload may put others in their place */
    uint32_t place;                     /* its number in the orchestrator and for the gate */
    uint32_t slots_min, slots_max;      /* now; max is never above the slots that there are */
    uint32_t slots_count;
    struct slot *slots;
    struct transport **transports;    /* one for each slot; set by whoever owns the loop */
    struct event_stream *events;      /* NULL: nobody is told */
    struct finished *finished;        /* of all pools; NULL: nobody asks later */
    struct answers *answers;          /* of the round; NULL: each is handed back at once */
    struct memory_governor *governor; /* of all pools */
    struct worker_census census;
    struct request_queue queue;
    struct dedup dedup;
    struct circuit_breaker breaker;
    enum breaker_state breaker_was; /* as it was last told, in the era breaker_seen */
    uint64_t breaker_seen;
    struct codel codel;
    struct forecast forecast;
    struct quarantine quarantine;
    struct admission admission;
    struct stats stats;
    struct history *history;
    struct pool_totals totals;
    struct mass_refusal refusing;
    uint32_t answers_left; /* so many may still leave without a slot in this round */
    uint64_t random;       /* state of a generator, never 0: of the choice between slots */
    enum wish wish;
    uint64_t able_ns;          /* since when some slot can serve; 0: none */
    uint64_t scale_ns;         /* next look at the size */
    uint64_t backoff_until_ns; /* loads failed and no slot can serve: no new start before; 0: no */
    uint64_t ripe_ns;          /* when the next batch is ripe although a slot is free */
    uint64_t free_beside_ns;   /* since when a slot is free beside eligible work; 0: it is not */
    bool solo_next;  /* who goes next must be alone, and waits for a slot without any work */
    uint32_t staged; /* requests handed ahead, over all slots */
    enum priority staged_class; /* effective, of all that are staged */
    uint32_t batch_most;        /* requests that a worker of this pool takes at once */
    bool reached_min;
    uint64_t no_room_until_ns; /* work found no memory: all is refused until then; 0: it is not */
    bool no_room;              /* the memory governor refused its last load, and nobody can go */
    uint32_t abandoned;        /* threads that hung and were left behind */
    /* Reloads (reload.h). */
    _Atomic uint32_t
        *holds;   /* of its place: who may still come with a request; NULL: nobody is counted */
    bool leaving; /* it has no name any more and goes when it is done, since left_ns */
    uint64_t left_ns;
    bool once_ready; /* it came later: the gateway has started, whatever becomes of it */
};

/* seed: of the hash by which admission tells tenants apart. */
enum outcome pool_init(struct pool *pool, const struct pool_options *options, uint64_t seed,
                       uint64_t now_ns);
void pool_free(struct pool *pool);

/* The sum of inflight over the slots that can work now, and how many slots that is. */
uint32_t pool_places(const struct pool *pool);
/* How many requests go to a worker together, on average; 1 without batches. */
uint32_t pool_batch(const struct pool *pool);
/* How many requests run at a time: the places, each with as many as a batch has. */
uint32_t pool_pace(const struct pool *pool);
uint32_t pool_able(const struct pool *pool);
uint32_t pool_coming(const struct pool *pool);
/* Too many threads were left behind: with the last able slot gone there will be no other. */
bool pool_is_given_up(const struct pool *pool);
/* Nobody lives in its slots. */
bool pool_empty(const struct pool *pool);
/* Nothing is live, or on its way through the channel, and nobody lives in its slots. */
bool pool_drained(const struct pool *pool);
/* Somebody may still come with a request for it. */
bool pool_is_held(const struct pool *pool);

/* Ends a live request: gives its permit back, sets its times and hands it back through done, once. A request that is
 * out at a slot must have been taken from its assignment before, one that leads followed by nobody. */
void pool_answer(struct pool *pool, struct request *request, enum outcome outcome,
                 enum source source, uint64_t now_ns);

/* Ends a request that is not in the queue: it could not be taken up. */
void pool_refuse_new(struct pool *pool, struct request *request, enum outcome outcome,
                     uint64_t now_ns);

/* The one way in which a slot's state moves; the listeners are told. */
void pool_move(struct pool *pool, struct slot *slot, enum worker_state to, enum reason why,
               uint64_t now_ns);

/* Tells the listeners; nothing is made up where nobody listens. slot NULL: it is not about one. */
struct pool_news {
    enum happening_kind kind;
    const struct slot *slot;
    const struct request *request;
    const char *from, *to; /* constant texts or NULL */
    const char *why;       /* NULL: "" */
    uint64_t number;
};
void pool_tell(struct pool *pool, const struct pool_news *news, uint64_t now_ns);

#endif
