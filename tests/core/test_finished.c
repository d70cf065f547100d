/* finished: what became of the last requests, found by number and by name, for a while. */
#include "core/base/clock.h"
#include "core/policy/finished.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

static struct finished *finished;

static void add(uint64_t id, const char *name, const char *tenant, uint64_t now_ns) {
    const struct request request = {.id = id,
                                    .request_id = name,
                                    .tenant = tenant,
                                    .priority = PRIORITY_LOW,
                                    .outcome = WORKER_ERROR,
                                    .source = SOURCE_WORKER,
                                    .attempts = 2,
                                    .arrived_ns = now_ns - 10,
                                    .queue_ns = 3,
                                    .run_ns = 7};
    finished_add(finished, "ocr", &request, now_ns);
}

static void open_finished(void) {
    ck_assert_int_eq(finished_open(&finished), OK);
}

START_TEST(what_became_of_one_is_found_by_number_and_by_name) {
    open_finished();
    add(5, "r-5", "acme", 1000);
    add(6, "r-6", "", 1001);
    const struct finished_request *record = finished_find(finished, 5, NULL, 2000);
    ck_assert_ptr_nonnull(record);
    ck_assert_ptr_eq(finished_find(finished, 0, "r-5", 2000), record);
    ck_assert_str_eq(finished_request_id(record), "r-5");
    ck_assert_str_eq(finished_tenant(record), "acme");
    ck_assert_str_eq(record->pool, "ocr");
    ck_assert_uint_eq(record->outcome, WORKER_ERROR);
    ck_assert_uint_eq(record->priority, PRIORITY_LOW);
    ck_assert_uint_eq(record->arrived_ns, 990);
    ck_assert_uint_eq(record->ended_ns, 1000);
    ck_assert_uint_eq(record->attempts, 2);
    ck_assert_ptr_null(finished_find(finished, 7, NULL, 2000));
    ck_assert_ptr_null(finished_find(finished, 0, "r-7", 2000));
    ck_assert_ptr_null(finished_find(finished, 0, "", 2000));
    finished_free(finished);
}
END_TEST

START_TEST(of_one_name_the_newest_is_found) {
    open_finished();
    add(5, "same", "a", 1000);
    add(6, "same", "b", 1001);
    ck_assert_str_eq(finished_tenant(finished_find(finished, 0, "same", 1002)), "b");
    ck_assert_str_eq(finished_tenant(finished_find(finished, 5, NULL, 1002)), "a");
    finished_free(finished);
}
END_TEST

START_TEST(after_five_minutes_it_is_forgotten) {
    open_finished();
    add(5, "r-5", "", CLOCK_S);
    ck_assert_ptr_nonnull(finished_find(finished, 5, NULL, 301 * CLOCK_S));
    ck_assert_ptr_null(finished_find(finished, 5, NULL, 301 * CLOCK_S + 1));
    ck_assert_ptr_null(finished_find(finished, 0, "r-5", 301 * CLOCK_S + 1));
    finished_free(finished);
}
END_TEST

START_TEST(ten_thousand_are_kept_whatever_they_are_called) {
    char name[130], tenant[130];
    open_finished();
    for (uint64_t id = 1; id <= 25000; id++) {
        snprintf(name, sizeof name, "%0*d", (int)(1 + id % 127), (int)id);
        snprintf(tenant, sizeof tenant, "t%0*d", (int)(id % 126), (int)(id % 5));
        add(id, name, tenant, id);
    }
    for (uint64_t id = 1; id <= 25000; id++) {
        const struct finished_request *record = finished_find(finished, id, NULL, 25000);
        require((record != NULL) == (id > 15000));
        if (record == NULL) continue;
        snprintf(name, sizeof name, "%0*d", (int)(1 + id % 127), (int)id);
        snprintf(tenant, sizeof tenant, "t%0*d", (int)(id % 126), (int)(id % 5));
        require(strcmp(finished_request_id(record), name) == 0);
        require(strcmp(finished_tenant(record), tenant) == 0);
        require(finished_find(finished, 0, name, 25000) == record);
    }
    finished_free(finished);
}
END_TEST

START_TEST(to_remember_one_costs_little) {
    open_finished();
    uint64_t began_ns = clock_now_ns();
    for (uint64_t id = 1; id <= 200000; id++)
        add(id, "0190b5a0-7a3e-7cc1-8a4e-0123456789ab", "acme", id);
    double each_ns = (double)(clock_now_ns() - began_ns) / 200000;
    began_ns = clock_now_ns();
    for (int i = 0; i < 1000; i++) finished_find(finished, 0, "nobody", 200000);
    printf("%.0f ns to remember, %.1f us to look in vain\n", each_ns,
           (double)(clock_now_ns() - began_ns) / 1e6);
    ck_assert_double_lt(each_ns, 2000);
    finished_free(finished);
}
END_TEST

SUITE("core/finished", 60, what_became_of_one_is_found_by_number_and_by_name,
      of_one_name_the_newest_is_found, after_five_minutes_it_is_forgotten,
      ten_thousand_are_kept_whatever_they_are_called, to_remember_one_costs_little)
