#include "gateway/metrics.h"

#include "core/base/log.h"
#include "gateway/edge/reason.h"
#include "gateway/tenant_list.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A histogram that many threads add to. */
struct tally {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS], sum_ns;
};

/* What was answered under one pool's name; it stays when the pool goes. */
struct row {
    struct row *next;
    _Atomic uint64_t answered[FRONTEND_COUNT][OUTCOME_COUNT];
    _Atomic(struct tally *) rejected[OUTCOME_COUNT]; /* NULL before the first */
    char name[];
};

#define ROW_BUCKETS  64
#define LABELS_BYTES 160 /* two of them: a pool's name has at most 63 characters */

struct metrics {
    _Atomic int64_t connections[FRONTEND_COUNT];
    _Atomic int64_t tls_expiry[FRONTEND_COUNT]; /* 0: no TLS */
    _Atomic uint64_t tls_failures[FRONTEND_COUNT];
    _Atomic uint64_t edge_closed[FRONTEND_COUNT][EDGE_REASON_COUNT];
    _Atomic uint64_t spans[SPANS_FATES];
    struct tally lag[FRONTEND_COUNT];
    _Atomic(struct row *) rows[ROW_BUCKETS]; /* by name; they only ever grow at their head */
    struct row *nameless;
    _Atomic uint64_t refused[FRONTEND_COUNT][OUTCOME_COUNT]; /* before they were looked at */
};

static const char *const frontend_names[] = {
#define FRONTEND_TEXT(name, text) [FRONTEND_##name] = (text),
    FRONTENDS(FRONTEND_TEXT)};

const char *frontend_name(enum frontend frontend) {
    return frontend_names[frontend];
}

static struct row *row_new(const char *name) {
    size_t bytes = strlen(name) + 1;
    struct row *row = calloc(1, sizeof *row + bytes);
    if (row != NULL) memcpy(row->name, name, bytes);
    return row;
}

static void row_free(struct row *row) {
    for (size_t i = 0; i < OUTCOME_COUNT; i++) free(atomic_load(&row->rejected[i]));
    free(row);
}

enum outcome metrics_open(struct metrics **out) {
    *out = NULL;
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL) return MEMORY_EXHAUSTED;
    metrics->nameless = row_new("");
    if (metrics->nameless == NULL) {
        free(metrics);
        return MEMORY_EXHAUSTED;
    }
    *out = metrics;
    return OK;
}

void metrics_close(struct metrics *metrics) {
    if (metrics == NULL) return;
    for (size_t i = 0; i < ROW_BUCKETS; i++) {
        struct row *row = atomic_load(&metrics->rows[i]);
        while (row != NULL) {
            struct row *next = row->next;
            row_free(row);
            row = next;
        }
    }
    row_free(metrics->nameless);
    free(metrics);
}

static _Atomic(struct row *) *bucket_of(struct metrics *metrics, const char *name) {
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a (Fowler, Noll, Vo) */
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
    return &metrics->rows[hash % ROW_BUCKETS];
}

static struct row *find_row(struct row *row, const char *name) {
    while (row != NULL && strcmp(row->name, name) != 0) row = row->next;
    return row;
}

/* Made with the first answer. Without memory for it the answer counts for no pool. */
static struct row *row_of(struct metrics *metrics, const char *name) {
    _Atomic(struct row *) *bucket = bucket_of(metrics, name);
    struct row *head = atomic_load(bucket), *row = find_row(head, name);
    if (row != NULL) return row;
    struct row *made = row_new(name);
    if (made == NULL) return metrics->nameless;
    do {
        row = find_row(head, name);
        made->next = head;
    } while (row == NULL && !atomic_compare_exchange_weak(bucket, &head, made));
    if (row == NULL) return made;
    free(made);
    return row;
}

static struct row *row_named(struct metrics *metrics, const char *pool) {
    return *pool != '\0' ? row_of(metrics, pool) : metrics->nameless;
}

void metrics_answered(struct metrics *metrics, const char *pool, enum frontend frontend,
                      enum outcome outcome) {
    struct row *row = row_named(metrics, pool);
    atomic_fetch_add_explicit(&row->answered[frontend][outcome], 1, memory_order_relaxed);
}

void metrics_refused(struct metrics *metrics, enum frontend frontend, enum outcome outcome) {
    atomic_fetch_add_explicit(&metrics->refused[frontend][outcome], 1, memory_order_relaxed);
}

static void tally_add(struct tally *tally, uint64_t value_ns) {
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && value_ns > histogram_bounds_ns[bucket]) bucket++;
    atomic_fetch_add_explicit(&tally->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally->sum_ns, value_ns, memory_order_relaxed);
}

static struct histogram tally_read(struct tally *tally) {
    struct histogram copy = {.sum_ns = atomic_load(&tally->sum_ns)};
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        copy.count += copy.buckets[i] = atomic_load(&tally->buckets[i]);
    return copy;
}

/* Made with the first refusal. Without memory for it the time is not told. */
static struct tally *tally_of(struct row *row, enum outcome outcome) {
    struct tally *tally = atomic_load(&row->rejected[outcome]);
    if (tally != NULL) return tally;
    struct tally *made = calloc(1, sizeof *made);
    if (made == NULL || atomic_compare_exchange_strong(&row->rejected[outcome], &tally, made))
        return made;
    free(made);
    return tally;
}

void metrics_rejected(struct metrics *metrics, const char *pool, enum outcome outcome,
                      uint64_t took_ns) {
    struct tally *tally = tally_of(row_named(metrics, pool), outcome);
    if (tally != NULL) tally_add(tally, took_ns);
}

void metrics_spans(struct metrics *metrics, enum spans_fate fate, uint64_t count) {
    atomic_fetch_add_explicit(&metrics->spans[fate], count, memory_order_relaxed);
}

void metrics_connections(struct metrics *metrics, enum frontend frontend, int change) {
    atomic_fetch_add_explicit(&metrics->connections[frontend], change, memory_order_relaxed);
}

void metrics_tls_expiry(struct metrics *metrics, enum frontend frontend, int64_t not_after) {
    atomic_store(&metrics->tls_expiry[frontend], not_after);
}

void metrics_tls_reload_failed(struct metrics *metrics, enum frontend frontend) {
    atomic_fetch_add(&metrics->tls_failures[frontend], 1);
}

void metrics_edge_closed(struct metrics *metrics, enum frontend frontend, unsigned reason) {
    assert(reason < EDGE_REASON_COUNT);
    atomic_fetch_add_explicit(&metrics->edge_closed[frontend][reason], 1, memory_order_relaxed);
}

void metrics_loop_lag(struct metrics *metrics, enum frontend frontend, uint64_t lag_ns) {
    tally_add(&metrics->lag[frontend], lag_ns);
}

static void family(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP poolgate_%s %s\n# TYPE poolgate_%s %s\n", name, help, name, type);
}

/* labels: what stands between the braces; pool names need no escapes. */
static void histogram(FILE *out, const char *name, const char *labels,
                      const struct histogram *histogram) {
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        sum += histogram->buckets[i];
        fprintf(out, "poolgate_%s_bucket{%s,le=\"%.9g\"} %" PRIu64 "\n", name, labels,
                (double)histogram_bounds_ns[i] / 1e9, sum);
    }
    sum += histogram->buckets[HISTOGRAM_BUCKETS - 1];
    fprintf(out, "poolgate_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, sum);
    fprintf(out, "poolgate_%s_sum{%s} %.9f\n", name, labels, (double)histogram->sum_ns / 1e9);
    fprintf(out, "poolgate_%s_count{%s} %" PRIu64 "\n", name, labels, sum);
}

static void write_row(struct row *row, FILE *out) {
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++) {
        for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
            uint64_t count =
                atomic_load_explicit(&row->answered[frontend][outcome], memory_order_relaxed);
            if (count == 0) continue;
            fprintf(
                out,
                "poolgate_requests_total{pool=\"%s\",frontend=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                row->name, frontend_names[frontend], outcome_code((enum outcome)outcome), count);
        }
    }
}

/* Of every path and method; those of invocations are among requests_total as well. */
static void write_refusals(struct metrics *metrics, FILE *out) {
    static const enum outcome outcomes[] = {UNAUTHENTICATED, PERMISSION_DENIED, RATE_LIMITED};
    family(out, "access_refused_total", "counter", "Requests refused for who sent them.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
            fprintf(out, "poolgate_access_refused_total{frontend=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                    frontend_names[frontend], outcome_code(outcomes[i]),
                    atomic_load(&metrics->refused[frontend][outcomes[i]]));
}

static void write_rejections(struct row *row, FILE *out) {
    char labels[LABELS_BYTES];
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        struct tally *tally = atomic_load(&row->rejected[outcome]);
        if (tally == NULL) continue;
        struct histogram copy = tally_read(tally);
        snprintf(labels, sizeof labels, "pool=\"%s\",code=\"%s\"", row->name,
                 outcome_code((enum outcome)outcome));
        histogram(out, "rejected_seconds", labels, &copy);
    }
}

static void write_rows(struct metrics *metrics, void (*write_one)(struct row *, FILE *),
                       FILE *out) {
    for (size_t i = 0; i < ROW_BUCKETS; i++)
        for (struct row *row = atomic_load(&metrics->rows[i]); row != NULL; row = row->next)
            write_one(row, out);
    write_one(metrics->nameless, out);
}

static void write_requests(struct metrics *metrics, FILE *out) {
    family(out, "requests_total", "counter", "Requests answered, by how they ended.");
    write_rows(metrics, write_row, out);
    family(out, "rejected_seconds", "histogram",
           "Time from arrival to the answer of requests that no worker had.");
    write_rows(metrics, write_rejections, out);
    write_refusals(metrics, out);
}

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
        family(out, pool_numbers[n].name, pool_numbers[n].type, pool_numbers[n].help);
        for (size_t i = 0; i < snapshot->pools_count; i++)
            write_pool_number(&pool_numbers[n], &snapshot->pools[i], out);
    }
}

/* --- the queue --------------------------------------------------------------------------------- */

/* A label's value, which ends at a quote: a name that a client chose. */
static void write_label(const char *value, FILE *out) {
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') putc('\\', out);
        putc(*value, out);
    }
}

static void write_waiting(const struct tenant_snapshot *tenant, FILE *out) {
    fprintf(out, "%" PRIu32 "\n", tenant->waiting);
}

static void write_share(const struct tenant_snapshot *tenant, FILE *out) {
    fprintf(out, "%.6f\n", tenant->share);
}

/* At most SNAPSHOT_TENANTS of each pool, the busiest. */
static void write_tenants(const struct snapshot *snapshot, const char *name, const char *help,
                          void (*write_value)(const struct tenant_snapshot *, FILE *), FILE *out) {
    family(out, name, "gauge", help);
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        struct tenant_list list;
        tenant_list_fill(&list, &snapshot->pools[i]);
        for (size_t t = 0; t < list.count; t++) {
            fprintf(out, "poolgate_%s{pool=\"%s\",tenant=\"", name, snapshot->pools[i].name);
            write_label(list.rows[t].name, out);
            fputs("\"} ", out);
            write_value(&list.rows[t], out);
        }
    }
}

static void write_batches(const struct snapshot *snapshot, FILE *out) {
    family(out, "batch_size", "histogram", "Requests that a slot began together.");
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
    char labels[LABELS_BYTES];
    for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
        family(out, times[t].name, "histogram", times[t].help);
        for (size_t i = 0; i < snapshot->pools_count; i++) {
            const struct pool_snapshot *pool = &snapshot->pools[i];
            const char *field = (const char *)pool + times[t].offset;
            snprintf(labels, sizeof labels, "pool=\"%s\"", pool->name);
            histogram(out, times[t].name, labels, (const struct histogram *)(const void *)field);
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
    family(out, "breaker_state", "gauge", "The circuit breaker: 0 closed, 1 half-open, 2 open.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        fprintf(out, "poolgate_breaker_state{pool=\"%s\"} %d\n", snapshot->pools[i].name,
                breaker_level(snapshot->pools[i].breaker));
    family(out, "staged", "gauge", "Requests handed ahead to slots that are busy.");
    for (size_t i = 0; i < snapshot->pools_count; i++)
        fprintf(out, "poolgate_staged{pool=\"%s\"} %" PRIu64 "\n", snapshot->pools[i].name,
                staged(&snapshot->pools[i]));
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

static void plain(FILE *out, const char *name, const char *type, const char *help, uint64_t value) {
    family(out, name, type, help);
    fprintf(out, "poolgate_%s %" PRIu64 "\n", name, value);
}

/* What is unknown is left out: a limit that is none, a kernel that does not say. */
static void write_governor(const struct snapshot *snapshot, FILE *out) {
    if (snapshot->memory.limit_bytes > 0)
        plain(out, "memory_limit_bytes", "gauge", "What gateway and workers may use together.",
              snapshot->memory.limit_bytes);
    plain(out, "memory_used_bytes", "gauge", "What is taken of the limit.",
          snapshot->memory.used_bytes);
    plain(out, "memory_charged_bytes", "gauge",
          "Of each slot the larger of what was declared and what was measured.",
          snapshot->memory.charged_bytes);
    plain(out, "memory_gateway_bytes", "gauge", "What the gateway itself holds.",
          snapshot->memory.gateway_bytes);
    plain(out, "memory_pressure", "gauge", "0 low, 1 normal, 2 high, 3 critical.",
          (uint64_t)snapshot->memory.pressure);
    if (snapshot->memory.stall_percent < 0) return;
    family(out, "memory_stall_ratio", "gauge",
           "Share of the time that something waited for memory, as the kernel says.");
    fprintf(out, "poolgate_memory_stall_ratio %.6f\n", snapshot->memory.stall_percent / 100);
}

/* --- the gateway itself ------------------------------------------------------------------------ */

static void write_loops(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    family(out, "loop_lag_seconds", "histogram", "How long one turn of a loop took.");
    histogram(out, "loop_lag_seconds", "loop=\"pool\"", &snapshot->loop_lag);
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++) {
        char labels[LABELS_BYTES];
        struct histogram copy = tally_read(&metrics->lag[frontend]);
        snprintf(labels, sizeof labels, "loop=\"%s\"", frontend_names[frontend]);
        if (copy.count > 0) histogram(out, "loop_lag_seconds", labels, &copy);
    }
    family(out, "loop_lag_max_seconds", "gauge", "The longest turn since the gateway started.");
    fprintf(out, "poolgate_loop_lag_max_seconds{loop=\"pool\"} %.9f\n",
            (double)snapshot->loop_lag_max_ns / 1e9);
}

/* Of front ends with TLS alone. */
static void write_certificates(struct metrics *metrics, FILE *out) {
    bool shown = false;
    for (int i = 0; i < FRONTEND_COUNT; i++) shown |= atomic_load(&metrics->tls_expiry[i]) != 0;
    if (!shown) return;
    family(out, "tls_certificate_expiry_seconds", "gauge",
           "Until when the front end's certificate is valid, as seconds since 1970.");
    for (int i = 0; i < FRONTEND_COUNT; i++)
        if (atomic_load(&metrics->tls_expiry[i]) != 0)
            fprintf(out, "poolgate_tls_certificate_expiry_seconds{frontend=\"%s\"} %" PRId64 "\n",
                    frontend_names[i], atomic_load(&metrics->tls_expiry[i]));
    family(out, "tls_reload_failures_total", "counter",
           "Certificates that could not be read again: the old one is shown.");
    for (int i = 0; i < FRONTEND_COUNT; i++)
        if (atomic_load(&metrics->tls_expiry[i]) != 0)
            fprintf(out, "poolgate_tls_reload_failures_total{frontend=\"%s\"} %" PRIu64 "\n",
                    frontend_names[i], atomic_load(&metrics->tls_failures[i]));
}

static void write_edge(struct metrics *metrics, FILE *out) {
    family(out, "edge_closed_total", "counter", "Connections that the edge ended, by why.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        for (int reason = 0; reason < EDGE_REASON_COUNT; reason++)
            fprintf(out, "poolgate_edge_closed_total{frontend=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                    frontend_names[frontend], edge_reason_name((enum edge_reason)reason),
                    atomic_load(&metrics->edge_closed[frontend][reason]));
}

void metrics_write(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    write_requests(metrics, out);
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
    write_loops(metrics, snapshot, out);
    plain(out, "events_lost_total", "counter", "Events that slow listeners missed.",
          snapshot->events_lost);
    plain(out, "log_dropped_total", "counter", "Lines of the log that there was no room for.",
          log_dropped());
    plain(out, "trace_sent_total", "counter", "Spans that the collector took.",
          atomic_load(&metrics->spans[SPANS_SENT]));
    plain(out, "trace_dropped_total", "counter", "Spans that were lost on the way to it.",
          atomic_load(&metrics->spans[SPANS_DROPPED]));
    family(out, "connections", "gauge", "Clients' connections that are open.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        fprintf(out, "poolgate_connections{frontend=\"%s\"} %" PRId64 "\n",
                frontend_names[frontend], atomic_load(&metrics->connections[frontend]));
    write_certificates(metrics, out);
    write_edge(metrics, out);
    family(out, "build_info", "gauge", "The version that runs; always 1.");
    fprintf(out, "poolgate_build_info{version=\"%s\"} 1\n", POOLGATE_VERSION);
}
