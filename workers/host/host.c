#include "workers/host/host.h"

#include "core/transport/envelope.h"
#include "workers/host/answer.h"
#include "workers/host/batch.h"
#include "workers/host/call.h"
#include "workers/host/chaos.h"
#include "workers/host/inbox.h"
#include "workers/host/intake.h"
#include "workers/host/link.h"
#include "workers/host/plugin.h"

#include <poolgate/worker.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIT       "c/" POOLGATE_VERSION
#define BATCH_MAX INBOX_CAPACITY

struct host {
    enum host_place place;
    atomic_bool over; /* the gateway is gone (on a thread) */
    struct link link;
    struct inbox inbox;
    struct intake intake;
    /* Written by the socket's thread before it posts setup_known, read by the other one after it. */
    sem_t setup_known;
    Poolgate__Worker__V1__Setup *setup; /* NULL: shut down before it came */
    atomic_bool ready;                  /* READY is on its way: requests may come */
    /* Of the socket's thread. */
    bool stopping;       /* SHUTDOWN came */
    uint32_t batch_left; /* so many members of a batch are still to come */
    /* Of the compute thread; constant once ready. */
    struct poolgate_worker plugin;
    void *state;
    uint64_t max_reply_bytes;
    struct batch batch; /* room for the largest that READY allows */
    struct chaos *chaos;
};

static void end_process(int status, const char *why) {
    if (why != NULL) fprintf(stderr, "poolgate-worker: %s\n", why);
    fflush(stdout);
    _exit(status);
}

static void gateway_broke(const char *rule) {
    char text[160];
    snprintf(text, sizeof text, "the gateway broke the protocol: %s", rule);
    end_process(HOST_EXIT_PROTOCOL, text);
}

/* The gateway is gone: a process ends at once, a thread as soon as the plug-in returns. */
static void leave(struct host *host) {
    if (host->place == HOST_PROCESS) end_process(HOST_EXIT_OK, NULL);
    atomic_store(&host->over, true);
    inbox_stop(&host->inbox);
    inbox_cancel_running(&host->inbox);
    intake_poke(&host->intake);
    sem_post(&host->setup_known);
}

/* The socket's thread: one function for each frame that a gateway sends. */

static ProtobufCMessage *unpack(const struct link_frame *frame) {
    ProtobufCMessage *message;
    enum outcome outcome =
        envelope_unpack(frame->type, frame->envelope, frame->envelope_bytes, &message);
    if (outcome == MEMORY_EXHAUSTED) end_process(HOST_EXIT_SYSTEM, "no memory for an envelope");
    if (outcome != OK) gateway_broke("an envelope is not what its frame says");
    return message;
}

static void check_posted(struct host *host, enum outcome outcome) {
    if (outcome == SHUTTING_DOWN) {
        leave(host);
        return;
    }
    if (outcome == QUEUE_FULL) gateway_broke("it does not read what it is sent");
    if (outcome != OK) end_process(HOST_EXIT_SYSTEM, "no memory for an answer");
}

static void refuse(struct host *host, uint64_t id, Poolgate__Worker__V1__ErrorKind kind,
                   const char *message) {
    check_posted(host, answer_refuse(&host->link, id, kind, message));
}

static void on_setup(struct host *host, struct link_frame *frame) {
    if (host->setup != NULL) gateway_broke("a second SETUP");
    if (host->stopping) return;
    host->setup = (Poolgate__Worker__V1__Setup *)unpack(frame);
    sem_post(&host->setup_known);
}

/* The members of a batch come one directly behind the other. */
static void check_batch(struct host *host, uint32_t more) {
    if (more >= host->batch.room) gateway_broke("a batch larger than READY allows");
    if (host->batch_left > 0 && more + 1 != host->batch_left)
        gateway_broke("a batch that was not finished");
    host->batch_left = more;
}

static void on_request(struct host *host, struct link_frame *frame) {
    if (!atomic_load(&host->ready)) gateway_broke("a REQUEST before READY");
    struct call *call;
    uint64_t id;
    enum outcome outcome = call_create(&call, frame, &id);
    if (outcome == INVALID_REQUEST) gateway_broke("a REQUEST's envelope or memfd is not valid");
    /* A lost member would hold up its batch for ever. */
    if (id == 0 || (outcome == MEMORY_EXHAUSTED && host->batch.room > 1))
        end_process(HOST_EXIT_SYSTEM, "no memory for a request");
    if (outcome == OK) check_batch(host, call->batch_more);
    if (outcome == OK && host->stopping) outcome = SHUTTING_DOWN;
    if (outcome == OK) outcome = inbox_push(&host->inbox, call);
    intake_poke(&host->intake);
    if (outcome == OK) return;
    call_free(call);
    if (outcome == ALREADY_EXISTS) gateway_broke("a REQUEST's id is in use");
    if (outcome == SHUTTING_DOWN)
        refuse(host, id, POOLGATE__WORKER__V1__ERROR_KIND__CANCELLED, "the worker is stopping");
    else if (outcome == QUEUE_FULL)
        refuse(host, id, POOLGATE__WORKER__V1__ERROR_KIND__FAILED, "too many requests wait here");
    else
        refuse(host, id, POOLGATE__WORKER__V1__ERROR_KIND__FAILED, "no memory for the request");
}

static void on_ping(struct host *host, struct link_frame *frame) {
    Poolgate__Worker__V1__Ping *ping = (Poolgate__Worker__V1__Ping *)unpack(frame);
    Poolgate__Worker__V1__Pong pong = POOLGATE__WORKER__V1__PONG__INIT;
    pong.id = ping->id;
    envelope_free(&ping->base);
    inbox_load(&host->inbox, &pong.waiting, &pong.busy_ns);
    intake_poke(&host->intake); /* makes up for a wake-up that was lost */
    check_posted(host, link_post(&host->link, WIRE_PONG, &pong.base));
}

/* It waits its turn like a request, so that it runs on the compute thread when nothing else does. */
static void on_check(struct host *host, struct link_frame *frame) {
    envelope_free(unpack(frame));
    if (!atomic_load(&host->ready)) gateway_broke("a CHECK before READY");
    if (host->plugin.check == NULL) gateway_broke("a CHECK that READY did not offer");
    if (host->batch_left > 0) gateway_broke("a CHECK inside a batch");
    if (host->stopping) return;
    struct call *check = call_make(CALL_CHECK, 0, 0);
    if (check == NULL) end_process(HOST_EXIT_SYSTEM, "no memory for a check");
    if (inbox_push(&host->inbox, check) != OK)
        gateway_broke("a CHECK before the last was answered");
    intake_poke(&host->intake);
}

static void drop(struct host *host, struct call *call, const char *why) {
    if (call->kind == CALL_REQUEST)
        refuse(host, call->id, POOLGATE__WORKER__V1__ERROR_KIND__CANCELLED, why);
    call_free(call);
}

static void on_cancel(struct host *host, struct link_frame *frame) {
    Poolgate__Worker__V1__Cancel *cancel = (Poolgate__Worker__V1__Cancel *)unpack(frame);
    struct call *call = cancel->id != 0 ? inbox_cancel(&host->inbox, cancel->id) : NULL;
    envelope_free(&cancel->base);
    if (call != NULL) drop(host, call, "the request was cancelled before it began");
}

static void on_shutdown(struct host *host, struct link_frame *frame) {
    envelope_free(unpack(frame));
    host->stopping = true;
    struct call *call;
    while ((call = inbox_withdraw(&host->inbox)) != NULL)
        drop(host, call, "the worker is stopping");
    inbox_stop(&host->inbox);
    intake_poke(&host->intake);
    if (host->setup == NULL) sem_post(&host->setup_known);
}

static void on_frame(struct host *host, struct link_frame *frame) {
    switch (frame->type) {
    case WIRE_SETUP: on_setup(host, frame); break;
    case WIRE_REQUEST: on_request(host, frame); break;
    case WIRE_PING: on_ping(host, frame); break;
    case WIRE_CANCEL: on_cancel(host, frame); break;
    case WIRE_SHUTDOWN: on_shutdown(host, frame); break;
    case WIRE_CHECK: on_check(host, frame); break;
    case WIRE_HELLO:
    case WIRE_LOADING:
    case WIRE_READY:
    case WIRE_CHUNK:
    case WIRE_REPLY:
    case WIRE_ERROR:
    case WIRE_CHECKED:
    case WIRE_PONG: gateway_broke("a frame that only workers send");
    }
}

static void *serve_socket(void *argument) {
    struct host *host = argument;
    while (!atomic_load(&host->over)) {
        struct link_frame frame;
        switch (link_receive(&host->link, &frame)) {
        case LINK_NOTHING: link_wait(&host->link); break;
        case LINK_FRAME:
            on_frame(host, &frame);
            link_frame_free(&frame);
            break;
        case LINK_CLOSED: leave(host); break;
        case LINK_BROKEN: gateway_broke(host->link.why); break;
        }
    }
    return NULL;
}

/* Signals are for the compute thread, where a plug-in may expect them. */
static bool start_socket_thread(struct host *host, pthread_t *thread) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, serve_socket, host);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

/* The compute thread. */

static enum outcome say_hello(struct host *host) {
    Poolgate__Worker__V1__Hello hello = POOLGATE__WORKER__V1__HELLO__INIT;
    hello.protocol = WIRE_PROTOCOL;
    hello.kit = (char *)(uintptr_t)KIT;
    hello.accepts_memfd = true;
    return link_send(&host->link, WIRE_HELLO, &hello.base, NULL, 0);
}

static enum outcome say_loading(struct host *host, const char *plugin_path) {
    char note[ENVELOPE_TEXT_BYTES + 1];
    const char *slash = strrchr(plugin_path, '/');
    envelope_text_clean(note, slash != NULL ? slash + 1 : plugin_path);
    Poolgate__Worker__V1__Loading loading = POOLGATE__WORKER__V1__LOADING__INIT;
    loading.note = note;
    return link_send(&host->link, WIRE_LOADING, &loading.base, NULL, 0);
}

static enum outcome say_ready(struct host *host, const char *error) {
    char name[ENVELOPE_TEXT_BYTES + 1], version[ENVELOPE_TEXT_BYTES + 1],
        error_text[ENVELOPE_TEXT_BYTES + 1];
    envelope_text_clean(name, host->plugin.name);
    envelope_text_clean(version, host->plugin.version);
    envelope_text_clean(error_text, error);
    Poolgate__Worker__V1__Ready ready = POOLGATE__WORKER__V1__READY__INIT;
    ready.error = error_text;
    ready.name = name;
    ready.version = version;
    ready.max_batch = (uint32_t)host->batch.room;
    ready.checks = error == NULL && host->plugin.check != NULL;
    return link_send(&host->link, WIRE_READY, &ready.base, NULL, 0);
}

/* Room for the largest batch that may come: as large as the pool's, if the plug-in takes any. */
static bool make_room(struct host *host, char error[POOLGATE_ERROR_BYTES]) {
    uint32_t room = host->plugin.handle_batch != NULL ? host->setup->batch : 1;
    if (room < 1) room = 1;
    if (room > BATCH_MAX) room = BATCH_MAX;
    if (batch_open(&host->batch, room) == OK) return true;
    snprintf(error, POOLGATE_ERROR_BYTES, "no memory for batches of %u", room);
    return false;
}

static bool load_state(struct host *host, char error[POOLGATE_ERROR_BYTES]) {
    const Poolgate__Worker__V1__Setup *setup = host->setup;
    struct poolgate_pair *pairs = call_pairs(setup->args, setup->n_args);
    if (pairs == NULL) {
        snprintf(error, POOLGATE_ERROR_BYTES, "no memory for the arguments");
        return false;
    }
    const struct poolgate_args args = {setup->pool, setup->slot, pairs, setup->n_args};
    int failed = host->plugin.load(&args, &host->state, error);
    free(pairs);
    error[POOLGATE_ERROR_BYTES - 1] = '\0';
    if (failed != 0 && error[0] == '\0')
        snprintf(error, POOLGATE_ERROR_BYTES, "load returned %d", failed);
    return failed == 0;
}

static bool load(struct host *host, const char *plugin_path, char error[POOLGATE_ERROR_BYTES]) {
    if (host->setup->protocol != WIRE_PROTOCOL) {
        snprintf(error, POOLGATE_ERROR_BYTES, "the gateway speaks protocol %u, this worker %d",
                 host->setup->protocol, WIRE_PROTOCOL);
        return false;
    }
    if (!plugin_open(&host->plugin, plugin_path, error) || !make_room(host, error)) return false;
    return host->plugin.load == NULL || load_state(host, error);
}

/* Nobody refers to the batch's calls any more once the inbox knows that it is finished. */
static void serve(struct host *host, size_t count) {
    struct batch *batch = &host->batch;
    batch_begin(batch, count, &host->link, host->max_reply_bytes);
    chaos_before_request(host->chaos, host->link.fd);
    batch_handle(batch, &host->plugin, host->state);
    bool answered = batch_answer(batch);
    inbox_finish(&host->inbox);
    batch_end(batch);
    if (!answered && host->place == HOST_PROCESS)
        end_process(HOST_EXIT_SYSTEM, "an answer could not be sent");
}

static void check(struct host *host, struct call *call) {
    char error[POOLGATE_ERROR_BYTES] = "", text[ENVELOPE_TEXT_BYTES + 1];
    int failed = host->plugin.check(host->state, error);
    error[POOLGATE_ERROR_BYTES - 1] = '\0';
    if (failed != 0 && error[0] == '\0') snprintf(error, sizeof error, "check returned %d", failed);
    envelope_text_clean(text, failed != 0 ? error : "");
    inbox_finish(&host->inbox); /* first: the next CHECK may come as soon as this one is answered */
    call_free(call);
    Poolgate__Worker__V1__Checked checked = POOLGATE__WORKER__V1__CHECKED__INIT;
    checked.error = text;
    if (link_send(&host->link, WIRE_CHECKED, &checked.base, NULL, 0) != OK &&
        host->place == HOST_PROCESS)
        end_process(HOST_EXIT_SYSTEM, "the result of a check could not be sent");
}

static enum outcome serve_until_stopped(struct host *host) {
    struct call **calls = host->batch.calls;
    for (;;) {
        size_t count;
        intake_next(&host->intake, calls, host->batch.room, &count);
        if (count == 0) break;
        if (calls[0]->kind == CALL_CHECK)
            check(host, calls[0]);
        else
            serve(host, count);
    }
    if (host->intake.why != NULL) gateway_broke(host->intake.why);
    if (host->plugin.unload != NULL) host->plugin.unload(host->state);
    return link_flush(&host->link);
}

/* From hello to the last answer, on the compute thread. */
static enum outcome live(struct host *host, const char *plugin_path) {
    enum outcome sent = say_hello(host);
    if (sent != OK) return sent;
    while (sem_wait(&host->setup_known) != 0) continue;
    if (host->setup == NULL) return OK;
    uint64_t limit = host->setup->max_reply_bytes;
    host->max_reply_bytes = limit > 0 && limit < UINT32_MAX ? limit : UINT32_MAX;
    if ((sent = say_loading(host, plugin_path)) != OK) return sent;
    char error[POOLGATE_ERROR_BYTES] = "";
    if (!load(host, plugin_path, error)) {
        fprintf(stderr, "poolgate-worker: %s\n", error);
        return say_ready(host, error);
    }
    chaos_before_ready(host->chaos);
    atomic_store(&host->ready, true);
    sent = say_ready(host, NULL);
    return sent == OK ? serve_until_stopped(host) : sent;
}

/* Waits for the socket's thread, then nobody uses the host any more. */
static void take_down(struct host *host, pthread_t socket_thread, int fd) {
    shutdown(fd, SHUT_RDWR);
    pthread_join(socket_thread, NULL);
    struct call *call;
    while ((call = inbox_withdraw(&host->inbox)) != NULL) call_free(call);
    if (host->setup != NULL) envelope_free(&host->setup->base);
    batch_close(&host->batch);
    intake_close(&host->intake);
    link_release(&host->link);
    sem_destroy(&host->setup_known);
    free(host);
}

int host_run(const struct host_options *options) {
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL) return HOST_EXIT_SYSTEM;
    struct ring_pair *rings = options->rings;
    enum ring_sharing sharing = options->place == HOST_THREAD ? RING_PRIVATE : RING_SHARED;
    host->place = options->place;
    host->chaos = options->chaos;
    link_open(&host->link, options->fd);
    inbox_open(&host->inbox);
    sem_init(&host->setup_known, 0, 0);
    intake_open(&host->intake, &host->inbox, rings, sharing);
    if (rings != NULL) link_use_ring(&host->link, rings, options->bell);
    pthread_t socket_thread;
    if (!start_socket_thread(host, &socket_thread)) return HOST_EXIT_SYSTEM;
    enum outcome outcome = live(host, options->plugin_path);
    /* In a process the socket's thread uses the host until the process ends. */
    if (options->place == HOST_THREAD) take_down(host, socket_thread, options->fd);
    return outcome == OK || outcome == SHUTTING_DOWN ? HOST_EXIT_OK : HOST_EXIT_SYSTEM;
}
