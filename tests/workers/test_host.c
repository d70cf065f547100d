/* The worker host: the real program over a socket pair, this side plays the gateway; and what a plug-in
 * may do with a reply, against the host's own sources. */
/* Before libcheck, which has a macro named fail. */
#include "workers/host/answer.c"
#include "workers/host/link.c"
#include "workers/host/plugin.c"

#include "core/base/clock.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define HOST       TEST_BUILD_FOLDER "/poolgate-worker"
#define ECHO       TEST_BUILD_FOLDER "/workers/echo.so"
#define OCR        TEST_BUILD_FOLDER "/workers/ocr.so"
#define PATIENCE_S 20
#define MAX_WORDS  16
/* 32 and 33 in /proc's masks: libc keeps them to itself, and they may be inherited ignored. */
#define LIBC_SIGNALS (UINT64_C(3) << 31)

extern char **environ;

struct worker {
    pid_t pid;
    int fd;
    struct wire_reader reader;
    /* The frame that was received last. */
    ProtobufCMessage *message;
    uint8_t *payload;
    size_t payload_bytes;
    int memfd;
};

/* Starting and ending */

static void open_worker(struct worker *worker, int fd) {
    *worker = (struct worker){.fd = fd, .memfd = -1};
    wire_reader_init(&worker->reader, UINT32_MAX);
}

enum log { LOG_HERE, LOG_NOWHERE };

static pid_t spawn(char *const *words, int control, enum log log) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (log == LOG_NOWHERE) posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, control, 3);
    ck_assert_int_eq(posix_spawn(&pid, HOST, &actions, NULL, words, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* words: what follows --parent PID, NULL-terminated */
static void start(struct worker *worker, const char *const *words) {
    int pair[2];
    char parent[16];
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    const char *all[MAX_WORDS] = {HOST, "--pool", "test", "--slot", "7", "--parent", parent};
    for (size_t i = 0; words[i] != NULL; i++) all[7 + i] = words[i];
    /* Well above 3, so that the launcher has something to close. */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int control = fcntl(pair[1], F_DUPFD, 20);
    close(pair[1]);
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    open_worker(worker, pair[0]);
    worker->pid = spawn((char *const *)all, control, LOG_HERE);
    close(control);
}

static int wait_status(pid_t pid) {
    int status;
    for (int i = 0; i < PATIENCE_S * 100; i++) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return status;
        poll(NULL, 0, 10);
    }
    kill(pid, SIGKILL);
    ck_abort_msg("the worker does not end");
    return -1;
}

static void assert_exits(struct worker *worker, int expected) {
    int status = wait_status(worker->pid);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    ck_assert_int_eq(WEXITSTATUS(status), expected);
}

static void forget_frame(struct worker *worker) {
    envelope_free(worker->message);
    free(worker->payload);
    if (worker->memfd >= 0) close(worker->memfd);
    worker->message = NULL;
    worker->payload = NULL;
    worker->memfd = -1;
}

static void close_worker(struct worker *worker) {
    forget_frame(worker);
    wire_reader_free(&worker->reader);
    close(worker->fd);
}

/* Frames, written independently of the host's link */

static void send_bytes(struct worker *worker, const void *bytes, size_t count, int memfd) {
    char control[CMSG_SPACE(sizeof memfd)] = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, count};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (memfd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof memfd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &memfd, sizeof memfd);
    }
    ck_assert_int_eq(sendmsg(worker->fd, &message, MSG_NOSIGNAL), (ssize_t)count);
}

static void say_frame(struct worker *worker, enum wire_type type, const ProtobufCMessage *message,
                      const void *payload, size_t payload_bytes) {
    uint8_t *head;
    size_t head_bytes;
    ck_assert_int_eq(envelope_pack(message, type, 0, (uint32_t)payload_bytes, &head, &head_bytes),
                     OK);
    send_bytes(worker, head, head_bytes, -1);
    if (payload_bytes > 0) send_bytes(worker, payload, payload_bytes, -1);
    free(head);
}

static size_t receive_bytes(struct worker *worker, void *space, size_t bytes) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec piece = {space, bytes};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct pollfd watch = {.fd = worker->fd, .events = POLLIN};
    ck_assert_msg(poll(&watch, 1, PATIENCE_S * 1000) == 1, "the worker says nothing");
    ssize_t got = recvmsg(worker->fd, &message, MSG_CMSG_CLOEXEC);
    ck_assert_int_ge(got, 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL) memcpy(&worker->memfd, CMSG_DATA(header), sizeof worker->memfd);
    return (size_t)got;
}

/* The next frame, which must be of this type; its message, valid until the next. */
static const void *expect(struct worker *worker, enum wire_type type) {
    enum wire_step step = WIRE_WANT_BYTES;
    forget_frame(worker);
    while (step == WIRE_WANT_BYTES) {
        size_t room;
        uint8_t *space = wire_reader_space(&worker->reader, &room);
        size_t got = receive_bytes(worker, space, room);
        ck_assert_msg(got > 0, "the worker hung up, expected %s", wire_type_name(type));
        step = wire_reader_advance(&worker->reader, got);
    }
    ck_assert_msg(step == WIRE_FRAME, "%s", worker->reader.why);
    ck_assert_str_eq(wire_type_name(worker->reader.header.type), wire_type_name(type));
    ck_assert_int_eq((worker->reader.header.flags & WIRE_FLAG_MEMFD) != 0, worker->memfd >= 0);
    ck_assert_int_eq(envelope_unpack(type, worker->reader.envelope,
                                     worker->reader.header.envelope_bytes, &worker->message),
                     OK);
    worker->payload_bytes = worker->reader.header.payload_bytes;
    worker->payload = wire_reader_take_payload(&worker->reader);
    wire_reader_next(&worker->reader);
    return worker->message;
}

static void expect_end(struct worker *worker) {
    char byte;
    ck_assert_uint_eq(receive_bytes(worker, &byte, 1), 0);
}

static void expect_error(struct worker *worker, uint64_t id, Poolgate__Worker__V1__ErrorKind kind) {
    const Poolgate__Worker__V1__Error *error = expect(worker, WIRE_ERROR);
    ck_assert_uint_eq(error->id, id);
    ck_assert_int_eq(error->kind, kind);
}

static void expect_reply(struct worker *worker, uint64_t id, size_t bytes) {
    const Poolgate__Worker__V1__Reply *reply = expect(worker, WIRE_REPLY);
    ck_assert_uint_eq(reply->id, id);
    ck_assert_uint_eq(worker->payload_bytes, bytes);
}

/* What a gateway says */

static void set_up_for_batches(struct worker *worker, uint32_t protocol, uint64_t max_reply_bytes,
                               const char *arg, const char *value, uint32_t batch) {
    Poolgate__Worker__V1__Setup setup = POOLGATE__WORKER__V1__SETUP__INIT;
    Poolgate__Worker__V1__Pair pair = POOLGATE__WORKER__V1__PAIR__INIT;
    Poolgate__Worker__V1__Pair *pairs[] = {&pair};
    pair.name = (char *)(uintptr_t)arg;
    pair.value = (char *)(uintptr_t)value;
    setup.protocol = protocol;
    setup.pool = (char *)"test";
    setup.slot = 7;
    setup.n_args = arg != NULL;
    setup.args = pairs;
    setup.max_reply_bytes = max_reply_bytes;
    setup.batch = batch;
    say_frame(worker, WIRE_SETUP, &setup.base, NULL, 0);
}

static void set_up(struct worker *worker, uint32_t protocol, uint64_t max_reply_bytes,
                   const char *arg, const char *value) {
    set_up_for_batches(worker, protocol, max_reply_bytes, arg, value, 0);
}

/* A worker that has said READY with so large a batch. */
static void start_for_batches(struct worker *worker, const char *plugin, uint32_t pool_batch,
                              uint32_t worker_batch) {
    start(worker, (const char *const[]){"--plugin", plugin, NULL});
    expect(worker, WIRE_HELLO);
    set_up_for_batches(worker, WIRE_PROTOCOL, 0, NULL, NULL, pool_batch);
    expect(worker, WIRE_LOADING);
    const Poolgate__Worker__V1__Ready *ready = expect(worker, WIRE_READY);
    ck_assert_str_eq(ready->error, "");
    ck_assert_uint_eq(ready->max_batch, worker_batch);
    ck_assert(ready->checks); /* all bundled workers do */
}

static void start_echo(struct worker *worker, uint64_t max_reply_bytes) {
    start(worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(worker, WIRE_HELLO);
    set_up(worker, WIRE_PROTOCOL, max_reply_bytes, NULL, NULL);
    expect(worker, WIRE_LOADING);
    const Poolgate__Worker__V1__Ready *ready = expect(worker, WIRE_READY);
    ck_assert_str_eq(ready->error, "");
}

static Poolgate__Worker__V1__Request request_of(uint64_t id, const char *operation) {
    Poolgate__Worker__V1__Request request = POOLGATE__WORKER__V1__REQUEST__INIT;
    request.id = id;
    request.content_type = (char *)"text/x-test";
    request.operation = (char *)(uintptr_t)operation;
    return request;
}

static void ask(struct worker *worker, uint64_t id, const char *operation, const void *payload,
                size_t payload_bytes) {
    Poolgate__Worker__V1__Request request = request_of(id, operation);
    say_frame(worker, WIRE_REQUEST, &request.base, payload, payload_bytes);
}

/* One member of a batch, of which so many more follow. */
static void ask_in_batch(struct worker *worker, uint64_t id, uint32_t more, const char *operation) {
    Poolgate__Worker__V1__Request request = request_of(id, operation);
    request.batch_more = more;
    say_frame(worker, WIRE_REQUEST, &request.base, "x", 1);
}

/* The next reply, and how many were in its batch; NULL: it says nothing about one. */
static void expect_reply_of_batch(struct worker *worker, uint64_t id, const char *count) {
    const Poolgate__Worker__V1__Reply *reply = expect(worker, WIRE_REPLY);
    ck_assert_uint_eq(reply->id, id);
    ck_assert_uint_eq(reply->n_metadata, count != NULL);
    if (count == NULL) return;
    ck_assert_str_eq(reply->metadata[0]->name, "Batch");
    ck_assert_str_eq(reply->metadata[0]->value, count);
}

static void send_check(struct worker *worker) {
    Poolgate__Worker__V1__Check check = POOLGATE__WORKER__V1__CHECK__INIT;
    say_frame(worker, WIRE_CHECK, &check.base, NULL, 0);
}

static void expect_checked(struct worker *worker, const char *error) {
    const Poolgate__Worker__V1__Checked *checked = expect(worker, WIRE_CHECKED);
    ck_assert_str_eq(checked->error, error);
}

static void ask_with_memfd(struct worker *worker, uint64_t id, int memfd, uint32_t payload_bytes) {
    Poolgate__Worker__V1__Request request = request_of(id, "");
    uint8_t *head;
    size_t head_bytes;
    ck_assert_int_eq(envelope_pack(&request.base, WIRE_REQUEST, WIRE_FLAG_MEMFD, payload_bytes,
                                   &head, &head_bytes),
                     OK);
    send_bytes(worker, head, head_bytes, memfd);
    free(head);
}

static void send_ping(struct worker *worker, uint64_t id) {
    Poolgate__Worker__V1__Ping ping = POOLGATE__WORKER__V1__PING__INIT;
    ping.id = id;
    say_frame(worker, WIRE_PING, &ping.base, NULL, 0);
}

static void send_cancel(struct worker *worker, uint64_t id) {
    Poolgate__Worker__V1__Cancel cancel = POOLGATE__WORKER__V1__CANCEL__INIT;
    cancel.id = id;
    say_frame(worker, WIRE_CANCEL, &cancel.base, NULL, 0);
}

static void send_shutdown(struct worker *worker) {
    Poolgate__Worker__V1__Shutdown shutdown_now = POOLGATE__WORKER__V1__SHUTDOWN__INIT;
    say_frame(worker, WIRE_SHUTDOWN, &shutdown_now.base, NULL, 0);
}

/* Waits until the worker has begun a request, as its own PONG says. */
static void wait_until_busy(struct worker *worker) {
    for (uint64_t id = 1000;; id++) {
        send_ping(worker, id);
        const Poolgate__Worker__V1__Pong *pong = expect(worker, WIRE_PONG);
        ck_assert_uint_eq(pong->id, id);
        if (pong->busy_ns > 0) return;
    }
}

static void stop(struct worker *worker) {
    send_shutdown(worker);
    expect_end(worker);
    assert_exits(worker, 0);
    close_worker(worker);
}

static int make_memfd(size_t bytes, int seals) {
    int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    uint8_t block[4096];
    for (size_t at = 0; at < bytes; at += sizeof block) {
        size_t count = bytes - at < sizeof block ? bytes - at : sizeof block;
        memset(block, (int)(at / sizeof block % 251), sizeof block);
        ck_assert_int_eq(write(fd, block, count), (ssize_t)count);
    }
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* Life */

START_TEST(a_worker_says_hello_loads_when_told_to_and_is_ready) {
    struct worker worker;
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    const Poolgate__Worker__V1__Hello *hello = expect(&worker, WIRE_HELLO);
    ck_assert_uint_eq(hello->protocol, 1);
    ck_assert(hello->accepts_memfd);
    ck_assert_int_eq(strncmp(hello->kit, "c/", 2), 0);
    send_ping(&worker, 5); /* answered before SETUP: nothing was loaded on its own */
    expect(&worker, WIRE_PONG);
    set_up(&worker, WIRE_PROTOCOL, 0, "delay_ms", "0");
    const Poolgate__Worker__V1__Loading *loading = expect(&worker, WIRE_LOADING);
    ck_assert_str_eq(loading->note, "echo.so");
    const Poolgate__Worker__V1__Ready *ready = expect(&worker, WIRE_READY);
    ck_assert_str_eq(ready->error, "");
    ck_assert_str_eq(ready->name, "echo");
    ck_assert_uint_eq(ready->max_batch, 1);
    stop(&worker);
}
END_TEST

static void expect_load_failure(const char *plugin, uint32_t protocol, const char *arg,
                                const char *text) {
    struct worker worker;
    start(&worker, (const char *const[]){"--plugin", plugin, NULL});
    expect(&worker, WIRE_HELLO);
    set_up(&worker, protocol, 0, arg, "1");
    expect(&worker, WIRE_LOADING);
    const Poolgate__Worker__V1__Ready *ready = expect(&worker, WIRE_READY);
    ck_assert_msg(strstr(ready->error, text) != NULL, "\"%s\" lacks \"%s\"", ready->error, text);
    expect_end(&worker);
    assert_exits(&worker, 0);
    close_worker(&worker);
}

START_TEST(what_cannot_load_says_why_and_ends) {
    struct link_map *libm;
    ck_assert_int_eq(dlinfo(dlopen("libm.so.6", RTLD_LAZY), RTLD_DI_LINKMAP, &libm), 0);
    expect_load_failure("/nowhere/none.so", 1, NULL, "/nowhere/none.so");
    expect_load_failure(libm->l_name, 1, NULL, "poolgate_worker_entry");
    expect_load_failure(ECHO, 1, "load_fail", "load_fail");
    expect_load_failure(ECHO, 2, NULL, "protocol 2");
}
END_TEST

START_TEST(a_ping_is_answered_while_the_plugin_loads) {
    struct worker worker;
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(&worker, WIRE_HELLO);
    set_up(&worker, WIRE_PROTOCOL, 0, "load_ms", "1000");
    expect(&worker, WIRE_LOADING);
    send_ping(&worker, 9);
    const Poolgate__Worker__V1__Pong *pong = expect(&worker, WIRE_PONG);
    ck_assert_uint_eq(pong->id, 9);
    expect(&worker, WIRE_READY);
    stop(&worker);
}
END_TEST

START_TEST(shutdown_before_setup_and_while_loading_ends_in_order) {
    struct worker worker;
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(&worker, WIRE_HELLO);
    stop(&worker);
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(&worker, WIRE_HELLO);
    set_up(&worker, WIRE_PROTOCOL, 0, "load_ms", "300");
    expect(&worker, WIRE_LOADING);
    send_shutdown(&worker);
    expect(&worker, WIRE_READY);
    expect_end(&worker);
    assert_exits(&worker, 0);
    close_worker(&worker);
}
END_TEST

START_TEST(shutdown_finishes_what_runs_and_gives_back_what_waits) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:500", "one", 3);
    wait_until_busy(&worker);
    ask(&worker, 2, "", "two", 3);
    send_shutdown(&worker);
    ask(&worker, 3, "", "three", 5);
    expect_error(&worker, 2, KIND(CANCELLED));
    expect_error(&worker, 3, KIND(CANCELLED));
    expect_reply(&worker, 1, 3);
    expect_end(&worker);
    assert_exits(&worker, 0);
    close_worker(&worker);
}
END_TEST

START_TEST(a_gateway_that_is_gone_ends_even_a_busy_worker_at_once) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "hang", NULL, 0);
    wait_until_busy(&worker);
    close_worker(&worker);
    assert_exits(&worker, 0);
}
END_TEST

START_TEST(a_crash_of_the_plugin_is_its_signal) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "crash", NULL, 0);
    int status = wait_status(worker.pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    close_worker(&worker);
}
END_TEST

/* Requests */

START_TEST(a_reply_carries_body_type_and_metadata) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 41, "meta", "hello", 5);
    const Poolgate__Worker__V1__Reply *reply = expect(&worker, WIRE_REPLY);
    ck_assert_uint_eq(reply->id, 41);
    ck_assert_str_eq(reply->content_type, "text/x-test");
    ck_assert_uint_eq(reply->n_metadata, 1);
    ck_assert_str_eq(reply->metadata[0]->name, "echo-slot");
    ck_assert_str_eq(reply->metadata[0]->value, "7");
    ck_assert_uint_eq(worker.payload_bytes, 5);
    ck_assert_mem_eq(worker.payload, "hello", 5);
    ask(&worker, 42, "", NULL, 0);
    expect_reply(&worker, 42, 0);
    stop(&worker);
}
END_TEST

START_TEST(requests_are_answered_one_by_one_in_order) {
    struct worker worker;
    start_echo(&worker, 0);
    for (uint64_t id = 1; id <= 300; id++) ask(&worker, id, "", &id, sizeof id);
    for (uint64_t id = 1; id <= 300; id++) {
        expect_reply(&worker, id, sizeof id);
        ck_assert_mem_eq(worker.payload, &id, sizeof id);
    }
    stop(&worker);
}
END_TEST

START_TEST(errors_of_the_plugin_keep_their_kind) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "fail", NULL, 0);
    expect_error(&worker, 1, KIND(FAILED));
    ask(&worker, 2, "invalid", NULL, 0);
    expect_error(&worker, 2, KIND(INVALID_INPUT));
    ask(&worker, 3, "no-such-operation", NULL, 0);
    expect_error(&worker, 3, KIND(UNSUPPORTED));
    stop(&worker);
}
END_TEST

START_TEST(chunks_come_one_by_one_and_an_empty_reply_ends_them) {
    struct worker worker;
    start_echo(&worker, 5);
    ask(&worker, 1, "chunks:5", "abcde", 5);
    for (int i = 0; i < 5; i++) {
        const Poolgate__Worker__V1__Chunk *chunk = expect(&worker, WIRE_CHUNK);
        ck_assert_uint_eq(chunk->id, 1);
        ck_assert_str_eq(chunk->content_type, i == 0 ? "text/x-test" : "");
        ck_assert_uint_eq(worker.payload_bytes, 1);
        ck_assert_int_eq(worker.payload[0], 'a' + i);
    }
    expect_reply(&worker, 1, 0);
    ask(&worker, 2, "chunks:6", "abcdef", 6);
    for (int i = 0; i < 5; i++) expect(&worker, WIRE_CHUNK);
    expect_error(&worker, 2, KIND(FAILED)); /* the sixth byte is one above the limit */
    stop(&worker);
}
END_TEST

START_TEST(a_reply_above_the_limit_is_an_error_and_the_worker_lives) {
    struct worker worker;
    start_echo(&worker, 300000);
    ask(&worker, 1, "size:300000", NULL, 0);
    expect_reply(&worker, 1, 300000);
    ask(&worker, 2, "size:300001", NULL, 0);
    const Poolgate__Worker__V1__Error *error = expect(&worker, WIRE_ERROR);
    ck_assert_int_eq(error->kind, KIND(FAILED));
    ck_assert_str_eq(error->message, "the reply has 300001 bytes, the pool allows 300000");
    ask(&worker, 3, "size:10", NULL, 0);
    expect_reply(&worker, 3, 10);
    stop(&worker);
}
END_TEST

START_TEST(a_ping_is_answered_while_the_plugin_is_busy) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:3000", NULL, 0);
    wait_until_busy(&worker);
    ask(&worker, 2, "", NULL, 0);
    ask(&worker, 3, "", NULL, 0);
    uint64_t asked_ns = clock_now_ns();
    send_ping(&worker, 77);
    const Poolgate__Worker__V1__Pong *pong = expect(&worker, WIRE_PONG); /* before the reply */
    ck_assert_uint_lt(clock_now_ns() - asked_ns, 1000 * CLOCK_MS);
    ck_assert_uint_eq(pong->id, 77);
    ck_assert_uint_eq(pong->waiting, 2);
    ck_assert_uint_gt(pong->busy_ns, 0);
    for (uint64_t id = 1; id <= 3; id++) expect_reply(&worker, id, 0);
    send_ping(&worker, 78);
    pong = expect(&worker, WIRE_PONG);
    ck_assert_uint_eq(pong->waiting, 0);
    stop(&worker);
}
END_TEST

START_TEST(cancel_stops_a_running_request_that_listens) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "delay:3600000", NULL, 0);
    wait_until_busy(&worker);
    send_cancel(&worker, 1);
    expect_error(&worker, 1, KIND(CANCELLED));
    ask(&worker, 2, "", "next", 4); /* the mark is not inherited */
    expect_reply(&worker, 2, 4);
    stop(&worker);
}
END_TEST

START_TEST(the_answer_of_a_cancelled_request_is_not_sent) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:500", "late", 4);
    wait_until_busy(&worker);
    send_cancel(&worker, 1);
    expect_error(&worker, 1, KIND(CANCELLED));
    stop(&worker);
}
END_TEST

START_TEST(cancel_takes_a_waiting_request_out_before_it_runs) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:1000", NULL, 0);
    wait_until_busy(&worker);
    ask(&worker, 2, "crash", NULL, 0);
    ask(&worker, 3, "", NULL, 0);
    send_cancel(&worker, 2);
    send_cancel(&worker, 99); /* nobody's: nothing happens */
    expect_error(&worker, 2, KIND(CANCELLED));
    expect_reply(&worker, 1, 0);
    expect_reply(&worker, 3, 0);
    stop(&worker);
}
END_TEST

START_TEST(large_bodies_travel_as_sealed_memory_both_ways) {
    enum { BYTES = 3 * 1024 * 1024 + 17 };
    struct worker worker;
    int memfd = make_memfd(BYTES, F_SEAL_SHRINK | F_SEAL_WRITE);
    start_echo(&worker, 0);
    ask_with_memfd(&worker, 1, memfd, BYTES);
    expect_reply(&worker, 1, BYTES);
    struct body *body;
    ck_assert_int_ge(worker.memfd, 0);
    ck_assert_int_eq(body_from_memfd(&body, worker.memfd, BYTES), OK);
    worker.memfd = -1;
    const uint8_t *sent = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, memfd, 0);
    ck_assert_int_eq(memcmp(body_data(body), sent, BYTES), 0);
    body_unref(body);
    close(memfd);

    memfd = make_memfd(10, F_SEAL_SHRINK | F_SEAL_WRITE); /* a small one may be longer, too */
    ask_with_memfd(&worker, 2, memfd, 4);
    expect_reply(&worker, 2, 4);
    close(memfd);
    stop(&worker);
}
END_TEST

START_TEST(a_reply_goes_to_a_memfd_from_its_size_on) {
    struct worker worker;
    char operation[32];
    start_echo(&worker, 0);
    snprintf(operation, sizeof operation, "size:%zu", BODY_MEMFD_BYTES - 1);
    ask(&worker, 1, operation, NULL, 0);
    expect_reply(&worker, 1, BODY_MEMFD_BYTES - 1);
    ck_assert_int_lt(worker.memfd, 0);
    for (size_t i = 0; i < worker.payload_bytes; i++)
        ck_assert_int_eq(worker.payload[i], (int)(i % 251));
    snprintf(operation, sizeof operation, "size:%zu", BODY_MEMFD_BYTES);
    ask(&worker, 2, operation, NULL, 0);
    expect_reply(&worker, 2, BODY_MEMFD_BYTES);
    ck_assert_int_ge(worker.memfd, 0);
    stop(&worker);
}
END_TEST

START_TEST(full_buffers_on_both_sides_do_not_stop_the_worker_from_reading) {
    enum { REQUESTS = 60, BYTES = 200000, PINGS = 3000 };
    struct worker worker;
    uint8_t *payload = calloc(1, BYTES);
    start_echo(&worker, 0);
    for (uint64_t id = 1; id <= REQUESTS; id++) ask(&worker, id, "", payload, BYTES);
    for (uint64_t id = 1; id <= PINGS; id++) send_ping(&worker, id);
    uint64_t replies = 0, pongs = 0;
    while (replies < REQUESTS || pongs < PINGS) {
        struct pollfd watch = {.fd = worker.fd, .events = POLLIN};
        uint8_t head[WIRE_HEADER_BYTES];
        ck_assert_int_eq(poll(&watch, 1, PATIENCE_S * 1000), 1);
        ck_assert_int_eq(recv(worker.fd, head, sizeof head, MSG_PEEK | MSG_WAITALL), sizeof head);
        if (head[4] == WIRE_REPLY) {
            expect_reply(&worker, ++replies, BYTES);
        } else {
            const Poolgate__Worker__V1__Pong *pong = expect(&worker, WIRE_PONG);
            ck_assert_uint_eq(pong->id, ++pongs);
        }
    }
    free(payload);
    stop(&worker);
}
END_TEST

START_TEST(pongs_that_did_not_fit_are_sent_when_there_is_room) {
    enum { PINGS = 5000 };
    struct worker worker;
    start_echo(&worker, 0);
    for (uint64_t id = 1; id <= PINGS; id++) send_ping(&worker, id);
    poll(NULL, 0, 100); /* the worker idles now, with most of its pongs unsent */
    for (uint64_t id = 1; id <= PINGS; id++) {
        const Poolgate__Worker__V1__Pong *pong = expect(&worker, WIRE_PONG);
        ck_assert_uint_eq(pong->id, id);
    }
    stop(&worker);
}
END_TEST

/* Batches */

START_TEST(a_worker_takes_batches_as_large_as_the_pools_if_its_plugin_takes_any) {
    static const struct {
        const char *plugin;
        uint32_t pool, worker;
    } cases[] = {{ECHO, 0, 1}, {ECHO, 1, 1}, {ECHO, 8, 8}, {ECHO, UINT32_MAX, 1024}, {OCR, 8, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct worker worker;
        start_for_batches(&worker, cases[i].plugin, cases[i].pool, cases[i].worker);
        stop(&worker);
    }
}
END_TEST

START_TEST(a_batch_is_handled_at_once_and_a_lone_request_alone) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    for (uint32_t round = 0; round < 50; round++) {
        uint64_t first = 1 + round * 10;
        uint32_t count = 2 + round % 7;
        char text[16];
        snprintf(text, sizeof text, "%u", count);
        for (uint32_t i = 0; i < count; i++) ask_in_batch(&worker, first + i, count - 1 - i, "");
        ask_in_batch(&worker, first + 9, 0, "");
        for (uint32_t i = 0; i < count; i++) expect_reply_of_batch(&worker, first + i, text);
        expect_reply_of_batch(&worker, first + 9, NULL);
    }
    stop(&worker);
}
END_TEST

START_TEST(an_item_of_a_batch_fails_alone) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    ask_in_batch(&worker, 1, 3, "fail");
    ask_in_batch(&worker, 2, 2, "");
    ask_in_batch(&worker, 3, 1, "no-such-operation");
    ask_in_batch(&worker, 4, 0, "");
    expect_error(&worker, 1, KIND(FAILED));
    expect_reply_of_batch(&worker, 2, "4");
    expect_error(&worker, 3, KIND(UNSUPPORTED));
    expect_reply_of_batch(&worker, 4, "4");
    stop(&worker);
}
END_TEST

START_TEST(an_item_of_a_running_batch_is_cancelled_alone) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    ask_in_batch(&worker, 1, 2, "stubborn:500");
    ask_in_batch(&worker, 2, 1, "delay:3600000");
    ask_in_batch(&worker, 3, 0, "");
    wait_until_busy(&worker);
    send_cancel(&worker, 2);
    expect_reply_of_batch(&worker, 1, "3");
    expect_reply_of_batch(&worker, 3, "3"); /* what was cancelled is answered at the end */
    expect_error(&worker, 2, KIND(CANCELLED));
    stop(&worker);
}
END_TEST

START_TEST(an_item_of_a_waiting_batch_is_cancelled_before_it_begins) {
    for (uint64_t cancelled = 2; cancelled <= 4; cancelled++) {
        struct worker worker;
        uint32_t errors = 0, replies = 0;
        start_for_batches(&worker, ECHO, 8, 8);
        ask(&worker, 1, "stubborn:300", NULL, 0);
        wait_until_busy(&worker);
        for (uint32_t more = 3; more-- > 0;)
            ask_in_batch(&worker, 4 - more, more, 4 - more == cancelled ? "crash" : "");
        send_cancel(&worker, cancelled);
        send_ping(&worker, 9);
        expect_error(&worker, cancelled, KIND(CANCELLED)); /* at once */
        expect(&worker, WIRE_PONG);
        errors++;
        expect_reply(&worker, 1, 0);
        for (uint64_t id = 2; id <= 4; id++) {
            if (id == cancelled) continue;
            expect_reply_of_batch(&worker, id, "2");
            replies++;
        }
        ck_assert_uint_eq(errors + replies, 3);
        stop(&worker);
    }
}
END_TEST

START_TEST(a_crash_in_a_batch_is_a_crash_of_the_worker) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    ask_in_batch(&worker, 1, 2, "");
    ask_in_batch(&worker, 2, 1, "crash");
    ask_in_batch(&worker, 3, 0, "");
    expect_reply_of_batch(&worker, 1, "3");
    int status = wait_status(worker.pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    close_worker(&worker);
}
END_TEST

START_TEST(shutdown_finishes_a_running_batch_and_gives_a_waiting_one_back) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    ask_in_batch(&worker, 1, 1, "stubborn:300");
    ask_in_batch(&worker, 2, 0, "");
    wait_until_busy(&worker);
    ask_in_batch(&worker, 3, 1, "");
    ask_in_batch(&worker, 4, 0, "");
    send_shutdown(&worker);
    expect_error(&worker, 3, KIND(CANCELLED));
    expect_error(&worker, 4, KIND(CANCELLED));
    expect_reply_of_batch(&worker, 1, "2");
    expect_reply_of_batch(&worker, 2, "2");
    expect_end(&worker);
    assert_exits(&worker, 0);
    close_worker(&worker);
}
END_TEST

/* Checks */

START_TEST(a_check_runs_on_demand_and_says_what_is_wrong) {
    static const char *const fails[] = {"0", "1"};
    for (size_t i = 0; i < 2; i++) {
        struct worker worker;
        start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
        expect(&worker, WIRE_HELLO);
        set_up(&worker, WIRE_PROTOCOL, 0, "check_fail", fails[i]);
        expect(&worker, WIRE_LOADING);
        expect(&worker, WIRE_READY);
        for (int round = 0; round < 100; round++) {
            send_check(&worker);
            expect_checked(&worker, i == 0 ? "" : "check_fail: failed as asked");
        }
        ask(&worker, 1, "", NULL, 0);
        expect_reply(&worker, 1, 0);
        stop(&worker);
    }
}
END_TEST

START_TEST(a_check_waits_until_nothing_else_is_to_be_done) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:500", NULL, 0);
    wait_until_busy(&worker);
    ask(&worker, 2, "", NULL, 0);
    send_check(&worker);
    send_cancel(&worker, 0); /* a check has no id */
    expect_reply(&worker, 1, 0);
    expect_reply(&worker, 2, 0);
    expect_checked(&worker, "");
    stop(&worker);
}
END_TEST

START_TEST(a_check_that_waits_goes_with_a_shutdown) {
    struct worker worker;
    start_echo(&worker, 0);
    ask(&worker, 1, "stubborn:300", NULL, 0);
    wait_until_busy(&worker);
    send_check(&worker);
    send_shutdown(&worker);
    send_check(&worker);
    expect_reply(&worker, 1, 0);
    expect_end(&worker);
    assert_exits(&worker, 0);
    close_worker(&worker);
}
END_TEST

/* A gateway that breaks the rules */

static void a_wrong_magic(struct worker *worker) {
    send_bytes(worker, "GET / HTTP/1.1\r\n\r\n", 18, -1);
}
static void a_second_setup(struct worker *worker) {
    set_up(worker, 1, 0, NULL, NULL);
}
static void a_workers_own_frame(struct worker *worker) {
    Poolgate__Worker__V1__Reply reply = POOLGATE__WORKER__V1__REPLY__INIT;
    say_frame(worker, WIRE_REPLY, &reply.base, "x", 1);
}
static void an_envelope_of_noise(struct worker *worker) {
    const struct wire_header header = {WIRE_PING, 0, 3, 0};
    uint8_t bytes[WIRE_HEADER_BYTES + 3];
    wire_header_encode(&header, bytes);
    memset(bytes + WIRE_HEADER_BYTES, 0xff, 3);
    send_bytes(worker, bytes, sizeof bytes, -1);
}
static void an_id_that_is_in_use(struct worker *worker) {
    ask(worker, 5, "hang", NULL, 0);
    ask(worker, 5, "", NULL, 0);
}
static void an_id_of_zero(struct worker *worker) {
    ask(worker, 0, "", NULL, 0);
}
static void a_batch_where_none_is_taken(struct worker *worker) {
    ask_in_batch(worker, 1, 1, "");
}
static void the_result_of_a_check(struct worker *worker) {
    Poolgate__Worker__V1__Checked checked = POOLGATE__WORKER__V1__CHECKED__INIT;
    say_frame(worker, WIRE_CHECKED, &checked.base, NULL, 0);
}
static void two_checks_at_once(struct worker *worker) {
    ask(worker, 1, "hang", NULL, 0);
    send_check(worker);
    send_check(worker);
}
static void a_missing_memfd(struct worker *worker) {
    ask_with_memfd(worker, 1, -1, 100);
}
static void an_unsealed_memfd(struct worker *worker) {
    ask_with_memfd(worker, 1, make_memfd(100, F_SEAL_SHRINK), 100);
}
static void a_short_memfd(struct worker *worker) {
    ask_with_memfd(worker, 1, make_memfd(99, F_SEAL_SHRINK | F_SEAL_WRITE), 100);
}
static void a_descriptor_that_is_no_memfd(struct worker *worker) {
    ask_with_memfd(worker, 1, open("/dev/zero", O_RDONLY | O_CLOEXEC), 100);
}
static void a_descriptor_without_its_flag(struct worker *worker) {
    const struct wire_header header = {WIRE_PING, 0, 0, 0};
    uint8_t bytes[WIRE_HEADER_BYTES];
    wire_header_encode(&header, bytes);
    send_bytes(worker, bytes, sizeof bytes, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

START_TEST(a_gateway_that_breaks_the_protocol_ends_the_worker_with_70) {
    static void (*const sins[])(struct worker *) = {
        a_wrong_magic,
        a_second_setup,
        a_workers_own_frame,
        an_envelope_of_noise,
        an_id_of_zero,
        a_batch_where_none_is_taken,
        the_result_of_a_check,
        two_checks_at_once,
        a_missing_memfd,
        an_unsealed_memfd,
        an_id_that_is_in_use,
        a_short_memfd,
        a_descriptor_that_is_no_memfd,
        a_descriptor_without_its_flag,
    };
    for (size_t i = 0; i < sizeof sins / sizeof sins[0]; i++) {
        struct worker worker;
        start_echo(&worker, 0);
        sins[i](&worker);
        assert_exits(&worker, 70);
        close_worker(&worker);
    }
    struct worker worker;
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(&worker, WIRE_HELLO);
    ask(&worker, 1, "", NULL, 0); /* before READY */
    assert_exits(&worker, 70);
    close_worker(&worker);
    start(&worker, (const char *const[]){"--plugin", ECHO, NULL});
    expect(&worker, WIRE_HELLO);
    send_check(&worker); /* before READY */
    assert_exits(&worker, 70);
    close_worker(&worker);
}
END_TEST

START_TEST(a_check_inside_a_batch_ends_the_worker_with_70) {
    struct worker worker;
    start_for_batches(&worker, ECHO, 8, 8);
    ask_in_batch(&worker, 1, 1, "");
    send_check(&worker);
    assert_exits(&worker, 70);
    close_worker(&worker);
}
END_TEST

START_TEST(a_batch_that_does_not_count_down_to_its_last_ends_the_worker_with_70) {
    static const struct {
        uint64_t count;
        uint32_t more[3];
    } sins[] = {{1, {8}}, {2, {2, 0}}, {2, {1, 1}}, {3, {2, 1, 2}}, {2, {1, 2}}};
    for (size_t i = 0; i < sizeof sins / sizeof sins[0]; i++) {
        struct worker worker;
        start_for_batches(&worker, ECHO, 8, 8);
        for (uint64_t id = 1; id <= sins[i].count; id++)
            ask_in_batch(&worker, id, sins[i].more[id - 1], "hang");
        assert_exits(&worker, 70);
        close_worker(&worker);
    }
}
END_TEST

/* The launcher */

static int run(const char *const *words) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int status = wait_status(spawn((char *const *)words, pair[1], LOG_NOWHERE));
    close(pair[0]);
    close(pair[1]);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(...) run((const char *const[]){HOST, __VA_ARGS__, NULL})

START_TEST(wrong_arguments_are_refused) {
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "0", "--parent", "1"), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "0", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "-1", "--parent", "1", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "1x", "--parent", "1", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "P!", "--slot", "1", "--parent", "1", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--slot", "1", "--parent", "1", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "1", "--parent", "0", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "1", "--parent", "1", "--plugin", "echo"), 64);
    ck_assert_int_eq(
        RUN("--pool", "p", "--slot", "1", "--parent", "1", "--plugin", ECHO, "--", "true"), 64);
    ck_assert_int_eq(
        RUN("--pool", "p", "--slot", "1", "--parent", "1", "--cpus", "3-1", "--plugin", ECHO), 64);
    ck_assert_int_eq(
        RUN("--pool", "p", "--slot", "1", "--parent", "1", "--node", "-1", "--plugin", ECHO), 64);
    ck_assert_int_eq(RUN("--pool", "p", "--what", "1"), 64);
}
END_TEST

START_TEST(a_wrong_parent_is_refused) {
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "1", "--parent", "1", "--plugin", ECHO), 1);
    ck_assert_int_eq(RUN("--pool", "p", "--slot", "1", "--parent", "1", "--", "true"), 1);
}
END_TEST

START_TEST(a_command_that_is_not_there_is_127) {
    struct worker worker;
    start(&worker, (const char *const[]){"--", "/nowhere/command", NULL});
    assert_exits(&worker, 127);
    close_worker(&worker);
    start(&worker, (const char *const[]){"--", "/dev/null", NULL});
    assert_exits(&worker, 126);
    close_worker(&worker);
}
END_TEST

/* What a shell says on the control socket. */
static void ask_shell(const char *script, char *out, size_t out_bytes) {
    struct worker worker;
    size_t have = 0, got;
    start(&worker, (const char *const[]){"--", "/bin/sh", "-c", script, NULL});
    while ((got = receive_bytes(&worker, out + have, out_bytes - 1 - have)) > 0) have += got;
    out[have] = '\0';
    assert_exits(&worker, 0);
    close_worker(&worker);
}

START_TEST(a_command_runs_confined) {
    char said[1024];
    sigset_t blocked;
    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    ask_shell("for fd in $(seq 0 99); do [ -e /proc/$$/fd/$fd ] && all=$all:$fd; done; "
              "echo $all >&3; umask >&3; ulimit -c >&3; ulimit -Hc >&3",
              said, sizeof said);
    ck_assert_str_eq(said, ":0:1:2:3\n0077\n0\n0\n");
    ask_shell("grep -e SigBlk -e NoNew /proc/self/status | tr -d '\\t' >&3", said, sizeof said);
    ck_assert_str_eq(said, "SigBlk:0000000000000000\nNoNewPrivs:1\n");
    ask_shell("sed -n 's/SigIgn:.//p' /proc/self/status >&3", said, sizeof said);
    ck_assert_uint_eq(strtoull(said, NULL, 16) & ~LIBC_SIGNALS, 0);
    ask_shell("set -- $(cat /proc/$$/stat); echo $(($1 - $5)) >&3", said, sizeof said);
    ck_assert_str_eq(said, "0\n"); /* its process group is its own */
    ask_shell("cat /proc/self/oom_score_adj >&3", said, sizeof said);
    ck_assert_str_eq(said, "500\n");
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}
END_TEST

START_TEST(a_worker_dies_with_its_parent) {
    int pair[2], ids[2];
    pid_t worker;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(pipe2(ids, O_CLOEXEC), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* the orphan's end is then ours to see */
    pid_t parent = fork();
    if (parent == 0) {
        char number[16], byte;
        snprintf(number, sizeof number, "%d", (int)getpid());
        const char *words[] = {HOST,
                               "--pool",
                               "p",
                               "--slot",
                               "1",
                               "--parent",
                               number,
                               "--",
                               "/bin/sh",
                               "-c",
                               "echo x >&3; exec sleep 600",
                               NULL};
        worker = spawn((char *const *)words, pair[1], LOG_NOWHERE);
        if (write(ids[1], &worker, sizeof worker) != sizeof worker) _exit(1);
        _exit(read(pair[0], &byte, 1) == 1 ? 0 : 1); /* the socket stays open in the test */
    }
    ck_assert_int_eq(read(ids[0], &worker, sizeof worker), sizeof worker);
    ck_assert_int_eq(wait_status(parent), 0);
    int status = wait_status(worker);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
}
END_TEST

START_TEST(a_command_runs_on_its_processors) {
    static const char script[] = "sed -n 's/Cpus_allowed_list:.//p' /proc/self/status >&3";
    struct worker worker;
    char here[16], said[64];
    size_t have = 0, got;
    snprintf(here, sizeof here, "%d", sched_getcpu());
    start(&worker, (const char *const[]){"--cpus", here, "--node", "0", "--", "/bin/sh", "-c",
                                         script, NULL});
    while ((got = receive_bytes(&worker, said + have, sizeof said - 1 - have)) > 0) have += got;
    said[have] = '\0';
    said[strcspn(said, "\n")] = '\0';
    ck_assert_str_eq(said, here);
    assert_exits(&worker, 0);
    close_worker(&worker);
}
END_TEST

START_TEST(a_command_whose_processors_are_not_there_does_not_run) {
    struct worker worker;
    start(&worker, (const char *const[]){"--cpus", "4095", "--", "true", NULL});
    assert_exits(&worker, 1);
    close_worker(&worker);
}
END_TEST

/* What a plug-in may do with a reply */

struct desk {
    struct link link;
    struct call call;
    struct answer answer;
    struct worker gateway;
    struct poolgate_reply *reply;
};

static void open_desk(struct desk *desk, uint64_t max_reply_bytes) {
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *desk = (struct desk){.call.id = 3};
    link_open(&desk->link, pair[0]);
    open_worker(&desk->gateway, pair[1]);
    answer_begin(&desk->answer, &desk->link, &desk->call, max_reply_bytes);
    desk->reply = &desk->answer.reply;
}

static void close_desk(struct desk *desk) {
    close(desk->link.fd);
    link_release(&desk->link);
    expect_end(&desk->gateway); /* nothing but what the test has read */
    close_worker(&desk->gateway);
}

START_TEST(a_half_sent_frame_is_finished_before_the_next_begins) {
    struct desk desk;
    Poolgate__Worker__V1__Pong pong = POOLGATE__WORKER__V1__PONG__INIT;
    pong.id = 8;
    open_desk(&desk, 100);
    desk.link.sending = true; /* as if the compute thread were inside a frame */
    ck_assert_int_eq(link_post(&desk.link, WIRE_PONG, &pong.base), OK);
    desk.link.sending = false;
    ck_assert_int_eq(send(desk.link.fd, desk.link.outbox.bytes, 5, 0), 5);
    desk.link.outbox.sent = 5; /* as if the socket had taken no more */
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "a", 1), 0);
    ck_assert(answer_finish(&desk.answer));
    const Poolgate__Worker__V1__Pong *back = expect(&desk.gateway, WIRE_PONG);
    ck_assert_uint_eq(back->id, 8);
    expect_reply(&desk.gateway, 3, 1);
    close_desk(&desk);
}
END_TEST

START_TEST(only_the_first_answer_counts) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "a", 1), 0);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "b", 1), -1);
    ck_assert_int_eq(poolgate_reply_chunk(desk.reply, NULL, "c", 1), -1);
    ck_assert_int_eq(poolgate_reply_fail(desk.reply, POOLGATE_FAILED, "d"), -1);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "e", "f"), -1);
    ck_assert(answer_finish(&desk.answer));
    expect_reply(&desk.gateway, 3, 1);
    close_desk(&desk);
}
END_TEST

START_TEST(no_answer_is_an_error_of_the_worker) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert(answer_finish(&desk.answer));
    const Poolgate__Worker__V1__Error *error = expect(&desk.gateway, WIRE_ERROR);
    ck_assert_int_eq(error->kind, KIND(FAILED));
    ck_assert_str_eq(error->message, "the worker returned without an answer");
    close_desk(&desk);
}
END_TEST

START_TEST(a_stream_may_end_in_an_error_but_not_in_a_second_body) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "a", "b"), 0);
    ck_assert_int_eq(poolgate_reply_chunk(desk.reply, "text/plain", "a", 1), 0);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "c", "d"), -1);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "b", 1), -1);
    ck_assert_int_eq(poolgate_reply_fail(desk.reply, POOLGATE_FAILED, "broke"), 0);
    ck_assert_int_eq(poolgate_reply_chunk(desk.reply, NULL, "c", 1), -1);
    ck_assert(answer_finish(&desk.answer));
    const Poolgate__Worker__V1__Chunk *chunk = expect(&desk.gateway, WIRE_CHUNK);
    ck_assert_uint_eq(chunk->n_metadata, 1);
    expect_error(&desk.gateway, 3, KIND(FAILED));
    close_desk(&desk);
}
END_TEST

START_TEST(metadata_that_is_not_valid_is_left_out) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "bad name", "x"), -1);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "name", "bad\r\nvalue"), -1);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, NULL, NULL), -1);
    for (int i = 0; i < ENVELOPE_METADATA_PAIRS; i++)
        ck_assert_int_eq(poolgate_reply_meta(desk.reply, "name", "value"), 0);
    ck_assert_int_eq(poolgate_reply_meta(desk.reply, "name", "value"), -1);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, NULL, 0), 0);
    ck_assert(answer_finish(&desk.answer));
    const Poolgate__Worker__V1__Reply *reply = expect(&desk.gateway, WIRE_REPLY);
    ck_assert_uint_eq(reply->n_metadata, ENVELOPE_METADATA_PAIRS);
    close_desk(&desk);
}
END_TEST

START_TEST(the_largest_metadata_fits_an_envelope) {
    struct desk desk;
    char name[ENVELOPE_NAME_BYTES + 1] = "", value[ENVELOPE_VALUE_BYTES + 1] = "";
    memset(name, 'n', ENVELOPE_NAME_BYTES);
    memset(value, 'v', ENVELOPE_VALUE_BYTES);
    open_desk(&desk, 100);
    for (int i = 0; i < ENVELOPE_METADATA_PAIRS; i++)
        ck_assert_int_eq(poolgate_reply_meta(desk.reply, name, value), 0);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, value, "x", 1), 0);
    ck_assert(answer_finish(&desk.answer));
    expect_reply(&desk.gateway, 3, 1);
    close_desk(&desk);
}
END_TEST

static void count_release(void *data, void *owner) {
    (void)data;
    ++*(int *)owner;
}

START_TEST(a_taken_body_is_released_once_whatever_happens) {
    struct desk desk;
    int released = 0;
    open_desk(&desk, 3);
    ck_assert_int_eq(
        poolgate_reply_take(desk.reply, NULL, (void *)"abcd", 4, count_release, &released), -1);
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(
        poolgate_reply_take(desk.reply, NULL, (void *)"abc", 3, count_release, &released), -1);
    ck_assert_int_eq(released, 2);
    ck_assert(answer_finish(&desk.answer));
    expect_error(&desk.gateway, 3, KIND(FAILED)); /* too large, then too late */
    answer_begin(&desk.answer, &desk.link, &desk.call, 3);
    ck_assert_int_eq(
        poolgate_reply_take(desk.reply, NULL, (void *)"abc", 3, count_release, &released), 0);
    ck_assert_int_eq(released, 3);
    expect_reply(&desk.gateway, 3, 3);
    close_desk(&desk);
}
END_TEST

START_TEST(an_error_message_is_cut_and_cleaned) {
    struct desk desk;
    char text[ENVELOPE_TEXT_BYTES + 100] = "\xff";
    memset(text + 1, 'a', sizeof text - 2);
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_reply_fail(desk.reply, (enum poolgate_error)99, text), 0);
    ck_assert(answer_finish(&desk.answer));
    const Poolgate__Worker__V1__Error *error = expect(&desk.gateway, WIRE_ERROR);
    ck_assert_int_eq(error->kind, KIND(FAILED));
    ck_assert_uint_eq(strlen(error->message), ENVELOPE_TEXT_BYTES);
    ck_assert_int_eq(error->message[0], '?');
    close_desk(&desk);
}
END_TEST

START_TEST(a_content_type_that_would_split_a_header_is_an_error) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, "a/b\r\nX: y", "a", 1), -1);
    ck_assert(answer_finish(&desk.answer));
    expect_error(&desk.gateway, 3, KIND(FAILED));
    close_desk(&desk);
}
END_TEST

START_TEST(a_cancelled_call_takes_no_answer) {
    struct desk desk;
    open_desk(&desk, 100);
    ck_assert_int_eq(poolgate_cancelled(desk.reply), 0);
    atomic_store(&desk.call.cancelled, true);
    ck_assert_int_eq(poolgate_cancelled(desk.reply), 1);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "a", 1), -1);
    ck_assert_int_eq(poolgate_reply_chunk(desk.reply, NULL, "a", 1), -1);
    ck_assert_int_eq(poolgate_reply_fail(desk.reply, POOLGATE_FAILED, "a"), -1);
    ck_assert(answer_finish(&desk.answer));
    expect_error(&desk.gateway, 3, KIND(CANCELLED));
    close_desk(&desk);
}
END_TEST

START_TEST(an_answer_that_cannot_be_sent_is_noticed) {
    struct desk desk;
    open_desk(&desk, 100);
    close(desk.gateway.fd);
    ck_assert_int_eq(poolgate_reply_send(desk.reply, NULL, "a", 1), -1);
    ck_assert(!answer_finish(&desk.answer));
    close((desk.link).fd);
    link_release(&desk.link);
}
END_TEST

static void handle_nothing(void *state, const struct poolgate_request *request,
                           struct poolgate_reply *reply) {
    (void)state, (void)request, (void)reply;
}

START_TEST(a_plugin_of_another_abi_is_refused) {
    char error[POOLGATE_ERROR_BYTES];
    struct poolgate_worker copy, table = {.abi = POOLGATE_WORKER_ABI + 1,
                                          .struct_bytes = sizeof table,
                                          .handle = handle_nothing,
                                          .unload = free};
    ck_assert(!plugin_adopt(&copy, &table, error));
    ck_assert_str_eq(error, "the plug-in has ABI 2, this host knows 1");
    ck_assert_ptr_null(copy.handle);
    table.abi = POOLGATE_WORKER_ABI;
    ck_assert(plugin_adopt(&copy, &table, error));
    ck_assert(copy.unload == free);
    table.struct_bytes = offsetof(struct poolgate_worker, handle_batch);
    ck_assert(plugin_adopt(&copy, &table, error));
    ck_assert(copy.handle == handle_nothing && copy.unload == NULL);
    table.struct_bytes--;
    ck_assert(!plugin_adopt(&copy, &table, error));
    table.struct_bytes = sizeof table;
    table.handle = NULL;
    ck_assert(!plugin_adopt(&copy, &table, error));
    ck_assert(!plugin_adopt(&copy, NULL, error));
}
END_TEST

SUITE("workers/host", 60, a_worker_says_hello_loads_when_told_to_and_is_ready,
      what_cannot_load_says_why_and_ends, a_ping_is_answered_while_the_plugin_loads,
      shutdown_before_setup_and_while_loading_ends_in_order,
      shutdown_finishes_what_runs_and_gives_back_what_waits,
      a_gateway_that_is_gone_ends_even_a_busy_worker_at_once, a_crash_of_the_plugin_is_its_signal,
      a_reply_carries_body_type_and_metadata, requests_are_answered_one_by_one_in_order,
      errors_of_the_plugin_keep_their_kind, chunks_come_one_by_one_and_an_empty_reply_ends_them,
      a_reply_above_the_limit_is_an_error_and_the_worker_lives,
      a_ping_is_answered_while_the_plugin_is_busy, cancel_stops_a_running_request_that_listens,
      the_answer_of_a_cancelled_request_is_not_sent,
      cancel_takes_a_waiting_request_out_before_it_runs,
      large_bodies_travel_as_sealed_memory_both_ways, a_reply_goes_to_a_memfd_from_its_size_on,
      full_buffers_on_both_sides_do_not_stop_the_worker_from_reading,
      pongs_that_did_not_fit_are_sent_when_there_is_room,
      a_worker_takes_batches_as_large_as_the_pools_if_its_plugin_takes_any,
      a_batch_is_handled_at_once_and_a_lone_request_alone, an_item_of_a_batch_fails_alone,
      an_item_of_a_running_batch_is_cancelled_alone,
      an_item_of_a_waiting_batch_is_cancelled_before_it_begins,
      a_crash_in_a_batch_is_a_crash_of_the_worker,
      shutdown_finishes_a_running_batch_and_gives_a_waiting_one_back,
      a_check_runs_on_demand_and_says_what_is_wrong, a_check_waits_until_nothing_else_is_to_be_done,
      a_check_that_waits_goes_with_a_shutdown,
      a_gateway_that_breaks_the_protocol_ends_the_worker_with_70,
      a_check_inside_a_batch_ends_the_worker_with_70,
      a_batch_that_does_not_count_down_to_its_last_ends_the_worker_with_70,
      wrong_arguments_are_refused, a_wrong_parent_is_refused, a_command_that_is_not_there_is_127,
      a_command_runs_confined, a_command_runs_on_its_processors,
      a_command_whose_processors_are_not_there_does_not_run, a_worker_dies_with_its_parent,
      only_the_first_answer_counts, a_half_sent_frame_is_finished_before_the_next_begins,
      no_answer_is_an_error_of_the_worker, a_stream_may_end_in_an_error_but_not_in_a_second_body,
      metadata_that_is_not_valid_is_left_out, the_largest_metadata_fits_an_envelope,
      a_taken_body_is_released_once_whatever_happens, an_error_message_is_cut_and_cleaned,
      a_content_type_that_would_split_a_header_is_an_error, a_cancelled_call_takes_no_answer,
      an_answer_that_cannot_be_sent_is_noticed, a_plugin_of_another_abi_is_refused)
