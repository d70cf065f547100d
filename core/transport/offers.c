#include "core/transport/offers.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN ((uint32_t)64) /* of a request's bytes: sides never share a cache line */
/* Bytes that are used first as long as they suffice: what is used over and over stays in the cache. */
#define FAVOURITE_BYTES ((uint32_t)64 * 1024)

/* --- cells ------------------------------------------------------------------------------------------- */

static struct offer_cell *cell_of(const struct offers *offers, uint64_t ticket) {
    return &offers->pair->memory->offers[ticket & (offers->pair->cells - 1)];
}

static struct offer_note *note_of(const struct offers *offers, uint64_t ticket) {
    return &offers->notes[ticket & (offers->pair->cells - 1)];
}

static bool move(struct offers *offers, uint64_t ticket, enum offer_state from,
                 enum offer_state to) {
    uint64_t expected = offer_claim(ticket, from);
    return atomic_compare_exchange_strong(&cell_of(offers, ticket)->claim, &expected,
                                          offer_claim(ticket, to));
}

/* What a worker that keeps to the rules can have made of the word. */
static bool makes_sense(uint64_t claim, uint64_t ticket, bool revoked) {
    if (claim == offer_claim(ticket, OFFER_RELEASED)) return true;
    if (revoked) return claim == offer_claim(ticket, OFFER_REVOKED);
    return claim == offer_claim(ticket, OFFER_OFFERED) || claim == offer_claim(ticket, OFFER_TAKEN);
}

static uint64_t look_at(struct offers *offers, uint64_t ticket) {
    uint64_t claim = atomic_load_explicit(&cell_of(offers, ticket)->claim, memory_order_acquire);
    if (!makes_sense(claim, ticket, note_of(offers, ticket)->revoked))
        offers->why = "a claim word in its ring makes no sense";
    return claim;
}

/* Cells that the worker has released are free again. */
static void reap(struct offers *offers) {
    while (offers->oldest < offers->next &&
           look_at(offers, offers->oldest) == offer_claim(offers->oldest, OFFER_RELEASED))
        offers->oldest++;
}

/* --- bytes ------------------------------------------------------------------------------------------- */

/* Where so many bytes in one piece are free; UINT32_MAX: nowhere now. They are given out in order around
 * the area; an area in which nothing is left begins anew. */
static uint32_t find_bytes(const struct offers *offers, uint32_t bytes) {
    uint32_t size = (uint32_t)offers->pair->request_size;
    if (offers->oldest == offers->next) return bytes <= size ? 0 : UINT32_MAX;
    uint32_t tail = note_of(offers, offers->oldest)->at;
    uint32_t head = note_of(offers, offers->next - 1)->end;
    if (head <= tail) return bytes <= tail - head ? head : UINT32_MAX;
    bool fits = head <= size && bytes <= size - head;
    bool stays = fits && head + bytes <= FAVOURITE_BYTES;
    if (!stays && bytes <= tail) return 0;
    return fits ? head : UINT32_MAX;
}

static uint32_t aligned(size_t bytes, size_t alignment) {
    return (uint32_t)((bytes + alignment - 1) & ~(alignment - 1));
}

/* The texts of one request, in the order in which they lie there. */
static size_t measure_texts(const struct request *request, const char *const *texts,
                            size_t lengths[OFFER_FIXED_TEXTS]) {
    size_t bytes = 0;
    for (size_t i = 0; i < OFFER_FIXED_TEXTS; i++) bytes += lengths[i] = strlen(texts[i]) + 1;
    for (size_t i = 0; i < request->metadata_count; i++)
        bytes += strlen(request->metadata[i].name) + strlen(request->metadata[i].value) + 2;
    return bytes;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t bytes) {
    memcpy(at, data, bytes);
    return at + bytes;
}

static void put_pairs(uint8_t *at, const struct request *request) {
    for (size_t i = 0; i < request->metadata_count; i++) {
        const struct pair *pair = &request->metadata[i];
        at = put_bytes(at, pair->name, strlen(pair->name) + 1);
        at = put_bytes(at, pair->value, strlen(pair->value) + 1);
    }
}

/* Writes one request behind those before it; nobody sees it yet. */
static enum outcome lay_down(struct offers *offers, const struct request *request,
                             uint32_t batch_more, bool in_batch) {
    const char *const texts[OFFER_FIXED_TEXTS] = {request->request_id, request->content_type,
                                                  request->operation, request->traceparent};
    size_t lengths[OFFER_FIXED_TEXTS];
    struct body *body = request->body;
    size_t payload_bytes = body != NULL ? body->bytes : 0;
    if (payload_bytes > 0 && body->memfd >= 0) return INVALID_REQUEST;
    size_t text_bytes = measure_texts(request, texts, lengths);
    if (text_bytes > OFFER_TEXT_BYTES || payload_bytes >= BODY_MEMFD_BYTES) return INVALID_REQUEST;
    uint32_t behind_texts = aligned(text_bytes, OFFER_ALIGN);
    uint32_t bytes = aligned(behind_texts + payload_bytes, ALIGN);
    uint32_t at = find_bytes(offers, bytes);
    if (at == UINT32_MAX || offers->next - offers->oldest >= offers->pair->cells) return QUEUE_FULL;
    *note_of(offers, offers->next) =
        (struct offer_note){.id = request->id, .at = at, .end = at + bytes, .in_batch = in_batch};
    struct offer_cell *cell = cell_of(offers, offers->next);
    cell->id = request->id;
    cell->deadline_ns = request->run_deadline_ns;
    cell->at = at;
    cell->text_bytes = (uint32_t)text_bytes;
    cell->payload_bytes = (uint32_t)payload_bytes;
    cell->pairs = (uint32_t)request->metadata_count;
    cell->batch_more = batch_more;
    uint8_t *start = offers->pair->request_bytes + at, *cursor = start;
    for (size_t i = 0; i < OFFER_FIXED_TEXTS; i++) cursor = put_bytes(cursor, texts[i], lengths[i]);
    put_pairs(cursor, request);
    if (payload_bytes > 0) memcpy(start + behind_texts, body->data, payload_bytes);
    offers->next++;
    /* The worker had these last: fetched already, they are here when the next request is written. */
    __builtin_prefetch(cell_of(offers, offers->next), 1);
    __builtin_prefetch(start + bytes, 1);
    return OK;
}

/* --- the verbs --------------------------------------------------------------------------------------- */

enum outcome offers_open(struct offers *offers, struct ring_pair *pair) {
    *offers = (struct offers){.pair = pair, .oldest = 1, .next = 1};
    offers->notes = calloc(pair->cells, sizeof *offers->notes);
    return offers->notes != NULL ? OK : MEMORY_EXHAUSTED;
}

void offers_close(struct offers *offers) {
    free(offers->notes);
    offers->notes = NULL;
}

enum outcome offers_put(struct offers *offers, struct request *const *requests, size_t count) {
    if (count > offers->pair->cells) return INVALID_REQUEST;
    reap(offers);
    uint64_t first = offers->next;
    for (size_t i = 0; i < count; i++) {
        enum outcome outcome = lay_down(offers, requests[i], (uint32_t)(count - 1 - i), count > 1);
        if (outcome == OK) continue;
        offers->next = first; /* nobody has seen the others */
        return outcome;
    }
    /* The last first: who sees a batch's first member finds the others. */
    for (uint64_t ticket = offers->next; ticket-- > first;)
        atomic_store_explicit(&cell_of(offers, ticket)->claim, offer_claim(ticket, OFFER_OFFERED),
                              memory_order_release);
    return OK;
}

/* Takes the newest back altogether while they are revoked and the worker has not passed them by: staging
 * and revoking beside a busy worker uses no room up. A batch stays: the worker may be counting it. */
static void shrink(struct offers *offers) {
    while (offers->next > offers->oldest) {
        const struct offer_note *newest = note_of(offers, offers->next - 1);
        if (!newest->revoked || newest->in_batch ||
            !move(offers, offers->next - 1, OFFER_REVOKED, OFFER_EMPTY))
            return;
        offers->next--;
    }
}

bool offers_revoke(struct offers *offers, uint64_t id) {
    for (uint64_t ticket = offers->next; ticket-- > offers->oldest;) {
        struct offer_note *note = note_of(offers, ticket);
        if (note->id != id || note->revoked) continue;
        if (!move(offers, ticket, OFFER_OFFERED, OFFER_REVOKED)) {
            (void)look_at(offers, ticket);
            return false;
        }
        note->revoked = true;
        shrink(offers);
        return true;
    }
    return false;
}
