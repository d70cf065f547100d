/* The whole core with real worker processes: gate, channel, loop, orchestrator, transport, host, echo. */
#include "tests/core/gate_stage.h"
#include "tests/support/suite.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

START_TEST(a_request_comes_back_with_its_bytes) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    submit(make_request(0, "", "hello", 5));
    wait_for_answers(1);
    struct request *request = collector.last;
    ck_assert_int_eq(request->outcome, OK);
    ck_assert_uint_eq(request->reply.body->bytes, 5);
    ck_assert_mem_eq(body_data(request->reply.body), "hello", 5);
    ck_assert_str_eq(request->reply.content_type, "text/plain");
    ck_assert_uint_eq(request->attempts, 1);
    ck_assert_uint_gt(request->cold_ns, 0);
    close_gate();
}
END_TEST

static void expect_every_size_back(struct pool_options pool) {
    static const size_t sizes[] = {0, 1, 65535, 65536, 262143, 262144, 262145, 8 << 20};
    pools[0] = pool;
    open_gate(1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *data = malloc(sizes[i] + 1);
        for (size_t j = 0; j < sizes[i]; j++) data[j] = (uint8_t)(j * 31 >> 3);
        submit(make_request(0, "", data, sizes[i]));
        wait_for_answers((uint32_t)i + 1);
        ck_assert_int_eq(collector.last->outcome, OK);
        ck_assert_uint_eq(collector.last->reply.body->bytes, sizes[i]);
        if (sizes[i] > 0) ck_assert_mem_eq(body_data(collector.last->reply.body), data, sizes[i]);
        free(data);
    }
    close_gate();
}

START_TEST(every_size_comes_back_unchanged_from_a_process) {
    expect_every_size_back(echo_pool("echo", 1));
}
END_TEST

START_TEST(every_size_comes_back_unchanged_from_a_thread) {
    expect_every_size_back(thread_pool(1));
}
END_TEST

START_TEST(a_thousand_requests_are_each_answered_once) {
    pools[0] = echo_pool("echo", 2);
    open_gate(1);
    for (int i = 0; i < 1000; i++) submit(make_request(0, "", "x", 1));
    wait_for_answers(1000);
    ck_assert_uint_eq(collector.by_outcome[OK], 1000);
    close_gate();
    ck_assert_uint_eq(collector.answered, 1000);
}
END_TEST

START_TEST(five_pools_share_one_loop) {
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) pools[i] = echo_pool(names[i], 1);
    open_gate(5);
    for (uint32_t i = 0; i < 100; i++) submit(make_request(i % 5, "", "x", 1));
    wait_for_answers(100);
    ck_assert_uint_eq(collector.by_outcome[OK], 100);
    close_gate();
}
END_TEST

START_TEST(a_killed_worker_costs_nothing_but_a_retry) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    submit(make_request(0, "delay:300", "x", 1));
    wait_for_state(0, WORKER_PROCESSING, 1);
    kill(worker_pid(0, 0), SIGKILL);
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, OK);
    ck_assert_uint_eq(collector.last->attempts, 2);
    close_gate();
}
END_TEST

START_TEST(a_request_that_kills_two_workers_is_quarantined) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    submit(make_request(0, "crash", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, QUARANTINED);
    ck_assert_uint_eq(collector.last->attempts, 2);
    close_gate();
}
END_TEST

START_TEST(a_worker_that_writes_garbage_fails_and_comes_back) {
    pools[0] = echo_pool("echo", 1);
    pools[0].retry_crashes = 0;
    open_gate(1);
    submit(make_request(0, "garbage", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, WORKER_CRASHED);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(2);
    ck_assert_int_eq(collector.last->outcome, OK);
    close_gate();
}
END_TEST

START_TEST(a_cancel_frees_a_cooperative_slot) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    uint64_t id = submit(make_request(0, "delay:15000", "x", 1));
    wait_for_state(0, WORKER_PROCESSING, 1);
    gate_cancel(gate, 0, id, CANCEL_ASKED);
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, CANCELLED);
    wait_for_state(0, WORKER_READY, 1);
    close_gate();
}
END_TEST

START_TEST(a_hanging_worker_is_stopped_after_the_deadline) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    struct request *request = make_request(0, "hang", "x", 1);
    wait_for_state(0, WORKER_READY, 1);
    request->deadline_ns = clock_now_ns() + 200 * CLOCK_MS;
    submit(request);
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, DEADLINE_EXCEEDED);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(2);
    ck_assert_int_eq(collector.last->outcome, OK);
    close_gate();
}
END_TEST

START_TEST(a_worker_that_is_not_ready_in_time_is_a_spawn_timeout) {
    static const struct pair args[] = {{"load_ms", "20000"}};
    pools[0] = echo_pool("echo", 1);
    pools[0].worker.args = args;
    pools[0].worker.args_count = 1;
    pools[0].timeouts.load_ns = 300 * CLOCK_MS;
    open_gate(1);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, SPAWN_TIMEOUT);
    uint64_t retry_after_ns;
    /* The gate is told at the end of the same round. */
    const struct gate_ask ask = {.priority = PRIORITY_NORMAL, .deadline_ns = CLOCK_NEVER};
    while (gate_would_admit(gate, &ask, &retry_after_ns) != SPAWN_FAILED) usleep(100);
    ck_assert_uint_gt(retry_after_ns, 0);
    close_gate();
}
END_TEST

START_TEST(a_worker_that_cannot_load_is_a_failed_spawn) {
    static const struct pair args[] = {{"load_fail", "1"}};
    pools[0] = echo_pool("echo", 1);
    pools[0].worker.args = args;
    pools[0].worker.args_count = 1;
    open_gate(1);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, SPAWN_FAILED);
    close_gate();
}
END_TEST

START_TEST(a_program_that_does_not_exist_is_a_failed_spawn) {
    static const char *const command[] = {"/nonexistent/worker", NULL};
    pools[0] = echo_pool("none", 1);
    pools[0].worker.plugin = NULL;
    pools[0].worker.command = command;
    open_gate(1);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, SPAWN_FAILED);
    close_gate();
}
END_TEST

START_TEST(a_drain_answers_everything_that_was_accepted) {
    pools[0] = echo_pool("echo", 2);
    open_gate(1);
    for (int i = 0; i < 100; i++) submit(make_request(0, "delay:5", "x", 1));
    close_gate();
    ck_assert_uint_eq(collector.by_outcome[OK], 100);
}
END_TEST

START_TEST(a_drain_that_runs_out_of_time_still_answers) {
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    for (int i = 0; i < 10; i++) submit(make_request(0, "stubborn:60000", "x", 1));
    wait_for_state(0, WORKER_PROCESSING, 1);
    gate_drain(gate, 200 * CLOCK_MS, on_drained, NULL);
    close_gate();
    ck_assert_uint_eq(collector.by_outcome[SHUTTING_DOWN], 10);
}
END_TEST

START_TEST(a_cold_pool_starts_its_first_worker_on_demand) {
    pools[0] = echo_pool("echo", 1);
    pools[0].slots_min = 0;
    open_gate(1);
    wait_for_state(0, WORKER_DEAD, 1);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, OK);
    close_gate();
}
END_TEST

START_TEST(random_cancels_never_lose_or_double_an_answer) {
    pools[0] = echo_pool("echo", 3);
    open_gate(1);
    unsigned seed = 7;
    for (uint32_t i = 0; i < 600; i++) {
        uint64_t id = submit(make_request(0, i % 3 == 0 ? "delay:3" : "", "x", 1));
        if (rand_r(&seed) % 2 == 0) gate_cancel(gate, 0, id, CANCEL_CLIENT_GONE);
    }
    wait_for_answers(600);
    close_gate();
    ck_assert_uint_eq(collector.by_outcome[OK] + collector.by_outcome[CANCELLED], 600);
}
END_TEST

START_TEST(threads_and_processes_work_side_by_side) {
    pools[0] = thread_pool(2);
    pools[1] = echo_pool("echo", 2);
    open_gate(2);
    for (uint32_t i = 0; i < 2000; i++) submit(make_request(i % 2, "", "x", 1));
    wait_for_answers(2000);
    ck_assert_uint_eq(collector.by_outcome[OK], 2000);
    close_gate();
}
END_TEST

START_TEST(a_cancel_frees_a_cooperative_thread) {
    pools[0] = thread_pool(1);
    open_gate(1);
    uint64_t id = submit(make_request(0, "delay:15000", "x", 1));
    wait_for_state(0, WORKER_PROCESSING, 1);
    gate_cancel(gate, 0, id, CANCEL_ASKED);
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, CANCELLED);
    wait_for_state(0, WORKER_READY, 1);
    close_gate();
}
END_TEST

START_TEST(a_thread_that_hangs_is_abandoned_and_replaced) {
    pools[0] = thread_pool(1);
    open_gate(1);
    struct request *request = make_request(0, "stubborn:6000", "x", 1);
    wait_for_state(0, WORKER_READY, 1);
    request->deadline_ns = clock_now_ns() + 200 * CLOCK_MS;
    submit(request);
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, DEADLINE_EXCEEDED);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(2);
    ck_assert_int_eq(collector.last->outcome, OK);
    const struct snapshot *snapshot = gate_snapshot(gate);
    ck_assert_uint_eq(snapshot->pools[0].abandoned, 1);
    gate_snapshot_release(gate, snapshot);
    close_gate();
    sleep(6); /* its thread ends by itself: what it holds is given back before the leak check */
}
END_TEST

START_TEST(a_thread_that_cannot_load_is_a_failed_spawn) {
    static const struct pair args[] = {{"load_fail", "1"}};
    pools[0] = thread_pool(1);
    pools[0].worker.args = args;
    pools[0].worker.args_count = 1;
    open_gate(1);
    submit(make_request(0, "", "x", 1));
    wait_for_answers(1);
    ck_assert_int_eq(collector.last->outcome, SPAWN_FAILED);
    close_gate();
}
END_TEST

START_TEST(random_cancels_of_threads_never_lose_or_double_an_answer) {
    pools[0] = thread_pool(3);
    open_gate(1);
    unsigned seed = 11;
    for (uint32_t i = 0; i < 600; i++) {
        uint64_t id = submit(make_request(0, i % 3 == 0 ? "delay:3" : "", "x", 1));
        if (rand_r(&seed) % 2 == 0) gate_cancel(gate, 0, id, CANCEL_CLIENT_GONE);
    }
    wait_for_answers(600);
    close_gate();
    ck_assert_uint_eq(collector.by_outcome[OK] + collector.by_outcome[CANCELLED], 600);
}
END_TEST

static sem_t slept, ordered;

static void on_ordered(struct question *question) {
    (void)question;
    sem_post(&ordered);
}

/* One round of the loop that takes long, as when the machine is busy elsewhere. */
static void sleep_once(void *owner) {
    (void)owner;
    usleep(100000);
    sem_post(&slept);
}

START_TEST(one_long_round_does_not_make_the_state_old) {
    struct event_feed *feed;
    pools[0] = echo_pool("echo", 1);
    open_gate(1);
    wait_for_state(0, WORKER_READY, 1);
    sem_init(&slept, 0, 0);
    ck_assert_int_eq(gate_listen(gate, &feed, HAPPENING_BIT(SLOT), 16, sleep_once, NULL), OK);
    struct timespec until = limit(); /* a second without work: idle, which a settle finds */
    ck_assert_int_eq(sem_timedwait(&slept, &until), 0);
    usleep(20000);
    uint64_t began_ns = clock_now_ns();
    struct pool_order order = {
        .question.answered = on_ordered, .act = POOL_WISH, .wish = WISH_PAUSE};
    sem_init(&ordered, 0, 0);
    ck_assert_int_eq(gate_order(gate, &order), OK);
    enum wish seen;
    do {
        const struct snapshot *snapshot = gate_snapshot(gate);
        seen = snapshot->pools[0].wish;
        gate_snapshot_release(gate, snapshot);
        usleep(1000);
    } while (seen != WISH_PAUSE && clock_now_ns() - began_ns < LIMIT_S * CLOCK_S);
    ck_assert_uint_lt(clock_now_ns() - began_ns, 700 * CLOCK_MS);
    while (sem_wait(&ordered) != 0) continue;
    event_feed_close(feed);
    close_gate();
}
END_TEST

SUITE("core/gate", 60, a_request_comes_back_with_its_bytes,
      every_size_comes_back_unchanged_from_a_process, every_size_comes_back_unchanged_from_a_thread,
      a_thousand_requests_are_each_answered_once, five_pools_share_one_loop,
      a_killed_worker_costs_nothing_but_a_retry, a_request_that_kills_two_workers_is_quarantined,
      a_worker_that_writes_garbage_fails_and_comes_back, a_cancel_frees_a_cooperative_slot,
      a_hanging_worker_is_stopped_after_the_deadline,
      a_worker_that_is_not_ready_in_time_is_a_spawn_timeout,
      a_worker_that_cannot_load_is_a_failed_spawn, a_program_that_does_not_exist_is_a_failed_spawn,
      a_drain_answers_everything_that_was_accepted, a_drain_that_runs_out_of_time_still_answers,
      a_cold_pool_starts_its_first_worker_on_demand, random_cancels_never_lose_or_double_an_answer,
      threads_and_processes_work_side_by_side, a_cancel_frees_a_cooperative_thread,
      a_thread_that_hangs_is_abandoned_and_replaced, a_thread_that_cannot_load_is_a_failed_spawn,
      random_cancels_of_threads_never_lose_or_double_an_answer,
      one_long_round_does_not_make_the_state_old)
