/* call - one request inside the host: its texts, its body, and what the plug-in sees of both; or the wish
 *        for a check, which waits its turn like a request.
 * thread: made on one thread, used on the compute thread; `cancelled` from any.
 * owns:   what is in it, freed by call_free. call_create takes the frame's payload and memfd, also when
 *         it fails.
 * fails:  INVALID_REQUEST: the envelope (an id is never 0) or the memfd breaks the protocol;
 *         MEMORY_EXHAUSTED. */
#ifndef WORKERS_HOST_CALL_H
#define WORKERS_HOST_CALL_H

#include "core/base/body.h"
#include "core/base/list.h"
#include "core/base/outcome.h"
#include "protos/worker.pb-c.h"
#include "workers/host/link.h"

#include <poolgate/worker.h>

#include <stdatomic.h>
#include <stdint.h>

enum call_kind { CALL_REQUEST, CALL_CHECK };

struct call {
    struct list_node node; /* in the inbox while it waits */
    enum call_kind kind;
    uint64_t id;         /* 0: a check */
    uint32_t batch_more; /* so many of the same batch come directly behind it */
    uint64_t batch;      /* the inbox's: which batch it belongs to */
    atomic_bool cancelled;
    struct poolgate_request request; /* its texts are never NULL; points into what follows */
    Poolgate__Worker__V1__Request *envelope; /* of a frame */
    struct poolgate_pair *metadata;          /* heap or NULL */
    uint8_t *payload;                        /* the body when it came in the stream */
    struct body *body;                       /* the body when it came as a memfd */
};

/* With MEMORY_EXHAUSTED *id still names the request if it could be read, else it is 0. */
enum outcome call_create(struct call **out, struct link_frame *frame, uint64_t *id);
/* A call whose request is the maker's to fill: texts are "", there is no body. Behind it are room_bytes for
 * what the request points at. NULL when there is no memory. */
struct call *call_make(enum call_kind kind, uint64_t id, size_t room_bytes);
void *call_room(struct call *call); /* aligned for pairs */
/* The body of such a call; *memfd is -1 once it was taken. */
enum outcome call_adopt_memfd(struct call *call, int *memfd, size_t bytes);
void call_free(struct call *call); /* NULL is allowed */

/* The plug-in's view of count pairs: pointers into them, one block (free); NULL when there is no memory. */
struct poolgate_pair *call_pairs(Poolgate__Worker__V1__Pair *const *pairs, size_t count);

#endif
