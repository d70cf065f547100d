/* scaler: how many workers a pool should have, rule by rule, with numbers. */
#include "core/policy/scaler.h"
#include "tests/support/suite.h"

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
    ck_assert_ptr_nonnull(decision.why);
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

START_TEST(predictive_behaves_as_adaptive) {
    for (uint32_t able = 0; able < 4; able++)
        for (uint32_t busy = 0; busy <= able; busy++)
            for (uint32_t coming = 0; coming < 2; coming++)
                for (uint32_t waiting = 0; waiting < 2; waiting++)
                    for (uint64_t idle_ns = LIMIT_NS - 1; idle_ns <= LIMIT_NS; idle_ns++) {
                        struct scale_facts asked = {SCALE_ADAPTIVE, 1,       4,       able,    busy,
                                                    coming,         waiting, idle_ns, LIMIT_NS};
                        uint32_t wanted = scaler_decide(&asked).wanted;
                        asked.policy = SCALE_PREDICTIVE;
                        assert_wanted(&asked, wanted);
                    }
}
END_TEST

START_TEST(no_decision_leaves_the_bounds_or_makes_a_leap) {
    for (int policy = SCALE_FIXED; policy <= SCALE_PREDICTIVE; policy++)
        for (uint32_t min = 0; min < 3; min++)
            for (uint32_t able = 0; able < 5; able++)
                for (uint32_t coming = 0; able + coming < 5; coming++)
                    for (uint32_t waiting = 0; waiting < 2; waiting++)
                        for (uint64_t idle_ns = 0; idle_ns <= LIMIT_NS; idle_ns += LIMIT_NS) {
                            struct scale_facts asked = {policy, min,     4,       able,    able,
                                                        coming, waiting, idle_ns, LIMIT_NS};
                            uint32_t alive = able + coming, wanted = scaler_decide(&asked).wanted;
                            ck_assert_uint_ge(wanted, min);
                            ck_assert_uint_le(wanted, 4);
                            if (alive >= min && policy != SCALE_FIXED)
                                ck_assert(wanted + 1 >= alive && wanted <= alive + 1);
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
      predictive_behaves_as_adaptive, no_decision_leaves_the_bounds_or_makes_a_leap)
