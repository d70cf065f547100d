/* client - the record of one client of an edge, and the table of them.
 * thread: the loop's.
 * owns:   the table owns its records.
 * fails:  clients_open: MEMORY_EXHAUSTED. clients_take: NULL when all places are taken. */
#ifndef GATEWAY_EDGE_CLIENT_H
#define GATEWAY_EDGE_CLIENT_H

#include "core/base/outcome.h"
#include "gateway/address.h"
#include "gateway/edge/pace.h"
#include "gateway/edge/patience.h"
#include "gateway/edge/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last places are for probes: a full house must not look like a dead one. */
enum edge_room { EDGE_ROOM_ALL, EDGE_ROOM_PROBES, EDGE_ROOM_COUNT };

/* EDGE_HALF_CLOSED: it sent FIN, and may still read. EDGE_GONE: reset, or closed both ways. */
enum edge_presence { EDGE_HERE, EDGE_HALF_CLOSED, EDGE_GONE };

/* GREETING: it may begin with a PROXY header. STUCK: in the tarpit. SHAKING: TLS. ENTERED: the front end has
 * it. */
enum edge_stage { EDGE_NOWHERE, EDGE_GREETING, EDGE_STUCK, EDGE_SHAKING, EDGE_ENTERED };

/* Of an HTTP connection. SENDING: a body comes in. WORKING: nothing is owed. TAKING: an answer goes out. */
enum edge_phase { EDGE_BETWEEN, EDGE_SENDING, EDGE_WORKING, EDGE_TAKING };

struct relay;
struct edge_client {
    enum edge_room room;
    enum edge_presence presence;
    struct address address; /* behind a proxy that is trusted and says so: of the proxy's client */
    void *owner;            /* the front end's own; NULL at first */
    void *port;             /* likewise: which of its addresses it is that the client came to */

    /* The edge's own. */
    int fd; /* the client's socket; -1: it is over, the front end has not said so yet */
    uint32_t generation; /* of this place: an event of an earlier client is known by it */
    enum edge_stage stage;
    enum edge_phase phase;
    bool counted; /* in addresses */
    bool own;     /* the gateway's own, which asks whether its port answers */
    bool proxied; /* accepted from a trusted proxy */
    bool wary;    /* its address has flooded us lately */
    bool linger, forgotten, suspect, ended;
    struct relay *relay;   /* NULL: direct, or over */
    struct stream shaking; /* TLS, until the relay has it */
    uint64_t answered;     /* requests */
    struct wait wait;
    struct list_node stuck; /* in the tarpit's line */
    struct list_node paced; /* in the edge's line while it has to send or to take */
    enum pace_way pace_way;
    struct pace pace;
    struct edge_client *next_free;
};

struct clients {
    struct edge_client *places, *free;
    size_t places_count, count;
};

enum outcome clients_open(struct clients *clients, size_t places);
void clients_close(struct clients *clients); /* asserts that there are none */
struct edge_client *clients_take(struct clients *clients, int fd);
void clients_give_back(struct clients *clients, struct edge_client *client);

/* Events name a place and a generation, never a pointer: whatever a descriptor's duplicate in a starting
 * child still reports, it cannot reach a client that came later. */
#define CLIENT_LIBRARY_TAG (UINT64_C(1) << 62) /* of the library's side of its relay */
uint64_t client_tag(const struct clients *clients, const struct edge_client *client);
struct edge_client *clients_find(const struct clients *clients, uint64_t tag); /* NULL: gone */

#endif
