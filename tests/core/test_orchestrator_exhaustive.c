/* orchestrator: one request, one slot, and every order in which things can happen to them, to a depth.
 * However it goes, the request gets exactly one answer and the pool comes to its end. */
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define DEPTH       8
#define DEADLINE_NS (3 * CLOCK_S)
#define END_STEPS   100 /* a drain that takes more has come to a stop */

#define A (&stage.actors[0][0])

enum step { SUBMIT, CANCEL, REPLY, CRASH, DEADLINE, TICK, WORKER, DRAIN, STEPS };
static const char *const step_names[STEPS] = {"submit",   "cancel", "reply",  "crash",
                                              "deadline", "tick",   "worker", "drain"};

static enum step path[DEPTH];
static uint64_t paths, answered_as[OUTCOME_COUNT];

/* --- one step ------------------------------------------------------------------------------------------- */

static bool is_waited_for(void) {
    return stage.ids == 1 && ending(1)->done == 0;
}

/* A step that would change nothing, or cannot happen, leads nowhere that another path does not. */
static bool can(enum step step) {
    switch (step) {
    case SUBMIT: return stage.ids == 0;
    case CANCEL: return stage.ids == 1;
    case REPLY: return A->running && A->has_count > 0;
    case CRASH: return A->running;
    case DEADLINE: return is_waited_for();
    case TICK: return true;
    case WORKER: return A->running && (!A->ready || A->killed || A->termed || A->shut_down);
    case DRAIN: return !stage.orchestrator.draining;
    case STEPS: break;
    }
    return false;
}

/* What a good worker would do next. */
static void step_worker(void) {
    if (A->killed)
        die(A);
    else if (A->termed)
        leave(A, EXIT_OTHER_SIGNAL, SIGTERM);
    else if (A->shut_down)
        leave(A, EXIT_STATUS, 0);
    else if (!A->came)
        come(A);
    else
        become_ready(A);
}

static void take(enum step step) {
    switch (step) {
    case SUBMIT: submit_to(0, PRIORITY_NORMAL, stage.now_ns + DEADLINE_NS); return;
    case CANCEL: cancel(1); return;
    case REPLY: reply(A, A->has[0].id); return;
    case CRASH: crash(A); return;
    case DEADLINE: leap(DEADLINE_NS); return;
    case TICK: {
        uint64_t wait_ns = stage.next_ns - stage.now_ns;
        leap(wait_ns < CLOCK_S ? wait_ns : CLOCK_S);
        return;
    }
    case WORKER: step_worker(); return;
    case DRAIN: begin_drain(2 * CLOCK_S); return;
    case STEPS: return;
    }
}

/* --- one path ------------------------------------------------------------------------------------------- */

/* Takes the first `length` steps of the path on a new stage. */
static void replay(int length) {
    stage_open(1, 1);
    settle();
    for (int i = 0; i < length; i++) take(path[i]);
}

static void print_path(int length) {
    for (int i = 0; i < length; i++) printf("%s ", step_names[path[i]]);
    printf("\n");
    fflush(stdout);
}

/* Whatever state the path has led to: a drain ends it. */
static void finish(int length) {
    if (!stage.orchestrator.draining) begin_drain(2 * CLOCK_S);
    for (int i = 0; !drained(); i++) {
        if (i == END_STEPS) {
            print_path(length);
            ck_abort_msg("the drain does not end");
        }
        take(can(WORKER) ? WORKER : TICK);
    }
    if (stage.ids == 1) {
        if (ending(1)->done != 1) print_path(length);
        require(ending(1)->done == 1);
        answered_as[ending(1)->outcome]++;
    }
    require(stage_pool(0)->admission.permits == 0 && state_of(A) == WORKER_DEAD);
    stage_close();
    paths++;
}

/* Which steps are possible is known only on the stage, so each path is played from its beginning. */
static void explore(int length) {
    bool possible[STEPS];
    replay(length);
    for (enum step step = 0; step < STEPS; step++) possible[step] = can(step);
    finish(length);
    if (length == DEPTH) return;
    for (enum step step = 0; step < STEPS; step++) {
        if (!possible[step]) continue;
        path[length] = step;
        explore(length + 1);
    }
}

static void explore_pool(uint32_t slots_min, uint32_t retry_crashes) {
    stage.options[0] = plain_pool("pool");
    stage.options[0].slots_min = slots_min;
    stage.options[0].retry_crashes = retry_crashes;
    stage.options[0].timeouts.cancel_ns = CLOCK_S;
    stage.options[0].timeouts.kill_ns = CLOCK_S;
    stage.options[0].timeouts.load_ns = 5 * CLOCK_S;
    memset(answered_as, 0, sizeof answered_as);
    paths = 0;
    explore(0);
    printf("%llu paths\n", (unsigned long long)paths);
    ck_assert_uint_gt(paths, 10000);
}

static void assert_seen(enum outcome outcome) {
    ck_assert_msg(answered_as[outcome] > 0, "no path was answered %s", outcome_code(outcome));
}

START_TEST(every_order_of_events_at_a_warm_pool_ends_in_one_answer) {
    explore_pool(1, 1);
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(SHUTTING_DOWN);
    assert_seen(SPAWN_FAILED);
}
END_TEST

START_TEST(every_order_of_events_at_a_cold_pool_ends_in_one_answer) {
    explore_pool(0, 1);
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(SPAWN_FAILED);
}
END_TEST

START_TEST(every_order_of_events_without_retries_ends_in_one_answer) {
    explore_pool(1, 0);
    assert_seen(OK);
    assert_seen(WORKER_CRASHED);
}
END_TEST

SUITE("core/orchestrator in every order", 240,
      every_order_of_events_at_a_warm_pool_ends_in_one_answer,
      every_order_of_events_at_a_cold_pool_ends_in_one_answer,
      every_order_of_events_without_retries_ends_in_one_answer)
