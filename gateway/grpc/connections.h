/* connections - who is at the other end of which of the server's descriptors.
 * thread: add, remove and first are the door's; the rest may be asked from any.
 * owns:   the entries and the table.
 * fails:  connections_add: NULL when out of memory. */
#ifndef GATEWAY_GRPC_CONNECTIONS_H
#define GATEWAY_GRPC_CONNECTIONS_H

#include "core/base/list.h"
#include "gateway/edge/edge.h"

#include <pthread.h>
#include <stdatomic.h>

struct connection {
    struct edge_client *client;
    int fd; /* the server's end of the relay; it may have closed it */
    struct list_node node;
    struct address peer;
    char address[ADDRESS_TEXT_BYTES];
};

struct connections {
    pthread_mutex_t lock;
    struct connection **by_fd; /* the latest of each descriptor */
    size_t by_fd_count;
    struct list_node all;
    _Atomic unsigned probes; /* in places for probes */
};

void connections_open(struct connections *connections);
void connections_close(struct connections *connections); /* asserts that there are none */

struct connection *connections_add(struct connections *connections, struct edge_client *client,
                                   int fd);
void connections_remove(struct connections *connections, struct connection *connection);
struct connection *connections_first(struct connections *connections); /* NULL: there are none */

/* "" when none has this descriptor. */
void connections_address(struct connections *connections, int fd, char *address, size_t bytes);
bool connections_peer(struct connections *connections, int fd, struct address *peer);
unsigned connections_probes(const struct connections *connections);
bool connections_is_probe(struct connections *connections, int fd);

#endif
