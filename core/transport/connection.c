#include "core/transport/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES   ((size_t)64 * 1024)
#define READ_ROUNDS  4 /* reads in a row before others get their turn */
#define MEMFDS_AHEAD 8 /* descriptors that may come before their frames are read */

struct connection {
    struct connection_options options;
    uv_poll_t socket_poll, bell_poll;
    int open_handles;
    bool wants_write, broken, socket_over;
    struct wire_reader socket_frames, ring_frames;
    struct outbox outbox;
    struct ring_writer requests;
    struct ring_reader replies;
    int memfds[MEMFDS_AHEAD];
    size_t memfds_count;
};

enum read_result {
    READ_NOTHING, /* at the moment, or for ever: then socket_over or broken is set */
    READ_SOME,
    READ_FULL /* the buffer was filled: there is likely more */
};

static _Thread_local uint8_t scratch[READ_BYTES];

static void break_off(struct connection *connection, const char *why) {
    if (connection->broken) return;
    connection->broken = true;
    uv_poll_stop(&connection->socket_poll);
    if (connection->options.rings != NULL) uv_poll_stop(&connection->bell_poll);
    outbox_clear(&connection->outbox);
    char text[160];
    snprintf(text, sizeof text, "broke the protocol: %s", why);
    struct talk *talk = connection->options.talk;
    talk->fn(talk->owner, &(struct transport_event){.kind = TRANSPORT_BROKEN, .text = text});
}

/* --- frames ------------------------------------------------------------------------------------------ */

static void take_frame(struct connection *connection, struct wire_reader *frames) {
    int memfd = -1;
    bool from_socket = frames == &connection->socket_frames;
    if (from_socket && (frames->header.flags & WIRE_FLAG_MEMFD) != 0 &&
        connection->memfds_count > 0) {
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
static void feed(struct connection *connection, struct wire_reader *frames, const uint8_t *bytes,
                 size_t count) {
    while (count > 0 && !connection->broken) {
        size_t part;
        uint8_t *space = wire_reader_space(frames, &part);
        if (part > count) part = count;
        memcpy(space, bytes, part);
        bytes += part;
        count -= part;
        enum wire_step step = wire_reader_advance(frames, part);
        if (step == WIRE_FRAME) take_frame(connection, frames);
        if (step == WIRE_BROKEN) break_off(connection, frames->why);
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
        feed(connection, &connection->socket_frames, scratch, (size_t)count);
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
    if (connection->socket_over && !connection->broken) {
        uv_poll_stop(&connection->socket_poll);
        connection->options.over(connection->options.owner);
        return;
    }
    flush(connection);
}

/* --- the rings --------------------------------------------------------------------------------------- */

static enum read_result read_ring(struct connection *connection) {
    size_t bytes;
    if (ring_read(&connection->replies, scratch, sizeof scratch, &bytes) != RING_OK) {
        break_off(connection, "its ring's counters make no sense");
        return READ_NOTHING;
    }
    if (bytes == 0) return READ_NOTHING;
    feed(connection, &connection->ring_frames, scratch, bytes);
    return connection->broken ? READ_NOTHING : READ_SOME;
}

static void ring_own_bell(const struct connection *connection) {
    uint64_t one = 1;
    ssize_t written = write(connection->options.bell, &one, sizeof one);
    (void)written; /* a full counter rings as well */
}

static void on_bell(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct connection *connection = poll->data;
    uint64_t rung;
    ssize_t got = read(connection->options.bell, &rung, sizeof rung);
    (void)got;
    for (int i = 0; i < READ_ROUNDS; i++) {
        if (read_ring(connection) == READ_SOME) continue;
        if (connection->broken || ring_fall_asleep(&connection->replies)) {
            flush(connection);
            return;
        }
    }
    ring_own_bell(connection); /* the others first, then again */
    flush(connection);
}

/* A request that fits goes through the ring; everything else through the socket. */
static enum ring_result send_by_ring(struct connection *connection,
                                     const struct talk_frame *frame) {
    struct body *body = frame->body;
    struct iovec parts[2] = {{.iov_base = frame->head, .iov_len = frame->head_bytes}};
    if (body != NULL && body->bytes > 0)
        parts[1] = (struct iovec){.iov_base = body->data, .iov_len = body->bytes};
    return ring_write(&connection->requests, parts, 2);
}

/* --- the verbs --------------------------------------------------------------------------------------- */

enum outcome connection_send(struct connection *connection, struct request *request,
                             uint64_t now_ns) {
    if (connection->broken || connection->socket_over) return OK; /* its end takes it along */
    struct talk_frame frame;
    enum outcome outcome = talk_request(connection->options.talk, request, now_ns, &frame);
    if (outcome != OK) return outcome;
    enum ring_result result = RING_FULL;
    if (connection->options.rings != NULL && (frame.body == NULL || frame.body->memfd < 0))
        result = send_by_ring(connection, &frame);
    if (result == RING_OK || result == RING_OK_WAKE) {
        free(frame.head);
        if (result == RING_OK_WAKE)
            ring_wake(connection->requests.memory, connection->options.sharing);
        return OK;
    }
    /* A broken counter: the ring is not used again, and the worker is found out when it answers. */
    outcome = outbox_add(&connection->outbox, frame.head, frame.head_bytes, frame.body, frame.how);
    if (!connection->wants_write) flush(connection);
    return outcome;
}

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

void connection_shutdown(struct connection *connection) {
    if (connection->broken) return;
    talk_shutdown(&connection->outbox);
    if (!connection->wants_write) flush(connection);
}

void connection_read_remains(struct connection *connection) {
    while (!connection->broken && !connection->socket_over &&
           read_socket(connection) != READ_NOTHING) {
    }
    while (!connection->broken && connection->options.rings != NULL &&
           read_ring(connection) == READ_SOME) {
    }
}

/* --- life ---------------------------------------------------------------------------------------------- */

enum outcome connection_open(struct connection **out, const struct connection_options *options) {
    *out = NULL;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) return MEMORY_EXHAUSTED;
    connection->options = *options;
    uint64_t limit = options->talk->pool->max_reply_bytes;
    uint32_t most = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    wire_reader_init(&connection->socket_frames, most);
    wire_reader_init(&connection->ring_frames, most);
    outbox_init(&connection->outbox);
    uv_poll_init(options->loop, &connection->socket_poll, options->socket);
    connection->socket_poll.data = connection;
    connection->open_handles = 1;
    if (options->rings != NULL) {
        connection->requests.memory = &options->rings->requests;
        connection->replies.memory = &options->rings->replies;
        uv_poll_init(options->loop, &connection->bell_poll, options->bell);
        connection->bell_poll.data = connection;
        connection->open_handles = 2;
        uv_poll_start(&connection->bell_poll, UV_READABLE, on_bell);
    }
    watch_socket(connection, false);
    *out = connection;
    return OK;
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
        uv_close((uv_handle_t *)&connection->bell_poll, handle_closed);
        close(options->bell);
        ring_pair_drop(options->rings, options->sharing);
    }
    for (size_t i = 0; i < connection->memfds_count; i++) close(connection->memfds[i]);
    outbox_clear(&connection->outbox);
    wire_reader_free(&connection->socket_frames);
    wire_reader_free(&connection->ring_frames);
}
