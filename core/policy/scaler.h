/* scaler - how many workers a pool should have now.
 * thread: any; pure: it is told what is, and says what should be and why. owns: nothing. */
#ifndef CORE_POLICY_SCALER_H
#define CORE_POLICY_SCALER_H

#include "core/policy/pool_options.h"

#include <stdbool.h>
#include <stdint.h>

#define SCALE_WHY_BYTES 128

struct scale_facts {
    enum scale_policy policy;
    uint32_t min, max;
    uint32_t able, busy;      /* slots that can serve; those of them without room */
    uint32_t coming;          /* spawning or loading */
    uint32_t waiting;         /* requests in the queue */
    uint32_t staged;          /* handed ahead to a busy slot: they wait, too */
    uint64_t idle_longest_ns; /* how long the longest idle slot has been without work */
    uint64_t idle_limit_ns;   /* timeouts.idle */
    bool no_room;             /* the memory governor has refused: no more workers now */
    /* Of predictive alone. */
    double forecast_rate; /* arrivals a second, horizon_ns from now */
    uint64_t mean_run_ns; /* 0: unknown */
    uint32_t inflight;    /* requests that one worker runs at once; 0 reads as 1 */
    uint64_t horizon_ns;  /* the measured cold start: a worker started now helps after it */
};

struct scale_decision {
    uint32_t wanted;           /* workers alive */
    char why[SCALE_WHY_BYTES]; /* for people */
};

/* fixed: min (0: one while work waits). adaptive: one more when all are busy, none is coming and work
 * waits, up to max; one less when one has been idle beyond its limit, down to min. A pool whose min is 0
 * starts its first worker as soon as something waits. predictive: at once what the forecast needs, within
 * min and max; beyond that as adaptive, and never one less than the forecast needs. Nobody grows while
 * there is no room. */
struct scale_decision scaler_decide(const struct scale_facts *facts);

#endif
