/* call - one request inside the host: its envelope, its body, and what the plug-in sees of both.
 * thread: made on the socket's thread, used on the compute thread; `cancelled` from any.
 * owns:   envelope, payload and memfd from call_create on, also when it fails.
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

struct call {
    struct list_node node; /* in the inbox while it waits */
    uint64_t id;
    atomic_bool cancelled;
    struct poolgate_request request; /* points into the members below */
    Poolgate__Worker__V1__Request *envelope;
    struct poolgate_pair *metadata;
    uint8_t *payload;  /* the body when it came in the stream */
    struct body *body; /* the body when it came as a memfd */
};

/* Takes the frame's payload and memfd. With MEMORY_EXHAUSTED *id still names the request if it could
 * be read, else it is 0. */
enum outcome call_create(struct call **out, struct link_frame *frame, uint64_t *id);
void call_free(struct call *call); /* NULL is allowed */

/* The plug-in's view of count pairs: pointers into them, one block (free); NULL when there is no memory. */
struct poolgate_pair *call_pairs(Poolgate__Worker__V1__Pair *const *pairs, size_t count);

#endif
