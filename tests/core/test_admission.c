/* admission: limits that hold to the last permit and byte, also when eight threads pull at them. */
#include "core/base/clock.h"
#include "core/policy/admission.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <stdbool.h>

#define CAPACITY 10
#define RESERVE  2
#define BYTES    1000
#define THREADS  8
#define ROUNDS   100000
#define MANY     (THREADS * ROUNDS / 2) /* so that the threads meet while they take */

static struct admission admission;

static void open_admission(uint32_t places) {
    admission_init(&admission, CAPACITY, RESERVE, BYTES, 7);
    admission_update(&admission, &(struct admission_view){.places = places});
}

static struct admission_ask ask_of(enum priority priority, const char *tenant) {
    return (struct admission_ask){
        .priority = priority, .tenant = tenant, .deadline_ns = CLOCK_NEVER};
}

static enum outcome look(enum priority priority) {
    const struct admission_ask ask = ask_of(priority, "");
    return admission_look(&admission, &ask);
}

static enum outcome take(enum priority priority) {
    const struct admission_ask ask = ask_of(priority, "");
    return admission_take(&admission, &ask);
}

static enum outcome take_for(const char *tenant) {
    const struct admission_ask ask = ask_of(PRIORITY_NORMAL, tenant);
    return admission_take(&admission, &ask);
}

static enum outcome take_within(uint64_t duration_ns, enum priority priority) {
    const struct admission_ask ask = {.priority = priority,
                                      .tenant = "",
                                      .now_ns = 5 * CLOCK_S,
                                      .deadline_ns = 5 * CLOCK_S + duration_ns};
    return admission_take(&admission, &ask);
}

static void give_back(void) {
    admission_give_back(&admission, "");
}

/* How many of a class are let in before the first is not. */
static uint32_t take_all(enum priority priority) {
    uint32_t taken = 0;
    while (look(priority) == OK) {
        ck_assert_int_eq(take(priority), OK);
        taken++;
    }
    ck_assert_int_eq(look(priority), QUEUE_FULL);
    ck_assert_int_eq(take(priority), QUEUE_FULL);
    return taken;
}

START_TEST(the_limit_is_the_capacity_and_the_places) {
    open_admission(2);
    ck_assert_uint_eq(take_all(PRIORITY_NORMAL), CAPACITY + 2);
    ck_assert_uint_eq(admission.permits, CAPACITY + 2);
}
END_TEST

START_TEST(only_critical_and_high_have_the_reserve) {
    static const uint32_t extra[PRIORITY_COUNT] = {
        [PRIORITY_CRITICAL] = RESERVE, [PRIORITY_HIGH] = RESERVE};
    for (enum priority priority = 0; priority < PRIORITY_COUNT; priority++) {
        open_admission(3);
        ck_assert_uint_eq(take_all(priority), CAPACITY + 3 + extra[priority]);
    }
}
END_TEST

START_TEST(the_reserve_is_open_when_the_queue_is_full) {
    open_admission(0);
    ck_assert_uint_eq(take_all(PRIORITY_BATCH), CAPACITY);
    ck_assert_uint_eq(take_all(PRIORITY_HIGH), RESERVE);
    ck_assert_int_eq(take(PRIORITY_CRITICAL), QUEUE_FULL);
}
END_TEST

START_TEST(a_permit_given_back_is_there_again) {
    open_admission(0);
    take_all(PRIORITY_NORMAL);
    give_back();
    ck_assert_uint_eq(admission.permits, CAPACITY - 1);
    ck_assert_uint_eq(take_all(PRIORITY_NORMAL), 1);
}
END_TEST

START_TEST(places_that_go_away_shrink_the_limit_but_take_nothing_back) {
    open_admission(5);
    take_all(PRIORITY_NORMAL);
    admission_update(&admission, &(struct admission_view){0});
    ck_assert_uint_eq(admission.permits, CAPACITY + 5);
    for (int i = 0; i < 5; i++) {
        give_back();
        ck_assert_int_eq(take(PRIORITY_NORMAL), QUEUE_FULL);
    }
    give_back();
    ck_assert_int_eq(take(PRIORITY_NORMAL), OK);
}
END_TEST

START_TEST(a_refusal_comes_before_everything) {
    static const enum outcome refusals[] = {SHUTTING_DOWN, PAUSED, SPAWN_FAILED, NO_WORKERS};
    open_admission(0);
    take_all(PRIORITY_NORMAL); /* full as well */
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        admission_update(&admission,
                         &(struct admission_view){.places = 100, .refusal = refusals[i]});
        ck_assert_int_eq(look(PRIORITY_CRITICAL), refusals[i]);
        ck_assert_int_eq(take(PRIORITY_CRITICAL), refusals[i]);
        ck_assert_uint_eq(admission.permits, CAPACITY);
    }
    admission_update(&admission, &(struct admission_view){.places = 100});
    ck_assert_int_eq(take(PRIORITY_BATCH), OK);
}
END_TEST

START_TEST(looking_takes_nothing) {
    open_admission(0);
    for (int i = 0; i < 100; i++) ck_assert_int_eq(look(PRIORITY_LOW), OK);
    ck_assert_uint_eq(admission.permits, 0);
}
END_TEST

START_TEST(bytes_are_charged_to_the_last_one) {
    open_admission(0);
    ck_assert_int_eq(admission_charge(&admission, BYTES - 1), OK);
    ck_assert_int_eq(admission_charge(&admission, 2), QUEUE_FULL);
    ck_assert_uint_eq(admission.bytes, BYTES - 1);
    ck_assert_int_eq(admission_charge(&admission, 1), OK);
    ck_assert_int_eq(admission_charge(&admission, 1), QUEUE_FULL);
    ck_assert_int_eq(admission_charge(&admission, 0), OK);
    admission_uncharge(&admission, BYTES);
    ck_assert_uint_eq(admission.bytes, 0);
    ck_assert_int_eq(admission_charge(&admission, BYTES), OK);
}
END_TEST

START_TEST(a_charge_that_would_overflow_is_refused) {
    admission_init(&admission, CAPACITY, RESERVE, UINT64_MAX - 5, 7);
    ck_assert_int_eq(admission_charge(&admission, UINT64_MAX), QUEUE_FULL);
    ck_assert_int_eq(admission_charge(&admission, UINT64_MAX - 10), OK);
    ck_assert_int_eq(admission_charge(&admission, UINT64_MAX - 5), QUEUE_FULL);
    ck_assert_int_eq(admission_charge(&admission, 20), QUEUE_FULL);
    ck_assert_int_eq(admission_charge(&admission, 6), QUEUE_FULL);
    ck_assert_int_eq(admission_charge(&admission, 5), OK);
    ck_assert_uint_eq(admission.bytes, UINT64_MAX - 5);
}
END_TEST

START_TEST(a_full_queue_is_worth_another_try_after_one_run) {
    open_admission(4);
    admission_update(&admission,
                     &(struct admission_view){.places = 4, .mean_run_ns = 200 * CLOCK_MS});
    ck_assert_uint_eq(admission_retry_after(&admission, QUEUE_FULL, 5), 200 * CLOCK_MS);
}
END_TEST

START_TEST(a_refusal_is_worth_another_try_when_it_ends) {
    admission_update(&admission, &(struct admission_view){.refusal = SPAWN_FAILED,
                                                          .refusal_until_ns = 7 * CLOCK_S});
    ck_assert_uint_eq(admission_retry_after(&admission, SPAWN_FAILED, 4 * CLOCK_S), 3 * CLOCK_S);
}
END_TEST

START_TEST(advice_is_never_below_a_millisecond) {
    open_admission(0); /* nothing is known */
    ck_assert_uint_eq(admission_retry_after(&admission, QUEUE_FULL, 0), CLOCK_MS);
    ck_assert_uint_eq(admission_retry_after(&admission, SHUTTING_DOWN, 0), CLOCK_MS);
    admission_update(&admission, &(struct admission_view){.places = 1,
                                                          .mean_run_ns = 5 * CLOCK_US,
                                                          .refusal = SPAWN_FAILED,
                                                          .refusal_until_ns = 7 * CLOCK_S});
    ck_assert_uint_eq(admission_retry_after(&admission, QUEUE_FULL, 0), CLOCK_MS);
    ck_assert_uint_eq(admission_retry_after(&admission, SPAWN_FAILED, 7 * CLOCK_S - 1), CLOCK_MS);
    ck_assert_uint_eq(admission_retry_after(&admission, SPAWN_FAILED, 9 * CLOCK_S), CLOCK_MS);
}
END_TEST

/* --- tenants, deadlines, a breaker that is half open ------------------------------------------------- */

START_TEST(a_tenant_below_its_share_has_the_reserve_of_a_full_queue) {
    open_admission(0);
    for (int i = 0; i < CAPACITY; i++) ck_assert_int_eq(take_for("greedy"), OK);
    ck_assert_int_eq(take_for("greedy"), QUEUE_FULL); /* it holds more than its share */
    ck_assert_int_eq(take_for("modest"), OK);
    ck_assert_int_eq(take_for("greedy"), QUEUE_FULL); /* there is a place, but it is not for it */
    ck_assert_int_eq(take_for("modest"), OK);
    ck_assert_int_eq(take_for("modest"), QUEUE_FULL); /* the reserve is used up */
    admission_give_back(&admission, "modest");
    ck_assert_int_eq(take_for("third"), OK);
    ck_assert_uint_eq(admission.tenants, 3);
}
END_TEST

START_TEST(a_tenant_that_is_alone_has_no_share_beyond_the_limit) {
    open_admission(0);
    for (int i = 0; i < CAPACITY; i++) ck_assert_int_eq(take_for("alone"), OK);
    ck_assert_int_eq(take_for("alone"), QUEUE_FULL);
    for (int i = 0; i < CAPACITY; i++) admission_give_back(&admission, "alone");
    ck_assert_uint_eq(admission.tenants, 0);
    ck_assert_uint_eq(admission.permits, 0);
}
END_TEST

START_TEST(what_needs_longer_than_its_deadline_leaves_is_unmeetable) {
    struct admission_view view = {.places = 1};
    open_admission(1);
    view.needs_ns[PRIORITY_NORMAL] = 300 * CLOCK_MS;
    admission_update(&admission, &view);
    ck_assert_int_eq(take_within(300 * CLOCK_MS - 1, PRIORITY_NORMAL), DEADLINE_UNMEETABLE);
    ck_assert_int_eq(take_within(300 * CLOCK_MS, PRIORITY_NORMAL), OK);
    ck_assert_int_eq(take_within(1, PRIORITY_HIGH), OK); /* nothing is known of that class */
    ck_assert_int_eq(take(PRIORITY_NORMAL), OK);         /* no deadline */
    ck_assert_uint_eq(admission.permits, 3);
    ck_assert_uint_eq(admission.unmeetable, 1);
}
END_TEST

START_TEST(a_full_queue_is_full_before_anything_is_late) {
    struct admission_view view = {.needs_ns[PRIORITY_NORMAL] = CLOCK_S};
    open_admission(0);
    take_all(PRIORITY_NORMAL);
    admission_update(&admission, &view);
    ck_assert_int_eq(take_within(1, PRIORITY_NORMAL), QUEUE_FULL);
    give_back();
    ck_assert_int_eq(take_within(1, PRIORITY_NORMAL), DEADLINE_UNMEETABLE);
    ck_assert_uint_eq(admission.unmeetable, 1);
}
END_TEST

START_TEST(what_another_tenant_waits_for_makes_nobody_late) {
    struct admission_view view = {.needs_ns[PRIORITY_NORMAL] = CLOCK_S};
    open_admission(0);
    ck_assert_int_eq(take_for("another"), OK);
    admission_update(&admission, &view);
    ck_assert_int_eq(take_within(1, PRIORITY_NORMAL), OK); /* it may be next: the loop will say */
    ck_assert_int_eq(take_within(1, PRIORITY_NORMAL), DEADLINE_UNMEETABLE);
}
END_TEST

START_TEST(a_ceiling_lets_in_the_probes_and_nobody_more_whatever_the_class) {
    open_admission(50);
    admission_update(&admission, &(struct admission_view){.places = 50, .ceiling = 2});
    ck_assert_int_eq(take(PRIORITY_CRITICAL), OK);
    ck_assert_int_eq(take(PRIORITY_CRITICAL), OK);
    ck_assert_int_eq(take(PRIORITY_CRITICAL), CIRCUIT_OPEN);
    ck_assert_int_eq(take_for("another"), CIRCUIT_OPEN);
    ck_assert_uint_eq(admission.refused, 2);
    ck_assert_uint_eq(admission.permits, 2);
    admission_update(&admission, &(struct admission_view){.places = 50});
    ck_assert_int_eq(take(PRIORITY_BATCH), OK);
}
END_TEST

START_TEST(a_ceiling_above_the_limit_lifts_nothing) {
    open_admission(0);
    admission_update(&admission, &(struct admission_view){.ceiling = 1000});
    for (int i = 0; i < CAPACITY; i++) ck_assert_int_eq(take(PRIORITY_CRITICAL), OK);
    ck_assert_int_eq(take(PRIORITY_CRITICAL), CIRCUIT_OPEN);
}
END_TEST

START_TEST(limits_that_are_tuned_hold_from_then_on) {
    open_admission(0);
    take_all(PRIORITY_NORMAL);
    ck_assert_int_eq(admission_charge(&admission, BYTES), OK);
    admission_tune(&admission, CAPACITY - 3, 0, BYTES / 2);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(take(PRIORITY_CRITICAL), QUEUE_FULL);
        give_back();
    }
    ck_assert_int_eq(take(PRIORITY_NORMAL), OK); /* below the new limit at last */
    admission_uncharge(&admission, BYTES / 2);
    ck_assert_int_eq(admission_charge(&admission, 1), QUEUE_FULL);
    admission_tune(&admission, CAPACITY, 0, BYTES);
    ck_assert_int_eq(admission_charge(&admission, 1), OK);
    ck_assert_uint_eq(take_all(PRIORITY_NORMAL), 3);
}
END_TEST

/* --- many threads ---------------------------------------------------------------------------------- */

/* Counted by the threads themselves around every permit and byte that they hold. */
static _Atomic uint32_t holders, most_holders;
static _Atomic uint64_t held_bytes, most_bytes;
static _Atomic uint64_t granted;

static void raise_to(_Atomic uint32_t *most, uint32_t value) {
    uint32_t seen = atomic_load(most);
    while (seen < value && !atomic_compare_exchange_weak(most, &seen, value)) continue;
}

static void raise_bytes_to(_Atomic uint64_t *most, uint64_t value) {
    uint64_t seen = atomic_load(most);
    while (seen < value && !atomic_compare_exchange_weak(most, &seen, value)) continue;
}

static void *take_and_give_back(void *argument) {
    enum priority priority = *(enum priority *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        if (take(priority) != OK) continue;
        raise_to(&most_holders, atomic_fetch_add(&holders, 1) + 1);
        uint64_t bytes = (uint64_t)(i % 400);
        if (admission_charge(&admission, bytes) == OK) {
            raise_bytes_to(&most_bytes, atomic_fetch_add(&held_bytes, bytes) + bytes);
            atomic_fetch_sub(&held_bytes, bytes);
            admission_uncharge(&admission, bytes);
        }
        atomic_fetch_add(&granted, 1);
        atomic_fetch_sub(&holders, 1);
        give_back();
    }
    return NULL;
}

static void run_threads(void *(*body)(void *), enum priority priorities[THREADS]) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, body, &priorities[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

START_TEST(eight_threads_never_exceed_the_limit) {
    enum priority priorities[THREADS];
    for (int i = 0; i < THREADS; i++) priorities[i] = PRIORITY_NORMAL;
    admission_init(&admission, 3, 2, BYTES, 7);
    run_threads(take_and_give_back, priorities);
    ck_assert_uint_le(most_holders, 3);
    ck_assert_uint_le(most_bytes, BYTES);
    ck_assert_uint_gt(granted, 0);
    ck_assert_uint_eq(admission.permits, 0);
    ck_assert_uint_eq(admission.bytes, 0);
}
END_TEST

static void *take_and_keep(void *argument) {
    enum priority priority = *(enum priority *)argument;
    for (int i = 0; i < ROUNDS; i++)
        if (take(priority) == OK) atomic_fetch_add(&granted, 1);
    return NULL;
}

START_TEST(eight_threads_take_exactly_the_limit) {
    enum priority priorities[THREADS];
    for (int i = 0; i < THREADS; i++) priorities[i] = PRIORITY_LOW;
    admission_init(&admission, MANY - 24, 100, BYTES, 7);
    admission_update(&admission, &(struct admission_view){.places = 24});
    run_threads(take_and_keep, priorities);
    ck_assert_uint_eq(granted, MANY);
    ck_assert_uint_eq(admission.permits, MANY);
    for (int i = 0; i < THREADS; i++) priorities[i] = PRIORITY_CRITICAL;
    run_threads(take_and_keep, priorities);
    ck_assert_uint_eq(granted, MANY + 100);
}
END_TEST

SUITE("core/admission", 60, the_limit_is_the_capacity_and_the_places,
      only_critical_and_high_have_the_reserve, the_reserve_is_open_when_the_queue_is_full,
      a_permit_given_back_is_there_again,
      places_that_go_away_shrink_the_limit_but_take_nothing_back, a_refusal_comes_before_everything,
      looking_takes_nothing, bytes_are_charged_to_the_last_one,
      a_charge_that_would_overflow_is_refused, a_full_queue_is_worth_another_try_after_one_run,
      a_refusal_is_worth_another_try_when_it_ends, advice_is_never_below_a_millisecond,
      a_tenant_below_its_share_has_the_reserve_of_a_full_queue,
      a_tenant_that_is_alone_has_no_share_beyond_the_limit,
      what_needs_longer_than_its_deadline_leaves_is_unmeetable,
      a_full_queue_is_full_before_anything_is_late, what_another_tenant_waits_for_makes_nobody_late,
      a_ceiling_lets_in_the_probes_and_nobody_more_whatever_the_class,
      a_ceiling_above_the_limit_lifts_nothing, limits_that_are_tuned_hold_from_then_on,
      eight_threads_never_exceed_the_limit, eight_threads_take_exactly_the_limit)
