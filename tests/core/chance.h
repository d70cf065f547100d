/* chance - random numbers that can be had again: the seed is printed, and TEST_SEED sets it.
 * thread: the owner's. owns: nothing. fails: never. */
#ifndef TESTS_CORE_CHANCE_H
#define TESTS_CORE_CHANCE_H

#include "core/base/clock.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* As ck_assert, for inner loops: libcheck writes down every line that it passes, which takes a
 * microsecond each time. */
#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg("'%s' does not hold", #condition);                          \
    } while (0)

struct chance {
    uint64_t state;
};

static inline struct chance chance_open(void) {
    const char *wanted = getenv("TEST_SEED");
    uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : clock_now_ns();
    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return (struct chance){.state = seed};
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t chance_next(struct chance *chance) {
    uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint32_t chance_below(struct chance *chance, uint32_t limit) {
    return (uint32_t)((chance_next(chance) >> 32) * limit >> 32);
}

static inline bool chance_percent(struct chance *chance, uint32_t percent) {
    return chance_below(chance, 100) < percent;
}

#endif
