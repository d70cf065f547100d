/* orchestrator: health and size, played on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- health -------------------------------------------------------------------------------------------- */

START_TEST(three_missed_pings_in_a_row_end_a_worker) {
    set(1, 1, 1);
    open_warm();
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->pings, 1);
    pass(20 * CLOCK_S);
    ck_assert_uint_eq(A->pings, 3);
    pass(CLOCK_S - 1);
    assert_state(A, WORKER_IDLE);
    pass(1);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_PING_MISSED);
    ck_assert(A->killed);
    die(A);
    pass(CLOCK_S);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_PING_MISSED], 1);
    close_stage();
}
END_TEST

START_TEST(missed_pings_mark_nobody) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    pass(31 * CLOCK_S);
    assert_state(A, WORKER_FAILED);
    const struct request *request = request_queue_find(&pool()->queue, id);
    ck_assert_ptr_nonnull(request);
    ck_assert_int_eq(request->state, REQUEST_QUEUED);
    ck_assert_uint_eq(request->marks, 0);
    die(A);
    close_stage();
}
END_TEST

START_TEST(one_pong_forgives_the_missed_pings) {
    set(1, 1, 1);
    open_warm();
    for (int round = 0; round < 5; round++) {
        pass(25 * CLOCK_S); /* two are missed */
        ck_assert_uint_eq(slot_of_actor(A)->pings_missed, 2);
        pass(5 * CLOCK_S);
        pong(A);
        ck_assert_uint_eq(slot_of_actor(A)->pings_missed, 0);
    }
    ck_assert_uint_eq(A->kills, 0);
    close_stage();
}
END_TEST

START_TEST(a_pong_to_an_older_ping_does_not_count) {
    set(1, 1, 1);
    open_warm();
    pass(20 * CLOCK_S);
    ck_assert_uint_eq(A->pings, 2);
    act(A, (struct transport_event){.kind = TRANSPORT_PONG, .id = 1});
    ck_assert_uint_eq(slot_of_actor(A)->pings_missed, 1);
    ck_assert_uint_ne(slot_of_actor(A)->pong_deadline_ns, CLOCK_NEVER);
    close_stage();
}
END_TEST

START_TEST(pings_go_on_while_a_worker_works) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    for (int i = 0; i < 10; i++) {
        pass(10 * CLOCK_S);
        pong(A);
    }
    ck_assert_uint_eq(A->pings, 10);
    reply(A, id);
    assert_answered(id, OK);
    close_stage();
}
END_TEST

START_TEST(a_hung_worker_is_found_when_the_pong_may_take_longer_than_the_interval) {
    set(1, 1, 1);
    options->health.interval_ns = CLOCK_S;
    options->health.timeout_ns = 3 * CLOCK_S;
    open_warm();
    pass(60 * CLOCK_S);
    ck_assert(A->killed);
    close_stage();
}
END_TEST

START_TEST(memory_is_measured_every_second) {
    set(1, 1, 1);
    open_warm();
    pass(9 * CLOCK_S);
    ck_assert_uint_eq(A->measures, 10);
    act(A, (struct transport_event){.kind = TRANSPORT_MEASURED, .resident_bytes = 12345});
    ck_assert_uint_eq(slot_of_actor(A)->resident_bytes, 12345);
    close_stage();
}
END_TEST

/* --- size --------------------------------------------------------------------------------------------- */

START_TEST(a_pool_grows_by_one_at_a_time_while_all_are_busy_and_work_waits) {
    set(1, 3, 1);
    open_warm();
    for (int i = 0; i < 10; i++) submit();
    pass(CLOCK_S);
    ck_assert_uint_eq(B->starts, 1);
    pass(3 * CLOCK_S);
    ck_assert_uint_eq(C->starts, 0); /* B is still coming */
    load(B);
    ck_assert_uint_eq(B->has_count, 1);
    pass(CLOCK_S);
    ck_assert_uint_eq(C->starts, 1);
    close_stage();
}
END_TEST

START_TEST(the_loop_is_woken_when_a_pool_may_grow) {
    set(1, 2, 1);
    options->scale.interval_ns = 300 * CLOCK_MS;
    open_warm();
    submit();
    submit();
    ck_assert_uint_le(stage.next_ns, stage.now_ns + 300 * CLOCK_MS);
    pass(300 * CLOCK_MS);
    ck_assert_uint_eq(B->starts, 1);
    close_stage();
}
END_TEST

START_TEST(a_pool_shrinks_to_its_min_when_slots_are_idle_too_long) {
    set(1, 2, 1);
    open_warm();
    submit();
    submit();
    pass(CLOCK_S);
    load(B);
    reply(A, A->has[0].id);
    reply(B, B->has[0].id);
    for (int i = 0; i < 29; i++) {
        pass(10 * CLOCK_S);
        pong(A);
        pong(B);
    }
    ck_assert_uint_eq(A->shutdowns + B->shutdowns, 0);
    for (int i = 0; i < 12 && A->shutdowns + B->shutdowns == 0; i++) pass(CLOCK_S);
    ck_assert_uint_eq(A->shutdowns + B->shutdowns, 1);
    struct actor *gone = A->shutdowns == 1 ? A : B;
    assert_state(gone, WORKER_EVICTING);
    assert_reason(gone, REASON_SCALE_DOWN);
    leave(gone, EXIT_STATUS, 0);
    assert_state(gone, WORKER_DEAD);
    ck_assert_uint_eq(gone->terms, 0);
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->starts + B->starts, 2);
    ck_assert_uint_eq(pool()->totals.restarts, 0);
    close_stage();
}
END_TEST

START_TEST(a_slot_is_not_idle_because_its_last_run_was_long) {
    set(0, 1, 1);
    options->timeouts.idle_ns = 30 * CLOCK_S;
    curtain();
    uint64_t id = submit();
    load(A);
    for (int i = 0; i < 6; i++) { /* a minute, twice timeouts.idle */
        pass(10 * CLOCK_S);
        pong(A);
    }
    reply(A, id);
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->shutdowns, 0);
    pass(CLOCK_S);
    pong(A);
    pass(28 * CLOCK_S);
    ck_assert_uint_eq(A->shutdowns, 1);
    close_stage();
}
END_TEST

START_TEST(a_slot_that_does_not_end_when_asked_is_told_and_then_killed) {
    set(0, 1, 1);
    options->timeouts.idle_ns = 5 * CLOCK_S;
    curtain();
    uint64_t id = submit();
    load(A);
    reply(A, id);
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->shutdowns, 1);
    pass(CLOCK_S - 1);
    ck_assert_uint_eq(A->terms, 0);
    pass(1);
    ck_assert_uint_eq(A->terms, 1);
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->kills, 1);
    die(A);
    assert_state(A, WORKER_DEAD);
    ck_assert_uint_eq(slot_of_actor(A)->failures, 0);
    close_stage();
}
END_TEST

START_TEST(an_unloaded_pool_loads_again_on_demand) {
    set(0, 1, 1);
    options->timeouts.idle_ns = 5 * CLOCK_S;
    curtain();
    uint64_t id = submit();
    load(A);
    reply(A, id);
    pass(5 * CLOCK_S);
    uint64_t next = submit(); /* while the worker is ending */
    assert_live(next);
    leave(A, EXIT_STATUS, 0);
    ck_assert_uint_eq(A->starts, 2);
    pass(CLOCK_S);
    load(A);
    reply(A, next);
    assert_answered(next, OK);
    ck_assert_uint_eq(ending(next)->cold_ns, CLOCK_S);
    close_stage();
}
END_TEST

START_TEST(a_fixed_pool_keeps_its_size) {
    set(2, 3, 1);
    options->scale.policy = SCALE_FIXED;
    open_warm();
    for (int i = 0; i < 10; i++) submit();
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(C->starts, 0);
    close_stage();
}
END_TEST

/* Four requests each 100 ms, which run 100 ms as one batch: 40 a second keep one worker busy. */
START_TEST(a_forecast_knows_that_batches_run_together) {
    set(1, 4, 1);
    options->scale.policy = SCALE_PREDICTIVE;
    options->queue.batch_max = 4;
    open_warm();
    for (int i = 0; i < 100; i++) {
        uint64_t ids[4];
        stage.held = true;
        for (int j = 0; j < 4; j++) ids[j] = submit();
        stage.held = false;
        settle();
        pass(90 * CLOCK_MS);
        for (int j = 0; j < 4; j++) reply(A, ids[j]);
        pass(10 * CLOCK_MS);
        if (A->ping_id > 0) pong(A);
    }
    ck_assert_uint_le(B->starts + C->starts + stage.actors[0][3].starts, 1);
    for (uint32_t i = 1; i < 4; i++)
        if (stage.actors[0][i].running) leave(&stage.actors[0][i], EXIT_STATUS, 0);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_size", 30, three_missed_pings_in_a_row_end_a_worker,
      missed_pings_mark_nobody, one_pong_forgives_the_missed_pings,
      a_pong_to_an_older_ping_does_not_count, pings_go_on_while_a_worker_works,
      a_hung_worker_is_found_when_the_pong_may_take_longer_than_the_interval,
      memory_is_measured_every_second,
      a_pool_grows_by_one_at_a_time_while_all_are_busy_and_work_waits,
      the_loop_is_woken_when_a_pool_may_grow,
      a_pool_shrinks_to_its_min_when_slots_are_idle_too_long,
      a_slot_is_not_idle_because_its_last_run_was_long,
      a_slot_that_does_not_end_when_asked_is_told_and_then_killed,
      an_unloaded_pool_loads_again_on_demand, a_fixed_pool_keeps_its_size,
      a_forecast_knows_that_batches_run_together)
