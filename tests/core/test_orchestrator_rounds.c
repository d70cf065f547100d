/* orchestrator: however many leave at once, a round of the loop stays short; on virtual time. */
#include "core/work.h"
#include "tests/core/scene.h"
#include "tests/support/suite.h"

#define CROWD 9000

static uint64_t ids[CROWD];

static void open_crowd(void) {
    set(1, 1, 1);
    options->queue.capacity = CROWD + 10;
    options->breaker = (struct breaker_options){
        .failures = 1, .probes = 1, .successes = 1, .open_ns = 5 * CLOCK_S};
}

static void crowd(uint64_t deadline_ns) {
    stage.held = true;
    for (size_t i = 0; i < CROWD; i++) ids[i] = submit_to(0, PRIORITY_NORMAL, deadline_ns);
    stage.held = false;
    settle();
}

static uint64_t answered(void) {
    return stage.answered[0];
}

/* Rounds of the loop until there is nothing more to do now. */
static uint32_t rounds(void) {
    uint32_t rounds = 0;
    do {
        uint64_t before = answered();
        stage.next_ns = orchestrator_settle(&stage.orchestrator, stage.now_ns);
        check_pool(0);
        ck_assert_uint_le(answered() - before, WORK_A_ROUND + STAGE_INFLIGHT);
        rounds++;
    } while (stage.next_ns <= stage.now_ns);
    return rounds;
}

static void assert_all(enum outcome outcome, size_t first) {
    for (size_t i = first; i < CROWD; i++) assert_answered(ids[i], outcome);
}

START_TEST(a_breaker_that_opens_refuses_a_crowd_in_short_rounds) {
    open_crowd();
    open_warm();
    crowd(CLOCK_NEVER);
    stage.held = true;
    say_error(A, ids[0], WORKER_SAID_FAILED, "it broke");
    stage.held = false;
    ck_assert_uint_ge(rounds(), CROWD / WORK_A_ROUND);
    assert_all(CIRCUIT_OPEN, 1);
    ck_assert_uint_eq(pool()->breaker.rejections, CROWD - 1);
    ck_assert_uint_eq(ending(ids[CROWD - 1])->retry_after_ns, 5 * CLOCK_S);
    close_stage();
}
END_TEST

START_TEST(a_load_that_fails_refuses_a_crowd_in_short_rounds) {
    open_crowd();
    curtain();
    crowd(CLOCK_NEVER);
    stage.held = true;
    leave(A, EXIT_STATUS, 1);
    stage.held = false;
    ck_assert_uint_ge(rounds(), CROWD / WORK_A_ROUND);
    assert_all(SPAWN_FAILED, 0);
    close_stage();
}
END_TEST

START_TEST(a_crowd_whose_time_is_over_leaves_in_short_rounds_and_nobody_runs_late) {
    open_crowd();
    open_warm();
    uint64_t running = submit();
    crowd(stage.now_ns + CLOCK_S);
    uint32_t sends = A->sends;
    stage.now_ns += CLOCK_S;
    stage.held = true;
    reply(A, running);
    stage.held = false;
    ck_assert_uint_ge(rounds(), CROWD / WORK_A_ROUND);
    assert_all(DEADLINE_EXCEEDED, 0);
    ck_assert_uint_eq(A->sends, sends);
    close_stage();
}
END_TEST

START_TEST(a_drain_whose_time_is_over_answers_a_crowd_in_short_rounds) {
    open_crowd();
    open_warm();
    crowd(CLOCK_NEVER);
    stage.held = true;
    begin_drain(0);
    stage.held = false;
    ck_assert_uint_ge(rounds(), CROWD / WORK_A_ROUND);
    assert_all(SHUTTING_DOWN, 0);
    ck_assert_uint_eq(A->kills, 1);
    close_stage();
}
END_TEST

START_TEST(who_comes_while_a_crowd_is_refused_is_not_refused_with_it) {
    open_crowd();
    options->breaker.open_ns = CLOCK_MS;
    open_warm();
    crowd(CLOCK_NEVER);
    stage.held = true;
    say_error(A, ids[0], WORKER_SAID_FAILED, "it broke");
    orchestrator_settle(&stage.orchestrator, stage.now_ns);
    stage.now_ns += CLOCK_MS; /* half-open: one probe may come */
    orchestrator_settle(&stage.orchestrator, stage.now_ns);
    uint64_t probe = submit_to(0, PRIORITY_CRITICAL, CLOCK_NEVER);
    stage.held = false;
    rounds();
    assert_all(CIRCUIT_OPEN, 1);
    if (probe != 0) assert_live(probe);
    close_stage();
}
END_TEST

SUITE("core/orchestrator_rounds", 60, a_breaker_that_opens_refuses_a_crowd_in_short_rounds,
      a_load_that_fails_refuses_a_crowd_in_short_rounds,
      a_crowd_whose_time_is_over_leaves_in_short_rounds_and_nobody_runs_late,
      a_drain_whose_time_is_over_answers_a_crowd_in_short_rounds,
      who_comes_while_a_crowd_is_refused_is_not_refused_with_it)
