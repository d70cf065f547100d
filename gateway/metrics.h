/* metrics - what the front ends count, and the page that Prometheus reads.
 * thread: write from any, one page at a time each; all that counts from any.
 * owns:   its counters.
 * fails:  metrics_open: MEMORY_EXHAUSTED. Counting never fails and never waits. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "core/base/outcome.h"
#include "core/snapshot.h"

#include <stdio.h>

#define FRONTENDS(X) X(HTTP, "http") X(GRPC, "grpc")
enum frontend {
#define FRONTEND_NAME(name, text) FRONTEND_##name,
    FRONTENDS(FRONTEND_NAME)
#undef FRONTEND_NAME
        FRONTEND_COUNT
};

const char *frontend_name(enum frontend frontend);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics;
enum outcome metrics_open(struct metrics **out);
void metrics_close(struct metrics *metrics); /* NULL is allowed */

/* Counts go by the pool's name, whatever pool has it. "": the request named none that exists. */
void metrics_answered(struct metrics *metrics, const char *pool, enum frontend frontend,
                      enum outcome outcome);
/* A request was refused for who sent it: UNAUTHENTICATED, PERMISSION_DENIED, RATE_LIMITED. */
void metrics_refused(struct metrics *metrics, enum frontend frontend, enum outcome outcome);
/* No worker had the request, and from its arrival to the answer that says so it took so long. */
void metrics_rejected(struct metrics *metrics, const char *pool, enum outcome outcome,
                      uint64_t took_ns);
/* Spans of traces that their collector took, or that were lost on the way to it. */
enum spans_fate { SPANS_SENT, SPANS_DROPPED, SPANS_FATES };
void metrics_spans(struct metrics *metrics, enum spans_fate fate, uint64_t count);
void metrics_connections(struct metrics *metrics, enum frontend frontend, int change);
/* Until when the certificate that a front end shows is valid, in seconds of the wall clock; before the first
 * it has none. */
void metrics_tls_expiry(struct metrics *metrics, enum frontend frontend, int64_t not_after);
void metrics_tls_reload_failed(struct metrics *metrics, enum frontend frontend);
/* The edge has ended a connection; reason is an enum edge_reason. */
void metrics_edge_closed(struct metrics *metrics, enum frontend frontend, unsigned reason);
/* One turn of a front end's loop kept it from looking at its events for so long. */
void metrics_loop_lag(struct metrics *metrics, enum frontend frontend, uint64_t lag_ns);

/* The whole page in text format 0.0.4. */
void metrics_write(struct metrics *metrics, const struct snapshot *snapshot, FILE *out);

#endif
