/* slot: its table of assignments, its room, and the next moment at which it needs care. */
#include "core/base/clock.h"
#include "core/policy/slot.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define CAPACITY 3
#define STAGED   2
#define BATCH    2
#define PLACES   (CAPACITY * BATCH + STAGED)

static struct worker_census census;
static struct slot slot;
static struct request requests[PLACES + 1];

static void open_slot(enum worker_state state) {
    memset(&census, 0, sizeof census);
    const struct slot_options options = {
        .index = 4, .inflight = CAPACITY, .batch_max = BATCH, .staged = STAGED};
    ck_assert_int_eq(slot_init(&slot, &options, &census, 10), OK);
    slot.record.state = state;
    for (size_t i = 0; i <= PLACES; i++) requests[i] = (struct request){.id = 100 + i};
}

/* Hands it one request as a unit of its own. */
static struct assignment *run(size_t request, uint64_t now_ns) {
    return slot_assign(&slot, &requests[request], slot_open_unit(&slot, false), false, now_ns);
}

static struct assignment *stage_one(size_t request, uint64_t now_ns) {
    return slot_assign(&slot, &requests[request], slot_open_unit(&slot, true), true, now_ns);
}

START_TEST(a_new_slot_is_dead_and_may_start_at_once) {
    open_slot(WORKER_DEAD);
    ck_assert_uint_eq(slot.index, 4);
    ck_assert_uint_eq(slot.capacity, CAPACITY);
    ck_assert_uint_eq(slot.places, PLACES);
    ck_assert_uint_eq(slot.max_batch, 1);
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
        struct assignment *assignment = run(i, 50 + i);
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
    for (size_t i = 0; i < CAPACITY; i++) run(i, 1);
    for (size_t i = 0; i < CAPACITY; i++)
        ck_assert_ptr_eq(slot_find(&slot, 100 + i)->request, &requests[i]);
    ck_assert_ptr_null(slot_find(&slot, 99));
    ck_assert_ptr_null(slot_find(&slot, 100 + CAPACITY));
    slot_free(&slot);
}
END_TEST

START_TEST(an_unassigned_place_is_used_again) {
    open_slot(WORKER_READY);
    for (size_t i = 0; i < CAPACITY; i++) run(i, 1);
    slot_unassign(&slot, slot_find(&slot, 101));
    ck_assert_uint_eq(slot.inflight, CAPACITY - 1);
    ck_assert_ptr_null(slot_find(&slot, 101));
    ck_assert_uint_eq(slot_room(&slot, false), 1);
    run(CAPACITY, 2);
    ck_assert_ptr_eq(slot_find(&slot, 100 + CAPACITY)->request, &requests[CAPACITY]);
    ck_assert_ptr_eq(slot_find(&slot, 100)->request, &requests[0]);
    slot_free(&slot);
}
END_TEST

START_TEST(a_request_that_must_be_alone_gets_an_empty_slot_and_closes_it) {
    open_slot(WORKER_READY);
    requests[0].solo = true;
    run(0, 1);
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
    run(0, 77);
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
    uint64_t *const moments[] = {&slot.load_deadline_ns, &slot.quiet_ns,   &slot.ping_ns,
                                 &slot.pong_deadline_ns, &slot.stable_ns,  &slot.term_ns,
                                 &slot.kill_ns,          &slot.measure_ns, &slot.check_ns,
                                 &slot.check_deadline_ns};
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
    struct assignment *first = run(0, 1), *second = run(1, 1);
    slot_give_up(&slot, second, REASON_CANCEL, 300, 50);
    ck_assert_uint_eq(slot_next_ns(&slot), 300);
    ck_assert_ptr_null(second->request);
    ck_assert_uint_eq(second->given_up_ns, 50);
    ck_assert_int_eq(second->stop_why, REASON_CANCEL);
    slot_give_up(&slot, first, REASON_DEADLINE, 200, 60);
    ck_assert_uint_eq(slot_next_ns(&slot), 200);
    ck_assert_uint_eq(slot.given_up, 2);
    ck_assert_uint_eq(slot_room(&slot, false), CAPACITY - 2); /* its worker is still busy with it */
    slot_unassign(&slot, first);
    ck_assert_uint_eq(slot_next_ns(&slot), 300);
    slot_unassign(&slot, second);
    ck_assert_uint_eq(slot.given_up, 0);
    ck_assert_uint_eq(slot_next_ns(&slot), CLOCK_NEVER);
    slot_free(&slot);
}
END_TEST

START_TEST(a_batch_is_one_unit_until_its_last_request_is_done) {
    open_slot(WORKER_PROCESSING);
    uint64_t unit = slot_open_unit(&slot, false);
    slot_assign(&slot, &requests[0], unit, false, 1);
    slot_assign(&slot, &requests[1], unit, false, 1);
    run(2, 1);
    ck_assert_uint_eq(slot.units, 2);
    ck_assert_uint_eq(slot.inflight, 3);
    ck_assert_uint_eq(slot_room(&slot, false), CAPACITY - 2);
    slot_unassign(&slot, slot_find(&slot, 100));
    ck_assert_uint_eq(slot.units, 2);
    slot_unassign(&slot, slot_find(&slot, 101));
    ck_assert_uint_eq(slot.units, 1);
    ck_assert_uint_eq(slot_room(&slot, false), CAPACITY - 1);
    slot_free(&slot);
}
END_TEST

START_TEST(what_is_staged_takes_no_unit_and_is_begun_oldest_first) {
    open_slot(WORKER_PROCESSING);
    for (size_t i = 0; i < CAPACITY; i++) run(i, 1);
    stage_one(3, 2);
    stage_one(4, 3);
    ck_assert_uint_eq(slot.units, CAPACITY);
    ck_assert_uint_eq(slot.inflight, CAPACITY);
    ck_assert_uint_eq(slot.staged, 2);
    slot_unassign(&slot, slot_find(&slot, 100));
    ck_assert_uint_eq(slot_room(&slot, false), 0); /* that place is the next one's */
    struct assignment *next = slot_next_staged(&slot);
    ck_assert_ptr_eq(next->request, &requests[3]);
    slot_begin(&slot, next, 70);
    ck_assert(!next->staged);
    ck_assert_uint_eq(next->began_ns, 70);
    ck_assert_uint_eq(slot.last_used_ns, 70);
    ck_assert_uint_eq(slot.units, CAPACITY);
    ck_assert_uint_eq(slot.staged, 1);
    ck_assert_ptr_eq(slot_next_staged(&slot)->request, &requests[4]);
    slot_unassign(&slot, slot_next_staged(&slot)); /* taken back */
    ck_assert_ptr_null(slot_next_staged(&slot));
    ck_assert_uint_eq(slot.staged, 0);
    ck_assert_uint_eq(slot.inflight, CAPACITY);
    slot_free(&slot);
}
END_TEST

START_TEST(a_slot_is_vacant_only_with_nothing_at_all) {
    open_slot(WORKER_READY);
    ck_assert(slot_vacant(&slot));
    struct assignment *staged = stage_one(0, 1);
    ck_assert(!slot_vacant(&slot));
    ck_assert_uint_eq(slot_room(&slot, true), 0);
    slot_unassign(&slot, staged);
    struct assignment *running = run(0, 1);
    ck_assert(!slot_vacant(&slot));
    slot_unassign(&slot, running);
    ck_assert(slot_vacant(&slot));
    slot_free(&slot);
}
END_TEST

START_TEST(one_that_checks_itself_or_retires_gets_nothing) {
    open_slot(WORKER_IDLE);
    slot.checking = true;
    ck_assert_uint_eq(slot_room(&slot, false) + slot_room(&slot, true), 0);
    slot.checking = false;
    slot.retiring = true;
    ck_assert_uint_eq(slot_room(&slot, false) + slot_room(&slot, true), 0);
    slot_reset(&slot);
    ck_assert(!slot.retiring);
    slot_free(&slot);
}
END_TEST

START_TEST(an_assignment_is_found_by_its_request) {
    open_slot(WORKER_PROCESSING);
    run(0, 1);
    struct assignment *second = run(1, 1);
    ck_assert_ptr_eq(slot_find_request(&slot, &requests[1]), second);
    ck_assert_ptr_null(slot_find_request(&slot, &requests[2]));
    slot_hand_on(&slot, second, &requests[2]); /* whom the worker knows by the old name */
    ck_assert_ptr_null(slot_find_request(&slot, &requests[1]));
    ck_assert_ptr_eq(slot_find_request(&slot, &requests[2]), second);
    ck_assert_ptr_eq(slot_find(&slot, 101), second);
    slot_free(&slot);
}
END_TEST

/* Nanoseconds per request of handing over one batch after the other. */
static double cost_of_batches(uint32_t batch, uint32_t rounds) {
    static struct request many[1024];
    const struct slot_options of = {.inflight = 1, .batch_max = batch};
    ck_assert_int_eq(slot_init(&slot, &of, &census, 10), OK);
    uint64_t began_ns = clock_now_ns();
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t unit = slot_open_unit(&slot, false);
        for (uint32_t i = 0; i < batch; i++) {
            many[i].id = 1 + (uint64_t)round * batch + i;
            slot_assign(&slot, &many[i], unit, false, 1);
        }
        for (uint32_t i = 0; i < batch; i++) slot_unassign(&slot, slot_find(&slot, many[i].id));
        require(slot.units == 0);
    }
    double cost_ns = (double)(clock_now_ns() - began_ns) / ((double)rounds * batch);
    slot_free(&slot);
    return cost_ns;
}

START_TEST(one_of_a_thousand_places_is_found_as_fast_as_one_of_eight) {
    memset(&census, 0, sizeof census);
    cost_of_batches(8, 10000); /* warm */
    double few_ns = cost_of_batches(8, 100000), many_ns = cost_of_batches(1024, 1000);
    printf("a place of 8: %.0f ns, of 1024: %.0f ns\n", few_ns, many_ns);
    ck_assert_double_lt(many_ns, 10 * few_ns);
}
END_TEST

/* --- at random ------------------------------------------------------------------------------------------ */

/* What the counters must be, from nothing but the assignments. */
static void assert_adds_up(void) {
    uint32_t inflight = 0, staged = 0, given_up = 0, units = 0;
    for (uint32_t i = 0; i < slot.places; i++) {
        const struct assignment *at = &slot.assignments[i];
        if (at->id == 0) continue;
        inflight += !at->staged;
        staged += at->staged;
        given_up += at->given_up_ns > 0;
        bool first = !at->staged;
        for (uint32_t j = 0; j < i; j++)
            first = first && (slot.assignments[j].id == 0 || slot.assignments[j].unit != at->unit);
        units += first;
    }
    require(slot.inflight == inflight && slot.staged == staged);
    require(slot.given_up == given_up && slot.units == units);
    require(slot_vacant(&slot) == (inflight + staged == 0));
}

static struct assignment *some_assignment(struct chance *dice) {
    struct assignment *at = &slot.assignments[chance_below(dice, slot.places)];
    return at->id == 0 ? NULL : at;
}

static void random_move(struct chance *dice) {
    struct assignment *at = some_assignment(dice);
    uint32_t roll = chance_below(dice, 100), taken = slot.inflight + slot.staged;
    size_t unused = 0;
    while (slot_find_request(&slot, &requests[unused]) != NULL || requests[unused].id == 0 ||
           slot_find(&slot, requests[unused].id) != NULL)
        unused++;
    if (roll < 30 && slot_room(&slot, false) > 0 && taken + BATCH <= PLACES)
        run(unused, 1);
    else if (roll < 50 && taken < PLACES && slot.units == CAPACITY && slot.staged < STAGED)
        stage_one(unused, 1);
    else if (roll < 60 && slot.staged > 0)
        slot_begin(&slot, slot_next_staged(&slot), 2);
    else if (roll < 70 && at != NULL && !at->staged && at->request != NULL)
        slot_give_up(&slot, at, REASON_CANCEL, 5, 3);
    else if (at != NULL)
        slot_unassign(&slot, at);
}

START_TEST(whatever_is_assigned_and_taken_away_the_counters_add_up) {
    struct chance dice = chance_open();
    open_slot(WORKER_PROCESSING);
    for (int i = 0; i < 200000; i++) {
        random_move(&dice);
        assert_adds_up();
    }
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
      work_that_was_given_up_has_its_moment, a_batch_is_one_unit_until_its_last_request_is_done,
      what_is_staged_takes_no_unit_and_is_begun_oldest_first,
      a_slot_is_vacant_only_with_nothing_at_all, one_that_checks_itself_or_retires_gets_nothing,
      an_assignment_is_found_by_its_request, the_last_error_is_one_clean_line,
      whatever_is_assigned_and_taken_away_the_counters_add_up,
      one_of_a_thousand_places_is_found_as_fast_as_one_of_eight)
