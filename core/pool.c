#include "core/pool.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>

/* The most requests that can be live at once: every permit that admission can ever give. */
static size_t most_live(const struct pool_options *options) {
    return (size_t)options->queue.capacity + options->queue.reserve +
           (size_t)options->slots_max * options->inflight;
}

enum outcome pool_init(struct pool *pool, const struct pool_options *options, uint64_t now_ns) {
    *pool = (struct pool){.options = options};
    admission_init(&pool->admission, options->queue.capacity, options->queue.reserve,
                   options->queue.bytes);
    enum outcome outcome = request_queue_init(&pool->queue, most_live(options));
    if (outcome != OK) return outcome;
    pool->slots = calloc(options->slots_max, sizeof *pool->slots);
    pool->transports = calloc(options->slots_max, sizeof(struct transport *));
    if (pool->slots == NULL || pool->transports == NULL) outcome = MEMORY_EXHAUSTED;
    for (uint32_t i = 0; i < options->slots_max && outcome == OK; i++)
        outcome = slot_init(&pool->slots[i], i, options->inflight, &pool->census, now_ns);
    if (outcome != OK) pool_free(pool);
    return outcome;
}

void pool_free(struct pool *pool) {
    for (uint32_t i = 0; pool->slots != NULL && i < pool->options->slots_max; i++)
        slot_free(&pool->slots[i]);
    free(pool->slots);
    free(pool->transports);
    pool->slots = NULL;
    pool->transports = NULL;
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

bool pool_is_given_up(const struct pool *pool) {
    return pool->abandoned >= POOL_ABANDONED_MOST && pool_able(pool) == 0 && pool_coming(pool) == 0;
}

bool pool_empty(const struct pool *pool) {
    return pool->census.by_state[WORKER_DEAD] == pool->options->slots_max;
}

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

void pool_answer(struct pool *pool, struct request *request, enum outcome outcome,
                 enum source source, uint64_t now_ns) {
    assert(request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING);
    measure(pool, request, now_ns);
    request_queue_finish(&pool->queue, request);
    request->outcome = outcome;
    request->source = source;
    pool->answered++;
    if (outcome == OK)
        stats_answered(&pool->stats, request->queue_ns, request->cold_ns, request->run_ns, now_ns);
    admission_give_back(&pool->admission);
    request->done(request);
}
