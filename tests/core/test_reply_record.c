/* Records in the ring of replies: as they were written, around the end, and from a hostile writer. */
#include "core/transport/reply_record.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define SIZE ((size_t)64 * 1024)

static struct ring_head *head;
static uint8_t *bytes;
static struct ring_writer writer;
static struct ring_reader reader;
static struct reply_record record;
static const char *why;

static void open_ring(void) {
    head = aligned_alloc(64, sizeof *head);
    memset(head, 0, sizeof *head);
    bytes = calloc(1, SIZE);
    writer = (struct ring_writer){.head = head, .bytes = bytes, .size = SIZE};
    reader = (struct ring_reader){.head = head, .bytes = bytes, .size = SIZE};
}

static void close_ring(void) {
    free(head);
    free(bytes);
}

static enum reply_record_step get(void) {
    enum reply_record_step step = reply_record_read(&reader, &record, &why);
    ring_release(&reader);
    return step;
}

static void put(struct reply_record_head record_head, const char *text, const void *payload) {
    struct iovec part = {(void *)(uintptr_t)text, record_head.text_bytes};
    ck_assert_int_eq(reply_record_write(&writer, &record_head, &part, 1, payload), RING_OK);
}

#define REPLY(texts, count)                                                                        \
    (struct reply_record_head) {                                                                   \
        .id = 7, .kind = REPLY_RECORD_REPLY, .text_bytes = (texts), .payload_bytes = (count)       \
    }

START_TEST(payloads_of_every_size_come_back_around_the_end_of_the_ring) {
    open_ring();
    static uint8_t payload[40000];
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t count = round * 199;
        for (uint32_t i = 0; i < count; i++) payload[i] = (uint8_t)(round + i * 13);
        put(REPLY(11, count), "text/plain", payload);
        ck_assert_int_eq(get(), REPLY_RECORD_READ);
        ck_assert_uint_eq(record.id, 7);
        ck_assert_str_eq(record.reply.content_type, "text/plain");
        ck_assert_uint_eq(record.reply.body->bytes, count);
        if (count > 0) ck_assert_mem_eq(record.reply.body->data, payload, count);
        reply_free(&record.reply);
        ck_assert_int_eq(get(), REPLY_RECORD_NONE);
    }
    close_ring();
}
END_TEST

START_TEST(the_plain_type_is_not_kept_and_pairs_are) {
    open_ring();
    struct reply_record_head with_pairs = REPLY(25 + 10, 0);
    with_pairs.pairs = 2;
    put(with_pairs, "application/octet-stream\0a\0bb\0cc\0d", NULL);
    ck_assert_int_eq(get(), REPLY_RECORD_READ);
    ck_assert_ptr_null(record.reply.content_type);
    ck_assert_uint_eq(record.reply.metadata_count, 2);
    ck_assert_str_eq(record.reply.metadata[0].name, "a");
    ck_assert_str_eq(record.reply.metadata[0].value, "bb");
    ck_assert_str_eq(record.reply.metadata[1].value, "d");
    reply_free(&record.reply);
    close_ring();
}
END_TEST

START_TEST(an_error_has_its_kind_and_its_text) {
    open_ring();
    put(
        (struct reply_record_head){
            .id = 3, .kind = REPLY_RECORD_ERROR, .error = 2, .text_bytes = 5},
        "what", NULL);
    ck_assert_int_eq(get(), REPLY_RECORD_READ);
    ck_assert_int_eq(record.kind, REPLY_RECORD_ERROR);
    ck_assert_uint_eq(record.error, 2);
    ck_assert_str_eq(record.text, "what");
    close_ring();
}
END_TEST

static void is_refused(struct reply_record_head record_head, const char *text) {
    open_ring();
    struct iovec parts[] = {{&record_head, sizeof record_head}, {(void *)(uintptr_t)text, 32}};
    ck_assert_int_eq(ring_write(&writer, parts, 2), RING_OK);
    ck_assert_int_eq(get(), REPLY_RECORD_BROKEN);
    ck_assert_ptr_nonnull(why);
    close_ring();
}

/* Each has 32 bytes behind its head. */
START_TEST(heads_that_make_no_sense_are_refused) {
    static const char text[32] = "text";
    is_refused(REPLY(33, 0), text);
    is_refused(REPLY(5, 28), text);
    is_refused(REPLY(UINT32_MAX, 0), text);
    is_refused(REPLY(5, UINT32_MAX), text);
    is_refused(REPLY(0, 0), text);
    is_refused(REPLY(4, 0), text);  /* its text does not end */
    is_refused(REPLY(10, 0), text); /* it is more than one */
    struct reply_record_head head_of = REPLY(5, 0);
    head_of.pairs = 1;
    is_refused(head_of, text);
    head_of.pairs = REPLY_RECORD_PAIRS + 1;
    is_refused(head_of, text);
    head_of = REPLY(5, 0);
    head_of.kind = 3;
    is_refused(head_of, text);
    head_of = REPLY(5, 5);
    head_of.kind = REPLY_RECORD_ERROR;
    is_refused(head_of, text);
}
END_TEST

START_TEST(half_a_million_random_records_never_leave_the_ring) {
    open_ring();
    struct chance chance = chance_open();
    uint32_t read = 0, refused = 0;
    for (uint32_t round = 0; round < 500000; round++) {
        struct reply_record_head random = {.id = chance_next(&chance),
                                           .kind = (uint8_t)chance_below(&chance, 4),
                                           .pairs = (uint16_t)chance_below(&chance, 3),
                                           .text_bytes = chance_below(&chance, 40),
                                           .payload_bytes = chance_below(&chance, 100)};
        bool honest = chance_percent(&chance, 30); /* empty texts, as many as there should be */
        if (honest) random.text_bytes = 1 + 2u * random.pairs;
        for (size_t i = chance_below(&chance, 3); i > 0; i--)
            ((uint8_t *)&random)[8 + chance_below(&chance, 12)] = (uint8_t)chance_next(&chance);
        size_t at = (size_t)reader.read & (SIZE - 1);
        memcpy(bytes + at, &random, sizeof random);
        for (size_t i = 0; i < 40; i++)
            bytes[(at + 32 + i) & (SIZE - 1)] =
                honest ? 0 : (uint8_t)(chance_below(&chance, 3) * 'x');
        atomic_store(&head->written, reader.read + 32u * (1 + chance_below(&chance, 6)));
        enum reply_record_step step = get();
        read += step == REPLY_RECORD_READ;
        refused += step == REPLY_RECORD_BROKEN;
        reply_free(&record.reply);
        size_t left;
        require(ring_waiting(&reader, &left) == RING_OK); /* never past what was written */
    }
    ck_assert_uint_gt(read, 5000);
    ck_assert_uint_gt(refused, 10000);
    close_ring();
}
END_TEST

SUITE("core/transport/reply_record", 60,
      payloads_of_every_size_come_back_around_the_end_of_the_ring,
      the_plain_type_is_not_kept_and_pairs_are, an_error_has_its_kind_and_its_text,
      heads_that_make_no_sense_are_refused, half_a_million_random_records_never_leave_the_ring)
