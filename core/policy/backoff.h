/* backoff - how long a failing slot waits before its next start: 100 ms, doubling to 30 s, +-20 %.
 * thread: any; pure: the random number is passed in.
 * owns:   nothing.
 * fails:  never. */
#ifndef CORE_POLICY_BACKOFF_H
#define CORE_POLICY_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_NS   UINT64_C(100000000)
#define BACKOFF_LONGEST_NS UINT64_C(30000000000)
#define BACKOFF_STABLE_NS  UINT64_C(5000000000) /* ready so long: the failures are forgotten */

/* failures: in a row, at least 1. random: uniform over all 32-bit values. */
uint64_t backoff_delay(uint32_t failures, uint32_t random);

#endif
