/* offers - the gateway's end of the requests that go to a worker through shared memory: offered in order,
 *          and taken back as long as the worker has not taken them.
 * thread: the pool loop, all of it.
 * owns:   its private notes on each cell; the memory is the pair's, the requests the caller's.
 * fails:  offers_open: MEMORY_EXHAUSTED. offers_put: QUEUE_FULL: no room now; INVALID_REQUEST: this can
 *         never go this way. `why` is set once a claim word makes no sense; the worker is of no use then.
 *
 * The gateway reads nothing back from the shared memory but claim words. */
#ifndef CORE_TRANSPORT_OFFERS_H
#define CORE_TRANSPORT_OFFERS_H

#include "core/base/request.h"
#include "core/transport/ring_pair.h"

struct offer_note {
    uint64_t id;
    uint32_t at, end; /* its bytes */
    bool revoked, in_batch;
};

struct offers {
    struct ring_pair *pair;
    struct offer_note *notes; /* one per cell */
    uint64_t oldest, next; /* tickets: the first whose cell is not free again; the next to give */
    uint64_t offered;      /* while a batch is being written: its first ticket */
    const char *why;
};

enum outcome offers_open(struct offers *offers, struct ring_pair *pair);
void offers_close(struct offers *offers);
/* One batch, all of it or nothing. The worker is not woken yet. */
enum outcome offers_put(struct offers *offers, struct request *const *requests, size_t count);
/* True: it was offered and never will be taken. */
bool offers_revoke(struct offers *offers, uint64_t id);

#endif
