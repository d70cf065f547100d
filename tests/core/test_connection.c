/* A connection against a worker that misbehaves over its rings and its socket: the rules of
 * talk_frame, and that only its own slot pays. */
#include "core/transport/connection.h"
#include "core/transport/envelope.h"
#include "protos/worker.pb-c.h"
#include "tests/support/suite.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* One slot's two ends, and what the gateway's end reported. */
struct bench {
    uv_loop_t *loop;
    struct talk talk;
    struct connection *connection;
    struct ring_pair *rings;
    struct ring_writer replies; /* the worker's */
    int worker_socket, bell;
    uint32_t broken, ready, answers;
    bool over;
    char why[160];
};

static const struct pool_options pool = {
    .name = "test", .inflight = 2, .max_reply_bytes = 1 << 20, .slots_max = 1};

static void on_event(void *owner, const struct transport_event *event) {
    struct bench *bench = owner;
    if (event->kind == TRANSPORT_BROKEN) {
        bench->broken++;
        snprintf(bench->why, sizeof bench->why, "%s", event->text);
    }
    if (event->kind == TRANSPORT_READY) bench->ready++;
    if (event->kind == TRANSPORT_REPLY || event->kind == TRANSPORT_ERROR) bench->answers++;
}

static void on_over(void *owner) {
    ((struct bench *)owner)->over = true;
}

static void turn(struct bench *bench) {
    for (int i = 0; i < 3; i++) uv_run(bench->loop, UV_RUN_NOWAIT);
}

static void say(struct bench *bench, enum wire_type type, const ProtobufCMessage *message) {
    uint8_t *head;
    size_t bytes;
    ck_assert_int_eq(envelope_pack(message, type, 0, 0, &head, &bytes), OK);
    ck_assert_int_eq(send(bench->worker_socket, head, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
    free(head);
    turn(bench);
}

static void open_bench(struct bench *bench, uv_loop_t *loop) {
    *bench = (struct bench){.loop = loop};
    int sockets[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets),
                     0);
    bench->worker_socket = sockets[1];
    bench->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_eq(ring_pair_create_private(&bench->rings), OK);
    ring_pair_hold(bench->rings);
    bench->replies = (struct ring_writer){.memory = &bench->rings->replies};
    ck_assert_int_eq(talk_init(&bench->talk, &pool, 0, on_event, bench), OK);
    struct connection_options options = {.loop = loop,
                                         .talk = &bench->talk,
                                         .socket = sockets[0],
                                         .rings = bench->rings,
                                         .bell = bench->bell,
                                         .sharing = RING_PRIVATE,
                                         .over = on_over,
                                         .owner = bench};
    ck_assert_int_eq(connection_open(&bench->connection, &options), OK);
}

static void greet(struct bench *bench) {
    Poolgate__Worker__V1__Hello hello = POOLGATE__WORKER__V1__HELLO__INIT;
    hello.protocol = WIRE_PROTOCOL;
    say(bench, WIRE_HELLO, &hello.base);
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    say(bench, WIRE_READY, &ready.base);
}

static void close_bench(struct bench *bench) {
    connection_close(bench->connection);
    close(bench->worker_socket);
    turn(bench);
    talk_free(&bench->talk);
    ring_pair_drop(bench->rings, RING_PRIVATE);
}

static void ring(struct bench *bench) {
    uint64_t one = 1;
    ck_assert_int_eq(write(bench->bell, &one, sizeof one), sizeof one);
    turn(bench);
}

static void reply_by_ring(struct bench *bench, uint64_t id) {
    Poolgate__Worker__V1__Reply reply = POOLGATE__WORKER__V1__REPLY__INIT;
    reply.id = id;
    uint8_t *head;
    size_t bytes;
    ck_assert_int_eq(envelope_pack(&reply.base, WIRE_REPLY, 0, 0, &head, &bytes), OK);
    struct iovec part = {head, bytes};
    ck_assert_int_eq(ring_write(&bench->replies, &part, 1), RING_OK_WAKE);
    free(head);
    ring(bench);
}

START_TEST(a_reply_comes_through_the_ring) {
    uv_loop_t loop;
    struct bench bench;
    uv_loop_init(&loop);
    open_bench(&bench, &loop);
    greet(&bench);
    ck_assert_uint_eq(bench.ready, 1);
    reply_by_ring(&bench, 7);
    ck_assert_uint_eq(bench.answers, 1);
    ck_assert_uint_eq(bench.broken, 0);
    close_bench(&bench);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(frames_in_the_wrong_place_break_the_connection) {
    uv_loop_t loop;
    struct bench bench;
    uv_loop_init(&loop);
    open_bench(&bench, &loop);
    reply_by_ring(&bench, 7);
    ck_assert_uint_eq(bench.broken, 1);
    ck_assert_ptr_nonnull(strstr(bench.why, "did not begin with hello"));
    close_bench(&bench);

    open_bench(&bench, &loop);
    greet(&bench);
    Poolgate__Worker__V1__Ping ping = POOLGATE__WORKER__V1__PING__INIT;
    say(&bench, WIRE_PING, &ping.base);
    ck_assert_uint_eq(bench.broken, 1);
    ck_assert_ptr_nonnull(strstr(bench.why, "only the gateway sends"));
    close_bench(&bench);

    open_bench(&bench, &loop);
    greet(&bench);
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    say(&bench, WIRE_READY, &ready.base);
    ck_assert_ptr_nonnull(strstr(bench.why, "a second ready"));
    close_bench(&bench);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(a_worker_that_closes_its_socket_is_over) {
    uv_loop_t loop;
    struct bench bench;
    uv_loop_init(&loop);
    open_bench(&bench, &loop);
    greet(&bench);
    shutdown(bench.worker_socket, SHUT_RDWR);
    turn(&bench);
    ck_assert(bench.over);
    ck_assert_uint_eq(bench.broken, 0);
    close_bench(&bench);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

static void scribble(struct bench *bench, unsigned *seed) {
    uint8_t *memory = (uint8_t *)bench->rings;
    size_t header = offsetof(struct ring_memory, bytes);
    for (unsigned i = 0; i < 64; i++) {
        size_t base = rand_r(seed) % 2 == 0 ? 0 : sizeof(struct ring_memory);
        size_t reach = rand_r(seed) % 2 == 0 ? header : 256 + header;
        memory[base + (size_t)rand_r(seed) % reach] = (uint8_t)rand_r(seed);
    }
    /* Often a count that makes sense, so that the bytes are read as frames. */
    if (rand_r(seed) % 2 == 0)
        atomic_store(&bench->rings->replies.written, (uint64_t)rand_r(seed) % 300);
}

START_TEST(a_worker_that_scribbles_over_its_rings_fails_its_own_slot_and_nothing_else) {
    uv_loop_t loop;
    struct bench victim, good;
    uv_loop_init(&loop);
    open_bench(&good, &loop);
    greet(&good);
    unsigned seed = 4711;
    uint32_t found_out = 0;
    for (uint32_t round = 0; round < 10000; round++) {
        open_bench(&victim, &loop);
        greet(&victim);
        scribble(&victim, &seed);
        ring(&victim);
        ck_assert_uint_le(victim.broken, 1);
        found_out += victim.broken;
        close_bench(&victim);
        if (round % 100 == 0) reply_by_ring(&good, round + 1);
    }
    ck_assert_uint_gt(found_out, 5000);
    ck_assert_uint_eq(good.broken, 0);
    ck_assert_uint_eq(good.answers, 100);
    close_bench(&good);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

SUITE("core/transport/connection", 120, a_reply_comes_through_the_ring,
      frames_in_the_wrong_place_break_the_connection, a_worker_that_closes_its_socket_is_over,
      a_worker_that_scribbles_over_its_rings_fails_its_own_slot_and_nothing_else)
