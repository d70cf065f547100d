/* memory_governor - how much memory workers may take, who has it, and who must go when it is short.
 * thread: the owner's (the pool loop). Pure: what was measured is passed in.
 * owns:   nothing outside its struct. A guard belongs to a slot, from the decision to load until its
 *         worker's end was seen.
 * fails:  governor_reserve: MEMORY_EXHAUSTED; nothing is reserved then.
 *
 * A slot is charged the larger of what was declared and what was measured: none hides behind a small
 * declaration, and one that loads has its room kept. Pressure is of what is really held. Eviction takes
 * workers without work, least recently used first, but none that its pool's work needs for the min. */
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

/* Kernel pressure (PSI, "some", average of 10 s) in percent from which the level is at least so. */
#define GOVERNOR_STALL_HIGH     10.0
#define GOVERNOR_STALL_CRITICAL 40.0

/* One slot's room; declared 0: none. weighing: the governor's count when it was reserved. */
struct memory_guard {
    uint64_t declared_bytes, measured_bytes, weighing;
};

struct memory_governor {
    uint64_t limit_bytes;   /* 0: no limit is known, everything fits */
    uint64_t charged_bytes; /* sum over guards of the larger of the two */
    uint64_t held_bytes;    /* sum over guards of what was measured; declared until it was */
    uint64_t gateway_bytes; /* what the gateway itself holds */
    uint64_t used_bytes;    /* the limit less the room outside when weighed; less what went since */
    uint64_t promised_bytes, weighings; /* reserved since the last of so many weighings */
    double stall_percent;               /* PSI; negative: the kernel does not say */
    uint64_t guards;                    /* held now */
};

void governor_init(struct memory_governor *governor, uint64_t limit_bytes);
enum outcome governor_reserve(struct memory_governor *governor, struct memory_guard *guard,
                              uint64_t declared_bytes);
/* Bytes that must go before so many more fit; 0: they fit. */
uint64_t governor_missing(const struct memory_governor *governor, uint64_t bytes);
/* bytes 0: it could not be read, and nothing changes. */
void governor_measured(struct memory_governor *governor, struct memory_guard *guard,
                       uint64_t bytes);
/* What cgroup or machine say of themselves (total 0: nothing). There may be others in it: they count
 * as far as they leave less room than the limit. A limit above it is lowered to it. */
void governor_weighed(struct memory_governor *governor, uint64_t total_bytes, uint64_t used_bytes,
                      uint64_t gateway_bytes, double stall_percent);
/* Returns what the slot had really held (measured; declared if it never was). An empty guard: 0. */
uint64_t governor_release(struct memory_governor *governor, struct memory_guard *guard);
/* low below 50 % of the limit, normal 70, high 85; at least what the kernel's own pressure says. */
enum pressure governor_pressure(const struct memory_governor *governor);
uint64_t governor_used(const struct memory_governor *governor); /* really held */
double governor_utilization(const struct memory_governor *governor);
/* How much must go until 10 % of the limit are free: only at critical pressure it is not 0. */
uint64_t governor_excess(const struct memory_governor *governor);
const char *pressure_name(enum pressure pressure);

/* What the choice of a victim needs of each slot. */
struct eviction_candidate {
    uint32_t pool, slot;
    bool idle, pool_has_work; /* can serve and has nothing, not even staged; waiting or running */
    uint32_t pool_able, pool_min; /* able now: the caller lowers it as victims are chosen */
    uint64_t last_used_ns, bytes;
};
/* The index of the next victim, or SIZE_MAX when nobody may go. except_pool: whose load it is for (its
 * own idle slots are no help), UINT32_MAX: none. */
size_t governor_victim(const struct eviction_candidate *candidates, size_t count,
                       uint32_t except_pool);

#endif
