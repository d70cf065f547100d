/* edge - owns accept: the listening socket, the limit on connections, the deadline for a first
 *        request, and the watch for a client that left.
 * thread: the loop's, all of it; edge_open before the loop runs.
 * owns:   the listening socket and the records of clients. A client's socket belongs to the front end
 *         from `enter` on, which says edge_forget right before it closes it.
 * fails:  edge_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_EDGE_EDGE_H
#define GATEWAY_EDGE_EDGE_H

#include "core/base/list.h"
#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

/* The last places are for probes: a full house must not look like a dead one. */
enum edge_room { EDGE_ROOM_ALL, EDGE_ROOM_PROBES, EDGE_ROOM_COUNT };

/* EDGE_HALF_CLOSED: it sent FIN, and may still read. EDGE_GONE: reset, or closed both ways. */
enum edge_presence { EDGE_HERE, EDGE_HALF_CLOSED, EDGE_GONE };

struct edge_client {
    int fd;
    uint32_t
        generation; /* of this place in the table: an event of an earlier client is known by it */
    enum edge_room room;
    enum edge_presence presence;
    void *owner; /* the front end's own; NULL at first */
    void *port;  /* likewise: which of its addresses it is that the client came to */

    /* The edge's own. */
    struct list_node silent; /* in its room's line while it has not sent a whole request */
    bool heard, linger;
    uint64_t deadline_ns; /* for the first request */
    struct edge_client *next_free;
};

/* What a front end gives to its edge. */
struct edge_door {
    /* Takes the socket; a front end that cannot serve it says edge_forget and closes it. */
    void (*enter)(void *owner, struct edge_client *client, const struct sockaddr *address,
                  socklen_t address_bytes);
    /* client->presence has grown worse. The record is alive until edge_forget. */
    void (*left)(void *owner, struct edge_client *client);
    /* Sent as they are: to a client above the limit, to one that says nothing. */
    const char *answer_full, *answer_slow;
};

struct edge_options {
    const char *host; /* numeric */
    uint16_t port;    /* 0: a free one */
    /* A socket that is bound already, taken by edge_open on OK; 0: none, one is bound to host and port.
     * One that listens already is somebody else's too, and is never shut down: whoever comes when
     * the edge no longer accepts waits for the next process. */
    int inherited_fd;
    uint32_t max_connections, probe_connections;
    uint64_t header_timeout_ns;
};

struct edge;
/* A socket bound to the address, for inherited_fd; -1 with errno. From any thread. */
int edge_bind(const char *host, uint16_t port);
enum outcome edge_open(struct edge **out, uv_loop_t *loop, const struct edge_options *options,
                       const struct edge_door *door, void *owner);
uint16_t edge_port(const struct edge *edge);
/* The client's first request has all its headers: its deadline is over. */
void edge_heard(struct edge_client *client);
/* When this client's socket is closed, what it still sends is read for a while: it has been answered
 * before it was done. */
void edge_linger(struct edge_client *client);
void edge_forget(struct edge *edge, struct edge_client *client);
void edge_stop_listening(
    struct edge *edge); /* new clients are refused by the kernel; may be repeated */
/* Every client is forgotten (asserted). The memory goes when the loop has closed the handles. */
void edge_close(struct edge *edge);

#endif
