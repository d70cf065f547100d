#include "gateway/http/server.h"

#include "core/base/clock.h"
#include "core/base/lag.h"
#include "core/base/log.h"
#include "core/watchdog.h"
#include "gateway/http/exchange.h"
#include "gateway/http/inquiry.h"
#include "gateway/http/invoke.h"
#include "gateway/http/problem.h"
#include "gateway/status_map.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* The pools have drained: who is still sending a body would be refused, and is not waited for longer. */
#define READERS_MS        UINT64_C(1000)
#define PROBE_CONNECTIONS 64 /* places above http.max_connections, where only probes are answered */
#define ADMIN_CONNECTIONS 128 /* at admin.listen */
#define OWN_CONNECTIONS   8   /* our own that dial this port, and one that the library needs */
#define IDLE_TIMEOUT_S    75u
#define CONNECTION_MEMORY ((size_t)32 * 1024) /* bounds a request's headers; zeroed per request */
#define PUMP_ROUNDS       16
#define ANSWER(status, type, body)                                                                 \
    "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nRetry-After: 1\r\nConnection: close\r\n"     \
    "Cache-Control: no-store\r\n\r\n" body

#define FULL(detail)                                                                               \
    ANSWER("503 Service Unavailable", "application/problem+json",                                  \
           "{\"type\":\"urn:poolgate:problem:queue_full\",\"title\":\"The queue is "               \
           "full\",\"status\":503,\"detail\":\"" detail "\",\"instance\":\"/\","                   \
           "\"code\":\"queue_full\",\"request_id\":\"\",\"source\":\"gateway\","                   \
           "\"retry_after_ms\":1000}\n")

struct http_server {
    struct front front;
    struct MHD_Daemon *daemon;
    uv_loop_t loop;
    uv_poll_t daemon_poll;
    uv_timer_t daemon_timer, stop_timer;
    uv_idle_t daemon_idle;
    uv_prepare_t prepare;
    uv_check_t check;
    pthread_t thread;
    struct watchdog_loop *watched;
    struct tls *tls;
    struct edge_client *arriving; /* handed over right now */
    uint64_t timer_due_ms, complained_ns;
    struct lag round;
    bool stopping, readers_over, stop_now;
    uint64_t stop_ms; /* how long replies may take after the readers' time */
    char address[80], admin_address[80];
};

static void forget(struct edge_client *client) {
    const struct front_port *port = client->port;
    edge_forget(port->edge, client);
}

/* --- libmicrohttpd's side --- */

static enum MHD_Result on_request(void *owner, struct MHD_Connection *connection,
                                  const char *target, const char *method, const char *version,
                                  const char *data, size_t *bytes, void **context) {
    struct http_server *server = owner;
    if (*context == NULL)
        return exchange_begin(&server->front, connection, method, target, version, context);
    if (*bytes > 0) return exchange_body(*context, data, bytes);
    return exchange_continue(*context);
}

static void on_completed(void *owner, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    (void)owner, (void)connection, (void)code;
    if (*context != NULL) exchange_end(*context);
    *context = NULL;
}

static void on_connection(void *owner, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    (void)connection;
    struct http_server *server = owner;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = server->arriving;
        metrics_connections(server->front.metrics, FRONTEND_HTTP, 1);
        return;
    }
    if (*socket_context == server->arriving) server->arriving = NULL;
    forget(*socket_context);
    metrics_connections(server->front.metrics, FRONTEND_HTTP, -1);
}

/* The path is decoded by us, once. */
static size_t keep_escapes(void *owner, struct MHD_Connection *connection, char *text) {
    (void)owner, (void)connection;
    return strlen(text);
}

/* Clients can make the library complain as often as they like: one line a second. */
static void on_library_log(void *owner, const char *format, va_list arguments) {
    struct http_server *server = owner;
    char text[256];
    uint64_t now_ns = clock_now_ns();
    if (server->complained_ns != 0 && now_ns - server->complained_ns < CLOCK_S) return;
    server->complained_ns = now_ns;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof text, format, arguments);
#pragma GCC diagnostic pop
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "http library", LOG_STR("text", text));
}

/* --- the edge's side --- */

/* The library is told the kind of its socket, nothing else: it is then spared options that only TCP has. */
static void on_enter(void *owner, struct edge_client *client, int fd) {
    static const struct sockaddr_in internet = {.sin_family = AF_INET};
    static const struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct front_port *port = owner;
    struct http_server *server = LIST_ENTRY(port->front, struct http_server, front);
    bool relayed = fd != client->fd;
    const struct sockaddr *address =
        relayed ? (const struct sockaddr *)&local : (const struct sockaddr *)&internet;
    socklen_t bytes = relayed ? sizeof local : sizeof internet;
    client->port = port;
    server->arriving = client;
    enum MHD_Result added = MHD_add_connection(server->daemon, fd, address, bytes);
    /* On failure it has closed the socket; it said so only if it had begun with it. */
    if (added != MHD_YES && server->arriving != NULL) forget(client);
    server->arriving = NULL;
}

static void on_left(void *owner, struct edge_client *client) {
    (void)owner;
    if (client->owner == NULL) return;
    invoke_left(client->owner);
    watch_left(client->owner);
}

static void write_flaw(char *out, size_t room, enum outcome answer, const char *flaw) {
    char body[PROBLEM_BYTES];
    unsigned status = status_of(answer)->http;
    const struct problem problem = {.outcome = answer,
                                    .source = SOURCE_GATEWAY,
                                    .detail = flaw,
                                    .instance = "/",
                                    .request_id = ""};
    problem_write(&problem, body);
    snprintf(out, room,
             "HTTP/1.1 %u %s\r\nContent-Type: " PROBLEM_CONTENT_TYPE
             "\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n%s",
             status, MHD_get_reason_phrase_for(status), body);
}

static const struct edge_door door = {
    .enter = on_enter,
    .left = on_left,
    .answers = {[EDGE_FULL] = FULL("there are too many connections"),
                [EDGE_ADDRESS_FULL] = FULL("there are too many connections from this address"),
                [EDGE_HEADER_TIMEOUT] =
                    ANSWER("408 Request Timeout", "text/plain; charset=utf-8",
                           "No whole request came within http.header_timeout.\n"),
                [EDGE_SLOW_SENDER] =
                    ANSWER("408 Request Timeout", "text/plain; charset=utf-8",
                           "The body came more slowly than http.min_rate allows.\n"),
                [EDGE_PROXY_HEADER] = ANSWER("400 Bad Request", "text/plain; charset=utf-8",
                                             "The PROXY header cannot be read.\n")},
    .write_flaw = write_flaw,
};

/* --- the loop --- */

/* Runs the library until it has nothing left that could be done without waiting. */
static void pump(struct http_server *server) {
    MHD_UNSIGNED_LONG_LONG wait_ms;
    for (int round = 0; round < PUMP_ROUNDS; round++) {
        MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &wait_ms) != MHD_YES || wait_ms > 0) return;
    }
}

static void on_daemon_poll(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    pump(poll->data);
}

static void on_daemon_timer(uv_timer_t *timer) {
    pump(timer->data);
}

static void on_daemon_idle(uv_idle_t *idle) {
    pump(idle->data);
}

static void on_stop_timer(uv_timer_t *timer) {
    struct http_server *server = timer->data;
    server->stop_now = server->readers_over;
    server->readers_over = true;
    if (!server->stop_now) uv_timer_start(timer, on_stop_timer, server->stop_ms, 0);
}

static void on_messages(void *owner, const struct message *batch, size_t count) {
    struct http_server *server = owner;
    for (size_t i = 0; i < count; i++) {
        if (batch[i].kind == FRONT_ANSWERED) {
            invoke_answered(batch[i].pointer);
            continue;
        }
        if (batch[i].kind == FRONT_TOLD) {
            inquiry_told(batch[i].pointer);
            continue;
        }
        if (batch[i].kind == FRONT_HAPPENED) {
            watch_happened(batch[i].pointer);
            continue;
        }
        assert(batch[i].kind == FRONT_STOP);
        watches_end(&server->front.watches);
        server->stopping = true;
        uint64_t readers_ms = batch[i].id < READERS_MS ? batch[i].id : READERS_MS;
        server->stop_ms = batch[i].id - readers_ms;
        uv_timer_start(&server->stop_timer, on_stop_timer, readers_ms, 0);
        edge_stop_listening(server->front.http.edge);
        if (server->front.admin.edge != NULL) edge_stop_listening(server->front.admin.edge);
    }
    if (server->daemon != NULL) pump(server);
}

static void close_edges(struct http_server *server) {
    edge_close(server->front.http.edge);
    if (server->front.admin.edge != NULL) edge_close(server->front.admin.edge);
}

static void finish(struct http_server *server) {
    assert(server->front.waiting == 0); /* a suspended connection would abort the daemon's stop */
    uv_close((uv_handle_t *)&server->daemon_poll, NULL);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    assert(server->front.exchanges == 0);
    close_edges(server);
    /* The pool may have posted the last answer and be about to wake us for it. */
    while (atomic_load(&server->front.home.hands) > 0) sched_yield();
    channel_close(server->front.channel);
    uv_close((uv_handle_t *)&server->daemon_timer, NULL);
    uv_close((uv_handle_t *)&server->stop_timer, NULL);
    uv_close((uv_handle_t *)&server->front.watches.timer, NULL);
    uv_close((uv_handle_t *)&server->daemon_idle, NULL);
    uv_close((uv_handle_t *)&server->prepare, NULL);
    uv_close((uv_handle_t *)&server->check, NULL);
    watchdog_leave(server->watched, clock_now_ns()); /* the edge may still have bytes to bring */
}

/* Before the loop sleeps: it may sleep no longer than the library allows. */
static void on_prepare(uv_prepare_t *prepare) {
    struct http_server *server = prepare->data;
    const struct front *front = &server->front;
    bool only_readers = server->readers_over && front->exchanges == front->reading;
    bool done = front->exchanges == 0 || only_readers || server->stop_now;
    if (server->stopping && done && front->waiting == 0 && front->watches.over_but_told == 0) {
        finish(server);
        return;
    }
    uint64_t now_ns = clock_now_ns();
    watchdog_leave(server->watched, now_ns);
    metrics_loop_lag(server->front.metrics, FRONTEND_HTTP,
                     lag_round(&server->round, &server->loop, now_ns));
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    bool waits = MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES;
    if (waits && wait_ms == 0) {
        uv_idle_start(&server->daemon_idle, on_daemon_idle);
        return;
    }
    uv_idle_stop(&server->daemon_idle);
    if (!waits) return;
    /* A timer that comes too early does no harm, so it is moved only when it would come too late. */
    uint64_t due_ms = uv_now(&server->loop) + wait_ms;
    if (uv_is_active((uv_handle_t *)&server->daemon_timer) && server->timer_due_ms <= due_ms)
        return;
    server->timer_due_ms = due_ms;
    uv_timer_start(&server->daemon_timer, on_daemon_timer, wait_ms, 0);
}

static void on_check(uv_check_t *check) {
    struct http_server *server = check->data;
    watchdog_enter(server->watched, clock_now_ns());
}

static void *http_main(void *owner) {
    struct http_server *server = owner;
    pthread_setname_np(pthread_self(), "http");
    server->watched = watchdog_watch("http");
    lag_begin(&server->round, &server->loop, clock_now_ns());
    uv_run(&server->loop, UV_RUN_DEFAULT);
    watchdog_unwatch(server->watched);
    return NULL;
}

/* --- life --- */

static size_t connections_most(const struct config *config) {
    size_t admin = config->admin.listen.text != NULL ? ADMIN_CONNECTIONS : 0;
    return (size_t)config->http.max_connections + PROBE_CONNECTIONS + admin;
}

static struct MHD_Daemon *start_daemon(struct http_server *server) {
    const struct config *config = server->front.config;
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections_most(config) + OWN_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEMORY, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static void start_handles(struct http_server *server) {
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int failed = uv_poll_init(&server->loop, &server->daemon_poll, info->epoll_fd);
    assert(failed == 0);
    uv_timer_init(&server->loop, &server->daemon_timer);
    uv_timer_init(&server->loop, &server->stop_timer);
    watches_open(&server->front.watches, &server->loop);
    uv_idle_init(&server->loop, &server->daemon_idle);
    uv_prepare_init(&server->loop, &server->prepare);
    uv_check_init(&server->loop, &server->check);
    server->daemon_poll.data = server->daemon_timer.data = server->stop_timer.data = server;
    server->daemon_idle.data = server->prepare.data = server->check.data = server;
    uv_poll_start(&server->daemon_poll, UV_READABLE, on_daemon_poll);
    uv_prepare_start(&server->prepare, on_prepare);
    uv_check_start(&server->check, on_check);
}

static enum outcome open_front(struct front *front, const struct http_server_options *options) {
    const struct config *config = options->config;
    front->gate = options->gate;
    front->metrics = options->metrics;
    front->observer = options->observer;
    front->config = config;
    front->access = options->access;
    front->live = options->live;
    return body_accounts_open(&front->accounts, front->gate);
}

static void free_server(struct http_server *server) {
    free(server->front.accounts);
    free(server);
}

/* TLS needs somebody in between, who might as well look. */
static enum edge_service service_of(const struct config *config, const struct tls *tls) {
    return config->http.guard == GUARD_STRICT || tls != NULL ? EDGE_GUARDED_HTTP : EDGE_DIRECT;
}

static enum outcome open_port(struct http_server *server, struct front_port *port,
                              const struct listen_address *listen, int inherited_fd,
                              char address[80]) {
    const struct config *config = server->front.config;
    struct tls *tls = port->admin ? NULL : server->tls; /* admin.listen is always loopback */
    const struct edge_options options = {
        .host = listen->host,
        .port = listen->port,
        .inherited_fd = inherited_fd,
        .max_connections = port->admin ? ADMIN_CONNECTIONS : config->http.max_connections,
        .probe_connections = port->admin ? 0 : PROBE_CONNECTIONS,
        .service = service_of(config, tls),
        .tls = tls,
        .max_per_address = port->admin ? UINT32_MAX : config->http.max_per_address,
        .header_timeout_ns = config->http.header_timeout_ns,
        .min_rate = config->http.min_rate,
        .trusted_proxies = (const char *const *)config->http.trusted_proxies.items,
        .metrics = server->front.metrics,
        .frontend = FRONTEND_HTTP,
    };
    port->front = &server->front;
    port->loopback = listen->loopback;
    port->trust_tenant = access_trusts_tenant(config, listen);
    enum outcome outcome = edge_open(&port->edge, &server->loop, &options, &door, port);
    if (outcome != OK) return outcome;
    bool brackets = strchr(listen->host, ':') != NULL;
    snprintf(address, 80, "%s%s%s:%u", brackets ? "[" : "", listen->host, brackets ? "]" : "",
             edge_port(port->edge));
    return OK;
}

static enum outcome open_edges(struct http_server *server,
                               const struct http_server_options *options) {
    const struct config *config = server->front.config;
    struct front_port *http = &server->front.http, *admin = &server->front.admin;
    bool apart = config->admin.listen.text != NULL;
    http->routes = apart ? ROUTE_AT_HTTP : ROUTE_AT_BOTH;
    enum outcome outcome =
        open_port(server, http, &config->http.listen, options->inherited_fd, server->address);
    if (outcome != OK || !apart) return outcome;
    admin->admin = true;
    admin->routes = ROUTE_AT_ADMIN;
    outcome = open_port(server, admin, &config->admin.listen, options->inherited_admin_fd,
                        server->admin_address);
    if (outcome != OK) {
        int error = errno;
        edge_close(http->edge);
        errno = error;
    }
    return outcome;
}

static void wake_reader(struct request_home *home) {
    channel_wake(LIST_ENTRY(home, struct front, home)->channel);
}

/* Everything that can fail, in the order in which finish() takes it down. */
static enum outcome open_parts(struct http_server *server,
                               const struct http_server_options *options) {
    size_t places = connections_most(server->front.config) + OWN_CONNECTIONS + EVENT_FEEDS_MOST;
    server->front.home.wake = wake_reader;
    enum outcome outcome =
        channel_open(&server->front.channel, &server->loop, places, on_messages, server);
    if (outcome != OK) return outcome;
    outcome = open_edges(server, options);
    if (outcome != OK) goto no_edge;
    server->daemon = start_daemon(server);
    if (server->daemon == NULL) goto no_daemon;
    start_handles(server);
    if (pthread_create(&server->thread, NULL, http_main, server) == 0) return OK;
    finish(server);
    return MEMORY_EXHAUSTED;
no_daemon:
    outcome = MEMORY_EXHAUSTED;
    close_edges(server);
no_edge:
    channel_close(server->front.channel);
    return outcome;
}

enum outcome http_server_open(struct http_server **out, const struct http_server_options *options) {
    *out = NULL;
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = open_front(&server->front, options);
    if (outcome != OK) {
        free_server(server);
        return outcome;
    }
    if (uv_loop_init(&server->loop) != 0) {
        free_server(server);
        return MEMORY_EXHAUSTED;
    }
    server->tls = options->tls;
    outcome = open_parts(server, options);
    if (outcome != OK) {
        int error = errno;
        uv_run(&server->loop, UV_RUN_DEFAULT); /* closes what was opened */
        int closed = uv_loop_close(&server->loop);
        assert(closed == 0);
        free_server(server);
        errno = error;
        return outcome;
    }
    *out = server;
    return OK;
}

const char *http_server_address(const struct http_server *server) {
    return server->address;
}

const char *http_server_admin_address(const struct http_server *server) {
    return server->admin_address;
}

void http_server_drain(struct http_server *server) {
    atomic_store(&server->front.draining, true);
}

void http_server_close(struct http_server *server, uint64_t timeout_ns) {
    http_server_drain(server);
    enum outcome sent = channel_try_send(
        server->front.channel, (struct message){.kind = FRONT_STOP, .id = timeout_ns / CLOCK_MS});
    assert(sent == OK);
    pthread_join(server->thread, NULL);
    int closed = uv_loop_close(&server->loop);
    assert(closed == 0);
    free_server(server);
}
