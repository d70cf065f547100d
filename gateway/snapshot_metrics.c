#include "gateway/snapshot_metrics.h"

#include "gateway/exposition.h"
#include "gateway/tenant_list.h"

#include <inttypes.h>

/* --- one number of each pool ------------------------------------------------------------------- */

enum number_kind { NUMBER_COUNT, NUMBER_LEVEL, NUMBER_TIME, NUMBER_REAL, NUMBER_TRUTH };

#define POOL_FIELD(field) offsetof(struct pool_snapshot, field)
static const struct pool_number {
    const char *name, *type, *help;
    size_t offset;
    enum number_kind kind; /* uint64_t, uint32_t, nanoseconds, double, bool */
} pool_numbers[] = {
    {"can_serve", "gauge", "1: a slot can serve, or would be started for a request.",
     POOL_FIELD(can_serve), NUMBER_TRUTH},
    {"queue_capacity", "gauge", "Requests that may wait.", POOL_FIELD(capacity), NUMBER_LEVEL},
    {"queue_bytes", "gauge", "Bytes of the bodies that the pool holds.", POOL_FIELD(bytes),
     NUMBER_COUNT},
    {"expected_wait_seconds", "gauge", "How long the last in the queue will wait.",
     POOL_FIELD(expected_wait_ns), NUMBER_TIME},
    {"service_rate", "gauge", "Requests answered by slots in a second, lately.",
     POOL_FIELD(service_rate), NUMBER_REAL},
    {"tenants", "gauge", "Tenants with live requests.", POOL_FIELD(tenants_live), NUMBER_LEVEL},
    {"unmeetable_total", "counter", "Requests refused because their deadline could not be met.",
     POOL_FIELD(unmeetable), NUMBER_COUNT},
    {"shed_total", "counter", "Requests dropped by queue.overload: codel.", POOL_FIELD(shed),
     NUMBER_COUNT},
    {"deduplicated_total", "counter", "Requests answered by the run of an equal one.",
     POOL_FIELD(deduplicated), NUMBER_COUNT},
    {"retried_total", "counter", "Runs that were begun again after a crash.", POOL_FIELD(retried),
     NUMBER_COUNT},
    {"quarantined", "gauge", "Requests that are put aside because they crashed workers.",
     POOL_FIELD(quarantined), NUMBER_LEVEL},
    {"staged_back_total", "counter", "Requests handed ahead to a slot and taken back.",
     POOL_FIELD(staged_back), NUMBER_COUNT},
    {"evictions_total", "counter", "Workers that made room for others.", POOL_FIELD(evictions),
     NUMBER_COUNT},
    {"recycled_total", "counter", "Workers replaced because of their requests or their memory.",
     POOL_FIELD(recycled), NUMBER_COUNT},
    {"abandoned_threads", "gauge", "Threads that hung and were left behind.", POOL_FIELD(abandoned),
     NUMBER_LEVEL},
    {"breaker_opened_total", "counter", "How often the circuit breaker opened.",
     POOL_FIELD(breaker_opened), NUMBER_COUNT},
    {"breaker_rejections_total", "counter", "Requests refused because the breaker was not closed.",
     POOL_FIELD(breaker_rejections), NUMBER_COUNT},
    {"alarms_total", "counter", "Work that waited beside a free slot for over a second: a bug.",
     POOL_FIELD(alarms), NUMBER_COUNT},
};

static void write_pool_number(const struct pool_number *number, const struct pool_snapshot *pool,
                              FILE *out) {
    const void *field = (const char *)pool + number->offset;
    fprintf(out, "poolgate_%s{pool=\"%s\"} ", number->name, pool->name);
    switch (number->kind) {
    case NUMBER_COUNT: fprintf(out, "%" PRIu64 "\n", *(const uint64_t *)field); break;
    case NUMBER_LEVEL: fprintf(out, "%" PRIu32 "\n", *(const uint32_t *)field); break;
    case NUMBER_TIME: fprintf(out, "%.9f\n", (double)*(const uint64_t *)field / 1e9); break;
    case NUMBER_REAL: fprintf(out, "%.6f\n", *(const double *)field); break;
    case NUMBER_TRUTH: fprintf(out, "%d\n", *(const bool *)field); break;
    }
}

static void write_pool_numbers(const struct snapshot *snapshot, FILE *out) {
    for (size_t n = 0; n < sizeof pool_numbers / sizeof pool_numbers[0]; n++) {
        exposition_family(out, pool_numbers[n].name, pool_numbers[n].type, pool_numbers[n].help);
        for (size_t i = 0; i < snapshot->pools_count; i++)
            write_pool_number(&pool_numbers[n], &snapshot->pools[i], out);
    }
}

/* --- the queue --------------------------------------------------------------------------------- */

static void write_waiting(const struct tenant_snapshot *tenant, FILE *out) {
    fprintf(out, "%" PRIu32 "\n", tenant->waiting);
}

static void write_share(const struct tenant_snapshot *tenant, FILE *out) {
    fprintf(out, "%.6f\n", tenant->share);
}

/* At most SNAPSHOT_TENANTS of each pool, the busiest. */
static void write_tenants(const struct snapshot *snapshot, const char *name, const char *help,
                          void (*write_value)(const struct tenant_snapshot *, FILE *), FILE *out) {
    exposition_family(out, name, "gauge", help);
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        struct tenant_list list;
        tenant_list_fill(&list, &snapshot->pools[i]);
        for (size_t t = 0; t < list.count; t++) {
            fprintf(out, "poolgate_%s{pool=\"%s\",tenant=\"", name, snapshot->pools[i].name);
            exposition_label(out, list.rows[t].name);
            fputs("\"} ", out);
            write_value(&list.rows[t], out);
        }
    }
}

static void write_batches(const struct snapshot *snapshot, FILE *out) {
    exposition_family(out, "batch_size", "histogram", "Requests that a slot began together.");
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        uint64_t batches = 0;
        for (size_t size = 0; size < SNAPSHOT_BATCH_SIZES; size++) {
            batches += pool->batch_sizes[size];
            fprintf(out, "poolgate_batch_size_bucket{pool=\"%s\",le=\"%u\"} %" PRIu64 "\n",
                    pool->name, 1U << size, batches);
        }
        fprintf(out,
                "poolgate_batch_size_bucket{pool=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                "poolgate_batch_size_sum{pool=\"%s\"} %" PRIu64 "\n"
                "poolgate_batch_size_count{pool=\"%s\"} %" PRIu64 "\n",
                pool->name, batches, pool->name, pool->batched, pool->name, batches);
    }
}

static void write_queues(const struct snapshot *snapshot, FILE *out) {
    exposition_family(out, "queue_depth", "gauge", "Requests that wait.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        for (int priority = 0; priority < PRIORITY_COUNT; priority++)
            fprintf(out, "poolgate_queue_depth{pool=\"%s\",priority=\"%s\"} %" PRIu32 "\n",
                    snapshot->pools[i].name, priority_name((enum priority)priority),
                    snapshot->pools[i].by_priority[priority]);
}

static void write_times(const struct snapshot *snapshot, FILE *out) {
    static const struct {
        const char *name, *help;
        size_t offset;
    } times[] = {
        {"queue_seconds", "Time from arrival to the start of the last attempt.",
         offsetof(struct pool_snapshot, queue_time)},
        {"cold_seconds", "The part of the wait that was spent on a worker's loading.",
         offsetof(struct pool_snapshot, cold_time)},
        {"run_seconds", "Time that the worker took.", offsetof(struct pool_snapshot, run_time)},
        {"cancel_seconds", "Time from a cancel to the free slot.",
         offsetof(struct pool_snapshot, cancel_time)},
    };
    char labels[EXPOSITION_LABELS_BYTES];
    for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
        exposition_family(out, times[t].name, "histogram", times[t].help);
        for (size_t i = 0; i < snapshot->pools_count; i++) {
            const struct pool_snapshot *pool = &snapshot->pools[i];
            const char *field = (const char *)pool + times[t].offset;
            snprintf(labels, sizeof labels, "pool=\"%s\"", pool->name);
            exposition_histogram(out, times[t].name, labels,
                                 (const struct histogram *)(const void *)field);
        }
    }
}

/* --- slots and memory -------------------------------------------------------------------------- */

static uint64_t staged(const struct pool_snapshot *pool) {
    uint64_t sum = 0;
    for (size_t i = 0; i < pool->slots_count; i++) sum += pool->slots[i].staged;
    return sum;
}

/* What alerts compare with: higher is worse. */
static int breaker_level(enum breaker_state state) {
    static const int levels[] = {[BREAKER_CLOSED] = 0, [BREAKER_HALF_OPEN] = 1, [BREAKER_OPEN] = 2};
    return levels[state];
}

static void write_slots(const struct snapshot *snapshot, FILE *out) {
    exposition_family(out, "breaker_state", "gauge",
                      "The circuit breaker: 0 closed, 1 half-open, 2 open.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        fprintf(out, "poolgate_breaker_state{pool=\"%s\"} %d\n", snapshot->pools[i].name,
                breaker_level(snapshot->pools[i].breaker));
    exposition_family(out, "staged", "gauge", "Requests handed ahead to slots that are busy.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        fprintf(out, "poolgate_staged{pool=\"%s\"} %" PRIu64 "\n", snapshot->pools[i].name,
                staged(&snapshot->pools[i]));
    exposition_family(out, "slots", "gauge", "Slots by state.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        for (int state = 0; state < WORKER_STATE_COUNT; state++)
            fprintf(out, "poolgate_slots{pool=\"%s\",state=\"%s\"} %" PRIu32 "\n",
                    snapshot->pools[i].name, worker_state_name((enum worker_state)state),
                    snapshot->pools[i].by_state[state]);
    exposition_family(out, "slot_transitions_total", "counter", "Moves of slots between states.");
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        for (int from = 0; from < WORKER_STATE_COUNT; from++)
            for (int to = 0; to < WORKER_STATE_COUNT; to++)
                if (pool->transitions_total[from][to] != 0)
                    fprintf(out,
                            "poolgate_slot_transitions_total{pool=\"%s\",from=\"%s\",to=\"%s\"} "
                            "%" PRIu64 "\n",
                            pool->name, worker_state_name((enum worker_state)from),
                            worker_state_name((enum worker_state)to),
                            pool->transitions_total[from][to]);
    }
    exposition_family(out, "slot_restarts_total", "counter",
                      "Workers started again, by why the last one ended.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        for (int reason = 0; reason < REASON_COUNT; reason++)
            if (snapshot->pools[i].restarts_by_reason[reason] != 0)
                fprintf(out,
                        "poolgate_slot_restarts_total{pool=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                        snapshot->pools[i].name, reason_name((enum reason)reason),
                        snapshot->pools[i].restarts_by_reason[reason]);
}

static void write_memory(const struct snapshot *snapshot, FILE *out) {
    exposition_family(out, "memory_bytes", "gauge",
                      "Memory of a pool's slots: as declared, as measured.");
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        fprintf(out,
                "poolgate_memory_bytes{pool=\"%s\",kind=\"declared\"} %" PRIu64 "\n"
                "poolgate_memory_bytes{pool=\"%s\",kind=\"resident\"} %" PRIu64 "\n",
                pool->name, pool->memory_declared, pool->name, pool->memory_resident);
    }
}

/* What is unknown is left out: a limit that is none, a kernel that does not say. */
static void write_governor(const struct snapshot *snapshot, FILE *out) {
    if (snapshot->memory.limit_bytes > 0)
        exposition_number(out, "memory_limit_bytes", "gauge",
                          "What gateway and workers may use together.",
                          snapshot->memory.limit_bytes);
    exposition_number(out, "memory_used_bytes", "gauge", "What is taken of the limit.",
                      snapshot->memory.used_bytes);
    exposition_number(out, "memory_charged_bytes", "gauge",
                      "Of each slot the larger of what was declared and what was measured.",
                      snapshot->memory.charged_bytes);
    exposition_number(out, "memory_gateway_bytes", "gauge", "What the gateway itself holds.",
                      snapshot->memory.gateway_bytes);
    exposition_number(out, "memory_pressure", "gauge", "0 low, 1 normal, 2 high, 3 critical.",
                      (uint64_t)snapshot->memory.pressure);
    if (snapshot->memory.stall_percent < 0) return;
    exposition_family(out, "memory_stall_ratio", "gauge",
                      "Share of the time that something waited for memory, as the kernel says.");
    fprintf(out, "poolgate_memory_stall_ratio %.6f\n", snapshot->memory.stall_percent / 100);
}

void snapshot_metrics_write(const struct snapshot *snapshot, FILE *out) {
    write_queues(snapshot, out);
    write_tenants(snapshot, "tenant_waiting", "Requests that wait, of the busiest tenants.",
                  write_waiting, out);
    write_tenants(snapshot, "tenant_share", "Share of the pool's run time lately, from 0 to 1.",
                  write_share, out);
    write_times(snapshot, out);
    write_batches(snapshot, out);
    write_pool_numbers(snapshot, out);
    write_slots(snapshot, out);
    write_memory(snapshot, out);
    write_governor(snapshot, out);
}
