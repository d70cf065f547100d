/* orchestrator: scenes of workers that come and go: memory, recycling, deep checks, wishes, forecasts. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

#define WORKER_BYTES (UINT64_C(1) << 20) /* what a plain pool declares */
#define X            (&stage.actors[1][0])
#define Y            (&stage.actors[1][1])

static void set_other(uint32_t slots_min, uint32_t slots_max) {
    stage.options[1] = plain_pool("other");
    stage.options[1].slots_min = slots_min;
    stage.options[1].slots_max = slots_max;
    stage.options[1].scale.policy = SCALE_ADAPTIVE;
}

/* Two pools and room for so many workers, and less than one: or the pressure would be critical. */
static void open_two(uint32_t workers) {
    stage.memory_limit_bytes = workers * WORKER_BYTES + WORKER_BYTES - 1;
    stage_open(2, 1);
    settle();
}

static uint64_t submit_other(void) {
    return submit_to(1, PRIORITY_NORMAL, CLOCK_NEVER);
}

static void assert_no_memory(uint64_t id) {
    assert_answered(id, MEMORY_EXHAUSTED);
    ck_assert_uint_eq(ending(id)->retry_after_ns, CLOCK_S);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

/* The other pool has two workers, X used last. */
static void open_crowded(void) {
    set(0, 1, 1);
    set_other(0, 2);
    open_two(2);
    uint64_t first = submit_other(), second = submit_other();
    load(X);
    pass(CLOCK_S);
    load(Y);
    reply(Y, actor_has(Y, first) ? first : second);
    pass(CLOCK_S);
    reply(X, actor_has(X, first) ? first : second);
    ck_assert_uint_eq(pool_able(stage_pool(1)), 2);
}

START_TEST(who_needs_room_evicts_the_idle_worker_used_longest_ago) {
    open_crowded();
    uint64_t id = submit();
    assert_state(Y, WORKER_EVICTING);
    assert_state(X, WORKER_READY);
    assert_live(id);
    leave(Y, EXIT_STATUS, 0);
    load(A);
    reply(A, id);
    assert_answered(id, OK);
    ck_assert_uint_eq(stage_pool(1)->totals.evictions, 1);
    close_stage();
}
END_TEST

START_TEST(a_busy_worker_is_never_evicted_and_who_waits_is_told_at_once) {
    open_crowded();
    submit_other();
    submit_other();
    uint64_t id = submit();
    assert_no_memory(id);
    ck_assert_int_eq(look_at(0), MEMORY_EXHAUSTED);
    ck_assert_uint_eq(X->shutdowns + Y->shutdowns, 0);
    close_stage();
}
END_TEST

START_TEST(a_pool_without_memory_tries_again_and_recovers) {
    open_crowded();
    uint64_t first = submit_other(), second = submit_other();
    assert_no_memory(submit());
    reply(X, actor_has(X, first) ? first : second);
    reply(Y, actor_has(Y, first) ? first : second);
    pass(CLOCK_S);
    ck_assert_int_eq(look_at(0), OK);
    uint64_t id = submit();
    assert_live(id);
    leave(state_of(X) == WORKER_EVICTING ? X : Y, EXIT_STATUS, 0);
    load(A);
    reply(A, id);
    assert_answered(id, OK);
    close_stage();
}
END_TEST

START_TEST(a_pool_that_only_wants_its_min_back_takes_what_is_free_and_its_work_takes_more) {
    set(1, 1, 1);
    set_other(0, 1);
    open_two(1);
    load(A);
    leave(A, EXIT_OTHER_SIGNAL, SIGKILL);
    uint64_t other = submit_other(); /* takes the room while A backs off */
    load(X);
    reply(X, other);
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->starts, 1);
    assert_state(X, WORKER_IDLE);
    ck_assert_int_eq(look_at(0), OK);
    uint64_t id = submit();
    assert_state(X, WORKER_EVICTING);
    leave(X, EXIT_STATUS, 0);
    load(A);
    assert_runs(A, id);
    close_stage();
}
END_TEST

START_TEST(two_pools_without_work_do_not_evict_each_other) {
    set(1, 1, 1);
    set_other(1, 1);
    open_two(1);
    load(A);
    for (int i = 0; i < 60; i++) {
        pass(CLOCK_S);
        if (A->pings > 0) pong(A);
    }
    ck_assert_uint_eq(A->starts, 1);
    ck_assert_uint_eq(X->starts, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_came_for_waiting_work_is_not_evicted_before_it_has_it) {
    set(0, 1, 1);
    set_other(0, 1);
    open_two(1);
    uint64_t waits = submit_other();
    come(X);
    stage.held = true; /* the loop finds both at once, and pool 0 is settled first */
    become_ready(X);
    uint64_t id = submit();
    stage.held = false;
    settle();
    assert_runs(X, waits);
    assert_no_memory(id);
    close_stage();
}
END_TEST

START_TEST(at_critical_pressure_idle_workers_go_until_a_tenth_is_free) {
    set(4, 4, 1);
    stage.memory_limit_bytes = 10 * WORKER_BYTES;
    open_warm();
    weigh(10 * WORKER_BYTES, 10 * WORKER_BYTES + WORKER_BYTES / 2, -1);
    uint32_t leaving = 0;
    for (uint32_t i = 0; i < 4; i++) leaving += state_of(&stage.actors[0][i]) == WORKER_EVICTING;
    ck_assert_uint_eq(leaving, 1); /* one worker's bytes are above nine tenths */
    close_stage();
}
END_TEST

START_TEST(a_worker_that_outgrows_its_declaration_is_charged_what_it_has) {
    set(1, 2, 1);
    stage.memory_limit_bytes = 2 * WORKER_BYTES;
    open_warm();
    say_measured(A, WORKER_BYTES + 1);
    submit();
    uint64_t waits = submit();
    pass(2 * CLOCK_S);
    assert_state(B, WORKER_DEAD);
    assert_live(waits);
    close_stage();
}
END_TEST

/* --- recycling -------------------------------------------------------------------------------------------- */

START_TEST(a_worker_that_has_served_enough_is_replaced_and_nothing_is_lost) {
    set(1, 1, 1);
    options->staged = 1;
    options->recycle.requests = 2;
    open_warm();
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) ids[i] = submit();
    reply(A, ids[0]);
    ck_assert_uint_eq(A->shutdowns, 0);
    reply(A, ids[1]); /* the third was staged there */
    assert_live(ids[2]);
    if (actor_has(A, ids[2])) reply(A, ids[2]);
    ck_assert_uint_eq(A->shutdowns, 1);
    leave(A, EXIT_STATUS, 0);
    load(A);
    if (ending(ids[2])->done == 0) reply(A, ids[2]);
    assert_answered(ids[2], OK);
    ck_assert_uint_eq(pool()->totals.recycled, 1);
    ck_assert_uint_eq(pool()->totals.crashed, 0);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_has_grown_too_much_goes_when_its_work_is_done) {
    set(1, 1, 1);
    options->recycle.memory_bytes = 2 * WORKER_BYTES;
    open_warm();
    uint64_t id = submit();
    say_measured(A, 2 * WORKER_BYTES + 1);
    ck_assert_uint_eq(A->shutdowns, 0);
    uint64_t next = submit();
    reply(A, id);
    ck_assert_uint_eq(A->shutdowns, 1);
    leave(A, EXIT_STATUS, 0);
    load(A);
    assert_runs(A, next);
    close_stage();
}
END_TEST

START_TEST(one_worker_at_a_time_is_recycled) {
    set(2, 2, 1);
    options->recycle.memory_bytes = WORKER_BYTES;
    open_warm();
    say_measured(A, 2 * WORKER_BYTES);
    say_measured(B, 2 * WORKER_BYTES);
    ck_assert_uint_eq(A->shutdowns + B->shutdowns, 1);
    close_stage();
}
END_TEST

/* --- deep checks ------------------------------------------------------------------------------------------ */

static void open_checked(void) {
    set(1, 1, 1);
    options->health.deep_ns = 10 * CLOCK_S;
    options->health.misses = 1000;
    options->timeouts.load_ns = 20 * CLOCK_S;
    curtain();
    A->checks = true;
    load(A);
}

START_TEST(only_a_worker_without_work_checks_itself) {
    open_checked();
    uint64_t id = submit();
    pass(30 * CLOCK_S);
    ck_assert_uint_eq(A->deep_checks, 0);
    reply(A, id);
    pass(CLOCK_S);
    ck_assert_uint_eq(A->deep_checks, 1);
    id = submit();
    ck_assert(!actor_has(A, id));
    say_checked(A, "");
    assert_runs(A, id);
    ck_assert(slot_of_actor(A)->deep_sound);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_finds_itself_unsound_is_replaced) {
    open_checked();
    pass(10 * CLOCK_S);
    say_checked(A, "its answers are wrong");
    assert_state(A, WORKER_FAILED);
    ck_assert_str_eq(slot_of_actor(A)->last_error, "its check failed: its answers are wrong");
    ck_assert(A->killed && !slot_of_actor(A)->deep_sound);
    die(A);
    pass(CLOCK_S);
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_uint_eq(pool()->totals.restarts_by_reason[REASON_CHECK_FAILED], 1);
    close_stage();
}
END_TEST

START_TEST(a_check_that_does_not_end_is_a_failed_one) {
    open_checked();
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->deep_checks, 1);
    pass(20 * CLOCK_S);
    assert_state(A, WORKER_FAILED);
    close_stage();
}
END_TEST

START_TEST(a_worker_that_cannot_check_itself_is_not_asked) {
    set(1, 1, 1);
    options->health.deep_ns = CLOCK_S;
    open_warm();
    pass(5 * CLOCK_S);
    ck_assert_uint_eq(A->deep_checks, 0);
    close_stage();
}
END_TEST

/* --- wishes and size --------------------------------------------------------------------------------------- */

START_TEST(a_paused_pool_queues_and_expires_as_paused) {
    set(1, 1, 1);
    open_warm();
    wish_for(0, WISH_PAUSE);
    uint64_t late = submit_until(CLOCK_S), waits = submit();
    pass(CLOCK_S);
    assert_answered(late, PAUSED);
    wish_for(0, WISH_RUN);
    assert_runs(A, waits);
    close_stage();
}
END_TEST

START_TEST(a_drained_pool_refuses_finishes_and_stops_and_can_be_called_back) {
    set(1, 1, 1);
    open_warm();
    uint64_t id = submit();
    wish_for(0, WISH_DRAIN);
    ck_assert_int_eq(look_at(0), SHUTTING_DOWN);
    ck_assert_uint_eq(A->shutdowns, 0);
    reply(A, id);
    assert_answered(id, OK);
    ck_assert_uint_eq(A->shutdowns, 1);
    leave(A, EXIT_STATUS, 0);
    pass(10 * CLOCK_S);
    ck_assert_uint_eq(A->starts, 1);
    wish_for(0, WISH_RUN);
    ck_assert_uint_eq(A->starts, 2);
    ck_assert_int_eq(look_at(0), OK);
    close_stage();
}
END_TEST

START_TEST(an_unloaded_pool_has_no_workers_until_it_is_loaded) {
    set(1, 1, 1);
    open_warm();
    wish_for(0, WISH_UNLOAD);
    ck_assert_uint_eq(A->shutdowns, 1);
    leave(A, EXIT_STATUS, 0);
    ck_assert_int_eq(look_at(0), NO_WORKERS);
    wish_for(0, WISH_RUN);
    load(A);
    ck_assert_int_eq(look_at(0), OK);
    close_stage();
}
END_TEST

static void scale_to(uint32_t min, uint32_t max) {
    handle(&(struct event){.kind = EVENT_SCALE, .slots_min = min, .slots_max = max});
}

START_TEST(a_pool_grows_and_shrinks_as_it_is_told) {
    set(1, 4, 1);
    options->timeouts.idle_ns = CLOCK_S;
    open_warm();
    scale_to(3, 9); /* there are four slots */
    ck_assert_uint_eq(pool()->slots_max, 4);
    ck_assert_uint_eq(pool_coming(pool()), 2);
    load(&stage.actors[0][1]);
    load(&stage.actors[0][2]);
    scale_to(2, 2);
    pass(3 * CLOCK_S);
    ck_assert_uint_eq(pool_able(pool()), 2);
    close_stage();
}
END_TEST

START_TEST(a_pool_that_foresees_its_load_starts_several_at_once) {
    set(1, 4, 1);
    options->scale.policy = SCALE_PREDICTIVE;
    open_warm();
    for (int i = 0; i < 40; i++) { /* 10 a second, 200 ms each */
        submit();
        leap(100 * CLOCK_MS);
        if (i % 2 == 1) reply(A, A->has[0].id);
    }
    ck_assert_uint_ge(pool_coming(pool()),
                      2); /* by load alone: one, and the next when that has come */
    close_stage();
}
END_TEST

/* --- evidence ---------------------------------------------------------------------------------------------- */

START_TEST(who_killed_two_workers_is_kept_with_the_evidence) {
    set(2, 2, 1);
    open_warm();
    uint64_t id = submit_offer(&(struct offer){.priority = PRIORITY_HIGH, .tenant = "acme"});
    struct actor *first = actor_has(A, id) ? A : B, *second = first == A ? B : A;
    crash(first);
    pass(CLOCK_MS);
    crash(second);
    assert_answered(id, QUARANTINED);
    ck_assert_uint_eq(pool()->quarantine.count, 1);
    const struct quarantined *entry = quarantine_find(&pool()->quarantine, 1);
    ck_assert_ptr_nonnull(entry);
    ck_assert_str_eq(entry->copy->tenant, "acme");
    ck_assert_int_eq(entry->copy->priority, PRIORITY_HIGH);
    ck_assert_uint_eq(entry->marks_count, 2);
    ck_assert_uint_eq(entry->marks[0].slot, first->slot);
    ck_assert_uint_eq(entry->marks[1].slot, second->slot);
    ck_assert_uint_eq(entry->marks[1].at_ns, entry->marks[0].at_ns + CLOCK_MS);
    ck_assert_ptr_nonnull(strstr(entry->marks[0].how, "signal 11"));
    close_stage();
}
END_TEST

START_TEST(the_evidence_of_a_shared_run_is_its_heirs) {
    set(2, 2, 1);
    options->queue.dedup_ns = CLOCK_S;
    open_warm();
    const struct offer offer = {.priority = PRIORITY_NORMAL, .content = "same"};
    uint64_t leader = submit_offer(&offer), heir = submit_offer(&offer);
    struct actor *first = actor_has(A, leader) ? A : B, *second = first == A ? B : A;
    crash(first);
    cancel(leader);
    crash(second);
    assert_answered(leader, CANCELLED);
    assert_answered(heir, QUARANTINED);
    ck_assert_uint_eq(quarantine_find(&pool()->quarantine, heir)->marks_count, 2);
    close_stage();
}
END_TEST

SUITE("core/orchestrator and its workers", 30,
      who_needs_room_evicts_the_idle_worker_used_longest_ago,
      a_busy_worker_is_never_evicted_and_who_waits_is_told_at_once,
      a_pool_without_memory_tries_again_and_recovers,
      a_pool_that_only_wants_its_min_back_takes_what_is_free_and_its_work_takes_more,
      two_pools_without_work_do_not_evict_each_other,
      a_worker_that_came_for_waiting_work_is_not_evicted_before_it_has_it,
      at_critical_pressure_idle_workers_go_until_a_tenth_is_free,
      a_worker_that_outgrows_its_declaration_is_charged_what_it_has,
      a_worker_that_has_served_enough_is_replaced_and_nothing_is_lost,
      a_worker_that_has_grown_too_much_goes_when_its_work_is_done, one_worker_at_a_time_is_recycled,
      only_a_worker_without_work_checks_itself, a_worker_that_finds_itself_unsound_is_replaced,
      a_check_that_does_not_end_is_a_failed_one, a_worker_that_cannot_check_itself_is_not_asked,
      a_paused_pool_queues_and_expires_as_paused,
      a_drained_pool_refuses_finishes_and_stops_and_can_be_called_back,
      an_unloaded_pool_has_no_workers_until_it_is_loaded, a_pool_grows_and_shrinks_as_it_is_told,
      a_pool_that_foresees_its_load_starts_several_at_once,
      who_killed_two_workers_is_kept_with_the_evidence, the_evidence_of_a_shared_run_is_its_heirs)
