/* collector - where spans are sent to: one HTTP POST at a time to an OTLP collector.
 * thread: one thread sends; hurry from any.
 * owns:   its handle on libcurl.
 * fails:  collector_open: MEMORY_EXHAUSTED. What became of a body is collector_send's answer. */
#ifndef GATEWAY_TRACE_COLLECTOR_H
#define GATEWAY_TRACE_COLLECTOR_H

#include "core/base/outcome.h"

#include <stddef.h>
#include <stdint.h>

#define COLLECTOR_PATH         "/v1/traces"
#define COLLECTOR_REASON_BYTES 128

enum delivery {
    DELIVERY_TAKEN,
    DELIVERY_LATER,  /* it may go well another time (OTLP 1, "Retryable Response Codes") */
    DELIVERY_REFUSED /* it never will */
};

struct collector;
/* address: http://host:4318; COLLECTOR_PATH is added unless it ends with it. Nobody is asked yet. */
enum outcome collector_open(struct collector **out, const char *address);
/* Waits for the answer, five seconds at most. reason: what went wrong, for people. */
enum delivery collector_send(struct collector *collector, const char *body, size_t bytes,
                             char reason[COLLECTOR_REASON_BYTES]);
/* A send that is under way, and any later one, ends at that time. */
void collector_hurry(struct collector *collector, uint64_t until_ns);
void collector_close(struct collector *collector); /* NULL is allowed */

#endif
