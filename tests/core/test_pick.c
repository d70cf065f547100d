/* pick: the least loaded slot, among equals the one used last. */
#include "core/policy/pick.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#define SLOTS 5

static struct slot slots[SLOTS];

static struct slot make_slot(enum worker_state state, uint32_t inflight, uint64_t last_used_ns) {
    return (struct slot){.capacity = 3,
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

START_TEST(no_slot_with_room_is_ever_better_than_the_picked_one) {
    struct chance chance = chance_open();
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < SLOTS; i++)
            slots[i] = make_slot((enum worker_state)chance_below(&chance, WORKER_STATE_COUNT),
                                 chance_below(&chance, 4), chance_below(&chance, 4));
        bool solo = chance_percent(&chance, 20);
        const struct slot *picked = pick_least_loaded(slots, SLOTS, solo);
        require(picked == NULL || slot_room(picked, solo) > 0);
        for (size_t i = 0; i < SLOTS; i++) {
            if (slot_room(&slots[i], solo) == 0) continue;
            require(picked != NULL && picked->inflight <= slots[i].inflight);
            require(picked->inflight < slots[i].inflight ||
                    picked->last_used_ns >= slots[i].last_used_ns);
        }
    }
}
END_TEST

SUITE("core/pick", 30, without_a_slot_that_has_room_there_is_none, the_least_loaded_is_picked,
      among_equals_the_one_used_last_is_picked, among_true_equals_the_first_is_picked,
      who_must_be_alone_gets_only_an_empty_slot, a_slot_whose_request_must_be_alone_is_not_picked,
      no_slot_with_room_is_ever_better_than_the_picked_one)
