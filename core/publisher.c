#include "core/publisher.h"

#include "core/base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_SPAN_NS (10 * CLOCK_S)

/* A snapshot with room for all its parts, in one allocation that is used again and again. */
struct copy {
    struct snapshot snapshot;
    struct copy *next;
    uint32_t readers; /* under the lock */
    size_t pools_room, slots_room;
    struct pool_snapshot *pools;
    struct slot_snapshot *slots; /* of all pools, one after the other */
};

struct publisher {
    pthread_mutex_t lock;
    struct copy *copies; /* every one that was ever made */
    struct copy *newest;
};

static void copy_free(struct copy *copy) {
    free(copy->pools);
    free(copy->slots);
    free(copy);
}

static struct copy *copy_new(size_t pools_count, size_t slots_count) {
    struct copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL) return NULL;
    copy->pools_room = pools_count;
    copy->slots_room = slots_count;
    copy->pools = calloc(pools_count, sizeof *copy->pools);
    copy->slots = calloc(slots_count, sizeof *copy->slots);
    if (copy->pools != NULL && copy->slots != NULL) return copy;
    copy_free(copy);
    return NULL;
}

enum outcome publisher_open(struct publisher **out, const struct orchestrator *orchestrator) {
    *out = NULL;
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&publisher->lock, NULL);
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
        copy_free(copy);
    }
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

/* --- filling a copy -------------------------------------------------------------------------------- */

static const struct assignment *oldest_assignment(const struct slot *slot) {
    const struct assignment *oldest = NULL;
    for (uint32_t i = 0; i < slot->places && slot->inflight > 0; i++) {
        const struct assignment *assignment = &slot->assignments[i];
        if (assignment->request == NULL || assignment->staged) continue;
        if (oldest == NULL || assignment->began_ns < oldest->began_ns) oldest = assignment;
    }
    return oldest;
}

static void fill_checks(struct slot_checks *out, const struct slot *slot) {
    struct percentiles runs = recent_percentiles(slot->runs);
    *out = (struct slot_checks){.pong_ns = slot->pong_ns,
                                .ping_rtt_ns = slot->ping_rtt_ns,
                                .pings_missed = slot->pings_missed,
                                .busy_ns = slot->busy_ns,
                                .deep_ns = slot->deep_ns,
                                .deep_sound = slot->deep_sound,
                                .memory_sound = slot->resident_bytes <= slot->guard.declared_bytes,
                                .run_p50_ns = runs.p50_ns,
                                .run_p99_ns = runs.p99_ns};
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
                                  .staged = slot->staged,
                                  .cold_ns = slot->cold_ns};
    memcpy(out->last_error, slot->last_error, sizeof out->last_error);
    fill_checks(&out->checks, slot);
    out->transitions_count = worker_state_history(&slot->record, out->transitions);
    const struct assignment *current = oldest_assignment(slot);
    if (current == NULL) return;
    snprintf(out->current, sizeof out->current, "%s", current->request->request_id);
    out->current_began_ns = current->began_ns;
}

static void fill_measures(struct pool_snapshot *out, const struct pool *pool, uint64_t now_ns) {
    const struct stats *stats = &pool->stats;
    out->queue_time = stats->queue;
    out->cold_time = stats->cold;
    out->run_time = stats->run;
    out->cancel_time = stats->cancel;
    out->queue_recent = recent_percentiles(&stats->queue_recent);
    out->run_recent = recent_percentiles(&stats->run_recent);
    uint32_t waits = pool->queue.waiting + pool->staged;
    out->expected_wait_ns =
        waits == 0 ? 0 : stats_expected_wait(stats->mean_run_ns, waits, pool_pace(pool));
    out->service_rate = history_service_rate(pool->history, RATE_SPAN_NS, now_ns);
}

static void fill_tenants(struct pool_snapshot *out, const struct pool *pool, uint64_t now_ns) {
    struct tenant_facts facts[SNAPSHOT_TENANTS];
    out->tenants_live = pool->queue.tenants_live;
    out->tenants_count = request_queue_tenants(&pool->queue, facts, SNAPSHOT_TENANTS, now_ns);
    for (size_t i = 0; i < out->tenants_count; i++) {
        struct tenant_snapshot *tenant = &out->tenants[i];
        snprintf(tenant->name, sizeof tenant->name, "%s", facts[i].name);
        tenant->waiting = facts[i].waiting;
        tenant->out = facts[i].out;
        tenant->share = facts[i].share;
        tenant->weight = (uint32_t)facts[i].weight;
    }
}

static void fill_policies(struct pool_snapshot *out, struct pool *pool) {
    struct admission *admission = &pool->admission;
    const struct pool_totals *totals = &pool->totals;
    out->breaker = pool->breaker.state;
    out->breaker_until_ns = pool->breaker.state == BREAKER_OPEN ? pool->breaker.open_until_ns : 0;
    out->breaker_opened = pool->breaker.opened;
    out->breaker_rejections = atomic_load(&admission->refused) + pool->breaker.rejections;
    out->deduplicated = pool->dedup.joined;
    out->unmeetable = totals->unmeetable + atomic_load(&admission->unmeetable);
    out->shed = totals->shed;
    out->evictions = totals->evictions;
    out->recycled = totals->recycled;
    out->staged_back = totals->staged_back;
    out->batches = totals->batches;
    out->batched = totals->batched;
    memcpy(out->batch_sizes, totals->batch_sizes, sizeof out->batch_sizes);
    out->quarantined = pool->quarantine.count;
    out->alarms = totals->alarms;
}

/* What is only handed ahead waits as well: it can be taken back. */
static void count_staged(struct pool_snapshot *out, const struct pool *pool) {
    out->waiting += pool->staged;
    for (uint32_t i = 0; pool->staged > 0 && i < pool->slots_count; i++) {
        const struct slot *slot = &pool->slots[i];
        for (uint32_t j = 0; slot->staged > 0 && j < slot->places; j++)
            if (slot->assignments[j].id != 0 && slot->assignments[j].staged)
                out->by_priority[slot->assignments[j].request->priority]++;
    }
}

static void fill_pool(struct pool_snapshot *out, struct pool *pool, bool draining,
                      uint64_t now_ns) {
    const struct pool_options *options = pool->options;
    bool backing_off = pool->backoff_until_ns > now_ns || pool->abandoned >= POOL_ABANDONED_MOST;
    uint32_t able = pool_able(pool), coming = pool_coming(pool);
    const struct slot_snapshot *slots = out->slots;
    *out = (struct pool_snapshot){
        .name = options->name,
        .capability = options->capability,
        .health =
            pool->abandoned >= POOL_ABANDONED_MOST
                ? HEALTH_UNHEALTHY
                : health_of_pool(pool->census.by_state, pool->slots_min, pool->wish, backing_off),
        .wish = draining ? WISH_DRAIN : pool->wish,
        .required = options->required,
        .reached_min = pool->reached_min || pool->once_ready || pool->slots_min == 0,
        .can_serve = able > 0 || (pool->slots_min == 0 && !backing_off),
        .loading_first = able == 0 && coming > 0 && !pool->reached_min,
        .refusal = (enum outcome)atomic_load(&pool->admission.refusal),
        .slots_min = pool->slots_min,
        .slots_max = pool->slots_max,
        .live = pool->queue.live,
        .waiting = pool->queue.waiting,
        .capacity = options->queue.capacity,
        .bytes = atomic_load(&pool->admission.bytes),
        .abandoned = pool->abandoned,
        .answered = pool->totals.answered,
        .retried = pool->totals.retried,
        .crashed = pool->totals.crashed,
        .restarts = pool->totals.restarts,
        .cancelled = pool->totals.cancelled,
        .expired = pool->totals.expired,
        .slots_count = pool->slots_count,
        .slots = slots};
    memcpy(out->by_state, pool->census.by_state, sizeof out->by_state);
    memcpy(out->transitions_total, pool->census.moves, sizeof out->transitions_total);
    memcpy(out->by_priority, pool->queue.by_priority, sizeof out->by_priority);
    memcpy(out->restarts_by_reason, pool->totals.restarts_by_reason,
           sizeof out->restarts_by_reason);
    count_staged(out, pool);
    out->memory_declared = options->memory_bytes * (able + coming);
    for (uint32_t i = 0; i < pool->slots_count; i++)
        out->memory_resident += pool->slots[i].resident_bytes;
    fill_measures(out, pool, now_ns);
    fill_policies(out, pool);
    fill_tenants(out, pool, now_ns);
}

static void fill_memory(struct snapshot *out, const struct memory_governor *governor) {
    out->memory.limit_bytes = governor->limit_bytes;
    out->memory.used_bytes = governor_used(governor);
    out->memory.charged_bytes = governor->charged_bytes;
    out->memory.gateway_bytes = governor->gateway_bytes;
    out->memory.utilization = governor_utilization(governor);
    out->memory.stall_percent = governor->stall_percent;
    out->memory.pressure = governor_pressure(governor);
}

static uint32_t count_abandoned(const struct orchestrator *orchestrator) {
    uint32_t abandoned = orchestrator->abandoned;
    for (size_t i = 0; i < orchestrator->pools_count; i++)
        if (orchestrator->pools[i] != NULL) abandoned += orchestrator->pools[i]->abandoned;
    return abandoned;
}

static void fill(struct copy *copy, const struct orchestrator *orchestrator, uint64_t now_ns) {
    struct slot_snapshot *slots = copy->slots;
    for (size_t i = 0; i < orchestrator->listed_count; i++) {
        struct pool *pool = orchestrator->listed[i];
        copy->pools[i].slots = slots;
        fill_pool(&copy->pools[i], pool, orchestrator->draining, now_ns);
        for (uint32_t j = 0; j < pool->slots_count; j++) fill_slot(slots++, &pool->slots[j]);
    }
    copy->snapshot.taken_ns = now_ns;
    copy->snapshot.settled = orchestrator->settled;
    copy->snapshot.draining = orchestrator->draining;
    fill_memory(&copy->snapshot, &orchestrator->governor);
    if (orchestrator->events != NULL)
        copy->snapshot.events_lost = event_stream_lost(orchestrator->events);
    copy->snapshot.pools_count = orchestrator->listed_count;
    copy->snapshot.abandoned = count_abandoned(orchestrator);
    copy->snapshot.pools = copy->pools;
}

/* --- handing it over ------------------------------------------------------------------------------- */

static size_t count_slots(const struct orchestrator *orchestrator) {
    size_t slots = 0;
    for (size_t i = 0; i < orchestrator->listed_count; i++)
        slots += orchestrator->listed[i]->slots_count;
    return slots;
}

/* Takes one out of the list that nobody reads and that is not the newest. */
static struct copy *take_unused(struct publisher *publisher) {
    pthread_mutex_lock(&publisher->lock);
    struct copy **at = &publisher->copies;
    while (*at != NULL && ((*at)->readers > 0 || *at == publisher->newest)) at = &(*at)->next;
    struct copy *copy = *at;
    if (copy != NULL) *at = copy->next;
    pthread_mutex_unlock(&publisher->lock);
    return copy;
}

/* A copy with room for all, made if need be; those that a reload has made too small are dropped. */
static struct copy *spare(struct publisher *publisher, const struct orchestrator *orchestrator) {
    size_t pools = orchestrator->listed_count, slots = count_slots(orchestrator);
    struct copy *copy;
    while ((copy = take_unused(publisher)) != NULL) {
        if (copy->pools_room >= pools && copy->slots_room >= slots) break;
        copy_free(copy);
    }
    if (copy == NULL) copy = copy_new(pools, slots);
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
    struct copy *copy = spare(publisher, orchestrator);
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
