/* cpus: lists of processors as text, and a thread that runs where it is told. */
#include "core/base/cpus.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

START_TEST(a_list_is_read) {
    struct cpus cpus;
    ck_assert_int_eq(cpus_parse(&cpus, "0-3,8,63-64,4095"), OK);
    static const uint32_t expected[] = {0, 1, 2, 3, 8, 63, 64, 4095};
    ck_assert_uint_eq(cpus_count(&cpus), 8);
    for (uint32_t i = 0; i < 8; i++) {
        ck_assert(cpus_has(&cpus, expected[i]));
        ck_assert_uint_eq(cpus_at(&cpus, i), expected[i]);
    }
    ck_assert(!cpus_has(&cpus, 4) && !cpus_has(&cpus, 65) && !cpus_has(&cpus, CPUS_MOST));
    ck_assert_int_eq(cpus_parse(&cpus, "7,7,5-7,5"), OK);
    ck_assert_uint_eq(cpus_count(&cpus), 3);
}
END_TEST

START_TEST(what_is_no_list_is_refused_and_leaves_nothing) {
    static const char *const bad[] = {
        "",     ",",   "1,", ",1", "1-",   "-1",    "3-1",
        "1--2", "1 ",  " 1", "a",  "1,a",  "4096",  "0-4096",
        "0x1",  "1\n", "+1", "1;", "any ", "1-2-3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cpus cpus;
        ck_assert_msg(cpus_parse(&cpus, bad[i]) == INVALID_REQUEST, "%s", bad[i]);
        ck_assert_uint_eq(cpus_count(&cpus), 0);
    }
}
END_TEST

START_TEST(random_lists_are_read_as_they_were_written) {
    struct chance chance = chance_open();
    for (int round = 0; round < 2000; round++) {
        struct cpus expected = {0}, seen;
        char text[512] = "";
        size_t length = 0;
        for (uint32_t ranges = 1 + chance_below(&chance, 10); ranges > 0; ranges--) {
            uint32_t first = chance_below(&chance, CPUS_MOST - 100);
            uint32_t last = first + (chance_percent(&chance, 50) ? 0 : chance_below(&chance, 100));
            for (uint32_t cpu = first; cpu <= last; cpu++) cpus_add(&expected, cpu);
            length += (size_t)snprintf(text + length, sizeof text - length,
                                       first == last ? "%s%u" : "%s%u-%u", length > 0 ? "," : "",
                                       first, last);
        }
        require(cpus_parse(&seen, text) == OK && memcmp(&seen, &expected, sizeof seen) == 0);
    }
}
END_TEST

START_TEST(a_thread_runs_where_it_was_told_and_nowhere_else) {
    struct cpus own, one = {0}, seen, none = {0};
    ck_assert_int_eq(cpus_read_own(&own), 0);
    uint32_t last = cpus_at(&own, cpus_count(&own) - 1);
    cpus_add(&one, last);
    ck_assert_int_eq(cpus_run_on(&one), 0);
    ck_assert_int_eq(cpus_read_own(&seen), 0);
    ck_assert_mem_eq(&seen, &one, sizeof one);
    ck_assert_int_eq(sched_getcpu(), (int)last);
    ck_assert_int_eq(cpus_run_on(&none), EINVAL);
    cpus_add(&none, CPUS_MOST - 1); /* not on this machine */
    ck_assert_int_eq(cpus_run_on(&none), EINVAL);
    ck_assert_int_eq(cpus_run_on(&own), 0);
}
END_TEST

START_TEST(a_node_that_is_not_there_cannot_be_preferred) {
    int why = cpus_prefer_node(0);
    ck_assert_msg(why == 0 || why == EPERM || why == ENOSYS, "%d", why);
    ck_assert_int_ne(cpus_prefer_node(1023), 0);
    ck_assert_int_eq(cpus_prefer_node(1024), EINVAL);
}
END_TEST

SUITE("core/cpus", 30, a_list_is_read, what_is_no_list_is_refused_and_leaves_nothing,
      random_lists_are_read_as_they_were_written, a_thread_runs_where_it_was_told_and_nowhere_else,
      a_node_that_is_not_there_cannot_be_preferred)
