/* invocation - Gateway/Invoke: a payload goes to a pool, a payload comes back.
 * thread: that of the call; the pool's loop only posts the call to it.
 * owns:   the request of its call from the pool's answer on.
 * fails:  through call_refuse. */
#ifndef GATEWAY_GRPC_INVOCATION_H
#define GATEWAY_GRPC_INVOCATION_H

#include "gateway/grpc/call.h"

void invocation_begin(struct call *call);
void invocation_answered(struct call *call);
/* The client left, or its deadline has passed. */
void invocation_left(struct call *call);

#endif
