#include "gateway/grpc/methods.h"

#include "gateway/grpc/health.h"
#include "gateway/grpc/invocation.h"
#include "gateway/grpc/pools.h"
#include "gateway/grpc/tracking.h"

static void begin_other(struct call *call) {
    call_refuse(call,
                &(struct refused){.outcome = METHOD_NOT_ALLOWED,
                                  .detail = "there is no such method, or not in this version"});
}

const struct method methods[METHODS] = {
    [METHOD_INVOKE] = {"/poolgate.v1.Gateway/Invoke", 128, ACCESS_INVOKE, false, invocation_begin,
                       invocation_answered, invocation_left},
    [METHOD_LIST_POOLS] = {"/poolgate.v1.Gateway/ListPools", 4, ACCESS_READ, false, pools_list,
                           NULL, NULL},
    [METHOD_GET_POOL] = {"/poolgate.v1.Gateway/GetPool", 4, ACCESS_READ, false, pools_get, NULL,
                         NULL},
    [METHOD_GET_REQUEST] = {"/poolgate.v1.Gateway/GetRequest", 4, ACCESS_OWN, false, tracking_look,
                            tracking_answered, NULL},
    [METHOD_CANCEL_REQUEST] = {"/poolgate.v1.Gateway/CancelRequest", 4, ACCESS_OWN, false,
                               tracking_cancel, tracking_answered, NULL},
    [METHOD_HEALTH_CHECK] = {"/grpc.health.v1.Health/Check", 8, ACCESS_OPEN, true, health_check,
                             NULL, NULL},
    [METHOD_OTHER] = {NULL, 8, ACCESS_ANY, false, begin_other, NULL, NULL},
};
