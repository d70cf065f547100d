/* edge - owns the clients of a door: takes them in, knows their limits and deadlines, brings them to the
 *        library directly or by a relay, sees who left, and ends who breaks the rules.
 * thread: the loop's, all of it; edge_open before the loop runs.
 * owns:   the listening socket, the records of clients, the sockets of clients that are relayed. A direct
 *         client's socket belongs to the front end from `enter` on.
 * fails:  edge_open: INVALID_REQUEST (errno tells: cannot listen there), MEMORY_EXHAUSTED. */
#ifndef GATEWAY_EDGE_EDGE_H
#define GATEWAY_EDGE_EDGE_H

#include "core/base/outcome.h"
#include "gateway/address.h"
#include "gateway/edge/client.h"
#include "gateway/edge/reason.h"
#include "gateway/metrics.h"

#include <uv.h>

/* What a front end gives to its edge. */
struct edge_door {
    /* Takes fd, which is the library's. A front end that cannot serve it says edge_forget and closes fd. */
    void (*enter)(void *owner, struct edge_client *client, int fd);
    /* client->presence has grown worse. The record is alive until edge_forget. */
    void (*left)(void *owner, struct edge_client *client);
    /* Sent as they are to a client that is ended for that reason; NULL: nothing. */
    const char *answers[EDGE_REASON_COUNT];
    /* Writes, as a text, what a guard's verdict on HTTP is answered with. NULL: nothing. */
    void (*write_flaw)(char *out, size_t room, enum outcome answer, const char *flaw);
};

/* DIRECT: the library has the client's own socket. */
enum edge_service { EDGE_DIRECT, EDGE_RELAYED_HTTP, EDGE_GUARDED_HTTP, EDGE_GUARDED_H2 };

struct tls;
struct edge_options {
    const char *host; /* numeric */
    uint16_t port;    /* 0: a free one */
    /* A socket that is bound already, taken by edge_open on OK; 0: none, one is bound to host and port.
     * One that listens already is somebody else's too, and is never shut down: whoever comes when
     * the edge no longer accepts waits for the next process. */
    int inherited_fd;
    enum edge_service service;
    struct tls *tls; /* NULL: plain. Not with EDGE_DIRECT */
    uint32_t max_connections, probe_connections;
    uint32_t
        max_per_address; /* 0: a quarter of max_connections, and as many as it likes on loopback */
    uint64_t header_timeout_ns;
    uint64_t min_rate; /* bytes a second; 0: none */
    uint64_t
        reader_stall_ns; /* a relayed reader that takes nothing for so long is cut; 0: min_rate counts */
    const char *const *trusted_proxies; /* addresses and networks; NULL-terminated, or NULL */
    struct metrics *metrics;
    enum frontend frontend;
};

struct edge;
/* A socket bound to the address, for inherited_fd; -1 with errno. From any thread. */
int edge_bind(const char *host, uint16_t port);
enum outcome edge_open(struct edge **out, uv_loop_t *loop, const struct edge_options *options,
                       const struct edge_door *door, void *owner);
uint16_t edge_port(const struct edge *edge);
bool edge_trusts(const struct edge *edge, const struct address *address);

/* What a client's HTTP request is at; EDGE_BETWEEN: it is answered, and the next may come. */
void edge_phase(struct edge *edge, struct edge_client *client, enum edge_phase phase);
/* When this client's connection is closed, what it still sends is read for a while: it has been answered
 * before it was done. */
void edge_linger(struct edge_client *client);
/* The front end has done with it: right before the library's socket is closed. */
void edge_forget(struct edge *edge, struct edge_client *client);
/* No client is let in any more; who had not entered yet is sent away. May be repeated. */
void edge_stop_listening(struct edge *edge);
/* Every client is forgotten (asserted). What is under way to a client has a moment to get there. The memory
 * goes when the loop has closed the handles. */
void edge_close(struct edge *edge);

#endif
