/* tracer - keeps the spans of sampled requests and sends them to a collector, in the background.
 * thread: begin and add from any; open and close are main's. A thread of its own sends.
 * owns:   a copy of what it is told, up to TRACER_REQUESTS of them; the thread; the collector.
 * fails:  tracer_open: MEMORY_EXHAUSTED. begin and add never wait for the collector: what finds no room
 *         is dropped and counted, and so is what it would not take after several tries. */
#ifndef GATEWAY_TRACE_TRACER_H
#define GATEWAY_TRACE_TRACER_H

#include "gateway/metrics.h"
#include "gateway/request_record.h"

#define TRACER_REQUESTS     2048 /* that wait to be sent; each is up to four spans */
#define TRACER_BATCH        128 /* that are sent together, or what there is after TRACER_PATIENCE_NS */
#define TRACER_PATIENCE_NS  UINT64_C(1000000000)
#define TRACER_TRIES        5
#define TRACER_CALM_NS      UINT64_C(1000000000) /* after a failure, doubled with each further one … */
#define TRACER_CALM_MOST_NS UINT64_C(30000000000) /* … up to this */
#define TRACER_LAST_NS                                                                             \
    UINT64_C(1000000000) /* what was not sent so long after the close is dropped */

struct tracer_options {
    const char *collector;   /* http://127.0.0.1:4318 */
    uint32_t sample_percent; /* of requests whose clients do not say */
    struct metrics *metrics;
};

struct tracer;
enum outcome tracer_open(struct tracer **out, const struct tracer_options *options);
void tracer_close(struct tracer *tracer); /* NULL is allowed; for at most TRACER_LAST_NS */

/* Makes the request part of its client's trace, or of a new one. tracer NULL: only reads the client's. */
void tracer_begin(struct tracer *tracer, const char *traceparent, struct trace *trace);
/* The request has ended. Only if trace.sampled. */
void tracer_add(struct tracer *tracer, const struct request_record *record);

#endif
