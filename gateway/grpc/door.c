#include "gateway/grpc/door.h"

#include "core/base/channel.h"
#include "core/base/clock.h"
#include "core/watchdog.h"
#include "gateway/edge/edge.h"
#include "gateway/grpc/connections.h"

#include <assert.h>
#include <errno.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBE_CONNECTIONS 64 /* places above http.max_connections, where only probes are answered */
#define MESSAGES          4
/* A client that does not answer a ping for so long is gone for the server; one that takes nothing, for us. */
#define KEEPALIVE_ANSWER_NS (20 * CLOCK_S)
#define KEEPALIVE_NS        (60 * CLOCK_S) /* where no pings are sent */

enum door_message { DOOR_STOP, DOOR_CLOSE };

struct door {
    grpc_server *server;
    grpc_server_credentials *credentials;
    struct metrics *metrics;
    struct edge *edge;
    struct channel *channel;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_sem_t stopped;
    pthread_t thread;
    struct watchdog_loop *watched;
    struct connections connections;
    char address[80];
};

/* --- the edge's side --- */

static void forget(struct door *door, struct edge_client *client) {
    connections_remove(&door->connections, client->owner);
    edge_forget(door->edge, client);
    metrics_connections(door->metrics, FRONTEND_GRPC, -1);
}

static void on_enter(void *owner, struct edge_client *client, int fd) {
    struct door *door = owner;
    struct connection *connection = connections_add(&door->connections, client, fd);
    if (connection == NULL) {
        edge_forget(door->edge, client);
        close(fd);
        return;
    }
    client->owner = connection;
    metrics_connections(door->metrics, FRONTEND_GRPC, 1);
    grpc_server_add_channel_from_fd(door->server, fd, door->credentials);
}

/* Gone: the client, or the server's side once the client has all that it was sent. A half-close the server
 * sees for itself, and answers with its own end. */
static void on_left(void *owner, struct edge_client *client) {
    if (client->presence == EDGE_GONE) forget(owner, client);
}

/* A client of HTTP/2 has no use for a text. */
static const struct edge_door edge_door = {.enter = on_enter, .left = on_left};

/* --- the loop --- */

static void finish(struct door *door) {
    struct connection *connection;
    while ((connection = connections_first(&door->connections)) != NULL)
        forget(door, connection->client);
    edge_close(door->edge);
    channel_close(door->channel);
    uv_close((uv_handle_t *)&door->prepare, NULL);
    uv_close((uv_handle_t *)&door->check, NULL);
    watchdog_leave(door->watched, clock_now_ns()); /* the edge may still have bytes to bring */
}

static void on_messages(void *owner, const struct message *batch, size_t count) {
    struct door *door = owner;
    for (size_t i = 0; i < count; i++) {
        if (batch[i].kind == DOOR_CLOSE) {
            finish(door);
            return;
        }
        edge_stop_listening(door->edge);
        uv_sem_post(&door->stopped);
    }
}

static void on_prepare(uv_prepare_t *prepare) {
    const struct door *door = prepare->data;
    watchdog_leave(door->watched, clock_now_ns());
}

static void on_check(uv_check_t *check) {
    const struct door *door = check->data;
    watchdog_enter(door->watched, clock_now_ns());
}

static void start_handles(struct door *door) {
    uv_prepare_init(&door->loop, &door->prepare);
    uv_check_init(&door->loop, &door->check);
    door->prepare.data = door->check.data = door;
    uv_prepare_start(&door->prepare, on_prepare);
    uv_check_start(&door->check, on_check);
}

static void *door_main(void *owner) {
    struct door *door = owner;
    pthread_setname_np(pthread_self(), "grpc-door");
    door->watched = watchdog_watch("grpc-door");
    uv_run(&door->loop, UV_RUN_DEFAULT);
    watchdog_unwatch(door->watched);
    return NULL;
}

/* --- questions --- */

/* The library's name of a connection that was made from a descriptor is fd:NUMBER. */
static int descriptor_of(grpc_call *call) {
    char *peer = grpc_call_get_peer(call);
    int fd = -1;
    if (peer != NULL && strncmp(peer, "fd:", 3) == 0) fd = (int)strtol(peer + 3, NULL, 10);
    gpr_free(peer);
    return fd;
}

void door_client(struct door *door, grpc_call *call, char address[DOOR_ADDRESS_BYTES]) {
    connections_address(&door->connections, descriptor_of(call), address, DOOR_ADDRESS_BYTES);
}

bool door_peer(struct door *door, grpc_call *call, struct address *peer) {
    return connections_peer(&door->connections, descriptor_of(call), peer);
}

bool door_is_full_for(struct door *door, grpc_call *call) {
    if (connections_probes(&door->connections) == 0) return false;
    return connections_is_probe(&door->connections, descriptor_of(call));
}

const char *door_address(const struct door *door) {
    return door->address;
}

/* --- life --- */

static enum outcome open_edge(struct door *door, const struct door_options *given) {
    const struct config *config = given->config;
    const struct listen_address *listen = &config->grpc.listen;
    uint64_t keepalive_ns = config->grpc.keepalive_ns;
    const struct edge_options options = {
        .host = listen->host,
        .port = listen->port,
        .inherited_fd = given->inherited_fd,
        .max_connections = config->http.max_connections,
        .probe_connections = PROBE_CONNECTIONS,
        .service = EDGE_GUARDED_H2,
        .tls = given->tls,
        .max_per_address = config->http.max_per_address,
        .header_timeout_ns = config->http.header_timeout_ns,
        .reader_stall_ns =
            clock_add(keepalive_ns > 0 ? keepalive_ns : KEEPALIVE_NS, KEEPALIVE_ANSWER_NS),
        .trusted_proxies = (const char *const *)config->http.trusted_proxies.items,
        .metrics = door->metrics,
        .frontend = FRONTEND_GRPC,
    };
    enum outcome outcome = edge_open(&door->edge, &door->loop, &options, &edge_door, door);
    if (outcome != OK) return outcome;
    bool brackets = strchr(listen->host, ':') != NULL;
    snprintf(door->address, sizeof door->address, "%s%s%s:%u", brackets ? "[" : "", listen->host,
             brackets ? "]" : "", edge_port(door->edge));
    return OK;
}

/* Once the thread runs, calls come in and ask the door: it is written to *out before. */
static enum outcome open_parts(struct door **out, struct door *door,
                               const struct door_options *options) {
    enum outcome outcome = channel_open(&door->channel, &door->loop, MESSAGES, on_messages, door);
    if (outcome != OK) return outcome;
    outcome = open_edge(door, options);
    if (outcome != OK) {
        channel_close(door->channel);
        return outcome;
    }
    start_handles(door);
    *out = door;
    if (pthread_create(&door->thread, NULL, door_main, door) == 0) return OK;
    *out = NULL;
    finish(door);
    return MEMORY_EXHAUSTED;
}

static void free_door(struct door *door) {
    int closed = uv_loop_close(&door->loop);
    assert(closed == 0);
    grpc_server_credentials_release(door->credentials);
    connections_close(&door->connections);
    uv_sem_destroy(&door->stopped);
    free(door);
}

enum outcome door_open(struct door **out, const struct door_options *options) {
    *out = NULL;
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL) return MEMORY_EXHAUSTED;
    int failed = uv_loop_init(&door->loop);
    assert(failed == 0);
    uv_sem_init(&door->stopped, 0);
    connections_open(&door->connections);
    door->server = options->server;
    door->metrics = options->metrics;
    door->credentials = grpc_insecure_server_credentials_create();
    enum outcome outcome = open_parts(out, door, options);
    if (outcome != OK) {
        int error = errno;
        uv_run(&door->loop, UV_RUN_DEFAULT); /* closes what was opened */
        free_door(door);
        errno = error;
    }
    return outcome;
}

static void tell(struct door *door, enum door_message what) {
    enum outcome sent = channel_try_send(door->channel, (struct message){.kind = what});
    assert(sent == OK);
}

void door_stop(struct door *door) {
    tell(door, DOOR_STOP);
    uv_sem_wait(&door->stopped);
}

void door_close(struct door *door) {
    tell(door, DOOR_CLOSE);
    pthread_join(door->thread, NULL);
    free_door(door);
}
