/* observer - whom a door tells that a request has ended: the metrics, the access log, the traces.
 * thread: any; it is constant while doors are open.
 * owns:   nothing.
 * fails:  never, and never waits. */
#ifndef GATEWAY_OBSERVER_H
#define GATEWAY_OBSERVER_H

#include "gateway/metrics.h"
#include "gateway/request_record.h"

struct tracer;

struct observer {
    struct metrics *metrics;
    struct tracer *tracer; /* NULL: no traces are kept */
    bool access_log;       /* a line for every request */
};

/* The headers are there. traceparent: what the client sent, or NULL. */
void observer_began(const struct observer *observer, const char *traceparent,
                    struct request_course *course);
/* Whether anybody will read the texts of the record: a client's address costs something to write. */
bool observer_reads(const struct observer *observer, const struct request_course *course,
                    bool probe);
/* Once for every request that began. */
void observer_ended(const struct observer *observer, const struct request_record *record);

#endif
