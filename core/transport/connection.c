#include "core/transport/connection.h"

#include "core/transport/offers.h"
#include "core/transport/reply_record.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES    ((size_t)64 * 1024)
#define READ_ROUNDS   4   /* reads in a row before others get their turn */
#define REPLIES_ROUND 256 /* replies of one worker in a row */
#define MEMFDS_AHEAD  8   /* descriptors that may come before their frames are read */

struct connection {
    struct connection_options options;
    uv_poll_t socket_poll, bell_poll;
    int open_handles;
    bool wants_write, broken, socket_over;
    uint32_t unanswered; /* requests that were sent and not taken back */
    struct wire_reader frames;
    struct outbox outbox;
    /* Where there are rings. */
    struct switchboard_member member;
    struct offers offers;
    struct ring_reader replies;
    bool offered; /* something was, and the worker may sleep */
    int memfds[MEMFDS_AHEAD];
    size_t memfds_count;
};

enum read_result {
    READ_NOTHING, /* at the moment, or for ever: then socket_over or broken is set */
    READ_SOME,
    READ_FULL /* the buffer was filled: there is likely more */
};

static _Thread_local uint8_t scratch[READ_BYTES];

static void report(struct connection *connection, const struct transport_event *event) {
    connection->options.fn(connection->options.owner, event);
}

/* What the talk makes of the worker's frames and replies. */
static void on_talk(void *owner, const struct transport_event *event) {
    struct connection *connection = owner;
    bool answers = event->kind == TRANSPORT_REPLY || event->kind == TRANSPORT_ERROR;
    if (answers && connection->unanswered > 0) connection->unanswered--;
    report(connection, event);
}

static void break_off(struct connection *connection, const char *why) {
    if (connection->broken) return;
    connection->broken = true;
    uv_poll_stop(&connection->socket_poll);
    if (connection->options.rings != NULL) uv_poll_stop(&connection->bell_poll);
    outbox_clear(&connection->outbox);
    char text[160];
    snprintf(text, sizeof text, "broke the protocol: %s", why);
    report(connection, &(struct transport_event){.kind = TRANSPORT_BROKEN, .text = text});
}

/* Its turn comes in this round of the loop: to wake the worker, to collect replies. */
static void heat(struct connection *connection) {
    if (connection->options.rings != NULL)
        switchboard_heat(connection->options.switchboard, &connection->member);
}

/* --- frames ------------------------------------------------------------------------------------------ */

static void take_frame(struct connection *connection) {
    struct wire_reader *frames = &connection->frames;
    int memfd = -1;
    if ((frames->header.flags & WIRE_FLAG_MEMFD) != 0 && connection->memfds_count > 0) {
        memfd = connection->memfds[0];
        connection->memfds_count--;
        memmove(connection->memfds, connection->memfds + 1,
                connection->memfds_count * sizeof memfd);
    }
    struct talk *talk = connection->options.talk;
    if (talk_frame(talk, frames, memfd, &connection->outbox))
        wire_reader_next(frames);
    else
        break_off(connection, talk->why);
}

/* Hands what was read to the reader and handles each frame as it becomes whole. */
static void feed(struct connection *connection, const uint8_t *bytes, size_t count) {
    while (count > 0 && !connection->broken) {
        size_t part;
        uint8_t *space = wire_reader_space(&connection->frames, &part);
        if (part > count) part = count;
        memcpy(space, bytes, part);
        bytes += part;
        count -= part;
        enum wire_step step = wire_reader_advance(&connection->frames, part);
        if (step == WIRE_FRAME) take_frame(connection);
        if (step == WIRE_BROKEN) break_off(connection, connection->frames.why);
    }
}

/* --- the socket -------------------------------------------------------------------------------------- */

/* Keeps the descriptors that came with a read; more than MEMFDS_AHEAD break the protocol. */
static bool keep_descriptors(struct connection *connection, struct msghdr *message) {
    bool kept = (message->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
            if (connection->memfds_count < MEMFDS_AHEAD) {
                connection->memfds[connection->memfds_count++] = descriptor;
            } else {
                close(descriptor);
                kept = false;
            }
        }
    }
    return kept;
}

static enum read_result read_socket(struct connection *connection) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MEMFDS_AHEAD * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = scratch, .iov_len = sizeof scratch};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    ssize_t count = recvmsg(connection->options.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) return READ_SOME;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return READ_NOTHING;
    if (count <= 0) {
        connection->socket_over = true;
        return READ_NOTHING;
    }
    if (!keep_descriptors(connection, &message))
        break_off(connection, "too many descriptors");
    else
        feed(connection, scratch, (size_t)count);
    if (connection->broken) return READ_NOTHING;
    return (size_t)count == sizeof scratch ? READ_FULL : READ_SOME;
}

static void on_socket(uv_poll_t *poll, int status, int events);

static void watch_socket(struct connection *connection, bool wants_write) {
    connection->wants_write = wants_write;
    uv_poll_start(&connection->socket_poll, UV_READABLE | (wants_write ? UV_WRITABLE : 0),
                  on_socket);
}

/* Errors show on the reading side: the worker's end is seen there, after its last replies. */
static void flush(struct connection *connection) {
    if (connection->broken || connection->socket_over) return;
    if (outbox_empty(&connection->outbox) && !connection->wants_write) return;
    if (!outbox_flush(&connection->outbox, connection->options.socket))
        outbox_clear(&connection->outbox);
    bool wants_write = !outbox_empty(&connection->outbox);
    if (wants_write != connection->wants_write) watch_socket(connection, wants_write);
}

static void on_socket(uv_poll_t *poll, int status, int events) {
    struct connection *connection = poll->data;
    if (status < 0) events = UV_READABLE;
    if ((events & UV_READABLE) != 0)
        for (int i = 0; i < READ_ROUNDS && read_socket(connection) == READ_FULL; i++) {
        }
    heat(connection); /* a PONG makes up for a bell that was lost */
    if (connection->socket_over && !connection->broken) {
        uv_poll_stop(&connection->socket_poll);
        connection->options.over(connection->options.owner);
        return;
    }
    flush(connection);
}

/* --- the rings --------------------------------------------------------------------------------------- */

/* False when nothing waits, or the worker broke a rule. */
static bool take_reply(struct connection *connection) {
    struct reply_record record;
    const char *why;
    enum reply_record_step step = reply_record_read(&connection->replies, &record, &why);
    if (step == REPLY_RECORD_BROKEN) break_off(connection, why);
    if (step != REPLY_RECORD_READ) return false;
    struct talk *talk = connection->options.talk;
    bool kept = record.kind == REPLY_RECORD_REPLY ? talk_reply(talk, record.id, &record.reply)
                : record.kind == REPLY_RECORD_LOST
                    ? talk_lost(talk, record.id)
                    : talk_error(talk, record.id, record.error, record.text);
    if (!kept) break_off(connection, talk->why);
    return kept;
}

static struct connection *of_member(struct switchboard_member *member) {
    return LIST_ENTRY(member, struct connection, member);
}

static void collect(struct switchboard_member *member) {
    struct connection *connection = of_member(member);
    if (connection->broken) return;
    uint64_t before = connection->replies.read;
    for (int i = 0; i < REPLIES_ROUND && take_reply(connection); i++) {
    }
    if (connection->replies.read != before) ring_release(&connection->replies);
    if (connection->offers.why != NULL) break_off(connection, connection->offers.why);
}

static void wake(struct switchboard_member *member) {
    struct connection *connection = of_member(member);
    if (!connection->offered) return;
    connection->offered = false;
    ring_wake(&connection->options.rings->memory->requests_asleep, connection->options.sharing);
}

static bool rest(struct switchboard_member *member) {
    struct connection *connection = of_member(member);
    if (connection->broken) return true;
    return connection->offers.why == NULL && ring_fall_asleep(&connection->replies);
}

static const struct switchboard_calls member_calls = {
    .collect = collect, .wake = wake, .rest = rest};

static void on_bell(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct connection *connection = poll->data;
    uint64_t rung;
    ssize_t got = read(connection->options.bell, &rung, sizeof rung);
    (void)got;
    heat(connection);
}

/* --- sending ------------------------------------------------------------------------------------------- */

static void free_heads(struct talk_frame *frames, size_t count) {
    for (size_t i = 0; i < count; i++) free(frames[i].head);
}

/* Each member is packed before the first one goes. */
static enum outcome pack(struct connection *connection, struct request *const *requests,
                         size_t count, uint64_t now_ns, struct talk_frame *frames) {
    for (size_t i = 0; i < count; i++) {
        enum outcome outcome = talk_request(connection->options.talk, requests[i], now_ns,
                                            (uint32_t)(count - 1 - i), &frames[i]);
        if (outcome == OK) continue;
        free_heads(frames, i);
        return outcome;
    }
    return OK;
}

static enum outcome add_frames(struct connection *connection, struct talk_frame *frames,
                               size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct talk_frame *frame = &frames[i];
        enum outcome outcome = outbox_add(&connection->outbox, frame->head, frame->head_bytes,
                                          frame->body, frame->how);
        if (outcome == OK) continue;
        free_heads(frames + i + 1, count - i - 1);
        if (i == 0) return outcome;
        /* Half a batch is out, and no memory for the rest: the worker's end takes them along. */
        shutdown(connection->options.socket, SHUT_RDWR);
        return OK;
    }
    return OK;
}

static enum outcome send_by_socket(struct connection *connection, struct request *const *requests,
                                   size_t count, uint64_t now_ns) {
    struct talk_frame one, *frames = &one;
    if (count > 1) frames = calloc(count, sizeof *frames);
    if (frames == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = pack(connection, requests, count, now_ns, frames);
    if (outcome == OK) outcome = add_frames(connection, frames, count);
    if (frames != &one) free(frames);
    if (!connection->wants_write) flush(connection);
    return outcome;
}

enum outcome connection_send(struct connection *connection, struct request *const *requests,
                             size_t count, uint64_t now_ns) {
    if (connection->broken) return OK; /* its end takes them along */
    enum outcome outcome = QUEUE_FULL;
    bool has_rings = connection->options.rings != NULL;
    if (has_rings) {
        outcome = offers_put(&connection->offers, requests, count);
        if (outcome == OK) connection->offered = true;
        heat(connection);
    }
    if (outcome != OK) {
        if (has_rings && connection->unanswered >= connection->options.talk->pool->inflight)
            return QUEUE_FULL;
        if (connection->socket_over) return OK;
        outcome = send_by_socket(connection, requests, count, now_ns);
    }
    if (outcome == OK) connection->unanswered += (uint32_t)count;
    return outcome;
}

bool connection_revoke(struct connection *connection, uint64_t id) {
    if (connection->options.rings == NULL) return false;
    bool revoked = offers_revoke(&connection->offers, id);
    if (connection->offers.why != NULL) heat(connection);
    if (revoked && connection->unanswered > 0) connection->unanswered--;
    return revoked;
}

uint32_t connection_stages(const struct connection *connection) {
    const struct pool_options *pool = connection->options.talk->pool;
    if (connection->options.rings == NULL) return 0;
    uint32_t cells = connection->options.rings->cells;
    uint32_t room = cells > pool->inflight ? cells - pool->inflight : 0;
    return pool->staged < room ? pool->staged : room;
}

/* --- control -------------------------------------------------------------------------------------------- */

void connection_cancel(struct connection *connection, uint64_t id) {
    if (connection->broken) return;
    talk_cancel(&connection->outbox, id);
    if (!connection->wants_write) flush(connection);
}

void connection_ping(struct connection *connection, uint64_t id) {
    if (connection->broken) return;
    talk_ping(&connection->outbox, id);
    if (!connection->wants_write) flush(connection);
}

void connection_check(struct connection *connection) {
    if (connection->broken) return;
    talk_check(&connection->outbox);
    if (!connection->wants_write) flush(connection);
}

void connection_shutdown(struct connection *connection) {
    if (connection->broken) return;
    talk_shutdown(&connection->outbox);
    if (!connection->wants_write) flush(connection);
}

void connection_read_remains(struct connection *connection) {
    while (!connection->broken && !connection->socket_over &&
           read_socket(connection) != READ_NOTHING) {
    }
    while (!connection->broken && connection->options.rings != NULL && take_reply(connection)) {
    }
}

uint64_t connection_requests(const struct pool_options *pool) {
    uint64_t batch = pool->queue.batch_max > 1 ? pool->queue.batch_max : 1;
    return pool->inflight * batch + pool->staged;
}

/* --- life ---------------------------------------------------------------------------------------------- */

static enum outcome open_rings(struct connection *connection) {
    const struct connection_options *options = &connection->options;
    enum outcome outcome = offers_open(&connection->offers, options->rings);
    if (outcome != OK) return outcome;
    connection->replies = ring_pair_reply_reader(options->rings);
    connection->member.calls = &member_calls;
    uv_poll_init(options->loop, &connection->bell_poll, options->bell);
    connection->bell_poll.data = connection;
    connection->open_handles++;
    return OK;
}

enum outcome connection_open(struct connection **out, const struct connection_options *options) {
    *out = NULL;
    assert(options->rings == NULL || options->switchboard != NULL);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) return MEMORY_EXHAUSTED;
    connection->options = *options;
    if (options->rings != NULL && open_rings(connection) != OK) {
        free(connection);
        return MEMORY_EXHAUSTED;
    }
    uint64_t limit = options->talk->pool->max_reply_bytes;
    wire_reader_init(&connection->frames, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
    outbox_init(&connection->outbox);
    uv_poll_init(options->loop, &connection->socket_poll, options->socket);
    connection->socket_poll.data = connection;
    connection->open_handles++;
    *out = connection;
    return OK;
}

void connection_begin(struct connection *connection) {
    const struct connection_options *options = &connection->options;
    options->talk->fn = on_talk;
    options->talk->owner = connection;
    watch_socket(connection, false);
    if (options->rings != NULL) uv_poll_start(&connection->bell_poll, UV_READABLE, on_bell);
}

static void handle_closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    if (--connection->open_handles > 0) return;
    free(connection);
}

void connection_close(struct connection *connection) {
    const struct connection_options *options = &connection->options;
    uv_close((uv_handle_t *)&connection->socket_poll, handle_closed);
    close(options->socket);
    if (options->rings != NULL) {
        switchboard_leave(&connection->member);
        uv_close((uv_handle_t *)&connection->bell_poll, handle_closed);
        close(options->bell);
        offers_close(&connection->offers);
        ring_pair_drop(options->rings, options->sharing);
    }
    for (size_t i = 0; i < connection->memfds_count; i++) close(connection->memfds[i]);
    outbox_clear(&connection->outbox);
    wire_reader_free(&connection->frames);
}
