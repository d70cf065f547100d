/* traceparent - the trace context of a request (W3C Trace Context, level 1): read from what a client
 *               sends along, written for the worker.
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never: what is no trace context is as if it were not there. */
#ifndef GATEWAY_TRACEPARENT_H
#define GATEWAY_TRACEPARENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ID_TEXT_BYTES 33 /* 32 characters and the end */
#define SPAN_ID_TEXT_BYTES  17
#define TRACEPARENT_BYTES   56
#define TRACEPARENT_LONGEST 128 /* of a later version, which may say more */

struct trace {
    uint8_t trace_id[16]; /* zeros: the request is part of no trace */
    uint8_t parent_id[8]; /* the client's span; zeros: it named none */
    uint8_t span_id[8];   /* ours; zeros: no spans are kept of it */
    bool sampled;
};

/* NULL is allowed. False, and a zeroed trace, when it is not one. */
bool traceparent_read(const char *field, struct trace *trace);
bool trace_present(const struct trace *trace);
/* For whoever works on it next, below our span if we keep one, else below the client's. "" without one. */
const char *traceparent_write(const struct trace *trace, char out[TRACEPARENT_BYTES]);
/* Bytes as hexadecimal text; out has room for twice as many and the end. */
const char *trace_hex(const uint8_t *bytes, size_t count, char *out);

#endif
