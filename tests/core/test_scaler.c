/* scaler: how many workers a pool should have, rule by rule, with numbers. */
#include "core/base/clock.h"
#include "core/policy/scaler.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define LIMIT_NS 300

/* An adaptive pool of 1 to 4 with two slots that can serve, none of them busy, nothing waiting. */
static struct scale_facts facts(void) {
    return (struct scale_facts){.policy = SCALE_ADAPTIVE,
                                .min = 1,
                                .max = 4,
                                .able = 2,
                                .idle_longest_ns = LIMIT_NS - 1,
                                .idle_limit_ns = LIMIT_NS};
}

static void assert_wanted(const struct scale_facts *asked, uint32_t wanted) {
    struct scale_decision decision = scaler_decide(asked);
    ck_assert_msg(decision.wanted == wanted, "%u wanted, not %u: %s", decision.wanted, wanted,
                  decision.why);
    ck_assert_int_ne(decision.why[0], '\0');
}

START_TEST(a_pool_below_its_min_gets_all_of_it_at_once) {
    struct scale_facts asked = facts();
    asked.min = 4;
    assert_wanted(&asked, 4);
    asked.coming = 1;
    assert_wanted(&asked, 4);
    asked.able = 0;
    asked.coming = 0;
    assert_wanted(&asked, 4);
    asked.policy = SCALE_FIXED;
    assert_wanted(&asked, 4);
}
END_TEST

START_TEST(a_quiet_pool_stays_as_it_is) {
    struct scale_facts asked = facts();
    assert_wanted(&asked, 2);
}
END_TEST

START_TEST(a_busy_pool_with_waiting_work_gets_one_more) {
    struct scale_facts asked = facts();
    asked.busy = 2;
    asked.waiting = 100;
    assert_wanted(&asked, 3);
}
END_TEST

START_TEST(it_grows_only_when_all_are_busy) {
    struct scale_facts asked = facts();
    asked.busy = 1;
    asked.waiting = 100;
    assert_wanted(&asked, 2);
}
END_TEST

START_TEST(it_grows_only_when_work_waits) {
    struct scale_facts asked = facts();
    asked.busy = 2;
    assert_wanted(&asked, 2);
}
END_TEST

START_TEST(it_grows_one_at_a_time) {
    struct scale_facts asked = facts();
    asked.busy = 2;
    asked.waiting = 100;
    asked.coming = 1;
    assert_wanted(&asked, 3); /* the one that is on its way */
}
END_TEST

START_TEST(it_never_grows_beyond_its_max) {
    struct scale_facts asked = facts();
    asked.able = asked.busy = 4;
    asked.waiting = 100;
    assert_wanted(&asked, 4);
}
END_TEST

START_TEST(a_slot_that_is_idle_too_long_goes) {
    struct scale_facts asked = facts();
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 1);
}
END_TEST

START_TEST(it_never_shrinks_below_its_min) {
    struct scale_facts asked = facts();
    asked.able = 1;
    asked.idle_longest_ns = 10 * LIMIT_NS;
    assert_wanted(&asked, 1);
}
END_TEST

START_TEST(it_does_not_shrink_while_work_waits) {
    struct scale_facts asked = facts();
    asked.idle_longest_ns = 10 * LIMIT_NS;
    asked.waiting = 1;
    assert_wanted(&asked, 2);
}
END_TEST

START_TEST(a_cold_pool_starts_one_for_the_first_request) {
    static const enum scale_policy policies[] = {SCALE_FIXED, SCALE_ADAPTIVE, SCALE_PREDICTIVE};
    for (int i = 0; i < 3; i++) {
        struct scale_facts asked = {.policy = policies[i], .min = 0, .max = 4};
        assert_wanted(&asked, 0);
        asked.waiting = 100;
        assert_wanted(&asked, 1);
        asked.coming = 1;
        assert_wanted(&asked, 1); /* however many wait */
    }
}
END_TEST

START_TEST(a_cold_pool_without_slots_starts_nothing) {
    struct scale_facts asked = {.policy = SCALE_ADAPTIVE, .min = 0, .max = 0, .waiting = 5};
    assert_wanted(&asked, 0);
}
END_TEST

START_TEST(the_last_slot_of_a_cold_pool_goes_when_it_is_idle) {
    struct scale_facts asked = facts();
    asked.min = 0;
    asked.able = 1;
    assert_wanted(&asked, 1);
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 0);
}
END_TEST

START_TEST(a_fixed_pool_keeps_its_min) {
    struct scale_facts asked = facts();
    asked.policy = SCALE_FIXED;
    asked.min = 2;
    asked.busy = 2;
    asked.waiting = 100;
    assert_wanted(&asked, 2);
    asked.able = 3;
    assert_wanted(&asked, 2);
    asked.able = 2;
    asked.waiting = 0;
    asked.busy = 0;
    asked.idle_longest_ns = 10 * LIMIT_NS;
    assert_wanted(&asked, 2);
}
END_TEST

/* In a drain every pool is asked with min 0: a fixed one must not begin to grow, nor lose who works. */
START_TEST(a_fixed_pool_without_a_min_neither_grows_nor_shrinks) {
    struct scale_facts asked = facts();
    asked.policy = SCALE_FIXED;
    asked.min = 0;
    asked.busy = 2;
    asked.waiting = 100;
    assert_wanted(&asked, 2);
    asked.waiting = 0;
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 2);
    asked.able = asked.busy = 0;
    asked.waiting = 1;
    assert_wanted(&asked, 1);
}
END_TEST

START_TEST(what_was_handed_ahead_waits_too) {
    struct scale_facts asked = facts();
    asked.busy = 2;
    asked.staged = 1;
    assert_wanted(&asked, 3);
    asked.busy = 0;
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 2); /* so nobody goes */
    asked.staged = 0;
    assert_wanted(&asked, 1);
    asked.staged = asked.waiting = UINT32_MAX;
    asked.busy = 2;
    assert_wanted(&asked, 3);
}
END_TEST

START_TEST(nobody_grows_while_there_is_no_memory) {
    struct scale_facts asked = facts();
    asked.no_room = true;
    asked.min = 4;
    assert_wanted(&asked, 2);
    asked.policy = SCALE_FIXED;
    assert_wanted(&asked, 2);
    asked = facts();
    asked.no_room = true;
    asked.busy = 2;
    asked.waiting = 9;
    assert_wanted(&asked, 2);
    ck_assert_str_eq(scaler_decide(&asked).why, "no memory for more, though all 2 busy and 9 wait");
    asked.able = asked.busy = asked.min = 0;
    assert_wanted(&asked, 0);
    asked.policy = SCALE_PREDICTIVE;
    asked.forecast_rate = 100;
    asked.mean_run_ns = CLOCK_S;
    assert_wanted(&asked, 0);
}
END_TEST

START_TEST(without_memory_a_pool_shrinks_all_the_same) {
    struct scale_facts asked = facts();
    asked.no_room = true;
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 1);
}
END_TEST

/* A predictive pool of 1 to 8 with two slots; a run takes 200 ms, a cold start 2.1 s. */
static struct scale_facts predictive(double rate) {
    struct scale_facts asked = facts();
    asked.policy = SCALE_PREDICTIVE;
    asked.max = 8;
    asked.forecast_rate = rate;
    asked.mean_run_ns = 200 * CLOCK_MS;
    asked.inflight = 1;
    asked.horizon_ns = 2100 * CLOCK_MS;
    return asked;
}

START_TEST(a_predictive_pool_gets_at_once_what_will_be_needed) {
    struct scale_facts asked = predictive(12); /* 2.4 running at once, at 80 % */
    assert_wanted(&asked, 3);
    ck_assert_str_eq(scaler_decide(&asked).why, "12.0 req/s in 2.1 s and 0 waiting need 3 slots");
    asked.forecast_rate = 24;
    assert_wanted(&asked, 6);
    asked.inflight = 2;
    assert_wanted(&asked, 3);
    asked.inflight = 0; /* as 1 */
    assert_wanted(&asked, 6);
    asked.inflight = 1;
    asked.coming = 4; /* they are on their way */
    assert_wanted(&asked, 6);
    asked.able = asked.coming = 0; /* cold */
    assert_wanted(&asked, 6);
    asked.waiting = 1;
    assert_wanted(&asked, 7);
}
END_TEST

START_TEST(a_forecast_leaves_neither_min_nor_max) {
    struct scale_facts asked = predictive(1e9);
    assert_wanted(&asked, 8);
    asked.forecast_rate = 0;
    asked.idle_longest_ns = LIMIT_NS;
    assert_wanted(&asked, 1);
    asked.able = 1;
    assert_wanted(&asked, 1);
}
END_TEST

START_TEST(a_predictive_pool_shrinks_one_at_a_time_after_idle_down_to_the_forecast) {
    struct scale_facts asked = predictive(12);
    asked.able = 6;
    assert_wanted(&asked, 6); /* nobody has been idle for long enough */
    asked.idle_longest_ns = LIMIT_NS;
    for (; asked.able > 3; asked.able--) assert_wanted(&asked, asked.able - 1);
    assert_wanted(&asked, 3);
    ck_assert_str_eq(scaler_decide(&asked).why,
                     "one is idle, but 12.0 req/s in 2.1 s need 3 slots");
    asked.forecast_rate = 0;
    assert_wanted(&asked, 2);
}
END_TEST

START_TEST(work_that_waits_beats_a_forecast_that_is_too_low) {
    struct scale_facts asked = predictive(0.1);
    asked.busy = 2;
    asked.waiting = 5;
    asked.staged = 2;
    assert_wanted(&asked, 3);
}
END_TEST

START_TEST(who_can_foresee_nothing_behaves_as_adaptive) {
    for (uint32_t able = 0; able < 4; able++)
        for (uint32_t busy = 0; busy <= able; busy++)
            for (uint32_t coming = 0; coming < 2; coming++)
                for (uint32_t waiting = 0; waiting < 2; waiting++)
                    for (uint64_t idle_ns = LIMIT_NS - 1; idle_ns <= LIMIT_NS; idle_ns++) {
                        struct scale_facts asked = facts();
                        asked.able = able;
                        asked.busy = busy;
                        asked.coming = coming;
                        asked.waiting = waiting;
                        asked.idle_longest_ns = idle_ns;
                        uint32_t wanted = scaler_decide(&asked).wanted;
                        asked.policy = SCALE_PREDICTIVE;
                        assert_wanted(&asked, wanted);
                    }
}
END_TEST

START_TEST(every_reason_fits_and_ends) {
    struct scale_facts asked = predictive(1e300);
    asked.no_room = true;
    asked.horizon_ns = UINT64_MAX;
    struct scale_decision decision = scaler_decide(&asked);
    ck_assert_uint_eq(decision.wanted, 2);
    ck_assert_uint_lt(strlen(decision.why), SCALE_WHY_BYTES);
}
END_TEST

static void check_bounds(const struct scale_facts *asked) {
    uint32_t alive = asked->able + asked->coming;
    struct scale_decision decision = scaler_decide(asked);
    require(decision.why[0] != '\0' && strlen(decision.why) < SCALE_WHY_BYTES);
    require(decision.wanted <= asked->max);
    require(asked->no_room ? decision.wanted <= alive : decision.wanted >= asked->min);
    if (decision.wanted < alive && asked->policy != SCALE_FIXED) {
        require(decision.wanted == alive - 1 && alive > asked->min);
        require(asked->idle_longest_ns >= asked->idle_limit_ns);
        require(asked->waiting + asked->staged == 0);
    }
    if (alive >= asked->min && asked->policy != SCALE_PREDICTIVE)
        require(decision.wanted <= alive + 1);
}

START_TEST(no_decision_leaves_the_bounds_or_makes_a_leap) {
    struct chance chance = chance_open();
    for (int round = 0; round < 200000; round++) {
        uint32_t max = 1 + chance_below(&chance, 8);
        struct scale_facts asked = {.policy = (enum scale_policy)chance_below(&chance, 3),
                                    .min = chance_below(&chance, max + 1),
                                    .max = max,
                                    .able = chance_below(&chance, max + 1),
                                    .waiting = chance_below(&chance, 3),
                                    .staged = chance_below(&chance, 3),
                                    .idle_longest_ns = chance_below(&chance, 2 * LIMIT_NS),
                                    .idle_limit_ns = LIMIT_NS,
                                    .no_room = chance_percent(&chance, 20),
                                    .forecast_rate = chance_below(&chance, 200) / 10.0,
                                    .mean_run_ns = CLOCK_MS * chance_below(&chance, 1000),
                                    .inflight = chance_below(&chance, 4),
                                    .horizon_ns = CLOCK_MS * chance_below(&chance, 5000)};
        asked.busy = chance_below(&chance, asked.able + 1);
        asked.coming = chance_below(&chance, max - asked.able + 1);
        check_bounds(&asked);
    }
}
END_TEST

SUITE("core/scaler", 30, a_pool_below_its_min_gets_all_of_it_at_once, a_quiet_pool_stays_as_it_is,
      a_busy_pool_with_waiting_work_gets_one_more, it_grows_only_when_all_are_busy,
      it_grows_only_when_work_waits, it_grows_one_at_a_time, it_never_grows_beyond_its_max,
      a_slot_that_is_idle_too_long_goes, it_never_shrinks_below_its_min,
      it_does_not_shrink_while_work_waits, a_cold_pool_starts_one_for_the_first_request,
      a_cold_pool_without_slots_starts_nothing, the_last_slot_of_a_cold_pool_goes_when_it_is_idle,
      a_fixed_pool_keeps_its_min, a_fixed_pool_without_a_min_neither_grows_nor_shrinks,
      what_was_handed_ahead_waits_too, nobody_grows_while_there_is_no_memory,
      without_memory_a_pool_shrinks_all_the_same,
      a_predictive_pool_gets_at_once_what_will_be_needed, a_forecast_leaves_neither_min_nor_max,
      a_predictive_pool_shrinks_one_at_a_time_after_idle_down_to_the_forecast,
      work_that_waits_beats_a_forecast_that_is_too_low, who_can_foresee_nothing_behaves_as_adaptive,
      every_reason_fits_and_ends, no_decision_leaves_the_bounds_or_makes_a_leap)
