/* Offers in shared memory while either side scribbles over the cells: a program of puts, takes, releases,
 * revocations and scribbles. No access leaves the memory, nothing is offered twice. */
#include "core/transport/offers.h"
#include "core/transport/taker.h"
#include "tests/fuzz/fuzz.h"

#define CELLS RING_PAIR_MIN_CELLS

struct play {
    struct ring_pair *pair;
    struct offers offers;
    struct taker taker;
    uint64_t next_id;
};

static void put(struct play *play, struct tape *tape) {
    static const struct pair metadata[] = {{"a-name", "a value"}};
    struct request requests[4], *pointers[4];
    const size_t count = 1 + tape_byte(tape) % 4, body_bytes = (size_t)tape_byte(tape) * 64;
    struct body *body = NULL;
    must(body_create(&body, body_bytes) == OK);
    for (size_t at = 0; at < body_bytes; at += 64)
        must(body_append(body, (const uint8_t[64]){1}, 64) == OK);
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct request){.id = play->next_id++,
                                       .request_id = "r",
                                       .content_type = "text/plain",
                                       .operation = "",
                                       .traceparent = "",
                                       .metadata = (struct pair *)(uintptr_t)metadata,
                                       .metadata_count = 1,
                                       .body = body};
        pointers[i] = &requests[i];
    }
    (void)offers_put(&play->offers, pointers, count);
    body_unref(body);
}

static void use(const struct ring_pair *pair, const struct offer *offer) {
    const uint8_t *const end = pair->request_bytes + pair->request_size;
    size_t sum = 0;
    for (size_t i = 0; i < OFFER_FIXED_TEXTS; i++) sum += strlen(offer->texts[i]);
    const char *text = offer->pair_texts;
    for (uint32_t i = 0; i < 2 * offer->pairs; i++) {
        must((const uint8_t *)text >= pair->request_bytes && (const uint8_t *)text < end);
        text += strlen(text) + 1;
    }
    must((const uint8_t *)text <= end && sum < pair->request_size);
    if (offer->payload_bytes == 0) return;
    must(offer->payload >= pair->request_bytes && offer->payload + offer->payload_bytes <= end);
}

static void take(struct play *play, struct tape *tape) {
    struct offer offer;
    uint32_t more = tape_byte(tape) % 4;
    const enum taken taken = more == 0 ? taker_take(&play->taker, &offer)
                                       : taker_take_member(&play->taker, &more, &offer);
    if (taken == TAKEN_BROKEN) must(play->taker.why != NULL);
    if (taken == TAKEN_ONE) use(play->pair, &offer);
}

static void scribble(struct play *play, struct tape *tape) {
    const uint8_t which = tape_byte(tape) % CELLS, at = tape_byte(tape) % sizeof(struct offer_cell);
    ((uint8_t *)&play->pair->memory->offers[which])[at] = tape_byte(tape);
}

static void set_claim(struct play *play, struct tape *tape) {
    const uint64_t ticket = play->offers.oldest + tape_byte(tape) % 4;
    atomic_store(&play->pair->memory->offers[ticket % CELLS].claim,
                 offer_claim(ticket, tape_byte(tape) % 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tape tape = tape_of(data, size);
    struct play play = {.next_id = 1};
    must(ring_pair_create_private(&play.pair, CELLS) == OK);
    must(offers_open(&play.offers, play.pair) == OK);
    taker_open(&play.taker, play.pair, RING_PRIVATE);
    for (int step = 0; step < 300 && tape_more(&tape); step++) {
        switch (tape_byte(&tape) % 8) {
        case 0:
        case 1: put(&play, &tape); break;
        case 2:
        case 3: take(&play, &tape); break;
        case 4: taker_release(&play.taker); break;
        case 5: (void)offers_revoke(&play.offers, tape_byte(&tape)); break;
        case 6: scribble(&play, &tape); break;
        case 7: set_claim(&play, &tape); break;
        }
        must(play.offers.next - play.offers.oldest <= CELLS);
        if (play.taker.why != NULL || play.offers.why != NULL) break;
    }
    offers_close(&play.offers);
    ring_pair_drop(play.pair, RING_PRIVATE);
    return 0;
}
