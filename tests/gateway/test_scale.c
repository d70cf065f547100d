#include "gateway/http/scale.h"
#include "tests/support/suite.h"

#include <string.h>

static struct scale scale;
static char flaw[SCALE_FLAW_BYTES];

/* Of a pool that moves between 1 and 2 slots now and may have 4. */
static enum outcome read_scale(const char *text) {
    enum outcome outcome = scale_read(&scale, text, strlen(text), 2, 4, flaw);
    ck_assert_int_eq(outcome == OK, flaw[0] == '\0');
    return outcome;
}

START_TEST(either_member_may_be_missing_and_stays) {
    ck_assert_int_eq(read_scale("{\"min\": 1, \"max\": 4}"), OK);
    ck_assert_uint_eq(scale.min, 1);
    ck_assert_uint_eq(scale.max, 4);
    ck_assert_int_eq(read_scale("{\"min\": 0}"), OK);
    ck_assert_uint_eq(scale.min, 0);
    ck_assert_uint_eq(scale.max, POOL_KEEP);
    ck_assert_int_eq(read_scale(" {\"max\":1}\n"), OK);
    ck_assert_uint_eq(scale.min, POOL_KEEP);
    ck_assert_uint_eq(scale.max, 1);
}
END_TEST

START_TEST(a_min_is_held_against_the_max_that_will_be) {
    ck_assert_int_eq(read_scale("{\"min\": 2}"), OK);
    ck_assert_int_eq(read_scale("{\"min\": 3}"), INVALID_REQUEST);
    ck_assert_str_eq(flaw, "min is above max, which is now 2");
    ck_assert_int_eq(read_scale("{\"min\": 3, \"max\": 3}"), OK);
    ck_assert_int_eq(read_scale("{\"min\": 3, \"max\": 2}"), INVALID_REQUEST);
    ck_assert_str_eq(flaw, "min is above max, which is 2");
}
END_TEST

START_TEST(what_is_wrong_is_said_with_what_is_allowed) {
    static const struct {
        const char *text, *flaw;
    } rows[] = {
        {"", "the body is not a JSON object; allowed: {\"min\": ..., \"max\": ...}, either may be "
             "missing"},
        {"[]", "the body is not a JSON object; allowed: {\"min\": ..., \"max\": ...}, either may "
               "be missing"},
        {"{} x", "the body is not a JSON object; allowed: {\"min\": ..., \"max\": ...}, either may "
                 "be missing"},
        {"{\"max\": 0}", "max is not a whole number from 1 to 4, the pool's slots.max"},
        {"{\"max\": 5}", "max is not a whole number from 1 to 4, the pool's slots.max"},
        {"{\"max\": 4294967297}", "max is not a whole number from 1 to 4, the pool's slots.max"},
        {"{\"min\": -1}", "min is not a whole number from 0 to 4, the pool's slots.max"},
        {"{\"min\": 1.0}", "min is not a whole number from 0 to 4, the pool's slots.max"},
        {"{\"min\": null}", "min is not a whole number from 0 to 4, the pool's slots.max"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(read_scale(rows[i].text) == INVALID_REQUEST, "%s", rows[i].text);
        ck_assert_str_eq(flaw, rows[i].flaw);
    }
}
END_TEST

START_TEST(nothing_else_is_a_member_and_none_comes_twice) {
    ck_assert_int_eq(read_scale("{}"), INVALID_REQUEST);
    ck_assert_int_eq(read_scale("{\"min\": 1, \"most\": 2}"), INVALID_REQUEST);
    ck_assert_int_eq(read_scale("{\"min\": 1, \"min\": 2}"), INVALID_REQUEST);
}
END_TEST

SUITE("gateway/http/scale", 5, either_member_may_be_missing_and_stays,
      a_min_is_held_against_the_max_that_will_be, what_is_wrong_is_said_with_what_is_allowed,
      nothing_else_is_a_member_and_none_comes_twice)
