#include "gateway/edge/edge.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/uninitialized.h"
#include "gateway/edge/farewell.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 128
#define EVENTS_PER_TURN  256
#define TICK_MS          250
#define BACKOFF_MS       100
#define FAREWELL_NS      (2 * CLOCK_S)
#define PROBE_TIMEOUT_NS (700 * CLOCK_MS) /* with a tick less than a second: probes speak at once */
#define BACKLOG          4096             /* the kernel cuts it to net.core.somaxconn */

struct edge {
    const struct edge_door *door;
    void *owner;
    int listener, watch, spare; /* spare: a descriptor to give up when there are no more */
    uint16_t port;
    bool listening, closing;
    bool shared; /* the listener is another process's too */
    uv_poll_t listener_poll, watch_poll;
    uv_timer_t backoff, tick;
    unsigned handles_open;
    uint64_t header_timeout_ns, complained_ns;
    uint32_t max_connections;
    size_t count, places;
    struct list_node silent[EDGE_ROOM_COUNT];
    struct farewell farewell;
    struct edge_client *free;
    struct edge_client clients[];
};

/* --- answers of the edge itself --- */

static void complain(struct edge *edge, const char *what, int error) {
    uint64_t now_ns = clock_now_ns();
    if (edge->complained_ns != 0 && now_ns - edge->complained_ns < CLOCK_S) return;
    edge->complained_ns = now_ns;
    log_event(LOG_WARN, what, LOG_STR("error", error != 0 ? strerror(error) : ""),
              LOG_UINT("connections", edge->count));
}

static void on_tick(uv_timer_t *timer);

/* It ticks only while a client is silent or a socket lingers. */
static void arm_tick(struct edge *edge) {
    if (!edge->closing && !uv_is_active((uv_handle_t *)&edge->tick))
        uv_timer_start(&edge->tick, on_tick, TICK_MS, TICK_MS);
}

static void say(int fd, const char *answer) {
    (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void refuse(struct edge *edge, int fd) {
    say(fd, edge->door->answer_full);
    farewell_add(&edge->farewell, fd, clock_now_ns() + FAREWELL_NS);
    arm_tick(edge);
}

/* --- clients --- */

static struct edge_client *client_new(struct edge *edge, int fd) {
    struct edge_client *client = edge->free;
    if (client == NULL) return NULL;
    edge->free = client->next_free;
    uint32_t generation = client->generation + 1;
    *client = (struct edge_client){.fd = fd, .generation = generation};
    edge->count++;
    bool full = edge->count > edge->max_connections;
    client->room = full ? EDGE_ROOM_PROBES : EDGE_ROOM_ALL;
    client->deadline_ns = clock_now_ns() + (full ? PROBE_TIMEOUT_NS : edge->header_timeout_ns);
    list_push_back(&edge->silent[client->room], &client->silent);
    arm_tick(edge);
    return client;
}

static void client_free(struct edge *edge, struct edge_client *client) {
    edge_heard(client);
    client->fd = -1;
    client->next_free = edge->free;
    edge->free = client;
    edge->count--;
}

void edge_heard(struct edge_client *client) {
    if (client->heard) return;
    client->heard = true;
    list_remove(&client->silent);
}

void edge_linger(struct edge_client *client) {
    client->linger = true;
}

void edge_forget(struct edge *edge, struct edge_client *client) {
    assert(client->fd >= 0);
    /* The duplicate outlives the front end's close, so no reset is sent. */
    int fd = client->linger ? fcntl(client->fd, F_DUPFD_CLOEXEC, 3) : -1;
    client_free(edge, client);
    if (fd < 0) return;
    farewell_add(&edge->farewell, fd, clock_now_ns() + FAREWELL_NS);
    arm_tick(edge);
}

/* An event names a place and a generation, never a pointer: whatever a descriptor's duplicate in a
 * starting child still reports, it cannot reach a client that came later. */
static bool watch_client(struct edge *edge, struct edge_client *client) {
    uint64_t place = (uint64_t)(client - edge->clients);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET,
                                .data.u64 = place << 32 | client->generation};
    return epoll_ctl(edge->watch, EPOLL_CTL_ADD, client->fd, &event) == 0;
}

static void client_event(struct edge *edge, const struct epoll_event *event) {
    size_t place = (size_t)(event->data.u64 >> 32);
    assert(place < edge->places);
    struct edge_client *client = &edge->clients[place];
    if (client->fd < 0 || client->generation != (uint32_t)event->data.u64) return;
    bool gone = (event->events & (EPOLLERR | EPOLLHUP)) != 0;
    enum edge_presence presence = gone ? EDGE_GONE : EDGE_HALF_CLOSED;
    if (presence <= client->presence) return;
    client->presence = presence;
    edge->door->left(edge->owner, client);
}

static void on_watch(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct edge *edge = poll->data;
    UNINITIALIZED struct epoll_event ready[EVENTS_PER_TURN];
    int count = epoll_wait(edge->watch, ready, EVENTS_PER_TURN, 0);
    for (int i = 0; i < count; i++) {
        if ((ready[i].data.u64 & FAREWELL_TAG) != 0)
            farewell_event(&edge->farewell, ready[i].data.u64);
        else
            client_event(edge, &ready[i]);
    }
}

/* Clients in one room wait equally long, so each line is in the order of deadlines. */
static void on_tick(uv_timer_t *timer) {
    struct edge *edge = timer->data;
    uint64_t now_ns = clock_now_ns();
    bool waiting = false;
    for (int room = 0; room < EDGE_ROOM_COUNT; room++) {
        while (!list_empty(&edge->silent[room])) {
            struct edge_client *client =
                LIST_ENTRY(edge->silent[room].next, struct edge_client, silent);
            if (client->deadline_ns > now_ns) break;
            edge_heard(client);
            say(client->fd,
                room == EDGE_ROOM_ALL ? edge->door->answer_slow : edge->door->answer_full);
            shutdown(client->fd, SHUT_RDWR); /* the front end sees its end and closes it */
        }
        waiting = waiting || !list_empty(&edge->silent[room]);
    }
    farewell_expire(&edge->farewell, now_ns);
    if (!waiting && edge->farewell.count == 0) uv_timer_stop(timer);
}

/* --- accept --- */

static void welcome(struct edge *edge, int fd, const struct sockaddr *address, socklen_t bytes) {
    struct edge_client *client = client_new(edge, fd);
    if (client == NULL) {
        complain(edge, "connection refused: too many", 0);
        refuse(edge, fd);
        return;
    }
    if (!watch_client(edge, client)) {
        client_free(edge, client);
        close(fd);
        return;
    }
    edge->door->enter(edge->owner, client, address, bytes);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void on_backoff(uv_timer_t *timer) {
    struct edge *edge = timer->data;
    if (edge->spare < 0) edge->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (edge->listening) uv_poll_start(&edge->listener_poll, UV_READABLE, on_listener);
}

/* Out of descriptors: the spare one serves to tell the client so; then a pause instead of a spin. */
static void on_accept_failed(struct edge *edge, int error) {
    complain(edge, "accept failed", error);
    if (edge->spare >= 0 && (error == EMFILE || error == ENFILE)) {
        close(edge->spare);
        int fd = accept4(edge->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            say(fd, edge->door->answer_full);
            close(fd);
        }
        edge->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && edge->spare >= 0) return;
    }
    uv_poll_stop(&edge->listener_poll);
    uv_timer_start(&edge->backoff, on_backoff, BACKOFF_MS, 0);
}

static bool out_of_resources(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_listener(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct edge *edge = poll->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        int fd = accept4(edge->listener, (struct sockaddr *)&address, &bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(edge, fd, (const struct sockaddr *)&address, bytes);
            continue;
        }
        if (errno == EAGAIN) return;
        if (!out_of_resources(errno)) continue; /* this one client failed, not accept */
        on_accept_failed(edge, errno);
        if (!uv_is_active((uv_handle_t *)poll)) return;
    }
}

/* --- life --- */

static bool make_address(const char *host, uint16_t port, struct sockaddr_storage *address,
                         socklen_t *bytes) {
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *bytes = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1) return false;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    *bytes = sizeof *six;
    return true;
}

int edge_bind(const char *host, uint16_t port) {
    struct sockaddr_storage address;
    socklen_t bytes;
    int on = 1;
    if (!make_address(host, port, &address, &bytes)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address, bytes) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t port_of(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.six = {0}};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, &address.any, &bytes) != 0) return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.four.sin_port : address.six.sin6_port);
}

static bool listens(int fd) {
    int listening = 0;
    socklen_t bytes = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening != 0;
}

/* False with errno. Accepted sockets inherit TCP_NODELAY on Linux. */
static bool listen_on(struct edge *edge, const struct edge_options *options) {
    int on = 1, inherited = options->inherited_fd;
    int fd = inherited > 0 ? inherited : edge_bind(options->host, options->port);
    if (fd < 0) return false;
    edge->shared = listens(fd);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && listen(fd, BACKLOG) == 0) {
        edge->listener = fd;
        edge->port = port_of(fd);
        return true;
    }
    int error = errno;
    if (inherited <= 0) close(fd);
    errno = error;
    return false;
}

static struct edge *edge_new(const struct edge_options *options) {
    size_t places = (size_t)options->max_connections + options->probe_connections;
    struct edge *edge = calloc(1, sizeof *edge + places * sizeof(struct edge_client));
    if (edge == NULL) return NULL;
    edge->places = places;
    edge->max_connections = options->max_connections;
    edge->header_timeout_ns = options->header_timeout_ns;
    edge->spare = -1;
    for (int room = 0; room < EDGE_ROOM_COUNT; room++) list_init(&edge->silent[room]);
    for (size_t i = places; i-- > 0;) {
        edge->clients[i].fd = -1;
        edge->clients[i].next_free = edge->free;
        edge->free = &edge->clients[i];
    }
    return edge;
}

static void start_handles(struct edge *edge, uv_loop_t *loop) {
    int failed = uv_poll_init(loop, &edge->listener_poll, edge->listener);
    failed |= uv_poll_init(loop, &edge->watch_poll, edge->watch);
    uv_timer_init(loop, &edge->backoff);
    uv_timer_init(loop, &edge->tick);
    assert(failed == 0);
    edge->listener_poll.data = edge->watch_poll.data = edge->backoff.data = edge->tick.data = edge;
    edge->handles_open = 4;
    uv_poll_start(&edge->listener_poll, UV_READABLE, on_listener);
    uv_poll_start(&edge->watch_poll, UV_READABLE, on_watch);
    edge->listening = true;
}

enum outcome edge_open(struct edge **out, uv_loop_t *loop, const struct edge_options *options,
                       const struct edge_door *door, void *owner) {
    *out = NULL;
    struct edge *edge = edge_new(options);
    if (edge == NULL) return MEMORY_EXHAUSTED;
    edge->door = door;
    edge->owner = owner;
    if (!listen_on(edge, options)) {
        free(edge);
        return INVALID_REQUEST;
    }
    edge->watch = epoll_create1(EPOLL_CLOEXEC);
    edge->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (edge->watch < 0 || edge->spare < 0) {
        if (options->inherited_fd <= 0) close(edge->listener);
        if (edge->watch >= 0) close(edge->watch);
        free(edge);
        return MEMORY_EXHAUSTED;
    }
    farewell_init(&edge->farewell, edge->watch);
    start_handles(edge, loop);
    *out = edge;
    return OK;
}

uint16_t edge_port(const struct edge *edge) {
    return edge->port;
}

void edge_stop_listening(struct edge *edge) {
    if (!edge->listening) return;
    edge->listening = false;
    uv_poll_stop(&edge->listener_poll);
    if (!edge->shared) shutdown(edge->listener, SHUT_RDWR);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct edge *edge = handle->data;
    if (--edge->handles_open > 0) return;
    close(edge->listener);
    close(edge->watch);
    if (edge->spare >= 0) close(edge->spare);
    free(edge);
}

void edge_close(struct edge *edge) {
    assert(edge->count == 0);
    edge_stop_listening(edge);
    edge->closing = true;
    farewell_expire(&edge->farewell, CLOCK_NEVER);
    uv_close((uv_handle_t *)&edge->listener_poll, on_handle_closed);
    uv_close((uv_handle_t *)&edge->watch_poll, on_handle_closed);
    uv_close((uv_handle_t *)&edge->backoff, on_handle_closed);
    uv_close((uv_handle_t *)&edge->tick, on_handle_closed);
}
