/* door - accepts the gRPC clients: an edge on a small loop of its own hands their sockets to the server.
 * thread: open, stop and close are main's; the questions about a call come from any.
 * owns:   the loop, its thread, the edge. The server has its end of each client's relay: it closes it when it
 *         likes, which ends the connection, which the edge sees.
 * fails:  door_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_GRPC_DOOR_H
#define GATEWAY_GRPC_DOOR_H

#include "gateway/address.h"
#include "gateway/config/config.h"
#include "gateway/metrics.h"

#include <grpc/grpc.h>

struct door;

struct door_options {
    grpc_server *server; /* started */
    struct metrics *metrics;
    const struct config *config;
    struct tls *tls;  /* NULL: plain */
    int inherited_fd; /* edge_options.inherited_fd */
};

enum outcome door_open(struct door **out, const struct door_options *options);
/* "127.0.0.1:8081", with the port that was really taken. */
const char *door_address(const struct door *door);

/* The address of a call's client, "" when it is gone. The library names a connection by its descriptor
 * only, so a call that outlives its connection may be given the next one's. */
#define DOOR_ADDRESS_BYTES 64
void door_client(struct door *door, grpc_call *call, char address[DOOR_ADDRESS_BYTES]);
/* The same as a value; false when it is gone. */
bool door_peer(struct door *door, grpc_call *call, struct address *peer);
/* All places for clients are taken and this one has a place for probes. */
bool door_is_full_for(struct door *door, grpc_call *call);

/* When it returns no client is let in and the server will not be called any more. */
void door_stop(struct door *door);
/* After door_stop: ends every connection and the thread. */
void door_close(struct door *door);

#endif
