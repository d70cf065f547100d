/* lag - how long a loop's rounds keep others waiting: the time between two sleeps.
 * thread: the loop's.
 * owns:   nothing.
 * fails:  never.
 *
 * libuv calls the callbacks of sockets before its check handles, so a stopwatch started there misses
 * most of a round. The loop's own account of how long it slept does not. */
#ifndef CORE_BASE_LAG_H
#define CORE_BASE_LAG_H

#include <stdint.h>
#include <uv.h>

struct lag {
    uint64_t ended_ns, idle_ns; /* at the end of the last round */
};

/* Before the loop runs. */
static inline void lag_begin(struct lag *lag, uv_loop_t *loop, uint64_t now_ns) {
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
    *lag = (struct lag){.ended_ns = now_ns};
}

/* At the end of a round, right before the loop sleeps: how long it was awake. */
static inline uint64_t lag_round(struct lag *lag, uv_loop_t *loop, uint64_t now_ns) {
    uint64_t idle_ns = uv_metrics_idle_time(loop);
    uint64_t passed_ns = now_ns - lag->ended_ns, slept_ns = idle_ns - lag->idle_ns;
    *lag = (struct lag){.ended_ns = now_ns, .idle_ns = idle_ns};
    return passed_ns > slept_ns ? passed_ns - slept_ns : 0;
}

#endif
