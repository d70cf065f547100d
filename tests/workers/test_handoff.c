/* The hand-off through a real worker process: what it had not begun can be taken back, also after its
 * death, and payloads of every size come back as they went. */
#include "core/base/clock.h"
#include "core/transport/process.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <signal.h>
#include <string.h>

#define PATIENCE_S 20
#define MOST       64

static const struct pool_options pool = {.name = "test",
                                         .worker = {.plugin = "echo"},
                                         .inflight = 1,
                                         .staged = 8,
                                         .slots_min = 1,
                                         .slots_max = 1,
                                         .max_reply_bytes = 16 << 20,
                                         .queue = {.batch_max = 1}};

static uv_loop_t loop;
static struct switchboard *switchboard;
static struct spawner *spawner;
static struct transport *transport;
static uv_timer_t tick;
static bool ready, exited;
static struct reply replies[MOST];
static uint32_t answers, errors;
static uint64_t order[MOST];
static bool revoked_at_the_end[MOST];

static void on_event(void *owner, const struct transport_event *event) {
    (void)owner;
    switch (event->kind) {
    case TRANSPORT_READY: ready = *event->text == '\0'; break;
    case TRANSPORT_REPLY:
        order[answers++] = event->id;
        replies[event->id] = *event->reply;
        *event->reply = (struct reply){0};
        break;
    case TRANSPORT_ERROR: errors++; break;
    case TRANSPORT_BROKEN: ck_abort_msg("broken: %s", event->text); break;
    case TRANSPORT_EXITED:
        for (uint64_t id = 1; id < MOST; id++)
            revoked_at_the_end[id] = transport->calls->revoke(transport, id);
        exited = true;
        break;
    default: break;
    }
}

static void on_tick(uv_timer_t *timer) {
    (void)timer;
}

static void run_until(const bool *flag, const uint32_t *count, uint32_t wanted) {
    uint64_t late_ns = clock_now_ns() + PATIENCE_S * CLOCK_S;
    while (flag != NULL ? !*flag : *count < wanted) {
        ck_assert_msg(clock_now_ns() < late_ns, "nothing comes");
        uv_run(&loop, UV_RUN_ONCE);
    }
}

/* A few ticks, so that the worker has taken the first of what was sent. */
static void let_it_begin(void) {
    uint64_t until_ns = clock_now_ns() + 500 * CLOCK_MS;
    while (clock_now_ns() < until_ns) uv_run(&loop, UV_RUN_ONCE);
}

static void open_worker(void) {
    uv_loop_init(&loop);
    ck_assert_int_eq(switchboard_open(&switchboard, &loop), OK);
    ck_assert_int_eq(spawner_open(&spawner, &loop), OK);
    uv_timer_init(&loop, &tick);
    uv_timer_start(&tick, on_tick, 100, 100);
    struct process_options options = {.loop = &loop,
                                      .spawner = spawner,
                                      .switchboard = switchboard,
                                      .pool = &pool,
                                      .worker_program = TEST_BUILD_FOLDER "/poolgate-worker",
                                      .plugin_folder = TEST_BUILD_FOLDER "/workers",
                                      .fn = on_event};
    ck_assert_int_eq(process_open(&transport, &options), OK);
    ck_assert_int_eq(transport->calls->start(transport), OK);
    ck_assert_uint_eq(transport->stages, 0);
    run_until(&ready, NULL, 0);
    ck_assert_uint_eq(transport->stages, 8);
}

static void close_worker(void) {
    if (!exited) transport->calls->signal(transport, SIGKILL);
    run_until(&exited, NULL, 0);
    ck_assert_uint_eq(transport->stages, 0);
    transport->calls->close(transport);
    switchboard_close(switchboard);
    spawner_close(spawner);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    for (size_t i = 0; i < MOST; i++) reply_free(&replies[i]);
}

static enum outcome send_with(uint64_t id, const char *operation, struct body *body) {
    struct request request = {.id = id,
                              .request_id = "r",
                              .content_type = "text/plain",
                              .operation = operation,
                              .traceparent = "",
                              .run_deadline_ns = CLOCK_NEVER,
                              .body = body};
    struct request *one = &request;
    return transport->calls->send(transport, &one, 1, clock_now_ns());
}

static uint8_t byte_of(uint64_t id, size_t at) {
    return (uint8_t)(id * 31 + at * 7 + at / 251);
}

static enum outcome send_bytes(uint64_t id, size_t bytes) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, bytes), OK);
    uint8_t *block = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) block[i] = byte_of(id, i);
    ck_assert_int_eq(body_append(body, block, bytes), OK);
    ck_assert_int_eq(body_seal(body), OK);
    free(block);
    enum outcome outcome = send_with(id, "", body);
    body_unref(body);
    return outcome;
}

static void reply_is(uint64_t id, size_t bytes) {
    struct body *body = replies[id].body;
    ck_assert_ptr_nonnull(body);
    ck_assert_uint_eq(body->bytes, bytes);
    const uint8_t *data = body_data(body);
    for (size_t i = 0; i < bytes; i++) require(data[i] == byte_of(id, i));
}

START_TEST(payloads_of_every_size_come_back_as_they_went_in_order) {
    open_worker();
    static const size_t sizes[] = {0,     1,     15,    16,    17,    63,     64, 1000,   65535,
                                   65536, 60000, 50000, 65534, 65537, 300000, 5,  1000000};
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (send_bytes(i + 1, sizes[i]) == QUEUE_FULL) run_until(NULL, &answers, answers + 1);
    }
    run_until(NULL, &answers, sizeof sizes / sizeof sizes[0]);
    ck_assert_uint_eq(errors, 0);
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) reply_is(i + 1, sizes[i]);
    close_worker();
}
END_TEST

START_TEST(what_a_busy_worker_has_not_begun_is_taken_back_and_the_rest_runs_in_order) {
    open_worker();
    ck_assert_int_eq(send_with(1, "delay:1500", NULL), OK);
    for (uint64_t id = 2; id <= 6; id++) ck_assert_int_eq(send_bytes(id, 100), OK);
    let_it_begin();
    ck_assert(!transport->calls->revoke(transport, 1));
    ck_assert(transport->calls->revoke(transport, 3));
    ck_assert(transport->calls->revoke(transport, 6));
    ck_assert_int_eq(send_bytes(7, 10), OK);
    run_until(NULL, &answers, 5);
    static const uint64_t expected[] = {1, 2, 4, 5, 7};
    for (size_t i = 0; i < 5; i++) ck_assert_uint_eq(order[i], expected[i]);
    close_worker();
    ck_assert_uint_eq(answers, 5);
}
END_TEST

START_TEST(after_its_death_what_it_had_not_begun_is_known) {
    open_worker();
    ck_assert_int_eq(send_with(1, "hang", NULL), OK);
    for (uint64_t id = 2; id <= 4; id++) ck_assert_int_eq(send_bytes(id, 100), OK);
    let_it_begin();
    transport->calls->signal(transport, SIGKILL);
    run_until(&exited, NULL, 0);
    ck_assert(!revoked_at_the_end[1]);
    for (uint64_t id = 2; id <= 4; id++) ck_assert(revoked_at_the_end[id]);
    ck_assert(!revoked_at_the_end[5]);
    ck_assert(!transport->calls->revoke(transport, 2));
    close_worker();
}
END_TEST

START_TEST(a_cancel_reaches_a_request_of_the_ring_that_runs) {
    open_worker();
    ck_assert_int_eq(send_with(1, "delay:60000", NULL), OK);
    let_it_begin();
    transport->calls->cancel(transport, 1);
    run_until(NULL, &errors, 1);
    close_worker();
}
END_TEST

SUITE("workers/handoff", 60, payloads_of_every_size_come_back_as_they_went_in_order,
      what_a_busy_worker_has_not_begun_is_taken_back_and_the_rest_runs_in_order,
      after_its_death_what_it_had_not_begun_is_known,
      a_cancel_reaches_a_request_of_the_ring_that_runs)
