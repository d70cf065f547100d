/* orchestrator: scenes of what is handed over ahead and together: staged, taken back, in batches. */
#include "tests/core/scene.h"
#include "tests/support/suite.h"

/* --- staged ahead ----------------------------------------------------------------------------------- */

static void open_staged(uint32_t slots, uint32_t staged) {
    set(slots, slots, 1);
    options->staged = staged;
    open_warm();
}

static struct actor *holder_of(uint64_t id) {
    return actor_has(A, id) ? A : B;
}

static struct actor *other_than(const struct actor *actor) {
    return actor == A ? B : A;
}

START_TEST(a_staged_request_begins_when_its_slot_is_done_and_runs_from_there) {
    open_staged(1, 1);
    uint64_t first = submit(), second = submit(), third = submit();
    assert_staged(A, second);
    ck_assert(!actor_has(A, third));
    pass(100 * CLOCK_MS);
    reply(A, first);
    assert_runs(A, second);
    assert_staged(A, third);
    pass(50 * CLOCK_MS);
    reply(A, second);
    ck_assert_uint_eq(ending(second)->queue_ns, 100 * CLOCK_MS);
    ck_assert_uint_eq(ending(second)->run_ns, 50 * CLOCK_MS);
    ck_assert_uint_eq(A->revokes, 0);
    close_stage();
}
END_TEST

START_TEST(what_is_staged_is_taken_back_for_a_slot_that_is_free) {
    open_staged(2, 1);
    uint64_t on_a = submit(), on_b = submit(), third = submit();
    struct actor *holder = holder_of(third), *free_one = other_than(holder);
    assert_staged(holder, third);
    reply(free_one, actor_has(free_one, on_a) ? on_a : on_b);
    assert_runs(free_one, third);
    ck_assert_uint_eq(holder->revokes, 1);
    ck_assert_uint_eq(pool()->totals.staged_back, 1);
    reply(free_one, third);
    ck_assert_uint_eq(ending(third)->attempts, 1);
    close_stage();
}
END_TEST

/* The other slot is never free: it has work of its own, and more waits. */
START_TEST(what_is_staged_behind_a_run_that_takes_long_goes_elsewhere) {
    open_staged(2, 1);
    uint64_t on_a = submit(), on_b = submit(), third = submit(), fourth = submit();
    struct actor *stuck = holder_of(third), *other = other_than(stuck);
    uint64_t running = actor_has(other, on_a) ? on_a : on_b;
    assert_staged(other, fourth);
    for (int i = 0; i < 30; i++) { /* the mean becomes 10 ms */
        pass(10 * CLOCK_MS);
        uint64_t next = submit();
        reply(other, running);
        running = other->has[0].id;
        if (running == third) break;
        ck_assert_int_lt(i, 29);
        (void)next;
    }
    assert_runs(other, third);
    ck_assert_uint_ge(stuck->revokes, 1);
    ck_assert_uint_eq(stuck->has_count, 1);
    close_stage();
}
END_TEST

START_TEST(what_has_begun_before_it_is_asked_back_stays_where_it_is) {
    open_staged(2, 1);
    uint64_t on_a = submit(), on_b = submit(), third = submit();
    struct actor *holder = holder_of(third), *free_one = other_than(holder);
    begin(holder); /* its reply to the first is on the way */
    reply(free_one, actor_has(free_one, on_a) ? on_a : on_b);
    assert_runs(holder, third);
    assert_state(free_one, WORKER_READY);
    reply(holder, actor_has(holder, on_a) ? on_a : on_b);
    reply(holder, third);
    assert_answered(third, OK);
    close_stage();
}
END_TEST

START_TEST(a_higher_class_clears_what_is_staged_and_starts_on_the_next_free_slot) {
    open_staged(2, 1);
    uint64_t on_a = submit(), on_b = submit();
    submit();
    submit();
    ck_assert_uint_eq(pool()->staged, 2);
    uint64_t critical = submit_as(PRIORITY_CRITICAL);
    ck_assert_uint_eq(pool()->staged, 1);
    ck_assert_uint_eq(pool()->queue.waiting, 2);
    struct actor *holder = holder_of(critical), *sooner = other_than(holder);
    assert_staged(holder, critical);
    reply(sooner, actor_has(sooner, on_a) ? on_a : on_b); /* not the one that has it */
    assert_runs(sooner, critical);
    close_stage();
}
END_TEST

START_TEST(after_a_race_there_is_no_place_to_stage_at) {
    open_staged(1, 1);
    submit();
    uint64_t second = submit();
    begin(A);
    uint64_t critical = submit_as(PRIORITY_CRITICAL); /* the second cannot be taken back */
    assert_runs(A, second);
    ck_assert(!actor_has(A, critical));
    close_stage();
}
END_TEST

START_TEST(a_cancel_takes_a_staged_request_back_without_a_word) {
    open_staged(1, 1);
    submit();
    uint64_t staged = submit();
    cancel(staged);
    assert_answered(staged, CANCELLED);
    ck_assert_uint_eq(A->revokes, 1);
    ck_assert_uint_eq(A->cancels, 0);
    ck_assert_uint_eq(ending(staged)->attempts, 0);
    close_stage();
}
END_TEST

START_TEST(a_deadline_takes_a_staged_request_back) {
    open_staged(1, 1);
    submit();
    uint64_t staged = submit_until(CLOCK_S);
    pass(CLOCK_S);
    assert_answered(staged, DEADLINE_EXCEEDED);
    ck_assert_ptr_nonnull(strstr(ending(staged)->detail, "still waiting"));
    ck_assert_uint_eq(A->revokes, 1);
    ck_assert_uint_eq(A->cancels, 0);
    close_stage();
}
END_TEST

START_TEST(a_pause_takes_back_what_is_staged) {
    open_staged(1, 4);
    uint64_t first = submit(), second = submit();
    submit();
    ck_assert_uint_eq(pool()->staged, 2);
    wish_for(0, WISH_PAUSE);
    ck_assert_uint_eq(pool()->staged, 0);
    reply(A, first);
    assert_state(A, WORKER_READY);
    wish_for(0, WISH_RUN);
    assert_runs(A, second);
    close_stage();
}
END_TEST

START_TEST(what_is_staged_when_a_drain_begins_is_finished) {
    open_staged(1, 1);
    uint64_t first = submit(), second = submit();
    begin_drain(10 * CLOCK_S);
    reply(A, first);
    reply(A, second);
    assert_answered(second, OK);
    assert_state(A, WORKER_EVICTING);
    close_stage();
}
END_TEST

START_TEST(a_crash_marks_what_ran_and_not_what_was_staged) {
    open_staged(1, 2);
    uint64_t ran = submit(), second = submit(), third = submit();
    crash(A);
    pass(CLOCK_S); /* the back-off */
    load(A);
    assert_runs(A, ran);
    reply(A, ran);
    reply(A, second);
    reply(A, third);
    ck_assert_uint_eq(ending(ran)->marks, 1);
    ck_assert_uint_eq(ending(ran)->attempts, 2);
    ck_assert_uint_eq(ending(second)->marks + ending(third)->marks, 0);
    ck_assert_uint_eq(ending(second)->attempts, 1);
    close_stage();
}
END_TEST

START_TEST(what_the_worker_has_no_room_for_waits_in_the_queue) {
    open_staged(1, 4);
    A->full = true;
    uint64_t first = submit(), second = submit();
    assert_live(second);
    ck_assert_uint_eq(pool()->queue.waiting, 1);
    reply(A, first);
    assert_runs(A, second);
    close_stage();
}
END_TEST

/* --- batches ---------------------------------------------------------------------------------------- */

static void open_batches(uint32_t most, uint64_t delay_ns) {
    set(1, 1, 1);
    options->queue.batch_max = most;
    options->queue.batch_delay_ns = delay_ns;
    open_warm();
}

static uint64_t submit_key(const char *key) {
    return submit_offer(&(struct offer){.priority = PRIORITY_NORMAL, .batch_key = key});
}

START_TEST(those_that_wait_go_together_up_to_the_most) {
    open_batches(4, 0);
    uint64_t first = submit_key("k");
    for (int i = 0; i < 5; i++) submit_key("k");
    reply(A, first);
    ck_assert_uint_eq(A->has_count, 4);
    ck_assert_uint_eq(pool()->queue.waiting, 1);
    ck_assert_uint_eq(pool()->totals.batches, 2); /* the first went alone */
    ck_assert_uint_eq(pool()->totals.batched, 5);
    close_stage();
}
END_TEST

START_TEST(only_requests_of_one_key_go_together) {
    open_batches(4, 0);
    uint64_t first = submit_key("k"), same = submit_key("k");
    submit_key("other");
    uint64_t same_again = submit_key("k");
    reply(A, first);
    ck_assert_uint_eq(A->has_count, 2);
    ck_assert(actor_has(A, same) && actor_has(A, same_again));
    close_stage();
}
END_TEST

START_TEST(a_batch_waits_its_delay_for_more) {
    open_batches(4, 100 * CLOCK_MS);
    uint64_t id = submit_key("k");
    ck_assert_uint_eq(A->sends, 0);
    ck_assert_uint_eq(stage.next_ns, stage.now_ns + 100 * CLOCK_MS);
    pass(99 * CLOCK_MS);
    ck_assert_uint_eq(A->sends, 0);
    pass(CLOCK_MS);
    assert_runs(A, id);
    close_stage();
}
END_TEST

START_TEST(a_full_batch_waits_for_nothing) {
    open_batches(3, CLOCK_S);
    for (int i = 0; i < 3; i++) submit_key("k");
    ck_assert_uint_eq(A->largest_batch, 3);
    submit_key("k"); /* ripe or not, it waits for the slot: no moment is asked for */
    close_stage();
}
END_TEST

START_TEST(a_ripe_batch_that_waits_for_a_slot_does_not_wake_the_loop) {
    open_batches(4, 10 * CLOCK_MS);
    submit_key("k");
    pass(20 * CLOCK_MS);
    submit_key("k");
    pass(20 * CLOCK_MS);
    ck_assert_uint_eq(A->has_count, 1);
    ck_assert_uint_ge(stage.next_ns, stage.now_ns + 100 * CLOCK_MS);
    close_stage();
}
END_TEST

START_TEST(a_batch_goes_while_its_deadline_leaves_a_run) {
    open_batches(4, 100 * CLOCK_MS);
    uint64_t id = submit_key("k");
    pass(100 * CLOCK_MS);
    pass(20 * CLOCK_MS); /* the mean run */
    reply(A, id);
    submit_offer(
        &(struct offer){.priority = PRIORITY_NORMAL, .deadline_ns = stage.now_ns + 50 * CLOCK_MS});
    pass(30 * CLOCK_MS);
    ck_assert_uint_eq(A->sends, 1);
    pass(CLOCK_MS);
    ck_assert_uint_eq(A->sends, 2);
    close_stage();
}
END_TEST

static void send_three(uint64_t ids[3]) {
    open_batches(3, 10 * CLOCK_S);
    for (int i = 0; i < 3; i++) ids[i] = submit_key("k");
    ck_assert_uint_eq(A->largest_batch, 3);
}

START_TEST(one_bad_item_of_a_batch_fails_alone) {
    uint64_t ids[3];
    send_three(ids);
    say_error(A, ids[1], WORKER_SAID_FAILED, "bad");
    reply(A, ids[2]);
    assert_answered(ids[1], WORKER_ERROR);
    assert_answered(ids[2], OK);
    assert_live(ids[0]);
    assert_state(A, WORKER_PROCESSING);
    reply(A, ids[0]);
    assert_state(A, WORKER_READY);
    close_stage();
}
END_TEST

START_TEST(after_a_crash_each_of_a_batch_is_retried_alone_and_unmarked) {
    uint64_t ids[3];
    send_three(ids);
    crash(A);
    pass(CLOCK_S);
    load(A);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(A->has_count, 1);
        assert_runs(A, ids[i]);
        reply(A, ids[i]);
        ck_assert_uint_eq(ending(ids[i])->marks, 0);
        ck_assert_uint_eq(ending(ids[i])->attempts, 2);
    }
    close_stage();
}
END_TEST

START_TEST(one_of_a_batch_can_leave) {
    uint64_t ids[3];
    send_three(ids);
    cancel(ids[0]);
    assert_answered(ids[0], CANCELLED);
    ck_assert_uint_eq(A->cancelled_id, ids[0]);
    reply(A, ids[0]);
    reply(A, ids[1]);
    reply(A, ids[2]);
    assert_answered(ids[2], OK);
    close_stage();
}
END_TEST

START_TEST(a_worker_without_room_is_passed_over_and_the_others_get_work) {
    set(2, 2, 1);
    open_warm();
    uint64_t first = submit(); /* A was used last: it would be first among equals */
    reply(actor_has(A, first) ? A : B, first);
    A->stuffed = true;
    uint64_t second = submit(), third = submit();
    ck_assert(actor_has(B, second));
    ck_assert_uint_eq(A->has_count, 0);
    assert_live(third);
    A->stuffed = false;
    pass(CLOCK_S); /* what woke the loop does not matter */
    ck_assert(actor_has(A, third));
    reply(B, second);
    reply(A, third);
    close_stage();
}
END_TEST

START_TEST(a_worker_without_room_ahead_is_passed_over_and_the_others_are_staged_at) {
    set(2, 2, 1);
    options->staged = 1;
    open_warm();
    submit();
    submit();
    A->full = true;
    submit();
    submit();
    ck_assert_uint_eq(B->has_count, 2);
    ck_assert_uint_eq(A->has_count, 1);
    close_stage();
}
END_TEST

START_TEST(one_worker_is_filled_before_the_next_where_the_pool_wants_it_so) {
    set(2, 2, 2);
    options->pick = PICK_MOST_RECENT;
    open_warm();
    submit();
    pass(CLOCK_MS);
    submit();
    ck_assert_uint_eq(A->has_count + B->has_count, 2);
    ck_assert(A->has_count == 2 || B->has_count == 2);
    submit();
    ck_assert(A->has_count == 1 || B->has_count == 1);
    close_stage();
}
END_TEST

SUITE("core/orchestrator hands over", 30,
      a_staged_request_begins_when_its_slot_is_done_and_runs_from_there,
      what_is_staged_is_taken_back_for_a_slot_that_is_free,
      what_is_staged_behind_a_run_that_takes_long_goes_elsewhere,
      what_has_begun_before_it_is_asked_back_stays_where_it_is,
      a_higher_class_clears_what_is_staged_and_starts_on_the_next_free_slot,
      after_a_race_there_is_no_place_to_stage_at,
      a_cancel_takes_a_staged_request_back_without_a_word, a_deadline_takes_a_staged_request_back,
      a_pause_takes_back_what_is_staged, what_is_staged_when_a_drain_begins_is_finished,
      a_crash_marks_what_ran_and_not_what_was_staged,
      what_the_worker_has_no_room_for_waits_in_the_queue,
      those_that_wait_go_together_up_to_the_most, only_requests_of_one_key_go_together,
      a_batch_waits_its_delay_for_more, a_full_batch_waits_for_nothing,
      a_ripe_batch_that_waits_for_a_slot_does_not_wake_the_loop,
      a_batch_goes_while_its_deadline_leaves_a_run, one_bad_item_of_a_batch_fails_alone,
      after_a_crash_each_of_a_batch_is_retried_alone_and_unmarked, one_of_a_batch_can_leave,
      a_worker_without_room_is_passed_over_and_the_others_get_work,
      a_worker_without_room_ahead_is_passed_over_and_the_others_are_staged_at,
      one_worker_is_filled_before_the_next_where_the_pool_wants_it_so)
