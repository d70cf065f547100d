/* The reading of clients' protobuf messages over slices cut anywhere, and of the InvokeRequest. */
#include "gateway/grpc/invoke_request.h"
#include "gateway/text_rules.h"

#include "protos/gateway.pb-c.h"
#include "protos/health.pb-c.h"
#include "protos/worker.pb-c.h"
#include "tests/support/suite.h"

#include <grpc/slice.h>
#include <stdbool.h>
#include <string.h>

static uint64_t seed = UINT64_C(0x5eed);

static size_t random_below(size_t bound) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % bound;
}

/* The bytes in slices of 1 to `longest` bytes each. */
static grpc_byte_buffer *cut(const uint8_t *bytes, size_t count, size_t longest) {
    grpc_slice *slices = calloc(count + 1, sizeof *slices);
    size_t used = 0;
    for (size_t at = 0, piece; at < count; at += piece) {
        piece = 1 + random_below(longest);
        if (piece > count - at) piece = count - at;
        slices[used++] = grpc_slice_from_copied_buffer((const char *)bytes + at, piece);
    }
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, used);
    for (size_t i = 0; i < used; i++) grpc_slice_unref(slices[i]);
    free(slices);
    return buffer;
}

static enum outcome read_bytes(struct invoke_request *request, const void *bytes, size_t count) {
    grpc_byte_buffer *buffer = cut(bytes, count, 7);
    enum outcome outcome = invoke_request_read(request, buffer);
    grpc_byte_buffer_destroy(buffer);
    return outcome;
}

struct gathered {
    uint8_t bytes[4096];
    size_t count, most;
};

static enum outcome gather(void *owner, const uint8_t *data, size_t bytes) {
    struct gathered *gathered = owner;
    if (gathered->count + bytes > gathered->most) return MEMORY_EXHAUSTED;
    memcpy(gathered->bytes + gathered->count, data, bytes);
    gathered->count += bytes;
    return OK;
}

/* --- whole requests --- */

static size_t pack_example(uint8_t out[8192], const uint8_t *payload, size_t payload_bytes) {
    Poolgate__V1__InvokeRequest message = POOLGATE__V1__INVOKE_REQUEST__INIT;
    Poolgate__V1__InvokeRequest__MetadataEntry first =
        POOLGATE__V1__INVOKE_REQUEST__METADATA_ENTRY__INIT;
    Poolgate__V1__InvokeRequest__MetadataEntry second = first;
    Poolgate__V1__InvokeRequest__MetadataEntry *entries[] = {&first, &second};
    first.key = "page", first.value = "7";
    second.key = "Lang", second.value = "d\xc3\xa9";
    message.pool = "ocr";
    message.payload = (ProtobufCBinaryData){.len = payload_bytes, .data = (uint8_t *)payload};
    message.content_type = "image/png";
    message.metadata = entries;
    message.n_metadata = 2;
    message.priority = POOLGATE__V1__PRIORITY__PRIORITY_BATCH;
    message.tenant = "acme";
    message.batch_key = "k";
    message.operation = "hocr";
    message.request_id = "r-1";
    return poolgate__v1__invoke_request__pack(&message, out);
}

static void assert_example(const struct invoke_request *request) {
    ck_assert_str_eq(request->pool, "ocr");
    ck_assert_str_eq(request->content_type, "image/png");
    ck_assert_str_eq(request->tenant, "acme");
    ck_assert_str_eq(request->batch_key, "k");
    ck_assert_str_eq(request->operation, "hocr");
    ck_assert_str_eq(request->request_id, "r-1");
    ck_assert_int_eq(request->priority, PRIORITY_BATCH);
    ck_assert_uint_eq(request->metadata_count, 2);
    ck_assert_str_eq(request->metadata[0].name, "page");
    ck_assert_str_eq(request->metadata[0].value, "7");
    ck_assert_str_eq(request->metadata[1].name, "Lang");
    ck_assert_str_eq(request->metadata[1].value, "d\xc3\xa9");
}

START_TEST(what_protobuf_c_packs_is_read_however_it_is_cut) {
    static uint8_t packed[8192], payload[3000];
    static struct invoke_request request;
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (uint8_t)random_below(256);
    for (size_t bytes = 0; bytes <= sizeof payload; bytes += 1 + random_below(97)) {
        size_t count = pack_example(packed, payload, bytes);
        for (size_t longest = 1; longest < 4096; longest *= 3) {
            grpc_byte_buffer *buffer = cut(packed, count, longest);
            ck_assert_int_eq(invoke_request_read(&request, buffer), OK);
            assert_example(&request);
            struct gathered gathered = {.most = sizeof gathered.bytes};
            ck_assert_int_eq(message_pieces(buffer, request.payload, gather, &gathered), OK);
            ck_assert_uint_eq(gathered.count, bytes);
            ck_assert_mem_eq(gathered.bytes, payload, bytes);
            grpc_byte_buffer_destroy(buffer);
        }
    }
}
END_TEST

START_TEST(nothing_is_an_empty_request) {
    static struct invoke_request request;
    ck_assert_int_eq(invoke_request_read(&request, NULL), OK);
    ck_assert_str_eq(request.pool, "");
    ck_assert_int_eq(request.priority, PRIORITY_NORMAL);
    ck_assert_uint_eq(request.metadata_count, 0);
    ck_assert_uint_eq(request.payload.bytes, 0);
}
END_TEST

START_TEST(a_piece_that_is_refused_ends_the_handing_out) {
    static uint8_t packed[8192];
    static const uint8_t payload[100];
    static struct invoke_request request;
    grpc_byte_buffer *buffer = cut(packed, pack_example(packed, payload, sizeof payload), 16);
    ck_assert_int_eq(invoke_request_read(&request, buffer), OK);
    struct gathered gathered = {.most = 50};
    ck_assert_int_eq(message_pieces(buffer, request.payload, gather, &gathered), MEMORY_EXHAUSTED);
    ck_assert_uint_le(gathered.count, 50);
    grpc_byte_buffer_destroy(buffer);
}
END_TEST

START_TEST(every_shorter_message_is_refused_or_sound) {
    static uint8_t packed[8192];
    static const uint8_t payload[20];
    static struct invoke_request request;
    size_t count = pack_example(packed, payload, sizeof payload), refused = 0;
    for (size_t length = 0; length < count; length++) {
        enum outcome outcome = read_bytes(&request, packed, length);
        ck_assert(outcome == OK || (outcome == INVALID_REQUEST && request.flaw != NULL));
        refused += outcome != OK;
    }
    ck_assert_uint_gt(refused, count / 2); /* only a cut between two fields is sound */
}
END_TEST

START_TEST(a_hundred_thousand_random_changes_do_no_harm) {
    static uint8_t packed[8192], changed[8192];
    static const uint8_t payload[200];
    static struct invoke_request request;
    size_t count = pack_example(packed, payload, sizeof payload);
    for (int round = 0; round < 100000; round++) {
        memcpy(changed, packed, count);
        for (size_t i = 0, changes = 1 + random_below(4); i < changes; i++)
            changed[random_below(count)] = (uint8_t)random_below(256);
        grpc_byte_buffer *buffer = cut(changed, count, 1 + random_below(300));
        if (invoke_request_read(&request, buffer) == OK) {
            ck_assert_uint_le(request.payload.offset + request.payload.bytes, count);
            ck_assert(text_valid(request.pool, strlen(request.pool)));
            ck_assert_uint_le(request.metadata_count, INVOKE_METADATA_PAIRS);
        }
        grpc_byte_buffer_destroy(buffer);
    }
}
END_TEST

/* --- single fields --- */

static void refused(const char *bytes, size_t count) {
    static struct invoke_request request;
    ck_assert_int_eq(read_bytes(&request, bytes, count), INVALID_REQUEST);
    ck_assert_ptr_nonnull(request.flaw);
}
#define REFUSED(text) refused(text, sizeof(text) - 1)

START_TEST(what_is_not_protobuf_is_refused) {
    REFUSED("\x0a"); /* no length */
    REFUSED("\x0a\x05"
            "abc");                                              /* too short */
    REFUSED("\x02\x00");                                         /* field 0 */
    REFUSED("\x0b\x0c");                                         /* a group */
    REFUSED("\xff\xff\xff\xff\x7f\x00");                         /* a tag above 32 bits */
    REFUSED("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");     /* a number above 64 bits */
    REFUSED("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* of eleven bytes */
    REFUSED("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");     /* a length of 2^64 - 1 */
    REFUSED("\x10\x01");                                         /* the payload is a number */
    REFUSED("\x0d\x01\x02\x03\x04");                             /* the pool is four bytes */
}
END_TEST

/* The flaw of a request of these bytes begins with the name of what is wrong. */
static void flawed(const char *bytes, size_t count, const char *words) {
    static struct invoke_request request;
    ck_assert_int_eq(read_bytes(&request, bytes, count), INVALID_REQUEST);
    ck_assert_msg(strncmp(request.flaw, words, strlen(words)) == 0, "%s: %s", words, request.flaw);
}
#define FLAWED(text, words) flawed(text, sizeof(text) - 1, words)

START_TEST(a_flaw_names_its_field) {
    FLAWED("\x0a\x05"
           "abc",
           "the pool's name reaches beyond the end");
    FLAWED("\x12\xff\xff\xff\x7f", "the payload reaches beyond the end");
    FLAWED("\x10\x01", "the payload is written as another kind");
    FLAWED("\x13", "the payload is written as another kind"); /* a group */
    FLAWED("\x1d\x01\x02\x03\x04", "the content type is written as another kind");
    FLAWED("\x1a\x02\xc3\x28", "the content type is not UTF-8");
    FLAWED("\x32\x03"
           "a\x00"
           "b",
           "the tenant has control characters");
    FLAWED("\x32\x04"
           "\x1b[2J",
           "the tenant has control characters");
    FLAWED("\x3a\x01\xff", "the batch key is not UTF-8");
    FLAWED("\x42\x01\n", "the operation has control characters");
    FLAWED("\x4a\x02\xc2\x85", "the request id has control characters");
    FLAWED("\x22\x00", "a name of metadata has");
    FLAWED("\x22\x06\x0a\x01"
           "a\x12\x01\n",
           "a value of metadata has control characters");
    FLAWED("\x22\x05\x0a\x01"
           "a\x10\x01",
           "a pair of metadata is written as another kind");
    FLAWED("\x22\x03\x0a\x05"
           "a",
           "a pair of metadata is not protobuf");
    FLAWED("\x22\x7f", "a pair of metadata reaches beyond the end");
    FLAWED("\x28\x06", "the priority is none of the enumeration");
    FLAWED("\x2a\x01\x01", "the priority is written as another kind");
    FLAWED("\x28\xff", "the priority reaches beyond the end");
    FLAWED("\x7a\x05", "a field reaches beyond the end");
    FLAWED("\x7b", "a field is written as another kind");
    FLAWED("\x00\x00", "the message is not protobuf");
}
END_TEST

/* depth fields of number, each in the one before; returns the length. */
static size_t nested(uint8_t number, size_t depth, uint8_t out[512]) {
    size_t used = 0;
    for (size_t i = 0; i < depth; i++) {
        size_t inside =
            2 * (depth - i - 1); /* at least a tag and a length each; below 128 in all */
        out[used++] = (uint8_t)(number << 3 | 2);
        out[used++] = (uint8_t)inside;
    }
    return used;
}

START_TEST(what_nests_in_a_known_field_is_refused_and_elsewhere_not_entered) {
    static struct invoke_request request;
    uint8_t bytes[512];
    for (size_t depth = 2; depth <= 33; depth++) {
        for (uint8_t number = 1; number <= 9; number++) {
            size_t count = nested(number, depth, bytes);
            enum outcome outcome = read_bytes(&request, bytes, count);
            bool is_bytes = number == 2; /* the payload is anything */
            ck_assert_msg((outcome == OK) == is_bytes, "field %u, %zu deep", number, depth);
        }
        ck_assert_int_eq(read_bytes(&request, bytes, nested(15, depth, bytes)), OK);
    }
    memset(bytes, 0x7b, sizeof bytes); /* groups, 512 deep */
    ck_assert_int_eq(read_bytes(&request, bytes, sizeof bytes), INVALID_REQUEST);
}
END_TEST

/* How deep a message of this kind can nest; more than `most` counts as endless. */
static unsigned depth_of(const ProtobufCMessageDescriptor *message, unsigned most) {
    unsigned deepest = 0;
    ck_assert_msg(most > 0, "%s may contain itself", message->name);
    for (unsigned i = 0; i < message->n_fields; i++) {
        if (message->fields[i].type != PROTOBUF_C_TYPE_MESSAGE) continue;
        unsigned depth = depth_of(message->fields[i].descriptor, most - 1);
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

/* protobuf-c 1.4.1 reads recursively and without a limit: only kinds that end may be given to it. */
START_TEST(no_message_of_any_protocol_may_contain_itself) {
    static const ProtobufCServiceDescriptor *const services[] = {
        &poolgate__v1__gateway__descriptor, &grpc__health__v1__health__descriptor};
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        for (unsigned m = 0; m < services[i]->n_methods; m++) {
            ck_assert_uint_le(depth_of(services[i]->methods[m].input, 8), 5);
            ck_assert_uint_le(depth_of(services[i]->methods[m].output, 8), 5);
        }
    static const ProtobufCMessageDescriptor *const envelopes[] = {
        &poolgate__worker__v1__hello__descriptor,   &poolgate__worker__v1__setup__descriptor,
        &poolgate__worker__v1__ready__descriptor,   &poolgate__worker__v1__request__descriptor,
        &poolgate__worker__v1__chunk__descriptor,   &poolgate__worker__v1__reply__descriptor,
        &poolgate__worker__v1__error__descriptor,   &poolgate__worker__v1__ping__descriptor,
        &poolgate__worker__v1__checked__descriptor, &poolgate__worker__v1__loading__descriptor};
    for (size_t i = 0; i < sizeof envelopes / sizeof envelopes[0]; i++)
        ck_assert_uint_le(depth_of(envelopes[i], 8), 2);
}
END_TEST

START_TEST(four_megabytes_of_empty_messages_are_refused_on_one_page) {
    static struct invoke_request request;
    size_t count = (size_t)4 << 20;
    for (uint8_t number = 1; number <= 15; number++) {
        uint8_t *bytes = malloc(count);
        for (size_t i = 0; i < count; i += 2) {
            bytes[i] = (uint8_t)(number << 3 | 2);
            bytes[i + 1] = 0;
        }
        grpc_byte_buffer *buffer = cut(bytes, count, 16384);
        enum outcome outcome = invoke_request_read(&request, buffer);
        ck_assert_int_eq(outcome, number == 2 ? OK : INVALID_REQUEST);
        if (number != 2) ck_assert_ptr_nonnull(strstr(request.flaw, "48 KiB beside its payload"));
        grpc_byte_buffer_destroy(buffer);
        free(bytes);
    }
}
END_TEST

START_TEST(a_text_is_utf8_without_control_characters) {
    REFUSED("\x0a\x03"
            "a\x00"
            "b");
    REFUSED("\x0a\x03"
            "a\nb");
    REFUSED("\x0a\x01"
            "\x7f");
    REFUSED("\x0a\x02"
            "\xc2\x85"); /* C1 */
    REFUSED("\x0a\x02"
            "\xc0\x80"); /* overlong */
    REFUSED("\x0a\x03"
            "\xed\xa0\x80"); /* half of a pair */
    REFUSED("\x0a\x03"
            "\xe2\x82"); /* cut short: one byte is missing */
    ck_assert(text_valid("\xf0\x9f\xa6\x86 \xe2\x82\xac", 8));
    ck_assert(!text_valid("\xf4\x90\x80\x80", 4)); /* beyond U+10FFFF */
}
END_TEST

START_TEST(a_priority_is_one_of_the_enumeration) {
    static const enum priority wanted[] = {PRIORITY_NORMAL, PRIORITY_CRITICAL, PRIORITY_HIGH,
                                           PRIORITY_NORMAL, PRIORITY_LOW,      PRIORITY_BATCH};
    static struct invoke_request request;
    for (uint8_t i = 0; i < 6; i++) {
        ck_assert_int_eq(read_bytes(&request, (const uint8_t[]){0x28, i}, 2), OK);
        ck_assert_int_eq(request.priority, wanted[i]);
    }
    REFUSED("\x28\x06");
    REFUSED("\x2d\x01\x00\x00\x00"); /* as four bytes */
}
END_TEST

START_TEST(of_two_pairs_with_one_name_the_later_counts) {
    static const char bytes[] = "\x22\x06\x0a\x01"
                                "a\x12\x01"
                                "1\x22\x06\x0a\x01"
                                "a\x12\x01"
                                "2";
    static struct invoke_request request;
    ck_assert_int_eq(read_bytes(&request, bytes, sizeof bytes - 1), OK);
    ck_assert_uint_eq(request.metadata_count, 1);
    ck_assert_str_eq(request.metadata[0].value, "2");
}
END_TEST

START_TEST(what_a_client_calls_authorization_goes_to_no_worker) {
    static const char bytes[] = "\x22\x12\x0a\x0d"
                                "Authorization"
                                "\x12\x01"
                                "1\x22\x06\x0a\x01"
                                "a\x12\x01"
                                "2";
    static struct invoke_request request;
    ck_assert_int_eq(read_bytes(&request, bytes, sizeof bytes - 1), OK);
    ck_assert_uint_eq(request.metadata_count, 1);
    ck_assert_str_eq(request.metadata[0].name, "a");
}
END_TEST

START_TEST(metadata_has_at_most_32_pairs_with_proper_names) {
    static struct invoke_request request;
    uint8_t bytes[33 * 8];
    for (size_t i = 0; i < 33; i++) {
        const uint8_t pair[] = {0x22, 6, 0x0a, 1, (uint8_t)(i < 26 ? 'a' + i : '0' + i - 26),
                                0x12, 1, 'x'};
        memcpy(bytes + i * 8, pair, 8);
    }
    ck_assert_int_eq(read_bytes(&request, bytes, 32 * 8), OK);
    ck_assert_uint_eq(request.metadata_count, 32);
    ck_assert_int_eq(read_bytes(&request, bytes, 33 * 8), INVALID_REQUEST);
    REFUSED("\x22\x00"); /* no name */
    REFUSED("\x22\x05\x0a\x03"
            "a_b");
    REFUSED("\x20\x01"); /* not a pair */
    REFUSED("\x22\x03\x0a\x05"
            "a"); /* reaches out of the pair */
}
END_TEST

START_TEST(small_fields_fill_a_page_and_no_more) {
    static uint8_t bytes[MESSAGE_PAGE_BYTES + 16];
    static struct invoke_request request;
    size_t content = MESSAGE_PAGE_BYTES - 4; /* a tag of one byte, a length of three */
    const uint8_t head[] = {0x7a, (uint8_t)(content | 0x80), (uint8_t)(content >> 7 | 0x80),
                            (uint8_t)(content >> 14)};
    memcpy(bytes, head, sizeof head);
    grpc_byte_buffer *buffer = cut(bytes, MESSAGE_PAGE_BYTES, 5000);
    ck_assert_int_eq(invoke_request_read(&request, buffer), OK);
    grpc_byte_buffer_destroy(buffer);
    bytes[MESSAGE_PAGE_BYTES] = 0x28; /* and a priority more */
    buffer = cut(bytes, MESSAGE_PAGE_BYTES + 2, 5000);
    ck_assert_int_eq(invoke_request_read(&request, buffer), INVALID_REQUEST);
    grpc_byte_buffer_destroy(buffer);
}
END_TEST

START_TEST(a_message_of_one_text_is_read) {
    static struct message_page page;
    grpc_byte_buffer *buffer = cut((const uint8_t *)"\x0a\x03"
                                                    "ocr\x10\x05",
                                   7, 2);
    const char *flaw;
    ck_assert_str_eq(message_only_text(buffer, &page, TEXT_POOL, &flaw), "ocr");
    grpc_byte_buffer_destroy(buffer);
    ck_assert_str_eq(message_only_text(NULL, &page, TEXT_POOL, &flaw), "");
    buffer = cut((const uint8_t *)"\x0a\x09"
                                  "ocr",
                 5, 2);
    ck_assert_ptr_null(message_only_text(buffer, &page, TEXT_POOL, &flaw));
    ck_assert_ptr_nonnull(flaw);
    grpc_byte_buffer_destroy(buffer);
}
END_TEST

SUITE("gateway/grpc/message", 60, what_protobuf_c_packs_is_read_however_it_is_cut,
      nothing_is_an_empty_request, a_piece_that_is_refused_ends_the_handing_out,
      every_shorter_message_is_refused_or_sound, a_hundred_thousand_random_changes_do_no_harm,
      what_is_not_protobuf_is_refused, a_flaw_names_its_field,
      what_nests_in_a_known_field_is_refused_and_elsewhere_not_entered,
      no_message_of_any_protocol_may_contain_itself,
      four_megabytes_of_empty_messages_are_refused_on_one_page,
      a_text_is_utf8_without_control_characters, a_priority_is_one_of_the_enumeration,
      of_two_pairs_with_one_name_the_later_counts,
      what_a_client_calls_authorization_goes_to_no_worker,
      metadata_has_at_most_32_pairs_with_proper_names, small_fields_fill_a_page_and_no_more,
      a_message_of_one_text_is_read)
