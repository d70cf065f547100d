/* orchestrator: one or two requests, one slot, and every order in which things can happen to them, to a
 * depth. However it goes, each request gets exactly one answer and the pool comes to its end. */
#include "tests/core/stage.h"
#include "tests/support/suite.h"

#define DEPTH       8
#define DEADLINE_NS (3 * CLOCK_S)
#define END_STEPS   100 /* a drain that takes more has come to a stop */

#define A (&stage.actors[0][0])

enum step { SUBMIT, CANCEL, CANCEL_2, BEGIN, REPLY, CRASH, DEADLINE, TICK, WORKER, DRAIN, STEPS };
static const char *const step_names[STEPS] = {"submit", "cancel",   "cancel_2", "begin",  "reply",
                                              "crash",  "deadline", "tick",     "worker", "drain"};

/* What the paths of a test begin with. */
static struct {
    uint64_t requests;   /* that come */
    bool under_way;      /* the worker has loaded and all have come before the first step */
    const char *content; /* the same for all, or NULL */
    int depth;
} opening;

static enum step path[DEPTH];
static uint64_t paths, answered_as[OUTCOME_COUNT];

/* --- one step ------------------------------------------------------------------------------------------- */

static bool is_waited_for(uint64_t id) {
    return stage.ids >= id && ending(id)->done == 0;
}

/* Of two only who lives is cancelled: the other leads nowhere new, as the paths of one show. */
static bool can_cancel(uint64_t id) {
    return opening.requests == 1 ? stage.ids == 1 && id == 1 : is_waited_for(id);
}

/* A step that would change nothing, or cannot happen, leads nowhere that another path does not. */
static bool can(enum step step) {
    switch (step) {
    case SUBMIT: return stage.ids < opening.requests;
    case CANCEL: return can_cancel(1);
    case CANCEL_2: return can_cancel(2);
    case BEGIN: return A->running && count_begun(A) < A->has_count;
    case REPLY: return A->running && count_begun(A) > 0;
    case CRASH: return A->running;
    case DEADLINE: return is_waited_for(1) || is_waited_for(2);
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

static void submit_one(void) {
    submit_offer(&(struct offer){.priority = PRIORITY_NORMAL,
                                 .deadline_ns = stage.now_ns + DEADLINE_NS,
                                 .content = opening.content});
}

static void take(enum step step) {
    switch (step) {
    case SUBMIT: submit_one(); return;
    case CANCEL: cancel(1); return;
    case CANCEL_2: cancel(2); return;
    case BEGIN: begin(A); return;
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
    A->slow = opening.requests > 1;
    settle();
    if (opening.under_way) {
        load(A);
        while (stage.ids < opening.requests) submit_one();
    }
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
    for (uint64_t id = 1; id <= stage.ids; id++) {
        if (ending(id)->done != 1) print_path(length);
        require(ending(id)->done == 1);
        answered_as[ending(id)->outcome]++;
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
    if (length == opening.depth) return;
    for (enum step step = 0; step < STEPS; step++) {
        if (!possible[step]) continue;
        path[length] = step;
        explore(length + 1);
    }
}

static void set_pool(uint32_t slots_min, uint32_t retry_crashes) {
    stage.options[0] = plain_pool("pool");
    stage.options[0].slots_min = slots_min;
    stage.options[0].retry_crashes = retry_crashes;
    stage.options[0].timeouts.cancel_ns = CLOCK_S;
    stage.options[0].timeouts.kill_ns = CLOCK_S;
    stage.options[0].timeouts.load_ns = 5 * CLOCK_S;
    opening.requests = 1;
    opening.depth = DEPTH;
}

static void explore_all(void) {
    explore(0);
    printf("%llu paths\n", (unsigned long long)paths);
    fflush(stdout);
    ck_assert_uint_gt(paths, 10000);
}

static void assert_seen(enum outcome outcome) {
    ck_assert_msg(answered_as[outcome] > 0, "no path was answered %s", outcome_code(outcome));
}

START_TEST(every_order_of_events_at_a_warm_pool_ends_in_one_answer) {
    set_pool(1, 1);
    explore_all();
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(SHUTTING_DOWN);
    assert_seen(SPAWN_FAILED);
}
END_TEST

START_TEST(every_order_of_events_at_a_cold_pool_ends_in_one_answer) {
    set_pool(0, 1);
    explore_all();
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(SPAWN_FAILED);
}
END_TEST

START_TEST(every_order_of_events_without_retries_ends_in_one_answer) {
    set_pool(1, 0);
    explore_all();
    assert_seen(OK);
    assert_seen(WORKER_CRASHED);
}
END_TEST

/* One runs, one is staged behind it, and both are under way; the worker begins when it likes. */
static void set_two(uint32_t staged) {
    set_pool(1, 1);
    stage.options[0].staged = staged;
    opening.requests = 2;
    opening.under_way = true;
    opening.depth = DEPTH;
}

START_TEST(every_order_of_events_at_a_staged_pair_ends_in_one_answer_each) {
    set_two(1);
    explore_all();
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(QUARANTINED);
    assert_seen(SHUTTING_DOWN);
}
END_TEST

START_TEST(every_order_of_events_at_two_that_share_a_run_ends_in_one_answer_each) {
    set_two(1);
    stage.options[0].queue.dedup_ns = 10 * CLOCK_S;
    opening.content = "same";
    explore_all();
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
    assert_seen(QUARANTINED);
}
END_TEST

START_TEST(every_order_of_events_at_a_batch_of_two_ends_in_one_answer_each) {
    set_two(0);
    stage.options[0].queue.batch_max = 2;
    stage.options[0].queue.batch_delay_ns = CLOCK_S;
    explore_all();
    assert_seen(OK);
    assert_seen(CANCELLED);
    assert_seen(DEADLINE_EXCEEDED);
}
END_TEST

SUITE("core/orchestrator in every order", 240,
      every_order_of_events_at_a_warm_pool_ends_in_one_answer,
      every_order_of_events_at_a_cold_pool_ends_in_one_answer,
      every_order_of_events_without_retries_ends_in_one_answer,
      every_order_of_events_at_a_staged_pair_ends_in_one_answer_each,
      every_order_of_events_at_two_that_share_a_run_ends_in_one_answer_each,
      every_order_of_events_at_a_batch_of_two_ends_in_one_answer_each)
