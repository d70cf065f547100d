/* wire and envelope: a frame survives any way of being cut up, and nothing else passes for one. */
#include "core/transport/envelope.h"
#include "core/transport/wire.h"
#include "protos/worker.pb-c.h"
#include "tests/support/suite.h"

#include <string.h>

#define MAX_PAYLOAD 1000

static const enum wire_type all_types[] = {
#define TYPE(name, number, has_payload) WIRE_##name,
    WIRE_TYPES(TYPE)
#undef TYPE
};
#define TYPES (sizeof all_types / sizeof all_types[0])

static bool has_payload(enum wire_type type) {
    return type == WIRE_REQUEST || type == WIRE_CHUNK || type == WIRE_REPLY;
}

struct bytes {
    size_t count;
    uint8_t at[WIRE_HEADER_BYTES + WIRE_MAX_ENVELOPE_BYTES + MAX_PAYLOAD];
};

/* A frame whose envelope is 1 2 3 … and whose payload is … 3 2 1. */
static void make_frame(struct bytes *out, enum wire_type type, uint8_t flags, uint32_t envelope,
                       uint32_t payload) {
    const struct wire_header header = {type, flags, envelope, payload};
    wire_header_encode(&header, out->at);
    out->count = WIRE_HEADER_BYTES;
    for (uint32_t i = 1; i <= envelope; i++) out->at[out->count++] = (uint8_t)i;
    if ((flags & WIRE_FLAG_MEMFD) != 0) return;
    for (uint32_t i = payload; i > 0; i--) out->at[out->count++] = (uint8_t)i;
}

/* Feeds at most `most` bytes at a time, until a frame is complete, the rules are broken or the bytes
 * are used up. */
static enum wire_step feed(struct wire_reader *reader, const uint8_t *bytes, size_t count,
                           size_t most, size_t *used) {
    enum wire_step step = WIRE_WANT_BYTES;
    *used = 0;
    while (step == WIRE_WANT_BYTES && *used < count) {
        size_t room;
        uint8_t *space = wire_reader_space(reader, &room);
        ck_assert_uint_gt(room, 0);
        if (room > most) room = most;
        if (room > count - *used) room = count - *used;
        memcpy(space, bytes + *used, room);
        *used += room;
        step = wire_reader_advance(reader, room);
    }
    return step;
}

static void assert_frame(const struct wire_reader *reader, enum wire_type type, uint32_t envelope,
                         uint32_t payload) {
    ck_assert_int_eq(reader->header.type, type);
    ck_assert_uint_eq(reader->header.envelope_bytes, envelope);
    ck_assert_uint_eq(reader->header.payload_bytes, payload);
    for (uint32_t i = 0; i < envelope; i++)
        ck_assert_uint_eq(reader->envelope[i], (uint8_t)(i + 1));
    for (uint32_t i = 0; i < payload; i++)
        ck_assert_uint_eq(reader->payload[i], (uint8_t)(payload - i));
}

static const char *why_refused(struct wire_header header, uint32_t max_payload_bytes) {
    uint8_t bytes[WIRE_HEADER_BYTES];
    const char *why = "";
    struct wire_header out;
    wire_header_encode(&header, bytes);
    enum outcome outcome = wire_header_decode(&out, bytes, max_payload_bytes, &why);
    ck_assert_int_eq(outcome, why == NULL ? OK : INVALID_REQUEST);
    return why;
}

START_TEST(a_header_is_sixteen_little_endian_bytes) {
    const struct wire_header header = {WIRE_REPLY, WIRE_FLAG_MEMFD, 0x0102, 0x03040506};
    static const uint8_t expected[WIRE_HEADER_BYTES] = {'P', 'G', 'W', '1', 7, 1, 0, 0,
                                                        2,   1,   0,   0,   6, 5, 4, 3};
    uint8_t bytes[WIRE_HEADER_BYTES];
    struct wire_header back;
    const char *why;
    wire_header_encode(&header, bytes);
    ck_assert_mem_eq(bytes, expected, sizeof expected);
    ck_assert_int_eq(wire_header_decode(&back, bytes, UINT32_MAX, &why), OK);
    ck_assert_ptr_null(why);
    ck_assert_int_eq(back.type, WIRE_REPLY);
    ck_assert_uint_eq(back.flags, WIRE_FLAG_MEMFD);
    ck_assert_uint_eq(back.envelope_bytes, 0x0102);
    ck_assert_uint_eq(back.payload_bytes, 0x03040506);
}
END_TEST

START_TEST(every_type_has_its_name_and_others_have_none) {
    ck_assert_str_eq(wire_type_name(WIRE_HELLO), "HELLO");
    ck_assert_str_eq(wire_type_name(WIRE_SHUTDOWN), "SHUTDOWN");
    ck_assert_str_eq(wire_type_name((enum wire_type)0), "?");
    ck_assert_str_eq(wire_type_name(WIRE_CHECKED), "CHECKED");
    ck_assert_str_eq(wire_type_name((enum wire_type)15), "?");
    ck_assert_str_eq(wire_type_name((enum wire_type)255), "?");
}
END_TEST

START_TEST(only_types_with_a_payload_may_have_one) {
    for (size_t i = 0; i < TYPES; i++) {
        struct wire_header header = {all_types[i], 0, 0, 0};
        ck_assert_ptr_null(why_refused(header, MAX_PAYLOAD));
        header.payload_bytes = 1;
        const char *why = why_refused(header, MAX_PAYLOAD);
        if (has_payload(header.type))
            ck_assert_ptr_null(why);
        else
            ck_assert_str_eq(why, "this type of frame has no payload");
    }
}
END_TEST

START_TEST(a_memfd_is_for_requests_and_replies_with_a_payload) {
    for (size_t i = 0; i < TYPES; i++) {
        const char *why =
            why_refused((struct wire_header){all_types[i], WIRE_FLAG_MEMFD, 0, 1}, MAX_PAYLOAD);
        if (all_types[i] == WIRE_REQUEST || all_types[i] == WIRE_REPLY)
            ck_assert_ptr_null(why);
        else
            ck_assert_str_eq(why, "only REQUEST and REPLY may have a memfd");
    }
    ck_assert_str_eq(
        why_refused((struct wire_header){WIRE_REQUEST, WIRE_FLAG_MEMFD, 0, 0}, MAX_PAYLOAD),
        "a memfd without a payload");
    for (unsigned flags = 2; flags < 256; flags++)
        ck_assert_str_eq(
            why_refused((struct wire_header){WIRE_REQUEST, (uint8_t)flags, 0, 1}, MAX_PAYLOAD),
            "unknown flags are set");
}
END_TEST

START_TEST(the_limits_hold_to_the_byte) {
    struct wire_header header = {WIRE_REPLY, 0, WIRE_MAX_ENVELOPE_BYTES, MAX_PAYLOAD};
    ck_assert_ptr_null(why_refused(header, MAX_PAYLOAD));
    header.envelope_bytes++;
    ck_assert_str_eq(why_refused(header, MAX_PAYLOAD), "the envelope is too large");
    header.envelope_bytes = UINT32_MAX;
    ck_assert_str_eq(why_refused(header, MAX_PAYLOAD), "the envelope is too large");
    header.envelope_bytes = 0;
    header.payload_bytes++;
    ck_assert_str_eq(why_refused(header, MAX_PAYLOAD), "the payload is too large");
    header.flags = WIRE_FLAG_MEMFD;
    ck_assert_str_eq(why_refused(header, MAX_PAYLOAD), "the payload is too large");
    header.payload_bytes = UINT32_MAX;
    ck_assert_ptr_null(why_refused(header, UINT32_MAX));
}
END_TEST

START_TEST(every_other_value_of_a_fixed_byte_is_refused) {
    static const size_t fixed[] = {0, 1, 2, 3, 6, 7};
    struct wire_header out, ping = {WIRE_PING, 0, 0, 0};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            uint8_t bytes[WIRE_HEADER_BYTES];
            const char *why;
            wire_header_encode(&ping, bytes);
            bytes[fixed[i]] ^= (uint8_t)flip;
            ck_assert_int_eq(wire_header_decode(&out, bytes, MAX_PAYLOAD, &why), INVALID_REQUEST);
            ck_assert_str_eq(why, fixed[i] < 4 ? "the magic number is wrong"
                                               : "the reserved bytes are not zero");
        }
    }
    ck_assert_str_eq(why_refused((struct wire_header){0, 0, 0, 0}, 0), "the type is unknown");
    ck_assert_str_eq(why_refused((struct wire_header){15, 0, 0, 0}, 0), "the type is unknown");
}
END_TEST

START_TEST(every_truncation_of_every_type_waits_for_the_rest) {
    struct bytes frame;
    for (size_t i = 0; i < TYPES; i++) {
        uint32_t payload = has_payload(all_types[i]) ? 40 : 0;
        make_frame(&frame, all_types[i], 0, 30, payload);
        for (size_t cut = 0; cut < frame.count; cut++) {
            struct wire_reader reader;
            size_t used;
            wire_reader_init(&reader, MAX_PAYLOAD);
            ck_assert_int_eq(feed(&reader, frame.at, cut, SIZE_MAX, &used), WIRE_WANT_BYTES);
            ck_assert_uint_eq(used, cut);
            ck_assert_int_eq(feed(&reader, frame.at + cut, frame.count - cut, SIZE_MAX, &used),
                             WIRE_FRAME);
            assert_frame(&reader, all_types[i], 30, payload);
            wire_reader_free(&reader);
        }
    }
}
END_TEST

START_TEST(one_reader_reads_many_frames_one_byte_at_a_time) {
    struct wire_reader reader;
    struct bytes frame;
    wire_reader_init(&reader, MAX_PAYLOAD);
    for (uint32_t round = 0; round < 10 * TYPES; round++) {
        enum wire_type type = all_types[round % TYPES];
        uint32_t envelope = round * 7 % 600, payload = has_payload(type) ? round * 13 % 500 : 0;
        size_t used;
        make_frame(&frame, type, 0, envelope, payload);
        ck_assert_int_eq(feed(&reader, frame.at, frame.count, 1, &used), WIRE_FRAME);
        ck_assert_uint_eq(used, frame.count);
        assert_frame(&reader, type, envelope, payload);
        wire_reader_next(&reader);
    }
    wire_reader_free(&reader);
}
END_TEST

START_TEST(a_reader_never_asks_past_the_end_of_its_frame) {
    struct wire_reader reader;
    static struct bytes two, second;
    size_t used;
    make_frame(&two, WIRE_REQUEST, 0, 10, 20);
    size_t first_bytes = two.count;
    make_frame(&second, WIRE_CANCEL, 0, 5, 0);
    memcpy(two.at + two.count, second.at, second.count);
    two.count += second.count;
    wire_reader_init(&reader, MAX_PAYLOAD);
    ck_assert_int_eq(feed(&reader, two.at, two.count, SIZE_MAX, &used), WIRE_FRAME);
    ck_assert_uint_eq(used, first_bytes);
    wire_reader_next(&reader);
    ck_assert_int_eq(feed(&reader, two.at + used, two.count - used, SIZE_MAX, &used), WIRE_FRAME);
    assert_frame(&reader, WIRE_CANCEL, 5, 0);
    wire_reader_free(&reader);
}
END_TEST

START_TEST(the_envelope_buffer_is_kept_and_grows_only_to_the_limit) {
    struct wire_reader reader;
    static struct bytes frame;
    size_t used;
    wire_reader_init(&reader, MAX_PAYLOAD);
    make_frame(&frame, WIRE_PING, 0, 100, 0);
    ck_assert_int_eq(feed(&reader, frame.at, frame.count, SIZE_MAX, &used), WIRE_FRAME);
    const uint8_t *first = reader.envelope;
    wire_reader_next(&reader);
    ck_assert_int_eq(feed(&reader, frame.at, frame.count, SIZE_MAX, &used), WIRE_FRAME);
    ck_assert_ptr_eq(reader.envelope, first);
    wire_reader_next(&reader);
    make_frame(&frame, WIRE_PING, 0, WIRE_MAX_ENVELOPE_BYTES, 0);
    ck_assert_int_eq(feed(&reader, frame.at, frame.count, SIZE_MAX, &used), WIRE_FRAME);
    ck_assert_uint_eq(reader.envelope_capacity, WIRE_MAX_ENVELOPE_BYTES);
    assert_frame(&reader, WIRE_PING, WIRE_MAX_ENVELOPE_BYTES, 0);
    wire_reader_free(&reader);
}
END_TEST

START_TEST(a_taken_payload_is_the_callers) {
    struct wire_reader reader;
    struct bytes frame;
    size_t used;
    wire_reader_init(&reader, MAX_PAYLOAD);
    make_frame(&frame, WIRE_CHUNK, 0, 0, 3);
    ck_assert_int_eq(feed(&reader, frame.at, frame.count, SIZE_MAX, &used), WIRE_FRAME);
    uint8_t *payload = wire_reader_take_payload(&reader);
    ck_assert_ptr_null(wire_reader_take_payload(&reader));
    wire_reader_next(&reader);
    wire_reader_free(&reader);
    ck_assert_mem_eq(payload, "\3\2\1", 3);
    free(payload);
}
END_TEST

START_TEST(a_payload_in_a_memfd_is_not_awaited_in_the_stream) {
    struct wire_reader reader;
    struct bytes frame;
    size_t used;
    wire_reader_init(&reader, UINT32_MAX);
    make_frame(&frame, WIRE_REPLY, WIRE_FLAG_MEMFD, 4, UINT32_MAX);
    ck_assert_int_eq(feed(&reader, frame.at, frame.count, SIZE_MAX, &used), WIRE_FRAME);
    ck_assert_uint_eq(reader.header.payload_bytes, UINT32_MAX);
    ck_assert_ptr_null(reader.payload);
    wire_reader_free(&reader);
}
END_TEST

START_TEST(a_broken_reader_stays_broken_and_holds_no_memory) {
    struct wire_reader reader;
    struct bytes frame;
    size_t used;
    wire_reader_init(&reader, MAX_PAYLOAD);
    make_frame(&frame, WIRE_REPLY, 0, 0, MAX_PAYLOAD + 1);
    ck_assert_int_eq(feed(&reader, frame.at, WIRE_HEADER_BYTES, SIZE_MAX, &used), WIRE_BROKEN);
    ck_assert_str_eq(reader.why, "the payload is too large");
    ck_assert_ptr_null(reader.payload);
    ck_assert_ptr_null(reader.envelope);
    ck_assert_int_eq(wire_reader_advance(&reader, 0), WIRE_BROKEN);
    wire_reader_free(&reader);
}
END_TEST

/* xorshift64 (Marsaglia 2003) */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(random_bytes_never_do_more_than_break_a_reader) {
    uint64_t seed = UINT64_C(0x9d2c5680ca88b1f3);
    unsigned long frames = 0, broken = 0;
    for (int round = 0; round < 100000; round++) {
        struct wire_reader reader;
        struct bytes noise = {.count = 16 + next_random(&seed) % 64};
        for (size_t i = 0; i < noise.count; i++) noise.at[i] = (uint8_t)next_random(&seed);
        if (round % 4 != 0) memcpy(noise.at, "PGW1", 4);
        if (round % 4 > 1) {
            noise.at[4] = (uint8_t)(1 + noise.at[4] % TYPES);
            noise.at[5] %= 2;
            noise.at[6] = noise.at[7] = 0;
        }
        if (round % 4 == 3) memset(noise.at + 9, 0, 3), memset(noise.at + 13, 0, 3);
        size_t used;
        wire_reader_init(&reader, MAX_PAYLOAD);
        enum wire_step step =
            feed(&reader, noise.at, noise.count, 1 + next_random(&seed) % 20, &used);
        ck_assert_uint_le(reader.envelope_capacity, WIRE_MAX_ENVELOPE_BYTES);
        frames += step == WIRE_FRAME;
        broken += step == WIRE_BROKEN;
        wire_reader_free(&reader);
    }
    ck_assert_uint_gt(frames, 100); /* else the noise was never near a frame */
    ck_assert_uint_gt(broken, 10000);
}
END_TEST

START_TEST(an_envelope_comes_back_as_it_was_packed) {
    Poolgate__Worker__V1__Error error = POOLGATE__WORKER__V1__ERROR__INIT;
    error.id = 77;
    error.kind = POOLGATE__WORKER__V1__ERROR_KIND__UNSUPPORTED;
    error.message = (char *)"no such operation";
    uint8_t *block;
    size_t bytes;
    struct wire_header header;
    const char *why;
    ProtobufCMessage *message;
    ck_assert_int_eq(envelope_pack(&error.base, WIRE_ERROR, 0, 0, &block, &bytes), OK);
    ck_assert_int_eq(wire_header_decode(&header, block, 0, &why), OK);
    ck_assert_uint_eq(header.envelope_bytes + WIRE_HEADER_BYTES, bytes);
    ck_assert_int_eq(
        envelope_unpack(header.type, block + WIRE_HEADER_BYTES, header.envelope_bytes, &message),
        OK);
    const Poolgate__Worker__V1__Error *back = (const void *)message;
    ck_assert_uint_eq(back->id, 77);
    ck_assert_int_eq(back->kind, POOLGATE__WORKER__V1__ERROR_KIND__UNSUPPORTED);
    ck_assert_str_eq(back->message, "no such operation");
    envelope_free(message);
    free(block);
}
END_TEST

START_TEST(an_envelope_above_the_limit_is_not_packed) {
    static char note[WIRE_MAX_ENVELOPE_BYTES + 1];
    Poolgate__Worker__V1__Loading loading = POOLGATE__WORKER__V1__LOADING__INIT;
    loading.note = note;
    uint8_t *block;
    size_t bytes;
    memset(note, 'n', WIRE_MAX_ENVELOPE_BYTES - 4); /* tag and length take four */
    ck_assert_int_eq(envelope_pack(&loading.base, WIRE_LOADING, 0, 0, &block, &bytes), OK);
    ck_assert_uint_eq(bytes, WIRE_HEADER_BYTES + WIRE_MAX_ENVELOPE_BYTES);
    free(block);
    note[WIRE_MAX_ENVELOPE_BYTES - 4] = 'n';
    ck_assert_int_eq(envelope_pack(&loading.base, WIRE_LOADING, 0, 0, &block, &bytes),
                     INVALID_REQUEST);
    ck_assert_ptr_null(block);
}
END_TEST

START_TEST(an_empty_envelope_is_a_message_with_nothing_set) {
    for (size_t i = 0; i < TYPES; i++) {
        ProtobufCMessage *message;
        ck_assert_int_eq(envelope_unpack(all_types[i], NULL, 0, &message), OK);
        envelope_free(message);
    }
    ProtobufCMessage *message;
    ck_assert_int_eq(envelope_unpack((enum wire_type)0, NULL, 0, &message), INVALID_REQUEST);
    ck_assert_int_eq(envelope_unpack((enum wire_type)15, NULL, 0, &message), INVALID_REQUEST);
    ck_assert_ptr_null(message);
}
END_TEST

START_TEST(an_envelope_that_would_grow_past_the_cap_is_refused) {
    static uint8_t bytes[WIRE_MAX_ENVELOPE_BYTES];
    ProtobufCMessage *message;
    for (size_t i = 0; i < sizeof bytes; i += 2) bytes[i] = 0x1a; /* metadata { } */
    ck_assert_int_eq(envelope_unpack(WIRE_REPLY, bytes, sizeof bytes, &message), INVALID_REQUEST);
    ck_assert_ptr_null(message);
    ck_assert_int_eq(envelope_unpack(WIRE_REPLY, bytes, 64, &message), OK);
    envelope_free(message);
}
END_TEST

START_TEST(random_envelopes_of_every_type_are_harmless) {
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);
    unsigned long understood = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[48];
        size_t count = next_random(&seed) % sizeof bytes;
        for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(next_random(&seed) % 40);
        ProtobufCMessage *message;
        if (envelope_unpack(all_types[(size_t)round % TYPES], bytes, count, &message) == OK)
            understood++;
        envelope_free(message);
    }
    ck_assert_uint_gt(understood, 100);
}
END_TEST

START_TEST(metadata_names_are_short_tokens) {
    char name[ENVELOPE_NAME_BYTES + 2] = "";
    ck_assert(envelope_name_valid("Echo-Slot-2"));
    ck_assert(!envelope_name_valid(NULL));
    ck_assert(!envelope_name_valid(""));
    ck_assert(!envelope_name_valid("a_b"));
    ck_assert(!envelope_name_valid("a b"));
    ck_assert(!envelope_name_valid("a\r\nb"));
    memset(name, 'a', ENVELOPE_NAME_BYTES);
    ck_assert(envelope_name_valid(name));
    name[ENVELOPE_NAME_BYTES] = 'a';
    ck_assert(!envelope_name_valid(name));
}
END_TEST

START_TEST(metadata_values_are_utf8_without_control_characters) {
    static const char *const good[] = {"",
                                       "0.97",
                                       "a b",
                                       "gr\xc3\xbc\xc3\x9f",
                                       "\xf0\x9f\x90\xb3",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xc2\xa0"};
    static const char *const bad[] = {"a\r\nSet-Cookie: b",
                                      "\t",
                                      "\x7f",
                                      "\xc2\x80",
                                      "\xc2\x9f",
                                      "\x80",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xe0\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf0\x9f\x90",
                                      "\xf8\x88\x80\x80",
                                      "\xff",
                                      "\xe2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(envelope_value_valid(good[i]), "good value %zu was refused", i);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!envelope_value_valid(bad[i]), "bad value %zu passed", i);
    ck_assert(!envelope_value_valid(NULL));
    char value[ENVELOPE_VALUE_BYTES + 2] = "";
    memset(value, 'v', ENVELOPE_VALUE_BYTES);
    ck_assert(envelope_value_valid(value));
    value[ENVELOPE_VALUE_BYTES] = 'v';
    ck_assert(!envelope_value_valid(value));
}
END_TEST

START_TEST(a_text_is_cut_between_characters_and_cleaned) {
    char out[ENVELOPE_TEXT_BYTES + 1], text[ENVELOPE_TEXT_BYTES + 8] = "";
    envelope_text_clean(out, NULL);
    ck_assert_str_eq(out, "");
    envelope_text_clean(out, "line\n\ttwo\r\x1b[0m \xc3\xbc \xff\xc3");
    ck_assert_str_eq(out, "line\n\ttwo??[0m \xc3\xbc ??");
    memset(text, 'a', ENVELOPE_TEXT_BYTES);
    memcpy(text + ENVELOPE_TEXT_BYTES - 2, "\xe2\x82\xac", 4); /* one byte too far */
    envelope_text_clean(out, text);
    ck_assert_uint_eq(strlen(out), ENVELOPE_TEXT_BYTES - 2);
    envelope_text_clean(out, text + 1);
    ck_assert_uint_eq(strlen(out), ENVELOPE_TEXT_BYTES);
    ck_assert_str_eq(out + ENVELOPE_TEXT_BYTES - 3, "\xe2\x82\xac");
}
END_TEST

SUITE("core/transport/wire", 60, a_header_is_sixteen_little_endian_bytes,
      every_type_has_its_name_and_others_have_none, only_types_with_a_payload_may_have_one,
      a_memfd_is_for_requests_and_replies_with_a_payload, the_limits_hold_to_the_byte,
      every_other_value_of_a_fixed_byte_is_refused,
      every_truncation_of_every_type_waits_for_the_rest,
      one_reader_reads_many_frames_one_byte_at_a_time,
      a_reader_never_asks_past_the_end_of_its_frame,
      the_envelope_buffer_is_kept_and_grows_only_to_the_limit, a_taken_payload_is_the_callers,
      a_payload_in_a_memfd_is_not_awaited_in_the_stream,
      a_broken_reader_stays_broken_and_holds_no_memory,
      random_bytes_never_do_more_than_break_a_reader, an_envelope_comes_back_as_it_was_packed,
      an_envelope_above_the_limit_is_not_packed, an_empty_envelope_is_a_message_with_nothing_set,
      an_envelope_that_would_grow_past_the_cap_is_refused,
      random_envelopes_of_every_type_are_harmless, metadata_names_are_short_tokens,
      metadata_values_are_utf8_without_control_characters,
      a_text_is_cut_between_characters_and_cleaned)
