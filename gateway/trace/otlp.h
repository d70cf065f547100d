/* otlp - requests as spans, in the JSON form of OpenTelemetry's protocol (OTLP 1, ExportTraceServiceRequest).
 * thread: any; pure.
 * owns:   nothing.
 * fails:  never; what cannot be written shows as ferror of the stream.
 *
 * A request is a server span, and below it `cold`, `queue` and `run`, one after the other, as far as it
 * came. Attributes are named by OpenTelemetry's semantic conventions 1.23, our own begin with poolgate. */
#ifndef GATEWAY_TRACE_OTLP_H
#define GATEWAY_TRACE_OTLP_H

#include "gateway/request_record.h"

#include <stdio.h>

#define OTLP_PARTS 3 /* spans below a request's, at most */

/* What a record does not say. */
struct otlp_context {
    uint64_t wall_offset_ns;         /* from the monotonic clock to nanoseconds since 1970 */
    uint8_t part_ids[OTLP_PARTS][8]; /* of the spans below */
};

size_t otlp_spans(const struct request_record *record);

/* begin, then add for each, then end. first: nothing was added yet. */
void otlp_begin(FILE *out);
void otlp_add(FILE *out, bool first, const struct request_record *record,
              const struct otlp_context *context);
void otlp_end(FILE *out);

#endif
