#include "gateway/http/state.h"

#include "core/base/clock.h"

#include <stdio.h>

/* Counters that fit a JSON integer for the next centuries. */
static json_t *number(uint64_t value) {
    return json_integer((json_int_t)value);
}

static json_t *milliseconds(uint64_t ns) {
    return json_real((double)(ns / CLOCK_US) / 1e3);
}

static json_t *time_text(uint64_t monotonic_ns) {
    char text[CLOCK_TEXT_BYTES];
    clock_text(monotonic_ns, text);
    return json_string(text);
}

/* A worker's own text: what is not UTF-8 is shown as '?'. */
static json_t *foreign_text(const char *text) {
    json_t *string = json_string(text);
    if (string != NULL) return string;
    char copy[SNAPSHOT_TEXT_BYTES];
    size_t used = 0;
    for (; text[used] != '\0' && used + 1 < sizeof copy; used++)
        copy[used] = (text[used] & 0x80) != 0 ? '?' : text[used];
    return json_stringn(copy, used);
}

static json_t *states(const uint32_t by_state[WORKER_STATE_COUNT]) {
    json_t *object = json_object();
    for (int state = 0; state < WORKER_STATE_COUNT; state++)
        json_object_set_new(object, worker_state_name((enum worker_state)state),
                            number(by_state[state]));
    return object;
}

static json_t *percentiles(const struct percentiles *recent) {
    return json_pack("{s:o, s:o, s:o}", "p50", milliseconds(recent->p50_ns), "p95",
                     milliseconds(recent->p95_ns), "p99", milliseconds(recent->p99_ns));
}

static json_t *queue_json(const struct pool_snapshot *pool) {
    json_t *by_priority = json_object();
    for (int priority = 0; priority < PRIORITY_COUNT; priority++)
        json_object_set_new(by_priority, priority_name((enum priority)priority),
                            number(pool->by_priority[priority]));
    return json_pack("{s:o, s:o, s:o, s:o, s:{}, s:o}", "waiting", number(pool->waiting),
                     "capacity", number(pool->capacity), "bytes", number(pool->bytes),
                     "by_priority", by_priority, "tenants", "expected_wait_ms",
                     milliseconds(pool->expected_wait_ns));
}

static json_t *totals_json(const struct pool_snapshot *pool) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "answered", number(pool->answered),
                     "retried", number(pool->retried), "crashed", number(pool->crashed), "restarts",
                     number(pool->restarts), "cancelled", number(pool->cancelled), "expired",
                     number(pool->expired), "abandoned", number(pool->abandoned));
}

json_t *state_pool(const struct pool_snapshot *pool) {
    json_t *slots = json_pack("{s:o, s:o, s:o}", "min", number(pool->slots_min), "max",
                              number(pool->slots_max), "by_state", states(pool->by_state));
    json_t *memory = json_pack("{s:o, s:o}", "declared", number(pool->memory_declared), "resident",
                               number(pool->memory_resident));
    json_t *latency = json_pack("{s:o, s:o}", "queue", percentiles(&pool->queue_recent), "run",
                                percentiles(&pool->run_recent));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:{s:s}, s:o, s:o, s:o}", "name",
                     pool->name, "capability", pool->capability, "health",
                     health_name(pool->health), "wish", wish_name(pool->wish), "required",
                     pool->required, "slots", slots, "queue", queue_json(pool), "breaker", "state",
                     "closed", "memory", memory, "totals", totals_json(pool), "latency_ms",
                     latency);
}

static json_t *current_json(const struct slot_snapshot *slot, uint64_t now_ns) {
    if (slot->current[0] == '\0') return json_null();
    uint64_t running_ns = now_ns > slot->current_began_ns ? now_ns - slot->current_began_ns : 0;
    return json_pack("{s:s, s:o}", "request_id", slot->current, "running_ms",
                     number(running_ns / CLOCK_MS));
}

static json_t *transitions_json(const struct slot_snapshot *slot) {
    json_t *array = json_array();
    for (size_t i = 0; i < slot->transitions_count; i++) {
        const struct transition *move = &slot->transitions[i];
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:o, s:s}", "from", worker_state_name(move->from), "to",
                             worker_state_name(move->to), "at", time_text(move->at_ns), "why",
                             reason_name(move->why)));
    }
    return array;
}

static json_t *slot_json(const struct pool_snapshot *pool, const struct slot_snapshot *slot,
                         uint64_t now_ns) {
    char id[80]; /* a pool's name has at most 63 characters */
    snprintf(id, sizeof id, "%s/%u", pool->name, slot->index);
    return json_pack("{s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", id,
                     "state", worker_state_name(slot->state), "since", time_text(slot->since_ns),
                     "pid", (int)slot->pid, "requests", number(slot->requests), "errors",
                     number(slot->errors), "restarts", number(slot->restarts), "last_error",
                     slot->last_error[0] != '\0' ? foreign_text(slot->last_error) : json_null(),
                     "resident_bytes", number(slot->resident_bytes), "inflight",
                     number(slot->inflight), "cold_ms", milliseconds(slot->cold_ns), "current",
                     current_json(slot, now_ns), "transitions", transitions_json(slot));
}

json_t *state_slots(const struct pool_snapshot *pool, uint64_t now_ns) {
    json_t *array = json_array();
    for (size_t i = 0; i < pool->slots_count; i++)
        json_array_append_new(array, slot_json(pool, &pool->slots[i], now_ns));
    return json_pack("{s:o}", "slots", array);
}

json_t *state_pools(const struct snapshot *snapshot) {
    json_t *array = json_array();
    for (size_t i = 0; i < snapshot->pools_count; i++)
        json_array_append_new(array, state_pool(&snapshot->pools[i]));
    return json_pack("{s:o}", "pools", array);
}

static const char *pressure_name(double utilization) {
    if (utilization < 0.70) return "low";
    if (utilization < 0.85) return "medium";
    return utilization < 0.95 ? "high" : "critical";
}

static json_t *memory_json(const struct snapshot *snapshot, uint64_t limit_bytes) {
    uint64_t used = 0;
    for (size_t i = 0; i < snapshot->pools_count; i++) used += snapshot->pools[i].memory_resident;
    double utilization = limit_bytes > 0 ? (double)used / (double)limit_bytes : 0;
    return json_pack("{s:o, s:o, s:o, s:s, s:f}", "used_bytes", number(used), "limit_bytes",
                     number(limit_bytes), "available_bytes",
                     number(used < limit_bytes ? limit_bytes - used : 0), "pressure",
                     pressure_name(utilization), "utilization", utilization);
}

json_t *state_health(const struct snapshot *snapshot, uint64_t limit_bytes, uint64_t now_ns) {
    enum health worst = HEALTH_HEALTHY;
    json_t *pools = json_array();
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        worst = health_worst(worst, pool->health);
        json_array_append_new(pools, json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "name", pool->name,
                                               "health", health_name(pool->health), "wish",
                                               wish_name(pool->wish), "required", pool->required,
                                               "can_serve", pool->can_serve, "slots",
                                               states(pool->by_state)));
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "status", health_name(worst), "pools", pools, "memory",
                     memory_json(snapshot, limit_bytes), "timestamp", time_text(now_ns));
}

json_t *state_verdict(const struct verdict *verdict, const char *good, const char *bad) {
    json_t *reasons = json_array();
    for (size_t i = 0; i < verdict->reasons_count; i++)
        json_array_append_new(reasons, json_string(verdict->reasons[i]));
    return json_pack("{s:s, s:o}", "status", verdict->good ? good : bad, "reasons", reasons);
}
