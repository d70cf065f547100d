/* stats: buckets to the nanosecond, percentiles against a sorted list, generations that pass. */
#include "core/base/clock.h"
#include "core/policy/stats.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define VALUES 5000

static struct recent recent;

static void open_recent(void) {
    memset(&recent, 0, sizeof recent);
}

START_TEST(the_bounds_grow) {
    for (size_t i = 1; i < HISTOGRAM_BUCKETS - 1; i++)
        ck_assert_uint_gt(histogram_bounds_ns[i], histogram_bounds_ns[i - 1]);
    ck_assert_uint_eq(histogram_bounds_ns[0], 100 * CLOCK_US);
    ck_assert_uint_eq(histogram_bounds_ns[HISTOGRAM_BUCKETS - 2], 600 * CLOCK_S);
}
END_TEST

START_TEST(a_bound_belongs_to_its_own_bucket) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        struct histogram histogram = {0};
        histogram_add(&histogram, histogram_bounds_ns[i]);
        ck_assert_uint_eq(histogram.buckets[i], 1);
        histogram_add(&histogram, histogram_bounds_ns[i] + 1);
        ck_assert_uint_eq(histogram.buckets[i], 1);
        ck_assert_uint_eq(histogram.buckets[i + 1], 1);
        ck_assert_uint_eq(histogram.count, 2);
        ck_assert_uint_eq(histogram.sum_ns, 2 * histogram_bounds_ns[i] + 1);
    }
}
END_TEST

START_TEST(the_ends_of_time_have_their_buckets) {
    struct histogram histogram = {0};
    histogram_add(&histogram, 0);
    histogram_add(&histogram, UINT64_MAX / 2);
    ck_assert_uint_eq(histogram.buckets[0], 1);
    ck_assert_uint_eq(histogram.buckets[HISTOGRAM_BUCKETS - 1], 1);
}
END_TEST

START_TEST(without_a_value_percentiles_are_zero) {
    open_recent();
    struct percentiles found = recent_percentiles(&recent);
    ck_assert_uint_eq(found.p50_ns, 0);
    ck_assert_uint_eq(found.p95_ns, 0);
    ck_assert_uint_eq(found.p99_ns, 0);
}
END_TEST

static void assert_near(uint64_t found_ns, uint64_t exact_ns) {
    if (exact_ns < 1024) {
        ck_assert_uint_eq(found_ns, 1024);
        return;
    }
    ck_assert_uint_ge(found_ns, exact_ns);
    ck_assert_uint_le(found_ns - exact_ns, exact_ns / 8);
}

START_TEST(one_value_is_every_percentile) {
    for (uint64_t value_ns = 1; value_ns < UINT64_C(1) << 48; value_ns = value_ns * 17 / 16 + 1) {
        open_recent();
        recent_add(&recent, value_ns, 1);
        struct percentiles found = recent_percentiles(&recent);
        assert_near(found.p50_ns, value_ns);
        ck_assert_uint_eq(found.p95_ns, found.p50_ns);
        ck_assert_uint_eq(found.p99_ns, found.p50_ns);
    }
}
END_TEST

START_TEST(a_value_beyond_all_buckets_is_kept_in_the_last) {
    open_recent();
    recent_add(&recent, UINT64_MAX, 1);
    ck_assert_uint_eq(recent.counts[recent.current][RECENT_BUCKETS - 1], 1);
    ck_assert_uint_gt(recent_percentiles(&recent).p50_ns, 24 * 3600 * CLOCK_S);
}
END_TEST

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The nearest rank: the smallest value that so many per thousand do not exceed. */
static uint64_t exact(const uint64_t *sorted, size_t count, size_t permille) {
    return sorted[(count * permille + 999) / 1000 - 1];
}

START_TEST(percentiles_are_at_most_an_eighth_too_high) {
    static uint64_t values[VALUES];
    struct chance chance = chance_open();
    for (size_t count = 1; count <= VALUES; count = count * 3 + 1) {
        open_recent();
        for (size_t i = 0; i < count; i++) {
            values[i] = UINT64_C(1024) + (chance_next(&chance) >> (20 + chance_below(&chance, 40)));
            recent_add(&recent, values[i], 1);
        }
        qsort(values, count, sizeof values[0], compare);
        struct percentiles found = recent_percentiles(&recent);
        assert_near(found.p50_ns, exact(values, count, 500));
        assert_near(found.p95_ns, exact(values, count, 950));
        assert_near(found.p99_ns, exact(values, count, 990));
    }
}
END_TEST

START_TEST(a_value_is_reported_for_one_to_two_spans) {
    open_recent();
    uint64_t start_ns = 1000 * CLOCK_S;
    recent_add(&recent, CLOCK_S, start_ns);
    recent_add(&recent, CLOCK_MS, start_ns + RECENT_SPAN_NS - 1); /* the same generation */
    assert_near(recent_percentiles(&recent).p99_ns, CLOCK_S);
    recent_add(&recent, CLOCK_MS, start_ns + RECENT_SPAN_NS); /* the next: both are reported */
    assert_near(recent_percentiles(&recent).p99_ns, CLOCK_S);
    recent_add(&recent, CLOCK_MS, start_ns + 2 * RECENT_SPAN_NS); /* the first is forgotten */
    assert_near(recent_percentiles(&recent).p99_ns, CLOCK_MS);
}
END_TEST

START_TEST(after_a_long_silence_only_the_new_counts) {
    open_recent();
    recent_add(&recent, CLOCK_S, 1000 * CLOCK_S);
    recent_add(&recent, CLOCK_MS, 1000 * CLOCK_S + 2 * RECENT_SPAN_NS);
    assert_near(recent_percentiles(&recent).p99_ns, CLOCK_MS);
}
END_TEST

START_TEST(an_answer_is_counted_everywhere) {
    struct stats stats = {0};
    stats_answered(&stats, CLOCK_MS, 0, 20 * CLOCK_MS, CLOCK_S);
    ck_assert_uint_eq(stats.queue.count, 1);
    ck_assert_uint_eq(stats.run.count, 1);
    ck_assert_uint_eq(stats.cold.count, 0); /* it was warm */
    ck_assert_uint_eq(stats.cancel.count, 0);
    ck_assert_uint_eq(stats.mean_run_ns, 20 * CLOCK_MS);
    assert_near(recent_percentiles(&stats.queue_recent).p50_ns, CLOCK_MS);
    assert_near(recent_percentiles(&stats.run_recent).p50_ns, 20 * CLOCK_MS);
    stats_answered(&stats, CLOCK_MS, 3 * CLOCK_S, 20 * CLOCK_MS, CLOCK_S);
    ck_assert_uint_eq(stats.cold.count, 1);
    ck_assert_uint_eq(stats.cold.sum_ns, 3 * CLOCK_S);
    ck_assert_uint_eq(stats.queue.count, 2);
}
END_TEST

START_TEST(the_mean_is_of_the_first_runs_and_then_follows) {
    struct stats stats = {0};
    stats_answered(&stats, 0, 0, 0, CLOCK_S);
    ck_assert_uint_eq(stats.mean_run_ns, 1); /* known, though it took no time */
    stats = (struct stats){0};
    stats_answered(&stats, 0, 0, 100 * CLOCK_MS, CLOCK_S);
    stats_answered(&stats, 0, 0, 10 * CLOCK_MS, CLOCK_S);
    stats_answered(&stats, 0, 0, 40 * CLOCK_MS, CLOCK_S);
    ck_assert_uint_eq(stats.mean_run_ns, 50 * CLOCK_MS);
    for (int i = 3; i < MEAN_RUNS; i++) stats_answered(&stats, 0, 0, 50 * CLOCK_MS, CLOCK_S);
    stats_answered(&stats, 0, 0, 82 * CLOCK_MS, CLOCK_S);
    ck_assert_uint_eq(stats.mean_run_ns, 51 * CLOCK_MS);
    for (int i = 0; i < MEAN_RUNS; i++) stats_answered(&stats, 0, 0, 0, CLOCK_S);
    ck_assert_uint_gt(stats.mean_run_ns, 17 * CLOCK_MS);
    ck_assert_uint_lt(stats.mean_run_ns, 20 * CLOCK_MS); /* 51 ms / e is 18.8 ms */
    for (int i = 0; i < 2000; i++) stats_answered(&stats, 0, 0, CLOCK_S, CLOCK_S);
    ck_assert_uint_gt(stats.mean_run_ns, 999 * CLOCK_MS);
    ck_assert_uint_le(stats.mean_run_ns, CLOCK_S);
    for (int i = 0; i < 2000; i++) stats_answered(&stats, 0, 0, 0, CLOCK_S);
    ck_assert_uint_gt(stats.mean_run_ns, 0);
}
END_TEST

START_TEST(the_expected_wait_counts_rounds) {
    ck_assert_uint_eq(stats_expected_wait(0, 100, 4), 0);
    ck_assert_uint_eq(stats_expected_wait(10, 0, 4), 10);
    ck_assert_uint_eq(stats_expected_wait(10, 3, 4), 10);
    ck_assert_uint_eq(stats_expected_wait(10, 4, 4), 20);
    ck_assert_uint_eq(stats_expected_wait(10, 9, 0), 100); /* at least one at a time */
    ck_assert_uint_eq(stats_expected_wait(UINT64_MAX / 2, 9, 1), UINT64_MAX);
    ck_assert_uint_eq(stats_expected_wait(1, UINT32_MAX, UINT32_MAX), 2);
}
END_TEST

SUITE("core/stats", 30, the_bounds_grow, a_bound_belongs_to_its_own_bucket,
      the_ends_of_time_have_their_buckets, without_a_value_percentiles_are_zero,
      one_value_is_every_percentile, a_value_beyond_all_buckets_is_kept_in_the_last,
      percentiles_are_at_most_an_eighth_too_high, a_value_is_reported_for_one_to_two_spans,
      after_a_long_silence_only_the_new_counts, an_answer_is_counted_everywhere,
      the_mean_is_of_the_first_runs_and_then_follows, the_expected_wait_counts_rounds)
