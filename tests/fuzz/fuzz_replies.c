/* The ring of replies, as a hostile worker leaves it: the counter, then the ring's bytes. */
#include "core/transport/reply_record.h"
#include "tests/fuzz/fuzz.h"

#define RING_BYTES ((size_t)4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tape tape = tape_of(data, size);
    struct ring_head *head = aligned_alloc(64, sizeof *head);
    uint8_t *bytes = calloc(1, RING_BYTES);
    must(head != NULL && bytes != NULL);
    memset(head, 0, sizeof *head);
    const uint8_t wide = tape_byte(&tape);
    head->written = tape_number(&tape, wide == 255 ? 8 : 2) * (wide % 2 == 0 ? RING_GRAIN : 1);
    size_t count;
    const uint8_t *from = tape_bytes(&tape, RING_BYTES, &count);
    if (count > 0) memcpy(bytes, from, count);
    struct ring_reader reader = {.head = head, .bytes = bytes, .size = RING_BYTES};
    for (int i = 0; i < 200; i++) {
        struct reply_record record;
        const char *why = NULL;
        const enum reply_record_step step = reply_record_read(&reader, &record, &why);
        if (step == REPLY_RECORD_BROKEN) must(why != NULL);
        if (step != REPLY_RECORD_READ) break;
        if (record.kind == REPLY_RECORD_ERROR) must(strlen(record.text) <= RING_BYTES);
        if (record.kind == REPLY_RECORD_REPLY) {
            must(record.reply.body != NULL && record.reply.body->bytes <= RING_BYTES);
            for (size_t k = 0; k < record.reply.metadata_count; k++)
                must(strlen(record.reply.metadata[k].name) <= RING_BYTES);
            reply_free(&record.reply);
        }
        ring_release(&reader);
    }
    free(head);
    free(bytes);
    return 0;
}
