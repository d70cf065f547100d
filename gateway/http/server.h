/* server - the life of the HTTP front end: one thread, one loop, libmicrohttpd polled from it.
 * thread: open, drain and close from main; everything else happens on its own thread.
 * owns:   the thread, the loop, the edge, every connection. The options' pointers stay the caller's
 *         and outlive it.
 * fails:  http_server_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_HTTP_SERVER_H
#define GATEWAY_HTTP_SERVER_H

#include "core/gate.h"
#include "gateway/config/config.h"
#include "gateway/keys/access.h"
#include "gateway/live_requests.h"
#include "gateway/observer.h"

struct http_server;

struct http_server_options {
    struct gate *gate;
    struct metrics *metrics;
    const struct observer *observer;
    const struct config *config;
    struct tls *tls;       /* NULL: plain */
    struct access *access; /* NULL: everybody may do everything but administer */
    struct live_requests *live;
    int inherited_fd, inherited_admin_fd; /* edge_options.inherited_fd of each */
};

enum outcome http_server_open(struct http_server **out, const struct http_server_options *options);
/* "127.0.0.1:8080", with the port that was really taken. */
const char *http_server_address(const struct http_server *server);
const char *http_server_admin_address(const struct http_server *server); /* "": there is none */
/* From now on not ready, and every reply closes its connection. It goes on serving. */
void http_server_drain(struct http_server *server);
/* After the gate has drained: no client is let in, replies are sent to the end but not longer than
 * timeout_ns, the thread ends. */
void http_server_close(struct http_server *server, uint64_t timeout_ns);

#endif
