#include "gateway/grpc/health.h"

#include "core/base/uninitialized.h"

#include "gateway/grpc/message.h"
#include "gateway/probes.h"
#include "protos/health.pb-c.h"

#include <string.h>

#define GATEWAY_SERVICE "poolgate.v1.Gateway"
#define POOL_PREFIX     "pool/"

bool health_find_service(const struct snapshot *snapshot, const char *service,
                         const struct pool_snapshot **pool) {
    *pool = NULL;
    if (service[0] == '\0' || strcmp(service, GATEWAY_SERVICE) == 0) return true;
    if (strncmp(service, POOL_PREFIX, strlen(POOL_PREFIX)) != 0) return false;
    *pool = snapshot_find(snapshot, service + strlen(POOL_PREFIX));
    return *pool != NULL;
}

/* The rule of /readyz: only pools that are required count, unless one is asked for by name. */
static bool serves(const struct grpc_front *front, const struct snapshot *snapshot,
                   const struct pool_snapshot *asked) {
    if (atomic_load(&front->draining) || snapshot->draining) return false;
    if (asked != NULL) return probe_pool_serves(asked);
    for (size_t i = 0; i < snapshot->pools_count; i++)
        if (snapshot->pools[i].required && !probe_pool_serves(&snapshot->pools[i])) return false;
    return true;
}

void health_check(struct call *call) {
    struct grpc_front *front = call->queue->front;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    UNINITIALIZED struct message_page page;
    const struct pool_snapshot *pool;
    const char *flaw, *service = message_only_text(call->message, &page, TEXT_SERVICE, &flaw);
    if (service == NULL) {
        call_refuse(call, &(struct refused){.outcome = INVALID_REQUEST, .detail = flaw});
        return;
    }
    const struct snapshot *snapshot = gate_snapshot(front->gate);
    bool found = health_find_service(snapshot, service, &pool);
    if (found)
        response.status =
            serves(front, snapshot, pool)
                ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    gate_snapshot_release(front->gate, snapshot);
    if (found)
        call_reply_packed(call, &response.base);
    else
        call_refuse(call,
                    &(struct refused){.outcome = NOT_FOUND, .detail = "there is no such service"});
}
