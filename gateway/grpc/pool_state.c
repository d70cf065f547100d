#include "gateway/grpc/pool_state.h"

#include "core/base/clock.h"

/* protobuf-c's texts are not const, but packing only reads them. */
static char *text(const char *constant) {
    return (char *)(uintptr_t)constant;
}

static double milliseconds(uint64_t ns) {
    return (double)(ns / CLOCK_US) / 1e3;
}

static void fill_slots(struct pool_state *state, const struct pool_snapshot *pool) {
    state->slots = (Poolgate__V1__PoolState__Slots)POOLGATE__V1__POOL_STATE__SLOTS__INIT;
    for (int i = 0; i < WORKER_STATE_COUNT; i++) {
        Poolgate__V1__PoolState__Slots__ByStateEntry *entry = &state->states[i];
        *entry = (Poolgate__V1__PoolState__Slots__ByStateEntry)
            POOLGATE__V1__POOL_STATE__SLOTS__BY_STATE_ENTRY__INIT;
        entry->key = text(worker_state_name((enum worker_state)i));
        entry->value = pool->by_state[i];
        state->state_pointers[i] = entry;
    }
    state->slots.min = pool->slots_min;
    state->slots.max = pool->slots_max;
    state->slots.by_state = state->state_pointers;
    state->slots.n_by_state = WORKER_STATE_COUNT;
}

static void fill_tenant(struct pool_state *state, size_t i) {
    struct tenant_snapshot *tenant = &state->tenants.rows[i];
    Poolgate__V1__PoolState__Queue__TenantsEntry *waiting = &state->by_tenant.waiting[i];
    Poolgate__V1__PoolState__Tenant *facts = &state->by_tenant.facts[i];
    Poolgate__V1__PoolState__Queue__ByTenantEntry *entry = &state->by_tenant.entries[i];
    *waiting = (Poolgate__V1__PoolState__Queue__TenantsEntry)
        POOLGATE__V1__POOL_STATE__QUEUE__TENANTS_ENTRY__INIT;
    waiting->key = tenant->name;
    waiting->value = tenant->waiting;
    *facts = (Poolgate__V1__PoolState__Tenant)POOLGATE__V1__POOL_STATE__TENANT__INIT;
    facts->waiting = tenant->waiting;
    facts->running = tenant->out;
    facts->share = tenant->share;
    facts->weight = tenant->weight;
    *entry = (Poolgate__V1__PoolState__Queue__ByTenantEntry)
        POOLGATE__V1__POOL_STATE__QUEUE__BY_TENANT_ENTRY__INIT;
    entry->key = tenant->name;
    entry->value = facts;
    state->by_tenant.waiting_pointers[i] = waiting;
    state->by_tenant.pointers[i] = entry;
}

static void fill_tenants(struct pool_state *state, const struct pool_snapshot *pool) {
    tenant_list_fill(&state->tenants, pool);
    for (size_t i = 0; i < state->tenants.count; i++) fill_tenant(state, i);
    state->queue.tenants = state->by_tenant.waiting_pointers;
    state->queue.by_tenant = state->by_tenant.pointers;
    state->queue.n_tenants = state->queue.n_by_tenant = state->tenants.count;
    state->queue.tenants_live = pool->tenants_live;
}

static void fill_queue(struct pool_state *state, const struct pool_snapshot *pool) {
    state->queue = (Poolgate__V1__PoolState__Queue)POOLGATE__V1__POOL_STATE__QUEUE__INIT;
    for (int i = 0; i < PRIORITY_COUNT; i++) {
        Poolgate__V1__PoolState__Queue__ByPriorityEntry *entry = &state->priorities[i];
        *entry = (Poolgate__V1__PoolState__Queue__ByPriorityEntry)
            POOLGATE__V1__POOL_STATE__QUEUE__BY_PRIORITY_ENTRY__INIT;
        entry->key = text(priority_name((enum priority)i));
        entry->value = pool->by_priority[i];
        state->priority_pointers[i] = entry;
    }
    state->queue.waiting = pool->waiting;
    state->queue.capacity = pool->capacity;
    state->queue.bytes = pool->bytes;
    state->queue.by_priority = state->priority_pointers;
    state->queue.n_by_priority = PRIORITY_COUNT;
    state->queue.expected_wait_ms = milliseconds(pool->expected_wait_ns);
    state->queue.service_rate = pool->service_rate;
    fill_tenants(state, pool);
}

static void fill_breaker(struct pool_state *state, const struct pool_snapshot *pool,
                         uint64_t now_ns) {
    state->breaker = (Poolgate__V1__PoolState__Breaker)POOLGATE__V1__POOL_STATE__BREAKER__INIT;
    state->breaker.state = text(breaker_state_name(pool->breaker));
    if (pool->breaker == BREAKER_OPEN && pool->breaker_until_ns > now_ns)
        state->breaker.open_for_ms = milliseconds(pool->breaker_until_ns - now_ns);
    state->breaker.opened = pool->breaker_opened;
    state->breaker.rejections = pool->breaker_rejections;
}

static void fill_totals(struct pool_state *state, const struct pool_snapshot *pool) {
    state->totals = (Poolgate__V1__PoolState__Totals)POOLGATE__V1__POOL_STATE__TOTALS__INIT;
    state->totals.answered = pool->answered;
    state->totals.retried = pool->retried;
    state->totals.crashed = pool->crashed;
    state->totals.restarts = pool->restarts;
    state->totals.cancelled = pool->cancelled;
    state->totals.expired = pool->expired;
    state->totals.abandoned = pool->abandoned;
    state->totals.unmeetable = pool->unmeetable;
    state->totals.shed = pool->shed;
    state->totals.deduplicated = pool->deduplicated;
    state->totals.evictions = pool->evictions;
    state->totals.recycled = pool->recycled;
    state->totals.quarantined = pool->quarantined;
    state->totals.staged_back = pool->staged_back;
    state->totals.batches = pool->batches;
    state->totals.batched = pool->batched;
    state->totals.alarms = pool->alarms;
}

static void fill_percentiles(Poolgate__V1__PoolState__Percentiles *message,
                             const struct percentiles *recent) {
    *message = (Poolgate__V1__PoolState__Percentiles)POOLGATE__V1__POOL_STATE__PERCENTILES__INIT;
    message->p50 = milliseconds(recent->p50_ns);
    message->p95 = milliseconds(recent->p95_ns);
    message->p99 = milliseconds(recent->p99_ns);
}

void pool_state_fill(struct pool_state *state, const struct pool_snapshot *pool, uint64_t now_ns) {
    fill_slots(state, pool);
    fill_queue(state, pool);
    fill_totals(state, pool);
    fill_percentiles(&state->queue_recent, &pool->queue_recent);
    fill_percentiles(&state->run_recent, &pool->run_recent);
    fill_breaker(state, pool, now_ns);
    state->memory = (Poolgate__V1__PoolState__Memory)POOLGATE__V1__POOL_STATE__MEMORY__INIT;
    state->memory.declared = pool->memory_declared;
    state->memory.resident = pool->memory_resident;
    state->latency = (Poolgate__V1__PoolState__Latency)POOLGATE__V1__POOL_STATE__LATENCY__INIT;
    state->latency.queue = &state->queue_recent;
    state->latency.run = &state->run_recent;
    Poolgate__V1__PoolState *message = &state->message;
    *message = (Poolgate__V1__PoolState)POOLGATE__V1__POOL_STATE__INIT;
    message->name = text(pool->name);
    message->capability = text(pool->capability);
    message->health = text(health_name(pool->health));
    message->wish = text(wish_name(pool->wish));
    message->required = pool->required;
    message->slots = &state->slots;
    message->queue = &state->queue;
    message->breaker = &state->breaker;
    message->memory = &state->memory;
    message->totals = &state->totals;
    message->latency_ms = &state->latency;
}
