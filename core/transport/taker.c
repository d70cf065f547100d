#include "core/transport/taker.h"

#include <string.h>

void taker_open(struct taker *taker, struct ring_pair *pair, enum ring_sharing sharing) {
    *taker = (struct taker){.pair = pair, .sharing = sharing, .next = 1, .released = 1};
}

static struct offer_cell *cell_of(const struct taker *taker, uint64_t ticket) {
    return &taker->pair->memory->offers[ticket & (taker->pair->cells - 1)];
}

static enum taken broken(struct taker *taker, const char *why) {
    taker->why = why;
    return TAKEN_BROKEN;
}

/* Behind `count` texts that begin at text; NULL when one does not end before `end`. */
static const char *skip_texts(const char *text, const char *end, uint64_t count) {
    for (; count > 0 && text != NULL; count--) {
        const char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
        text = nul != NULL ? nul + 1 : NULL;
    }
    return text;
}

/* A taken cell is the worker's: its numbers are copied once, and the copy is checked. */
static enum taken read_cell(struct taker *taker, const struct offer_cell *cell, struct offer *out) {
    const struct ring_pair *pair = taker->pair;
    uint64_t at = cell->at, text_bytes = cell->text_bytes;
    *out = (struct offer){.id = cell->id,
                          .deadline_ns = cell->deadline_ns,
                          .batch_more = cell->batch_more,
                          .pairs = cell->pairs,
                          .payload_bytes = cell->payload_bytes};
    atomic_signal_fence(memory_order_seq_cst);
    uint64_t payload_at = at + ((text_bytes + OFFER_ALIGN - 1) & ~(uint64_t)(OFFER_ALIGN - 1));
    if (out->id == 0 || text_bytes > OFFER_TEXT_BYTES || at % OFFER_ALIGN != 0 ||
        payload_at + out->payload_bytes > pair->request_size)
        return broken(taker, "an offer in the ring that does not lie inside it");
    const char *text = (const char *)pair->request_bytes + at, *end = text + text_bytes;
    for (size_t i = 0; i < OFFER_FIXED_TEXTS && text != NULL; i++) {
        out->texts[i] = text;
        text = skip_texts(text, end, 1);
    }
    out->pair_texts = text;
    if (skip_texts(text, end, 2 * (uint64_t)out->pairs) != end)
        return broken(taker, "an offer in the ring whose texts do not end");
    if (out->payload_bytes > 0) out->payload = pair->request_bytes + payload_at;
    return TAKEN_ONE;
}

static bool move(struct offer_cell *cell, uint64_t ticket, enum offer_state from,
                 enum offer_state to) {
    uint64_t expected = offer_claim(ticket, from);
    return atomic_compare_exchange_strong(&cell->claim, &expected, offer_claim(ticket, to));
}

/* One step: takes the next ticket's offer, or passes it by when it was revoked. */
static enum offer_state step(struct taker *taker) {
    struct offer_cell *cell = cell_of(taker, taker->next);
    for (;;) {
        uint64_t claim = atomic_load(&cell->claim);
        enum offer_state found = OFFER_EMPTY;
        if (claim == offer_claim(taker->next, OFFER_OFFERED) &&
            move(cell, taker->next, OFFER_OFFERED, OFFER_TAKEN))
            found = OFFER_TAKEN;
        else if (claim == offer_claim(taker->next, OFFER_REVOKED) &&
                 move(cell, taker->next, OFFER_REVOKED, OFFER_RELEASED))
            found = OFFER_REVOKED;
        else if (claim == offer_claim(taker->next, OFFER_OFFERED) ||
                 claim == offer_claim(taker->next, OFFER_REVOKED))
            continue; /* it changed between the two looks */
        if (found != OFFER_EMPTY) taker->next++;
        return found;
    }
}

enum taken taker_take(struct taker *taker, struct offer *out) {
    enum offer_state found;
    while ((found = step(taker)) == OFFER_REVOKED) continue;
    if (found == OFFER_EMPTY) return TAKEN_NONE;
    return read_cell(taker, cell_of(taker, taker->next - 1), out);
}

enum taken taker_take_member(struct taker *taker, uint32_t *more, struct offer *out) {
    while (*more > 0) {
        enum offer_state found = step(taker);
        if (found == OFFER_EMPTY)
            break; /* it was never offered: the gateway offers batches whole */
        --*more;
        if (found == OFFER_REVOKED) continue;
        enum taken taken = read_cell(taker, cell_of(taker, taker->next - 1), out);
        if (taken == TAKEN_ONE && out->batch_more != *more)
            return broken(taker, "a batch in the ring that was not finished");
        return taken;
    }
    return *more == 0 ? TAKEN_NONE : broken(taker, "a batch in the ring that is not whole");
}

/* The words of those that were passed by are the gateway's again, perhaps with another ticket. */
void taker_release(struct taker *taker) {
    for (; taker->released < taker->next; taker->released++)
        (void)move(cell_of(taker, taker->released), taker->released, OFFER_TAKEN, OFFER_RELEASED);
}

bool taker_fall_asleep(struct taker *taker) {
    atomic_store(&taker->pair->memory->requests_asleep, 1);
    uint64_t claim = atomic_load(&cell_of(taker, taker->next)->claim);
    if (claim != offer_claim(taker->next, OFFER_OFFERED) &&
        claim != offer_claim(taker->next, OFFER_REVOKED))
        return true;
    atomic_store(&taker->pair->memory->requests_asleep, 0);
    return false;
}

void taker_sleep(struct taker *taker) {
    ring_sleep(&taker->pair->memory->requests_asleep, taker->sharing);
}

void taker_stay_awake(struct taker *taker) {
    atomic_store(&taker->pair->memory->requests_asleep, 0);
}

void taker_poke(struct taker *taker) {
    if (taker->pair != NULL) ring_wake(&taker->pair->memory->requests_asleep, taker->sharing);
}
