/* health - the health of a pool and of the gateway, computed from states and wishes alone.
 * thread: any; pure. owns: nothing. fails: never. */
#ifndef CORE_POLICY_HEALTH_H
#define CORE_POLICY_HEALTH_H

#include "core/policy/worker_state.h"

enum health { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY };

/* What the administrator wants of a pool; apart from what its slots are doing. */
enum wish { WISH_RUN, WISH_PAUSE, WISH_DRAIN, WISH_UNLOAD };

/* healthy: at least min slots can serve (none needed when min is 0) and none is failed.
 * degraded: some can serve but fewer than min, or one is failed, or none serves yet and one is on its
 * way, or the wish is not to run. unhealthy: none can serve and none is on its way although min > 0,
 * or loading is backing off. */
enum health health_of_pool(const uint32_t by_state[WORKER_STATE_COUNT], uint32_t min,
                           enum wish wish, bool backing_off);
/* The worst of a and b. */
enum health health_worst(enum health a, enum health b);
const char *health_name(enum health health);
const char *wish_name(enum wish wish);

#endif
