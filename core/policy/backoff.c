#include "core/policy/backoff.h"

uint64_t backoff_delay(uint32_t failures, uint32_t random) {
    uint64_t delay_ns = BACKOFF_FIRST_NS;
    for (uint32_t i = 1; i < failures && delay_ns < BACKOFF_LONGEST_NS; i++) delay_ns *= 2;
    if (delay_ns > BACKOFF_LONGEST_NS) delay_ns = BACKOFF_LONGEST_NS;
    /* 80 % to 120 %. */
    return delay_ns / 5 * 4 + (uint64_t)((double)(delay_ns / 5 * 2) * (random / 4294967296.0));
}
