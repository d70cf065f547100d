/* pool_state - a pool's snapshot as the message PoolState; the twin of the JSON shape of /v1/pools/NAME.
 * thread: any; pure.
 * owns:   all parts of the message; texts stay the snapshot's. It must not be moved once filled.
 * fails:  never. */
#ifndef GATEWAY_GRPC_POOL_STATE_H
#define GATEWAY_GRPC_POOL_STATE_H

#include "core/snapshot.h"
#include "protos/gateway.pb-c.h"

struct pool_state {
    Poolgate__V1__PoolState message;
    Poolgate__V1__PoolState__Slots slots;
    Poolgate__V1__PoolState__Queue queue;
    Poolgate__V1__PoolState__Breaker breaker;
    Poolgate__V1__PoolState__Memory memory;
    Poolgate__V1__PoolState__Totals totals;
    Poolgate__V1__PoolState__Latency latency;
    Poolgate__V1__PoolState__Percentiles queue_recent, run_recent;
    Poolgate__V1__PoolState__Slots__ByStateEntry states[WORKER_STATE_COUNT];
    Poolgate__V1__PoolState__Slots__ByStateEntry *state_pointers[WORKER_STATE_COUNT];
    Poolgate__V1__PoolState__Queue__ByPriorityEntry priorities[PRIORITY_COUNT];
    Poolgate__V1__PoolState__Queue__ByPriorityEntry *priority_pointers[PRIORITY_COUNT];
};

void pool_state_fill(struct pool_state *state, const struct pool_snapshot *pool);

#endif
