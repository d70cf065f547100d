#include "core/publisher.h"

#include "core/base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A snapshot with room for all its parts, in one allocation that is used again and again. */
struct copy {
    struct snapshot snapshot;
    struct copy *next;
    uint32_t readers; /* under the lock */
    struct pool_snapshot *pools;
    struct slot_snapshot *slots; /* of all pools, one after the other */
};

struct publisher {
    pthread_mutex_t lock;
    struct copy *copies; /* every one that was ever made */
    struct copy *newest;
    size_t pools_count, slots_count;
};

static struct copy *copy_new(size_t pools_count, size_t slots_count) {
    struct copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL) return NULL;
    copy->pools = calloc(pools_count, sizeof *copy->pools);
    copy->slots = calloc(slots_count, sizeof *copy->slots);
    if (copy->pools != NULL && copy->slots != NULL) return copy;
    free(copy->pools);
    free(copy->slots);
    free(copy);
    return NULL;
}

enum outcome publisher_open(struct publisher **out, const struct orchestrator *orchestrator) {
    *out = NULL;
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&publisher->lock, NULL);
    publisher->pools_count = orchestrator->pools_count;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        publisher->slots_count += orchestrator->pools[i].options->slots_max;
    publisher_publish(publisher, orchestrator, &(struct histogram){0}, 0, clock_now_ns());
    if (publisher->newest == NULL) {
        publisher_free(publisher);
        return MEMORY_EXHAUSTED;
    }
    *out = publisher;
    return OK;
}

void publisher_free(struct publisher *publisher) {
    while (publisher->copies != NULL) {
        struct copy *copy = publisher->copies;
        assert(copy->readers == 0);
        publisher->copies = copy->next;
        free(copy->pools);
        free(copy->slots);
        free(copy);
    }
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

/* --- filling a copy -------------------------------------------------------------------------------- */

static const struct assignment *oldest_assignment(const struct slot *slot) {
    const struct assignment *oldest = NULL;
    for (uint32_t i = 0; i < slot->capacity && slot->inflight > 0; i++) {
        const struct assignment *assignment = &slot->assignments[i];
        if (assignment->request == NULL) continue;
        if (oldest == NULL || assignment->began_ns < oldest->began_ns) oldest = assignment;
    }
    return oldest;
}

static void fill_slot(struct slot_snapshot *out, const struct slot *slot) {
    *out = (struct slot_snapshot){.index = slot->index,
                                  .state = slot->record.state,
                                  .since_ns = slot->record.since_ns,
                                  .pid = slot->pid,
                                  .requests = slot->requests,
                                  .errors = slot->errors,
                                  .restarts = slot->restarts,
                                  .resident_bytes = slot->resident_bytes,
                                  .inflight = slot->inflight,
                                  .cold_ns = slot->cold_ns};
    memcpy(out->last_error, slot->last_error, sizeof out->last_error);
    out->transitions_count = worker_state_history(&slot->record, out->transitions);
    const struct assignment *current = oldest_assignment(slot);
    if (current == NULL) return;
    snprintf(out->current, sizeof out->current, "%s", current->request->request_id);
    out->current_began_ns = current->began_ns;
}

static void fill_measures(struct pool_snapshot *out, const struct pool *pool) {
    const struct stats *stats = &pool->stats;
    out->queue_time = stats->queue;
    out->cold_time = stats->cold;
    out->run_time = stats->run;
    out->cancel_time = stats->cancel;
    out->queue_recent = recent_percentiles(&stats->queue_recent);
    out->run_recent = recent_percentiles(&stats->run_recent);
    out->expected_wait_ns =
        pool->queue.waiting == 0
            ? 0
            : stats_expected_wait(stats->mean_run_ns, pool->queue.waiting, pool_places(pool));
}

static void fill_pool(struct pool_snapshot *out, const struct pool *pool, bool draining,
                      uint64_t now_ns) {
    const struct pool_options *options = pool->options;
    bool backing_off = pool->backoff_until_ns > now_ns || pool->abandoned >= POOL_ABANDONED_MOST;
    uint32_t able = pool_able(pool), coming = pool_coming(pool);
    const struct slot_snapshot *slots = out->slots;
    *out =
        (struct pool_snapshot){.name = options->name,
                               .capability = options->capability,
                               .health = health_of_pool(pool->census.by_state, options->slots_min,
                                                        pool->wish, backing_off),
                               .wish = draining ? WISH_DRAIN : pool->wish,
                               .required = options->required,
                               .reached_min = pool->reached_min || options->slots_min == 0,
                               .can_serve = able > 0 || (options->slots_min == 0 && !backing_off),
                               .loading_first = able == 0 && coming > 0 && !pool->reached_min,
                               .refusal = (enum outcome)atomic_load(&pool->admission.refusal),
                               .slots_min = options->slots_min,
                               .slots_max = options->slots_max,
                               .live = pool->queue.live,
                               .waiting = pool->queue.waiting,
                               .capacity = options->queue.capacity,
                               .bytes = atomic_load(&pool->admission.bytes),
                               .abandoned = pool->abandoned,
                               .answered = pool->answered,
                               .retried = pool->retried,
                               .crashed = pool->crashed,
                               .restarts = pool->restarts,
                               .cancelled = pool->cancelled,
                               .expired = pool->expired,
                               .slots_count = options->slots_max,
                               .slots = slots};
    memcpy(out->by_state, pool->census.by_state, sizeof out->by_state);
    memcpy(out->transitions_total, pool->census.moves, sizeof out->transitions_total);
    memcpy(out->by_priority, pool->queue.by_priority, sizeof out->by_priority);
    memcpy(out->restarts_by_reason, pool->restarts_by_reason, sizeof out->restarts_by_reason);
    out->memory_declared = options->memory_bytes * (able + coming);
    for (uint32_t i = 0; i < options->slots_max; i++)
        out->memory_resident += pool->slots[i].resident_bytes;
    fill_measures(out, pool);
}

static void fill(struct copy *copy, const struct orchestrator *orchestrator, uint64_t now_ns) {
    struct slot_snapshot *slots = copy->slots;
    for (size_t i = 0; i < orchestrator->pools_count; i++) {
        const struct pool *pool = &orchestrator->pools[i];
        copy->pools[i].slots = slots;
        fill_pool(&copy->pools[i], pool, orchestrator->draining, now_ns);
        for (uint32_t j = 0; j < pool->options->slots_max; j++) fill_slot(slots++, &pool->slots[j]);
    }
    copy->snapshot.taken_ns = now_ns;
    copy->snapshot.settled = orchestrator->settled;
    copy->snapshot.draining = orchestrator->draining;
    copy->snapshot.pools_count = orchestrator->pools_count;
    copy->snapshot.pools = copy->pools;
}

/* --- handing it over ------------------------------------------------------------------------------- */

/* A copy that nobody reads and that is not the newest, made if need be. */
static struct copy *spare(struct publisher *publisher) {
    pthread_mutex_lock(&publisher->lock);
    struct copy *copy = publisher->copies;
    while (copy != NULL && (copy->readers > 0 || copy == publisher->newest)) copy = copy->next;
    pthread_mutex_unlock(&publisher->lock);
    if (copy != NULL) return copy;
    copy = copy_new(publisher->pools_count, publisher->slots_count);
    if (copy == NULL) return NULL;
    pthread_mutex_lock(&publisher->lock);
    copy->next = publisher->copies;
    publisher->copies = copy;
    pthread_mutex_unlock(&publisher->lock);
    return copy;
}

void publisher_publish(struct publisher *publisher, const struct orchestrator *orchestrator,
                       const struct histogram *loop_lag, uint64_t loop_lag_max_ns,
                       uint64_t now_ns) {
    struct copy *copy = spare(publisher);
    if (copy == NULL) return;
    fill(copy, orchestrator, now_ns);
    copy->snapshot.loop_lag = *loop_lag;
    copy->snapshot.loop_lag_max_ns = loop_lag_max_ns;
    pthread_mutex_lock(&publisher->lock);
    publisher->newest = copy;
    pthread_mutex_unlock(&publisher->lock);
}

const struct snapshot *publisher_take(struct publisher *publisher) {
    pthread_mutex_lock(&publisher->lock);
    struct copy *copy = publisher->newest;
    copy->readers++;
    pthread_mutex_unlock(&publisher->lock);
    return &copy->snapshot;
}

void publisher_give_back(struct publisher *publisher, const struct snapshot *snapshot) {
    struct copy *copy =
        (struct copy *)(void *)((uintptr_t)snapshot - offsetof(struct copy, snapshot));
    pthread_mutex_lock(&publisher->lock);
    assert(copy->readers > 0);
    copy->readers--;
    pthread_mutex_unlock(&publisher->lock);
}
