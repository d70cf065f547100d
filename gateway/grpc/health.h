/* health - grpc.health.v1.Health/Check for the gateway and for each pool, from the snapshot.
 * thread: that of the call.
 * owns:   nothing.
 * fails:  through call_refuse. */
#ifndef GATEWAY_GRPC_HEALTH_H
#define GATEWAY_GRPC_HEALTH_H

#include "core/snapshot.h"
#include "gateway/grpc/call.h"

void health_check(struct call *call);

/* The pools that a service's name stands for: "" and "poolgate.v1.Gateway" all of them (*pool is NULL),
 * "pool/NAME" one. False when there is no such service. */
bool health_find_service(const struct snapshot *snapshot, const char *service,
                         const struct pool_snapshot **pool);

#endif
