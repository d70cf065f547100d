/* headers - what poolgate understands of a request's header lines, read in one pass.
 * thread: the connection's.
 * owns:   nothing: the texts live in the connection until its request is answered.
 * fails:  never; hygiene says whether the lines are fit to be used. */
#ifndef GATEWAY_HTTP_HEADERS_H
#define GATEWAY_HTTP_HEADERS_H

#include "gateway/http/hygiene.h"

#include <microhttpd.h>

/* X(member, header): the first line of a name counts; of X-Forwarded-For the last, which the nearest proxy
 * has written. */
#define HEADERS(X)                                                                                 \
    X(content_type, "Content-Type")                                                                \
    X(expect, "Expect")                                                                            \
    X(urgency, "Priority")                                                                         \
    X(request_id, "X-Request-Id")                                                                  \
    X(priority, "Poolgate-Priority")                                                               \
    X(timeout_ms, "Poolgate-Timeout-Ms")                                                           \
    X(operation, "Poolgate-Operation")                                                             \
    X(tenant, "Poolgate-Tenant")                                                                   \
    X(batch_key, "Poolgate-Batch-Key")                                                             \
    X(forwarded_for, "X-Forwarded-For")                                                            \
    X(traceparent, "traceparent")                                                                  \
    X(authorization, "Authorization")                                                              \
    X(host, "Host")                                                                                \
    X(origin, "Origin")                                                                            \
    X(preflight, "Access-Control-Request-Method")

struct headers {
    struct hygiene hygiene;
    unsigned authorizations;                              /* lines of that name */
#define HEADER_MEMBER(member, header) const char *member; /* NULL: not there */
    HEADERS(HEADER_MEMBER)
#undef HEADER_MEMBER
};

void headers_read(struct headers *headers, struct MHD_Connection *connection);

#endif
