/* ring_pair - the memory that a slot's two sides share: requests offered to the worker, replies from it.
 * thread: any.
 * owns:   its memory: a mapping of a memfd on each side, or private memory that both sides hold and that
 *         is freed with the last.
 * fails:  MEMORY_EXHAUSTED; attach also INVALID_REQUEST: not a memfd whose size is sealed and fits what
 *         its first line says.
 *
 * The sizes in the shared first line are for the side that attaches, which checks them once against the
 * memory; both sides work with private copies. */
#ifndef CORE_TRANSPORT_RING_PAIR_H
#define CORE_TRANSPORT_RING_PAIR_H

#include "core/base/outcome.h"
#include "core/transport/offer_cell.h"
#include "core/transport/ring.h"

#define RING_PAIR_MAGIC     UINT32_C(0x32524750) /* "PGR2" */
#define RING_PAIR_MIN_CELLS 64u
#define RING_PAIR_MAX_CELLS 4096u
#define RING_REQUEST_BYTES  ((size_t)256 * 1024) /* four of the largest bodies that go this way */
#define RING_REPLY_BYTES    ((size_t)256 * 1024)

struct ring_pair_memory {
    uint32_t magic, cells, request_bytes, reply_bytes;
    _Alignas(64) _Atomic uint32_t requests_asleep; /* the worker's futex word */
    struct ring_head replies;
    struct offer_cell offers[]; /* then the bytes of requests, then those of replies */
};

struct ring_pair {
    struct ring_pair_memory *memory;
    uint8_t *request_bytes, *reply_bytes;
    uint32_t cells;
    size_t request_size, reply_size, memory_bytes;
    _Atomic uint32_t holders; /* of a private pair */
};

/* Cells for so many requests at once, with as many again for those that were taken back. */
uint32_t ring_pair_cells(uint64_t requests);
/* A fresh pair; the gateway, who reads the replies, is asleep at its bell. *memfd: shared with a process. */
enum outcome ring_pair_create(struct ring_pair **out, uint32_t cells, int *memfd);
enum outcome ring_pair_attach(struct ring_pair **out, int memfd);
/* A fresh pair for a worker on a thread of this process, held once. */
enum outcome ring_pair_create_private(struct ring_pair **out, uint32_t cells);
void ring_pair_hold(struct ring_pair *pair);
/* Unmaps a shared pair, lets go of a private one; NULL is allowed. */
void ring_pair_drop(struct ring_pair *pair, enum ring_sharing sharing);

struct ring_writer ring_pair_reply_writer(const struct ring_pair *pair);
struct ring_reader ring_pair_reply_reader(const struct ring_pair *pair);

#endif
