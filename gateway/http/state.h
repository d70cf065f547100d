/* state - pools, slots and health as JSON, in the contract's shapes.
 * thread: any; pure.
 * owns:   nothing: the caller gets a new reference.
 * fails:  NULL when out of memory. */
#ifndef GATEWAY_HTTP_STATE_H
#define GATEWAY_HTTP_STATE_H

#include "core/pool_order.h"
#include "core/snapshot.h"
#include "gateway/probes.h"

#include <jansson.h>

json_t *state_pools(const struct snapshot *snapshot, uint64_t now_ns);
json_t *state_pool(const struct pool_snapshot *pool, uint64_t now_ns);
json_t *state_slots(const struct pool_snapshot *pool, uint64_t now_ns);
json_t *state_health(const struct snapshot *snapshot, uint64_t now_ns);
/* What a pool is after an administrator's order. */
json_t *state_order(const char *name, const struct pool_order *order);
json_t *state_verdict(const struct verdict *verdict, const char *good, const char *bad);

#endif
