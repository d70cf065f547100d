#include "core/policy/scaler.h"

#include "core/policy/forecast.h"

#include <stdarg.h>
#include <stdio.h>

#define SECOND_NS 1e9

__attribute__((format(printf, 2, 3))) static struct scale_decision decide(uint32_t wanted,
                                                                          const char *format, ...) {
    struct scale_decision decision = {.wanted = wanted};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(decision.why, sizeof decision.why, format, arguments);
    va_end(arguments);
    return decision;
}

static uint32_t alive(const struct scale_facts *facts) {
    return facts->able + facts->coming;
}

static uint32_t waiting(const struct scale_facts *facts) {
    uint32_t all = facts->waiting + facts->staged;
    return all < facts->waiting ? UINT32_MAX : all;
}

/* What the forecast needs, within min and max; 0 for the policies without one. */
static uint32_t foreseen(const struct scale_facts *facts) {
    if (facts->policy != SCALE_PREDICTIVE) return 0;
    uint32_t slots = forecast_slots(facts->forecast_rate, facts->mean_run_ns,
                                    facts->inflight > 0 ? facts->inflight : 1, waiting(facts),
                                    facts->horizon_ns);
    if (slots > facts->max) slots = facts->max;
    return slots > facts->min ? slots : facts->min;
}

static struct scale_decision decide_fixed(const struct scale_facts *facts) {
    bool above = facts->min > 0 && alive(facts) > facts->min;
    return decide(above ? facts->min : alive(facts), "fixed");
}

static struct scale_decision decide_by_load(const struct scale_facts *facts, uint32_t needed) {
    uint32_t now = alive(facts);
    if (needed > now)
        return decide(needed, "%.1f req/s in %.1f s and %u waiting need %u slots",
                      facts->forecast_rate, (double)facts->horizon_ns / SECOND_NS, waiting(facts),
                      needed);
    if (waiting(facts) > 0 && facts->coming == 0 && facts->busy == facts->able && now < facts->max)
        return decide(now + 1, "all %u busy and %u wait", facts->busy, waiting(facts));
    bool idle = facts->able > 0 && facts->idle_longest_ns >= facts->idle_limit_ns;
    if (waiting(facts) > 0 || now <= facts->min || !idle) return decide(now, "as it is");
    if (now <= needed)
        return decide(now, "one is idle, but %.1f req/s in %.1f s need %u slots",
                      facts->forecast_rate, (double)facts->horizon_ns / SECOND_NS, needed);
    return decide(now - 1, "idle for %.1f s, beyond timeouts.idle",
                  (double)facts->idle_longest_ns / SECOND_NS);
}

static struct scale_decision decide_size(const struct scale_facts *facts) {
    /* A forecast may know that min, or one, is not enough. */
    uint32_t now = alive(facts), needed = foreseen(facts);
    if (now < facts->min && needed <= facts->min)
        return decide(facts->min, "%u alive, below min %u", now, facts->min);
    if (now == 0 && waiting(facts) > 0 && facts->max > 0 && needed <= 1)
        return decide(1, "first request of a cold pool");
    return facts->policy == SCALE_FIXED ? decide_fixed(facts) : decide_by_load(facts, needed);
}

struct scale_decision scaler_decide(const struct scale_facts *facts) {
    struct scale_decision decision = decide_size(facts);
    if (!facts->no_room || decision.wanted <= alive(facts)) return decision;
    return decide(alive(facts), "no memory for more, though %s", decision.why);
}
