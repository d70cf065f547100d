/* offer_cell - one request on its way through shared memory: its claim word and where its bytes lie.
 * thread: the claim word is both sides'; the rest is the gateway's until it is offered, then read only.
 * owns:   nothing.
 * fails:  never.
 *
 * A claim word is a ticket and a state; a ticket's cell is the ticket modulo the number of cells. The
 * gateway stores OFFERED; who moves it from there by compare-and-swap has decided: TAKEN the worker, for
 * good, REVOKED the gateway. The worker makes it RELEASED when it needs the bytes no more, or has passed
 * a revoked one by. The newest, once revoked, may become EMPTY again, as if it had never been offered. */
#ifndef CORE_TRANSPORT_OFFER_CELL_H
#define CORE_TRANSPORT_OFFER_CELL_H

#include <stdatomic.h>
#include <stdint.h>

enum offer_state { OFFER_EMPTY, OFFER_OFFERED, OFFER_TAKEN, OFFER_REVOKED, OFFER_RELEASED };

static inline uint64_t offer_claim(uint64_t ticket, enum offer_state state) {
    return ticket << 3 | state;
}

/* At byte `at`: text_bytes of texts, each with its NUL: request id, content type, operation, traceparent,
 * then name and value of each pair. At the next multiple of OFFER_ALIGN the payload. */
struct offer_cell {
    _Alignas(64) _Atomic uint64_t claim;
    uint64_t id, deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
    uint32_t at, text_bytes, payload_bytes;
    uint32_t pairs, batch_more;
};

#define OFFER_ALIGN       ((size_t)16)
#define OFFER_TEXT_BYTES  ((size_t)64 * 1024) /* longer texts go over the socket */
#define OFFER_FIXED_TEXTS 4

#endif
