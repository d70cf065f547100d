/* The worker host on a thread, behind the gateway's own transport: batches, checks and pings over the real
 * rings and the real socket. */
#include "core/base/clock.h"
#include "core/transport/thread.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"
#include "workers/host/thread_host.h"

#include <poll.h>
#include <string.h>

#define BATCH_MAX  8
#define REQUESTS   4096
#define PATIENCE_S 20

static const struct pair check_fail = {"check_fail", "1"};

/* What came back for each id. */
struct result {
    uint32_t answers;
    bool replied;
    enum transport_error error;
    uint32_t batch; /* of its metadata; 0: none */
    size_t bytes;
};

static struct pool_options pool;
static uv_loop_t loop;
static struct switchboard *switchboard;
static struct transport *transport;
static struct result results[REQUESTS];
static uint32_t answers, checked, pongs;
static struct transport_event ready, pong;
static char check_text[128], why[160];
static bool is_ready, broken, exited;

static void note_reply(struct result *result, const struct reply *reply) {
    result->replied = true;
    result->bytes = reply->body->bytes;
    for (size_t i = 0; i < reply->metadata_count; i++)
        if (strcmp(reply->metadata[i].name, "Batch") == 0)
            result->batch = (uint32_t)strtoul(reply->metadata[i].value, NULL, 10);
}

static void on_event(void *owner, const struct transport_event *event) {
    (void)owner;
    switch (event->kind) {
    case TRANSPORT_READY:
        ck_assert_str_eq(event->text, "");
        is_ready = true;
        ready = *event;
        break;
    case TRANSPORT_REPLY:
    case TRANSPORT_ERROR: {
        require(event->id > 0 && event->id < REQUESTS);
        struct result *result = &results[event->id];
        require(result->answers++ == 0);
        if (event->reply != NULL) note_reply(result, event->reply);
        result->error = event->error;
        answers++;
        break;
    }
    case TRANSPORT_CHECKED:
        snprintf(check_text, sizeof check_text, "%s", event->text);
        checked++;
        break;
    case TRANSPORT_PONG:
        pong = *event;
        pongs++;
        break;
    case TRANSPORT_BROKEN:
        broken = true;
        snprintf(why, sizeof why, "%s", event->text);
        break;
    case TRANSPORT_EXITED: exited = true; break;
    case TRANSPORT_STARTED:
    case TRANSPORT_LOADING:
    case TRANSPORT_MEASURED: break;
    }
}

static void wait_for(const uint32_t *count, uint32_t wanted) {
    uint64_t until = clock_now_ns() + PATIENCE_S * 1000 * CLOCK_MS;
    while (*count < wanted && !broken && !exited && clock_now_ns() < until)
        if (uv_run(&loop, UV_RUN_NOWAIT) >= 0 && *count < wanted) poll(NULL, 0, 1);
    ck_assert_msg(*count == wanted, "%u came, not %u; broken: %s", *count, wanted, why);
}

static void wait_until(const bool *what) {
    uint64_t until = clock_now_ns() + PATIENCE_S * 1000 * CLOCK_MS;
    while (!*what && clock_now_ns() < until)
        if (uv_run(&loop, UV_RUN_NOWAIT) >= 0 && !*what) poll(NULL, 0, 1);
    ck_assert(*what);
}

static void open_worker(const char *plugin, const struct pair *arg) {
    pool =
        (struct pool_options){.name = "test",
                              .worker = {.plugin = plugin, .args = arg, .args_count = arg != NULL},
                              .isolation = ISOLATION_THREAD,
                              .slots_max = 1,
                              .inflight = 1,
                              .staged = 32,
                              .queue = {.batch_max = BATCH_MAX},
                              .max_reply_bytes = 1 << 20};
    memset(results, 0, sizeof results);
    answers = checked = pongs = 0;
    is_ready = broken = exited = false;
    why[0] = '\0';
    uv_loop_init(&loop);
    ck_assert_int_eq(switchboard_open(&switchboard, &loop), OK);
    struct thread_options options = {.loop = &loop,
                                     .switchboard = switchboard,
                                     .pool = &pool,
                                     .plugin_folder = TEST_BUILD_FOLDER "/workers",
                                     .run = thread_host_run,
                                     .fn = on_event};
    ck_assert_int_eq(thread_open(&transport, &options), OK);
    ck_assert_int_eq(transport->calls->start(transport), OK);
    wait_until(&is_ready);
}

static void close_worker(void) {
    ck_assert(!broken);
    transport->calls->shutdown(transport);
    wait_until(&exited);
    transport->calls->close(transport);
    switchboard_close(switchboard);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) poll(NULL, 0, 1);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static struct request *make_request(uint64_t id, const char *operation, size_t bytes) {
    struct request *request;
    char *body = calloc(1, bytes + 1);
    memset(body, 'a', bytes);
    ck_assert_int_eq(request_create(&request, &(struct request_texts){.request_id = "r",
                                                                      .content_type = "text/plain",
                                                                      .operation = operation}),
                     OK);
    request->id = id;
    request->run_deadline_ns = CLOCK_NEVER;
    ck_assert_int_eq(body_from_heap(&request->body, (uint8_t *)body, bytes), OK);
    return request;
}

/* Sends the operations as one batch whose first id this is. */
static void send_batch(uint64_t id, const char *const *operations, size_t count, size_t bytes) {
    struct request *requests[BATCH_MAX] = {0};
    for (size_t i = 0; i < count; i++) requests[i] = make_request(id + i, operations[i], bytes);
    ck_assert_int_eq(transport->calls->send(transport, requests, count, 0), OK);
    for (size_t i = 0; i < count; i++) request_free(requests[i]);
}

static const char *const plain[BATCH_MAX] = {"", "", "", "", "", "", "", ""};

START_TEST(a_worker_takes_the_pools_batches_and_checks_itself) {
    open_worker("echo", NULL);
    ck_assert_uint_eq(ready.max_batch, BATCH_MAX);
    ck_assert(ready.checks);
    transport->calls->check(transport);
    wait_for(&checked, 1);
    ck_assert_str_eq(check_text, "");
    close_worker();
    open_worker("echo", &check_fail);
    transport->calls->check(transport);
    wait_for(&checked, 1);
    ck_assert_str_eq(check_text, "check_fail: failed as asked");
    send_batch(1, plain, 3, 5);
    wait_for(&answers, 3);
    close_worker();
}
END_TEST

START_TEST(batches_of_any_size_come_to_the_plugin_whole) {
    static const char *const plugins[] = {"echo", "embed"};
    for (size_t p = 0; p < 2; p++) {
        struct chance chance = chance_open();
        open_worker(plugins[p], NULL);
        for (uint64_t id = 1; id + BATCH_MAX < REQUESTS;) {
            uint32_t count = 1 + chance_below(&chance, BATCH_MAX), before = answers;
            send_batch(id, plain, count, 1 + chance_below(&chance, 2000));
            wait_for(&answers, before + count);
            for (uint64_t i = id; i < id + count; i++) {
                require(results[i].replied);
                require(results[i].batch == (count > 1 ? count : 0));
            }
            id += count;
        }
        close_worker();
    }
}
END_TEST

START_TEST(an_item_too_large_for_the_rings_takes_its_batch_over_the_socket) {
    open_worker("echo", NULL);
    send_batch(1, plain, 4, 400000);
    wait_for(&answers, 4);
    for (uint64_t id = 1; id <= 4; id++) {
        ck_assert_uint_eq(results[id].batch, 4);
        ck_assert_uint_eq(results[id].bytes, 400000);
    }
    close_worker();
}
END_TEST

START_TEST(an_item_that_fails_fails_alone) {
    static const char *const operations[] = {"fail", "", "invalid", "dance", "chunks:3"};
    open_worker("echo", NULL);
    send_batch(1, operations, 5, 10);
    wait_for(&answers, 5);
    ck_assert_int_eq(results[1].error, WORKER_SAID_FAILED);
    ck_assert_uint_eq(results[2].batch, 5);
    ck_assert_int_eq(results[3].error, WORKER_SAID_INVALID);
    ck_assert_int_eq(results[4].error, WORKER_SAID_UNSUPPORTED);
    ck_assert(results[5].replied);
    ck_assert_uint_eq(results[5].bytes, 10);
    close_worker();
}
END_TEST

START_TEST(an_item_is_cancelled_alone_and_pings_are_answered_meanwhile) {
    static const char *const operations[] = {"stubborn:300", "delay:3600000", ""};
    open_worker("echo", NULL);
    send_batch(1, operations, 3, 10);
    do {
        transport->calls->ping(transport, 7);
        wait_for(&pongs, pongs + 1);
    } while (pong.busy_ns == 0);
    ck_assert_uint_eq(pong.id, 7);
    transport->calls->cancel(transport, 2);
    wait_for(&answers, 3);
    ck_assert_uint_eq(results[1].batch, 3);
    ck_assert(!results[2].replied);
    ck_assert_int_eq(results[2].error, WORKER_SAID_CANCELLED);
    ck_assert_uint_eq(results[3].batch, 3);
    close_worker();
}
END_TEST

SUITE("workers/host/thread_host", 60, a_worker_takes_the_pools_batches_and_checks_itself,
      batches_of_any_size_come_to_the_plugin_whole,
      an_item_too_large_for_the_rings_takes_its_batch_over_the_socket,
      an_item_that_fails_fails_alone, an_item_is_cancelled_alone_and_pings_are_answered_meanwhile)
