#include "gateway/metrics.h"

#include "core/base/log.h"
#include "gateway/edge/reason.h"
#include "gateway/exposition.h"
#include "gateway/snapshot_metrics.h"

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

#define ROW_BUCKETS 64

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
    exposition_family(out, "access_refused_total", "counter",
                      "Requests refused for who sent them.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
            fprintf(out, "poolgate_access_refused_total{frontend=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                    frontend_names[frontend], outcome_code(outcomes[i]),
                    atomic_load(&metrics->refused[frontend][outcomes[i]]));
}

static void write_rejections(struct row *row, FILE *out) {
    char labels[EXPOSITION_LABELS_BYTES];
    for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        struct tally *tally = atomic_load(&row->rejected[outcome]);
        if (tally == NULL) continue;
        struct histogram copy = tally_read(tally);
        snprintf(labels, sizeof labels, "pool=\"%s\",code=\"%s\"", row->name,
                 outcome_code((enum outcome)outcome));
        exposition_histogram(out, "rejected_seconds", labels, &copy);
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
    exposition_family(out, "requests_total", "counter", "Requests answered, by how they ended.");
    write_rows(metrics, write_row, out);
    exposition_family(out, "rejected_seconds", "histogram",
                      "Time from arrival to the answer of requests that no worker had.");
    write_rows(metrics, write_rejections, out);
    write_refusals(metrics, out);
}

/* --- the gateway itself ------------------------------------------------------------------------ */

static void write_loops(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    exposition_family(out, "loop_lag_seconds", "histogram", "How long one turn of a loop took.");
    exposition_histogram(out, "loop_lag_seconds", "loop=\"pool\"", &snapshot->loop_lag);
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++) {
        char labels[EXPOSITION_LABELS_BYTES];
        struct histogram copy = tally_read(&metrics->lag[frontend]);
        snprintf(labels, sizeof labels, "loop=\"%s\"", frontend_names[frontend]);
        if (copy.count > 0) exposition_histogram(out, "loop_lag_seconds", labels, &copy);
    }
    exposition_family(out, "loop_lag_max_seconds", "gauge",
                      "The longest turn since the gateway started.");
    fprintf(out, "poolgate_loop_lag_max_seconds{loop=\"pool\"} %.9f\n",
            (double)snapshot->loop_lag_max_ns / 1e9);
}

/* Of front ends with TLS alone. */
static void write_certificates(struct metrics *metrics, FILE *out) {
    bool shown = false;
    for (int i = 0; i < FRONTEND_COUNT; i++) shown |= atomic_load(&metrics->tls_expiry[i]) != 0;
    if (!shown) return;
    exposition_family(out, "tls_certificate_expiry_seconds", "gauge",
                      "Until when the front end's certificate is valid, as seconds since 1970.");
    for (int i = 0; i < FRONTEND_COUNT; i++)
        if (atomic_load(&metrics->tls_expiry[i]) != 0)
            fprintf(out, "poolgate_tls_certificate_expiry_seconds{frontend=\"%s\"} %" PRId64 "\n",
                    frontend_names[i], atomic_load(&metrics->tls_expiry[i]));
    exposition_family(out, "tls_reload_failures_total", "counter",
                      "Certificates that could not be read again: the old one is shown.");
    for (int i = 0; i < FRONTEND_COUNT; i++)
        if (atomic_load(&metrics->tls_expiry[i]) != 0)
            fprintf(out, "poolgate_tls_reload_failures_total{frontend=\"%s\"} %" PRIu64 "\n",
                    frontend_names[i], atomic_load(&metrics->tls_failures[i]));
}

static void write_edge(struct metrics *metrics, FILE *out) {
    exposition_family(out, "edge_closed_total", "counter",
                      "Connections that the edge ended, by why.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        for (int reason = 0; reason < EDGE_REASON_COUNT; reason++)
            fprintf(out, "poolgate_edge_closed_total{frontend=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                    frontend_names[frontend], edge_reason_name((enum edge_reason)reason),
                    atomic_load(&metrics->edge_closed[frontend][reason]));
}

void metrics_write(struct metrics *metrics, const struct snapshot *snapshot, FILE *out) {
    write_requests(metrics, out);
    snapshot_metrics_write(snapshot, out);
    write_loops(metrics, snapshot, out);
    exposition_number(out, "events_lost_total", "counter", "Events that slow listeners missed.",
                      snapshot->events_lost);
    exposition_number(out, "log_dropped_total", "counter",
                      "Lines of the log that there was no room for.", log_dropped());
    exposition_number(out, "trace_sent_total", "counter", "Spans that the collector took.",
                      atomic_load(&metrics->spans[SPANS_SENT]));
    exposition_number(out, "trace_dropped_total", "counter",
                      "Spans that were lost on the way to it.",
                      atomic_load(&metrics->spans[SPANS_DROPPED]));
    exposition_family(out, "connections", "gauge", "Clients' connections that are open.");
    for (int frontend = 0; frontend < FRONTEND_COUNT; frontend++)
        fprintf(out, "poolgate_connections{frontend=\"%s\"} %" PRId64 "\n",
                frontend_names[frontend], atomic_load(&metrics->connections[frontend]));
    write_certificates(metrics, out);
    write_edge(metrics, out);
    exposition_family(out, "build_info", "gauge", "The version that runs; always 1.");
    fprintf(out, "poolgate_build_info{version=\"%s\"} 1\n", POOLGATE_VERSION);
}
