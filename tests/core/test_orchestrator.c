/* orchestrator: every scene of a pool's life, played on virtual time. */
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define A (&stage.actors[0][0]) /* the worker of pool 0, slot 0 */
#define B (&stage.actors[0][1])
#define C (&stage.actors[0][2])

static struct pool_options *const options = &stage.options[0];

/* One pool; change `options` between this and the curtain. */
static void set(uint32_t slots_min, uint32_t slots_max, uint32_t inflight) {
    *options = plain_pool("pool");
    options->slots_min = slots_min;
    options->slots_max = slots_max;
    options->inflight = inflight;
    if (slots_min != slots_max) options->scale.policy = SCALE_ADAPTIVE;
}

static void curtain(void) {
    stage_open(1, 1);
    settle();
}

/* The pool's min slots have loaded. */
static void open_warm(void) {
    curtain();
    for (uint32_t i = 0; i < options->slots_min; i++) load(&stage.actors[0][i]);
}

static struct pool *pool(void) {
    return stage_pool(0);
}

/* What a client would be told now. */
static enum outcome look(enum priority priority) {
    const struct admission_ask ask = {
        .priority = priority, .tenant = "", .deadline_ns = CLOCK_NEVER, .now_ns = stage.now_ns};
    return admission_look(&pool()->admission, &ask);
}

static void assert_state(const struct actor *actor, enum worker_state state) {
    ck_assert_str_eq(worker_state_name(state_of(actor)), worker_state_name(state));
}

/* Why the worker made its last move. */
static void assert_reason(const struct actor *actor, enum reason why) {
    struct transition history[WORKER_TRANSITIONS];
    size_t count = worker_state_history(&slot_of_actor(actor)->record, history);
    ck_assert_str_eq(reason_name(history[count - 1].why), reason_name(why));
}

static void assert_answered(uint64_t id, enum outcome outcome) {
    ck_assert_uint_eq(ending(id)->done, 1);
    ck_assert_str_eq(outcome_code(ending(id)->outcome), outcome_code(outcome));
}

static void assert_live(uint64_t id) {
    ck_assert_uint_eq(ending(id)->submitted, 1);
    ck_assert_uint_eq(ending(id)->done, 0);
}

/* Ends whatever is left; every request has its answer then. */
static void close_stage(void) {
    begin_drain(0);
    for (uint32_t i = 0; i < options->slots_max; i++)
        if (stage.actors[0][i].running) die(&stage.actors[0][i]);
    ck_assert(drained());
    for (uint64_t id = 1; id <= stage.ids; id++) ck_assert_uint_eq(ending(id)->done, 1);
    ck_assert_uint_eq(pool()->admission.permits, 0);
    stage_close();
}

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
    ck_assert_int_eq(look(PRIORITY_CRITICAL), SPAWN_FAILED);
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
    ck_assert_int_eq(look(PRIORITY_NORMAL), OK);
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
    ck_assert_int_eq(look(PRIORITY_NORMAL), OK);
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
    ck_assert_int_eq(look(PRIORITY_NORMAL), SPAWN_FAILED);
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
    ck_assert_int_eq(look(PRIORITY_CRITICAL), NO_WORKERS);
    close_stage();
}
END_TEST

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
    ck_assert_int_eq(look(PRIORITY_CRITICAL), SHUTTING_DOWN);
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
    assert_state(A, WORKER_EVICTING);
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
        assert_state(A, WORKER_EVICTING);
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
    ck_assert_int_eq(look(PRIORITY_NORMAL), OK);
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

SUITE("core/orchestrator", 30, a_pool_loads_its_min_at_once,
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
      five_seconds_ready_forget_the_failures, one_success_forgets_the_failures,
      a_busy_slot_returns_to_ready_on_reply, a_second_without_work_is_idle,
      an_idle_slot_goes_to_work_through_ready, work_waits_for_the_first_slot_that_is_free,
      a_higher_class_overtakes_those_who_wait, inflight_fills_the_least_loaded_slot_first,
      every_error_of_a_worker_has_its_outcome,
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
      others_at_a_slot_that_is_stopped_are_retried_alone,
      a_crashed_request_is_retried_before_those_who_came_later,
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
      a_pool_that_left_two_threads_behind_starts_no_more, three_missed_pings_in_a_row_end_a_worker,
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
      a_paused_pool_sends_nothing_and_expires_as_paused, a_drain_refuses_finishes_and_then_stops,
      a_drain_of_an_idle_pool_stops_it_at_once, a_drain_stops_a_worker_that_still_loads,
      a_drain_of_a_cold_pool_with_waiting_work_still_loads_for_it, a_crash_in_a_drain_is_retried,
      a_drain_kills_a_worker_that_works_for_nobody, a_drain_that_runs_out_of_time_answers_and_kills,
      a_killed_worker_may_take_its_time_to_die, a_second_drain_can_only_shorten_the_time,
      a_request_that_is_still_on_its_way_holds_up_the_end_of_a_drain, deadlines_pass_in_a_drain,
      a_cold_pool_never_holds_up_a_warm_one, a_loop_that_comes_late_does_everything_that_is_due)
