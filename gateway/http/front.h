/* front - what all requests of the HTTP front end share.
 * thread: the HTTP thread's; `draining` is set from any.
 * owns:   nothing: struct http_server does.
 * fails:  never. */
#ifndef GATEWAY_HTTP_FRONT_H
#define GATEWAY_HTTP_FRONT_H

#include "core/base/channel.h"
#include "gateway/body_account.h"
#include "gateway/config/config.h"
#include "gateway/edge/edge.h"
#include "gateway/http/routes.h"
#include "gateway/http/watch.h"
#include "gateway/live_requests.h"
#include "gateway/observer.h"
#include "gateway/probes.h"
#include "gateway/request_id.h"

#include <stdatomic.h>
#include <stdbool.h>

enum front_message { FRONT_ANSWERED, FRONT_TOLD, FRONT_HAPPENED, FRONT_STOP };

struct front;

/* One of the addresses where it listens. */
struct front_port {
    struct front *front;
    struct edge *edge;
    bool admin; /* it is admin.listen */
    bool loopback;
    bool trust_tenant; /* Poolgate-Tenant counts */
    enum route_address routes;
};

struct front {
    struct gate *gate;
    struct access *access;
    struct metrics *metrics;
    const struct observer *observer;
    const struct config *config;
    _Atomic bool draining;
    struct front_port http, admin; /* admin.edge NULL: there is no admin.listen */
    struct channel *channel;       /* the pool's answers, one place per connection */
    struct request_home home;      /* wakes its reader */
    struct watches watches;
    struct live_requests *live; /* of both doors */
    struct request_ids ids;
    struct readiness readiness;
    struct body_account *accounts; /* of the pool with each number */
    size_t exchanges;              /* requests whose handler was called and which are not over */
    size_t reading;                /* of them: their body is still coming in */
    size_t waiting;                /* of them: suspended, with the pool */
};

#endif
