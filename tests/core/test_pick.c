/* pick: which slot with room gets a request by each of the rules, and behind whom one is staged. */
#include "core/policy/pick.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define SLOTS  5
#define PLACES 4

static struct slot slots[SLOTS];
static struct assignment assignments[SLOTS][PLACES];

static struct slot make_slot(enum worker_state state, uint32_t inflight, uint64_t last_used_ns) {
    return (struct slot){.capacity = 3,
                         .units = inflight,
                         .inflight = inflight,
                         .record = {.state = state},
                         .last_used_ns = last_used_ns};
}

START_TEST(without_a_slot_that_has_room_there_is_none) {
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_PROCESSING, 3, i);
    ck_assert_ptr_null(pick_least_loaded(slots, SLOTS, false));
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_LOADING, 0, i);
    ck_assert_ptr_null(pick_least_loaded(slots, SLOTS, false));
    ck_assert_ptr_null(pick_least_loaded(slots, 0, false));
}
END_TEST

START_TEST(the_least_loaded_is_picked) {
    slots[0] = make_slot(WORKER_PROCESSING, 2, 9);
    slots[1] = make_slot(WORKER_FAILED, 0, 9);
    slots[2] = make_slot(WORKER_PROCESSING, 1, 1);
    slots[3] = make_slot(WORKER_PROCESSING, 3, 9);
    slots[4] = make_slot(WORKER_DEAD, 0, 9);
    ck_assert_ptr_eq(pick_least_loaded(slots, SLOTS, false), &slots[2]);
}
END_TEST

START_TEST(among_equals_the_one_used_last_is_picked) {
    slots[0] = make_slot(WORKER_IDLE, 0, 10);
    slots[1] = make_slot(WORKER_READY, 0, 30);
    slots[2] = make_slot(WORKER_READY, 0, 20);
    ck_assert_ptr_eq(pick_least_loaded(slots, 3, false), &slots[1]);
}
END_TEST

START_TEST(among_true_equals_the_first_is_picked) {
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_READY, 0, 7);
    ck_assert_ptr_eq(pick_least_loaded(slots, SLOTS, false), &slots[0]);
}
END_TEST

START_TEST(who_must_be_alone_gets_only_an_empty_slot) {
    slots[0] = make_slot(WORKER_PROCESSING, 1, 9);
    slots[1] = make_slot(WORKER_PROCESSING, 2, 9);
    ck_assert_ptr_null(pick_least_loaded(slots, 2, true));
    ck_assert_ptr_eq(pick_least_loaded(slots, 2, false), &slots[0]);
    slots[2] = make_slot(WORKER_IDLE, 0, 1);
    ck_assert_ptr_eq(pick_least_loaded(slots, 3, true), &slots[2]);
}
END_TEST

START_TEST(a_slot_whose_request_must_be_alone_is_not_picked) {
    slots[0] = make_slot(WORKER_PROCESSING, 1, 9);
    slots[0].solo = true;
    ck_assert_ptr_null(pick_least_loaded(slots, 1, false));
}
END_TEST

/* --- the one used last --------------------------------------------------------------------------------- */

START_TEST(most_recent_fills_the_slot_used_last_however_loaded) {
    slots[0] = make_slot(WORKER_IDLE, 0, 10);
    slots[1] = make_slot(WORKER_PROCESSING, 2, 30);
    slots[2] = make_slot(WORKER_PROCESSING, 1, 20);
    ck_assert_ptr_eq(pick_most_recent(slots, 3, false), &slots[1]);
    slots[1] = make_slot(WORKER_PROCESSING, 3, 30);
    ck_assert_ptr_eq(pick_most_recent(slots, 3, false), &slots[2]);
    ck_assert_ptr_eq(pick_most_recent(slots, 3, true), &slots[0]);
}
END_TEST

START_TEST(most_recent_takes_the_least_loaded_among_equals) {
    slots[0] = make_slot(WORKER_PROCESSING, 2, 30);
    slots[1] = make_slot(WORKER_PROCESSING, 1, 30);
    ck_assert_ptr_eq(pick_most_recent(slots, 2, false), &slots[1]);
}
END_TEST

/* --- two choices --------------------------------------------------------------------------------------- */

/* The random number that draws these two of SLOTS, in this order. */
static uint64_t drawing(uint64_t first, uint64_t second) {
    uint64_t rest = second > first ? second - 1 : second;
    return ((first << 32) / SLOTS + 1) | ((rest << 32) / (SLOTS - 1) + 1) << 32;
}

START_TEST(of_two_drawn_the_less_loaded_is_picked) {
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_PROCESSING, i == 0 ? 1 : 2, i);
    slots[4] = make_slot(WORKER_IDLE, 0, 0); /* better than both, and not drawn */
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(0, 3)), &slots[0]);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(3, 0)), &slots[0]);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(3, 4)), &slots[4]);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(2, 3)), &slots[2]);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(3, 2)), &slots[3]);
}
END_TEST

START_TEST(a_drawn_slot_without_room_loses) {
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_PROCESSING, 2, i);
    slots[1] = make_slot(WORKER_DEAD, 0, 0);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(1, 3)), &slots[3]);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(3, 1)), &slots[3]);
}
END_TEST

START_TEST(when_neither_drawn_slot_has_room_the_others_are_looked_at) {
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_PROCESSING, 3, i);
    slots[2] = make_slot(WORKER_PROCESSING, 2, 0);
    ck_assert_ptr_eq(pick_two_choices(slots, SLOTS, false, drawing(0, 1)), &slots[2]);
    ck_assert_ptr_null(pick_two_choices(slots, SLOTS, true, drawing(0, 1)));
}
END_TEST

START_TEST(one_slot_is_its_own_choice_and_none_is_none) {
    slots[0] = make_slot(WORKER_IDLE, 0, 0);
    ck_assert_ptr_eq(pick_two_choices(slots, 1, false, UINT64_MAX), &slots[0]);
    ck_assert_ptr_null(pick_two_choices(slots, 0, false, UINT64_MAX));
}
END_TEST

START_TEST(every_slot_is_drawn_as_often_as_the_others) {
    struct chance chance = chance_open();
    size_t picked[SLOTS] = {0};
    for (size_t i = 0; i < SLOTS; i++) slots[i] = make_slot(WORKER_IDLE, 0, i);
    for (int i = 0; i < 100000; i++)
        picked[pick_two_choices(slots, SLOTS, false, chance_next(&chance)) - slots]++;
    for (size_t i = 0; i < SLOTS; i++) ck_assert(picked[i] > 19000 && picked[i] < 21000);
}
END_TEST

/* --- handing ahead ------------------------------------------------------------------------------------- */

/* Full, so many handed ahead, its running work begun at began_ns and later. */
static void fill_slot(size_t i, uint32_t staged, uint64_t began_ns) {
    slots[i] = make_slot(WORKER_PROCESSING, 3, 0);
    slots[i].staged = staged;
    slots[i].last_used_ns = began_ns;
    slots[i].places = PLACES;
    slots[i].assignments = assignments[i];
    for (uint32_t place = 0; place < PLACES; place++)
        assignments[i][place] =
            (struct assignment){.id = place + 1, .began_ns = began_ns + (3 - place) % 3};
    assignments[i][3].staged = true;
    assignments[i][3].began_ns = 0; /* the time of a staged one does not count */
    if (staged == 0) assignments[i][3].id = 0;
}

START_TEST(the_slot_with_the_least_ahead_gets_the_next_one) {
    for (size_t i = 0; i < SLOTS; i++) fill_slot(i, 2, 50);
    slots[3].staged = 1;
    ck_assert_ptr_eq(pick_for_staging(slots, SLOTS, 3, 0), &slots[3]);
    slots[3].staged = 3;
    slots[4].staged = 3;
    ck_assert_ptr_eq(pick_for_staging(slots, 5, 3, 0), &slots[0]);
}
END_TEST

START_TEST(among_equals_the_one_whose_work_began_first_gets_it) {
    for (size_t i = 0; i < SLOTS; i++) fill_slot(i, 1, 50);
    fill_slot(2, 1, 40);
    ck_assert_ptr_eq(pick_for_staging(slots, SLOTS, 2, 0), &slots[2]);
    fill_slot(4, 1, 39);
    ck_assert_ptr_eq(pick_for_staging(slots, SLOTS, 2, 0), &slots[4]);
    fill_slot(1, 0, 60);
    ck_assert_ptr_eq(pick_for_staging(slots, SLOTS, 2, 0), &slots[1]);
}
END_TEST

START_TEST(behind_a_run_that_began_too_long_ago_nothing_waits) {
    for (size_t i = 0; i < SLOTS; i++) fill_slot(i, 1, 50);
    fill_slot(2, 0, 49);
    ck_assert_ptr_eq(pick_for_staging(slots, SLOTS, 2, 49), &slots[2]);
    ck_assert_ptr_ne(pick_for_staging(slots, SLOTS, 2, 50), &slots[2]);
    ck_assert_ptr_null(pick_for_staging(slots, SLOTS, 2, 51));
}
END_TEST

START_TEST(no_slot_holds_more_ahead_than_the_limit) {
    for (size_t i = 0; i < SLOTS; i++) fill_slot(i, 1, 50);
    ck_assert_ptr_null(pick_for_staging(slots, SLOTS, 1, 0));
    ck_assert_ptr_null(pick_for_staging(slots, SLOTS, 0, 0));
    ck_assert_ptr_null(pick_for_staging(slots, 0, 9, 0));
}
END_TEST

START_TEST(who_has_room_or_cannot_serve_or_is_alone_holds_nothing_ahead) {
    for (size_t i = 0; i < SLOTS; i++) fill_slot(i, 0, 50);
    slots[0].units = slots[0].inflight = 2; /* has room: it is given work, not handed it ahead */
    slots[1].record.state = WORKER_EVICTING;
    slots[2].solo = true;
    slots[3].retiring = true;
    slots[4].checking = true;
    ck_assert_ptr_null(pick_for_staging(slots, SLOTS, 1, 0));
}
END_TEST

/* --- at random ----------------------------------------------------------------------------------------- */

static void throw_slots(struct chance *chance) {
    for (size_t i = 0; i < SLOTS; i++) {
        fill_slot(i, chance_below(chance, 3), chance_below(chance, 4));
        slots[i].record.state = (enum worker_state)chance_below(chance, WORKER_STATE_COUNT);
        slots[i].last_used_ns = chance_below(chance, 4);
        if (slots[i].staged == 0) slots[i].units = slots[i].inflight = chance_below(chance, 4);
        slots[i].solo = chance_percent(chance, 10);
    }
}

START_TEST(no_slot_with_room_is_ever_better_than_the_picked_one) {
    struct chance chance = chance_open();
    for (int round = 0; round < 50000; round++) {
        throw_slots(&chance);
        bool solo = chance_percent(&chance, 20);
        const struct slot *least = pick_least_loaded(slots, SLOTS, solo);
        const struct slot *recent = pick_most_recent(slots, SLOTS, solo);
        const struct slot *either = pick_two_choices(slots, SLOTS, solo, chance_next(&chance));
        require((least == NULL) == (recent == NULL) && (least == NULL) == (either == NULL));
        require(least == NULL || slot_room(least, solo) > 0);
        require(recent == NULL || slot_room(recent, solo) > 0);
        require(either == NULL || slot_room(either, solo) > 0);
        for (size_t i = 0; i < SLOTS; i++) {
            if (slot_room(&slots[i], solo) == 0) continue;
            require(least != NULL && least->inflight <= slots[i].inflight);
            require(least->inflight < slots[i].inflight ||
                    least->last_used_ns >= slots[i].last_used_ns);
            require(recent->last_used_ns >= slots[i].last_used_ns);
        }
    }
}
END_TEST

START_TEST(work_is_handed_ahead_exactly_when_a_full_slot_may_hold_it) {
    struct chance chance = chance_open();
    for (int round = 0; round < 50000; round++) {
        throw_slots(&chance);
        uint32_t limit = chance_below(&chance, 4);
        const struct slot *picked = pick_for_staging(slots, SLOTS, limit, 0);
        bool any = false;
        for (size_t i = 0; i < SLOTS; i++) {
            bool may = worker_state_can_serve(slots[i].record.state) && !slots[i].solo &&
                       slot_room(&slots[i], false) == 0 && slots[i].staged < limit;
            any |= may;
            require(picked != &slots[i] || may);
            require(!may || (picked != NULL && picked->staged <= slots[i].staged));
        }
        require(any == (picked != NULL));
    }
}
END_TEST

SUITE("core/pick", 30, without_a_slot_that_has_room_there_is_none, the_least_loaded_is_picked,
      among_equals_the_one_used_last_is_picked, among_true_equals_the_first_is_picked,
      who_must_be_alone_gets_only_an_empty_slot, a_slot_whose_request_must_be_alone_is_not_picked,
      most_recent_fills_the_slot_used_last_however_loaded,
      most_recent_takes_the_least_loaded_among_equals, of_two_drawn_the_less_loaded_is_picked,
      a_drawn_slot_without_room_loses, when_neither_drawn_slot_has_room_the_others_are_looked_at,
      one_slot_is_its_own_choice_and_none_is_none, every_slot_is_drawn_as_often_as_the_others,
      the_slot_with_the_least_ahead_gets_the_next_one,
      among_equals_the_one_whose_work_began_first_gets_it,
      behind_a_run_that_began_too_long_ago_nothing_waits, no_slot_holds_more_ahead_than_the_limit,
      who_has_room_or_cannot_serve_or_is_alone_holds_nothing_ahead,
      no_slot_with_room_is_ever_better_than_the_picked_one,
      work_is_handed_ahead_exactly_when_a_full_slot_may_hold_it)
