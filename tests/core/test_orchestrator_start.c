/* orchestrator: start and load, played on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- start and load ---------------------------------------------------------------------------------- */

START_TEST(a_pool_loads_its_min_at_once) {
    set(2, 3, 1);
    curtain();
    assert_state(A, WORKER_SPAWNING);
    assert_state(B, WORKER_SPAWNING);
    assert_state(C, WORKER_DEAD);
    ck_assert(!pool()->reached_min);
    load(A);
    ck_assert(!pool()->reached_min);
    load(B);
    ck_assert(pool()->reached_min);
    ck_assert_uint_eq(C->starts, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_goes_from_spawning_over_loading_to_ready) {
    set(1, 1, 1);
    curtain();
    ck_assert_uint_eq(A->starts, 1);
    come(A);
    assert_state(A, WORKER_SPAWNING);
    ck_assert_int_eq(slot_of_actor(A)->pid, STAGE_PID);
    greet(A);
    assert_state(A, WORKER_LOADING);
    pass(3 * CLOCK_S);
    become_ready(A);
    assert_state(A, WORKER_READY);
    ck_assert_uint_eq(slot_of_actor(A)->cold_ns, 3 * CLOCK_S);
    ck_assert_uint_eq(A->measures, 1);
    ck_assert_uint_eq(pool()->totals.restarts, 0);
    close_stage();
}
END_TEST

START_TEST(ready_without_hello_passes_through_loading) {
    set(1, 1, 1);
    curtain();
    become_ready(A);
    assert_state(A, WORKER_READY);
    ck_assert_uint_eq(pool()->census.moves[WORKER_SPAWNING][WORKER_LOADING], 1);
    close_stage();
}
END_TEST

START_TEST(a_cold_pool_loads_once_however_many_wait) {
    set(0, 3, 1);
    curtain();
    ck_assert_uint_eq(A->starts, 0);
    uint64_t first = submit();
    for (int i = 0; i < 9; i++) submit();
    come(A);
    greet(A);
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->starts, 1);
    ck_assert_uint_eq(B->starts + C->starts, 0);
    become_ready(A);
    ck_assert_uint_eq(A->sent_id, first);
    reply(A, first);
    assert_answered(first, OK);
    ck_assert_uint_eq(ending(first)->cold_ns, 5 * CLOCK_S);
    ck_assert_uint_eq(ending(first)->queue_ns, 0);
    close_stage();
}
END_TEST

START_TEST(the_time_of_a_request_splits_into_cold_queue_and_run) {
    set(0, 1, 1);
    curtain();
    uint64_t first = submit(), second = submit();
    pass(4 * CLOCK_S);
    load(A);
    pass(2 * CLOCK_S);
    reply(A, first);
    pass(CLOCK_S);
    reply(A, second);
    ck_assert_uint_eq(ending(first)->cold_ns, 4 * CLOCK_S);
    ck_assert_uint_eq(ending(first)->queue_ns, 0);
    ck_assert_uint_eq(ending(first)->run_ns, 2 * CLOCK_S);
    ck_assert_uint_eq(ending(second)->cold_ns, 4 * CLOCK_S);
    ck_assert_uint_eq(ending(second)->queue_ns, 2 * CLOCK_S);
    ck_assert_uint_eq(ending(second)->run_ns, CLOCK_S);
    ck_assert_uint_eq(pool()->stats.cold.count, 2);
    close_stage();
}
END_TEST

START_TEST(a_load_that_fails_answers_all_who_wait_and_backs_off) {
    set(1, 1, 1);
    curtain();
    uint64_t first = submit(), second = submit();
    fail_to_load(A, "no such model");
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_LOAD_FAILED);
    ck_assert(A->killed);
    assert_live(first); /* told when the process is gone */
    die(A);
    assert_answered(first, SPAWN_FAILED);
    assert_answered(second, SPAWN_FAILED);
    ck_assert_str_eq(ending(first)->detail, "no such model");
    ck_assert_uint_ge(ending(first)->retry_after_ns, 80 * CLOCK_MS);
    ck_assert_uint_le(ending(first)->retry_after_ns, 120 * CLOCK_MS);
    ck_assert_int_eq(look_as(PRIORITY_CRITICAL), SPAWN_FAILED);
    ck_assert_uint_eq(submit_to(0, PRIORITY_CRITICAL, CLOCK_NEVER), 0);
    close_stage();
}
END_TEST

START_TEST(after_its_back_off_a_failed_load_is_tried_again) {
    set(1, 1, 1);
    curtain();
    fail_to_load(A, "no");
    die(A);
    pass(79 * CLOCK_MS);
    ck_assert_uint_eq(A->starts, 1);
    pass(42 * CLOCK_MS);
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_uint_eq(slot_of_actor(A)->restarts, 1);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_LOAD_FAILED], 1);
    ck_assert_int_eq(look_as(PRIORITY_NORMAL), OK);
    load(A);
    ck_assert_uint_eq(pool()->backoff_until_ns, 0);
    reply(A, submit());
    close_stage();
}
END_TEST

START_TEST(each_failed_load_doubles_the_back_off) {
    set(1, 1, 1);
    curtain();
    for (uint64_t delay_ns = 100 * CLOCK_MS; delay_ns <= 25600 * CLOCK_MS; delay_ns *= 2) {
        uint32_t starts = A->starts;
        fail_to_load(A, "no");
        die(A);
        pass(delay_ns / 10 * 8 - 1);
        ck_assert_uint_eq(A->starts, starts);
        pass(delay_ns / 10 * 4 + 1);
        ck_assert_uint_eq(A->starts, starts + 1);
    }
    close_stage();
}
END_TEST

START_TEST(a_back_off_of_the_pool_holds_for_all_its_slots) {
    set(1, 3, 1);
    curtain();
    fail_to_load(A, "no");
    die(A);
    pass(79 * CLOCK_MS);
    ck_assert_uint_eq(A->starts + B->starts + C->starts, 1); /* B and C would fail the same way */
    pass(42 * CLOCK_MS);
    ck_assert_uint_eq(A->starts + B->starts + C->starts, 2);
    close_stage();
}
END_TEST

START_TEST(a_model_that_never_loads_is_told_though_there_are_spare_slots) {
    set(1, 3, 1);
    curtain();
    uint64_t id = submit();
    for (int i = 0; i < 600 && ending(id)->done == 0; i++) {
        pass(CLOCK_S);
        for (uint32_t j = 0; j < 3; j++) {
            struct actor *actor = &stage.actors[0][j];
            if (actor->running && actor->killed) die(actor);
        }
    }
    assert_answered(id, SPAWN_TIMEOUT);
    ck_assert_uint_eq(A->starts + B->starts + C->starts, 1);
    close_stage();
}
END_TEST

START_TEST(a_second_of_two_loads_that_fails_answers_nobody_while_the_first_serves) {
    set(2, 2, 1);
    curtain();
    load(A);
    uint64_t running = submit(), waiting = submit();
    fail_to_load(B, "no");
    die(B);
    assert_live(running);
    assert_live(waiting);
    ck_assert_uint_eq(pool()->backoff_until_ns, 0);
    ck_assert_int_eq(look_as(PRIORITY_NORMAL), OK);
    close_stage();
}
END_TEST

START_TEST(the_first_of_two_loads_that_fails_answers_nobody_while_the_second_is_coming) {
    set(2, 2, 1);
    curtain();
    uint64_t id = submit();
    fail_to_load(A, "no");
    die(A);
    assert_live(id);
    fail_to_load(B, "neither");
    die(B);
    assert_answered(id, SPAWN_FAILED);
    ck_assert_str_eq(ending(id)->detail, "neither");
    close_stage();
}
END_TEST

START_TEST(a_load_that_takes_too_long_is_a_spawn_timeout) {
    set(1, 1, 1);
    curtain();
    uint64_t id = submit();
    come(A);
    greet(A);
    pass(30 * CLOCK_S - 1);
    assert_state(A, WORKER_LOADING);
    pass(1);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_LOAD_TIMEOUT);
    ck_assert(A->killed);
    die(A);
    assert_answered(id, SPAWN_TIMEOUT);
    ck_assert_uint_gt(ending(id)->retry_after_ns, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_dies_while_it_loads_is_a_failed_spawn) {
    set(1, 1, 1);
    curtain();
    uint64_t id = submit();
    come(A);
    greet(A);
    leave(A, EXIT_STATUS, 3);
    assert_answered(id, SPAWN_FAILED);
    ck_assert_str_eq(ending(id)->detail, "the worker ended with exit status 3");
    ck_assert_uint_eq(pool()->census.moves[WORKER_LOADING][WORKER_FAILED], 1);
    close_stage();
}
END_TEST

START_TEST(a_program_that_cannot_be_started_is_a_failed_spawn) {
    set(1, 1, 1);
    curtain();
    uint64_t id = submit();
    act(A, (struct transport_event){
               .kind = TRANSPORT_EXITED, .exit_kind = EXIT_NEVER_STARTED, .text = "No such file"});
    assert_answered(id, SPAWN_FAILED);
    ck_assert_str_eq(ending(id)->detail, "the worker could not be started: No such file");
    ck_assert_uint_eq(pool()->totals.restarts, 0);
    pass(120 * CLOCK_MS);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_SPAWN_FAILED], 1);
    close_stage();
}
END_TEST

START_TEST(a_start_that_fails_at_once_backs_off_too) {
    set(0, 1, 1);
    curtain();
    A->start_outcome = MEMORY_EXHAUSTED;
    uint64_t id = submit();
    assert_state(A, WORKER_DEAD);
    assert_answered(id, SPAWN_FAILED);
    ck_assert_uint_eq(A->starts, 1);
    ck_assert_int_eq(look_as(PRIORITY_NORMAL), SPAWN_FAILED);
    close_stage();
}
END_TEST

START_TEST(who_was_admitted_just_before_the_load_failed_is_answered_at_once) {
    set(0, 1, 1);
    curtain();
    submit();
    fail_to_load(A, "no");
    die(A);
    admission_update(&pool()->admission,
                     &(struct admission_view){.refusal = OK}); /* as if the gate did not know yet */
    uint64_t late = submit();
    assert_answered(late, SPAWN_FAILED);
    ck_assert_uint_gt(ending(late)->retry_after_ns, 0);
    ck_assert_uint_eq(A->starts, 1);
    close_stage();
}
END_TEST

START_TEST(five_seconds_ready_forget_the_failures) {
    set(1, 1, 1);
    curtain();
    for (int i = 0; i < 3; i++) {
        fail_to_load(A, "no");
        die(A);
        pass(CLOCK_S);
    }
    load(A);
    ck_assert_uint_eq(slot_of_actor(A)->failures, 3);
    pass(5 * CLOCK_S - 1);
    ck_assert_uint_eq(slot_of_actor(A)->failures, 3);
    pass(1);
    ck_assert_uint_eq(slot_of_actor(A)->failures, 0);
    close_stage();
}
END_TEST

START_TEST(one_success_forgets_the_failures) {
    set(1, 1, 1);
    curtain();
    fail_to_load(A, "no");
    die(A);
    pass(CLOCK_S);
    load(A);
    reply(A, submit());
    ck_assert_uint_eq(slot_of_actor(A)->failures, 0);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_start", 30, a_pool_loads_its_min_at_once,
      a_worker_goes_from_spawning_over_loading_to_ready, ready_without_hello_passes_through_loading,
      a_cold_pool_loads_once_however_many_wait,
      the_time_of_a_request_splits_into_cold_queue_and_run,
      a_load_that_fails_answers_all_who_wait_and_backs_off,
      after_its_back_off_a_failed_load_is_tried_again, each_failed_load_doubles_the_back_off,
      a_back_off_of_the_pool_holds_for_all_its_slots,
      a_model_that_never_loads_is_told_though_there_are_spare_slots,
      a_second_of_two_loads_that_fails_answers_nobody_while_the_first_serves,
      the_first_of_two_loads_that_fails_answers_nobody_while_the_second_is_coming,
      a_load_that_takes_too_long_is_a_spawn_timeout,
      a_worker_that_dies_while_it_loads_is_a_failed_spawn,
      a_program_that_cannot_be_started_is_a_failed_spawn, a_start_that_fails_at_once_backs_off_too,
      who_was_admitted_just_before_the_load_failed_is_answered_at_once,
      five_seconds_ready_forget_the_failures, one_success_forgets_the_failures)
