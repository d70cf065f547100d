#include "gateway/probes.h"

#include "core/base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void object(struct verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void object(struct verdict *verdict, const char *format, ...) {
    verdict->good = false;
    if (verdict->reasons_count == PROBE_REASONS) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->reasons[verdict->reasons_count++], PROBE_REASON_BYTES, format, arguments);
    va_end(arguments);
}

struct verdict probe_live(const struct snapshot *snapshot, uint64_t stalled_ns,
                          const char *dead_port, uint64_t now_ns) {
    struct verdict verdict = {.good = true};
    uint64_t age_ns = now_ns > snapshot->taken_ns ? now_ns - snapshot->taken_ns : 0;
    if (age_ns > PROBE_STALLED_NS)
        object(&verdict, "the pool loop has made no progress for %" PRIu64 " s", age_ns / CLOCK_S);
    else if (stalled_ns > PROBE_STALLED_NS)
        object(&verdict, "a loop has made no progress for %" PRIu64 " s", stalled_ns / CLOCK_S);
    if (dead_port != NULL) object(&verdict, "the %s port does not answer the gateway", dead_port);
    return verdict;
}

struct verdict probe_started(const struct snapshot *snapshot) {
    struct verdict verdict = {.good = true};
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        if (!pool->reached_min)
            object(&verdict, "pool %s has not had its %" PRIu32 " slots yet", pool->name,
                   pool->slots_min);
    }
    return verdict;
}

bool probe_pool_serves(const struct pool_snapshot *pool) {
    return pool->reached_min && (pool->can_serve || pool->loading_first);
}

/* Only pools that are required count: a broken optional pool must not take the others away. */
static struct verdict ready_now(const struct snapshot *snapshot, bool draining) {
    struct verdict verdict = {.good = true};
    if (draining) object(&verdict, "the gateway is draining");
    for (size_t i = 0; i < snapshot->pools_count; i++) {
        const struct pool_snapshot *pool = &snapshot->pools[i];
        if (!pool->required || probe_pool_serves(pool)) continue;
        if (!pool->reached_min)
            object(&verdict, "pool %s is starting", pool->name);
        else
            object(&verdict, "pool %s has no slot that can serve", pool->name);
    }
    return verdict;
}

struct verdict probe_ready(struct readiness *readiness, const struct snapshot *snapshot,
                           bool draining, uint64_t now_ns) {
    draining = draining || snapshot->draining;
    struct verdict verdict = ready_now(snapshot, draining);
    if (!readiness->asked) {
        /* What is said first is not a change: the first change may come at once. */
        *readiness = (struct readiness){.asked = true, .good = verdict.good};
        return verdict;
    }
    if (verdict.good == readiness->good) return verdict;
    bool calm = readiness->changed_ns == 0 || now_ns - readiness->changed_ns >= PROBE_CALM_NS;
    if (calm || draining) {
        readiness->good = verdict.good;
        readiness->changed_ns = now_ns;
        return verdict;
    }
    if (readiness->good) return (struct verdict){.good = true};
    object(&verdict, "it has been ready for less than a second");
    return verdict;
}
