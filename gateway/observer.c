#include "gateway/observer.h"

#include "core/base/log.h"
#include "gateway/trace/tracer.h"

#include <inttypes.h>
#include <stdio.h>

#define SLOT_BYTES 80
/* What a client may write at will is cut, so that the line has room for what follows it. */
#define METHOD_BYTES 64
#define ROUTE_BYTES  128

static enum log_level level_of(bool probe) {
    return probe ? LOG_DEBUG : LOG_INFO;
}

static bool is_logged(const struct observer *observer, bool probe) {
    return observer->access_log && log_writes(level_of(probe));
}

static bool is_traced(const struct observer *observer, const struct request_course *course,
                      bool probe) {
    return observer->tracer != NULL && course->trace.sampled && !probe;
}

void observer_began(const struct observer *observer, const char *traceparent,
                    struct request_course *course) {
    tracer_begin(observer->tracer, traceparent, &course->trace);
}

bool observer_reads(const struct observer *observer, const struct request_course *course,
                    bool probe) {
    return is_logged(observer, probe) || is_traced(observer, course, probe);
}

/* No worker had it, and its client was still there to be told: the time to say no is worth a histogram
 * of its own, which no answer of a worker is in. */
static bool is_refusal(const struct request_record *record) {
    return record->outcome != OK && record->outcome != CANCELLED && record->course->attempts == 0;
}

/* A key without a value is left out: log_fields skips what has no key. */
static const char *where(bool there, const char *key) {
    return there ? key : NULL;
}

static void write_line(const struct request_record *record) {
    const struct request_course *course = record->course;
    const char *asked = record->route != NULL ? record->route : record->target;
    bool pooled = course->pool[0] != '\0', traced = trace_present(&course->trace);
    char slot[SLOT_BYTES], trace_id[TRACE_ID_TEXT_BYTES], method[METHOD_BYTES], route[ROUTE_BYTES];
    snprintf(method, sizeof method, "%s", record->method);
    snprintf(route, sizeof route, "%s", asked != NULL ? asked : "");
    snprintf(slot, sizeof slot, "%s/%" PRIu32, course->pool, course->slot);
    trace_hex(course->trace.trace_id, sizeof course->trace.trace_id, trace_id);
    const struct log_field fields[] = {
        LOG_STR("frontend", frontend_name(record->frontend)),
        LOG_STR("method", method),
        LOG_STR(where(asked != NULL, "route"), route),
        LOG_STR(where(pooled, "pool"), course->pool),
        LOG_STR(where(record->request_id != NULL, "request_id"), record->request_id),
        LOG_STR(where(course->tenant[0] != '\0', "tenant"), course->tenant),
        LOG_STR(where(pooled, "priority"), priority_name(course->priority)),
        LOG_STR("code", outcome_code(record->outcome)),
        LOG_UINT("status", course->status),
        LOG_UINT("bytes_in", course->bytes_in),
        LOG_UINT("bytes_out", course->bytes_out),
        LOG_MS(where(pooled, "queue_ms"), course->queue_ns),
        LOG_MS(where(pooled, "cold_ms"), course->cold_ns),
        LOG_MS(where(pooled, "run_ms"), course->run_ns),
        LOG_MS("total_ms", record->ended_ns - record->arrived_ns),
        LOG_STR(where(course->had_slot, "slot"), slot),
        LOG_UINT(where(pooled, "attempts"), course->attempts),
        LOG_STR(where(traced, "trace_id"), trace_id),
        LOG_STR(where(record->client[0] != '\0', "client"), record->client),
    };
    log_fields(level_of(record->probe), "request", fields, sizeof fields / sizeof fields[0]);
}

void observer_ended(const struct observer *observer, const struct request_record *record) {
    if (is_refusal(record))
        metrics_rejected(observer->metrics, record->course->pool, record->outcome,
                         record->ended_ns - record->arrived_ns);
    if (is_logged(observer, record->probe)) write_line(record);
    if (is_traced(observer, record->course, record->probe)) tracer_add(observer->tracer, record);
}
