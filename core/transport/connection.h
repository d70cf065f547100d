/* connection - the gateway's end of the way to one running worker: its socket and, where the worker
 *              takes them, its rings. Frames in become events, requests become frames out.
 * thread: the pool loop, all of it.
 * owns:   the socket, the bell, the rings' mapping, frames that wait to be written.
 * fails:  connection_open: MEMORY_EXHAUSTED (nothing taken). A worker that breaks a rule is reported
 *         TRANSPORT_BROKEN once, and nothing of it is read after that. */
#ifndef CORE_TRANSPORT_CONNECTION_H
#define CORE_TRANSPORT_CONNECTION_H

#include "core/transport/ring_pair.h"
#include "core/transport/talk.h"

#include <uv.h>

struct connection;

struct connection_options {
    uv_loop_t *loop;
    struct talk *talk;       /* reset; lives longer */
    int socket;              /* non-blocking */
    struct ring_pair *rings; /* NULL: all goes over the socket */
    int bell;                /* an eventfd that the worker rings when the gateway sleeps; -1 */
    enum ring_sharing sharing;
    void (*over)(void *owner); /* the worker's end of the socket is closed */
    void *owner;
};

enum outcome connection_open(struct connection **out, const struct connection_options *options);
enum outcome connection_send(struct connection *connection, struct request *request,
                             uint64_t now_ns);
void connection_cancel(struct connection *connection, uint64_t id);
void connection_ping(struct connection *connection, uint64_t id);
void connection_shutdown(struct connection *connection);
/* The worker has ended: what it had written before is still handled. */
void connection_read_remains(struct connection *connection);
/* No event after this. Freed once the loop has closed its handles. */
void connection_close(struct connection *connection);

#endif
