#include "gateway/grpc/server.h"

#include "core/base/clock.h"
#include "gateway/grpc/call.h"
#include "gateway/grpc/door.h"
#include "gateway/grpc/library.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES 2 /* their threads also do the library's reading and writing */
/* What the library may hold of messages that come in and go out, all connections together. */
#define QUOTA_MESSAGES 8
#define QUOTA_BYTES    ((uint64_t)64 * 1024 * 1024)
/* Beyond it the library ends the connection with all its calls: between our limit and this only the one
 * call is refused. */
#define METADATA_BYTES      (4 * CALL_METADATA_BYTES)
#define KEEPALIVE_ANSWER_MS 20000
#define CLIENT_PING_MS      10000 /* a client that pings more often is sent away */
#define GOODBYE_NS          (500 * CLOCK_MS)

struct rpc_server {
    struct grpc_front front;
    grpc_server *server;
    void *registered[METHODS];
    struct call_queue queues[QUEUES];
    struct event down;
};

/* --- the library's server --- */

static int clamp(uint64_t value) {
    return value < INT_MAX ? (int)value : INT_MAX;
}

/* Milliseconds; 0 is never. */
static int period_ms(uint64_t ns) {
    return ns == 0 ? INT_MAX : clamp(ns / CLOCK_MS > 0 ? ns / CLOCK_MS : 1);
}

static grpc_arg number(const char *key, int value) {
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_server *create_server(const struct config *config) {
    grpc_resource_quota *quota = grpc_resource_quota_create("poolgate");
    grpc_resource_quota_resize(quota, QUOTA_BYTES + QUOTA_MESSAGES * config->grpc.max_message);
    grpc_arg args[] = {
        number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, clamp(config->grpc.max_message)),
        number(GRPC_ARG_MAX_CONCURRENT_STREAMS, clamp(config->grpc.max_streams)),
        number(GRPC_ARG_MAX_METADATA_SIZE, (int)METADATA_BYTES),
        /* A compressed message is refused: its size is checked only after it has been blown up. */
        number(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
        number(GRPC_ARG_KEEPALIVE_TIME_MS, period_ms(config->grpc.keepalive_ns)),
        number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_ANSWER_MS),
        number(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        number(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        number(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, CLIENT_PING_MS),
        number(GRPC_ARG_MAX_CONNECTION_AGE_MS, period_ms(config->grpc.max_age_ns)),
        number(GRPC_ARG_ENABLE_CHANNELZ, 0),
        /* The pool keeps the deadlines, of all that a call waits for. */
        number(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
        {.type = GRPC_ARG_POINTER,
         .key = GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}},
    };
    const grpc_channel_args all = {.num_args = sizeof args / sizeof args[0], .args = args};
    grpc_server *server = grpc_server_create(&all, NULL);
    grpc_resource_quota_unref(quota);
    return server;
}

static void on_down(struct event *event, bool well) {
    assert(well);
    open_calls_server_down(&LIST_ENTRY(event, struct rpc_server, down)->front.calls);
}

static void start_server(struct rpc_server *server) {
    server->down.happened = on_down;
    server->server = create_server(server->front.config);
    for (size_t i = 0; i < METHODS; i++) {
        if (methods[i].path == NULL) continue;
        server->registered[i] = grpc_server_register_method(
            server->server, methods[i].path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        assert(server->registered[i] != NULL);
    }
    for (size_t i = 0; i < QUEUES; i++)
        call_queue_open(&server->queues[i], &server->front, server->server, server->registered);
    grpc_server_start(server->server);
    for (size_t i = 0; i < QUEUES; i++) call_queue_start(&server->queues[i]);
}

/* No call is new from here on. Those that are open have until until_ns, then every connection a moment
 * to go by itself. A client that will not go is cut off. */
static void stop_server(struct rpc_server *server, uint64_t until_ns) {
    struct open_calls *calls = &server->front.calls;
    atomic_store(&server->front.stopping, true);
    grpc_server_shutdown_and_notify(server->server, server->queues[0].completion, &server->down);
    open_calls_wait(calls, END_OF_CALLS, until_ns);
    if (!open_calls_wait(calls, END_OF_SERVER, clock_add(clock_now_ns(), GOODBYE_NS))) {
        grpc_server_cancel_all_calls(server->server);
        while (!open_calls_wait(calls, END_OF_SERVER, clock_add(clock_now_ns(), CLOCK_S))) continue;
    }
    grpc_server_destroy(server->server);
    for (size_t i = 0; i < QUEUES; i++) call_queue_close(&server->queues[i]);
}

/* --- life --- */

static enum outcome open_front(struct grpc_front *front, const struct rpc_server_options *options) {
    front->gate = options->gate;
    front->access = options->access;
    front->metrics = options->metrics;
    front->observer = options->observer;
    front->config = options->config;
    front->trust_tenant = access_trusts_tenant(options->config, &options->config->grpc.listen);
    enum outcome outcome = body_accounts_open(&front->accounts, front->gate);
    if (outcome != OK) return outcome;
    open_calls_open(&front->calls, options->live);
    return OK;
}

static void free_server(struct rpc_server *server) {
    grpc_shutdown();
    open_calls_close(&server->front.calls);
    free(server->front.accounts);
    free(server);
}

enum outcome rpc_server_open(struct rpc_server **out, const struct rpc_server_options *options) {
    *out = NULL;
    struct rpc_server *server = calloc(1, sizeof *server);
    if (server == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = open_front(&server->front, options);
    if (outcome != OK) {
        free(server);
        return outcome;
    }
    library_open();
    start_server(server);
    const struct door_options door = {
        .server = server->server,
        .metrics = options->metrics,
        .config = options->config,
        .inherited_fd = options->inherited_fd,
        .tls = options->tls,
    };
    outcome = door_open(&server->front.door, &door);
    if (outcome != OK) {
        int error = errno;
        stop_server(server, 0);
        free_server(server);
        errno = error;
        return outcome;
    }
    *out = server;
    return OK;
}

const char *rpc_server_address(const struct rpc_server *server) {
    return door_address(server->front.door);
}

void rpc_server_drain(struct rpc_server *server) {
    atomic_store(&server->front.draining, true);
}

void rpc_server_close(struct rpc_server *server, uint64_t timeout_ns) {
    rpc_server_drain(server);
    door_stop(server->front.door);
    stop_server(server, clock_add(clock_now_ns(), timeout_ns));
    door_close(server->front.door);
    log_event(LOG_INFO, "grpc closed", LOG_UINT("calls", server->front.calls.created),
              LOG_UINT("released", server->front.calls.released));
    free_server(server);
}
