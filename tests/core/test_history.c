/* history: the rate of service, the expected wait; with numbers. */
#include "core/base/clock.h"
#include "core/base/request.h"
#include "core/policy/history.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

static struct history history;

static void open_history(void) {
    memset(&history, 0, sizeof history);
}

static void add_end(uint64_t ended_ns) {
    history_add(&history, &(struct history_entry){.ended_ns = ended_ns});
}

START_TEST(without_requests_there_are_zeros) {
    open_history();
    ck_assert_double_eq(history_service_rate(&history, CLOCK_S, 10 * CLOCK_S), 0);
}
END_TEST

START_TEST(the_service_rate_counts_the_last_span) {
    open_history();
    for (uint64_t i = 1; i <= 200; i++) add_end(i * 100 * CLOCK_MS); /* ten a second until 20 s */
    ck_assert_double_eq_tol(history_service_rate(&history, 10 * CLOCK_S, 20 * CLOCK_S), 10, 1e-9);
    ck_assert_double_eq_tol(history_service_rate(&history, CLOCK_S, 20 * CLOCK_S), 10, 1e-9);
    ck_assert_double_eq_tol(history_service_rate(&history, 10 * CLOCK_S, 25 * CLOCK_S), 5, 1e-9);
    ck_assert_double_eq_tol(history_service_rate(&history, 40 * CLOCK_S, 20 * CLOCK_S), 5, 1e-9);
    ck_assert_double_eq(history_service_rate(&history, 10 * CLOCK_S, 30 * CLOCK_S), 0);
    ck_assert_double_eq(history_service_rate(&history, 0, 20 * CLOCK_S), 0);
}
END_TEST

START_TEST(what_failed_at_a_slot_was_served_and_what_never_came_to_one_was_not) {
    open_history();
    for (int i = 0; i < 5; i++) add_end(CLOCK_S);
    history_add(&history, &(struct history_entry){.ended_ns = CLOCK_S, .slot = 2});
    for (int i = 0; i < 9; i++)
        history_add(&history,
                    &(struct history_entry){.ended_ns = CLOCK_S, .slot = REQUEST_NO_SLOT});
    ck_assert_double_eq_tol(history_service_rate(&history, 2 * CLOCK_S, CLOCK_S + 1), 3, 1e-9);
}
END_TEST

START_TEST(a_rate_beyond_what_is_kept_is_measured_over_what_is_kept) {
    open_history();
    for (uint64_t i = 1; i <= 20000; i++) add_end(i * CLOCK_MS); /* a thousand a second */
    ck_assert_double_eq_tol(history_service_rate(&history, 10 * CLOCK_S, 20 * CLOCK_S), 1000, 1e-9);
    ck_assert_double_eq_tol(history_service_rate(&history, CLOCK_S, 20 * CLOCK_S), 1000, 1e-9);
    /* Silent for as long again as the kept ones took: half of it. */
    uint64_t later_ns = 20 * CLOCK_S + (HISTORY_REQUESTS - 1) * CLOCK_MS;
    ck_assert_double_eq_tol(history_service_rate(&history, 10 * CLOCK_S, later_ns), 500, 1e-9);
    for (int i = 0; i < 5; i++) add_end(30 * CLOCK_S); /* and what is kept may tell of more */
    ck_assert_double_eq_tol(history_service_rate(&history, CLOCK_S, 30 * CLOCK_S), 5, 1e-9);
}
END_TEST

START_TEST(the_first_1024_are_all_there_were) {
    open_history();
    for (uint64_t i = 0; i < HISTORY_REQUESTS; i++) add_end(9 * CLOCK_S);
    ck_assert_double_eq_tol(history_service_rate(&history, 4 * CLOCK_S, 10 * CLOCK_S), 256, 1e-9);
}
END_TEST

START_TEST(the_expected_wait_is_the_turns_before_it_at_its_tenants_share) {
    static const struct {
        uint64_t run_ns;
        uint32_t places;
        uint64_t place;
        uint32_t sharers;
        uint64_t wait_ns;
    } rows[] = {
        {0, 4, 100, 2, 0},           /* nothing was measured */
        {1000, 1, 0, 1, 1000},       /* after the one that runs */
        {1000, 1, 9, 1, 10000},      /* and nine more */
        {1000, 4, 0, 1, 250},        /* the first of four to end */
        {1000, 4, 3, 1, 1000},       /* all four */
        {1000, 4, 9999, 1, 2500000}, /* ten thousand at four in 1000 ns */
        {1000, 4, 0, 3, 750},        /* every third start is its tenant's */
        {1000, 4, 9, 10, 25000},
        {1000, 0, 9, 0, 10000}, /* one place at least, one tenant at least */
        {10, 3, 0, 1, 3},       /* whole nanoseconds */
        {UINT64_MAX, 1, 0, 1, UINT64_MAX},
        {UINT64_MAX, 2, 1, 1, UINT64_MAX},
        {UINT64_MAX, 4, 1, 1, UINT64_MAX / 2},
        {UINT64_MAX / 2, 1, 2, 1, UINT64_MAX},
        {1, 1, UINT64_MAX, 1, UINT64_MAX},
        {1, 4, UINT64_MAX, 1, UINT64_C(1) << 62},
        {UINT64_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX, UINT64_MAX},
        {1, UINT32_MAX, 4, UINT32_MAX, 5},
        {UINT64_C(1) << 33, 1, UINT64_MAX, UINT32_C(1) << 31, UINT64_MAX}, /* 2^128 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(
            history_expected_wait(rows[i].run_ns, rows[i].places, rows[i].place, rows[i].sharers),
            rows[i].wait_ns);
}
END_TEST

SUITE("core/history", 60, without_requests_there_are_zeros, the_service_rate_counts_the_last_span,
      what_failed_at_a_slot_was_served_and_what_never_came_to_one_was_not,
      a_rate_beyond_what_is_kept_is_measured_over_what_is_kept, the_first_1024_are_all_there_were,
      the_expected_wait_is_the_turns_before_it_at_its_tenants_share)
