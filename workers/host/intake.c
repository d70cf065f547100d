#include "workers/host/intake.h"

#include "core/base/clock.h"
#include "workers/host/call.h"

#include <string.h>

void intake_open(struct intake *intake, struct inbox *inbox, struct ring_pair *rings,
                 enum ring_sharing sharing) {
    *intake = (struct intake){.inbox = inbox};
    taker_open(&intake->taker, rings, sharing);
}

void intake_close(struct intake *intake) {
    (void)intake;
}

static const struct poolgate_pair *view_pairs(struct call *call, const struct offer *offer) {
    struct poolgate_pair *pairs = call_room(call);
    const char *text = offer->pair_texts;
    for (uint32_t i = 0; i < offer->pairs; i++) {
        pairs[i].name = text;
        text += strlen(text) + 1;
        pairs[i].value = text;
        text += strlen(text) + 1;
    }
    return pairs;
}

static uint64_t time_left(uint64_t deadline_ns, uint64_t now_ns) {
    if (deadline_ns == CLOCK_NEVER) return 0;
    return deadline_ns > now_ns ? deadline_ns - now_ns : 1;
}

/* A call that points into the ring. */
static struct call *call_of(const struct offer *offer, uint64_t now_ns) {
    struct call *call =
        call_make(CALL_REQUEST, offer->id, offer->pairs * sizeof(struct poolgate_pair));
    if (call == NULL) return NULL;
    call->batch_more = offer->batch_more;
    call->request.request_id = offer->texts[0];
    call->request.content_type = offer->texts[1];
    call->request.operation = offer->texts[2];
    call->request.traceparent = offer->texts[3];
    call->request.timeout_ns = time_left(offer->deadline_ns, now_ns);
    call->request.body = offer->payload;
    call->request.body_bytes = offer->payload_bytes;
    call->request.metadata = view_pairs(call, offer);
    call->request.metadata_count = offer->pairs;
    return call;
}

static void abandon(struct intake *intake, struct call **calls, size_t *count, const char *why) {
    for (size_t i = 0; i < *count; i++) call_free(calls[i]);
    *count = 0;
    intake->why = why;
}

/* Takes the next request and those of its batch that were not taken back meanwhile. */
static void take_from_ring(struct intake *intake, struct call **calls, size_t room, size_t *count) {
    struct taker *taker = &intake->taker;
    struct offer offer;
    uint32_t more = 0;
    enum taken taken = taker_take(taker, &offer);
    if (taken == TAKEN_ONE) more = offer.batch_more;
    uint64_t now_ns = taken == TAKEN_ONE ? clock_now_ns() : 0;
    while (taken == TAKEN_ONE) {
        struct call *call = *count < room ? call_of(&offer, now_ns) : NULL;
        if (call == NULL) {
            abandon(intake, calls, count,
                    *count < room ? "no memory for a request of the ring"
                                  : "a batch in the ring that is larger than READY allows");
            return;
        }
        calls[(*count)++] = call;
        taken = taker_take_member(taker, &more, &offer);
    }
    if (taken == TAKEN_BROKEN) abandon(intake, calls, count, taker->why);
    if (*count > 0) inbox_begin(intake->inbox, calls, *count, now_ns);
}

void intake_next(struct intake *intake, struct call **calls, size_t room, size_t *count) {
    struct taker *taker = &intake->taker;
    bool stopped = false;
    *count = 0;
    if (taker->pair == NULL) {
        inbox_take(intake->inbox, calls, room, count);
        return;
    }
    taker_release(taker);
    while (!stopped) {
        inbox_try(intake->inbox, calls, room, count, &stopped);
        if (*count > 0 || stopped) return;
        take_from_ring(intake, calls, room, count);
        if (*count > 0 || intake->why != NULL) return;
        if (!taker_fall_asleep(taker)) continue;
        if (inbox_quiet(intake->inbox)) taker_sleep(taker);
        taker_stay_awake(taker);
    }
}

void intake_poke(struct intake *intake) {
    taker_poke(&intake->taker);
}
