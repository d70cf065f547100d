/* backoff: 100 ms, doubling to 30 s, a fifth more or less. */
#include "core/base/clock.h"
#include "core/policy/backoff.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define MIDDLE (UINT32_MAX / 2 + 1)

/* What the delay is without jitter, computed in another way: powers of two in a table. */
static uint64_t plain_delay(uint32_t failures) {
    static const uint64_t delays_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000};
    size_t last = sizeof delays_ms / sizeof delays_ms[0] - 1;
    return delays_ms[failures - 1 < last ? failures - 1 : last] * CLOCK_MS;
}

START_TEST(the_first_failure_waits_about_100_ms) {
    ck_assert_uint_eq(backoff_delay(1, 0), 80 * CLOCK_MS);
    ck_assert_uint_eq(backoff_delay(1, MIDDLE), 100 * CLOCK_MS);
    ck_assert_uint_le(backoff_delay(1, UINT32_MAX), 120 * CLOCK_MS);
    ck_assert_uint_gt(backoff_delay(1, UINT32_MAX), 119 * CLOCK_MS);
}
END_TEST

START_TEST(each_failure_doubles_it_up_to_30_s) {
    for (uint32_t failures = 1; failures < 40; failures++)
        ck_assert_uint_eq(backoff_delay(failures, MIDDLE), plain_delay(failures));
}
END_TEST

START_TEST(any_number_of_failures_stays_at_the_longest) {
    ck_assert_uint_eq(backoff_delay(1000, MIDDLE), BACKOFF_LONGEST_NS);
    ck_assert_uint_eq(backoff_delay(UINT32_MAX, MIDDLE), BACKOFF_LONGEST_NS);
    ck_assert_uint_le(backoff_delay(UINT32_MAX, UINT32_MAX), BACKOFF_LONGEST_NS / 10 * 12);
}
END_TEST

START_TEST(jitter_stays_within_a_fifth_and_reaches_both_ends) {
    struct chance chance = chance_open();
    for (uint32_t failures = 1; failures <= 12; failures++) {
        uint64_t plain_ns = plain_delay(failures), least_ns = UINT64_MAX, most_ns = 0, sum_ns = 0;
        for (int i = 0; i < 10000; i++) {
            uint64_t delay_ns = backoff_delay(failures, (uint32_t)chance_next(&chance));
            require(delay_ns >= plain_ns / 10 * 8 && delay_ns <= plain_ns / 10 * 12);
            if (delay_ns < least_ns) least_ns = delay_ns;
            if (delay_ns > most_ns) most_ns = delay_ns;
            sum_ns += delay_ns;
        }
        ck_assert_uint_lt(least_ns, plain_ns / 100 * 81);
        ck_assert_uint_gt(most_ns, plain_ns / 100 * 119);
        ck_assert_uint_gt(sum_ns / 10000, plain_ns / 100 * 98);
        ck_assert_uint_lt(sum_ns / 10000, plain_ns / 100 * 102);
    }
}
END_TEST

SUITE("core/backoff", 30, the_first_failure_waits_about_100_ms, each_failure_doubles_it_up_to_30_s,
      any_number_of_failures_stays_at_the_longest,
      jitter_stays_within_a_fifth_and_reaches_both_ends)
