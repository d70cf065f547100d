/* deadlines: the earliest is first, whatever the order in which they came and go. */
#include "core/base/clock.h"
#include "core/policy/deadlines.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define MOST 200

static struct deadlines deadlines;
static struct request requests[MOST];

static void open_empty(void) {
    ck_assert_int_eq(deadlines_init(&deadlines, MOST), OK);
    for (size_t i = 0; i < MOST; i++)
        requests[i] = (struct request){.deadline_index = REQUEST_NOWHERE};
}

static void add(size_t number, uint64_t deadline_ns) {
    requests[number].deadline_ns = deadline_ns;
    deadlines_add(&deadlines, &requests[number]);
}

static void assert_first(uint64_t deadline_ns) {
    ck_assert_ptr_nonnull(deadlines_first(&deadlines));
    ck_assert_uint_eq(deadlines_first(&deadlines)->deadline_ns, deadline_ns);
}

static void remove_first(void) {
    deadlines_remove(&deadlines, deadlines_first(&deadlines));
}

START_TEST(nobody_is_first_of_none) {
    open_empty();
    ck_assert_ptr_null(deadlines_first(&deadlines));
    deadlines_free(&deadlines);
}
END_TEST

START_TEST(those_that_come_in_order_or_nearly_stand_in_the_line_alone) {
    open_empty();
    const uint64_t near[] = {10, 20, 15, 30, 12, 40, 35};
    for (size_t i = 0; i < 7; i++) add(i, near[i]);
    ck_assert_uint_eq(deadlines.others.count, 0);
    const uint64_t order[] = {10, 12, 15, 20, 30, 35, 40};
    for (size_t i = 0; i < 7; i++, remove_first()) assert_first(order[i]);
    ck_assert_ptr_null(deadlines_first(&deadlines));
    deadlines_free(&deadlines);
}
END_TEST

START_TEST(one_that_is_far_too_early_for_the_line_is_first_all_the_same) {
    open_empty();
    for (size_t i = 0; i < 20; i++) add(i, 1000 + i);
    add(20, 5);
    ck_assert_uint_eq(deadlines.others.count, 1);
    assert_first(5);
    remove_first();
    assert_first(1000);
    deadlines_remove(&deadlines, &requests[1]);
    remove_first();
    assert_first(1002);
    deadlines_free(&deadlines);
}
END_TEST

START_TEST(one_that_is_not_in_may_be_removed) {
    open_empty();
    add(0, 7);
    deadlines_remove(&deadlines, &requests[1]);
    assert_first(7);
    deadlines_free(&deadlines);
}
END_TEST

static uint64_t earliest(void) {
    uint64_t first_ns = CLOCK_NEVER;
    for (size_t i = 0; i < MOST; i++)
        if (requests[i].deadline_ns > 0 && requests[i].deadline_ns < first_ns)
            first_ns = requests[i].deadline_ns;
    return first_ns;
}

START_TEST(a_hundred_thousand_that_come_and_go_by_chance_keep_their_order) {
    struct chance chance = chance_open();
    open_empty();
    for (int i = 0; i < 100000; i++) {
        size_t number = chance_below(&chance, MOST);
        struct request *request = &requests[number];
        if (request->deadline_ns > 0) {
            deadlines_remove(&deadlines, request);
            request->deadline_ns = 0;
        } else {
            uint64_t patience = chance_below(&chance, 3) == 0 ? 50 : 5000;
            add(number, 1 + (uint64_t)i + patience + chance_below(&chance, 5));
        }
        if (earliest() == CLOCK_NEVER)
            ck_assert_ptr_null(deadlines_first(&deadlines));
        else
            assert_first(earliest());
    }
    deadlines_free(&deadlines);
}
END_TEST

SUITE("core/deadlines", 60, nobody_is_first_of_none,
      those_that_come_in_order_or_nearly_stand_in_the_line_alone,
      one_that_is_far_too_early_for_the_line_is_first_all_the_same,
      one_that_is_not_in_may_be_removed,
      a_hundred_thousand_that_come_and_go_by_chance_keep_their_order)
