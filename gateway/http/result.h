/* result - the reply to an invocation: the worker's body as it is, and how it went in headers.
 * thread: the HTTP thread's.
 * owns:   takes a reference of the reply's body, or a duplicate of its descriptor; the request stays
 *         the caller's.
 * fails:  MHD_NO as reply.h says. */
#ifndef GATEWAY_HTTP_RESULT_H
#define GATEWAY_HTTP_RESULT_H

#include "gateway/http/exchange.h"

enum MHD_Result reply_result(struct exchange *exchange, const struct request *request);

/* "queue;dur=1.250, cold;dur=0.000, run;dur=12.001": milliseconds with three decimals. */
#define SERVER_TIMING_BYTES 128
void server_timing(const struct request *request, char out[SERVER_TIMING_BYTES]);
/* Printable ASCII and nothing else: what we let a worker put into a header. */
bool header_value_fits(const char *value);

#endif
