/* pools - Gateway/ListPools and GetPool: the state of pools, from the snapshot; the pool's loop is not asked.
 * thread: that of the call.
 * owns:   nothing.
 * fails:  through call_refuse. */
#ifndef GATEWAY_GRPC_POOLS_H
#define GATEWAY_GRPC_POOLS_H

#include "gateway/grpc/call.h"

void pools_list(struct call *call);
void pools_get(struct call *call);

#endif
