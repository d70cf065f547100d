/* suite - runs one module's tests with libcheck and prints what tests/run adds up.
 * Each test is a function START_TEST(a_sentence); SUITE lists them. */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* SUITE("core/slot", 30, a_busy_slot_returns_to_ready, …): defines main; seconds bounds each test. */
#define SUITE(name, seconds, ...)                                                                  \
    int main(void) {                                                                               \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(name);                                                         \
        TCase *cases = tcase_create(name);                                                         \
        tcase_set_timeout(cases, seconds);                                                         \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)                                \
            tcase_add_test(cases, tests[i]);                                                       \
        suite_add_tcase(suite, cases);                                                             \
        SRunner *runner = srunner_create(suite);                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        int run = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);              \
        srunner_free(runner);                                                                      \
        printf("%d passed, %d failed\n", run - failed, failed);                                    \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
