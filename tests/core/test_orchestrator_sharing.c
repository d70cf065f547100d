/* orchestrator: one run that identical requests share, when their deadlines differ; on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

static void open_sharing(void) {
    set(1, 1, 1);
    options->queue.dedup_ns = 100 * CLOCK_S;
    open_warm();
}

static uint64_t ask_until(uint64_t duration_ns) {
    return submit_offer(&(struct offer){
        .priority = PRIORITY_NORMAL, .deadline_ns = stage.now_ns + duration_ns, .content = "same"});
}

START_TEST(a_worker_that_gives_up_at_the_leaders_deadline_runs_again_for_who_has_longer) {
    open_sharing();
    uint64_t leader = ask_until(CLOCK_S), joiner = ask_until(10 * CLOCK_S);
    pass(CLOCK_S);
    assert_answered(leader, DEADLINE_EXCEEDED);
    say_error(A, leader, WORKER_SAID_CANCELLED, "its time is over");
    assert_live(joiner);
    ck_assert_uint_eq(A->sends, 2);
    ck_assert_uint_eq(A->sent_id, joiner);
    ck_assert_uint_eq(request_queue_find(&pool()->queue, joiner)->run_deadline_ns,
                      STAGE_BEGINS_NS + 10 * CLOCK_S);
    reply(A, joiner);
    assert_answered(joiner, OK);
    ck_assert_uint_eq(pool()->totals.retried, 1);
    close_stage();
}
END_TEST

START_TEST(an_error_before_the_deadline_is_everybodys_answer) {
    open_sharing();
    uint64_t leader = ask_until(CLOCK_S), joiner = ask_until(10 * CLOCK_S);
    say_error(A, leader, WORKER_SAID_FAILED, "it broke");
    assert_answered(leader, WORKER_ERROR);
    assert_answered(joiner, WORKER_ERROR);
    ck_assert_uint_eq(A->sends, 1);
    close_stage();
}
END_TEST

START_TEST(an_error_after_a_deadline_that_was_everybodys_is_the_answer) {
    open_sharing();
    uint64_t first = ask_until(CLOCK_S);
    pass(CLOCK_S);
    assert_answered(first, DEADLINE_EXCEEDED);
    say_error(A, first, WORKER_SAID_CANCELLED, "its time is over");
    assert_state(A, WORKER_READY);
    ck_assert_uint_eq(A->sends, 1);
    close_stage();
}
END_TEST

START_TEST(who_was_staged_with_followers_was_still_waiting_when_its_time_was_over) {
    set(1, 1, 1);
    options->staged = 1;
    options->queue.dedup_ns = 100 * CLOCK_S;
    open_warm();
    uint64_t running = submit(), leader = ask_until(CLOCK_S), follower = ask_until(CLOCK_S);
    uint64_t heir = ask_until(10 * CLOCK_S);
    assert_staged(A, leader);
    pass(CLOCK_S);
    assert_answered(leader, DEADLINE_EXCEEDED);
    assert_answered(follower, DEADLINE_EXCEEDED);
    ck_assert_str_eq(ending(leader)->detail, "still waiting after 1.000 s");
    ck_assert_str_eq(ending(follower)->detail, "still waiting after 1.000 s");
    reply(A, running);
    reply(A, leader); /* the worker knows it by this id */
    assert_answered(heir, OK);
    close_stage();
}
END_TEST

START_TEST(who_follows_what_runs_was_still_running_when_its_time_was_over) {
    open_sharing();
    uint64_t leader = ask_until(10 * CLOCK_S), follower = ask_until(CLOCK_S);
    pass(CLOCK_S);
    assert_answered(follower, DEADLINE_EXCEEDED);
    ck_assert_str_eq(ending(follower)->detail, "still running after 1.000 s");
    reply(A, leader);
    close_stage();
}
END_TEST

START_TEST(who_joins_a_run_is_no_arrival_to_make_room_for) {
    open_sharing();
    uint64_t leader = ask_until(10 * CLOCK_S);
    for (int i = 0; i < 20; i++) ask_until(10 * CLOCK_S);
    ck_assert_uint_eq(pool()->forecast.arrivals, 1);
    reply(A, leader);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_sharing", 30,
      a_worker_that_gives_up_at_the_leaders_deadline_runs_again_for_who_has_longer,
      an_error_before_the_deadline_is_everybodys_answer,
      an_error_after_a_deadline_that_was_everybodys_is_the_answer,
      who_was_staged_with_followers_was_still_waiting_when_its_time_was_over,
      who_follows_what_runs_was_still_running_when_its_time_was_over,
      who_joins_a_run_is_no_arrival_to_make_room_for)
