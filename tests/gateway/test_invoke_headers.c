#include "core/base/clock.h"
#include "gateway/http/invoke.h"
#include "gateway/http/result.h"
#include "gateway/http/urgency.h"
#include "tests/support/suite.h"

START_TEST(each_urgency_has_its_class) {
    static const enum priority classes[] = {PRIORITY_CRITICAL, PRIORITY_HIGH, PRIORITY_HIGH,
                                            PRIORITY_NORMAL,   PRIORITY_LOW,  PRIORITY_LOW,
                                            PRIORITY_BATCH,    PRIORITY_BATCH};
    for (int urgency = 0; urgency <= 7; urgency++) {
        char field[8];
        snprintf(field, sizeof field, "u=%d", urgency);
        ck_assert_int_eq(urgency_priority(field), classes[urgency]);
    }
}
END_TEST

START_TEST(an_urgency_is_found_among_other_members) {
    ck_assert_int_eq(urgency_priority("i, u=1"), PRIORITY_HIGH);
    ck_assert_int_eq(urgency_priority("u=7, i"), PRIORITY_BATCH);
    ck_assert_int_eq(urgency_priority("  u=0;x=1 , i"), PRIORITY_CRITICAL);
    ck_assert_int_eq(urgency_priority("u=1, u=6"), PRIORITY_BATCH);
}
END_TEST

START_TEST(an_urgency_that_cannot_be_read_is_ignored) {
    static const char *const fields[] = {"",     "i",     "u",    "u=",     "u=8", "u=-1",
                                         "u=01", "u=1.5", "u =1", "xu=1",   "U=1", "u=a",
                                         ",",    "u=10",  ";u=1", "u=\"1\""};
    ck_assert_int_eq(urgency_priority(NULL), PRIORITY_NORMAL);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_msg(urgency_priority(fields[i]) == PRIORITY_NORMAL, "%s", fields[i]);
}
END_TEST

START_TEST(a_timeout_is_capped_and_not_refused_above_the_most) {
    uint64_t ns = 0;
    ck_assert(invoke_timeout("1", CLOCK_S, &ns));
    ck_assert_uint_eq(ns, CLOCK_MS);
    ck_assert(invoke_timeout("999", CLOCK_S, &ns));
    ck_assert_uint_eq(ns, 999 * CLOCK_MS);
    ck_assert(invoke_timeout("1001", CLOCK_S, &ns));
    ck_assert_uint_eq(ns, CLOCK_S);
    ck_assert(invoke_timeout("1000000000000", CLOCK_S, &ns));
    ck_assert_uint_eq(ns, CLOCK_S);
}
END_TEST

START_TEST(a_timeout_that_is_no_number_of_one_or_more_is_refused) {
    static const char *const fields[] = {"",
                                         "0",
                                         "-1",
                                         "+1",
                                         "1.5",
                                         "1s",
                                         " 1",
                                         "000",
                                         "0x10",
                                         "1000000000001",
                                         "9223372036854775808",
                                         "99999999999999999999999999999999"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_msg(!invoke_timeout(fields[i], CLOCK_S, &ns), "%s", fields[i]);
}
END_TEST

START_TEST(times_are_milliseconds_with_three_decimals) {
    char text[SERVER_TIMING_BYTES];
    struct request request = {.queue_ns = 1250999, .cold_ns = 0, .run_ns = UINT64_C(3600000000001)};
    server_timing(&request, text);
    ck_assert_str_eq(text, "queue;dur=1.250, cold;dur=0.000, run;dur=3600000.000");
}
END_TEST

START_TEST(a_worker_cannot_smuggle_lines_into_a_header) {
    ck_assert(header_value_fits("text/plain; charset=utf-8"));
    ck_assert(header_value_fits(""));
    ck_assert(!header_value_fits("a\r\nSet-Cookie: b"));
    ck_assert(!header_value_fits("a\tb"));
    ck_assert(!header_value_fits("caf\xc3\xa9"));
}
END_TEST

SUITE("gateway/http/invoke headers", 5, each_urgency_has_its_class,
      an_urgency_is_found_among_other_members, an_urgency_that_cannot_be_read_is_ignored,
      a_timeout_is_capped_and_not_refused_above_the_most,
      a_timeout_that_is_no_number_of_one_or_more_is_refused,
      times_are_milliseconds_with_three_decimals, a_worker_cannot_smuggle_lines_into_a_header)
