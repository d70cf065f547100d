/* desk: where a request is and what blocks it, what became of it, and stopping it; on virtual time. */
#include "core/question.h"
#include "tests/core/scene.h"
#include "tests/support/suite.h"

static struct finished *finished;
static uint32_t answers;

static void on_answered(struct question *question) {
    ck_assert_ptr_eq(question->owner, &answers);
    answers++;
}

static void open_desk(uint32_t slots) {
    set(slots, slots, 1);
    curtain();
    answers = 0;
    ck_assert_int_eq(finished_open(&finished), OK);
    orchestrator_remember(&stage.orchestrator, finished);
}

static void open_warm_desk(uint32_t slots) {
    open_desk(slots);
    for (uint32_t i = 0; i < slots; i++) load(&stage.actors[0][i]);
}

static void close_desk(void) {
    close_stage();
    finished_free(finished);
}

static enum outcome put(struct look *look, enum question_kind kind) {
    uint32_t before = answers;
    look->question.kind = kind;
    look->question.answered = on_answered;
    look->question.owner = &answers;
    handle(&(struct event){.kind = EVENT_QUESTION, .question = &look->question});
    ck_assert_uint_eq(answers, before + 1);
    return look->question.outcome;
}

static struct look where_is(uint64_t id) {
    struct look look = {.id = id};
    ck_assert_int_eq(put(&look, QUESTION_LOOK), OK);
    return look;
}

static void assert_is(uint64_t id, const char *state, const char *blocked_by) {
    struct look look = where_is(id);
    ck_assert_str_eq(look_state_name(look.state), state);
    ck_assert_str_eq(look_block_name(look.blocked_by), blocked_by);
}

START_TEST(who_runs_and_who_waits_is_told_with_place_and_wait) {
    open_warm_desk(1);
    reply(A, submit()); /* a first run of no time: nothing is known of how long they take */
    uint64_t known = submit();
    pass(100 * CLOCK_MS);
    reply(A, known);
    uint64_t running = submit(), first = submit(), second = submit();
    struct look look = where_is(running);
    ck_assert_int_eq(look.state, LOOK_RUNNING);
    ck_assert_uint_eq(look.place + look.expected_wait_ns, 0);
    ck_assert_uint_eq(look.began_ns, stage.now_ns);
    ck_assert_str_eq(look.pool, "pool");
    ck_assert_str_eq(look.request_id, "test");
    look = where_is(first);
    ck_assert_int_eq(look.state, LOOK_QUEUED);
    ck_assert_int_eq(look.blocked_by, LOOK_BLOCKED_BY_SLOTS);
    ck_assert_uint_eq(look.place, 1);
    uint64_t mean_ns = pool()->stats.mean_run_ns;
    ck_assert_uint_gt(mean_ns, 0);
    ck_assert_uint_eq(look.expected_wait_ns, mean_ns);
    look = where_is(second);
    ck_assert_uint_eq(look.place, 2);
    ck_assert_uint_eq(look.expected_wait_ns, 2 * mean_ns);
    ck_assert_uint_eq(look.arrived_ns, stage.now_ns);
    close_desk();
}
END_TEST

START_TEST(a_better_class_stands_before_it_and_its_own_place_stays) {
    open_warm_desk(1);
    submit();
    uint64_t low = submit_as(PRIORITY_LOW);
    for (int i = 0; i < 3; i++) submit_as(PRIORITY_HIGH);
    const struct request *request = request_queue_find(&pool()->queue, low);
    ck_assert_uint_eq(where_is(low).place, 1);
    ck_assert_uint_eq(request_queue_before(&pool()->queue, request), 3);
    close_desk();
}
END_TEST

START_TEST(what_blocks_it_has_a_name) {
    open_desk(1);
    uint64_t id = submit();
    assert_is(id, "loading", "loading");
    load(A);
    assert_is(id, "running", "");
    uint64_t next = submit();
    assert_is(next, "queued", "slots");
    wish_for(0, WISH_PAUSE);
    assert_is(next, "queued", "pause");
    wish_for(0, WISH_RUN);
    reply(A, id);
    assert_is(next, "running", "");
    close_desk();
}
END_TEST

START_TEST(a_batch_that_fills_up_is_what_blocks_it) {
    set(1, 1, 1);
    options->queue.batch_max = 4;
    options->queue.batch_delay_ns = CLOCK_S;
    open_warm();
    uint64_t id = submit();
    assert_is(id, "queued", "batch");
    stage.pools_count = 1;
    close_stage();
}
END_TEST

START_TEST(probes_under_way_are_what_blocks_it) {
    open_desk(1);
    load(A);
    uint64_t running = submit(), waiting = submit();
    options->breaker.probes = 1;
    pool()->breaker.state = BREAKER_HALF_OPEN;
    pool()->breaker.probing = 1; /* as if that one were the probe */
    request_queue_find(&pool()->queue, running)->breaker_era = pool()->breaker.era;
    assert_is(waiting, "queued", "breaker");
    reply(A, running);
    close_desk();
}
END_TEST

START_TEST(who_was_handed_ahead_is_staged) {
    set(1, 1, 1);
    options->staged = 1;
    open_warm();
    uint64_t running = submit(), staged = submit();
    assert_is(running, "running", "");
    assert_is(staged, "staged", "slots");
    ck_assert_uint_eq(where_is(staged).place, 0);
    close_stage();
}
END_TEST

START_TEST(who_follows_stands_where_its_leader_stands) {
    set(1, 1, 1);
    options->queue.dedup_ns = CLOCK_S;
    open_warm();
    submit();
    const struct offer same = {.priority = PRIORITY_NORMAL, .content = "same"};
    uint64_t leader = submit_offer(&same), follower = submit_offer(&same);
    ck_assert(!where_is(leader).shared);
    struct look look = where_is(follower);
    ck_assert(look.shared);
    ck_assert_uint_eq(look.place, 1);
    ck_assert_int_eq(look.state, LOOK_QUEUED);
    close_stage();
}
END_TEST

START_TEST(the_newest_has_the_first_place_while_the_queue_stands) {
    open_warm_desk(1);
    submit();
    uint64_t older = submit(), newer = submit();
    pool()->queue.newest_first = true;
    ck_assert_uint_eq(where_is(newer).place, 1);
    ck_assert_uint_eq(where_is(older).place, 2);
    pool()->queue.newest_first = false;
    close_desk();
}
END_TEST

START_TEST(what_became_of_it_is_known_for_a_while) {
    open_warm_desk(1);
    uint64_t id = submit();
    pass(CLOCK_S);
    reply(A, id);
    struct look look = where_is(id);
    ck_assert_int_eq(look.state, LOOK_DONE);
    ck_assert_int_eq(look.outcome, OK);
    ck_assert_uint_eq(look.run_ns, CLOCK_S);
    ck_assert_uint_eq(look.ended_ns, stage.now_ns);
    struct look by_name = {.name = "test"};
    ck_assert_int_eq(put(&by_name, QUESTION_LOOK), OK);
    ck_assert_int_eq(by_name.outcome, OK);
    stage.now_ns += FINISHED_KEPT_NS + 1;
    ck_assert_int_eq(put(&look, QUESTION_LOOK), NO_SUCH_REQUEST);
    pong(A);
    close_desk();
}
END_TEST

START_TEST(a_cancel_stops_it_and_a_second_finds_it_done) {
    open_warm_desk(1);
    uint64_t running = submit(), waiting = submit();
    struct look look = {.id = waiting};
    ck_assert_int_eq(put(&look, QUESTION_CANCEL), OK);
    ck_assert_int_eq(look.state, LOOK_DONE);
    ck_assert_int_eq(look.outcome, CANCELLED);
    assert_answered(waiting, CANCELLED);
    ck_assert_str_eq(ending(waiting)->detail, "cancelled on request");
    ck_assert_int_eq(put(&look, QUESTION_CANCEL), OK);
    ck_assert_int_eq(look.outcome, CANCELLED);
    look = (struct look){.id = running};
    ck_assert_int_eq(put(&look, QUESTION_CANCEL), OK);
    assert_answered(running, CANCELLED);
    ck_assert_uint_eq(A->cancels, 1);
    say_error(A, running, WORKER_SAID_CANCELLED, "");
    close_desk();
}
END_TEST

START_TEST(another_tenants_request_is_nobodys) {
    open_warm_desk(1);
    uint64_t id = submit_offer(&(struct offer){.priority = PRIORITY_NORMAL, .tenant = "acme"});
    struct look look = {.id = id, .for_tenant = "other"};
    ck_assert_int_eq(put(&look, QUESTION_LOOK), NO_SUCH_REQUEST);
    ck_assert_int_eq(put(&look, QUESTION_CANCEL), NO_SUCH_REQUEST);
    ck_assert_str_eq(look.pool, "");
    assert_live(id);
    look.for_tenant = "acme";
    ck_assert_int_eq(put(&look, QUESTION_LOOK), OK);
    ck_assert_str_eq(look.tenant, "acme");
    reply(A, id);
    ck_assert_int_eq(put(&look, QUESTION_LOOK), OK);
    look.for_tenant = "other";
    ck_assert_int_eq(put(&look, QUESTION_LOOK), NO_SUCH_REQUEST);
    close_desk();
}
END_TEST

START_TEST(nobody_knows_a_number_that_never_was) {
    open_warm_desk(1);
    struct look look = {.id = 4711};
    ck_assert_int_eq(put(&look, QUESTION_LOOK), NO_SUCH_REQUEST);
    look = (struct look){0};
    ck_assert_int_eq(put(&look, QUESTION_LOOK), NO_SUCH_REQUEST);
    close_desk();
}
END_TEST

SUITE("core/desk", 30, who_runs_and_who_waits_is_told_with_place_and_wait,
      a_better_class_stands_before_it_and_its_own_place_stays, what_blocks_it_has_a_name,
      a_batch_that_fills_up_is_what_blocks_it, probes_under_way_are_what_blocks_it,
      who_was_handed_ahead_is_staged, who_follows_stands_where_its_leader_stands,
      the_newest_has_the_first_place_while_the_queue_stands, what_became_of_it_is_known_for_a_while,
      a_cancel_stops_it_and_a_second_finds_it_done, another_tenants_request_is_nobodys,
      nobody_knows_a_number_that_never_was)
