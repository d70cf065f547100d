#include "gateway/probes.h"
#include "tests/support/suite.h"

#include <string.h>

#define S UINT64_C(1000000000)

static struct pool_snapshot pools[2];
static struct snapshot snapshot;
static struct readiness readiness;

static void arrange(void) {
    for (int i = 0; i < 2; i++)
        pools[i] = (struct pool_snapshot){.name = i == 0 ? "ocr" : "embed",
                                          .required = true,
                                          .reached_min = true,
                                          .can_serve = true,
                                          .slots_min = 1};
    snapshot = (struct snapshot){.taken_ns = 100 * S, .pools_count = 2, .pools = pools};
    readiness = (struct readiness){0};
}

static bool ready(uint64_t now_ns) {
    return probe_ready(&readiness, &snapshot, false, now_ns).good;
}

START_TEST(a_loop_that_settles_is_live) {
    arrange();
    ck_assert(probe_live(&snapshot, 0, NULL, 100 * S).good);
    ck_assert(probe_live(&snapshot, 0, NULL, 110 * S).good);
    ck_assert(probe_live(&snapshot, 0, NULL, 99 * S).good); /* taken after the clock was read */
}
END_TEST

START_TEST(a_loop_that_has_not_settled_for_ten_seconds_is_stalled) {
    arrange();
    struct verdict verdict = probe_live(&snapshot, 0, NULL, 110 * S + 1);
    ck_assert(!verdict.good);
    ck_assert_uint_eq(verdict.reasons_count, 1);
}
END_TEST

START_TEST(a_stuck_loop_of_a_front_end_is_not_live_either) {
    snapshot = (struct snapshot){.taken_ns = 100 * S};
    ck_assert(probe_live(&snapshot, 10 * S, NULL, 100 * S).good);
    struct verdict verdict = probe_live(&snapshot, 11 * S, NULL, 100 * S);
    ck_assert(!verdict.good);
    ck_assert_str_eq(verdict.reasons[0], "a loop has made no progress for 11 s");
}
END_TEST

START_TEST(draining_is_live_but_not_ready) {
    arrange();
    snapshot.draining = true;
    ck_assert(probe_live(&snapshot, 0, NULL, 100 * S).good);
    ck_assert(!ready(100 * S));
}
END_TEST

START_TEST(started_means_that_every_pool_has_had_its_slots) {
    arrange();
    ck_assert(probe_started(&snapshot).good);
    pools[1].reached_min = false;
    pools[1].required = false;
    struct verdict verdict = probe_started(&snapshot);
    ck_assert(!verdict.good);
    ck_assert_ptr_nonnull(strstr(verdict.reasons[0], "embed"));
}
END_TEST

START_TEST(a_required_pool_that_cannot_serve_is_the_reason) {
    arrange();
    pools[0].can_serve = false;
    struct verdict verdict = probe_ready(&readiness, &snapshot, false, S);
    ck_assert(!verdict.good);
    ck_assert_ptr_nonnull(strstr(verdict.reasons[0], "pool ocr"));
}
END_TEST

START_TEST(a_pool_that_is_not_required_does_not_count) {
    arrange();
    pools[0].can_serve = pools[0].reached_min = pools[0].required = false;
    ck_assert(ready(S));
}
END_TEST

START_TEST(a_pool_that_loads_for_the_first_time_does_not_count) {
    arrange();
    pools[0].can_serve = false;
    pools[0].loading_first = true;
    ck_assert(ready(S));
}
END_TEST

START_TEST(the_first_change_comes_at_once_the_next_after_a_second) {
    arrange();
    pools[0].reached_min = false;
    ck_assert(!ready(10 * S));
    pools[0].reached_min = true;
    ck_assert(ready(10 * S + 1));
    pools[0].can_serve = false;
    ck_assert(ready(10 * S + 2));
    ck_assert(ready(11 * S));
    ck_assert(!ready(11 * S + 1));
    pools[0].can_serve = true;
    ck_assert(!ready(11 * S + 2));
    struct verdict held = probe_ready(&readiness, &snapshot, false, 11 * S + 3);
    ck_assert_uint_eq(held.reasons_count, 1);
    ck_assert(ready(12 * S + 1));
}
END_TEST

START_TEST(a_drain_is_said_at_once) {
    arrange();
    pools[0].reached_min = false;
    ck_assert(!ready(10 * S));
    pools[0].reached_min = true;
    ck_assert(ready(10 * S + 1));
    ck_assert(!probe_ready(&readiness, &snapshot, true, 10 * S + 2).good);
}
END_TEST

START_TEST(more_reasons_than_there_is_room_for_do_no_harm) {
    static struct pool_snapshot many[50];
    for (size_t i = 0; i < 50; i++)
        many[i] = (struct pool_snapshot){.name = "x", .required = true, .slots_min = 1};
    snapshot = (struct snapshot){.pools_count = 50, .pools = many};
    ck_assert_uint_eq(probe_started(&snapshot).reasons_count, PROBE_REASONS);
}
END_TEST

SUITE("gateway/http/probes", 5, a_stuck_loop_of_a_front_end_is_not_live_either,
      a_loop_that_settles_is_live, a_loop_that_has_not_settled_for_ten_seconds_is_stalled,
      draining_is_live_but_not_ready, started_means_that_every_pool_has_had_its_slots,
      a_required_pool_that_cannot_serve_is_the_reason, a_pool_that_is_not_required_does_not_count,
      a_pool_that_loads_for_the_first_time_does_not_count,
      the_first_change_comes_at_once_the_next_after_a_second, a_drain_is_said_at_once,
      more_reasons_than_there_is_room_for_do_no_harm)
