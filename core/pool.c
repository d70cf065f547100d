#include "core/pool.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* The most requests that can be live at once: every permit that admission can ever give. */
static size_t most_live(const struct pool_options *options) {
    return (size_t)options->queue.capacity + options->queue.reserve +
           (size_t)options->slots_max * options->inflight;
}

static enum outcome init_slots(struct pool *pool, uint64_t now_ns) {
    const struct pool_options *options = pool->options;
    pool->slots_count = options->slots_max;
    pool->slots = calloc(options->slots_max, sizeof *pool->slots);
    pool->transports = calloc(options->slots_max, sizeof(struct transport *));
    if (pool->slots == NULL || pool->transports == NULL) return MEMORY_EXHAUSTED;
    for (uint32_t i = 0; i < options->slots_max; i++) {
        const struct slot_options slot = {.index = i,
                                          .inflight = options->inflight,
                                          .batch_max = options->queue.batch_max,
                                          .staged = options->staged};
        enum outcome outcome = slot_init(&pool->slots[i], &slot, &pool->census, now_ns);
        if (outcome != OK) return outcome;
    }
    return OK;
}

static enum outcome init_queue(struct pool *pool) {
    const struct pool_options *options = pool->options;
    const struct queue_options queue = {.room = most_live(options),
                                        .aging_ns = options->queue.aging_ns,
                                        .fair = options->queue.fair,
                                        .weights = options->queue.weights,
                                        .weights_count = options->queue.weights_count,
                                        .batch_max = options->queue.batch_max,
                                        .seed = pool->admission.seed};
    enum outcome outcome = request_queue_init(&pool->queue, &queue);
    if (outcome != OK) return outcome;
    outcome = dedup_init(&pool->dedup, options->queue.dedup_ns, most_live(options));
    if (outcome != OK) return outcome;
    pool->history = calloc(1, sizeof *pool->history);
    return pool->history != NULL ? OK : MEMORY_EXHAUSTED;
}

enum outcome pool_init(struct pool *pool, const struct pool_options *options, uint64_t seed,
                       uint64_t now_ns) {
    *pool = (struct pool){.options = options,
                          .slots_min = options->slots_min,
                          .slots_max = options->slots_max,
                          .batch_most = 1,
                          .random = seed | 1,
                          .breaker_seen = 1,
                          .ripe_ns = CLOCK_NEVER};
    admission_init(&pool->admission, options->queue.capacity, options->queue.reserve,
                   options->queue.bytes, seed);
    breaker_init(&pool->breaker, &options->breaker, now_ns);
    codel_init(&pool->codel);
    quarantine_init(&pool->quarantine);
    enum outcome outcome = init_queue(pool);
    if (outcome == OK) outcome = init_slots(pool, now_ns);
    if (outcome != OK) pool_free(pool);
    return outcome;
}

void pool_free(struct pool *pool) {
    for (uint32_t i = 0; pool->slots != NULL && i < pool->slots_count; i++)
        slot_free(&pool->slots[i]);
    free(pool->slots);
    free(pool->transports);
    free(pool->history);
    pool->slots = NULL;
    pool->transports = NULL;
    pool->history = NULL;
    quarantine_free(&pool->quarantine);
    dedup_free(&pool->dedup);
    request_queue_free(&pool->queue);
}

uint32_t pool_able(const struct pool *pool) {
    const uint32_t *by_state = pool->census.by_state;
    return by_state[WORKER_READY] + by_state[WORKER_PROCESSING] + by_state[WORKER_IDLE];
}

uint32_t pool_coming(const struct pool *pool) {
    return pool->census.by_state[WORKER_SPAWNING] + pool->census.by_state[WORKER_LOADING];
}

uint32_t pool_places(const struct pool *pool) {
    return pool_able(pool) * pool->options->inflight;
}

uint32_t pool_batch(const struct pool *pool) {
    uint64_t batches = pool->totals.batches, batched = pool->totals.batched;
    uint64_t size = pool->batch_most > 1 && batches > 0 ? batched / batches : 1;
    return size > 0 ? (uint32_t)size : 1;
}

uint32_t pool_pace(const struct pool *pool) {
    return pool_places(pool) * pool_batch(pool);
}

bool pool_is_given_up(const struct pool *pool) {
    return pool->abandoned >= POOL_ABANDONED_MOST && pool_able(pool) == 0 && pool_coming(pool) == 0;
}

bool pool_empty(const struct pool *pool) {
    return pool->census.by_state[WORKER_DEAD] == pool->slots_count;
}

/* A permit without a live request was taken just before the refusal: its request is in the channel. */
bool pool_drained(const struct pool *pool) {
    return pool->queue.live == 0 && atomic_load(&pool->admission.permits) == 0 && pool_empty(pool);
}

bool pool_is_held(const struct pool *pool) {
    return pool->holds != NULL && atomic_load(pool->holds) > 0;
}

/* --- the end of a request -------------------------------------------------------------------------- */

/* Splits the time before the first byte of work into cold (no slot could serve yet) and queue. */
static void measure(const struct pool *pool, struct request *request, uint64_t now_ns) {
    uint64_t began_ns = request->began_ns > 0 ? request->began_ns : now_ns;
    uint64_t waited_ns = began_ns > request->arrived_ns ? began_ns - request->arrived_ns : 0;
    if (request->cold) {
        uint64_t able_ns = pool->able_ns > 0 ? pool->able_ns : now_ns;
        uint64_t cold_ns = able_ns > request->arrived_ns ? able_ns - request->arrived_ns : 0;
        request->cold_ns = cold_ns < waited_ns ? cold_ns : waited_ns;
    }
    request->queue_ns = waited_ns - request->cold_ns;
    if (request->began_ns > 0) request->run_ns = now_ns - request->began_ns;
}

static void remember(struct pool *pool, const struct request *request, bool shared,
                     uint64_t now_ns) {
    if (request->outcome == OK && !shared) /* a run counts once */
        stats_answered(&pool->stats, request->queue_ns, request->cold_ns, request->run_ns, now_ns);
    history_add(pool->history,
                &(struct history_entry){.ended_ns = now_ns,
                                        .slot = shared ? REQUEST_NO_SLOT : request->slot});
}

static void hand_back(struct pool *pool, struct request *request) {
    if (pool->answers != NULL)
        answers_keep(pool->answers, request);
    else
        answers_hand_back_one(request);
}

void pool_answer(struct pool *pool, struct request *request, enum outcome outcome,
                 enum source source, uint64_t now_ns) {
    assert(request->state != REQUEST_NEW && request->state != REQUEST_DONE);
    bool shared = request->state == REQUEST_FOLLOWING; /* its leader's run is not charged twice */
    measure(pool, request, now_ns);
    request_queue_finish(&pool->queue, request, shared ? 0 : request->run_ns, now_ns);
    request->outcome = outcome;
    request->source = source;
    pool->totals.answered++;
    remember(pool, request, shared, now_ns);
    if (pool->finished != NULL) finished_add(pool->finished, pool->options->name, request, now_ns);
    pool_tell(pool,
              &(struct pool_news){
                  .kind = outcome == OK ? HAPPENING_REQUEST_COMPLETED : HAPPENING_REQUEST_FAILED,
                  .slot = request->slot == REQUEST_NO_SLOT ? NULL : &pool->slots[request->slot],
                  .request = request,
                  .to = outcome_code(outcome),
                  .number = request->run_ns},
              now_ns);
    admission_give_back(&pool->admission, request->tenant);
    hand_back(pool, request);
}

void pool_refuse_new(struct pool *pool, struct request *request, enum outcome outcome,
                     uint64_t now_ns) {
    measure(pool, request, now_ns);
    request->state = REQUEST_DONE;
    request->outcome = outcome;
    request->source = SOURCE_GATEWAY;
    pool->totals.answered++;
    if (pool->finished != NULL) finished_add(pool->finished, pool->options->name, request, now_ns);
    admission_give_back(&pool->admission, request->tenant);
    hand_back(pool, request);
}

/* --- what the listeners are told --------------------------------------------------------------------- */

void pool_tell(struct pool *pool, const struct pool_news *news, uint64_t now_ns) {
    if (pool->events == NULL || !event_stream_wants(pool->events, news->kind)) return;
    struct happening happening = {.kind = news->kind,
                                  .slot =
                                      news->slot != NULL ? news->slot->index : HAPPENING_NO_SLOT,
                                  .at_ns = now_ns,
                                  .number = news->number,
                                  .from = news->from != NULL ? news->from : "",
                                  .to = news->to != NULL ? news->to : ""};
    snprintf(happening.pool, sizeof happening.pool, "%s", pool->options->name);
    if (news->request != NULL)
        snprintf(happening.request, sizeof happening.request, "%s", news->request->request_id);
    if (news->why != NULL) snprintf(happening.why, sizeof happening.why, "%s", news->why);
    bool failed = news->kind == HAPPENING_SLOT && news->slot->record.state == WORKER_FAILED;
    if (failed) snprintf(happening.error, sizeof happening.error, "%s", news->slot->last_error);
    event_stream_emit(pool->events, &happening);
}

/* Taking up work and putting it down happens with every request, the rest of a life seldom. */
static bool is_turn(enum worker_state from, enum worker_state to) {
    return (from == WORKER_PROCESSING && to == WORKER_READY) || to == WORKER_PROCESSING;
}

void pool_move(struct pool *pool, struct slot *slot, enum worker_state to, enum reason why,
               uint64_t now_ns) {
    enum worker_state from = slot->record.state;
    bool moved = worker_state_move(&slot->record, to, why, now_ns);
    assert(moved);
    if (pool_able(pool) == 0) pool->able_ns = 0;
    pool_tell(pool,
              &(struct pool_news){.kind = is_turn(from, to) ? HAPPENING_TURN : HAPPENING_SLOT,
                                  .slot = slot,
                                  .from = worker_state_name(from),
                                  .to = worker_state_name(to),
                                  .why = reason_name(why),
                                  .number = (uint64_t)slot->pid},
              now_ns);
}
