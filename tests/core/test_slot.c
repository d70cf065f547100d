/* slot: its table of assignments, its room, and the next moment at which it needs care. */
#include "core/base/clock.h"
#include "core/policy/slot.h"
#include "tests/support/suite.h"

#include <string.h>

#define CAPACITY 3

static struct worker_census census;
static struct slot slot;
static struct request requests[CAPACITY + 1];

static void open_slot(enum worker_state state) {
    memset(&census, 0, sizeof census);
    ck_assert_int_eq(slot_init(&slot, 4, CAPACITY, &census, 10), OK);
    slot.record.state = state;
    for (size_t i = 0; i <= CAPACITY; i++) requests[i] = (struct request){.id = 100 + i};
}

START_TEST(a_new_slot_is_dead_and_may_start_at_once) {
    open_slot(WORKER_DEAD);
    ck_assert_uint_eq(slot.index, 4);
    ck_assert_uint_eq(slot.capacity, CAPACITY);
    ck_assert_uint_eq(slot.inflight, 0);
    ck_assert_uint_eq(slot.respawn_ns, 0);
    ck_assert_uint_eq(census.by_state[WORKER_DEAD], 1);
    ck_assert_uint_eq(slot_next_ns(&slot), CLOCK_NEVER);
    slot_free(&slot);
}
END_TEST

START_TEST(only_a_worker_that_can_serve_has_room) {
    for (enum worker_state state = 0; state < WORKER_STATE_COUNT; state++) {
        open_slot(state);
        bool can = state == WORKER_READY || state == WORKER_PROCESSING || state == WORKER_IDLE;
        ck_assert_uint_eq(slot_room(&slot, false), can ? CAPACITY : 0);
        ck_assert_uint_eq(slot_room(&slot, true), can ? 1 : 0);
        slot_free(&slot);
    }
}
END_TEST

START_TEST(each_assignment_takes_one_place) {
    open_slot(WORKER_READY);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        ck_assert_uint_eq(slot_room(&slot, false), CAPACITY - i);
        struct assignment *assignment = slot_assign(&slot, &requests[i], 50 + i);
        ck_assert_uint_eq(assignment->id, 100 + i);
        ck_assert_ptr_eq(assignment->request, &requests[i]);
        ck_assert_uint_eq(assignment->began_ns, 50 + i);
        ck_assert_uint_eq(assignment->given_up_ns, 0);
        ck_assert_uint_eq(assignment->stop_ns, CLOCK_NEVER);
        ck_assert_uint_eq(slot.inflight, i + 1);
        ck_assert_uint_eq(slot.last_used_ns, 50 + i);
        ck_assert_uint_eq(slot_room(&slot, true), 0);
    }
    ck_assert_uint_eq(slot_room(&slot, false), 0);
    slot_free(&slot);
}
END_TEST

START_TEST(an_assignment_is_found_by_its_id) {
    open_slot(WORKER_READY);
    for (size_t i = 0; i < CAPACITY; i++) slot_assign(&slot, &requests[i], 1);
    for (size_t i = 0; i < CAPACITY; i++)
        ck_assert_ptr_eq(slot_find(&slot, 100 + i)->request, &requests[i]);
    ck_assert_ptr_null(slot_find(&slot, 99));
    ck_assert_ptr_null(slot_find(&slot, 100 + CAPACITY));
    slot_free(&slot);
}
END_TEST

START_TEST(an_unassigned_place_is_used_again) {
    open_slot(WORKER_READY);
    for (size_t i = 0; i < CAPACITY; i++) slot_assign(&slot, &requests[i], 1);
    slot_unassign(&slot, slot_find(&slot, 101));
    ck_assert_uint_eq(slot.inflight, CAPACITY - 1);
    ck_assert_ptr_null(slot_find(&slot, 101));
    ck_assert_uint_eq(slot_room(&slot, false), 1);
    slot_assign(&slot, &requests[CAPACITY], 2);
    ck_assert_ptr_eq(slot_find(&slot, 100 + CAPACITY)->request, &requests[CAPACITY]);
    ck_assert_ptr_eq(slot_find(&slot, 100)->request, &requests[0]);
    slot_free(&slot);
}
END_TEST

START_TEST(a_request_that_must_be_alone_gets_an_empty_slot_and_closes_it) {
    open_slot(WORKER_READY);
    requests[0].solo = true;
    slot_assign(&slot, &requests[0], 1);
    ck_assert(slot.solo);
    ck_assert_uint_eq(slot_room(&slot, false), 0);
    ck_assert_uint_eq(slot_room(&slot, true), 0);
    slot_unassign(&slot, slot_find(&slot, 100));
    ck_assert(!slot.solo);
    ck_assert_uint_eq(slot_room(&slot, false), CAPACITY);
    ck_assert_uint_eq(slot_room(&slot, true), 1);
    slot_free(&slot);
}
END_TEST

START_TEST(a_reset_forgets_the_work_and_the_moments_but_not_the_counters) {
    open_slot(WORKER_READY);
    slot_assign(&slot, &requests[0], 77);
    slot_blame(&slot, "it broke");
    slot.pid = 9;
    slot.requests = 5;
    slot.errors = 4;
    slot.restarts = 3;
    slot.failures = 2;
    slot.ping_ns = slot.quiet_ns = slot.kill_ns = 80;
    slot_reset(&slot);
    ck_assert_uint_eq(slot.inflight, 0);
    ck_assert_ptr_null(slot_find(&slot, 100));
    ck_assert_int_eq(slot.pid, 0);
    ck_assert_uint_eq(slot.respawn_ns, CLOCK_NEVER);
    ck_assert_uint_eq(slot_next_ns(&slot), CLOCK_NEVER);
    ck_assert_uint_eq(slot.requests, 5);
    ck_assert_uint_eq(slot.errors, 4);
    ck_assert_uint_eq(slot.restarts, 3);
    ck_assert_uint_eq(slot.failures, 2);
    ck_assert_uint_eq(slot.last_used_ns, 77);
    ck_assert_str_eq(slot.last_error, "it broke");
    slot_free(&slot);
}
END_TEST

START_TEST(the_next_moment_is_the_earliest_of_all) {
    open_slot(WORKER_READY);
    uint64_t *const moments[] = {&slot.load_deadline_ns, &slot.quiet_ns,  &slot.ping_ns,
                                 &slot.pong_deadline_ns, &slot.stable_ns, &slot.term_ns,
                                 &slot.kill_ns,          &slot.measure_ns};
    size_t count = sizeof moments / sizeof moments[0];
    for (size_t i = 0; i < count; i++) {
        *moments[i] = 1000 - i; /* each is earlier than all before it */
        ck_assert_uint_eq(slot_next_ns(&slot), 1000 - i);
    }
    for (size_t i = count; i > 0; i--) {
        ck_assert_uint_eq(slot_next_ns(&slot), 1000 - (i - 1));
        *moments[i - 1] = CLOCK_NEVER;
    }
    ck_assert_uint_eq(slot_next_ns(&slot), CLOCK_NEVER);
    slot_free(&slot);
}
END_TEST

START_TEST(the_moment_of_a_new_start_is_not_the_slots_to_tell) {
    open_slot(WORKER_DEAD);
    slot.respawn_ns = 5;
    ck_assert_uint_eq(slot_next_ns(&slot), CLOCK_NEVER); /* only when the pool wants one */
    slot_free(&slot);
}
END_TEST

START_TEST(work_that_was_given_up_has_its_moment) {
    open_slot(WORKER_PROCESSING);
    slot_assign(&slot, &requests[0], 1);
    slot_assign(&slot, &requests[1], 1);
    slot_find(&slot, 101)->stop_ns = 300;
    ck_assert_uint_eq(slot_next_ns(&slot), 300);
    slot_find(&slot, 100)->stop_ns = 200;
    ck_assert_uint_eq(slot_next_ns(&slot), 200);
    slot_unassign(&slot, slot_find(&slot, 100));
    ck_assert_uint_eq(slot_next_ns(&slot), 300);
    slot_free(&slot);
}
END_TEST

START_TEST(the_last_error_is_one_clean_line) {
    char text[1000];
    open_slot(WORKER_READY);
    slot_blame(&slot, "a\tb\nc\x7f\xc3\xa9 d");
    ck_assert_str_eq(slot.last_error, "a b c    d");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    slot_blame(&slot, text);
    ck_assert_uint_eq(strlen(slot.last_error), SLOT_ERROR_BYTES - 1);
    slot_blame(&slot, "");
    ck_assert_str_eq(slot.last_error, "");
    slot_free(&slot);
}
END_TEST

SUITE("core/slot", 30, a_new_slot_is_dead_and_may_start_at_once,
      only_a_worker_that_can_serve_has_room, each_assignment_takes_one_place,
      an_assignment_is_found_by_its_id, an_unassigned_place_is_used_again,
      a_request_that_must_be_alone_gets_an_empty_slot_and_closes_it,
      a_reset_forgets_the_work_and_the_moments_but_not_the_counters,
      the_next_moment_is_the_earliest_of_all, the_moment_of_a_new_start_is_not_the_slots_to_tell,
      work_that_was_given_up_has_its_moment, the_last_error_is_one_clean_line)
