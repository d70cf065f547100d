#include "core/policy/codel.h"

#include "core/base/clock.h"

#include <math.h>

#define TARGET_LEAST_NS   (5 * CLOCK_MS)
#define INTERVAL_LEAST_NS (100 * CLOCK_MS)
#define INTERVAL_RUNS     20
#define SOON_INTERVALS    16
#define LONGEST_RUN_NS    (UINT64_MAX / 1024) /* 16 intervals of 20 still fit, rounded too */

void codel_init(struct codel *codel) {
    *codel = (struct codel){0};
    codel_tune(codel, 0);
}

void codel_tune(struct codel *codel, uint64_t mean_run_ns) {
    uint64_t run_ns = mean_run_ns < LONGEST_RUN_NS ? mean_run_ns : LONGEST_RUN_NS;
    uint64_t interval_ns = run_ns * INTERVAL_RUNS;
    codel->target_ns = run_ns > TARGET_LEAST_NS ? run_ns : TARGET_LEAST_NS;
    codel->interval_ns = interval_ns > INTERVAL_LEAST_NS ? interval_ns : INTERVAL_LEAST_NS;
}

/* The queue stands: above target without a break for an interval. */
static bool stands(struct codel *codel, uint64_t sojourn_ns, uint64_t now_ns) {
    if (sojourn_ns < codel->target_ns) {
        codel->above_since_ns = 0;
        return false;
    }
    if (codel->above_since_ns == 0) codel->above_since_ns = now_ns;
    return now_ns - codel->above_since_ns >= codel->interval_ns;
}

static void count_drop(struct codel *codel, uint64_t from_ns) {
    if (codel->drops < UINT32_MAX) codel->drops++;
    double gap_ns = (double)codel->interval_ns / sqrt(codel->drops);
    codel->drop_next_ns = clock_add(from_ns, (uint64_t)gap_ns);
}

/* Soon after the last episode, the rate that held the queue then is the place to start from. */
static void begin_episode(struct codel *codel, uint64_t now_ns) {
    uint32_t grown = codel->drops - codel->drops_at_start;
    bool soon = now_ns < clock_add(codel->drop_next_ns, SOON_INTERVALS * codel->interval_ns);
    codel->drops = soon && grown > 1 ? grown - 1 : 0;
    count_drop(codel, now_ns);
    codel->drops_at_start = codel->drops;
    codel->overloaded = true;
}

bool codel_drop(struct codel *codel, uint64_t sojourn_ns, uint64_t now_ns) {
    if (!stands(codel, sojourn_ns, now_ns)) {
        codel->overloaded = false;
        return false;
    }
    if (!codel->overloaded) {
        begin_episode(codel, now_ns);
        return true;
    }
    if (now_ns < codel->drop_next_ns) return false;
    /* From when it was due, so that a late look catches up. */
    count_drop(codel, codel->drop_next_ns);
    return true;
}

void codel_empty(struct codel *codel) {
    codel->above_since_ns = 0;
    codel->overloaded = false;
}
