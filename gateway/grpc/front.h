/* front - what all calls of the gRPC front end share.
 * thread: constant while calls are open, but for `draining`, `stopping` (set by main) and what has a
 *         lock of its own.
 * owns:   nothing: struct rpc_server does.
 * fails:  never. */
#ifndef GATEWAY_GRPC_FRONT_H
#define GATEWAY_GRPC_FRONT_H

#include "gateway/body_account.h"
#include "gateway/config/config.h"
#include "gateway/grpc/open_calls.h"
#include "gateway/keys/access.h"
#include "gateway/observer.h"

#include <stdatomic.h>

struct door;

struct grpc_front {
    struct gate *gate;
    struct access *access;
    struct metrics *metrics;
    const struct observer *observer;
    const struct config *config;
    bool trust_tenant;     /* InvokeRequest.tenant counts */
    _Atomic bool draining; /* not ready */
    _Atomic bool stopping; /* no call is waited for any more */
    struct door *door;
    struct body_account *accounts; /* of the pool with each number */
    struct open_calls calls;
};

#endif
