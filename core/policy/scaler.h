/* scaler - how many workers a pool should have now.
 * thread: any; pure: it is told what is, and says what should be and why. owns: nothing. */
#ifndef CORE_POLICY_SCALER_H
#define CORE_POLICY_SCALER_H

#include "core/policy/pool_options.h"

#include <stdint.h>

struct scale_facts {
    enum scale_policy policy;
    uint32_t min, max;
    uint32_t able, busy;      /* slots that can serve; those of them without room */
    uint32_t coming;          /* spawning or loading */
    uint32_t waiting;         /* requests in the queue */
    uint64_t idle_longest_ns; /* how long the longest idle slot has been without work */
    uint64_t idle_limit_ns;   /* timeouts.idle */
};

struct scale_decision {
    uint32_t wanted; /* workers alive */
    const char *why; /* a constant text for people */
};

/* fixed: min (0: one while work waits). adaptive: one more when all are busy, none is coming and work waits, up to max; one less
 * when one has been idle beyond its limit, down to min. A pool whose min is 0 starts its first worker as
 * soon as something waits. predictive behaves as adaptive. */
struct scale_decision scaler_decide(const struct scale_facts *facts);

#endif
