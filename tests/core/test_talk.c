/* talk: what a worker's frames become, which of them may come when, and what goes out. */
#include "core/base/clock.h"
#include "core/transport/envelope.h"
#include "core/transport/talk.h"
#include "protos/worker.pb-c.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REPLY  1000
#define KIND(name) POOLGATE__WORKER__V1__ERROR_KIND__##name

static struct pool_options pool;
static struct talk talk;
static struct outbox outbox;

/* What was reported last, and how often. */
static struct {
    uint32_t events;
    struct transport_event last;
    char text[ENVELOPE_TEXT_BYTES + 1];
    size_t reply_bytes, reply_pairs;
} seen;

static void on_event(void *owner, const struct transport_event *event) {
    ck_assert_ptr_eq(owner, &talk);
    ck_assert_ptr_nonnull(event->text);
    seen.events++;
    seen.last = *event;
    snprintf(seen.text, sizeof seen.text, "%s", event->text);
    seen.reply_bytes = event->reply != NULL ? event->reply->body->bytes : 0;
    seen.reply_pairs = event->reply != NULL ? event->reply->metadata_count : 0;
}

/* Arranging */

static void open_talk(uint32_t inflight, uint32_t batch_max) {
    memset(&pool, 0, sizeof pool);
    memset(&seen, 0, sizeof seen);
    pool.name = "test";
    pool.inflight = inflight;
    pool.queue.batch_max = batch_max;
    pool.max_reply_bytes = MAX_REPLY;
    ck_assert_int_eq(talk_init(&talk, &pool, 3, on_event, &talk), OK);
    outbox_init(&outbox);
}

static void close_talk(void) {
    talk_free(&talk);
    outbox_clear(&outbox);
}

static void feed(struct wire_reader *reader, const uint8_t *bytes, size_t count) {
    for (size_t at = 0; at < count;) {
        size_t room;
        uint8_t *space = wire_reader_space(reader, &room);
        if (room > count - at) room = count - at;
        memcpy(space, bytes + at, room);
        enum wire_step step = wire_reader_advance(reader, room);
        at += room;
        ck_assert_int_eq(step, at < count ? WIRE_WANT_BYTES : WIRE_FRAME);
    }
}

/* The worker says so; whether it may. */
static bool say_with(enum wire_type type, const ProtobufCMessage *message, const char *payload) {
    uint8_t *head;
    size_t head_bytes;
    struct wire_reader reader;
    uint32_t payload_bytes = (uint32_t)strlen(payload);
    ck_assert_int_eq(envelope_pack(message, type, 0, payload_bytes, &head, &head_bytes), OK);
    head = realloc(head, head_bytes + payload_bytes);
    memcpy(head + head_bytes, payload, payload_bytes);
    wire_reader_init(&reader, MAX_REPLY);
    feed(&reader, head, head_bytes + payload_bytes);
    bool kept = talk_frame(&talk, &reader, -1, &outbox);
    wire_reader_free(&reader);
    free(head);
    return kept;
}

static bool say(enum wire_type type, const ProtobufCMessage *message) {
    return say_with(type, message, "");
}

static bool say_hello(void) {
    Poolgate__Worker__V1__Hello hello = POOLGATE__WORKER__V1__HELLO__INIT;
    hello.protocol = WIRE_PROTOCOL;
    return say(WIRE_HELLO, &hello.base);
}

static bool say_ready(uint32_t max_batch, bool checks) {
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    ready.max_batch = max_batch;
    ready.checks = checks;
    return say(WIRE_READY, &ready.base);
}

static void greet(void) {
    ck_assert(say_hello());
    ck_assert(say_ready(0, false));
}

static bool say_chunk(uint64_t id, const char *piece) {
    Poolgate__Worker__V1__Chunk chunk = POOLGATE__WORKER__V1__CHUNK__INIT;
    chunk.id = id;
    return say_with(WIRE_CHUNK, &chunk.base, piece);
}

static bool say_reply(uint64_t id, const char *rest) {
    Poolgate__Worker__V1__Reply reply = POOLGATE__WORKER__V1__REPLY__INIT;
    reply.id = id;
    return say_with(WIRE_REPLY, &reply.base, rest);
}

static bool say_error(uint64_t id, int kind) {
    Poolgate__Worker__V1__Error error = POOLGATE__WORKER__V1__ERROR__INIT;
    error.id = id;
    error.kind = (Poolgate__Worker__V1__ErrorKind)kind;
    return say(WIRE_ERROR, &error.base);
}

/* What the outbox holds first, as the worker would read it. */
static ProtobufCMessage *sent(enum wire_type type) {
    int ends[2];
    uint8_t bytes[4096];
    struct wire_reader reader;
    ProtobufCMessage *message;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    ck_assert(outbox_flush(&outbox, ends[0]));
    ck_assert(outbox_empty(&outbox));
    ssize_t got = read(ends[1], bytes, sizeof bytes);
    wire_reader_init(&reader, MAX_REPLY);
    feed(&reader, bytes, got > 0 ? (size_t)got : 0);
    ck_assert_str_eq(wire_type_name(reader.header.type), wire_type_name(type));
    ck_assert_int_eq(envelope_unpack(type, reader.envelope, reader.header.envelope_bytes, &message),
                     OK);
    wire_reader_free(&reader);
    close(ends[0]);
    close(ends[1]);
    return message;
}

/* What comes */

START_TEST(hello_is_answered_by_a_setup_that_tells_the_largest_batch) {
    open_talk(2, 16);
    ck_assert(say_hello());
    ck_assert_int_eq(seen.last.kind, TRANSPORT_LOADING);
    ProtobufCMessage *message = sent(WIRE_SETUP);
    const Poolgate__Worker__V1__Setup *setup = (const void *)message;
    ck_assert_uint_eq(setup->batch, 16);
    ck_assert_uint_eq(setup->slot, 3);
    ck_assert_uint_eq(setup->protocol, WIRE_PROTOCOL);
    ck_assert_uint_eq(setup->max_reply_bytes, MAX_REPLY);
    envelope_free(message);
    close_talk();
}
END_TEST

START_TEST(a_pool_without_batches_says_nothing_about_them) {
    for (uint32_t batch_max = 0; batch_max < 2; batch_max++) {
        open_talk(1, batch_max);
        ck_assert(say_hello());
        ProtobufCMessage *message = sent(WIRE_SETUP);
        ck_assert_uint_eq(((const Poolgate__Worker__V1__Setup *)(const void *)message)->batch, 0);
        envelope_free(message);
        close_talk();
    }
}
END_TEST

START_TEST(ready_tells_the_batch_that_both_sides_can_take) {
    static const struct {
        uint32_t pool, worker, both;
    } cases[] = {{1, 0, 1}, {1, 8, 1},   {8, 0, 1}, {8, 1, 1}, {8, 8, 8},
                 {8, 5, 5}, {8, 900, 8}, {0, 0, 1}, {0, 8, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_talk(1, cases[i].pool);
        ck_assert_uint_eq(talk.max_batch, 1);
        ck_assert(say_hello());
        ck_assert(say_ready(cases[i].worker, i % 2 == 1));
        ck_assert_int_eq(seen.last.kind, TRANSPORT_READY);
        ck_assert_uint_eq(seen.last.max_batch, cases[i].both);
        ck_assert_int_eq(seen.last.checks, i % 2 == 1);
        ck_assert_uint_eq(talk.max_batch, cases[i].both);
        talk_reset(&talk);
        ck_assert_uint_eq(talk.max_batch, 1);
        ck_assert(!talk.checks);
        close_talk();
    }
}
END_TEST

START_TEST(a_pong_says_what_waits_and_for_how_long_the_current_one_runs) {
    open_talk(1, 1);
    greet();
    Poolgate__Worker__V1__Pong pong = POOLGATE__WORKER__V1__PONG__INIT;
    pong.id = 9;
    pong.waiting = 3;
    pong.busy_ns = UINT64_C(5000000001);
    ck_assert(say(WIRE_PONG, &pong.base));
    ck_assert_int_eq(seen.last.kind, TRANSPORT_PONG);
    ck_assert_uint_eq(seen.last.id, 9);
    ck_assert_uint_eq(seen.last.waiting, 3);
    ck_assert_uint_eq(seen.last.busy_ns, UINT64_C(5000000001));
    close_talk();
}
END_TEST

START_TEST(the_result_of_a_check_is_reported_with_a_clean_text) {
    Poolgate__Worker__V1__Checked checked = POOLGATE__WORKER__V1__CHECKED__INIT;
    open_talk(1, 1);
    ck_assert(say_hello());
    ck_assert(say_ready(1, true));
    ck_assert(say(WIRE_CHECKED, &checked.base));
    ck_assert_int_eq(seen.last.kind, TRANSPORT_CHECKED);
    ck_assert_str_eq(seen.text, "");
    checked.error = (char *)"the vector\x1b has length 2";
    ck_assert(say(WIRE_CHECKED, &checked.base));
    ck_assert_str_eq(seen.text, "the vector? has length 2");
    close_talk();
}
END_TEST

/* In each state of a talk, which types of frame break it, and with which words. */

enum stage { NEW, GREETED, READY, READY_WITH_CHECK, STAGES };

static void reach(enum stage stage) {
    open_talk(1, 1);
    if (stage > NEW) ck_assert(say_hello());
    if (stage > GREETED) ck_assert(say_ready(1, stage == READY_WITH_CHECK));
}

static const char *rule_broken(enum stage stage, enum wire_type type) {
    bool from_worker = type == WIRE_HELLO || type == WIRE_LOADING || type == WIRE_READY ||
                       type == WIRE_CHUNK || type == WIRE_REPLY || type == WIRE_ERROR ||
                       type == WIRE_PONG || type == WIRE_CHECKED;
    bool answers = type == WIRE_CHUNK || type == WIRE_REPLY || type == WIRE_ERROR;
    if (stage == NEW)
        return type == WIRE_HELLO ? "speaks another protocol version" : "did not begin with hello";
    if (!from_worker) return "a frame that only the gateway sends";
    if (type == WIRE_HELLO) return "a second hello";
    if (stage == GREETED && answers) return "an answer before it was ready";
    if (stage >= READY && type == WIRE_READY) return "a second ready";
    if (stage < READY_WITH_CHECK && type == WIRE_CHECKED)
        return "the result of a check that it does not have";
    return type == WIRE_CHUNK ? "a chunk without an id" : NULL;
}

START_TEST(every_frame_at_every_time_is_kept_or_breaks_one_known_rule) {
    const Poolgate__Worker__V1__Checked nothing = POOLGATE__WORKER__V1__CHECKED__INIT;
    for (enum stage stage = NEW; stage < STAGES; stage++) {
        for (enum wire_type type = WIRE_HELLO; type <= WIRE_CHECKED; type++) {
            reach(stage);
            const char *rule = rule_broken(stage, type);
            bool kept = say(type, &nothing.base); /* an empty envelope of any type */
            ck_assert_msg(kept == (rule == NULL), "%s at %d", wire_type_name(type), stage);
            if (rule != NULL) ck_assert_str_eq(talk.why, rule);
            close_talk();
        }
    }
}
END_TEST

/* Streams */

START_TEST(a_worker_streams_no_more_replies_than_it_has_requests) {
    open_talk(2, 3);
    greet();
    for (uint64_t id = 1; id <= 6; id++) ck_assert(say_chunk(id, "a"));
    ck_assert(say_chunk(4, "b"));
    ck_assert(say_reply(4, "c"));
    ck_assert_uint_eq(seen.last.id, 4);
    ck_assert_uint_eq(seen.reply_bytes, 3);
    ck_assert(say_chunk(7, "a"));
    ck_assert(say_error(7, KIND(FAILED)));
    ck_assert(say_chunk(8, "a"));
    ck_assert(!say_chunk(9, "a"));
    ck_assert_str_eq(talk.why, "chunks of more replies than it has requests");
    close_talk();
}
END_TEST

START_TEST(streams_that_interleave_stay_apart) {
    struct chance chance = chance_open();
    size_t bytes[8] = {0};
    open_talk(8, 1);
    greet();
    for (int round = 0; round < 20000; round++) {
        uint64_t id = 1 + chance_below(&chance, 8);
        if (bytes[id - 1] > 100 || chance_percent(&chance, 10)) {
            ck_assert(say_reply(id, ""));
            ck_assert_uint_eq(seen.last.id, id);
            ck_assert_uint_eq(seen.reply_bytes, bytes[id - 1]);
            bytes[id - 1] = 0;
        } else if (chance_percent(&chance, 5)) {
            ck_assert(say_error(id, KIND(INVALID_INPUT)));
            bytes[id - 1] = 0;
        } else {
            uint32_t cut = chance_below(&chance, 10);
            ck_assert(say_chunk(id, &"0123456789"[cut]));
            bytes[id - 1] += 10 - cut;
        }
    }
    close_talk();
}
END_TEST

/* Answers that are no frames */

static struct reply reply_of(size_t bytes, const char *content_type, const struct pair *pairs,
                             size_t pairs_count) {
    struct reply reply = {0};
    ck_assert_int_eq(body_from_heap(&reply.body, calloc(bytes + 1, 1), bytes), OK);
    if (content_type != NULL) reply.content_type = strdup(content_type);
    if (pairs_count > 0) {
        reply.metadata = calloc(pairs_count, sizeof *pairs);
        memcpy(reply.metadata, pairs, pairs_count * sizeof *pairs);
    }
    reply.metadata_count = pairs_count;
    return reply;
}

static void refuses_reply(size_t bytes, const char *type, const struct pair *pairs, size_t count,
                          const char *why) {
    open_talk(1, 1);
    greet();
    struct reply reply = reply_of(bytes, type, pairs, count);
    uint32_t before = seen.events;
    ck_assert(!talk_reply(&talk, 5, &reply));
    ck_assert_str_eq(talk.why, why);
    ck_assert_uint_eq(seen.events, before);
    ck_assert_ptr_null(reply.body); /* taken and freed */
    close_talk();
}

START_TEST(a_whole_reply_is_checked_as_a_frame_is) {
    static const struct pair good = {"Batch", "3"}, bad_name = {"a b", "x"},
                             bad_value = {"a", "x\r\ny"};
    struct pair many[ENVELOPE_METADATA_PAIRS + 1];
    for (size_t i = 0; i <= ENVELOPE_METADATA_PAIRS; i++) many[i] = good;
    open_talk(1, 1);
    greet();
    struct reply reply = reply_of(MAX_REPLY, "text/plain", many, ENVELOPE_METADATA_PAIRS);
    ck_assert(talk_reply(&talk, 5, &reply));
    ck_assert_int_eq(seen.last.kind, TRANSPORT_REPLY);
    ck_assert_uint_eq(seen.last.id, 5);
    ck_assert_uint_eq(seen.reply_bytes, MAX_REPLY);
    ck_assert_uint_eq(seen.reply_pairs, ENVELOPE_METADATA_PAIRS);
    ck_assert_ptr_null(reply.body);
    close_talk();
    refuses_reply(MAX_REPLY + 1, NULL, NULL, 0, "a reply is larger than the gateway accepts");
    refuses_reply(1, "a\nb", NULL, 0, "a content type is not valid");
    refuses_reply(1, NULL, many, ENVELOPE_METADATA_PAIRS + 1, "too many metadata pairs");
    refuses_reply(1, NULL, &bad_name, 1, "a metadata pair is not valid");
    refuses_reply(1, NULL, &bad_value, 1, "a metadata pair is not valid");
}
END_TEST

START_TEST(a_whole_answer_comes_only_when_answers_may) {
    static const char *const rules[] = {"did not begin with hello",
                                        "an answer before it was ready"};
    for (enum stage stage = NEW; stage < STAGES; stage++) {
        reach(stage);
        struct reply reply = reply_of(1, NULL, NULL, 0);
        ck_assert_int_eq(talk_reply(&talk, 1, &reply), stage >= READY);
        if (stage < READY) ck_assert_str_eq(talk.why, rules[stage]);
        ck_assert_int_eq(talk_error(&talk, 1, KIND(FAILED), "x"), stage >= READY);
        if (stage < READY) ck_assert_str_eq(talk.why, rules[stage]);
        close_talk();
    }
    reach(READY);
    ck_assert(say_chunk(1, "a"));
    struct reply reply = reply_of(1, NULL, NULL, 0);
    ck_assert(!talk_reply(&talk, 1, &reply));
    ck_assert_str_eq(talk.why, "the end of a reply went another way than its chunks");
    ck_assert(!talk_error(&talk, 1, KIND(FAILED), "x"));
    ck_assert(say_reply(1, "b"));
    ck_assert(talk_error(&talk, 1, KIND(FAILED), "x"));
    close_talk();
}
END_TEST

START_TEST(an_errors_kind_is_one_of_four_and_its_text_is_cleaned) {
    static const enum transport_error errors[] = {WORKER_SAID_FAILED, WORKER_SAID_INVALID,
                                                  WORKER_SAID_UNSUPPORTED, WORKER_SAID_CANCELLED};
    open_talk(1, 1);
    greet();
    for (uint32_t kind = 0; kind < 4; kind++) {
        ck_assert(talk_error(&talk, kind + 1, kind, "said\xff so"));
        ck_assert_int_eq(seen.last.kind, TRANSPORT_ERROR);
        ck_assert_uint_eq(seen.last.id, kind + 1);
        ck_assert_int_eq(seen.last.error, errors[kind]);
        ck_assert_str_eq(seen.text, "said? so");
        ck_assert(say_error(9, (int)kind));
        ck_assert_int_eq(seen.last.error, errors[kind]);
    }
    ck_assert(!talk_error(&talk, 1, 4, ""));
    ck_assert_str_eq(talk.why, "an error of an unknown kind");
    ck_assert(!talk_error(&talk, 1, UINT32_MAX, ""));
    ck_assert(!say_error(1, -1));
    ck_assert(!say_error(1, 4));
    close_talk();
}
END_TEST

/* What goes */

START_TEST(a_request_says_how_many_of_its_batch_follow) {
    static struct request request = {.id = 11,
                                     .request_id = "r",
                                     .content_type = "text/plain",
                                     .operation = "",
                                     .traceparent = "",
                                     .run_deadline_ns = CLOCK_NEVER};
    struct talk_frame frame;
    open_talk(1, 8);
    ck_assert_int_eq(talk_request(&talk, &request, 0, 7, &frame), OK);
    ck_assert_int_eq(outbox_add(&outbox, frame.head, frame.head_bytes, frame.body, frame.how), OK);
    ProtobufCMessage *message = sent(WIRE_REQUEST);
    const Poolgate__Worker__V1__Request *back = (const void *)message;
    ck_assert_uint_eq(back->id, 11);
    ck_assert_uint_eq(back->batch_more, 7);
    ck_assert_uint_eq(back->timeout_ns, 0);
    envelope_free(message);
    close_talk();
}
END_TEST

START_TEST(a_check_is_an_empty_frame) {
    open_talk(1, 1);
    talk_check(&outbox);
    envelope_free(sent(WIRE_CHECK));
    close_talk();
}
END_TEST

/* A worker that says anything at all, in well-formed frames. */

static bool say_by_ring(uint64_t id, size_t bytes) {
    struct reply reply = reply_of(bytes, NULL, NULL, 0);
    return talk_reply(&talk, id, &reply);
}

START_TEST(random_frames_are_kept_or_break_the_talk_and_leak_nothing) {
    struct chance chance = chance_open();
    uint32_t kept = 0, broken = 0;
    for (int round = 0; round < 3000; round++) {
        open_talk(1 + chance_below(&chance, 3), chance_below(&chance, 4));
        if (chance_percent(&chance, 95)) ck_assert(say_hello());
        if (chance_percent(&chance, 90) && talk.greeted)
            ck_assert(say_ready(chance_below(&chance, 9), chance_percent(&chance, 50)));
        for (bool may = true; may;) {
            uint64_t id = chance_below(&chance, 5);
            uint32_t roll = chance_below(&chance, 100);
            Poolgate__Worker__V1__Checked any = POOLGATE__WORKER__V1__CHECKED__INIT;
            any.error = (char *)&"what it says"[roll % 12];
            if (roll < 50)
                may = say_chunk(id, any.error);
            else if (roll < 70)
                may = say_reply(id, any.error);
            else if (roll < 80)
                may = say_error(id, (int)chance_below(&chance, 5));
            else if (roll < 90)
                may = say_by_ring(id, roll);
            else
                may = say((enum wire_type)(1 + chance_below(&chance, 14)), &any.base);
            kept += may;
            broken += !may;
        }
        ck_assert_uint_le(talk.partials_count, pool.inflight * 3);
        close_talk();
    }
    ck_assert_uint_eq(broken, 3000);
    ck_assert_uint_gt(kept, 3000);
}
END_TEST

SUITE("core/transport/talk", 60, hello_is_answered_by_a_setup_that_tells_the_largest_batch,
      a_pool_without_batches_says_nothing_about_them,
      ready_tells_the_batch_that_both_sides_can_take,
      a_pong_says_what_waits_and_for_how_long_the_current_one_runs,
      the_result_of_a_check_is_reported_with_a_clean_text,
      every_frame_at_every_time_is_kept_or_breaks_one_known_rule,
      a_worker_streams_no_more_replies_than_it_has_requests, streams_that_interleave_stay_apart,
      a_whole_reply_is_checked_as_a_frame_is, a_whole_answer_comes_only_when_answers_may,
      an_errors_kind_is_one_of_four_and_its_text_is_cleaned,
      a_request_says_how_many_of_its_batch_follow, a_check_is_an_empty_frame,
      random_frames_are_kept_or_break_the_talk_and_leak_nothing)
