#include "core/transport/thread.h"

#include "core/base/log.h"
#include "core/transport/connection.h"
#include "core/transport/topology.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define KILL_GRACE_MS 100
#define STACK_BYTES                                                                                \
    ((size_t)8 * 1024 * 1024) /* what a program's first thread has: plug-ins expect it */

struct thread {
    struct transport base;
    uv_loop_t *loop;
    struct switchboard *switchboard;
    thread_worker_fn *run;
    transport_event_fn *fn;
    void *owner;
    struct talk talk;
    char *plugin_path;
    uint32_t slot, starts;
    struct placement placement;
    struct connection *connection; /* NULL: no run under way */
    struct connection
        *ended;       /* while its end is reported: what it had not taken can be taken back */
    uv_timer_t later; /* what was to be killed has so long to end by itself */
};

/* What the new thread gets; its own to free. */
struct start {
    thread_worker_fn *run;
    struct thread_worker worker;
    struct placement placement;
};

static void say_misplaced(const char *what, int number, int why) {
    if (why != 0)
        log_event(LOG_WARN, "thread_not_placed", LOG_STR("what", what), LOG_INT("number", number),
                  LOG_STR("why", strerror(why)));
}

/* For this thread and those that it starts; a thread that cannot be placed works all the same. */
static void go_to(const struct placement *placement) {
    struct cpus cpus = {0};
    if (placement->cpu >= 0) {
        cpus_add(&cpus, (uint32_t)placement->cpu);
        say_misplaced("cpu", placement->cpu, cpus_run_on(&cpus));
    }
    if (placement->node >= 0)
        say_misplaced("node", placement->node, cpus_prefer_node((uint32_t)placement->node));
}

static void *work(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    go_to(&start.placement);
    start.run(&start.worker);
    return NULL;
}

static void ended(struct thread *thread, enum exit_kind kind, const char *text) {
    struct connection *connection = thread->connection;
    thread->connection = NULL;
    thread->base.stages = 0;
    talk_reset(&thread->talk);
    thread->ended = connection;
    thread->fn(thread->owner, &(struct transport_event){
                                  .kind = TRANSPORT_EXITED, .exit_kind = kind, .text = text});
    thread->ended = NULL;
    connection_close(connection);
}

static void on_event(void *owner, const struct transport_event *event) {
    struct thread *thread = owner;
    if (event->kind == TRANSPORT_READY) thread->base.stages = connection_stages(thread->connection);
    thread->fn(thread->owner, event);
}

/* The worker has closed its end of the socket: it has ended. */
static void on_over(void *owner) {
    struct thread *thread = owner;
    uv_timer_stop(&thread->later);
    connection_read_remains(thread->connection);
    ended(thread, EXIT_STATUS, "");
}

static void on_later(uv_timer_t *timer) {
    struct thread *thread = timer->data;
    if (thread->connection != NULL)
        ended(thread, EXIT_ABANDONED, "it hung and its thread was left behind");
}

/* --- starting ---------------------------------------------------------------------------------------- */

static bool launch(struct start *start) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int failed = pthread_create(&thread, &attributes, work, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

/* Our ends of a run and, in *start, the worker's. */
static bool open_ends(struct thread *thread, struct start *start,
                      struct connection_options *options) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return false;
    fcntl(sockets[0], F_SETFL, O_NONBLOCK);
    *options = (struct connection_options){.loop = thread->loop,
                                           .talk = &thread->talk,
                                           .socket = sockets[0],
                                           .switchboard = thread->switchboard,
                                           .bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                           .sharing = RING_PRIVATE,
                                           .fn = on_event,
                                           .over = on_over,
                                           .owner = thread};
    start->run = thread->run;
    start->placement = thread->placement;
    start->worker = (struct thread_worker){.plugin_path = thread->plugin_path,
                                           .socket = sockets[1],
                                           .bell = -1,
                                           .chaos = thread->talk.pool->chaos,
                                           .slot = thread->slot,
                                           .starts = ++thread->starts};
    if (options->bell >= 0) start->worker.bell = fcntl(options->bell, F_DUPFD_CLOEXEC, 0);
    uint32_t cells = ring_pair_cells(connection_requests(thread->talk.pool));
    if (start->worker.bell >= 0 && ring_pair_create_private(&options->rings, cells) == OK) {
        ring_pair_hold(options->rings);
        start->worker.rings = options->rings;
        return true;
    }
    if (start->worker.bell >= 0) close(start->worker.bell);
    if (options->bell >= 0) close(options->bell);
    close(sockets[0]);
    close(sockets[1]);
    return false;
}

/* Of the pool's cpus none can be used here: as a process, it would not start. */
static bool is_homeless(const struct placement *placement) {
    if (placement->cpu < 0 || cpus_has(&topology_machine()->usable, (uint32_t)placement->cpu))
        return false;
    say_misplaced("cpu", placement->cpu, EINVAL);
    return true;
}

static enum outcome thread_start(struct transport *transport) {
    struct thread *thread = (struct thread *)transport;
    assert(thread->connection == NULL);
    if (is_homeless(&thread->placement)) return SPAWN_FAILED;
    struct connection_options options;
    struct start *start = malloc(sizeof *start);
    if (start == NULL) return MEMORY_EXHAUSTED;
    if (!open_ends(thread, start, &options)) goto no_ends;
    if (connection_open(&thread->connection, &options) != OK) goto no_connection;
    connection_begin(thread->connection);
    if (launch(start)) return OK;
    connection_close(thread->connection);
    thread->connection = NULL;
    goto no_thread;

no_connection:
    close(options.socket);
    close(options.bell);
    ring_pair_drop(options.rings, RING_PRIVATE);
no_thread:
    close(start->worker.socket);
    close(start->worker.bell);
    ring_pair_drop(start->worker.rings, RING_PRIVATE);
no_ends:
    free(start);
    return SPAWN_FAILED;
}

/* --- the rest of the table ----------------------------------------------------------------------------- */

static enum outcome thread_send(struct transport *transport, struct request *const *requests,
                                size_t count, uint64_t now_ns) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection == NULL) return OK;
    return connection_send(thread->connection, requests, count, now_ns);
}

static bool thread_revoke(struct transport *transport, uint64_t id) {
    struct thread *thread = (struct thread *)transport;
    struct connection *connection = thread->connection != NULL ? thread->connection : thread->ended;
    return connection != NULL && connection_revoke(connection, id);
}

static void thread_cancel(struct transport *transport, uint64_t id) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection != NULL) connection_cancel(thread->connection, id);
}

static void thread_ping(struct transport *transport, uint64_t id) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection != NULL) connection_ping(thread->connection, id);
}

static void thread_check(struct transport *transport) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection != NULL) connection_check(thread->connection);
}

static void thread_shutdown(struct transport *transport) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection != NULL) connection_shutdown(thread->connection);
}

static void thread_signal(struct transport *transport, int signal_number) {
    struct thread *thread = (struct thread *)transport;
    if (thread->connection == NULL) return;
    connection_shutdown(thread->connection);
    if (signal_number == SIGKILL) uv_timer_start(&thread->later, on_later, KILL_GRACE_MS, 0);
}

/* What a thread holds is the gateway's own memory. */
static void thread_measure(struct transport *transport) {
    (void)transport;
}

static void on_closed(uv_handle_t *handle) {
    struct thread *thread = handle->data;
    talk_free(&thread->talk);
    free(thread->plugin_path);
    free(thread);
}

static void thread_close(struct transport *transport) {
    struct thread *thread = (struct thread *)transport;
    assert(thread->connection == NULL);
    uv_close((uv_handle_t *)&thread->later, on_closed);
}

static const struct transport_calls thread_calls = {.start = thread_start,
                                                    .send = thread_send,
                                                    .revoke = thread_revoke,
                                                    .cancel = thread_cancel,
                                                    .ping = thread_ping,
                                                    .check = thread_check,
                                                    .shutdown = thread_shutdown,
                                                    .signal = thread_signal,
                                                    .measure = thread_measure,
                                                    .close = thread_close};

enum outcome thread_open(struct transport **out, const struct thread_options *options) {
    *out = NULL;
    struct thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) return MEMORY_EXHAUSTED;
    thread->base.calls = &thread_calls;
    thread->loop = options->loop;
    thread->switchboard = options->switchboard;
    thread->slot = options->slot;
    thread->run = options->run;
    thread->fn = options->fn;
    thread->owner = options->owner;
    if (asprintf(&thread->plugin_path, "%s/%s.so", options->plugin_folder,
                 options->pool->worker.plugin) < 0)
        thread->plugin_path = NULL;
    enum outcome outcome =
        talk_init(&thread->talk, options->pool, options->slot, options->fn, options->owner);
    if (outcome == OK) outcome = topology_place(&thread->placement, options->pool, options->slot);
    if (outcome != OK || thread->plugin_path == NULL) {
        talk_free(&thread->talk);
        free(thread->plugin_path);
        free(thread);
        return outcome != OK ? outcome : MEMORY_EXHAUSTED;
    }
    uv_timer_init(options->loop, &thread->later);
    thread->later.data = thread;
    *out = &thread->base;
    return OK;
}
