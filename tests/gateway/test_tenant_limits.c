/* tenant_limits: exactly as much as the key allows, however many threads ask. */
#include "gateway/keys/tenant_limits.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include "core/base/clock.h"

#include <pthread.h>
#include <sched.h>

#define BEGAN (1000 * CLOCK_S)

static struct tenant_limits *limits;
static struct tenant_limit *tenant;
static struct tenant_quota quota;

static void open_limits(void) {
    ck_assert_int_eq(tenant_limits_open(&limits), OK);
    tenant = tenant_limits_find(limits, "accounting");
    ck_assert_ptr_nonnull(tenant);
}

static enum outcome turn(uint32_t rate, uint32_t burst, uint64_t now_ns) {
    const struct tenant_bounds bounds = {.rate = rate, .burst = burst};
    return tenant_limit_take(tenant, &bounds, TENANT_TURN, now_ns, &quota);
}

static enum outcome place(uint32_t concurrency) {
    const struct tenant_bounds bounds = {.concurrency = concurrency};
    return tenant_limit_take(tenant, &bounds, TENANT_PLACE, BEGAN, &quota);
}

START_TEST(a_tenant_has_one_record) {
    open_limits();
    ck_assert_ptr_eq(tenant_limits_find(limits, "accounting"), tenant);
    ck_assert_ptr_ne(tenant_limits_find(limits, "sales"), tenant);
    ck_assert_str_eq(tenant->tenant, "accounting");
    tenant_limits_close(limits);
}
END_TEST

START_TEST(a_burst_then_one_for_each_interval) {
    open_limits();
    for (uint32_t i = 0; i < 20; i++) {
        ck_assert_int_eq(turn(10, 20, BEGAN), OK);
        ck_assert_uint_eq(quota.remaining, 19 - i);
        ck_assert_uint_eq(quota.limit, 20);
        ck_assert_uint_eq(quota.window_s, 2);
        ck_assert_uint_eq(quota.reset_s, (i + 10) / 10);
    }
    ck_assert_int_eq(turn(10, 20, BEGAN), RATE_LIMITED);
    ck_assert(quota.rate_used_up);
    ck_assert_uint_eq(quota.remaining, 0);
    ck_assert_uint_eq(quota.retry_after_ns, 100 * CLOCK_MS);
    ck_assert_int_eq(turn(10, 20, BEGAN + 100 * CLOCK_MS - 1), RATE_LIMITED);
    ck_assert_uint_eq(quota.retry_after_ns, 1);
    ck_assert_int_eq(turn(10, 20, BEGAN + 100 * CLOCK_MS), OK);
    ck_assert_int_eq(turn(10, 20, BEGAN + 100 * CLOCK_MS), RATE_LIMITED);
    tenant_limits_close(limits);
}
END_TEST

START_TEST(a_refusal_costs_nothing_and_a_rest_fills_the_bucket_no_further) {
    open_limits();
    for (int i = 0; i < 5; i++) ck_assert_int_eq(turn(5, 5, BEGAN), OK);
    for (int i = 0; i < 1000; i++) ck_assert_int_eq(turn(5, 5, BEGAN), RATE_LIMITED);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(turn(5, 5, BEGAN + 3600 * CLOCK_S), OK);
    ck_assert_int_eq(turn(5, 5, BEGAN + 3600 * CLOCK_S), RATE_LIMITED);
    tenant_limits_close(limits);
}
END_TEST

START_TEST(over_ten_seconds_of_asking_the_rate_is_exact) {
    uint64_t granted = 0;
    open_limits();
    for (uint64_t now_ns = BEGAN; now_ns < BEGAN + 10 * CLOCK_S; now_ns += CLOCK_MS)
        granted += turn(100, 50, now_ns) == OK;
    ck_assert_uint_eq(granted,
                      50 + 100 * 10 - 1); /* the last interval ends with the tenth second */
    tenant_limits_close(limits);
}
END_TEST

START_TEST(two_keys_of_a_tenant_share_what_was_used) {
    open_limits();
    for (int i = 0; i < 10; i++) ck_assert_int_eq(turn(10, 10, BEGAN), OK);
    ck_assert_int_eq(turn(10, 10, BEGAN), RATE_LIMITED);
    ck_assert_int_eq(turn(10, 20, BEGAN), OK); /* its bucket is larger */
    tenant_limits_close(limits);
}
END_TEST

START_TEST(places_are_counted_to_the_last) {
    open_limits();
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(place(3), OK);
        ck_assert_uint_eq(quota.places_left, 2 - i);
    }
    ck_assert_int_eq(place(3), RATE_LIMITED);
    ck_assert(!quota.rate_used_up);
    ck_assert_uint_eq(quota.places, 3);
    ck_assert_uint_eq(quota.places_left, 0);
    tenant_limit_give_back(tenant);
    ck_assert_int_eq(place(3), OK);
    for (int i = 0; i < 3; i++) tenant_limit_give_back(tenant);
    tenant_limits_close(limits);
}
END_TEST

START_TEST(who_has_used_up_the_rate_keeps_no_place) {
    const struct tenant_bounds bounds = {.rate = 1, .burst = 1, .concurrency = 5};
    open_limits();
    ck_assert_int_eq(tenant_limit_take(tenant, &bounds, TENANT_PLACE, BEGAN, &quota), OK);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(tenant_limit_take(tenant, &bounds, TENANT_PLACE, BEGAN, &quota),
                         RATE_LIMITED);
    ck_assert_uint_eq(quota.places_left, 4);
    tenant_limit_give_back(tenant);
    tenant_limits_close(limits);
}
END_TEST

/* --- many threads --- */

#define THREADS 6
#define ASKS    100000

static struct tenant_bounds shared;
static _Atomic uint64_t granted;
static _Atomic uint32_t inside, most_inside;

static void *ask_for_turns(void *owner) {
    struct tenant_quota own;
    for (int i = 0; i < ASKS; i++) /* every thread moves through the same second */
        if (tenant_limit_take(tenant, &shared, TENANT_TURN, BEGAN + (uint64_t)i * 10 * CLOCK_US,
                              &own) == OK)
            atomic_fetch_add(&granted, 1);
    return owner;
}

static void *ask_for_places(void *owner) {
    struct tenant_quota own;
    for (int i = 0; i < ASKS; i++) {
        if (tenant_limit_take(tenant, &shared, TENANT_PLACE, BEGAN, &own) != OK) continue;
        uint32_t now = atomic_fetch_add(&inside, 1) + 1, most = atomic_load(&most_inside);
        while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now)) continue;
        atomic_fetch_add(&granted, 1);
        sched_yield(); /* let others try */
        atomic_fetch_sub(&inside, 1);
        tenant_limit_give_back(tenant);
    }
    return owner;
}

static void run_threads(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, body, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

START_TEST(many_threads_get_exactly_the_burst) {
    open_limits();
    for (int round = 0; round < 20; round++) {
        struct tenant_limit *fresh = tenant_limits_find(limits, (char[]){(char)('a' + round), 0});
        tenant = fresh;
        atomic_store(&granted, 0);
        shared = (struct tenant_bounds){.rate = 1, .burst = 1000};
        run_threads(ask_for_turns);
        /* A second passes in it: its one turn may be granted at the very end. */
        ck_assert_uint_ge(atomic_load(&granted), 1000);
        ck_assert_uint_le(atomic_load(&granted), 1001);
    }
    tenant_limits_close(limits);
}
END_TEST

START_TEST(many_threads_are_never_more_than_the_places) {
    open_limits();
    shared = (struct tenant_bounds){.concurrency = 2};
    run_threads(ask_for_places);
    ck_assert_uint_gt(atomic_load(&granted), 0);
    ck_assert_uint_le(atomic_load(&most_inside), 2);
    ck_assert_uint_eq(atomic_load(&tenant->under_way), 0);
    tenant_limits_close(limits);
}
END_TEST

SUITE("gateway/keys/tenant_limits", 120, a_tenant_has_one_record,
      a_burst_then_one_for_each_interval,
      a_refusal_costs_nothing_and_a_rest_fills_the_bucket_no_further,
      over_ten_seconds_of_asking_the_rate_is_exact, two_keys_of_a_tenant_share_what_was_used,
      places_are_counted_to_the_last, who_has_used_up_the_rate_keeps_no_place,
      many_threads_get_exactly_the_burst, many_threads_are_never_more_than_the_places)
