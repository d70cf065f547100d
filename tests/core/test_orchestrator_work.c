/* orchestrator: work, its answers and cancels, played on virtual time. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- work and answers -------------------------------------------------------------------------------- */

START_TEST(a_busy_slot_returns_to_ready_on_reply) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    assert_state(A, WORKER_PROCESSING);
    ck_assert_uint_eq(A->sent_id, id);
    pass(CLOCK_MS);
    reply(A, id);
    assert_state(A, WORKER_READY);
    assert_reason(A, REASON_ANSWERED);
    assert_answered(id, OK);
    ck_assert_int_eq(ending(id)->source, SOURCE_WORKER);
    ck_assert_uint_eq(ending(id)->attempts, 1);
    ck_assert_uint_eq(ending(id)->slot, 0);
    ck_assert_uint_eq(ending(id)->run_ns, CLOCK_MS);
    ck_assert_uint_eq(slot_of_actor(A)->requests, 1);
    ck_assert_uint_eq(slot_of_actor(A)->errors, 0);
    ck_assert_uint_eq(pool()->admission.permits, 0);
    close_stage();
}
END_TEST

START_TEST(a_second_without_work_is_idle) {
    set(1, 1, 1);
    open_warm();
    reply(A, submit());
    pass(CLOCK_S - 1);
    assert_state(A, WORKER_READY);
    pass(1);
    assert_state(A, WORKER_IDLE);
    assert_reason(A, REASON_QUIET);
    close_stage();
}
END_TEST

START_TEST(an_idle_slot_goes_to_work_through_ready) {
    set(1, 1, 1);
    open_warm();
    pass(2 * CLOCK_S);
    assert_state(A, WORKER_IDLE);
    submit();
    assert_state(A, WORKER_PROCESSING);
    ck_assert_uint_eq(pool()->census.moves[WORKER_IDLE][WORKER_READY], 1);
    ck_assert_uint_eq(pool()->census.moves[WORKER_IDLE][WORKER_PROCESSING], 0);
    pass(3 * CLOCK_S); /* at work it is not idle */
    assert_state(A, WORKER_PROCESSING);
    close_stage();
}
END_TEST

START_TEST(work_waits_for_the_first_slot_that_is_free) {
    set(2, 2, 1);
    open_warm();
    uint64_t first = submit(), second = submit(), third = submit();
    struct actor *quick = actor_has(A, second) ? A : B;
    ck_assert_uint_eq(pool()->queue.waiting, 1);
    reply(quick, second);
    ck_assert(actor_has(quick, third));
    assert_live(first);
    close_stage();
}
END_TEST

START_TEST(a_higher_class_overtakes_those_who_wait) {
    set(1, 1, 1);
    open_warm();
    uint64_t running = submit(), normal = submit();
    uint64_t critical = submit_to(0, PRIORITY_CRITICAL, CLOCK_NEVER);
    reply(A, running);
    ck_assert_uint_eq(A->sent_id, critical);
    reply(A, critical);
    ck_assert_uint_eq(A->sent_id, normal);
    close_stage();
}
END_TEST

START_TEST(inflight_fills_the_least_loaded_slot_first) {
    set(2, 2, 2);
    open_warm();
    for (int i = 0; i < 5; i++) submit();
    ck_assert_uint_eq(A->has_count, 2);
    ck_assert_uint_eq(B->has_count, 2);
    ck_assert_uint_eq(pool()->queue.waiting, 1);
    reply(B, B->has[0].id);
    ck_assert_uint_eq(B->has_count, 2);
    assert_state(B, WORKER_PROCESSING);
    close_stage();
}
END_TEST

START_TEST(every_error_of_a_worker_has_its_outcome) {
    static const struct {
        enum transport_error error;
        enum outcome outcome;
        uint64_t errors;
    } table[] = {{WORKER_SAID_FAILED, WORKER_ERROR, 1},
                 {WORKER_SAID_INVALID, INVALID_REQUEST, 0},
                 {WORKER_SAID_UNSUPPORTED, UNSUPPORTED_MEDIA_TYPE, 0},
                 {WORKER_SAID_CANCELLED, CANCELLED, 0},
                 {WORKER_ANSWER_LOST, MEMORY_EXHAUSTED, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set(1, 1, 1);
        open_warm();
        uint64_t id = submit();
        say_error(A, id, table[i].error, "what it says");
        assert_answered(id, table[i].outcome);
        bool said = table[i].error != WORKER_ANSWER_LOST;
        ck_assert_int_eq(ending(id)->source, said ? SOURCE_WORKER : SOURCE_GATEWAY);
        ck_assert_str_eq(ending(id)->detail, "what it says");
        ck_assert_uint_eq(slot_of_actor(A)->errors, table[i].errors);
        ck_assert_str_eq(slot_of_actor(A)->last_error, table[i].errors > 0 ? "what it says" : "");
        assert_state(A, WORKER_READY);
        close_stage();
    }
}
END_TEST

START_TEST(a_request_that_cannot_be_sent_is_answered_and_the_slot_stays) {
    set(1, 1, 1);
    open_warm();
    A->send_outcome = MEMORY_EXHAUSTED;
    uint64_t id = submit();
    assert_answered(id, MEMORY_EXHAUSTED);
    ck_assert_int_eq(ending(id)->source, SOURCE_GATEWAY);
    assert_state(A, WORKER_READY);
    A->send_outcome = OK;
    reply(A, submit());
    close_stage();
}
END_TEST

START_TEST(the_limit_is_the_capacity_and_the_places_of_slots_that_can_work) {
    set(2, 2, 2);
    options->queue.capacity = 10;
    options->queue.reserve = 1;
    curtain();
    uint32_t accepted = 0;
    while (submit_to(0, PRIORITY_NORMAL, CLOCK_NEVER) != 0) accepted++;
    ck_assert_uint_eq(accepted, 10); /* nobody can work yet */
    load(A);
    while (submit_to(0, PRIORITY_NORMAL, CLOCK_NEVER) != 0) accepted++;
    ck_assert_uint_eq(accepted, 12);
    load(B);
    while (submit_to(0, PRIORITY_NORMAL, CLOCK_NEVER) != 0) accepted++;
    ck_assert_uint_eq(accepted, 14);
    ck_assert_uint_ne(submit_to(0, PRIORITY_HIGH, CLOCK_NEVER), 0);
    ck_assert_uint_eq(submit_to(0, PRIORITY_HIGH, CLOCK_NEVER), 0);
    close_stage();
}
END_TEST

/* --- cancel ---------------------------------------------------------------------------------------- */

START_TEST(a_cancel_of_a_waiting_request_answers_it_at_once) {
    set(1, 1, 1);
    open_warm();
    uint64_t running = submit(), waiting = submit(), last = submit();
    cancel_in(0, waiting, CANCEL_ASKED);
    assert_answered(waiting, CANCELLED);
    ck_assert_int_eq(ending(waiting)->source, SOURCE_GATEWAY);
    ck_assert_str_eq(ending(waiting)->detail, "cancelled on request");
    ck_assert_uint_eq(ending(waiting)->attempts, 0);
    ck_assert_uint_eq(A->cancels, 0);
    ck_assert_uint_eq(pool()->totals.cancelled, 1);
    reply(A, running);
    ck_assert_uint_eq(A->sent_id, last);
    close_stage();
}
END_TEST

START_TEST(a_cancel_of_a_running_request_answers_at_once_and_frees_the_slot_on_reply) {
    set(1, 1, 1);
    open_warm();
    uint64_t running = submit(), next = submit();
    cancel(running);
    assert_answered(running, CANCELLED);
    ck_assert_str_eq(ending(running)->detail, "the client left");
    ck_assert_uint_eq(A->cancelled_id, running);
    assert_state(A, WORKER_PROCESSING);
    ck_assert(!actor_has(A, next)); /* it still has the first */
    pass(50 * CLOCK_MS);
    say_error(A, running, WORKER_SAID_CANCELLED, "");
    ck_assert(actor_has(A, next));
    ck_assert_uint_eq(pool()->stats.cancel.count, 1);
    ck_assert_uint_eq(pool()->stats.cancel.sum_ns, 50 * CLOCK_MS);
    ck_assert_uint_eq(A->terms, 0);
    close_stage();
}
END_TEST

START_TEST(a_reply_to_a_cancelled_request_is_nobodys) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    cancel(id);
    reply(A, id);
    assert_answered(id, CANCELLED);
    assert_state(A, WORKER_READY);
    ck_assert_uint_eq(slot_of_actor(A)->requests, 1);
    close_stage();
}
END_TEST

START_TEST(a_cancel_of_nobody_is_ignored) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    reply(A, id);
    cancel(id);
    cancel(id + 1000);
    cancel(0);
    ck_assert_uint_eq(pool()->totals.cancelled, 0);
    ck_assert_uint_eq(A->cancels, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_ignores_a_cancel_is_stopped_after_timeouts_cancel) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    cancel(id);
    pass(30 * CLOCK_S - 1);
    ck_assert_uint_eq(A->terms, 0);
    pass(1);
    ck_assert_uint_eq(A->terms, 1);
    assert_state(A, WORKER_FAILED);
    assert_reason(A, REASON_CANCEL);
    pass(5 * CLOCK_S - 1);
    ck_assert_uint_eq(A->kills, 0);
    pass(1);
    ck_assert_uint_eq(A->kills, 1);
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->kills, 1); /* once is enough */
    die(A);
    assert_state(A, WORKER_SPAWNING); /* it was stopped, it did not crash: the next at once */
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_CANCEL], 1);
    close_stage();
}
END_TEST

/* Teaches the pool that a run takes so long. */
static void run_some(uint64_t duration_ns) {
    for (int i = 0; i < 5; i++) {
        uint64_t id = submit();
        pass(duration_ns);
        pong(A);
        reply(A, id);
    }
}

START_TEST(a_worker_that_would_finish_before_a_new_one_loads_may_finish) {
    set(1, 1, 1);
    options->timeouts.cancel_ns = CLOCK_S;
    curtain();
    come(A);
    greet(A);
    pass(20 * CLOCK_S);
    become_ready(A);
    run_some(8 * CLOCK_S); /* the median is 8 to 9 s, a load takes 20 */
    uint64_t id = submit();
    cancel(id);
    pass(7 * CLOCK_S); /* long after timeouts.cancel */
    ck_assert_uint_eq(A->terms, 0);
    pong(A);
    pass(2 * CLOCK_S + CLOCK_MS); /* it has had its median */
    ck_assert_uint_eq(A->terms, 1);
    assert_reason(A, REASON_CANCEL);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_loads_faster_than_it_would_finish_is_stopped) {
    set(1, 1, 1);
    options->timeouts.cancel_ns = CLOCK_S;
    curtain();
    come(A);
    greet(A);
    pass(6 * CLOCK_S); /* a load; the median is 8 to 9 */
    become_ready(A);
    run_some(8 * CLOCK_S);
    uint64_t id = submit();
    cancel(id);
    pass(CLOCK_S);
    ck_assert_uint_eq(A->terms, 1);
    close_stage();
}
END_TEST

/* --- deadlines ---------------------------------------------------------------------------------------- */

START_TEST(a_deadline_passes_in_the_queue) {
    set(1, 1, 1);
    open_warm();
    submit();
    uint64_t id = submit_until(2 * CLOCK_S);
    pass(2 * CLOCK_S - 1);
    assert_live(id);
    pass(1);
    assert_answered(id, DEADLINE_EXCEEDED);
    ck_assert_str_eq(ending(id)->detail, "still waiting after 2.000 s");
    ck_assert_int_eq(ending(id)->source, SOURCE_GATEWAY);
    ck_assert_uint_eq(ending(id)->queue_ns, 2 * CLOCK_S);
    ck_assert_uint_eq(pool()->totals.expired, 1);
    ck_assert_uint_eq(A->cancels, 0);
    close_stage();
}
END_TEST

START_TEST(a_deadline_passes_while_the_worker_loads) {
    set(0, 1, 1);
    curtain();
    uint64_t id = submit_until(2 * CLOCK_S);
    come(A);
    greet(A);
    pass(2 * CLOCK_S);
    assert_answered(id, DEADLINE_EXCEEDED);
    ck_assert_uint_eq(ending(id)->cold_ns, 2 * CLOCK_S);
    become_ready(A); /* it is there for the next */
    ck_assert_uint_eq(A->sends, 0);
    close_stage();
}
END_TEST

START_TEST(what_was_late_when_it_came_is_never_sent) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit_until(0);
    assert_answered(id, DEADLINE_EXCEEDED);
    ck_assert_uint_eq(A->sends, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_runs_past_a_deadline_gets_term_after_a_second_and_then_kill) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit_until(2 * CLOCK_S);
    pass(2 * CLOCK_S);
    assert_answered(id, DEADLINE_EXCEEDED);
    ck_assert_str_eq(ending(id)->detail, "still running after 2.000 s");
    ck_assert_uint_eq(A->cancelled_id, id);
    pass(CLOCK_S - 1);
    ck_assert_uint_eq(A->terms, 0);
    pass(1);
    ck_assert_uint_eq(A->terms, 1);
    assert_reason(A, REASON_DEADLINE);
    pass(5 * CLOCK_S - 1);
    ck_assert_uint_eq(A->kills, 0);
    pass(1);
    ck_assert_uint_eq(A->kills, 1);
    die(A);
    ck_assert_uint_eq(pool()->totals.crashed, 0); /* nobody crashed: it was stopped */
    close_stage();
}
END_TEST

START_TEST(a_worker_that_yields_within_the_second_keeps_its_place) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit_until(2 * CLOCK_S);
    pass(2 * CLOCK_S + CLOCK_S / 2);
    say_error(A, id, WORKER_SAID_CANCELLED, "");
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->terms, 0);
    ck_assert_uint_eq(A->starts, 1);
    close_stage();
}
END_TEST

START_TEST(others_at_a_slot_that_is_stopped_are_retried_alone) {
    set(1, 1, 2);
    open_warm();
    uint64_t late = submit_until(CLOCK_S), other = submit();
    pass(2 * CLOCK_S);
    assert_answered(late, DEADLINE_EXCEEDED);
    ck_assert_uint_eq(A->terms, 1);
    assert_live(other);
    leave(A, EXIT_OTHER_SIGNAL, SIGTERM);
    pass(CLOCK_S);
    load(A);
    ck_assert_uint_eq(A->sent_id, other);
    ck_assert(slot_of_actor(A)->solo);
    reply(A, other);
    assert_answered(other, OK);
    ck_assert_uint_eq(ending(other)->marks, 0);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_work", 30, a_busy_slot_returns_to_ready_on_reply,
      a_second_without_work_is_idle, an_idle_slot_goes_to_work_through_ready,
      work_waits_for_the_first_slot_that_is_free, a_higher_class_overtakes_those_who_wait,
      inflight_fills_the_least_loaded_slot_first, every_error_of_a_worker_has_its_outcome,
      a_request_that_cannot_be_sent_is_answered_and_the_slot_stays,
      the_limit_is_the_capacity_and_the_places_of_slots_that_can_work,
      a_cancel_of_a_waiting_request_answers_it_at_once,
      a_cancel_of_a_running_request_answers_at_once_and_frees_the_slot_on_reply,
      a_reply_to_a_cancelled_request_is_nobodys, a_cancel_of_nobody_is_ignored,
      a_worker_that_ignores_a_cancel_is_stopped_after_timeouts_cancel,
      a_worker_that_would_finish_before_a_new_one_loads_may_finish,
      a_worker_that_loads_faster_than_it_would_finish_is_stopped, a_deadline_passes_in_the_queue,
      a_deadline_passes_while_the_worker_loads, what_was_late_when_it_came_is_never_sent,
      a_worker_that_runs_past_a_deadline_gets_term_after_a_second_and_then_kill,
      a_worker_that_yields_within_the_second_keeps_its_place,
      others_at_a_slot_that_is_stopped_are_retried_alone)
