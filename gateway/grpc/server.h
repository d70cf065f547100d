/* server - the life of the gRPC front end: the library's server, its completion queues, the door.
 * thread: open, drain and close from main.
 * owns:   all of it. The options' pointers stay the caller's and outlive it.
 * fails:  rpc_server_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_GRPC_SERVER_H
#define GATEWAY_GRPC_SERVER_H

#include "core/gate.h"
#include "gateway/config/config.h"
#include "gateway/keys/access.h"
#include "gateway/live_requests.h"
#include "gateway/observer.h"

/* The library has taken the names grpc_server and grpc_server_*. */
struct rpc_server;

struct rpc_server_options {
    struct gate *gate;
    struct metrics *metrics;
    const struct observer *observer;
    const struct config *config;
    struct tls *tls;       /* NULL: plain */
    struct access *access; /* NULL: everybody may do everything but administer */
    struct live_requests *live;
    int inherited_fd; /* edge_options.inherited_fd */
};

enum outcome rpc_server_open(struct rpc_server **out, const struct rpc_server_options *options);
/* "127.0.0.1:8081", with the port that was really taken. */
const char *rpc_server_address(const struct rpc_server *server);
/* From now on its health is NOT_SERVING. It goes on serving. */
void rpc_server_drain(struct rpc_server *server);
/* After the gate has drained: no client is let in, replies are sent to the end but not longer than
 * timeout_ns, every connection is told to go away, the threads end. */
void rpc_server_close(struct rpc_server *server, uint64_t timeout_ns);

#endif
