/* connection - the gateway's end of the way to one running worker: its socket and, where the worker
 *              takes them, its rings. What comes in becomes events, requests go out, and come back.
 * thread: the pool loop, all of it.
 * owns:   the socket, the bell, the rings' mapping, frames that wait to be written; and the talk's event
 *         function, which it sets.
 * fails:  connection_open: MEMORY_EXHAUSTED (nothing taken). connection_send: QUEUE_FULL when what it can
 *         hold ahead does not fit now. A worker that breaks a rule is reported TRANSPORT_BROKEN once, and
 *         nothing of it is read after that.
 *
 * A request goes through the ring where there is one and it fits; else over the socket, if the worker has
 * fewer than `inflight` unanswered: from there nothing can be taken back. */
#ifndef CORE_TRANSPORT_CONNECTION_H
#define CORE_TRANSPORT_CONNECTION_H

#include "core/transport/ring_pair.h"
#include "core/transport/switchboard.h"
#include "core/transport/talk.h"

#include <uv.h>

struct connection;

/* How many requests a pool's worker may have at once, those that are staged included. */
uint64_t connection_requests(const struct pool_options *pool);

struct connection_options {
    uv_loop_t *loop;
    struct talk *talk;       /* reset; lives longer */
    int socket;              /* non-blocking */
    struct ring_pair *rings; /* NULL: all goes over the socket; then no switchboard is needed */
    struct switchboard *switchboard;
    int bell; /* an eventfd that the worker rings when the gateway sleeps; -1 */
    enum ring_sharing sharing;
    transport_event_fn *fn;
    void (*over)(void *owner); /* the worker's end of the socket is closed */
    void *owner;
};

/* Has all the memory that it needs. Nothing is read before connection_begin, which cannot fail: the worker
 * exists now. */
enum outcome connection_open(struct connection **out, const struct connection_options *options);
void connection_begin(struct connection *connection);
/* One batch, all of it or nothing. */
enum outcome connection_send(struct connection *connection, struct request *const *requests,
                             size_t count, uint64_t now_ns);
/* True: the worker had not taken it and never will. Also after BROKEN, and until it is closed. */
bool connection_revoke(struct connection *connection, uint64_t id);
/* How many requests beyond `inflight` it can hold and give back. */
uint32_t connection_stages(const struct connection *connection);
void connection_cancel(struct connection *connection, uint64_t id);
void connection_ping(struct connection *connection, uint64_t id);
void connection_check(struct connection *connection);
void connection_shutdown(struct connection *connection);
/* The worker has ended: what it had written before is still handled. */
void connection_read_remains(struct connection *connection);
/* No event after this. Freed once the loop has closed its handles. */
void connection_close(struct connection *connection);

#endif
