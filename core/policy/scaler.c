#include "core/policy/scaler.h"

struct scale_decision scaler_decide(const struct scale_facts *facts) {
    uint32_t alive = facts->able + facts->coming;
    if (alive < facts->min) return (struct scale_decision){facts->min, "below min"};
    if (alive == 0 && facts->waiting > 0 && facts->max > 0)
        return (struct scale_decision){1, "first request of a cold pool"};
    if (facts->policy == SCALE_FIXED) {
        bool above = facts->min > 0 && alive > facts->min;
        return (struct scale_decision){above ? facts->min : alive, "fixed"};
    }
    if (facts->waiting > 0 && facts->coming == 0 && facts->busy == facts->able &&
        alive < facts->max)
        return (struct scale_decision){alive + 1, "all busy and work waits"};
    if (facts->waiting == 0 && alive > facts->min && facts->able > 0 &&
        facts->idle_longest_ns >= facts->idle_limit_ns)
        return (struct scale_decision){alive - 1, "idle beyond timeouts.idle"};
    return (struct scale_decision){alive, "as it is"};
}
