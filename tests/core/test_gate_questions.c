/* gate: questions from many threads to a loop that works, and what an administrator may always say. */
#include "tests/core/gate_stage.h"
#include "tests/support/suite.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ASKERS 4
#define ASKED  3000 /* by each */

static sem_t answered;

static void on_answered(struct question *question) {
    (void)question;
    sem_post(&answered);
}

static void do_nothing(void *owner) {
    (void)owner;
}

static void wait_for_answer(void) {
    struct timespec until = limit();
    ck_assert_int_eq(sem_timedwait(&answered, &until), 0);
}

static void open_questions(uint32_t slots) {
    sem_init(&answered, 0, 0);
    pools[0] = echo_pool("echo", slots);
    open_gate(1);
}

static struct look look_at(uint64_t id) {
    struct look look = {.question.answered = on_answered, .id = id};
    ck_assert_int_eq(gate_look(gate, &look), OK);
    wait_for_answer();
    return look;
}

START_TEST(where_a_request_is_and_what_became_of_it_is_told) {
    open_questions(1);
    wait_for_state(0, WORKER_READY, 1);
    uint64_t running = submit(make_request(0, "hang", "x", 1));
    wait_for_state(0, WORKER_PROCESSING, 1);
    uint64_t waiting = submit(make_request(0, "", "y", 1));
    ck_assert_int_eq(look_at(running).state, LOOK_RUNNING);
    struct look look = look_at(waiting);
    ck_assert_int_eq(look.question.outcome, OK);
    ck_assert_int_eq(look.state, LOOK_QUEUED);
    ck_assert_int_eq(look.blocked_by, LOOK_BLOCKED_BY_SLOTS);
    ck_assert_uint_eq(look.place, 1);
    ck_assert_int_eq(gate_stop(gate, &look), OK);
    wait_for_answer();
    ck_assert_int_eq(look.outcome, CANCELLED);
    wait_for_answers(1);
    ck_assert_int_eq(look_at(waiting).outcome, CANCELLED);
    look = look_at(running + 1000);
    ck_assert_int_eq(look.question.outcome, NO_SUCH_REQUEST);
    look = (struct look){.question.answered = on_answered, .id = running};
    ck_assert_int_eq(gate_stop(gate, &look), OK);
    wait_for_answer();
    wait_for_answers(2);
    close_gate();
}
END_TEST

static struct buried_list buried(struct buried *items, size_t room) {
    struct buried_list list = {.question.answered = on_answered, .items = items, .room = room};
    ck_assert_int_eq(gate_quarantine_list(gate, &list), OK);
    wait_for_answer();
    return list;
}

START_TEST(what_crashes_again_after_a_kick_is_buried_again_and_can_be_deleted) {
    struct buried items[4];
    open_questions(1);
    submit(make_request(0, "crash", "body", 4));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, QUARANTINED);
    ck_assert_uint_eq(buried(items, 4).count, 1);
    ck_assert_uint_eq(items[0].body_bytes, 4);
    struct buried_order order = {
        .question.answered = on_answered, .number = items[0].number, .request_id = "second-life"};
    uint64_t until_ns = clock_now_ns() + LIMIT_S * CLOCK_S;
    do { /* its worker backs off at first, and who is refused is told */
        ck_assert_uint_lt(clock_now_ns(), until_ns);
        ck_assert_int_eq(gate_quarantine_kick(gate, &order), OK);
        wait_for_answer();
    } while (order.question.outcome != OK && usleep(10000) == 0);
    while (items[0].number != order.id) {
        ck_assert_uint_lt(clock_now_ns(), until_ns);
        usleep(10000);
        ck_assert_uint_eq(buried(items, 4).count, 1);
    }
    ck_assert_str_eq(items[0].request_id, "second-life");
    ck_assert(items[0].body_kept && !items[0].kicked);
    order.number = order.id;
    ck_assert_int_eq(gate_quarantine_delete(gate, &order), OK);
    wait_for_answer();
    ck_assert_int_eq(order.question.outcome, OK);
    ck_assert_uint_eq(buried(items, 4).count, 0);
    close_gate();
}
END_TEST

static _Atomic uint32_t refused, found;

static void on_answered_alone(struct question *question) {
    sem_post(question->owner);
}

static void *ask_alone(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    sem_t done;
    sem_init(&done, 0, 0);
    for (int i = 0; i < ASKED; i++) {
        struct look look = {.question = {.answered = on_answered_alone, .owner = &done},
                            .id = 1 + (uint64_t)rand_r(&seed) % 2000};
        bool stops = rand_r(&seed) % 8 == 0;
        if ((stops ? gate_stop(gate, &look) : gate_look(gate, &look)) != OK) {
            atomic_fetch_add(&refused, 1);
            continue;
        }
        while (sem_wait(&done) != 0) continue;
        if (look.question.outcome == OK) atomic_fetch_add(&found, 1);
    }
    sem_destroy(&done);
    return NULL;
}

START_TEST(many_who_ask_while_requests_come_and_go_each_get_their_answer) {
    pthread_t askers[ASKERS];
    open_questions(2);
    for (uintptr_t i = 0; i < ASKERS; i++)
        pthread_create(&askers[i], NULL, ask_alone, (void *)(i + 1));
    uint32_t sent = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t id, retry_after_ns;
        struct request *request = make_request(0, "", "x", 1);
        if (gate_submit(gate, request, &id, &retry_after_ns) == OK)
            sent++;
        else
            request_free(request);
    }
    for (int i = 0; i < ASKERS; i++) pthread_join(askers[i], NULL);
    wait_for_answers(sent);
    ck_assert_uint_gt(atomic_load(&found), 0);
    close_gate();
}
END_TEST

static struct pool_order order(struct pool_order order) {
    order.question.answered = on_answered;
    ck_assert_int_eq(gate_order(gate, &order), OK);
    wait_for_answer();
    ck_assert_int_eq(order.question.outcome, OK);
    return order;
}

START_TEST(an_order_is_answered_once_the_state_shows_it) {
    open_questions(3);
    wait_for_state(0, WORKER_READY, 3);
    for (int i = 0; i < 50; i++) {
        enum wish wish = i % 2 == 0 ? WISH_PAUSE : WISH_RUN;
        ck_assert_int_eq(order((struct pool_order){.act = POOL_WISH, .wish = wish}).wish, wish);
        const struct snapshot *snapshot = gate_snapshot(gate);
        ck_assert_int_eq(snapshot->pools[0].wish, wish);
        gate_snapshot_release(gate, snapshot);
    }
    struct pool_order done =
        order((struct pool_order){.act = POOL_SCALE, .slots_min = 2, .slots_max = 100});
    ck_assert_uint_eq(done.slots_min, 2);
    ck_assert_uint_eq(done.slots_max, 3);
    done = order((struct pool_order){.act = POOL_SCALE, .slots_min = POOL_KEEP, .slots_max = 1});
    ck_assert_uint_eq(done.slots_min, 1);
    ck_assert_int_eq(done.wish, WISH_RUN);
    close_gate();
}
END_TEST

START_TEST(who_asked_is_told_also_where_nothing_changes) {
    struct event_feed *feed;
    struct happening happening = {.why = ""};
    uint64_t lost;
    open_questions(1);
    ck_assert_int_eq(gate_listen(gate, &feed, HAPPENING_BIT(POOL), 16, do_nothing, NULL), OK);
    order((struct pool_order){.act = POOL_WISH, .wish = WISH_RUN, .why = "load, asked by me"});
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_str_eq(happening.why, "load, asked by me");
    ck_assert_str_eq(happening.from, happening.to);
    order((struct pool_order){
        .act = POOL_SCALE, .slots_min = POOL_KEEP, .slots_max = 1, .why = "scale, asked by me"});
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_str_eq(happening.why, "scale, asked by me");
    event_feed_close(feed);
    close_gate();
}
END_TEST

static sem_t held, released;

/* The loop stands still in here, which no asker may do. */
static void hold_the_loop(struct question *question) {
    (void)question;
    sem_post(&held);
    while (sem_wait(&released) != 0) continue;
}

START_TEST(whatever_is_under_way_a_drain_is_heard_and_too_many_questions_are_refused) {
    static struct look looks[QUESTIONS_MOST + 1];
    static struct pool_order orders[QUESTIONS_MOST + 1];
    struct look first = {.question.answered = hold_the_loop, .id = 1};
    open_questions(1);
    wait_for_state(0, WORKER_READY, 1);
    sem_init(&held, 0, 0);
    sem_init(&released, 0, 0);
    ck_assert_int_eq(gate_look(gate, &first), OK);
    while (sem_wait(&held) != 0) continue;
    uint32_t asked = 0; /* that one counts until its batch is done */
    while (asked < QUESTIONS_MOST + 1) {
        looks[asked] = (struct look){.question.answered = on_answered, .id = 1};
        orders[asked] = (struct pool_order){.question.answered = on_answered, .wish = WISH_RUN};
        enum outcome outcome =
            asked % 2 ? gate_look(gate, &looks[asked]) : gate_order(gate, &orders[asked]);
        if (outcome == QUEUE_FULL) break;
        ck_assert_int_eq(outcome, OK);
        asked++;
    }
    ck_assert_uint_eq(asked, QUESTIONS_MOST - 1);
    ck_assert_int_eq(gate_order(gate, &orders[asked]), QUEUE_FULL);
    for (int i = 0; i < 1000; i++) gate_drain(gate, 10 * CLOCK_S, on_drained, NULL);
    sem_post(&released);
    for (uint32_t i = 0; i < asked; i++) wait_for_answer();
    close_gate();
}
END_TEST

SUITE("core/gate_questions", 120, where_a_request_is_and_what_became_of_it_is_told,
      what_crashes_again_after_a_kick_is_buried_again_and_can_be_deleted,
      an_order_is_answered_once_the_state_shows_it, who_asked_is_told_also_where_nothing_changes,
      many_who_ask_while_requests_come_and_go_each_get_their_answer,
      whatever_is_under_way_a_drain_is_heard_and_too_many_questions_are_refused)
