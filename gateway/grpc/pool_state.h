/* pool_state - a pool's snapshot as the message PoolState; the twin of the JSON shape of /v1/pools/NAME.
 * thread: any; pure.
 * owns:   all parts of the message; texts stay the snapshot's, but for the tenants' names. It must not be
 *         moved once filled.
 * fails:  never. */
#ifndef GATEWAY_GRPC_POOL_STATE_H
#define GATEWAY_GRPC_POOL_STATE_H

#include "core/snapshot.h"
#include "gateway/tenant_list.h"
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
    struct tenant_list tenants;
    struct {
        Poolgate__V1__PoolState__Queue__TenantsEntry waiting[SNAPSHOT_TENANTS];
        Poolgate__V1__PoolState__Queue__TenantsEntry *waiting_pointers[SNAPSHOT_TENANTS];
        Poolgate__V1__PoolState__Tenant facts[SNAPSHOT_TENANTS];
        Poolgate__V1__PoolState__Queue__ByTenantEntry entries[SNAPSHOT_TENANTS];
        Poolgate__V1__PoolState__Queue__ByTenantEntry *pointers[SNAPSHOT_TENANTS];
    } by_tenant;
};

void pool_state_fill(struct pool_state *state, const struct pool_snapshot *pool, uint64_t now_ns);

#endif
