#include "core/transport/process.h"

#include "core/base/clock.h"
#include "core/transport/connection.h"
#include "core/transport/launch.h"
#include "core/transport/talk.h"
#include "core/transport/worker_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES    ((size_t)64 * 1024)
#define LOG_ROUNDS    4  /* reads of a dead worker's pipe: more than a pipe holds */
#define FIRST_FREE_FD 10 /* above everything that a child gets */

/* One run of one worker process. It outlives its end until the loop has closed its two handles. */
struct run {
    struct process *process;
    pid_t pid;
    int log, pidfd;
    struct connection *connection;
    uv_poll_t log_poll, exit_poll;
    int open_handles;
    bool log_over;
    struct worker_log log_lines;
};

struct process {
    struct transport base;
    uv_loop_t *loop;
    struct spawner *spawner;
    struct switchboard *switchboard;
    transport_event_fn *fn;
    void *owner;
    struct talk talk;
    char name[96]; /* POOL/N */
    struct launch launch;
    struct run *run;      /* NULL: none under way, or still being started */
    struct run *starting; /* it has no process yet */
    struct run *ended;    /* while its end is reported: what it had not taken can be taken back */
    struct spawn_job start, measure;
    struct {
        int log, socket, bell;
        struct ring_pair *rings;
    } ours;           /* our ends, while it is being started */
    bool takes_rings; /* it is a plug-in under our own host */
    bool measuring, closing;
    int signal_at_start; /* came while it was being started; 0: none */
};

static void report(struct process *process, struct transport_event event) {
    if (event.text == NULL) event.text = "";
    process->fn(process->owner, &event);
}

/* --- the end of a run -------------------------------------------------------------------------------- */

static void run_handle_closed(uv_handle_t *handle) {
    struct run *run = handle->data;
    if (--run->open_handles == 0) free(run);
}

static void run_close(struct run *run) {
    connection_close(run->connection);
    uv_close((uv_handle_t *)&run->log_poll, run_handle_closed);
    uv_close((uv_handle_t *)&run->exit_poll, run_handle_closed);
    close(run->log);
    close(run->pidfd);
}

static bool is_fault(int signal_number) {
    return signal_number == SIGSEGV || signal_number == SIGABRT || signal_number == SIGBUS ||
           signal_number == SIGFPE || signal_number == SIGILL || signal_number == SIGSYS ||
           signal_number == SIGTRAP;
}

static struct transport_event describe_end(const siginfo_t *info) {
    struct transport_event event = {.kind = TRANSPORT_EXITED, .exit_value = info->si_status};
    if (info->si_code == CLD_EXITED)
        event.exit_kind = EXIT_STATUS;
    else
        event.exit_kind = is_fault(info->si_status) ? EXIT_CRASH_SIGNAL : EXIT_OTHER_SIGNAL;
    return event;
}

static void on_event(void *owner, const struct transport_event *event) {
    const struct run *run = owner;
    struct process *process = run->process;
    if (event->kind == TRANSPORT_READY) process->base.stages = connection_stages(run->connection);
    report(process, *event);
}

/* Its end of the socket is closed: it is ending, or of no use. If it is ending already, this changes
 * nothing of how it ends. */
static void on_socket_over(void *owner) {
    struct run *run = owner;
    kill(-run->pid, SIGKILL);
}

/* --- its stderr, its end ----------------------------------------------------------------------------------- */

static bool read_log(struct run *run) {
    static _Thread_local char buffer[READ_BYTES];
    ssize_t count = read(run->log, buffer, sizeof buffer);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0) {
        run->log_over = true;
        return false;
    }
    worker_log_feed(&run->log_lines, buffer, (size_t)count, clock_now_ns());
    return true;
}

static void on_log(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct run *run = poll->data;
    read_log(run);
    if (run->log_over) uv_poll_stop(&run->log_poll);
}

/* What the dead worker has left in its socket, its ring and its pipe. All of it is finite: nobody writes
 * any more. */
static void read_remains(struct run *run) {
    connection_read_remains(run->connection);
    for (int i = 0; i < LOG_ROUNDS && read_log(run); i++) {
    }
    worker_log_end(&run->log_lines, clock_now_ns());
}

static void on_exit_seen(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct run *run = poll->data;
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    /* Before it is reaped its number cannot be anyone else's: end what it leaves in its group. */
    kill(-run->pid, SIGKILL);
    waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOHANG);
    read_remains(run);
    struct process *process = run->process;
    struct transport_event event = describe_end(&info);
    char last_words[sizeof run->log_lines.last];
    memcpy(last_words, run->log_lines.last, sizeof last_words);
    event.text = last_words;
    process->run = NULL;
    process->base.stages = 0;
    talk_reset(&process->talk);
    process->ended = run;
    report(process, event);
    process->ended = NULL;
    run_close(run);
}

/* --- starting ------------------------------------------------------------------------------------------------ */

/* Before there is a child: one that exists must not be lost for want of memory. The connection has the
 * socket, the bell and the rings from here on. */
static enum outcome run_make(struct process *process) {
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) return MEMORY_EXHAUSTED;
    struct connection_options options = {.loop = process->loop,
                                         .talk = &process->talk,
                                         .socket = process->ours.socket,
                                         .rings = process->ours.rings,
                                         .switchboard = process->switchboard,
                                         .bell = process->ours.bell,
                                         .sharing = RING_SHARED,
                                         .fn = on_event,
                                         .over = on_socket_over,
                                         .owner = run};
    if (connection_open(&run->connection, &options) != OK) {
        free(run);
        return MEMORY_EXHAUSTED;
    }
    run->process = process;
    run->log = process->ours.log;
    process->starting = run;
    return OK;
}

static void run_drop(struct run *run) {
    connection_close(run->connection);
    close(run->log);
    free(run);
}

static void run_begin(struct run *run) {
    struct process *process = run->process;
    run->pid = process->start.pid;
    run->pidfd = process->start.pidfd;
    worker_log_init(&run->log_lines, process->name);
    run->log_lines.pid = run->pid;
    uv_poll_init(process->loop, &run->log_poll, run->log);
    uv_poll_init(process->loop, &run->exit_poll, run->pidfd);
    run->log_poll.data = run->exit_poll.data = run;
    run->open_handles = 2;
    uv_poll_start(&run->log_poll, UV_READABLE, on_log);
    uv_poll_start(&run->exit_poll, UV_READABLE, on_exit_seen);
    connection_begin(run->connection);
    process->run = run;
}

/* Ours and, until the child has them, the child's. */
static void close_if_open(int fd) {
    if (fd >= 0) close(fd);
}

static void close_childs_ends(struct spawn_job *job) {
    close_if_open(job->socket);
    close_if_open(job->log);
    close_if_open(job->rings);
    close_if_open(job->bell);
}

static void close_our_ends(struct process *process) {
    close_if_open(process->ours.socket);
    close_if_open(process->ours.log);
    close_if_open(process->ours.bell);
    ring_pair_drop(process->ours.rings, RING_SHARED);
}

static void on_started(struct spawn_job *job) {
    struct process *process = job->owner;
    struct run *run = process->starting;
    process->starting = NULL;
    close_childs_ends(job);
    if (job->error != 0) {
        run_drop(run);
        char text[160];
        snprintf(text, sizeof text, "%s: %s", job->program, strerror(job->error));
        report(process, (struct transport_event){.kind = TRANSPORT_EXITED,
                                                 .exit_kind = EXIT_NEVER_STARTED,
                                                 .text = text});
        return;
    }
    run_begin(run);
    if (process->signal_at_start != 0) kill(-process->run->pid, process->signal_at_start);
    report(process, (struct transport_event){.kind = TRANSPORT_STARTED, .pid = process->run->pid});
}

/* A descriptor that no child's 0 to 3 can collide with. Takes fd. */
static int lift(int fd) {
    if (fd < 0 || fd >= FIRST_FREE_FD) return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    close(fd);
    return lifted;
}

/* The C kit's rings: the pair in a memfd, and the gateway's bell. */
static bool open_rings(struct process *process) {
    struct spawn_job *job = &process->start;
    uint32_t cells = ring_pair_cells(connection_requests(process->talk.pool));
    if (ring_pair_create(&process->ours.rings, cells, &job->rings) != OK) return false;
    job->rings = lift(job->rings);
    process->ours.bell = lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (process->ours.bell >= 0)
        job->bell = fcntl(process->ours.bell, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    return job->rings >= 0 && process->ours.bell >= 0 && job->bell >= 0;
}

static bool open_ends(struct process *process) {
    struct spawn_job *job = &process->start;
    int sockets[2] = {-1, -1}, pipes[2] = {-1, -1};
    process->ours.bell = job->rings = job->bell = -1;
    process->ours.rings = NULL;
    bool opened = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0 &&
                  pipe2(pipes, O_CLOEXEC) == 0;
    process->ours.socket = lift(sockets[0]);
    job->socket = lift(sockets[1]);
    process->ours.log = lift(pipes[0]);
    job->log = lift(pipes[1]);
    opened = opened && process->ours.socket >= 0 && job->socket >= 0 && process->ours.log >= 0 &&
             job->log >= 0;
    if (opened && process->takes_rings) opened = open_rings(process);
    if (opened) {
        fcntl(process->ours.socket, F_SETFL, O_NONBLOCK);
        fcntl(process->ours.log, F_SETFL, O_NONBLOCK);
        return true;
    }
    close_our_ends(process);
    close_childs_ends(job);
    return false;
}

static enum outcome process_start(struct transport *transport) {
    struct process *process = (struct process *)transport;
    assert(process->run == NULL && process->starting == NULL);
    if (!open_ends(process)) return SPAWN_FAILED;
    if (run_make(process) != OK) {
        close_our_ends(process);
        close_childs_ends(&process->start);
        return SPAWN_FAILED;
    }
    process->signal_at_start = 0;
    launch_count(&process->launch);
    spawner_submit(process->spawner, &process->start);
    return OK;
}

/* --- the rest of the table ------------------------------------------------------------------------------------ */

static enum outcome process_send(struct transport *transport, struct request *const *requests,
                                 size_t count, uint64_t now_ns) {
    struct run *run = ((struct process *)transport)->run;
    return run != NULL ? connection_send(run->connection, requests, count, now_ns) : OK;
}

static bool process_revoke(struct transport *transport, uint64_t id) {
    struct process *process = (struct process *)transport;
    struct run *run = process->run != NULL ? process->run : process->ended;
    return run != NULL && connection_revoke(run->connection, id);
}

static void process_cancel(struct transport *transport, uint64_t id) {
    struct run *run = ((struct process *)transport)->run;
    if (run != NULL) connection_cancel(run->connection, id);
}

static void process_ping(struct transport *transport, uint64_t id) {
    struct run *run = ((struct process *)transport)->run;
    if (run != NULL) connection_ping(run->connection, id);
}

static void process_check(struct transport *transport) {
    struct run *run = ((struct process *)transport)->run;
    if (run != NULL) connection_check(run->connection);
}

static void process_shutdown(struct transport *transport) {
    struct run *run = ((struct process *)transport)->run;
    if (run != NULL) connection_shutdown(run->connection);
}

static void process_signal(struct transport *transport, int signal_number) {
    struct process *process = (struct process *)transport;
    if (process->starting != NULL) process->signal_at_start = signal_number;
    /* Until it is reaped (then run is NULL) the number is its own. */
    if (process->run != NULL) kill(-process->run->pid, signal_number);
}

static void process_free(struct process *process) {
    talk_free(&process->talk);
    launch_free(&process->launch);
    free(process);
}

static void on_measured(struct spawn_job *job) {
    struct process *process = job->owner;
    process->measuring = false;
    if (process->closing) {
        process_free(process);
        return;
    }
    if (process->run != NULL && process->run->pid == job->pid)
        report(process, (struct transport_event){.kind = TRANSPORT_MEASURED,
                                                 .resident_bytes = job->resident_bytes});
}

static void process_measure(struct transport *transport) {
    struct process *process = (struct process *)transport;
    if (process->run == NULL || process->measuring) return;
    process->measuring = true;
    process->measure.pid = process->run->pid;
    spawner_submit(process->spawner, &process->measure);
}

static void process_close(struct transport *transport) {
    struct process *process = (struct process *)transport;
    assert(process->run == NULL && process->ended == NULL && process->starting == NULL);
    process->closing = true;
    if (!process->measuring) process_free(process);
}

static const struct transport_calls process_calls = {.start = process_start,
                                                     .send = process_send,
                                                     .revoke = process_revoke,
                                                     .cancel = process_cancel,
                                                     .ping = process_ping,
                                                     .check = process_check,
                                                     .shutdown = process_shutdown,
                                                     .signal = process_signal,
                                                     .measure = process_measure,
                                                     .close = process_close};

enum outcome process_open(struct transport **out, const struct process_options *options) {
    *out = NULL;
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL) return MEMORY_EXHAUSTED;
    process->base.calls = &process_calls;
    process->loop = options->loop;
    process->spawner = options->spawner;
    process->switchboard = options->switchboard;
    process->fn = options->fn;
    process->owner = options->owner;
    process->takes_rings = options->pool->worker.plugin != NULL;
    snprintf(process->name, sizeof process->name, "%s/%u", options->pool->name, options->slot);
    enum outcome outcome =
        talk_init(&process->talk, options->pool, options->slot, options->fn, options->owner);
    if (outcome == OK)
        outcome = launch_make(&process->launch, options->pool, options->slot,
                              options->worker_program, options->plugin_folder);
    if (outcome != OK) {
        process_free(process);
        return outcome;
    }
    process->start = (struct spawn_job){.kind = SPAWN_START,
                                        .done = on_started,
                                        .owner = process,
                                        .program = process->launch.arguments[0],
                                        .arguments = process->launch.arguments,
                                        .environment = process->launch.environment};
    process->measure =
        (struct spawn_job){.kind = SPAWN_MEASURE, .done = on_measured, .owner = process};
    *out = &process->base;
    return OK;
}
