/* A connection against a worker that misbehaves over its rings and its socket: the rules of
 * the talk, and that only its own slot pays; and how requests go out and come back. */
#include "core/base/clock.h"
#include "core/transport/connection.h"
#include "core/transport/envelope.h"
#include "core/transport/reply_record.h"
#include "core/transport/taker.h"
#include "protos/worker.pb-c.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* One slot's two ends, and what the gateway's end reported. */
struct bench {
    uv_loop_t *loop;
    struct switchboard *switchboard;
    struct talk talk;
    struct connection *connection;
    struct ring_pair *rings;
    struct ring_writer replies; /* the worker's */
    struct taker taker;
    int worker_socket, bell;
    uint32_t broken, ready, answers, pongs;
    struct reply last;
    char error[64];
    bool over;
    char why[160];
};

#define STAGED 4
static const struct pool_options pool = {
    .name = "test", .inflight = 2, .staged = STAGED, .max_reply_bytes = 1 << 20, .slots_max = 1};

static void on_event(void *owner, const struct transport_event *event) {
    struct bench *bench = owner;
    if (event->kind == TRANSPORT_BROKEN) {
        bench->broken++;
        snprintf(bench->why, sizeof bench->why, "%s", event->text);
    }
    if (event->kind == TRANSPORT_READY) bench->ready++;
    if (event->kind == TRANSPORT_PONG) bench->pongs++;
    if (event->kind == TRANSPORT_REPLY || event->kind == TRANSPORT_ERROR) bench->answers++;
    if (event->kind == TRANSPORT_ERROR)
        snprintf(bench->error, sizeof bench->error, "%s", event->text);
    if (event->kind != TRANSPORT_REPLY) return;
    reply_free(&bench->last);
    bench->last = *event->reply;
    *event->reply = (struct reply){0};
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

static void open_bench(struct bench *bench, uv_loop_t *loop, struct switchboard *switchboard) {
    *bench = (struct bench){.loop = loop, .switchboard = switchboard};
    int sockets[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) == 0);
    bench->worker_socket = sockets[1];
    bench->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    require(ring_pair_create_private(&bench->rings, RING_PAIR_MIN_CELLS) == OK);
    ring_pair_hold(bench->rings);
    bench->replies = ring_pair_reply_writer(bench->rings);
    taker_open(&bench->taker, bench->rings, RING_PRIVATE);
    require(talk_init(&bench->talk, &pool, 0, NULL, NULL) == OK);
    struct connection_options options = {.loop = loop,
                                         .switchboard = switchboard,
                                         .talk = &bench->talk,
                                         .socket = sockets[0],
                                         .rings = bench->rings,
                                         .bell = bench->bell,
                                         .sharing = RING_PRIVATE,
                                         .fn = on_event,
                                         .over = on_over,
                                         .owner = bench};
    require(connection_open(&bench->connection, &options) == OK);
    connection_begin(bench->connection);
}

static void greet(struct bench *bench) {
    Poolgate__Worker__V1__Hello hello = POOLGATE__WORKER__V1__HELLO__INIT;
    hello.protocol = WIRE_PROTOCOL;
    hello.accepts_memfd = true;
    say(bench, WIRE_HELLO, &hello.base);
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    say(bench, WIRE_READY, &ready.base);
    uint8_t drained[4096];
    while (recv(bench->worker_socket, drained, sizeof drained, 0) > 0) {
    }
}

static void close_bench(struct bench *bench) {
    connection_close(bench->connection);
    close(bench->worker_socket);
    turn(bench);
    talk_free(&bench->talk);
    reply_free(&bench->last);
    ring_pair_drop(bench->rings, RING_PRIVATE);
}

/* A loop with its switchboard, and one slot that is ready. */
struct stage {
    uv_loop_t loop;
    struct switchboard *switchboard;
    struct bench bench;
};

static void open_loop(struct stage *stage) {
    uv_loop_init(&stage->loop);
    ck_assert_int_eq(switchboard_open(&stage->switchboard, &stage->loop), OK);
}

static void open_stage(struct stage *stage) {
    open_loop(stage);
    open_bench(&stage->bench, &stage->loop, stage->switchboard);
    greet(&stage->bench);
}

static void close_loop(struct stage *stage) {
    switchboard_close(stage->switchboard);
    for (int i = 0; i < 3; i++) uv_run(&stage->loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(uv_loop_close(&stage->loop), 0);
}

static void close_stage(struct stage *stage) {
    close_bench(&stage->bench);
    close_loop(stage);
}

static void ring(struct bench *bench) {
    uint64_t one = 1;
    require(write(bench->bell, &one, sizeof one) == sizeof one);
    turn(bench);
}

static enum ring_result put_reply(struct bench *bench, uint64_t id, const char *payload) {
    struct reply_record_head head = {.id = id,
                                     .kind = REPLY_RECORD_REPLY,
                                     .pairs = 1,
                                     .text_bytes = 11 + 5 + 6,
                                     .payload_bytes = (uint32_t)strlen(payload)};
    struct iovec texts[] = {{"text/plain", 11}, {"Name", 5}, {"value", 6}};
    return reply_record_write(&bench->replies, &head, texts, 3, payload);
}

static void reply_by_ring(struct bench *bench, uint64_t id) {
    ck_assert_int_eq(put_reply(bench, id, "abc"), RING_OK_WAKE);
    ring(bench);
}

static enum outcome send_one(struct bench *bench, uint64_t id, struct body *body) {
    struct request request = {.id = id,
                              .request_id = "r",
                              .content_type = "",
                              .operation = "",
                              .traceparent = "",
                              .run_deadline_ns = CLOCK_NEVER,
                              .body = body};
    struct request *one = &request;
    return connection_send(bench->connection, &one, 1, 0);
}

static enum outcome send_bytes(struct bench *bench, uint64_t id, size_t bytes) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, bytes), OK);
    void *block = calloc(1, bytes);
    ck_assert_int_eq(body_append(body, block, bytes), OK);
    ck_assert_int_eq(body_seal(body), OK);
    free(block);
    enum outcome outcome = send_one(bench, id, body);
    body_unref(body);
    return outcome;
}

static uint64_t take(struct bench *bench) {
    struct offer offer;
    return taker_take(&bench->taker, &offer) == TAKEN_ONE ? offer.id : 0;
}

static bool socket_has_frame(struct bench *bench) {
    uint8_t some[8192];
    turn(bench);
    return recv(bench->worker_socket, some, sizeof some, 0) > 0;
}

START_TEST(a_reply_comes_through_the_ring) {
    struct stage stage;
    open_stage(&stage);
    struct bench *bench = &stage.bench;
    ck_assert_uint_eq(bench->ready, 1);
    reply_by_ring(bench, 7);
    ck_assert_uint_eq(bench->answers, 1);
    ck_assert_uint_eq(bench->broken, 0);
    ck_assert_str_eq(bench->last.content_type, "text/plain");
    ck_assert_uint_eq(bench->last.metadata_count, 1);
    ck_assert_str_eq(bench->last.metadata[0].name, "Name");
    ck_assert_str_eq(bench->last.metadata[0].value, "value");
    ck_assert_uint_eq(bench->last.body->bytes, 3);
    ck_assert_mem_eq(bench->last.body->data, "abc", 3);
    struct reply_record_head head = {
        .id = 8, .kind = REPLY_RECORD_ERROR, .error = 1, .text_bytes = 6};
    struct iovec text = {"wrong", 6};
    ck_assert_int_eq(reply_record_write(&bench->replies, &head, &text, 1, NULL), RING_OK_WAKE);
    ring(bench);
    ck_assert_str_eq(bench->error, "wrong");
    close_stage(&stage);
}
END_TEST

START_TEST(a_worker_rings_once_for_many_replies) {
    struct stage stage;
    open_stage(&stage);
    ck_assert_int_eq(put_reply(&stage.bench, 1, "a"), RING_OK_WAKE);
    for (uint64_t id = 2; id <= 600; id++)
        ck_assert_int_eq(put_reply(&stage.bench, id, "b"), RING_OK);
    uint64_t one = 1;
    ck_assert_int_eq(write(stage.bench.bell, &one, sizeof one), sizeof one);
    uv_run(&stage.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(stage.bench.answers, 256); /* others get their turn */
    turn(&stage.bench);
    ck_assert_uint_eq(stage.bench.answers, 600);
    ck_assert_int_eq(put_reply(&stage.bench, 1, "c"), RING_OK_WAKE);
    close_stage(&stage);
}
END_TEST

START_TEST(a_lost_bell_is_made_up_for_by_the_next_frame) {
    struct stage stage;
    open_stage(&stage);
    ck_assert_int_eq(put_reply(&stage.bench, 1, "a"), RING_OK_WAKE); /* and nobody rings */
    turn(&stage.bench);
    ck_assert_uint_eq(stage.bench.answers, 0);
    Poolgate__Worker__V1__Pong pong = POOLGATE__WORKER__V1__PONG__INIT;
    say(&stage.bench, WIRE_PONG, &pong.base);
    ck_assert_uint_eq(stage.bench.pongs, 1);
    ck_assert_uint_eq(stage.bench.answers, 1);
    close_stage(&stage);
}
END_TEST

START_TEST(requests_are_offered_and_the_worker_is_woken_once_a_round) {
    struct stage stage;
    open_stage(&stage);
    struct bench *bench = &stage.bench;
    ck_assert_uint_eq(connection_stages(bench->connection), STAGED);
    ck_assert(taker_fall_asleep(&bench->taker));
    for (uint64_t id = 1; id <= 6; id++) ck_assert_int_eq(send_one(bench, id, NULL), OK);
    ck_assert_uint_eq(atomic_load(&bench->rings->memory->requests_asleep), 1); /* not before */
    turn(bench);
    ck_assert_uint_eq(atomic_load(&bench->rings->memory->requests_asleep), 0);
    ck_assert_uint_eq(take(bench), 1);
    ck_assert(!connection_revoke(bench->connection, 1));
    ck_assert(connection_revoke(bench->connection, 2));
    ck_assert_uint_eq(take(bench), 3);
    ck_assert(!socket_has_frame(bench));
    close_stage(&stage);
}
END_TEST

START_TEST(what_does_not_fit_goes_over_the_socket_only_when_it_is_not_ahead) {
    struct stage stage;
    open_stage(&stage);
    struct bench *bench = &stage.bench;
    ck_assert_int_eq(send_bytes(bench, 1, BODY_MEMFD_BYTES), OK); /* one of two that it may have */
    ck_assert(socket_has_frame(bench));
    ck_assert(!connection_revoke(bench->connection, 1));
    ck_assert_int_eq(send_one(bench, 2, NULL), OK);
    ck_assert_int_eq(send_bytes(bench, 3, BODY_MEMFD_BYTES), QUEUE_FULL);
    ck_assert(!socket_has_frame(bench));
    ck_assert_int_eq(send_one(bench, 3, NULL), OK); /* by the ring, that is revocable */
    ck_assert(connection_revoke(bench->connection, 3));
    reply_by_ring(bench, 2);
    ck_assert_int_eq(send_bytes(bench, 4, BODY_MEMFD_BYTES), OK);
    ck_assert(socket_has_frame(bench));
    close_stage(&stage);
}
END_TEST

START_TEST(a_body_below_a_memfd_s_size_never_goes_through_the_socket) {
    struct stage stage;
    open_stage(&stage);
    ck_assert_int_eq(send_bytes(&stage.bench, 1, BODY_MEMFD_BYTES - 1), OK);
    ck_assert(!socket_has_frame(&stage.bench));
    struct offer offer;
    ck_assert_int_eq(taker_take(&stage.bench.taker, &offer), TAKEN_ONE);
    ck_assert_uint_eq(offer.payload_bytes, BODY_MEMFD_BYTES - 1);
    close_stage(&stage);
}
END_TEST

START_TEST(what_was_not_taken_is_revoked_after_the_worker_broke_off) {
    struct stage stage;
    open_stage(&stage);
    struct bench *bench = &stage.bench;
    ck_assert_int_eq(send_one(bench, 1, NULL), OK);
    ck_assert_int_eq(send_one(bench, 2, NULL), OK);
    ck_assert_uint_eq(take(bench), 1);
    atomic_store(&bench->rings->memory->replies.written, 5);
    ring(bench);
    ck_assert_uint_eq(bench->broken, 1);
    ck_assert(!connection_revoke(bench->connection, 1));
    ck_assert(connection_revoke(bench->connection, 2));
    close_stage(&stage);
}
END_TEST

START_TEST(a_claim_word_that_makes_no_sense_breaks_the_connection) {
    struct stage stage;
    open_stage(&stage);
    ck_assert_int_eq(send_one(&stage.bench, 1, NULL), OK);
    atomic_store(&stage.bench.rings->memory->offers[1].claim, 12345);
    ck_assert(!connection_revoke(stage.bench.connection, 1));
    ck_assert_uint_eq(stage.bench.broken, 0); /* reported in a round of the loop, not from inside */
    turn(&stage.bench);
    ck_assert_uint_eq(stage.bench.broken, 1);
    ck_assert_ptr_nonnull(strstr(stage.bench.why, "claim word"));
    close_stage(&stage);
}
END_TEST

START_TEST(frames_in_the_wrong_place_break_the_connection) {
    struct stage stage;
    struct bench *bench = &stage.bench;
    open_loop(&stage);
    open_bench(bench, &stage.loop, stage.switchboard);
    reply_by_ring(bench, 7);
    ck_assert_uint_eq(bench->broken, 1);
    ck_assert_ptr_nonnull(strstr(bench->why, "did not begin with hello"));
    close_bench(bench);

    open_bench(bench, &stage.loop, stage.switchboard);
    greet(bench);
    Poolgate__Worker__V1__Ping ping = POOLGATE__WORKER__V1__PING__INIT;
    say(bench, WIRE_PING, &ping.base);
    ck_assert_uint_eq(bench->broken, 1);
    ck_assert_ptr_nonnull(strstr(bench->why, "only the gateway sends"));
    close_bench(bench);

    open_bench(bench, &stage.loop, stage.switchboard);
    greet(bench);
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    say(bench, WIRE_READY, &ready.base);
    ck_assert_ptr_nonnull(strstr(bench->why, "a second ready"));
    close_bench(bench);
    close_loop(&stage);
}
END_TEST

START_TEST(a_worker_that_closes_its_socket_is_over) {
    struct stage stage;
    open_stage(&stage);
    shutdown(stage.bench.worker_socket, SHUT_RDWR);
    turn(&stage.bench);
    ck_assert(stage.bench.over);
    ck_assert_uint_eq(stage.bench.broken, 0);
    close_stage(&stage);
}
END_TEST

/* Heads of replies, counters, sleep words, claim words; often a count that makes sense, so that the bytes
 * are read as records. */
static void scribble(struct bench *bench, struct chance *chance) {
    struct ring_pair_memory *memory = bench->rings->memory;
    for (uint32_t i = 0; i < 16; i++) {
        size_t reach = chance_percent(chance, 50) ? sizeof *memory : sizeof *memory + 4 * 64;
        ((uint8_t *)memory)[chance_below(chance, (uint32_t)reach)] = (uint8_t)chance_next(chance);
        bench->rings->reply_bytes[chance_below(chance, 128)] = (uint8_t)chance_next(chance);
    }
    if (chance_percent(chance, 30))
        atomic_store(&memory->replies.written, 32u * chance_below(chance, 10));
    if (chance_percent(chance, 30)) (void)put_reply(bench, chance_next(chance), "some payload");
}

START_TEST(a_worker_that_scribbles_over_its_rings_fails_its_own_slot_and_nothing_else) {
    struct stage stage;
    open_stage(&stage);
    struct bench *good = &stage.bench, victim;
    struct chance chance = chance_open();
    uint32_t found_out = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        open_bench(&victim, &stage.loop, stage.switchboard);
        greet(&victim);
        for (uint64_t id = 1; id <= 4; id++) (void)send_one(&victim, id, NULL);
        if (chance_percent(&chance, 50)) (void)put_reply(&victim, 1, "honest");
        scribble(&victim, &chance);
        ring(&victim);
        (void)connection_revoke(victim.connection, 1 + chance_below(&chance, 4));
        (void)send_one(&victim, 5, NULL);
        turn(&victim);
        connection_read_remains(victim.connection);
        require(victim.broken <= 1);
        found_out += victim.broken;
        close_bench(&victim);
        if (round % 100 == 0) reply_by_ring(good, round + 1);
    }
    ck_assert_uint_gt(found_out, 1500);
    ck_assert_uint_eq(good->broken, 0);
    ck_assert_uint_eq(good->answers, 30);
    close_stage(&stage);
}
END_TEST

SUITE("core/transport/connection", 120, a_reply_comes_through_the_ring,
      a_worker_rings_once_for_many_replies, a_lost_bell_is_made_up_for_by_the_next_frame,
      requests_are_offered_and_the_worker_is_woken_once_a_round,
      what_does_not_fit_goes_over_the_socket_only_when_it_is_not_ahead,
      a_body_below_a_memfd_s_size_never_goes_through_the_socket,
      what_was_not_taken_is_revoked_after_the_worker_broke_off,
      a_claim_word_that_makes_no_sense_breaks_the_connection,
      frames_in_the_wrong_place_break_the_connection, a_worker_that_closes_its_socket_is_over,
      a_worker_that_scribbles_over_its_rings_fails_its_own_slot_and_nothing_else)
