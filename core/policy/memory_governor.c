#include "core/policy/memory_governor.h"

#include <assert.h>

static const char *const names[] = {
#define PRESSURE_TEXT(name, text) [PRESSURE_##name] = text,
    PRESSURES(PRESSURE_TEXT)
#undef PRESSURE_TEXT
};

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* a - b, but never below 0. */
static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t charge_of(const struct memory_guard *guard) {
    return larger(guard->declared_bytes, guard->measured_bytes);
}

static uint64_t held_by(const struct memory_guard *guard) {
    return guard->measured_bytes != 0 ? guard->measured_bytes : guard->declared_bytes;
}

static void add(struct memory_governor *governor, const struct memory_guard *guard) {
    governor->charged_bytes += charge_of(guard);
    governor->held_bytes += held_by(guard);
    governor->guards++;
}

static void subtract(struct memory_governor *governor, const struct memory_guard *guard) {
    assert(governor->guards > 0 && governor->charged_bytes >= charge_of(guard) &&
           governor->held_bytes >= held_by(guard));
    governor->charged_bytes -= charge_of(guard);
    governor->held_bytes -= held_by(guard);
    governor->guards--;
}

/* What cannot be given to a newcomer: what is charged, or what the machine has seen together with what
 * it cannot have seen yet. */
static uint64_t claimed(const struct memory_governor *governor) {
    return larger(governor->charged_bytes + governor->gateway_bytes,
                  governor->used_bytes + governor->promised_bytes);
}

void governor_init(struct memory_governor *governor, uint64_t limit_bytes) {
    *governor = (struct memory_governor){.limit_bytes = limit_bytes, .stall_percent = -1};
}

enum outcome governor_reserve(struct memory_governor *governor, struct memory_guard *guard,
                              uint64_t declared_bytes) {
    assert(guard->declared_bytes == 0);
    *guard = (struct memory_guard){0};
    if (governor_missing(governor, declared_bytes) > 0) return MEMORY_EXHAUSTED;
    if (declared_bytes == 0) return OK;
    guard->declared_bytes = declared_bytes;
    guard->weighing = governor->weighings;
    governor->promised_bytes += declared_bytes;
    add(governor, guard);
    return OK;
}

uint64_t governor_missing(const struct memory_governor *governor, uint64_t bytes) {
    if (governor->limit_bytes == 0) return 0;
    uint64_t taken = claimed(governor);
    uint64_t wanted = bytes > UINT64_MAX - taken ? UINT64_MAX : taken + bytes;
    return less(wanted, governor->limit_bytes);
}

void governor_measured(struct memory_governor *governor, struct memory_guard *guard,
                       uint64_t bytes) {
    if (guard->declared_bytes == 0 || bytes == 0) return;
    subtract(governor, guard);
    guard->measured_bytes = bytes;
    add(governor, guard);
}

void governor_weighed(struct memory_governor *governor, uint64_t total_bytes, uint64_t used_bytes,
                      uint64_t gateway_bytes, double stall_percent) {
    governor->used_bytes = 0;
    if (total_bytes != 0) {
        if (governor->limit_bytes > total_bytes) governor->limit_bytes = total_bytes;
        governor->used_bytes = less(governor->limit_bytes, less(total_bytes, used_bytes));
    }
    governor->gateway_bytes = gateway_bytes;
    governor->stall_percent = stall_percent;
    governor->promised_bytes = 0;
    governor->weighings++;
}

uint64_t governor_release(struct memory_governor *governor, struct memory_guard *guard) {
    if (guard->declared_bytes == 0) return 0;
    uint64_t bytes = held_by(guard);
    subtract(governor, guard);
    if (guard->weighing == governor->weighings) {
        assert(governor->promised_bytes >= guard->declared_bytes);
        governor->promised_bytes -= guard->declared_bytes;
    } else {
        governor->used_bytes = less(governor->used_bytes, bytes);
    }
    *guard = (struct memory_guard){0};
    return bytes;
}

uint64_t governor_used(const struct memory_governor *governor) {
    return larger(governor->held_bytes + governor->gateway_bytes, governor->used_bytes);
}

double governor_utilization(const struct memory_governor *governor) {
    if (governor->limit_bytes == 0) return 0;
    return (double)governor_used(governor) / (double)governor->limit_bytes;
}

enum pressure governor_pressure(const struct memory_governor *governor) {
    double utilization = governor_utilization(governor);
    if (utilization >= 0.85 || governor->stall_percent >= GOVERNOR_STALL_CRITICAL)
        return PRESSURE_CRITICAL;
    if (utilization >= 0.70 || governor->stall_percent >= GOVERNOR_STALL_HIGH) return PRESSURE_HIGH;
    return utilization >= 0.50 ? PRESSURE_NORMAL : PRESSURE_LOW;
}

uint64_t governor_excess(const struct memory_governor *governor) {
    if (governor->limit_bytes == 0) return 0;
    return less(governor_used(governor), governor->limit_bytes - governor->limit_bytes / 10);
}

const char *pressure_name(enum pressure pressure) {
    assert(pressure < PRESSURE_COUNT);
    return names[pressure];
}

static bool may_go(const struct eviction_candidate *candidate, uint32_t except_pool) {
    if (!candidate->idle || (except_pool != UINT32_MAX && candidate->pool == except_pool))
        return false;
    return !candidate->pool_has_work || candidate->pool_able > candidate->pool_min;
}

/* The one used longest ago; among equals the one that holds most. */
static bool goes_before(const struct eviction_candidate *a, const struct eviction_candidate *b) {
    if (a->last_used_ns != b->last_used_ns) return a->last_used_ns < b->last_used_ns;
    return a->bytes > b->bytes;
}

size_t governor_victim(const struct eviction_candidate *candidates, size_t count,
                       uint32_t except_pool) {
    size_t victim = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!may_go(&candidates[i], except_pool)) continue;
        if (victim == SIZE_MAX || goes_before(&candidates[i], &candidates[victim])) victim = i;
    }
    return victim;
}
