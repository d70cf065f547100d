#include "workers/host/intake.h"

#include "workers/host/call.h"
#include "workers/host/link.h"

void intake_open(struct intake *intake, struct inbox *inbox, struct ring_memory *requests,
                 enum ring_sharing sharing) {
    *intake = (struct intake){.inbox = inbox, .requests = {.memory = requests}, .sharing = sharing};
    wire_reader_init(&intake->frames, UINT32_MAX);
}

void intake_close(struct intake *intake) {
    wire_reader_free(&intake->frames);
}

static struct call *broken(struct intake *intake, const char *why) {
    intake->why = why;
    return NULL;
}

/* Makes a call of the frame that is complete. */
static struct call *take_frame(struct intake *intake) {
    struct wire_reader *frames = &intake->frames;
    if (frames->header.type != WIRE_REQUEST || (frames->header.flags & WIRE_FLAG_MEMFD) != 0)
        return broken(intake, "a frame in the ring that does not belong there");
    struct link_frame frame = {.type = WIRE_REQUEST,
                               .envelope = frames->envelope,
                               .envelope_bytes = frames->header.envelope_bytes,
                               .payload_bytes = frames->header.payload_bytes,
                               .payload = wire_reader_take_payload(frames),
                               .memfd = -1};
    struct call *call;
    uint64_t id;
    enum outcome outcome = call_create(&call, &frame, &id);
    wire_reader_next(frames);
    if (outcome != OK) return broken(intake, "a REQUEST in the ring that cannot be read");
    return call;
}

/* NULL when the ring is empty, or with why set. */
static struct call *take_from_ring(struct intake *intake) {
    for (;;) {
        size_t room, bytes;
        uint8_t *space = wire_reader_space(&intake->frames, &room);
        if (ring_read(&intake->requests, space, room, &bytes) != RING_OK)
            return broken(intake, "the ring's counters make no sense");
        if (bytes == 0) return NULL;
        enum wire_step step = wire_reader_advance(&intake->frames, bytes);
        if (step == WIRE_BROKEN) return broken(intake, intake->frames.why);
        if (step == WIRE_FRAME) return take_frame(intake);
    }
}

struct call *intake_next(struct intake *intake) {
    if (intake->requests.memory == NULL) return inbox_take(intake->inbox);
    for (;;) {
        bool stopped;
        struct call *call = inbox_try(intake->inbox, &stopped);
        if (call != NULL || stopped) return call;
        call = take_from_ring(intake);
        if (call != NULL) inbox_begin(intake->inbox, call);
        if (call != NULL || intake->why != NULL) return call;
        if (!ring_fall_asleep(&intake->requests)) continue;
        if (inbox_quiet(intake->inbox)) ring_sleep(&intake->requests, intake->sharing);
        ring_stay_awake(&intake->requests);
    }
}

void intake_poke(struct intake *intake) {
    struct ring_memory *memory = intake->requests.memory;
    if (memory != NULL && atomic_exchange(&memory->asleep, 0) != 0)
        ring_wake(memory, intake->sharing);
}
