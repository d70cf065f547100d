#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

struct lag {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS], count, sum_ns;
};

struct metrics {
    size_t pools_count;
    _Atomic int64_t connections[FRONTEND_COUNT];
    struct lag lag[FRONTEND_COUNT];
    /* One block per pool and one more for requests without a pool. */
    _Atomic uint64_t answered[][FRONTEND_COUNT][OUTCOME_COUNT];
};

static const char *const frontend_names[] = {
#define FRONTEND_TEXT(name, text) [FRONTEND_##name] = (text),
    FRONTENDS(FRONTEND_TEXT)};

enum outcome metrics_open(struct metrics **out, size_t pools_count) {
    *out = calloc(1, sizeof(struct metrics) + (pools_count + 1) * sizeof(*out)->answered[0]);
    if (*out == NULL) return MEMORY_EXHAUSTED;
    (*out)->pools_count = pools_count;
    return OK;
}

void metrics_close(struct metrics *metrics) {
    free(metrics);
}

void metrics_answered(struct metrics *metrics, uint32_t pool, enum frontend frontend,
                      enum outcome outcome) {
    size_t block = pool < metrics->pools_count ? pool : metrics->pools_count;
    atomic_fetch_add_explicit(&metrics->answered[block][frontend][outcome], 1,
                              memory_order_relaxed);
}

void metrics_connections(struct metrics *metrics, enum frontend frontend, int change) {
    atomic_fetch_add_explicit(&metrics->connections[frontend], change, memory_order_relaxed);
}

void metrics_loop_lag(struct metrics *metrics, enum frontend frontend, uint64_t lag_ns) {
    struct lag *lag = &metrics->lag[frontend];
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && lag_ns > histogram_bounds_ns[bucket]) bucket++;
    atomic_fetch_add_explicit(&lag->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lag->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lag->sum_ns, lag_ns, memory_order_relaxed);
}

static void family(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP poolgate_%s %s\n# TYPE poolgate_%s %s\n", name, help, name, type);
}

/* label="value": one pair that is in braces already open; pool names need no escapes. */
static void histogram(FILE *out, const char *name, const char *label, const char *value,
                      const struct histogram *histogram) {
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        sum += histogram->buckets[i];
        fprintf(out, "poolgate_%s_bucket{%s=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", name, label, value,
                (double)histogram_bounds_ns[i] / 1e9, sum);
    }
    sum += histogram->buckets[HISTOGRAM_BUCKETS - 1];
    fprintf(out, "poolgate_%s_bucket{%s=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, label, value,
            sum);
    fprintf(out, "poolgate_%s_sum{%s=\"%s\"} %.9f\n", name, label, value,
            (double)histogram->sum_ns / 1e9);
    fprintf(out, "poolgate_%s_count{%s=\"%s\"} %" PRIu64 "\n", name, label, value, sum);
}

static void write_requests(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    family(out, "requests_total", "counter", "Requests answered, by how they ended.");
    for (size_t pool = 0; pool <= metrics->pools_count; pool++) {
        const char *name = pool < snapshot->pools_count ? snapshot->pools[pool].name : "";
        for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++) {
            for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
                uint64_t count = atomic_load_explicit(&metrics->answered[pool][frontend][outcome],
                                                      memory_order_relaxed);
                if (count == 0) continue;
                fprintf(out,
                        "poolgate_requests_total{pool=\"%s\",frontend=\"%s\",code=\"%s\"} %" PRIu64
                        "\n",
                        name, frontend_names[frontend], outcome_code((enum outcome)outcome), count);
            }
        }
    }
}

static void write_queues(const struct snapshot *snapshot, FILE *out) {
    family(out, "queue_depth", "gauge", "Requests that wait.");
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
    for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
        family(out, times[t].name, "histogram", times[t].help);
        for (size_t i = 0; i < snapshot->pools_count; i++) {
            const struct pool_snapshot *pool = &snapshot->pools[i];
            const char *field = (const char *)pool + times[t].offset;
            histogram(out, times[t].name, "pool", pool->name,
                      (const struct histogram *)(const void *)field);
        }
    }
}

static void write_slots(const struct snapshot *snapshot, FILE *out) {
    family(out, "slots", "gauge", "Slots by state.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        for (int state = 0; state < WORKER_STATE_COUNT; state++)
            fprintf(out, "poolgate_slots{pool=\"%s\",state=\"%s\"} %" PRIu32 "\n",
                    snapshot->pools[i].name, worker_state_name((enum worker_state)state),
                    snapshot->pools[i].by_state[state]);
    family(out, "slot_transitions_total", "counter", "Moves of slots between states.");
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
    family(out, "slot_restarts_total", "counter",
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
    family(out, "memory_bytes", "gauge", "Memory of a pool's slots: as declared, as measured.");
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        fprintf(out,
                "poolgate_memory_bytes{pool=\"%s\",kind=\"declared\"} %" PRIu64 "\n"
                "poolgate_memory_bytes{pool=\"%s\",kind=\"resident\"} %" PRIu64 "\n",
                pool->name, pool->memory_declared, pool->name, pool->memory_resident);
    }
}

static void write_loops(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    family(out, "loop_lag_seconds", "histogram", "How long one turn of a loop took.");
    histogram(out, "loop_lag_seconds", "loop", "pool", &snapshot->loop_lag);
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++) {
        struct lag *lag = &metrics->lag[frontend];
        struct histogram copy = {.count = atomic_load(&lag->count),
                                 .sum_ns = atomic_load(&lag->sum_ns)};
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
            copy.buckets[i] = atomic_load(&lag->buckets[i]);
        if (copy.count > 0)
            histogram(out, "loop_lag_seconds", "loop", frontend_names[frontend], &copy);
    }
}

void metrics_write(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    write_requests(metrics, snapshot, out);
    write_queues(snapshot, out);
    write_times(snapshot, out);
    write_slots(snapshot, out);
    write_memory(snapshot, out);
    write_loops(metrics, snapshot, out);
    family(out, "connections", "gauge", "Clients' connections that are open.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        fprintf(out, "poolgate_connections{frontend=\"%s\"} %" PRId64 "\n",
                frontend_names[frontend], atomic_load(&metrics->connections[frontend]));
    family(out, "build_info", "gauge", "The version that runs; always 1.");
    fprintf(out, "poolgate_build_info{version=\"%s\"} 1\n", POOLGATE_VERSION);
}
