#include "gateway/edge/interior.h"

#include "core/base/clock.h"
#include "gateway/edge/proxy_header.h"
#include "gateway/edge/stream_tls.h"
#include "gateway/self_dial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIRECT_EVENTS (EPOLLRDHUP | EPOLLET)
#define LEAST_QUARTER 4
#define STUCK_MOST    64
#define RELEASE_MS    50

static bool watch(struct edge *edge, const struct edge_client *client, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = client_tag(&edge->clients, client)};
    return epoll_ctl(edge->watch, how, client->fd, &event) == 0;
}

void arrival_drop(struct edge *edge, struct edge_client *client) {
    int fd = client->fd;
    if (client->shaking.kind != NULL) client->shaking.kind->close(&client->shaking);
    ending_place(edge, client);
    close(fd);
}

/* --- the door --- */

static const enum relay_guard guards[] = {
    [EDGE_RELAYED_HTTP] = RELAY_UNGUARDED,
    [EDGE_GUARDED_HTTP] = RELAY_HTTP_GUARD,
    [EDGE_GUARDED_H2] = RELAY_H2_GUARD,
};

static void enter_relayed(struct edge *edge, struct edge_client *client) {
    struct stream stream =
        client->shaking.kind != NULL ? client->shaking : stream_plain(client->fd);
    bool heard_before = client->proxied || client->wary || client->shaking.kind != NULL;
    client->shaking.kind = NULL;
    const struct relay_options options = {
        .client = stream,
        .epoll = edge->watch,
        .client_tag = client_tag(&edge->clients, client),
        .library_tag = client_tag(&edge->clients, client) | CLIENT_LIBRARY_TAG,
        .guard = guards[edge->options.service],
        .wary = client->wary,
        .now_ns = clock_now_ns(),
    };
    int library;
    if (!relay_open(&client->relay, &options, &library)) {
        arrival_drop(edge, client);
        return;
    }
    client->stage = EDGE_ENTERED;
    edge->door->enter(edge->owner, client, library);
    /* What came behind the greeting will not be announced again. */
    if (heard_before && client->relay != NULL)
        edge_turn_relay(edge, client,
                        relay_client_event(client->relay, EPOLLIN | EPOLLOUT, options.now_ns));
}

static void enter(struct edge *edge, struct edge_client *client) {
    if (client->room == EDGE_ROOM_ALL)
        patience_start(&edge->patience, &client->wait, PATIENCE_HEADER, clock_now_ns());
    if (edge->options.service != EDGE_DIRECT) {
        enter_relayed(edge, client);
        return;
    }
    bool seen = client->proxied || client->wary; /* what epoll told then is not told again */
    if (seen && !watch(edge, client, EPOLL_CTL_MOD, DIRECT_EVENTS)) {
        arrival_drop(edge, client);
        return;
    }
    client->stage = EDGE_ENTERED;
    edge->door->enter(edge->owner, client, client->fd);
}

/* --- TLS --- */

static void shake(struct edge *edge, struct edge_client *client) {
    switch (stream_tls_handshake(&client->shaking)) {
    case STREAM_TLS_DONE: enter(edge, client); break;
    case STREAM_TLS_WAITS: break;
    case STREAM_TLS_FAILED: ending_shaking(edge, client); break;
    }
}

static void begin_tls(struct edge *edge, struct edge_client *client) {
    if (!stream_tls(&client->shaking, edge->options.tls, client->fd)) {
        arrival_drop(edge, client);
        return;
    }
    client->stage = EDGE_SHAKING;
    if (client->proxied || client->wary) shake(edge, client);
}

static void proceed(struct edge *edge, struct edge_client *client) {
    if (edge->options.tls != NULL)
        begin_tls(edge, client);
    else
        enter(edge, client);
}

/* --- the tarpit --- */

/* A connection of gRPC core costs a flood nothing and us a millisecond. Where the guard has ended many of an
 * address, its next ones come in one after the other, slowly, and with little credit. */
static void get_stuck(struct edge *edge, struct edge_client *client) {
    if (edge->stuck_count >= STUCK_MOST) {
        ending_end(edge, client, EDGE_TARPIT_FULL);
        return;
    }
    client->stage = EDGE_STUCK;
    client->wary = true;
    patience_stop(&client->wait);
    list_push_back(&edge->stuck, &client->stuck);
    edge->stuck_count++;
    if (!uv_is_active((uv_handle_t *)&edge->release))
        uv_timer_start(&edge->release, arrival_release, RELEASE_MS, RELEASE_MS);
}

void arrival_release(uv_timer_t *timer) {
    struct edge *edge = timer->data;
    if (list_empty(&edge->stuck)) {
        uv_timer_stop(timer);
        return;
    }
    struct edge_client *client = LIST_ENTRY(edge->stuck.next, struct edge_client, stuck);
    list_remove(&client->stuck);
    edge->stuck_count--;
    client->stage = EDGE_GREETING;
    patience_start(&edge->patience, &client->wait, PATIENCE_HEADER, clock_now_ns());
    edge_arm_tick(edge);
    proceed(edge, client);
}

/* --- whose connection it is --- */

static uint32_t limit_of(const struct edge *edge, const struct address *address) {
    uint32_t quarter = edge->options.max_connections / LEAST_QUARTER;
    if (edge->options.max_per_address > 0) return edge->options.max_per_address;
    if (address_is_loopback(address)) return UINT32_MAX;
    return quarter > 0 ? quarter : 1;
}

/* Who it is, is known. Proxies bring the connections of many, and have no limit of their own. */
static void admit(struct edge *edge, struct edge_client *client) {
    bool stranger = !client->own && !edge_trusts(edge, &client->address);
    if (stranger) {
        uint32_t limit = limit_of(edge, &client->address);
        if (!addresses_enter(edge->addresses, &client->address, limit)) {
            ending_end(edge, client, EDGE_ADDRESS_FULL);
            return;
        }
        client->counted = true;
    }
    if (stranger && client->room == EDGE_ROOM_ALL &&
        addresses_is_wary(edge->addresses, &client->address, clock_now_ns()))
        get_stuck(edge, client);
    else
        proceed(edge, client);
}

static bool begins_like(const void *bytes, size_t count, const void *mark, size_t mark_bytes) {
    return memcmp(bytes, mark, count < mark_bytes ? count : mark_bytes) == 0;
}

static bool begins_like_header(const void *bytes, size_t count) {
    static const char text[] = "PROXY ", binary[] = "\r\n\r\n\0\r\nQUIT\n";
    return begins_like(bytes, count, text, sizeof text - 1) ||
           begins_like(bytes, count, binary, sizeof binary - 1);
}

static void take_header(struct edge *edge, struct edge_client *client,
                        const struct proxy_header *header) {
    char thrown_away[PROXY_HEADER_BYTES];
    ssize_t taken = recv(client->fd, thrown_away, header->bytes, MSG_DONTWAIT);
    if (taken != (ssize_t)header->bytes) {
        arrival_drop(edge, client);
        return;
    }
    if (header->source.ss_family != AF_UNSPEC)
        client->address = address_of((const struct sockaddr *)&header->source);
    admit(edge, client);
}

static void greet(struct edge *edge, struct edge_client *client) {
    char bytes[PROXY_HEADER_BYTES];
    struct proxy_header header;
    ssize_t count = recv(client->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        arrival_drop(edge, client);
        return;
    }
    if (!begins_like_header(bytes, (size_t)count)) {
        admit(edge, client);
        return;
    }
    switch (proxy_header_read(&header, bytes, (size_t)count)) {
    case PROXY_HEADER_WHOLE: take_header(edge, client, &header); break;
    case PROXY_HEADER_MORE: break;
    case PROXY_HEADER_BAD: ending_end(edge, client, EDGE_PROXY_HEADER); break;
    }
}

void arrival_event(struct edge *edge, struct edge_client *client, uint32_t events) {
    if (client->stage == EDGE_GREETING)
        greet(edge, client);
    else if (client->stage == EDGE_SHAKING)
        shake(edge, client);
    else if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
        arrival_drop(edge, client); /* out of the tarpit */
}

static void refuse(struct edge *edge, int fd, const struct address *address) {
    const struct edge_client refused = {.address = *address};
    const char *answer = edge->door->answers[EDGE_FULL];
    ending_count(edge, &refused, EDGE_FULL, "");
    if (answer != NULL && edge->options.tls == NULL)
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    farewell_add(&edge->farewell, fd, clock_now_ns() + CLOCK_S, (uint64_t)PROXY_HEADER_BYTES * 64);
    edge_arm_tick(edge);
}

void arrival_accepted(void *owner, int fd, const struct sockaddr *socket_address) {
    struct edge *edge = owner;
    const struct address address = address_of(socket_address);
    const struct edge_options *options = &edge->options;
    bool own = self_dial_is_own(&address);
    bool full = !own && edge->ordinary >= options->max_connections + options->probe_connections;
    struct edge_client *client = full ? NULL : clients_take(&edge->clients, fd);
    if (client == NULL) {
        refuse(edge, fd, &address);
        return;
    }
    if (!own) edge->ordinary++;
    client->own = own;
    client->address = address;
    client->room =
        own || edge->ordinary > options->max_connections ? EDGE_ROOM_PROBES : EDGE_ROOM_ALL;
    bool probe = client->room == EDGE_ROOM_PROBES;
    patience_start(&edge->patience, &client->wait, probe ? PATIENCE_PROBE : PATIENCE_HEADER,
                   clock_now_ns());
    edge_arm_tick(edge);
    client->proxied = edge->trusted_count > 0 && edge_trusts(edge, &address);
    bool direct = options->service == EDGE_DIRECT && !client->proxied;
    if (!watch(edge, client, EPOLL_CTL_ADD, direct ? DIRECT_EVENTS : RELAY_CLIENT_EVENTS))
        arrival_drop(edge, client);
    else if (!client->proxied)
        admit(edge, client);
}
