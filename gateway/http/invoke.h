/* invoke - POST /v1/pools/{pool}/invoke: a body goes to a pool, a body comes back.
 * thread: the HTTP thread's; the pool's loop only posts FRONT_ANSWERED.
 * owns:   struct invoke of its exchange: the body until it is submitted, the request once answered.
 * fails:  through exchange_refuse. */
#ifndef GATEWAY_HTTP_INVOKE_H
#define GATEWAY_HTTP_INVOKE_H

#include "gateway/http/exchange.h"

/* The channel brought the pool's answer: the exchange goes on. */
void invoke_answered(struct request *request);
/* The client left or half-closed: a waiting request is cancelled. */
void invoke_left(struct exchange *exchange);

/* Of Poolgate-Timeout-Ms: nanoseconds, at most max_ns. False: not a number of 1 or more. */
bool invoke_timeout(const char *field, uint64_t max_ns, uint64_t *timeout_ns);

#endif
