#include "gateway/http/state.h"

#include "core/base/clock.h"
#include "gateway/http/json_values.h"
#include "gateway/tenant_list.h"

#include <stdio.h>

static json_t *states(const uint32_t by_state[WORKER_STATE_COUNT]) {
    json_t *object = json_object();
    for (int state = 0; state < WORKER_STATE_COUNT; state++)
        json_object_set_new(object, worker_state_name((enum worker_state)state),
                            json_number(by_state[state]));
    return object;
}

static json_t *percentiles(const struct percentiles *recent) {
    return json_pack("{s:o, s:o, s:o}", "p50", json_milliseconds(recent->p50_ns), "p95",
                     json_milliseconds(recent->p95_ns), "p99", json_milliseconds(recent->p99_ns));
}

static json_t *tenants_json(const struct pool_snapshot *pool) {
    struct tenant_list list;
    json_t *tenants = json_object();
    tenant_list_fill(&list, pool);
    for (size_t i = 0; i < list.count; i++) {
        const struct tenant_snapshot *tenant = &list.rows[i];
        json_object_set_new(tenants, tenant->name,
                            json_pack("{s:o, s:o, s:f, s:o}", "waiting",
                                      json_number(tenant->waiting), "running",
                                      json_number(tenant->out), "share", tenant->share, "weight",
                                      json_number(tenant->weight)));
    }
    return tenants;
}

static json_t *queue_json(const struct pool_snapshot *pool) {
    json_t *by_priority = json_object();
    for (int priority = 0; priority < PRIORITY_COUNT; priority++)
        json_object_set_new(by_priority, priority_name((enum priority)priority),
                            json_number(pool->by_priority[priority]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "waiting",
                     json_number(pool->waiting), "capacity", json_number(pool->capacity), "bytes",
                     json_number(pool->bytes), "by_priority", by_priority, "tenants",
                     tenants_json(pool), "tenants_live", json_number(pool->tenants_live),
                     "expected_wait_ms", json_milliseconds(pool->expected_wait_ns), "service_rate",
                     pool->service_rate);
}

static json_t *breaker_json(const struct pool_snapshot *pool, uint64_t now_ns) {
    uint64_t until_ns = pool->breaker_until_ns;
    json_t *open_for = pool->breaker != BREAKER_OPEN
                           ? json_null()
                           : json_milliseconds(until_ns > now_ns ? until_ns - now_ns : 0);
    return json_pack("{s:s, s:o, s:o, s:o}", "state", breaker_state_name(pool->breaker),
                     "open_for_ms", open_for, "opened", json_number(pool->breaker_opened),
                     "rejections", json_number(pool->breaker_rejections));
}

static json_t *totals_json(const struct pool_snapshot *pool) {
    const struct {
        const char *name;
        uint64_t value;
    } totals[] = {
        {"answered", pool->answered},
        {"retried", pool->retried},
        {"crashed", pool->crashed},
        {"restarts", pool->restarts},
        {"cancelled", pool->cancelled},
        {"expired", pool->expired},
        {"abandoned", pool->abandoned},
        {"unmeetable", pool->unmeetable},
        {"shed", pool->shed},
        {"deduplicated", pool->deduplicated},
        {"evictions", pool->evictions},
        {"recycled", pool->recycled},
        {"quarantined", pool->quarantined},
        {"staged_back", pool->staged_back},
        {"batches", pool->batches},
        {"batched", pool->batched},
        {"alarms", pool->alarms},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
        json_object_set_new(object, totals[i].name, json_number(totals[i].value));
    return object;
}

json_t *state_pool(const struct pool_snapshot *pool, uint64_t now_ns) {
    json_t *slots = json_pack("{s:o, s:o, s:o}", "min", json_number(pool->slots_min), "max",
                              json_number(pool->slots_max), "by_state", states(pool->by_state));
    json_t *memory = json_pack("{s:o, s:o}", "declared", json_number(pool->memory_declared),
                               "resident", json_number(pool->memory_resident));
    json_t *latency = json_pack("{s:o, s:o}", "queue", percentiles(&pool->queue_recent), "run",
                                percentiles(&pool->run_recent));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "name", pool->name,
                     "capability", pool->capability, "health", health_name(pool->health), "wish",
                     wish_name(pool->wish), "required", pool->required, "slots", slots, "queue",
                     queue_json(pool), "breaker", breaker_json(pool, now_ns), "memory", memory,
                     "totals", totals_json(pool), "latency_ms", latency);
}

/* What is not known yet is null: no pong came, nothing was measured or run. */
static json_t *ping_json(const struct slot_checks *checks) {
    bool known = checks->pong_ns != 0;
    return json_pack("{s:o, s:o, s:o, s:o}", "at", known ? json_time(checks->pong_ns) : json_null(),
                     "rtt_ms", known ? json_milliseconds(checks->ping_rtt_ns) : json_null(),
                     "busy_ms", known ? json_milliseconds(checks->busy_ns) : json_null(), "missed",
                     json_number(checks->pings_missed));
}

static json_t *deep_json(const struct slot_checks *checks) {
    bool known = checks->deep_ns != 0;
    return json_pack("{s:o, s:o}", "at", known ? json_time(checks->deep_ns) : json_null(), "sound",
                     known ? json_boolean(checks->deep_sound) : json_null());
}

static json_t *checks_json(const struct slot_snapshot *slot) {
    const struct slot_checks *checks = &slot->checks;
    bool weighed = slot->resident_bytes > 0, ran = checks->run_p99_ns > 0;
    return json_pack("{s:o, s:o, s:{s:o}, s:{s:o, s:o}}", "ping", ping_json(checks), "deep",
                     deep_json(checks), "memory", "sound",
                     weighed ? json_boolean(checks->memory_sound) : json_null(), "latency",
                     "p50_ms", ran ? json_milliseconds(checks->run_p50_ns) : json_null(), "p99_ms",
                     ran ? json_milliseconds(checks->run_p99_ns) : json_null());
}

static json_t *current_json(const struct slot_snapshot *slot, uint64_t now_ns) {
    if (slot->current[0] == '\0') return json_null();
    uint64_t running_ns = now_ns > slot->current_began_ns ? now_ns - slot->current_began_ns : 0;
    return json_pack("{s:s, s:o}", "request_id", slot->current, "running_ms",
                     json_number(running_ns / CLOCK_MS));
}

static json_t *transitions_json(const struct slot_snapshot *slot) {
    json_t *array = json_array();
    for (size_t i = 0; i < slot->transitions_count; i++) {
        const struct transition *move = &slot->transitions[i];
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:o, s:s}", "from", worker_state_name(move->from), "to",
                             worker_state_name(move->to), "at", json_time(move->at_ns), "why",
                             reason_name(move->why)));
    }
    return array;
}

static json_t *slot_json(const struct pool_snapshot *pool, const struct slot_snapshot *slot,
                         uint64_t now_ns) {
    char id[80]; /* a pool's name has at most 63 characters */
    snprintf(id, sizeof id, "%s/%u", pool->name, slot->index);
    return json_pack("{s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "id", id, "state", worker_state_name(slot->state), "since",
                     json_time(slot->since_ns), "pid", (int)slot->pid, "requests",
                     json_number(slot->requests), "errors", json_number(slot->errors), "restarts",
                     json_number(slot->restarts), "last_error",
                     slot->last_error[0] != '\0' ? json_foreign(slot->last_error) : json_null(),
                     "resident_bytes", json_number(slot->resident_bytes), "inflight",
                     json_number(slot->inflight), "staged", json_number(slot->staged), "cold_ms",
                     json_milliseconds(slot->cold_ns), "checks", checks_json(slot), "current",
                     current_json(slot, now_ns), "transitions", transitions_json(slot));
}

json_t *state_slots(const struct pool_snapshot *pool, uint64_t now_ns) {
    json_t *array = json_array();
    for (size_t i = 0; i < pool->slots_count; i++)
        json_array_append_new(array, slot_json(pool, &pool->slots[i], now_ns));
    return json_pack("{s:o}", "slots", array);
}

json_t *state_pools(const struct snapshot *snapshot, uint64_t now_ns) {
    json_t *array = json_array();
    for (size_t i = 0; i < snapshot->pools_count; i++)
        json_array_append_new(array, state_pool(&snapshot->pools[i], now_ns));
    return json_pack("{s:o}", "pools", array);
}

static json_t *memory_json(const struct snapshot *snapshot) {
    uint64_t used = snapshot->memory.used_bytes, limit = snapshot->memory.limit_bytes;
    return json_pack("{s:o, s:o, s:o, s:s, s:f}", "used_bytes", json_number(used), "limit_bytes",
                     json_number(limit), "available_bytes",
                     json_number(used < limit ? limit - used : 0), "pressure",
                     pressure_name(snapshot->memory.pressure), "utilization",
                     snapshot->memory.utilization);
}

json_t *state_health(const struct snapshot *snapshot, uint64_t now_ns) {
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
                     memory_json(snapshot), "timestamp", json_time(now_ns));
}

json_t *state_verdict(const struct verdict *verdict, const char *good, const char *bad) {
    json_t *reasons = json_array();
    for (size_t i = 0; i < verdict->reasons_count; i++)
        json_array_append_new(reasons, json_string(verdict->reasons[i]));
    return json_pack("{s:s, s:o}", "status", verdict->good ? good : bad, "reasons", reasons);
}

json_t *state_order(const char *name, const struct pool_order *order) {
    return json_pack("{s:s, s:s, s:{s:o, s:o}}", "name", name, "wish", wish_name(order->wish),
                     "slots", "min", json_number(order->slots_min), "max",
                     json_number(order->slots_max));
}
