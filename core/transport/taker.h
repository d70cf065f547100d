/* taker - the worker's end of the requests that are offered through shared memory: takes one at a time,
 *         each for good, right before it begins.
 * thread: all on the compute thread; taker_poke from any.
 * owns:   nothing: what an offer points at lies in the shared memory until taker_release.
 * fails:  TAKEN_BROKEN, with `why`: the gateway broke the protocol. */
#ifndef CORE_TRANSPORT_TAKER_H
#define CORE_TRANSPORT_TAKER_H

#include "core/transport/ring_pair.h"

struct taker {
    struct ring_pair *pair; /* NULL: there are no rings */
    enum ring_sharing sharing;
    uint64_t next, released; /* tickets: the next to look at; the first that was not given back */
    const char *why;
};

/* A request that was taken; its texts are checked to end inside their room. */
struct offer {
    uint64_t id, deadline_ns;
    uint32_t batch_more, pairs, payload_bytes;
    const char *texts[OFFER_FIXED_TEXTS]; /* request id, content type, operation, traceparent */
    const char *pair_texts;               /* name, NUL, value, NUL of each pair */
    const uint8_t *payload;               /* aligned to OFFER_ALIGN; NULL when empty */
};

enum taken { TAKEN_NONE, TAKEN_ONE, TAKEN_BROKEN };

void taker_open(struct taker *taker, struct ring_pair *pair, enum ring_sharing sharing);
/* The next that was not revoked. */
enum taken taker_take(struct taker *taker, struct offer *out);
/* The same, but only what was offered as a member of the batch of which `more` are still to come. */
enum taken taker_take_member(struct taker *taker, uint32_t *more, struct offer *out);
/* Gives back the room of all that were taken. */
void taker_release(struct taker *taker);
/* Says that the worker will sleep; false: something came meanwhile, do not. */
bool taker_fall_asleep(struct taker *taker);
void taker_sleep(struct taker *taker);
void taker_stay_awake(struct taker *taker);
/* Wakes it if it sleeps. */
void taker_poke(struct taker *taker);

#endif
