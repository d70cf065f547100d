/* forecast: level, trend and slots with numbers, then against the same arithmetic written another way. */
#include "core/base/clock.h"
#include "core/policy/forecast.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <math.h>

#define START_NS  (1000 * CLOCK_S)
#define TINY      1e-9
#define MINUTE_NS (60 * CLOCK_S)

static struct forecast forecast;
static uint64_t now_ns;

static void begin(void) {
    forecast = (struct forecast){0};
    now_ns = START_NS;
    forecast_look(&forecast, now_ns);
}

/* So many arrivals in the time, then a look. */
static void pass(uint64_t arrivals, uint64_t time_ns) {
    for (uint64_t i = 0; i < arrivals; i++) forecast_arrival(&forecast);
    now_ns += time_ns;
    forecast_look(&forecast, now_ns);
}

static void assert_near(double actual, double expected, double allowed) {
    ck_assert_msg(fabs(actual - expected) <= allowed, "%.9f, not %.9f ± %g", actual, expected,
                  allowed);
}

START_TEST(without_a_look_nothing_is_foreseen) {
    forecast = (struct forecast){0};
    forecast_arrival(&forecast);
    ck_assert(forecast_rate(&forecast, 0) == 0);
    ck_assert(forecast_rate(&forecast, MINUTE_NS) == 0);
}
END_TEST

START_TEST(what_came_before_the_first_look_has_no_rate) {
    forecast = (struct forecast){0};
    for (int i = 0; i < 1000; i++) forecast_arrival(&forecast);
    forecast_look(&forecast, START_NS);
    ck_assert(forecast_rate(&forecast, 0) == 0);
    now_ns = START_NS;
    pass(10, CLOCK_S);
    assert_near(forecast_rate(&forecast, 0), 10, TINY);
}
END_TEST

START_TEST(a_steady_rate_is_known_after_one_interval_and_stays) {
    begin();
    for (int i = 0; i < 50; i++) {
        pass(20, 2 * CLOCK_S);
        assert_near(forecast_rate(&forecast, 0), 10, TINY);
        assert_near(forecast_rate(&forecast, MINUTE_NS), 10, 1e-6);
    }
}
END_TEST

START_TEST(at_a_look_a_second_the_smoothing_is_holts) {
    begin();
    pass(10, CLOCK_S);
    pass(20, CLOCK_S); /* expected 10: level 15, trend 0.3 × 5 */
    assert_near(forecast.level, 15, TINY);
    assert_near(forecast.trend, 1.5, TINY);
    pass(20, CLOCK_S); /* expected 16.5: level 18.25, trend 1.5 + 0.3 × (3.25 - 1.5) */
    assert_near(forecast.level, 18.25, TINY);
    assert_near(forecast.trend, 2.025, TINY);
    assert_near(forecast_rate(&forecast, 0), 18.25, TINY);
    assert_near(forecast_rate(&forecast, 2 * CLOCK_S), 22.3, TINY);
}
END_TEST

START_TEST(a_rate_that_climbs_is_foreseen_ahead) {
    begin();
    for (uint64_t second = 1; second <= 60; second++) pass(5 * second, CLOCK_S);
    assert_near(forecast_rate(&forecast, 0), 300, 0.5);
    assert_near(forecast_rate(&forecast, 10 * CLOCK_S), 350, 1);
}
END_TEST

START_TEST(a_rate_that_falls_is_never_foreseen_below_nothing) {
    begin();
    for (uint64_t second = 0; second < 20; second++) pass(200 - 10 * second, CLOCK_S);
    assert_near(forecast_rate(&forecast, 0), 10, 1);
    ck_assert(forecast_rate(&forecast, MINUTE_NS) == 0);
}
END_TEST

START_TEST(what_has_ended_is_forgotten) {
    begin();
    for (int i = 0; i < 30; i++) pass(1000, CLOCK_S);
    for (int i = 0; i < 60; i++) {
        pass(0, CLOCK_S);
        ck_assert(forecast_rate(&forecast, 0) >= 0);
    }
    ck_assert_uint_eq(
        forecast_slots(forecast_rate(&forecast, 30 * CLOCK_S), CLOCK_S, 1, 0, CLOCK_S), 0);
}
END_TEST

START_TEST(looks_less_than_a_millisecond_apart_change_nothing) {
    begin();
    pass(10, CLOCK_S);
    struct forecast before = forecast;
    forecast_arrival(&forecast);
    forecast_look(&forecast, now_ns + CLOCK_MS - 1);
    forecast_look(&forecast, now_ns);
    forecast_look(&forecast, now_ns - CLOCK_S); /* no later than the last one */
    ck_assert(forecast.level == before.level && forecast.trend == before.trend);
    ck_assert_uint_eq(forecast.looks, before.looks);
    ck_assert_uint_eq(forecast.looked_ns, before.looked_ns);
    ck_assert_uint_eq(forecast.arrivals, 1);
    forecast_look(&forecast, now_ns + CLOCK_MS);
    ck_assert_uint_eq(forecast.arrivals, 0);
    ck_assert_uint_eq(forecast.looked_ns, now_ns + CLOCK_MS);
}
END_TEST

START_TEST(a_blink_counts_for_little_and_an_hour_for_nearly_all) {
    begin();
    pass(10, CLOCK_S);
    pass(1, CLOCK_MS); /* 1,000 a second, for a millisecond */
    ck_assert(forecast_rate(&forecast, 0) < 12);
    begin();
    for (uint64_t second = 1; second <= 20; second++) pass(100 * second, CLOCK_S);
    pass(3600, 3600 * CLOCK_S); /* the trend of an hour ago says nothing any more */
    ck_assert_msg(forecast_rate(&forecast, 0) < 110, "%f", forecast_rate(&forecast, 0));
}
END_TEST

/* Requests come one by one at random: what is foreseen is on average what comes. */
START_TEST(random_arrivals_are_foreseen_without_a_bias) {
    struct chance chance = chance_open();
    double sum = 0;
    begin();
    for (int look = 0; look < 4000; look++) {
        uint64_t arrivals = 0;
        for (int i = 0; i < 1000; i++) arrivals += chance_percent(&chance, 4); /* 40 a second */
        pass(arrivals, CLOCK_S);
        sum += forecast_rate(&forecast, CLOCK_S);
    }
    assert_near(sum / 4000, 40, 1);
}
END_TEST

START_TEST(nothing_known_needs_no_slot) {
    ck_assert_uint_eq(forecast_slots(0, 0, 1, 0, 0), 0);
    ck_assert_uint_eq(forecast_slots(1000, 0, 1, 1000, CLOCK_S), 0);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 1, 0, CLOCK_S), 0);
}
END_TEST

START_TEST(a_rate_and_a_run_time_make_slots_at_80_percent_use) {
    ck_assert_uint_eq(forecast_slots(8, CLOCK_S, 1, 0, CLOCK_S), 10);
    ck_assert_uint_eq(forecast_slots(8.1, CLOCK_S, 1, 0, CLOCK_S), 11);
    ck_assert_uint_eq(forecast_slots(7.9, CLOCK_S, 1, 0, CLOCK_S), 10);
    ck_assert_uint_eq(forecast_slots(80, 100 * CLOCK_MS, 1, 0, CLOCK_S), 10);
    ck_assert_uint_eq(forecast_slots(1, 100 * CLOCK_MS, 1, 0, CLOCK_S), 1);
}
END_TEST

START_TEST(a_slot_that_runs_several_at_once_counts_so_often) {
    ck_assert_uint_eq(forecast_slots(8, CLOCK_S, 4, 0, CLOCK_S), 3);
    ck_assert_uint_eq(forecast_slots(8, CLOCK_S, 10, 0, CLOCK_S), 1);
    ck_assert_uint_eq(forecast_slots(8, CLOCK_S, 9, 0, CLOCK_S), 2);
}
END_TEST

START_TEST(those_that_wait_take_slots_for_the_time_of_the_horizon) {
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 1, 100, 10 * CLOCK_S), 10);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 1, 101, 10 * CLOCK_S), 11);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 2, 100, 10 * CLOCK_S), 5);
    ck_assert_uint_eq(forecast_slots(8, CLOCK_S, 1, 100, 10 * CLOCK_S), 20);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_MS, 1, 1, MINUTE_NS), 1);
    /* 3.0000000000000004 in binary: rounding costs no slot. */
    ck_assert_uint_eq(forecast_slots(0, CLOCK_MS, 1, 273, 91 * CLOCK_MS), 3);
}
END_TEST

START_TEST(within_less_than_one_run_each_that_waits_takes_a_place) {
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 1, 7, 0), 7);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 1, 7, CLOCK_MS), 7);
    ck_assert_uint_eq(forecast_slots(0, CLOCK_S, 2, 7, CLOCK_S), 4);
}
END_TEST

START_TEST(so_rare_a_request_is_not_worth_a_slot) {
    ck_assert_uint_eq(forecast_slots(0.09, 100 * CLOCK_MS, 1, 0, CLOCK_S), 0);
    ck_assert_uint_eq(forecast_slots(0.11, 100 * CLOCK_MS, 1, 0, CLOCK_S), 1);
    ck_assert_uint_eq(forecast_slots(0.09, 100 * CLOCK_MS, 1, 1, CLOCK_S), 1);
}
END_TEST

START_TEST(too_much_saturates) {
    ck_assert_uint_eq(forecast_slots(1e30, CLOCK_S, 1, 0, CLOCK_S), UINT32_MAX);
    ck_assert_uint_eq(forecast_slots(INFINITY, CLOCK_S, 1, 0, CLOCK_S), UINT32_MAX);
    ck_assert_uint_eq(forecast_slots(0, UINT64_MAX, 1, UINT32_MAX, 0), UINT32_MAX);
    ck_assert_uint_eq(forecast_slots(-5, CLOCK_S, 1, 0, CLOCK_S), 0);
}
END_TEST

/* Holt's two equations as the books have them, with the factors of an interval of any length. */
struct model {
    double level, trend;
};

static void model_look(struct model *model, double rate, double seconds) {
    double alpha = seconds / (seconds + (1 - FORECAST_LEVEL) / FORECAST_LEVEL);
    double beta = seconds / (seconds + (1 - FORECAST_TREND) / FORECAST_TREND);
    double old = model->level;
    model->level = alpha * rate + (1 - alpha) * fmax(0, old + model->trend * seconds);
    model->trend = beta * (model->level - old) / seconds + (1 - beta) * model->trend;
}

START_TEST(at_random_intervals_it_agrees_with_the_books) {
    struct chance chance = chance_open();
    for (int round = 0; round < 200; round++) {
        begin();
        uint64_t first = chance_below(&chance, 100);
        pass(first, CLOCK_S);
        struct model model = {.level = (double)first};
        for (int look = 0; look < 200; look++) {
            uint64_t arrivals = chance_below(&chance, 100);
            uint64_t time_ns = CLOCK_MS * (1 + chance_below(&chance, 3000));
            pass(arrivals, time_ns);
            model_look(&model, (double)arrivals / ((double)time_ns / 1e9), (double)time_ns / 1e9);
            double ahead = fmax(0, model.level + 2.5 * model.trend);
            double seen = forecast_rate(&forecast, 2500 * CLOCK_MS);
            require(fabs(seen - ahead) <= 1e-6 * (1 + fabs(ahead)));
            require(seen >= 0 && isfinite(seen));
        }
    }
}
END_TEST

START_TEST(more_of_anything_never_needs_fewer_slots) {
    struct chance chance = chance_open();
    for (int round = 0; round < 100000; round++) {
        double rate = chance_below(&chance, 1000) / 10.0;
        uint64_t run_ns = CLOCK_MS * (1 + chance_below(&chance, 5000));
        uint32_t inflight = 1 + chance_below(&chance, 8), waiting = chance_below(&chance, 50);
        uint64_t horizon_ns = CLOCK_MS * chance_below(&chance, 20000);
        uint32_t slots = forecast_slots(rate, run_ns, inflight, waiting, horizon_ns);
        require(forecast_slots(rate + 1, run_ns, inflight, waiting, horizon_ns) >= slots);
        require(forecast_slots(rate, run_ns, inflight, waiting + 1, horizon_ns) >= slots);
        require(forecast_slots(rate, run_ns, inflight + 1, waiting, horizon_ns) <= slots);
        require(forecast_slots(rate, run_ns, inflight, waiting, horizon_ns + CLOCK_S) <= slots);
        require(waiting == 0 || slots > 0);
    }
}
END_TEST

SUITE("core/forecast", 30, without_a_look_nothing_is_foreseen,
      what_came_before_the_first_look_has_no_rate,
      a_steady_rate_is_known_after_one_interval_and_stays,
      at_a_look_a_second_the_smoothing_is_holts, a_rate_that_climbs_is_foreseen_ahead,
      a_rate_that_falls_is_never_foreseen_below_nothing, what_has_ended_is_forgotten,
      looks_less_than_a_millisecond_apart_change_nothing,
      a_blink_counts_for_little_and_an_hour_for_nearly_all,
      random_arrivals_are_foreseen_without_a_bias, nothing_known_needs_no_slot,
      a_rate_and_a_run_time_make_slots_at_80_percent_use,
      a_slot_that_runs_several_at_once_counts_so_often,
      those_that_wait_take_slots_for_the_time_of_the_horizon,
      within_less_than_one_run_each_that_waits_takes_a_place, so_rare_a_request_is_not_worth_a_slot,
      too_much_saturates, at_random_intervals_it_agrees_with_the_books,
      more_of_anything_never_needs_fewer_slots)
