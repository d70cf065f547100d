/* answers: each is handed back once, in order, and whoever waits for several is woken once. */
#include "core/answers.h"
#include "tests/support/suite.h"

#define MOST (2 * ANSWERS_MOST)

static struct answers answers;
static struct request requests[MOST];
static uint32_t calls, done[MOST]; /* the how many-th call each was */

struct house {
    struct request_home home;
    uint32_t wakes, woken; /* the last: which call that was */
};
static struct house houses[2];

static void on_done(struct request *request) {
    ck_assert_ptr_null(request->next_by_id);
    ck_assert_uint_eq(done[request - requests], 0);
    done[request - requests] = ++calls;
    request->home = NULL; /* as if it were freed */
}

static void on_wake(struct request_home *home) {
    struct house *house = LIST_ENTRY(home, struct house, home);
    house->wakes++;
    house->woken = ++calls;
}

static void keep(uint32_t number, struct house *house) {
    requests[number] = (struct request){.state = REQUEST_DONE, .done = on_done};
    if (house != NULL) requests[number].home = &house->home;
    answers_keep(&answers, &requests[number]);
}

static void open_houses(void) {
    for (int i = 0; i < 2; i++) houses[i] = (struct house){.home.wake = on_wake};
}

START_TEST(they_are_handed_back_in_the_order_in_which_they_were_answered) {
    for (uint32_t i = 0; i < 5; i++) keep(i, NULL);
    ck_assert_uint_eq(calls, 0);
    answers_hand_back(&answers);
    for (uint32_t i = 0; i < 5; i++) ck_assert_uint_eq(done[i], i + 1);
    answers_hand_back(&answers);
    ck_assert_uint_eq(calls, 5);
}
END_TEST

START_TEST(each_home_is_woken_once_behind_all_that_are_handed_back) {
    open_houses();
    keep(0, &houses[0]);
    keep(1, &houses[1]);
    keep(2, NULL);
    keep(3, &houses[0]);
    answers_hand_back(&answers);
    ck_assert_uint_eq(calls, 6);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(houses[i].wakes, 1);
        ck_assert_uint_gt(houses[i].woken, 4);
    }
    keep(4, &houses[1]);
    answers_hand_back(&answers);
    ck_assert_uint_eq(houses[0].wakes, 1);
    ck_assert_uint_eq(houses[1].wakes, 2);
}
END_TEST

START_TEST(one_by_itself_is_handed_back_and_its_home_woken) {
    open_houses();
    requests[0] = (struct request){.state = REQUEST_DONE, .done = on_done, .home = &houses[0].home};
    answers_hand_back_one(&requests[0]);
    ck_assert_uint_eq(done[0], 1);
    ck_assert_uint_eq(houses[0].woken, 2);
}
END_TEST

START_TEST(no_more_than_a_round_of_them_wait_for_one_another) {
    for (uint32_t i = 0; i < ANSWERS_MOST; i++) keep(i, NULL);
    ck_assert_uint_eq(calls, ANSWERS_MOST);
    keep(ANSWERS_MOST, NULL);
    ck_assert_uint_eq(calls, ANSWERS_MOST);
    answers_hand_back(&answers);
    ck_assert_uint_eq(done[ANSWERS_MOST], ANSWERS_MOST + 1);
}
END_TEST

SUITE("core/answers", 30, they_are_handed_back_in_the_order_in_which_they_were_answered,
      each_home_is_woken_once_behind_all_that_are_handed_back,
      one_by_itself_is_handed_back_and_its_home_woken,
      no_more_than_a_round_of_them_wait_for_one_another)
