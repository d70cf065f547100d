/* orchestrator: the end of a worker and what becomes of its work, played on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- the end of a worker ------------------------------------------------------------------------------ */

START_TEST(a_crashed_request_is_retried_before_those_who_came_later) {
    set(1, 1, 1);
    open_warm();
    uint64_t first = submit(), second = submit();
    crash(A);
    assert_live(first);
    assert_state(A, WORKER_DEAD);
    ck_assert_uint_eq(pool()->totals.retried, 1);
    ck_assert_uint_eq(pool()->totals.crashed, 1);
    pass(120 * CLOCK_MS);
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_CRASHED], 1);
    load(A);
    ck_assert_uint_eq(A->sent_id, first);
    reply(A, first);
    assert_answered(first, OK);
    ck_assert_uint_eq(ending(first)->attempts, 2);
    ck_assert_uint_eq(ending(first)->marks, 1);
    ck_assert_uint_eq(A->sent_id, second);
    close_stage();
}
END_TEST

START_TEST(the_loop_is_woken_when_a_back_off_ends) {
    set(1, 1, 1);
    open_warm();
    crash(A);
    ck_assert_uint_eq(stage.next_ns, slot_of_actor(A)->respawn_ns);
    ck_assert_uint_le(stage.next_ns, stage.now_ns + 120 * CLOCK_MS);
    close_stage();
}
END_TEST

START_TEST(a_crashed_request_goes_to_another_slot_at_once) {
    set(2, 2, 1);
    open_warm();
    uint64_t id = submit();
    struct actor *first = actor_has(A, id) ? A : B, *other = first == A ? B : A;
    crash(first);
    ck_assert(actor_has(other, id));
    reply(other, id);
    ck_assert_uint_eq(ending(id)->slot, other->slot);
    close_stage();
}
END_TEST

START_TEST(a_request_that_kills_two_workers_is_quarantined) {
    set(2, 2, 1);
    open_warm();
    uint64_t id = submit();
    struct actor *first = actor_has(A, id) ? A : B, *other = first == A ? B : A;
    crash(first);
    crash(other);
    assert_answered(id, QUARANTINED);
    ck_assert_uint_eq(ending(id)->attempts, 2);
    ck_assert_uint_eq(ending(id)->marks, 2);
    ck_assert_int_eq(ending(id)->source, SOURCE_WORKER);
    ck_assert_ptr_nonnull(strstr(ending(id)->detail, "signal 11"));
    close_stage();
}
END_TEST

START_TEST(without_retries_a_crash_is_the_answer) {
    set(1, 1, 1);
    options->retry_crashes = 0;
    open_warm();
    uint64_t id = submit();
    crash(A);
    assert_answered(id, WORKER_CRASHED);
    ck_assert_uint_eq(ending(id)->attempts, 1);
    ck_assert_uint_eq(pool()->totals.retried, 0);
    close_stage();
}
END_TEST

START_TEST(an_exit_with_status_zero_is_a_crash_as_well) {
    set(1, 1, 1);
    options->retry_crashes = 0;
    open_warm();
    uint64_t id = submit();
    leave(A, EXIT_STATUS, 0);
    assert_answered(id, WORKER_CRASHED);
    ck_assert_uint_eq(ending(id)->marks, 1);
    pass(120 * CLOCK_MS);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_EXITED], 1);
    close_stage();
}
END_TEST

START_TEST(a_shared_crash_marks_nobody_and_each_is_retried_alone) {
    set(1, 1, 2);
    open_warm();
    uint64_t first = submit(), second = submit(), third = submit();
    crash(A);
    pass(120 * CLOCK_MS);
    load(A);
    ck_assert_uint_eq(A->has_count, 1);
    ck_assert_uint_eq(A->sent_id, first);
    reply(A, first);
    ck_assert_uint_eq(ending(first)->marks, 0);
    ck_assert_uint_eq(A->has_count, 1); /* the second, alone too */
    ck_assert_uint_eq(A->sent_id, second);
    reply(A, second);
    assert_answered(second, OK);
    uint64_t fourth = submit();
    ck_assert(actor_has(A, third) && actor_has(A, fourth)); /* these may share again */
    close_stage();
}
END_TEST

START_TEST(of_those_retried_alone_only_the_guilty_is_quarantined) {
    set(1, 1, 2);
    open_warm();
    uint64_t guilty = submit(), innocent = submit();
    for (int i = 0; i < 3; i++) { /* shared, then alone twice */
        crash(A);
        pass(CLOCK_S);
        load(A);
    }
    assert_answered(guilty, QUARANTINED);
    ck_assert_uint_eq(ending(guilty)->attempts, 3);
    reply(A, innocent);
    assert_answered(innocent, OK);
    close_stage();
}
END_TEST

START_TEST(a_kill_from_outside_marks_nobody) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    for (int i = 0; i < 3; i++) {
        leave(A, EXIT_OTHER_SIGNAL, SIGKILL);
        assert_live(id);
        pass(CLOCK_S);
        load(A);
    }
    reply(A, id);
    assert_answered(id, OK);
    ck_assert_uint_eq(ending(id)->marks, 0);
    ck_assert_uint_eq(ending(id)->attempts, 4);
    ck_assert_uint_eq(pool()->totals.retried, 3);
    close_stage();
}
END_TEST

START_TEST(kills_from_outside_are_not_endured_for_ever) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    for (int i = 0; i < 5; i++) {
        leave(A, EXIT_OTHER_SIGNAL, SIGKILL);
        pass(2 * CLOCK_S);
        load(A);
    }
    assert_answered(id, WORKER_CRASHED);
    ck_assert_uint_eq(ending(id)->attempts, 5);
    ck_assert_uint_eq(ending(id)->marks, 0);
    close_stage();
}
END_TEST

START_TEST(a_retry_keeps_its_deadline) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit_until(50 * CLOCK_MS);
    crash(A);
    pass(50 * CLOCK_MS);
    assert_answered(id, DEADLINE_EXCEEDED);
    close_stage();
}
END_TEST

START_TEST(what_waits_after_a_crash_does_not_run) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    pass(CLOCK_MS);
    crash(A);
    wish_for(0, WISH_PAUSE);
    pass(20 * CLOCK_S);
    cancel(id);
    ck_assert_uint_eq(ending(id)->run_ns, 0);
    ck_assert_uint_eq(ending(id)->queue_ns, 20 * CLOCK_S + CLOCK_MS);
    ck_assert_uint_eq(pool()->queue.order->tenants.mean_run_ns, CLOCK_MS); /* charged once */
    close_stage();
}
END_TEST

START_TEST(a_retry_can_be_cancelled) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    crash(A);
    cancel(id);
    assert_answered(id, CANCELLED);
    ck_assert_uint_eq(A->cancels, 0);
    close_stage();
}
END_TEST

START_TEST(a_crash_after_a_cancel_is_nobodys) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    cancel(id);
    crash(A);
    assert_answered(id, CANCELLED);
    ck_assert_uint_eq(pool()->totals.crashed, 0);
    ck_assert_uint_eq(pool()->stats.cancel.count, 1);
    close_stage();
}
END_TEST

START_TEST(a_reply_with_an_unknown_id_breaks_the_protocol) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    reply(A, id + 7);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_PROTOCOL);
    ck_assert(A->killed);
    assert_live(id); /* to be retried */
    ck_assert_str_eq(slot_of_actor(A)->last_error, "answered a request that it did not have");
    die(A);
    pass(CLOCK_S);
    load(A);
    reply(A, id);
    assert_answered(id, OK);
    ck_assert_uint_eq(ending(id)->marks, 1);
    close_stage();
}
END_TEST

START_TEST(a_reply_with_the_id_zero_breaks_the_protocol) {
    set(1, 1, 2);
    open_warm();
    reply(A, 0); /* also the mark of a free assignment */
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_PROTOCOL);
    close_stage();
}
END_TEST

START_TEST(the_second_reply_to_a_request_breaks_the_protocol) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    reply(A, id);
    reply(A, id);
    assert_reason(A, REASON_PROTOCOL);
    assert_answered(id, OK);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_breaks_a_rule_is_killed) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    break_protocol(A);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_PROTOCOL);
    ck_assert_uint_eq(A->kills, 1);
    ck_assert_str_eq(slot_of_actor(A)->last_error, "a broken rule");
    assert_live(id);
    close_stage();
}
END_TEST

START_TEST(a_rule_broken_while_loading_is_a_failed_load) {
    set(1, 1, 1);
    curtain();
    uint64_t id = submit();
    come(A);
    greet(A);
    break_protocol(A);
    assert_reason(A, REASON_LOAD_FAILED);
    die(A);
    assert_answered(id, SPAWN_FAILED);
    close_stage();
}
END_TEST

START_TEST(what_a_condemned_worker_still_says_is_ignored) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    break_protocol(A);
    reply(A, id); /* it was in the socket already */
    say_error(A, id, WORKER_SAID_FAILED, "late");
    pong(A);
    come(A);
    greet(A);
    become_ready(A);
    fail_to_load(A, "late");
    break_protocol(A);
    act(A, (struct transport_event){.kind = TRANSPORT_MEASURED, .resident_bytes = 7});
    assert_state(A, WORKER_FAILED);
    assert_live(id);
    ck_assert_uint_eq(A->kills, 1);
    ck_assert_uint_eq(slot_of_actor(A)->requests, 0);
    ck_assert_str_eq(slot_of_actor(A)->last_error, "a broken rule");
    die(A);
    ck_assert_uint_eq(slot_of_actor(A)->resident_bytes, 0);
    close_stage();
}
END_TEST

START_TEST(what_a_stopped_worker_still_says_is_ignored) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit_until(CLOCK_S);
    pass(2 * CLOCK_S);
    ck_assert_uint_eq(A->terms, 1);
    reply(A, id);
    pong(A);
    assert_state(A, WORKER_FAILED);
    ck_assert_uint_eq(slot_of_actor(A)->requests, 0);
    leave(A, EXIT_STATUS, 0);
    assert_state(A, WORKER_SPAWNING);
    close_stage();
}
END_TEST

START_TEST(a_pool_that_left_two_threads_behind_starts_no_more) {
    set(1, 1, 1);
    open_warm();
    for (int i = 0; i < 2; i++) {
        uint64_t id = submit_until(CLOCK_S);
        pass(20 * CLOCK_S);
        assert_answered(id, DEADLINE_EXCEEDED);
        ck_assert(A->killed);
        act(A, (struct transport_event){
                   .kind = TRANSPORT_EXITED, .exit_kind = EXIT_ABANDONED, .text = "hangs"});
        assert_state(A, i == 0 ? WORKER_SPAWNING : WORKER_DEAD);
        if (i == 0) load(A);
    }
    ck_assert_uint_eq(pool()->abandoned, 2);
    pass(60 * CLOCK_S);
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_int_eq(look_as(PRIORITY_CRITICAL), NO_WORKERS);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_lost", 30, a_crashed_request_is_retried_before_those_who_came_later,
      the_loop_is_woken_when_a_back_off_ends, a_crashed_request_goes_to_another_slot_at_once,
      a_request_that_kills_two_workers_is_quarantined, without_retries_a_crash_is_the_answer,
      an_exit_with_status_zero_is_a_crash_as_well,
      a_shared_crash_marks_nobody_and_each_is_retried_alone,
      of_those_retried_alone_only_the_guilty_is_quarantined, a_kill_from_outside_marks_nobody,
      kills_from_outside_are_not_endured_for_ever, a_retry_keeps_its_deadline,
      what_waits_after_a_crash_does_not_run, a_retry_can_be_cancelled,
      a_crash_after_a_cancel_is_nobodys, a_reply_with_an_unknown_id_breaks_the_protocol,
      a_reply_with_the_id_zero_breaks_the_protocol,
      the_second_reply_to_a_request_breaks_the_protocol, a_worker_that_breaks_a_rule_is_killed,
      a_rule_broken_while_loading_is_a_failed_load, what_a_condemned_worker_still_says_is_ignored,
      what_a_stopped_worker_still_says_is_ignored,
      a_pool_that_left_two_threads_behind_starts_no_more)
