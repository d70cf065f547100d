/* relay - moves bytes between a client and one end of a socket pair whose other end a library has, past a
 *         guard.
 * thread: the loop's, whose epoll it is told of; all sockets are edge-triggered.
 * owns:   its end of the pair, what one side has sent and the other has not taken (at most RELAY_HELD_BYTES
 *         each way: then it reads no more of that side), the stream's session. Not the client's socket.
 * fails:  relay_open: false when out of memory or descriptors. Else it says how things stand. */
#ifndef GATEWAY_EDGE_RELAY_H
#define GATEWAY_EDGE_RELAY_H

#include "gateway/edge/h2_guard.h"
#include "gateway/edge/http_guard.h"
#include "gateway/edge/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_HELD_BYTES ((size_t)64 * 1024)
/* What the owner of epoll asks of the client's socket. */
#define RELAY_CLIENT_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum relay_guard { RELAY_UNGUARDED, RELAY_HTTP_GUARD, RELAY_H2_GUARD };

/* In the order of how much is over. FLAWED: the guard lets no more of the client's bytes pass; answers still
 * do. EMPTIED: the library has ended and the client has all of its bytes. LOST: the client is gone. */
enum relay_state { RELAY_MOVING, RELAY_FLAWED, RELAY_EMPTIED, RELAY_LOST };

struct relay_way {
    char *held;         /* NULL: nothing is */
    uint32_t at, count; /* what of it is still to be sent */
    uint64_t moved;     /* bytes that the other side took */
    bool ending;        /* the end of its source is near: it is read to the end */
    bool ended;         /* its source will send no more */
    bool closed;        /* its target takes no more, or has been told of the end */
};

struct relay {
    struct stream client;
    int library; /* our end of the pair */
    int epoll;
    uint64_t client_tag, library_tag;
    enum relay_guard kind;
    enum relay_state state;
    bool waits_for_library; /* EPOLLOUT is asked for */
    struct relay_way up, down;
    union {
        struct http_guard http;
        struct h2_guard h2;
    } guard;
};

struct relay_options {
    struct stream client; /* taken, also on failure */
    int epoll;
    uint64_t client_tag, library_tag; /* of their events; the client's socket is in epoll already */
    enum relay_guard guard;
    bool wary; /* the guard gives little credit */
    uint64_t now_ns;
};

/* *library is the library's end, the caller's. */
bool relay_open(struct relay **out, const struct relay_options *options, int *library);
/* EPOLL bits as they came. */
enum relay_state relay_client_event(struct relay *relay, uint32_t events, uint64_t now_ns);
enum relay_state relay_library_event(struct relay *relay, uint32_t events, uint64_t now_ns);
/* Moves what can be moved to the client, whether or not there was an event. */
enum relay_state relay_flush(struct relay *relay, uint64_t now_ns);
/* What the library has sent is not with the client yet. */
bool relay_holds(const struct relay *relay);
/* What the client has sent is not with the library yet. */
bool relay_is_unread(const struct relay *relay);
/* Last words, if the client takes them and they would not fall into the middle of others. */
void relay_say(struct relay *relay, const void *bytes, size_t count);
/* The library is told that the client will send no more and takes no more. */
void relay_end_library(struct relay *relay);
void relay_close(struct relay *relay);

#endif
