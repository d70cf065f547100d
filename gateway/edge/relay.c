#include "gateway/edge/relay.h"

#include "core/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS          8 /* reads in a row, before others have their turn */
#define LIBRARY_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

/* One for all connections of a loop: what a side does not take at once is copied out of it. */
static _Thread_local char buffer[RELAY_HELD_BYTES];

enum step { STEP_DRY, STEP_MORE, STEP_STUCK, STEP_BROKEN };

/* --- the two sides --- */

enum side { CLIENT, LIBRARY };

static ssize_t side_receive(struct relay *relay, enum side side) {
    if (side == CLIENT) return stream_receive(&relay->client, buffer, sizeof buffer);
    ssize_t count = recv(relay->library, buffer, sizeof buffer, MSG_DONTWAIT);
    /* It closed over bytes that it had not read. */
    return count < 0 && errno == ECONNRESET ? 0 : count;
}

static ssize_t side_send(struct relay *relay, enum side side, const void *bytes, size_t count) {
    if (side == CLIENT) return stream_send(&relay->client, bytes, count);
    return send(relay->library, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* After a short read there was no more, unless it is the end that has come. */
static bool is_dry(const struct relay *relay, const struct relay_way *way, enum side side,
                   size_t count) {
    if (way->ending || count == sizeof buffer) return false;
    return side == LIBRARY || relay->client.kind->short_is_all;
}

/* How many of the bytes in the buffer may pass. */
static size_t guard_see(struct relay *relay, enum side from, size_t count, uint64_t now_ns) {
    if (relay->kind == RELAY_HTTP_GUARD && from == CLIENT)
        return http_guard_see(&relay->guard.http, buffer, count);
    if (relay->kind == RELAY_H2_GUARD)
        return h2_guard_see(&relay->guard.h2, from == CLIENT ? H2_FROM_CLIENT : H2_FROM_SERVER,
                            (const uint8_t *)buffer, count, now_ns);
    return count;
}

/* --- one way --- */

static void let_go(struct relay_way *way) {
    free(way->held);
    way->held = NULL;
    way->at = way->count = 0;
}

/* Sends; what is not taken is kept. The target that is broken takes no more: its bytes are dropped. */
static enum step way_send(struct relay *relay, struct relay_way *way, enum side to,
                          const char *bytes, size_t count) {
    size_t sent = 0;
    while (sent < count && !way->closed) {
        ssize_t taken = side_send(relay, to, bytes + sent, count - sent);
        if (taken >= 0) {
            sent += (size_t)taken;
            way->moved += (size_t)taken;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN) break;
        way->closed = true;
    }
    if (way->closed || sent == count) {
        let_go(way);
        return way->closed ? STEP_BROKEN : STEP_MORE;
    }
    if (way->held == NULL) {
        way->held = malloc(count - sent);
        if (way->held == NULL) {
            way->closed = true;
            return STEP_BROKEN;
        }
        memcpy(way->held, bytes + sent, count - sent);
        way->at = 0;
        way->count = (uint32_t)(count - sent);
    } else {
        way->at += (uint32_t)sent;
        way->count -= (uint32_t)sent;
    }
    return STEP_STUCK;
}

static enum step way_read(struct relay *relay, struct relay_way *way, enum side from,
                          uint64_t now_ns) {
    ssize_t count = side_receive(relay, from);
    if (count < 0) {
        if (errno == EINTR) return STEP_MORE;
        return errno == EAGAIN ? STEP_DRY : STEP_BROKEN;
    }
    if (count == 0) {
        way->ended = true;
        return STEP_DRY;
    }
    size_t passes = guard_see(relay, from, (size_t)count, now_ns);
    enum side to = from == CLIENT ? LIBRARY : CLIENT;
    enum step step = way_send(relay, way, to, buffer, passes);
    if (passes < (size_t)count) {
        relay->state = relay->state < RELAY_FLAWED ? RELAY_FLAWED : relay->state;
        return step == STEP_MORE ? STEP_DRY : step;
    }
    if (step == STEP_MORE && is_dry(relay, way, from, (size_t)count)) return STEP_DRY;
    return step;
}

static enum step way_move(struct relay *relay, struct relay_way *way, enum side from,
                          uint64_t now_ns) {
    if (way->held != NULL) {
        enum side to = from == CLIENT ? LIBRARY : CLIENT;
        enum step step = way_send(relay, way, to, way->held + way->at, way->count);
        if (step != STEP_MORE) return step;
    }
    for (int turn = 0; turn < TURNS; turn++) {
        if (way->ended || way->closed) return STEP_DRY;
        if (from == CLIENT && relay->state == RELAY_FLAWED) return STEP_DRY;
        enum step step = way_read(relay, way, from, now_ns);
        if (step != STEP_MORE) return step;
    }
    return STEP_MORE;
}

/* --- both --- */

static void watch_library(struct relay *relay) {
    bool waits = relay->up.held != NULL;
    struct epoll_event event = {.events = LIBRARY_EVENTS | (waits ? EPOLLOUT : 0U),
                                .data.u64 = relay->library_tag};
    epoll_ctl(relay->epoll, EPOLL_CTL_MOD, relay->library, &event);
    relay->waits_for_library = waits;
}

/* To change what is watched also brings an event at once when there is something to be done. */
static void watch_client(struct relay *relay) {
    struct epoll_event event = {.events = RELAY_CLIENT_EVENTS, .data.u64 = relay->client_tag};
    epoll_ctl(relay->epoll, EPOLL_CTL_MOD, relay->client.fd, &event);
}

static void move_up(struct relay *relay, uint64_t now_ns) {
    enum step step = way_move(relay, &relay->up, CLIENT, now_ns);
    /* A way is closed by its target: the library's answers may still come. */
    if (step == STEP_BROKEN && !relay->up.closed) {
        relay->state = RELAY_LOST;
        return;
    }
    if (relay->up.ended && relay->up.held == NULL && !relay->up.closed) {
        relay->up.closed = true;
        shutdown(relay->library, SHUT_WR);
    }
    if ((relay->up.held != NULL) != relay->waits_for_library) watch_library(relay);
    if (step == STEP_MORE) watch_client(relay);
}

static void move_down(struct relay *relay, uint64_t now_ns) {
    enum step step = way_move(relay, &relay->down, LIBRARY, now_ns);
    if (step == STEP_BROKEN && !relay->down.closed) relay->down.ended = true;
    if (relay->down.closed)
        relay->state = RELAY_LOST;
    else if (relay->down.ended && relay->down.held == NULL)
        relay->state = RELAY_EMPTIED;
    else if (step == STEP_MORE)
        watch_library(relay);
}

enum relay_state relay_client_event(struct relay *relay, uint32_t events, uint64_t now_ns) {
    if (relay->state >= RELAY_EMPTIED) return relay->state;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return relay->state = RELAY_LOST;
    if ((events & EPOLLRDHUP) != 0) relay->up.ending = true;
    bool turns = !relay->client.kind->short_is_all; /* TLS may have waited for the other way */
    if ((events & EPOLLOUT) != 0 && (relay->down.held != NULL || turns)) move_down(relay, now_ns);
    if (relay->state < RELAY_EMPTIED && ((events & (EPOLLIN | EPOLLRDHUP)) != 0 || turns))
        move_up(relay, now_ns);
    return relay->state;
}

enum relay_state relay_library_event(struct relay *relay, uint32_t events, uint64_t now_ns) {
    if (relay->state >= RELAY_EMPTIED) return relay->state;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) relay->down.ending = true;
    if ((events & EPOLLOUT) != 0 && relay->up.held != NULL) move_up(relay, now_ns);
    if (relay->state < RELAY_EMPTIED && (events & ~(uint32_t)EPOLLOUT) != 0)
        move_down(relay, now_ns);
    return relay->state;
}

enum relay_state relay_flush(struct relay *relay, uint64_t now_ns) {
    if (relay->state < RELAY_EMPTIED) move_down(relay, now_ns);
    return relay->state;
}

bool relay_holds(const struct relay *relay) {
    int unread = 0;
    if (relay->down.held != NULL) return true;
    return !relay->down.ended && ioctl(relay->library, FIONREAD, &unread) == 0 && unread > 0;
}

bool relay_is_unread(const struct relay *relay) {
    int unread = 0;
    if (relay->up.held != NULL) return true;
    return !relay->down.ended && ioctl(relay->library, SIOCOUTQ, &unread) == 0 && unread > 0;
}

/* --- life --- */

bool relay_open(struct relay **out, const struct relay_options *options, int *library) {
    int pair[2];
    *out = NULL;
    *library = -1;
    struct stream client = options->client;
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        client.kind->close(&client);
        free(relay);
        return false;
    }
    *relay = (struct relay){
        .client = client,
        .library = pair[0],
        .epoll = options->epoll,
        .client_tag = options->client_tag,
        .library_tag = options->library_tag,
        .kind = options->guard,
    };
    if (relay->kind == RELAY_HTTP_GUARD) http_guard_init(&relay->guard.http);
    if (relay->kind == RELAY_H2_GUARD)
        h2_guard_init(&relay->guard.h2, options->wary, options->now_ns);
    struct epoll_event event = {.events = LIBRARY_EVENTS, .data.u64 = relay->library_tag};
    if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->library, &event) != 0) {
        close(pair[1]);
        relay_close(relay);
        return false;
    }
    *out = relay;
    *library = pair[1];
    return true;
}

/* A frame of the library's is not broken into. */
static bool at_a_boundary(const struct relay *relay) {
    if (relay->down.held != NULL) return false;
    if (relay->kind != RELAY_H2_GUARD) return true;
    const struct h2_guard_reader *reader = &relay->guard.h2.readers[H2_FROM_SERVER];
    return reader->have == 0 && reader->payload == 0;
}

void relay_say(struct relay *relay, const void *bytes, size_t count) {
    if (relay->state == RELAY_LOST || count == 0 || !at_a_boundary(relay)) return;
    (void)!stream_send(&relay->client, bytes, count);
}

void relay_end_library(struct relay *relay) {
    shutdown(relay->library, SHUT_RDWR);
}

void relay_close(struct relay *relay) {
    close(relay->library);
    relay->client.kind->close(&relay->client);
    free(relay->up.held);
    free(relay->down.held);
    free(relay);
}
