/* memory_governor - how much memory workers may take, who has it, and who must go when it is short.
 * thread: the owner's (the pool loop). Pure: what was measured is passed in.
 * owns:   nothing outside its struct. A guard belongs to a slot, from the decision to load until its
 *         worker's end was seen.
 * fails:  governor_reserve: MEMORY_EXHAUSTED; nothing is reserved then.
 *
 * A slot is charged the larger of what was declared for it and what it was measured to hold, so a
 * worker cannot hide behind a small declaration and one that is still loading has its room kept.
 * Eviction takes workers that have no work, least recently used first, never one of a pool that has
 * work and would fall below its min. */
#ifndef CORE_POLICY_MEMORY_GOVERNOR_H
#define CORE_POLICY_MEMORY_GOVERNOR_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRESSURES(X) X(LOW, "low") X(NORMAL, "normal") X(HIGH, "high") X(CRITICAL, "critical")
enum pressure {
#define PRESSURE_NAME(name, text) PRESSURE_##name,
    PRESSURES(PRESSURE_NAME)
#undef PRESSURE_NAME
        PRESSURE_COUNT
};

/* Kernel pressure (PSI, "some", average of 10 s) in percent from which the level is at least high,
 * and critical. */
#define GOVERNOR_STALL_HIGH     10.0
#define GOVERNOR_STALL_CRITICAL 40.0

/* One slot's room; all zero: none. */
struct memory_guard {
    uint64_t declared_bytes, measured_bytes; /* declared 0: nothing is held */
};

struct memory_governor {
    uint64_t limit_bytes;   /* 0: no limit is known, everything fits */
    uint64_t charged_bytes; /* sum over guards of the larger of the two */
    uint64_t gateway_bytes; /* what the gateway itself holds */
    uint64_t used_bytes;    /* of the cgroup or machine, as last measured; 0: unknown */
    double stall_percent;   /* PSI; negative: the kernel does not say */
    uint64_t guards;        /* held now */
};

void governor_init(struct memory_governor *governor, uint64_t limit_bytes);
enum outcome governor_reserve(struct memory_governor *governor, struct memory_guard *guard,
                              uint64_t declared_bytes);
/* Bytes that must go before so many more fit; 0: they fit. */
uint64_t governor_missing(const struct memory_governor *governor, uint64_t bytes);
void governor_measured(struct memory_governor *governor, struct memory_guard *guard,
                       uint64_t bytes);
/* Returns what the slot had really held (measured; declared if it never was). An empty guard: 0. */
uint64_t governor_release(struct memory_governor *governor, struct memory_guard *guard);
/* low below 50 % of the limit, normal below 70, high below 85, critical from there; at least what the
 * kernel's own pressure says. */
enum pressure governor_pressure(const struct memory_governor *governor);
double governor_utilization(const struct memory_governor *governor);
/* At critical pressure: how much must go until 10 % of the limit are free; else 0. */
uint64_t governor_excess(const struct memory_governor *governor);
const char *pressure_name(enum pressure pressure);

/* What the choice of a victim needs of each slot. */
struct eviction_candidate {
    uint32_t pool, slot;
    bool idle;              /* can serve and has no work, staged work included */
    bool pool_has_work;     /* waiting or running */
    uint32_t pool_able;     /* of its pool, now (the caller lowers it as victims are chosen) */
    uint32_t pool_min;
    uint64_t last_used_ns, bytes;
};
/* The index of the next victim, or SIZE_MAX when nobody may go. except_pool: whose load it is for (its
 * own idle slots are no help), UINT32_MAX: none. */
size_t governor_victim(const struct eviction_candidate *candidates, size_t count,
                       uint32_t except_pool);

#endif
