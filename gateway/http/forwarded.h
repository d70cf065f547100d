/* forwarded - who asks, when a proxy that is trusted says so (X-Forwarded-For).
 * thread: the HTTP thread's.
 * owns:   nothing.
 * fails:  never: what cannot be read is not believed. */
#ifndef GATEWAY_HTTP_FORWARDED_H
#define GATEWAY_HTTP_FORWARDED_H

#include "gateway/edge/edge.h"

/* The last address of the list that is not a trusted proxy's own, if the peer is one; else the peer.
 * list: NULL when there is no such header. */
struct address forwarded_client(const struct edge *edge, const struct address *peer,
                                const char *list);

#endif
