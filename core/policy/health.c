#include "core/policy/health.h"

static const char *const health_names[] = {"healthy", "degraded", "unhealthy"};
static const char *const wish_names[] = {"run", "pause", "drain", "unload"};

enum health health_of_pool(const uint32_t by_state[WORKER_STATE_COUNT], uint32_t min,
                           enum wish wish, bool backing_off) {
    uint32_t able = by_state[WORKER_READY] + by_state[WORKER_PROCESSING] + by_state[WORKER_IDLE];
    uint32_t coming = by_state[WORKER_SPAWNING] + by_state[WORKER_LOADING];
    if (able == 0 && (backing_off || (min > 0 && coming == 0))) return HEALTH_UNHEALTHY;
    if (able < min || by_state[WORKER_FAILED] > 0 || wish != WISH_RUN) return HEALTH_DEGRADED;
    return HEALTH_HEALTHY;
}

enum health health_worst(enum health a, enum health b) {
    return a > b ? a : b;
}

const char *health_name(enum health health) {
    return (unsigned)health < 3 ? health_names[health] : "?";
}

const char *wish_name(enum wish wish) {
    return (unsigned)wish < 4 ? wish_names[wish] : "?";
}
