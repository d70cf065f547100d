/* batch: whatever a plug-in does with several requests at once, each gets one answer, its own. */
#include "workers/host/answer.c"
#include "workers/host/batch.c"
#include "workers/host/call.c"
#include "workers/host/link.c"

#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <sys/socket.h>

#define ROOM       16
#define NAME_BYTES 24

/* What the plug-in of these tests does with each request, by its place in the batch. */
enum deed { SENDS, FAILS, STREAMS, STREAMS_AND_FAILS, NOTHING, ANSWERS_TWICE, DEEDS };

static enum deed deeds[ROOM];
static bool backwards;
static bool cancel_meanwhile[ROOM];
static size_t batches, singles, largest;

static struct link link_to_gateway;
static struct batch batch;
static int gateway;

/* The plug-in */

static void act(const struct poolgate_request *request, struct poolgate_reply *reply) {
    size_t place = (size_t)strtoul(request->request_id, NULL, 10);
    if (cancel_meanwhile[place]) atomic_store(&batch.calls[place]->cancelled, true);
    switch (deeds[place]) {
    case SENDS: poolgate_reply_send(reply, "", "abc", 3); break;
    case FAILS: poolgate_reply_fail(reply, POOLGATE_INVALID_INPUT, "bad"); break;
    case STREAMS_AND_FAILS:
    case STREAMS:
        poolgate_reply_chunk(reply, "", "a", 1);
        poolgate_reply_chunk(reply, "", "bc", 2);
        if (deeds[place] == STREAMS_AND_FAILS) poolgate_reply_fail(reply, POOLGATE_FAILED, "x");
        break;
    case ANSWERS_TWICE:
        poolgate_reply_send(reply, "", "abc", 3);
        poolgate_reply_send(reply, "", "abcd", 4);
        poolgate_reply_fail(reply, POOLGATE_FAILED, "x");
        break;
    case NOTHING:
    case DEEDS: break;
    }
}

static void handle(void *state, const struct poolgate_request *request,
                   struct poolgate_reply *reply) {
    ck_assert_ptr_eq(state, &batches);
    singles++;
    act(request, reply);
}

static void handle_batch(void *state, const struct poolgate_request *requests,
                         struct poolgate_reply *replies, size_t count) {
    ck_assert_ptr_eq(state, &batches);
    batches++;
    if (count > largest) largest = count;
    for (size_t i = 0; i < count; i++) {
        size_t at = backwards ? count - 1 - i : i;
        act(&requests[at], &replies[at]);
    }
}

static const struct poolgate_worker takes_both = {.handle = handle, .handle_batch = handle_batch};
static const struct poolgate_worker takes_batches = {.handle_batch = handle_batch};
static const struct poolgate_worker takes_one = {.handle = handle};

/* The gateway: what came for each request */

static struct {
    uint32_t replies, errors, chunks;
    Poolgate__Worker__V1__ErrorKind kind;
    size_t bytes;
} came[ROOM];

static void note_frame(const struct wire_header *header, const uint8_t *envelope) {
    ProtobufCMessage *message;
    ck_assert_int_eq(envelope_unpack(header->type, envelope, header->envelope_bytes, &message), OK);
    /* The id is the first field of all three. */
    uint64_t id = ((const Poolgate__Worker__V1__Error *)(const void *)message)->id;
    require(id >= 1 && id <= ROOM);
    require(came[id - 1].replies + came[id - 1].errors == 0); /* nothing after the answer */
    came[id - 1].bytes += header->payload_bytes;
    if (header->type == WIRE_CHUNK) came[id - 1].chunks++;
    if (header->type == WIRE_REPLY) came[id - 1].replies++;
    if (header->type == WIRE_ERROR) {
        came[id - 1].errors++;
        came[id - 1].kind = ((const Poolgate__Worker__V1__Error *)(const void *)message)->kind;
    }
    envelope_free(message);
}

static void read_frames(void) {
    static uint8_t bytes[1 << 16];
    memset(came, 0, sizeof came);
    ssize_t got = recv(gateway, bytes, sizeof bytes, MSG_DONTWAIT);
    for (size_t at = 0; got > 0 && at < (size_t)got;) {
        struct wire_header header;
        const char *why;
        ck_assert_int_eq(wire_header_decode(&header, bytes + at, UINT32_MAX, &why), OK);
        note_frame(&header, bytes + at + WIRE_HEADER_BYTES);
        at += WIRE_HEADER_BYTES + header.envelope_bytes + header.payload_bytes;
    }
}

/* Arranging */

static void open_room(void) {
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    link_open(&link_to_gateway, ends[0]);
    gateway = ends[1];
    ck_assert_int_eq(batch_open(&batch, ROOM), OK);
    batches = singles = largest = 0;
    memset(cancel_meanwhile, 0, sizeof cancel_meanwhile);
    for (size_t i = 0; i < ROOM; i++) deeds[i] = SENDS;
}

static void close_room(void) {
    batch_close(&batch);
    close(link_to_gateway.fd);
    link_release(&link_to_gateway);
    close(gateway);
}

/* Request i has the id i + 1 and is named i. */
static void fill(size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct call *call = call_make(CALL_REQUEST, i + 1, NAME_BYTES);
        snprintf(call_room(call), NAME_BYTES, "%zu", i);
        call->request.request_id = call_room(call);
        batch.calls[i] = call;
    }
}

static bool run(size_t count, const struct poolgate_worker *plugin) {
    batch_begin(&batch, count, &link_to_gateway, 1000);
    batch_handle(&batch, plugin, &batches);
    bool answered = batch_answer(&batch);
    batch_end(&batch);
    read_frames();
    return answered;
}

static void is_error(size_t place, Poolgate__Worker__V1__ErrorKind kind) {
    ck_assert_uint_eq(came[place].replies, 0);
    ck_assert_uint_eq(came[place].errors, 1);
    ck_assert_int_eq(came[place].kind, kind);
}

static void is_reply(size_t place, size_t bytes) {
    ck_assert_uint_eq(came[place].replies, 1);
    ck_assert_uint_eq(came[place].errors, 0);
    ck_assert_uint_eq(came[place].bytes, bytes);
}

START_TEST(several_go_to_handle_batch_and_one_to_handle) {
    open_room();
    fill(3);
    ck_assert(run(3, &takes_both));
    ck_assert_uint_eq(batches, 1);
    ck_assert_uint_eq(largest, 3);
    ck_assert_uint_eq(singles, 0);
    for (size_t i = 0; i < 3; i++) is_reply(i, 3);
    fill(1);
    ck_assert(run(1, &takes_both));
    ck_assert_uint_eq(batches, 1);
    ck_assert_uint_eq(singles, 1);
    is_reply(0, 3);
    close_room();
}
END_TEST

START_TEST(a_plugin_with_one_way_gets_everything_that_way) {
    open_room();
    fill(1);
    ck_assert(run(1, &takes_batches));
    ck_assert_uint_eq(batches, 1);
    fill(4);
    ck_assert(run(4, &takes_one)); /* READY would not have allowed it */
    ck_assert_uint_eq(singles, 4);
    close_room();
}
END_TEST

START_TEST(what_was_cancelled_before_is_not_shown_to_the_plugin) {
    open_room();
    fill(4);
    atomic_store(&batch.calls[0]->cancelled, true);
    atomic_store(&batch.calls[2]->cancelled, true);
    ck_assert(run(4, &takes_both));
    ck_assert_uint_eq(largest, 2);
    is_error(0, KIND(CANCELLED));
    is_reply(1, 3);
    is_error(2, KIND(CANCELLED));
    is_reply(3, 3);
    fill(2);
    for (size_t i = 0; i < 2; i++) atomic_store(&batch.calls[i]->cancelled, true);
    ck_assert(run(2, &takes_batches));
    ck_assert_uint_eq(batches, 1); /* that of before */
    is_error(0, KIND(CANCELLED));
    is_error(1, KIND(CANCELLED));
    close_room();
}
END_TEST

START_TEST(an_item_without_an_answer_is_an_error_of_that_item_only) {
    open_room();
    deeds[1] = NOTHING;
    deeds[2] = FAILS;
    fill(4);
    ck_assert(run(4, &takes_both));
    is_reply(0, 3);
    is_error(1, KIND(FAILED));
    is_error(2, KIND(INVALID_INPUT));
    is_reply(3, 3);
    close_room();
}
END_TEST

START_TEST(answers_that_cannot_be_sent_are_noticed) {
    open_room();
    shutdown(gateway, SHUT_RDWR);
    fill(2);
    ck_assert(!run(2, &takes_both));
    close_room();
}
END_TEST

/* Which answer a request must get. */
static void assert_answer(size_t place, bool cancelled) {
    enum deed deed = deeds[place];
    require(came[place].replies + came[place].errors == 1);
    if (cancelled)
        require(came[place].errors == 1 && came[place].kind == KIND(CANCELLED));
    else if (deed == SENDS || deed == ANSWERS_TWICE || deed == STREAMS)
        require(came[place].replies == 1 && came[place].bytes == 3);
    else
        require(came[place].kind == (deed == FAILS ? KIND(INVALID_INPUT) : KIND(FAILED)));
    require(came[place].chunks ==
            (!cancelled && (deed == STREAMS || deed == STREAMS_AND_FAILS)) * 2);
}

START_TEST(random_batches_get_exactly_one_answer_for_each_request) {
    struct chance chance = chance_open();
    open_room();
    for (int round = 0; round < 5000; round++) {
        bool cancelled[ROOM] = {0};
        size_t count = 1 + chance_below(&chance, ROOM);
        fill(count);
        for (size_t i = 0; i < count; i++) {
            deeds[i] = (enum deed)chance_below(&chance, DEEDS);
            bool before = chance_percent(&chance, 10);
            cancel_meanwhile[i] = chance_percent(&chance, 10);
            atomic_store(&batch.calls[i]->cancelled, before);
            cancelled[i] = before || cancel_meanwhile[i];
        }
        backwards = chance_percent(&chance, 50);
        require(run(count, &takes_both));
        for (size_t i = 0; i < count; i++) assert_answer(i, cancelled[i]);
    }
    close_room();
}
END_TEST

SUITE("workers/host/batch", 60, several_go_to_handle_batch_and_one_to_handle,
      a_plugin_with_one_way_gets_everything_that_way,
      what_was_cancelled_before_is_not_shown_to_the_plugin,
      an_item_without_an_answer_is_an_error_of_that_item_only,
      answers_that_cannot_be_sent_are_noticed,
      random_batches_get_exactly_one_answer_for_each_request)
