#include "core/transport/process.h"

#include "core/base/clock.h"
#include "core/transport/launch.h"
#include "core/transport/outbox.h"
#include "core/transport/talk.h"
#include "core/transport/wire.h"
#include "core/transport/worker_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES    ((size_t)64 * 1024)
#define READ_ROUNDS   4  /* reads of one socket before the others get their turn */
#define FIRST_FREE_FD 10 /* above everything that a child gets */
#define MEMFDS_AHEAD  8  /* descriptors that may come before their frames are read */

/* One run of one worker process. It outlives its end until the loop has closed its three handles. */
struct run {
    struct process *process; /* NULL once the end was reported */
    pid_t pid;
    int socket, log, pidfd;
    uv_poll_t socket_poll, log_poll, exit_poll;
    int open_handles;
    bool wants_write, broken, socket_over, log_over;
    struct wire_reader reader;
    struct outbox outbox;
    int memfds[MEMFDS_AHEAD];
    size_t memfds_count;
    struct worker_log log_lines;
};

struct process {
    struct transport base;
    uv_loop_t *loop;
    struct spawner *spawner;
    transport_event_fn *fn;
    void *owner;
    struct talk talk;
    char name[96]; /* POOL/N */
    struct launch launch;
    struct run *run; /* NULL: none under way, or still being started */
    struct spawn_job start, measure;
    int log_end, socket_end; /* ours, while it is being started */
    bool starting, measuring, closing;
    int signal_at_start; /* came while it was being started; 0: none */
};

static void report(struct process *process, struct transport_event event) {
    if (event.text == NULL) event.text = "";
    process->fn(process->owner, &event);
}

/* --- the end of a run -------------------------------------------------------------------------------- */

static void run_handle_closed(uv_handle_t *handle) {
    struct run *run = handle->data;
    if (--run->open_handles > 0) return;
    outbox_clear(&run->outbox);
    wire_reader_free(&run->reader);
    free(run);
}

static void run_close(struct run *run) {
    uv_poll_t *polls[] = {&run->socket_poll, &run->log_poll, &run->exit_poll};
    for (size_t i = 0; i < 3; i++) uv_close((uv_handle_t *)polls[i], run_handle_closed);
    close(run->socket);
    close(run->log);
    close(run->pidfd);
    for (size_t i = 0; i < run->memfds_count; i++) close(run->memfds[i]);
    run->memfds_count = 0;
    run->process = NULL;
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

/* --- reading ------------------------------------------------------------------------------------------- */

static void run_broken(struct run *run, const char *why) {
    if (run->broken) return;
    run->broken = true;
    uv_poll_stop(&run->socket_poll);
    outbox_clear(&run->outbox);
    char text[160];
    snprintf(text, sizeof text, "broke the protocol: %s", why);
    report(run->process, (struct transport_event){.kind = TRANSPORT_BROKEN, .text = text});
}

static void run_flush(struct run *run);

static void run_frame(struct run *run) {
    int memfd = -1;
    if ((run->reader.header.flags & WIRE_FLAG_MEMFD) != 0 && run->memfds_count > 0) {
        memfd = run->memfds[0];
        memmove(run->memfds, run->memfds + 1, --run->memfds_count * sizeof run->memfds[0]);
    }
    struct talk *talk = &run->process->talk;
    if (!talk_frame(talk, &run->reader, memfd, &run->outbox)) {
        run_broken(run, talk->why);
        return;
    }
    wire_reader_next(&run->reader);
}

/* Feeds what was read into the reader and handles each frame as it becomes whole. */
static void run_feed(struct run *run, const uint8_t *bytes, size_t count) {
    while (count > 0 && !run->broken) {
        size_t part;
        uint8_t *space = wire_reader_space(&run->reader, &part);
        if (part > count) part = count;
        memcpy(space, bytes, part);
        bytes += part;
        count -= part;
        enum wire_step step = wire_reader_advance(&run->reader, part);
        if (step == WIRE_FRAME) run_frame(run);
        if (step == WIRE_BROKEN) run_broken(run, run->reader.why);
    }
}

/* Keeps the descriptors that came with a read; more than MEMFDS_AHEAD break the protocol. */
static bool keep_descriptors(struct run *run, struct msghdr *message) {
    bool kept = (message->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
            if (run->memfds_count < MEMFDS_AHEAD) {
                run->memfds[run->memfds_count++] = descriptor;
            } else {
                close(descriptor);
                kept = false;
            }
        }
    }
    return kept;
}

enum read_result {
    READ_NOTHING, /* for now, or for ever: then socket_over is set; or the run is broken */
    READ_SOME,
    READ_FULL /* the buffer was filled: there is likely more */
};

static enum read_result run_read(struct run *run) {
    static _Thread_local uint8_t buffer[READ_BYTES];
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MEMFDS_AHEAD * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = sizeof buffer};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    ssize_t count = recvmsg(run->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) return READ_SOME;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return READ_NOTHING;
    if (count <= 0) {
        run->socket_over = true;
        return READ_NOTHING;
    }
    if (!keep_descriptors(run, &message))
        run_broken(run, "too many descriptors");
    else
        run_feed(run, buffer, (size_t)count);
    if (run->broken) return READ_NOTHING;
    return (size_t)count == sizeof buffer ? READ_FULL : READ_SOME;
}

static void on_socket(uv_poll_t *poll, int status, int events) {
    struct run *run = poll->data;
    if (status < 0) events = UV_READABLE;
    if ((events & UV_READABLE) != 0)
        for (int i = 0; i < READ_ROUNDS && run_read(run) == READ_FULL; i++) {
        }
    if (run->socket_over) {
        /* It is ending, or of no use: if it is ending already this changes nothing of how it ends. */
        uv_poll_stop(&run->socket_poll);
        kill(-run->pid, SIGKILL);
        return;
    }
    if (!run->broken) run_flush(run);
}

/* --- writing ------------------------------------------------------------------------------------------- */

static void watch_socket(struct run *run, bool wants_write) {
    run->wants_write = wants_write;
    uv_poll_start(&run->socket_poll, UV_READABLE | (wants_write ? UV_WRITABLE : 0), on_socket);
}

/* Errors show on the reading side: the worker's end is seen there, after its last replies. */
static void run_flush(struct run *run) {
    if (run->broken || (outbox_empty(&run->outbox) && !run->wants_write)) return;
    if (!outbox_flush(&run->outbox, run->socket)) outbox_clear(&run->outbox);
    bool wants_write = !outbox_empty(&run->outbox);
    if (wants_write != run->wants_write) watch_socket(run, wants_write);
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

/* What the dead worker has left in its socket and its pipe. Both are finite: nobody writes any more. */
static void read_remains(struct run *run) {
    while (!run->broken && !run->socket_over && run_read(run) != READ_NOTHING) {
    }
    for (int i = 0; i < READ_ROUNDS && read_log(run); i++) {
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
    run_close(run);
    process->run = NULL;
    talk_reset(&process->talk);
    report(process, event);
}

/* --- starting ------------------------------------------------------------------------------------------------ */

static void run_open(struct process *process) {
    struct run *run = calloc(1, sizeof *run);
    assert(run != NULL); /* a few hundred bytes, and a child that must not be lost */
    run->process = process;
    run->pid = process->start.pid;
    run->pidfd = process->start.pidfd;
    run->socket = process->socket_end;
    run->log = process->log_end;
    uint64_t limit = process->talk.pool->max_reply_bytes;
    wire_reader_init(&run->reader, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    outbox_init(&run->outbox);
    worker_log_init(&run->log_lines, process->name);
    run->log_lines.pid = run->pid;
    uv_poll_init(process->loop, &run->socket_poll, run->socket);
    uv_poll_init(process->loop, &run->log_poll, run->log);
    uv_poll_init(process->loop, &run->exit_poll, run->pidfd);
    run->socket_poll.data = run->log_poll.data = run->exit_poll.data = run;
    run->open_handles = 3;
    watch_socket(run, false);
    uv_poll_start(&run->log_poll, UV_READABLE, on_log);
    uv_poll_start(&run->exit_poll, UV_READABLE, on_exit_seen);
    process->run = run;
}

static void on_started(struct spawn_job *job) {
    struct process *process = job->owner;
    process->starting = false;
    close(job->socket);
    close(job->log);
    if (job->error != 0) {
        close(process->socket_end);
        close(process->log_end);
        char text[160];
        snprintf(text, sizeof text, "%s: %s", job->program, strerror(job->error));
        report(process, (struct transport_event){.kind = TRANSPORT_EXITED,
                                                 .exit_kind = EXIT_NEVER_STARTED,
                                                 .text = text});
        return;
    }
    run_open(process);
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

static bool open_ends(struct process *process) {
    int sockets[2] = {-1, -1}, pipes[2] = {-1, -1};
    bool opened = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0 &&
                  pipe2(pipes, O_CLOEXEC) == 0;
    process->socket_end = lift(sockets[0]);
    process->start.socket = lift(sockets[1]);
    process->log_end = lift(pipes[0]);
    process->start.log = lift(pipes[1]);
    int all[] = {process->socket_end, process->start.socket, process->log_end, process->start.log};
    for (size_t i = 0; i < 4; i++) opened = opened && all[i] >= 0;
    if (opened) {
        fcntl(process->socket_end, F_SETFL, O_NONBLOCK);
        fcntl(process->log_end, F_SETFL, O_NONBLOCK);
        return true;
    }
    for (size_t i = 0; i < 4; i++)
        if (all[i] >= 0) close(all[i]);
    return false;
}

static enum outcome process_start(struct transport *transport) {
    struct process *process = (struct process *)transport;
    assert(process->run == NULL && !process->starting);
    if (!open_ends(process)) return SPAWN_FAILED;
    process->starting = true;
    process->signal_at_start = 0;
    spawner_submit(process->spawner, &process->start);
    return OK;
}

/* --- the rest of the table ------------------------------------------------------------------------------------ */

static enum outcome process_send(struct transport *transport, struct request *request,
                                 uint64_t now_ns) {
    struct process *process = (struct process *)transport;
    struct run *run = process->run;
    if (run == NULL || run->broken)
        return OK; /* its end is on the way and takes the request along */
    enum outcome outcome = talk_request(&process->talk, &run->outbox, request, now_ns);
    if (outcome == OK && !run->wants_write) run_flush(run);
    return outcome;
}

static void process_cancel(struct transport *transport, uint64_t id) {
    struct run *run = ((struct process *)transport)->run;
    if (run == NULL || run->broken) return;
    talk_cancel(&run->outbox, id);
    if (!run->wants_write) run_flush(run);
}

static void process_ping(struct transport *transport, uint64_t id) {
    struct run *run = ((struct process *)transport)->run;
    if (run == NULL || run->broken) return;
    talk_ping(&run->outbox, id);
    if (!run->wants_write) run_flush(run);
}

static void process_shutdown(struct transport *transport) {
    struct run *run = ((struct process *)transport)->run;
    if (run == NULL || run->broken) return;
    talk_shutdown(&run->outbox);
    if (!run->wants_write) run_flush(run);
}

static void process_signal(struct transport *transport, int signal_number) {
    struct process *process = (struct process *)transport;
    if (process->starting) process->signal_at_start = signal_number;
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
    assert(process->run == NULL && !process->starting);
    process->closing = true;
    if (!process->measuring) process_free(process);
}

static const struct transport_calls process_calls = {.start = process_start,
                                                     .send = process_send,
                                                     .cancel = process_cancel,
                                                     .ping = process_ping,
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
    process->fn = options->fn;
    process->owner = options->owner;
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
