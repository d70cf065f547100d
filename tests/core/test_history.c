/* history: percentiles by nearest rank, the rate of service, the expected wait; with numbers. */
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

static void add_run(uint64_t run_ns) {
    history_add(&history, &(struct history_entry){.outcome = OK, .run_ns = run_ns});
}

static void add_end(uint64_t ended_ns) {
    history_add(&history, &(struct history_entry){.outcome = OK, .ended_ns = ended_ns});
}

static void assert_runs(uint64_t p50_ns, uint64_t p95_ns, uint64_t p99_ns) {
    struct percentiles percentiles = history_percentiles(&history, HISTORY_RUN);
    ck_assert_uint_eq(percentiles.p50_ns, p50_ns);
    ck_assert_uint_eq(percentiles.p95_ns, p95_ns);
    ck_assert_uint_eq(percentiles.p99_ns, p99_ns);
}

START_TEST(without_requests_there_are_zeros) {
    open_history();
    assert_runs(0, 0, 0);
    ck_assert_double_eq(history_service_rate(&history, CLOCK_S, 10 * CLOCK_S), 0);
}
END_TEST

START_TEST(one_request_is_every_percentile) {
    open_history();
    add_run(7);
    assert_runs(7, 7, 7);
}
END_TEST

START_TEST(percentiles_are_the_nearest_rank) {
    static const uint64_t five[] = {40, 15, 50, 20, 35};
    open_history();
    for (size_t i = 0; i < 5; i++) add_run(five[i]);
    assert_runs(35, 50, 50);

    open_history();
    for (uint64_t i = 1; i <= 100; i++) add_run(i * 37 % 101); /* 1 to 100, shuffled */
    assert_runs(50, 95, 99);
    add_run(0);
    assert_runs(50, 95, 99); /* ranks 51, 96 and 100 of 101 */

    open_history();
    for (uint64_t i = 1000; i > 0; i--) add_run(i);
    assert_runs(500, 950, 990);
}
END_TEST

START_TEST(times_above_32_bits_keep_their_order) {
    open_history();
    add_run(UINT64_MAX);
    add_run(1);
    add_run(UINT64_C(1) << 33);
    assert_runs(UINT64_C(1) << 33, UINT64_MAX, UINT64_MAX);
}
END_TEST

START_TEST(each_time_has_its_own_percentiles) {
    open_history();
    history_add(&history,
                &(struct history_entry){.outcome = OK, .queue_ns = 1, .cold_ns = 2, .run_ns = 3});
    ck_assert_uint_eq(history_percentiles(&history, HISTORY_QUEUE).p50_ns, 1);
    ck_assert_uint_eq(history_percentiles(&history, HISTORY_COLD).p50_ns, 2);
    ck_assert_uint_eq(history_percentiles(&history, HISTORY_RUN).p50_ns, 3);
}
END_TEST

START_TEST(what_failed_has_no_part_in_the_percentiles) {
    open_history();
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++)
        history_add(&history, &(struct history_entry){.outcome = outcome,
                                                      .run_ns = outcome == OK ? 5 : 1000});
    assert_runs(5, 5, 5);
}
END_TEST

START_TEST(the_last_1024_are_kept) {
    open_history();
    for (int i = 0; i < HISTORY_REQUESTS; i++) add_run(900);
    for (int i = 0; i < HISTORY_REQUESTS / 2; i++) add_run(100);
    assert_runs(100, 900, 900); /* half and half: rank 512 is the last of the small */
    add_run(900);
    assert_runs(100, 900, 900); /* took the place of an old one of 900 */
    for (int i = 0; i < HISTORY_REQUESTS; i++) add_run(3);
    assert_runs(3, 3, 3);
    ck_assert_uint_eq(history.added, 2 * HISTORY_REQUESTS + HISTORY_REQUESTS / 2 + 1);
}
END_TEST

/* The smallest value that so many percent do not exceed, by counting. */
static uint64_t model_percentile(const struct history_entry *entries, size_t count,
                                 uint64_t percent) {
    uint64_t best = UINT64_MAX;
    size_t all = 0;
    for (size_t i = 0; i < count; i++) all += entries[i].outcome == OK;
    for (size_t i = 0; i < count; i++) {
        size_t below = 0;
        if (entries[i].outcome != OK || entries[i].queue_ns >= best) continue;
        for (size_t j = 0; j < count; j++)
            below += entries[j].outcome == OK && entries[j].queue_ns <= entries[i].queue_ns;
        if (below * 100 >= all * percent) best = entries[i].queue_ns;
    }
    return all > 0 ? best : 0;
}

START_TEST(random_histories_agree_with_counting) {
    struct chance chance = chance_open();
    static struct history_entry all[3000];
    for (int round = 0; round < 60; round++) {
        open_history();
        size_t count = chance_below(&chance, round % 2 == 0 ? 50 : 3000);
        uint32_t spread = 1 + chance_below(&chance, 1000);
        for (size_t i = 0; i < count; i++) {
            all[i] =
                (struct history_entry){.outcome = chance_percent(&chance, 90) ? OK : WORKER_CRASHED,
                                       .queue_ns = chance_below(&chance, spread)};
            history_add(&history, &all[i]);
        }
        size_t kept = count < HISTORY_REQUESTS ? count : HISTORY_REQUESTS;
        const struct history_entry *last = &all[count - kept];
        struct percentiles percentiles = history_percentiles(&history, HISTORY_QUEUE);
        require(percentiles.p50_ns == model_percentile(last, kept, 50));
        require(percentiles.p95_ns == model_percentile(last, kept, 95));
        require(percentiles.p99_ns == model_percentile(last, kept, 99));
    }
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
    history_add(&history,
                &(struct history_entry){.outcome = WORKER_CRASHED, .ended_ns = CLOCK_S, .slot = 2});
    for (int i = 0; i < 9; i++)
        history_add(&history, &(struct history_entry){.outcome = DEADLINE_EXCEEDED,
                                                      .ended_ns = CLOCK_S,
                                                      .slot = REQUEST_NO_SLOT});
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

SUITE("core/history", 60, without_requests_there_are_zeros, one_request_is_every_percentile,
      percentiles_are_the_nearest_rank, times_above_32_bits_keep_their_order,
      each_time_has_its_own_percentiles, what_failed_has_no_part_in_the_percentiles,
      the_last_1024_are_kept, random_histories_agree_with_counting,
      the_service_rate_counts_the_last_span,
      what_failed_at_a_slot_was_served_and_what_never_came_to_one_was_not,
      a_rate_beyond_what_is_kept_is_measured_over_what_is_kept, the_first_1024_are_all_there_were,
      the_expected_wait_is_the_turns_before_it_at_its_tenants_share)
