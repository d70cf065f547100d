/* What a worker sends: frames, their envelopes, and what they mean to the gateway. */
#include "core/transport/envelope.h"
#include "core/transport/talk.h"
#include "tests/fuzz/fuzz.h"

#define MAX_REPLY 4096

static struct pool_options pool = {
    .name = "test", .inflight = 2, .queue.batch_max = 4, .max_reply_bytes = MAX_REPLY};

static void on_event(void *owner, const struct transport_event *event) {
    must(owner == &pool && event->text != NULL);
    if (event->reply == NULL) return;
    must(event->reply->body->bytes <= MAX_REPLY);
    for (size_t i = 0; i < event->reply->metadata_count; i++) {
        must(envelope_name_valid(event->reply->metadata[i].name));
        must(envelope_value_valid(event->reply->metadata[i].value));
    }
    if (event->id % 2 == 0) reply_free(event->reply);
}

static bool read_frame(struct talk *talk, struct wire_reader *reader, struct outbox *outbox,
                       struct tape *tape) {
    for (enum wire_step step = WIRE_WANT_BYTES; tape_more(tape);) {
        size_t room, bytes;
        uint8_t *space = wire_reader_space(reader, &room);
        must(room > 0);
        const uint8_t *from = tape_bytes(tape, room, &bytes);
        memcpy(space, from, bytes);
        step = wire_reader_advance(reader, bytes);
        if (step == WIRE_BROKEN) must(reader->why != NULL);
        if (step == WIRE_BROKEN) return false;
        if (step == WIRE_FRAME) break;
        if (!tape_more(tape)) return false;
    }
    if (!talk_frame(talk, reader, -1, outbox)) {
        must(talk->why != NULL);
        return false;
    }
    wire_reader_next(reader);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tape tape = tape_of(data, size);
    struct talk talk;
    struct outbox outbox;
    struct wire_reader reader;
    must(talk_init(&talk, &pool, 0, on_event, &pool) == OK);
    outbox_init(&outbox);
    wire_reader_init(&reader, MAX_REPLY);
    while (tape_more(&tape) && read_frame(&talk, &reader, &outbox, &tape)) {
    }
    wire_reader_free(&reader);
    outbox_clear(&outbox);
    talk_free(&talk);
    return 0;
}
