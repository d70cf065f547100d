/* orchestrator: pause, drain, and several pools, played on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- pause ---------------------------------------------------------------------------------------------- */

START_TEST(a_paused_pool_sends_nothing_and_expires_as_paused) {
    set(1, 1, 1);
    open_warm();
    uint64_t running = submit();
    pool()->wish = WISH_PAUSE;
    uint64_t waiting = submit(), late = submit_until(2 * CLOCK_S);
    reply(A, running);
    assert_answered(running, OK);
    ck_assert_uint_eq(A->has_count, 0);
    pass(2 * CLOCK_S);
    assert_answered(late, PAUSED);
    pool()->wish = WISH_RUN;
    settle();
    ck_assert_uint_eq(A->sent_id, waiting);
    close_stage();
}
END_TEST

/* --- drain ------------------------------------------------------------------------------------------- */

START_TEST(a_drain_refuses_finishes_and_then_stops) {
    set(1, 2, 1);
    open_warm();
    uint64_t first = submit(), second = submit();
    begin_drain(25 * CLOCK_S);
    ck_assert_int_eq(look_as(PRIORITY_CRITICAL), SHUTTING_DOWN);
    ck_assert_uint_eq(A->shutdowns, 0);
    reply(A, first);
    ck_assert_uint_eq(A->shutdowns, 0); /* there is one more */
    reply(A, second);
    assert_answered(second, OK);
    ck_assert_uint_eq(A->shutdowns, 1);
    assert_state(A, WORKER_EVICTING);
    ck_assert(!drained());
    leave(A, EXIT_STATUS, 0);
    assert_state(A, WORKER_DEAD);
    ck_assert(drained());
    pass(60 * CLOCK_S);
    ck_assert_uint_eq(A->starts + B->starts, 1); /* nobody is started again */
    close_stage();
}
END_TEST

START_TEST(a_drain_of_an_idle_pool_stops_it_at_once) {
    set(2, 2, 1);
    open_warm();
    pass(5 * CLOCK_S);
    begin_drain(25 * CLOCK_S);
    ck_assert_uint_eq(A->shutdowns, 1);
    ck_assert_uint_eq(B->shutdowns, 1);
    leave(A, EXIT_STATUS, 0);
    ck_assert(!drained());
    leave(B, EXIT_STATUS, 0);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(a_drain_stops_a_worker_that_still_loads) {
    set(1, 1, 1);
    curtain();
    come(A);
    greet(A);
    begin_drain(25 * CLOCK_S);
    assert_state(A, WORKER_EVICTING);
    ck_assert_uint_eq(A->shutdowns, 0); /* it does not listen yet */
    ck_assert_uint_eq(A->terms, 1);
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->kills, 1);
    pass(30 * CLOCK_S); /* its load deadline as well */
    die(A);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(a_drain_of_a_cold_pool_with_waiting_work_still_loads_for_it) {
    set(0, 1, 1);
    curtain();
    uint64_t id = submit();
    begin_drain(25 * CLOCK_S);
    load(A);
    reply(A, id);
    assert_answered(id, OK);
    leave(A, EXIT_STATUS, 0);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(a_crash_in_a_drain_is_retried) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    begin_drain(25 * CLOCK_S);
    crash(A);
    pass(CLOCK_S);
    load(A);
    reply(A, id);
    assert_answered(id, OK);
    leave(A, EXIT_STATUS, 0);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(a_drain_kills_a_worker_that_works_for_nobody) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    cancel(id);
    begin_drain(25 * CLOCK_S);
    ck_assert_uint_eq(A->kills, 1);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_DRAIN);
    die(A);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(a_drain_that_runs_out_of_time_answers_and_kills) {
    set(2, 2, 1);
    open_warm();
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) ids[i] = submit();
    begin_drain(5 * CLOCK_S);
    pass(5 * CLOCK_S - 1);
    for (int i = 0; i < 3; i++) assert_live(ids[i]);
    pass(1);
    for (int i = 0; i < 3; i++) assert_answered(ids[i], SHUTTING_DOWN);
    ck_assert_uint_eq(A->kills, 1);
    ck_assert_uint_eq(B->kills, 1);
    ck_assert(!drained());
    ck_assert_uint_eq(pool()->census.moves[WORKER_PROCESSING][WORKER_FAILED], 2);
    ck_assert_uint_eq(slot_of_actor(A)->failures, 0); /* it is no fault of theirs */
    die(A);
    die(B);
    ck_assert(drained());
    ck_assert_uint_eq(pool()->totals.crashed, 0);
    close_stage();
}
END_TEST

START_TEST(a_killed_worker_may_take_its_time_to_die) {
    static const enum worker_state states[] = {WORKER_SPAWNING, WORKER_LOADING, WORKER_READY,
                                               WORKER_IDLE, WORKER_PROCESSING};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        set(1, 1, 1);
        curtain();
        if (states[i] >= WORKER_LOADING) greet(A);
        if (states[i] >= WORKER_READY) become_ready(A);
        if (states[i] == WORKER_PROCESSING) submit();
        if (states[i] == WORKER_IDLE) pass(CLOCK_S);
        assert_state(A, states[i]);
        begin_drain(0);
        assert_state(A, states[i] == WORKER_PROCESSING ? WORKER_FAILED : WORKER_EVICTING);
        pass(60 * CLOCK_S); /* a large process gives its memory back; its old moments come */
        ck_assert_uint_eq(A->kills, 1);
        ck_assert_uint_eq(A->pings, 0);
        die(A);
        ck_assert(drained());
        stage_close();
    }
}
END_TEST

START_TEST(a_second_drain_can_only_shorten_the_time) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    begin_drain(10 * CLOCK_S);
    begin_drain(2 * CLOCK_S);
    begin_drain(100 * CLOCK_S);
    pass(2 * CLOCK_S);
    assert_answered(id, SHUTTING_DOWN);
    close_stage();
}
END_TEST

START_TEST(a_request_that_is_still_on_its_way_holds_up_the_end_of_a_drain) {
    set(0, 1, 1);
    curtain();
    begin_drain(25 * CLOCK_S);
    ck_assert(drained());
    atomic_fetch_add(&pool()->admission.permits, 1); /* taken just before the refusal */
    ck_assert(!drained());
    atomic_fetch_sub(&pool()->admission.permits, 1);
    ck_assert(drained());
    close_stage();
}
END_TEST

START_TEST(deadlines_pass_in_a_drain) {
    set(1, 1, 1);
    open_warm();
    submit();
    uint64_t id = submit_until(CLOCK_S);
    begin_drain(25 * CLOCK_S);
    pass(CLOCK_S);
    assert_answered(id, DEADLINE_EXCEEDED);
    close_stage();
}
END_TEST

/* --- several pools, and late loops -------------------------------------------------------------------- */

START_TEST(a_cold_pool_never_holds_up_a_warm_one) {
    set(1, 1, 1);
    stage.options[1] = plain_pool("cold");
    stage_open(2, 1);
    settle();
    load(A);
    uint64_t cold = submit_to(1, PRIORITY_CRITICAL, CLOCK_NEVER), warm = submit();
    reply(A, warm);
    assert_answered(warm, OK);
    assert_live(cold);
    fail_to_load(&stage.actors[1][0], "no");
    die(&stage.actors[1][0]);
    assert_answered(cold, SPAWN_FAILED);
    ck_assert_int_eq(look_as(PRIORITY_NORMAL), OK);
    begin_drain(0);
    die(A);
    ck_assert(drained());
    stage_close();
}
END_TEST

START_TEST(a_loop_that_comes_late_does_everything_that_is_due) {
    set(1, 1, 2);
    open_warm();
    uint64_t first = submit_until(CLOCK_S), second = submit_until(3 * CLOCK_S);
    leap(3600 * CLOCK_S);
    assert_answered(first, DEADLINE_EXCEEDED);
    assert_answered(second, DEADLINE_EXCEEDED);
    ck_assert_uint_eq(A->pings, 1); /* one, not three hundred and sixty */
    pass(CLOCK_S);
    ck_assert_uint_eq(A->terms, 1);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_drain", 30, a_paused_pool_sends_nothing_and_expires_as_paused,
      a_drain_refuses_finishes_and_then_stops, a_drain_of_an_idle_pool_stops_it_at_once,
      a_drain_stops_a_worker_that_still_loads,
      a_drain_of_a_cold_pool_with_waiting_work_still_loads_for_it, a_crash_in_a_drain_is_retried,
      a_drain_kills_a_worker_that_works_for_nobody, a_drain_that_runs_out_of_time_answers_and_kills,
      a_killed_worker_may_take_its_time_to_die, a_second_drain_can_only_shorten_the_time,
      a_request_that_is_still_on_its_way_holds_up_the_end_of_a_drain, deadlines_pass_in_a_drain,
      a_cold_pool_never_holds_up_a_warm_one, a_loop_that_comes_late_does_everything_that_is_due)
