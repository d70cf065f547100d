/* orchestrator: scenes of what is shared, refused and dropped: identical requests, the breaker, overload. */
#include "core/execution.h"
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- identical requests share a run ------------------------------------------------------------------ */

static void open_sharing(void) {
    set(1, 1, 1);
    options->queue.dedup_ns = 10 * CLOCK_S;
    open_warm();
}

static uint64_t ask_as(enum priority priority, uint64_t deadline_ns) {
    return submit_offer(
        &(struct offer){.priority = priority, .deadline_ns = deadline_ns, .content = "same"});
}

static uint64_t ask(void) {
    return ask_as(PRIORITY_NORMAL, 0);
}

START_TEST(identical_requests_share_one_run_and_each_gets_the_reply) {
    open_sharing();
    uint64_t leader = ask(), follower = ask();
    ck_assert_uint_eq(A->sends, 1);
    ck_assert_uint_eq(pool()->admission.permits, 2);
    ck_assert_uint_eq(pool()->dedup.joined, 1);
    reply(A, leader);
    assert_answered(leader, OK);
    assert_answered(follower, OK);
    ck_assert_uint_eq(ending(follower)->attempts, 1);
    ask(); /* answered: nothing to join */
    ck_assert_uint_eq(A->sends, 2);
    close_stage();
}
END_TEST

START_TEST(another_tenant_or_another_time_does_not_join) {
    open_sharing();
    uint64_t leader = ask();
    submit_offer(&(struct offer){.priority = PRIORITY_NORMAL, .tenant = "b", .content = "same"});
    pass(10 * CLOCK_S + 1);
    ask();
    ck_assert_uint_eq(pool()->dedup.joined, 0);
    pong(A);
    reply(A, leader);
    close_stage();
}
END_TEST

START_TEST(the_heir_of_a_cancelled_leader_takes_its_place_in_line) {
    open_sharing();
    uint64_t running = submit(), leader = ask(), later = submit(), follower = ask();
    cancel(leader);
    assert_answered(leader, CANCELLED);
    reply(A, running);
    assert_runs(A, follower);
    ck_assert(!actor_has(A, later));
    close_stage();
}
END_TEST

START_TEST(the_heir_of_a_cancelled_leader_takes_over_its_run) {
    open_sharing();
    uint64_t leader = ask(), follower = ask();
    cancel(leader);
    assert_answered(leader, CANCELLED);
    ck_assert_uint_eq(A->cancels, 0);
    reply(A, leader); /* the worker knows it by that name */
    assert_answered(follower, OK);
    close_stage();
}
END_TEST

START_TEST(each_keeps_its_own_deadline) {
    open_sharing();
    uint64_t leader = ask_as(PRIORITY_NORMAL, stage.now_ns + CLOCK_S);
    uint64_t follower = ask_as(PRIORITY_NORMAL, stage.now_ns + 3 * CLOCK_S);
    uint64_t last = ask_as(PRIORITY_NORMAL, stage.now_ns + 2 * CLOCK_S);
    ck_assert_uint_eq(execution_deadline(request_queue_find(&pool()->queue, leader)),
                      stage.now_ns + 3 * CLOCK_S);
    pass(CLOCK_S);
    assert_answered(leader, DEADLINE_EXCEEDED);
    assert_live(last);
    pass(CLOCK_S);
    assert_answered(last, DEADLINE_EXCEEDED);
    ck_assert_uint_eq(A->cancels, 0);
    reply(A, leader);
    assert_answered(follower, OK);
    close_stage();
}
END_TEST

START_TEST(who_leaves_last_stops_the_run) {
    open_sharing();
    uint64_t leader = ask(), follower = ask();
    cancel(follower);
    ck_assert_uint_eq(A->cancels, 0);
    cancel(leader);
    ck_assert_uint_eq(A->cancels, 1);
    reply(A, leader);
    close_stage();
}
END_TEST

START_TEST(a_shared_run_has_the_highest_class_whoever_leads_it) {
    open_sharing();
    uint64_t running = submit(), leader = ask_as(PRIORITY_BATCH, 0), normal = submit();
    uint64_t heir = ask_as(PRIORITY_BATCH, 0);
    ask_as(PRIORITY_CRITICAL, 0);
    cancel(leader);
    reply(A, running);
    assert_runs(A, heir);
    ck_assert(!actor_has(A, normal));
    close_stage();
}
END_TEST

START_TEST(a_class_raised_while_it_runs_counts_after_a_crash) {
    open_sharing();
    uint64_t leader = ask_as(PRIORITY_BATCH, 0), normal = submit();
    ask_as(PRIORITY_CRITICAL, 0);
    crash(A);
    pass(CLOCK_S);
    load(A);
    assert_runs(A, leader);
    assert_live(normal);
    close_stage();
}
END_TEST

START_TEST(whatever_ends_the_run_ends_it_for_all) {
    open_sharing();
    uint64_t leader = ask(), follower = ask();
    say_error(A, leader, WORKER_SAID_FAILED, "it broke");
    assert_answered(follower, WORKER_ERROR);
    ck_assert_str_eq(ending(follower)->detail, "it broke");
    leader = ask();
    follower = ask();
    crash(A);
    pass(CLOCK_S);
    load(A);
    crash(A);
    assert_answered(leader, QUARANTINED);
    assert_answered(follower, QUARANTINED);
    close_stage();
}
END_TEST

/* --- the circuit breaker -------------------------------------------------------------------------------- */

static void open_breaker(uint32_t inflight) {
    set(1, 1, inflight);
    options->breaker = (struct breaker_options){
        .failures = 3, .probes = 2, .successes = 2, .open_ns = 5 * CLOCK_S};
    open_warm();
}

static void break_at(uint64_t id) {
    say_error(A, id, WORKER_SAID_FAILED, "it broke");
}

static void break_circuit(void) {
    for (int i = 0; i < 3; i++) break_at(submit());
    ck_assert_int_eq(pool()->breaker.state, BREAKER_OPEN);
}

START_TEST(an_open_breaker_answers_who_waits_and_refuses_who_comes) {
    open_breaker(1);
    uint64_t ids[5];
    for (int i = 0; i < 5; i++) ids[i] = submit();
    for (int i = 0; i < 3; i++) break_at(ids[i]);
    for (int i = 3; i < 5; i++) {
        assert_answered(ids[i], CIRCUIT_OPEN);
        ck_assert_uint_eq(ending(ids[i])->retry_after_ns, 5 * CLOCK_S);
    }
    ck_assert_int_eq(look_at(0), CIRCUIT_OPEN);
    pass(2 * CLOCK_S);
    ck_assert_uint_eq(admission_retry_after(&pool()->admission, CIRCUIT_OPEN, stage.now_ns),
                      3 * CLOCK_S);
    ck_assert_uint_eq(A->sends, 3);
    close_stage();
}
END_TEST

START_TEST(a_half_open_breaker_lets_exactly_its_probes_through) {
    open_breaker(4);
    break_circuit();
    pass(5 * CLOCK_S);
    uint64_t first = submit_as(PRIORITY_NORMAL), second = submit_as(PRIORITY_NORMAL);
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_ne(second, 0);
    ck_assert_uint_eq(submit_as(PRIORITY_CRITICAL), 0);
    ck_assert_int_eq(stage.refused, CIRCUIT_OPEN);
    ck_assert_uint_eq(A->has_count, 2);
    reply(A, first);
    ck_assert_int_eq(pool()->breaker.state, BREAKER_HALF_OPEN);
    uint64_t third = submit_as(PRIORITY_NORMAL);
    ck_assert_uint_ne(third, 0);
    reply(A, second);
    ck_assert_int_eq(pool()->breaker.state, BREAKER_CLOSED);
    for (int i = 0; i < 10; i++) submit();
    close_stage();
}
END_TEST

START_TEST(a_probe_that_fails_opens_it_again) {
    open_breaker(1);
    break_circuit();
    pass(5 * CLOCK_S);
    break_at(submit());
    ck_assert_int_eq(pool()->breaker.state, BREAKER_OPEN);
    ck_assert_int_eq(look_at(0), CIRCUIT_OPEN);
    close_stage();
}
END_TEST

START_TEST(a_probe_that_is_cancelled_keeps_its_place_until_the_worker_is_free) {
    open_breaker(4);
    break_circuit();
    pass(5 * CLOCK_S);
    uint64_t first = submit();
    submit();
    cancel(first);
    ck_assert_uint_eq(submit_as(PRIORITY_NORMAL), 0); /* two run at the worker as ever */
    ck_assert_uint_eq(A->has_count, 2);
    say_error(A, first, WORKER_SAID_CANCELLED, "");
    ck_assert_uint_ne(submit_as(PRIORITY_NORMAL), 0);
    ck_assert_uint_eq(A->has_count, 2);
    ck_assert_int_eq(pool()->breaker.state, BREAKER_HALF_OPEN);
    close_stage();
}
END_TEST

START_TEST(a_cancelled_probe_gives_its_place_back_with_its_worker) {
    open_breaker(4);
    break_circuit();
    pass(5 * CLOCK_S);
    uint64_t first = submit(), second = submit();
    cancel(first);
    cancel(second);
    ck_assert_uint_eq(pool()->breaker.probing, 2);
    leave(A, EXIT_OTHER_SIGNAL, SIGKILL);
    ck_assert_uint_eq(pool()->breaker.probing, 0);
    ck_assert_int_eq(pool()->breaker.state, BREAKER_HALF_OPEN);
    close_stage();
}
END_TEST

START_TEST(what_clients_do_wrong_opens_nothing) {
    open_breaker(1);
    for (int i = 0; i < 30; i++) say_error(A, submit(), WORKER_SAID_INVALID, "no");
    for (int i = 0; i < 30; i++) {
        uint64_t id = submit();
        cancel(id);
        say_error(A, id, WORKER_SAID_CANCELLED, "");
    }
    ck_assert_int_eq(pool()->breaker.state, BREAKER_CLOSED);
    close_stage();
}
END_TEST

START_TEST(crashes_open_it_and_nothing_is_retried) {
    open_breaker(4);
    options->retry_crashes = 10;
    uint64_t ids[4];
    for (int i = 0; i < 4; i++) ids[i] = submit();
    crash(A); /* one failure, however many were at it; each is tried again alone */
    ck_assert_uint_eq(pool()->breaker.failures, 1);
    for (int i = 1; i < 3; i++) {
        ck_assert_int_eq(pool()->breaker.state, BREAKER_CLOSED);
        pass(10 * CLOCK_S);
        load(A);
        crash(A);
    }
    ck_assert_int_eq(pool()->breaker.state, BREAKER_OPEN);
    for (int i = 0; i < 4; i++) assert_answered(ids[i], CIRCUIT_OPEN);
    close_stage();
}
END_TEST

START_TEST(who_comes_when_the_open_time_is_over_is_let_in_by_a_loop_that_is_late) {
    open_breaker(4);
    stage.held = true; /* the loop finds all of it at once */
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) ids[i] = submit();
    stage.held = false;
    settle();
    stage.held = true;
    for (int i = 0; i < 3; i++) break_at(ids[i]);
    stage.now_ns += 6 * CLOCK_S;
    uint64_t late = submit();
    stage.held = false;
    settle();
    assert_runs(A, late);
    ck_assert_int_eq(pool()->breaker.state, BREAKER_HALF_OPEN);
    close_stage();
}
END_TEST

/* --- too much work --------------------------------------------------------------------------------------- */

static void run_for(uint64_t duration_ns) {
    uint64_t id = submit();
    pass(duration_ns);
    reply(A, id);
}

static uint64_t submit_within(uint64_t duration_ns, const char *tenant) {
    return submit_offer(&(struct offer){
        .priority = PRIORITY_NORMAL, .deadline_ns = stage.now_ns + duration_ns, .tenant = tenant});
}

static void open_overload(enum overload overload) {
    set(1, 1, 1);
    options->queue.overload = overload;
    open_warm();
}

START_TEST(what_cannot_be_met_is_refused_at_the_gate) {
    open_overload(OVERLOAD_SHED);
    run_for(100 * CLOCK_MS);
    for (int i = 0; i < 3; i++) submit(); /* one runs, two wait: 300 ms, 100 to run, and a margin */
    ck_assert_uint_eq(submit_within(399 * CLOCK_MS, ""), 0);
    ck_assert_int_eq(stage.refused, DEADLINE_UNMEETABLE);
    ck_assert_uint_ne(submit_within(600 * CLOCK_MS, ""), 0);
    close_stage();
}
END_TEST

START_TEST(what_others_share_with_is_refused_by_the_loop) {
    open_overload(OVERLOAD_SHED);
    run_for(100 * CLOCK_MS);
    for (int i = 0; i < 3; i++) submit();
    submit_offer(&(struct offer){.priority = PRIORITY_NORMAL, .tenant = "b"});
    uint64_t late = submit_within(200 * CLOCK_MS, "");
    assert_answered(late, DEADLINE_UNMEETABLE);
    ck_assert_uint_eq(pool()->totals.unmeetable, 1);
    close_stage();
}
END_TEST

START_TEST(a_tenant_is_not_refused_for_what_another_waits_for) {
    set(1, 1, 1);
    options->queue.overload = OVERLOAD_SHED;
    options->queue.fair = true;
    open_warm();
    run_for(100 * CLOCK_MS);
    for (int i = 0; i < 20; i++) submit();
    uint64_t id = submit_within(500 * CLOCK_MS, "b");
    ck_assert_uint_ne(id, 0);
    assert_live(id);
    close_stage();
}
END_TEST

START_TEST(who_would_be_next_is_never_refused_so_a_wrong_estimate_heals) {
    open_overload(OVERLOAD_SHED);
    run_for(10 * CLOCK_S); /* the one slow run */
    for (int i = 0; i < 100; i++) {
        uint64_t id = submit_within(CLOCK_S, "");
        ck_assert_uint_ne(id, 0);
        pass(10 * CLOCK_MS);
        reply(A, id);
    }
    ck_assert_uint_lt(pool()->stats.mean_run_ns, 100 * CLOCK_MS);
    close_stage();
}
END_TEST

/* The worker answers what it has after the usual time. */
static void run_on(void) {
    leap(10 * CLOCK_MS);
    reply(A, A->has[0].id);
}

START_TEST(a_queue_that_stands_drops_its_oldest_and_serves_its_newest) {
    open_overload(OVERLOAD_CODEL);
    run_for(10 * CLOCK_MS);
    uint64_t running = submit(), oldest = submit(), newest = oldest;
    for (int i = 0; i < 60; i++) newest = submit();
    for (int i = 0; i < 20; i++) run_on();
    assert_answered(running, OK);
    ck_assert_uint_eq(pool()->totals.shed, 0);
    run_on(); /* above one run for twenty of them */
    ck_assert_uint_eq(pool()->totals.shed, 1);
    assert_runs(A, newest);
    close_stage();
}
END_TEST

START_TEST(nobody_is_dropped_while_the_pool_loads) {
    set(0, 1, 1);
    options->queue.overload = OVERLOAD_CODEL;
    curtain();
    uint64_t first = submit(), second = submit();
    for (int i = 0; i < 50; i++) leap(100 * CLOCK_MS);
    load(A);
    assert_runs(A, first);
    assert_live(second);
    close_stage();
}
END_TEST

SUITE("core/orchestrator and its policies", 30,
      identical_requests_share_one_run_and_each_gets_the_reply,
      another_tenant_or_another_time_does_not_join,
      the_heir_of_a_cancelled_leader_takes_its_place_in_line,
      the_heir_of_a_cancelled_leader_takes_over_its_run, each_keeps_its_own_deadline,
      who_leaves_last_stops_the_run, a_shared_run_has_the_highest_class_whoever_leads_it,
      a_class_raised_while_it_runs_counts_after_a_crash, whatever_ends_the_run_ends_it_for_all,
      an_open_breaker_answers_who_waits_and_refuses_who_comes,
      a_half_open_breaker_lets_exactly_its_probes_through, a_probe_that_fails_opens_it_again,
      a_probe_that_is_cancelled_keeps_its_place_until_the_worker_is_free,
      a_cancelled_probe_gives_its_place_back_with_its_worker, what_clients_do_wrong_opens_nothing,
      crashes_open_it_and_nothing_is_retried,
      who_comes_when_the_open_time_is_over_is_let_in_by_a_loop_that_is_late,
      what_cannot_be_met_is_refused_at_the_gate, what_others_share_with_is_refused_by_the_loop,
      a_tenant_is_not_refused_for_what_another_waits_for,
      who_would_be_next_is_never_refused_so_a_wrong_estimate_heals,
      a_queue_that_stands_drops_its_oldest_and_serves_its_newest,
      nobody_is_dropped_while_the_pool_loads)
