#include "workers/host/link.h"

#include "core/base/body.h"
#include "core/base/uninitialized.h"
#include "core/transport/envelope.h"
#include "core/transport/reply_record.h"
#include "protos/worker.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room in a control message for exactly one descriptor; the kernel closes those that do not fit. */
union descriptor_room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

void link_open(struct link *link, int fd) {
    *link = (struct link){.fd = fd, .arriving_memfd = -1};
    pthread_mutex_init(&link->lock, NULL);
    wire_reader_init(&link->reader, UINT32_MAX);
}

void link_use_ring(struct link *link, const struct ring_pair *rings, int bell) {
    link->replies = ring_pair_reply_writer(rings);
    link->bell = bell;
}

void link_release(struct link *link) {
    if (link->arriving_memfd >= 0) close(link->arriving_memfd);
    wire_reader_free(&link->reader);
    pthread_mutex_destroy(&link->lock);
    free(link->outbox.bytes);
}

void link_frame_free(struct link_frame *frame) {
    free(frame->payload);
    if (frame->memfd >= 0) close(frame->memfd);
    frame->payload = NULL;
    frame->memfd = -1;
}

static int descriptor_of(struct msghdr *message) {
    int fd = -1;
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
        control->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return fd;
}

/* Reads into the reader's space. As it ends with a part of a frame, so does what is read: a descriptor
 * can only belong to the header whose first byte came with it. */
static enum link_event read_some(struct link *link, size_t *got) {
    size_t space_bytes;
    uint8_t *space = wire_reader_space(&link->reader, &space_bytes);
    struct iovec piece = {space, space_bytes};
    union descriptor_room room;
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &room,
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t bytes;
    do bytes = recvmsg(link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return LINK_NOTHING;
    if (bytes <= 0) return LINK_CLOSED;
    *got = (size_t)bytes;
    int fd = descriptor_of(&message);
    if (fd >= 0 && link->reader.header_have == 0) {
        link->arriving_memfd = fd;
    } else if (fd >= 0) {
        close(fd);
        link->why = "a descriptor came in the middle of a frame";
    }
    if ((message.msg_flags & MSG_CTRUNC) != 0) link->why = "more than one descriptor came";
    return link->why == NULL ? LINK_FRAME : LINK_BROKEN;
}

static enum link_event hand_out(struct link *link, struct link_frame *out) {
    bool in_memfd = (link->reader.header.flags & WIRE_FLAG_MEMFD) != 0;
    if (in_memfd != (link->arriving_memfd >= 0)) {
        link->why = in_memfd ? "a memfd is missing" : "a descriptor came without its flag";
        return LINK_BROKEN;
    }
    *out = (struct link_frame){
        .type = link->reader.header.type,
        .envelope = link->reader.envelope,
        .envelope_bytes = link->reader.header.envelope_bytes,
        .payload_bytes = link->reader.header.payload_bytes,
        .payload = wire_reader_take_payload(&link->reader),
        .memfd = link->arriving_memfd,
    };
    link->arriving_memfd = -1;
    link->handed_out = true;
    return LINK_FRAME;
}

enum link_event link_receive(struct link *link, struct link_frame *out) {
    *out = (struct link_frame){.memfd = -1};
    if (link->handed_out) wire_reader_next(&link->reader);
    link->handed_out = false;
    for (;;) {
        size_t got = 0;
        enum link_event event = read_some(link, &got);
        if (event != LINK_FRAME) return event;
        switch (wire_reader_advance(&link->reader, got)) {
        case WIRE_WANT_BYTES: break;
        case WIRE_FRAME: return hand_out(link, out);
        case WIRE_BROKEN: link->why = link->reader.why; return LINK_BROKEN;
        }
    }
}

/* Sends from the outbox what the socket takes at once. Under the lock, and nobody is sending. */
static enum outcome push_outbox(struct link *link) {
    while (link->outbox.sent < link->outbox.have) {
        ssize_t bytes = send(link->fd, link->outbox.bytes + link->outbox.sent,
                             link->outbox.have - link->outbox.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (bytes >= 0) {
            link->outbox.sent += (size_t)bytes;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return OK;
        } else if (errno != EINTR) {
            link->outbox.sent = link->outbox.have = 0;
            return SHUTTING_DOWN;
        }
    }
    link->outbox.sent = link->outbox.have = 0;
    return OK;
}

void link_wait(struct link *link) {
    pthread_mutex_lock(&link->lock);
    bool unsent = !link->sending && link->outbox.have > 0;
    pthread_mutex_unlock(&link->lock);
    struct pollfd watch = {.fd = link->fd, .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
    if (poll(&watch, 1, -1) <= 0 || (watch.revents & POLLOUT) == 0) return;
    pthread_mutex_lock(&link->lock);
    if (!link->sending) (void)push_outbox(link); /* what is wrong with the socket, reading shows */
    pthread_mutex_unlock(&link->lock);
}

static enum outcome append_to_outbox(struct link *link, const uint8_t *bytes, size_t count) {
    size_t needed = link->outbox.have + count;
    if (needed > LINK_OUTBOX_BYTES) return QUEUE_FULL;
    if (needed > link->outbox.capacity) {
        uint8_t *larger = realloc(link->outbox.bytes, needed * 2);
        if (larger == NULL) return MEMORY_EXHAUSTED;
        link->outbox.bytes = larger;
        link->outbox.capacity = needed * 2;
    }
    memcpy(link->outbox.bytes + link->outbox.have, bytes, count);
    link->outbox.have = needed;
    return OK;
}

enum outcome link_post(struct link *link, enum wire_type type,
                       const struct ProtobufCMessage *message) {
    uint8_t *head;
    size_t head_bytes;
    enum outcome outcome = envelope_pack(message, type, 0, 0, &head, &head_bytes);
    if (outcome != OK) return outcome;
    pthread_mutex_lock(&link->lock);
    outcome = append_to_outbox(link, head, head_bytes);
    if (outcome == OK && !link->sending) outcome = push_outbox(link);
    pthread_mutex_unlock(&link->lock);
    free(head);
    return outcome;
}

/* Writes all pieces, waiting for room; the descriptor, if there is one, goes with the first byte. */
static enum outcome write_all(int fd, struct iovec *pieces, size_t count, int descriptor) {
    union descriptor_room room = {0};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    if (descriptor >= 0) {
        message.msg_control = &room;
        message.msg_controllen = sizeof room;
        room.header.cmsg_level = SOL_SOCKET;
        room.header.cmsg_type = SCM_RIGHTS;
        room.header.cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(&room.header), &descriptor, sizeof descriptor);
    }
    while (message.msg_iovlen > 0) {
        ssize_t bytes = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd watch = {.fd = fd, .events = POLLOUT};
            (void)poll(&watch, 1, -1);
            continue;
        }
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0) return SHUTTING_DOWN;
        message.msg_control = NULL;
        message.msg_controllen = 0;
        size_t left = (size_t)bytes;
        while (message.msg_iovlen > 0 && left >= message.msg_iov->iov_len) {
            left -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + left;
            message.msg_iov->iov_len -= left;
        }
    }
    return OK;
}

/* Writes what is in the outbox, and what is posted meanwhile, until it is empty. Under the lock, which
 * is open while the socket is waited for; link->sending keeps others from writing. */
static enum outcome drain_outbox(struct link *link) {
    enum outcome outcome = OK;
    while (outcome == OK && link->outbox.have > 0) {
        uint8_t *bytes = link->outbox.bytes;
        struct iovec rest = {bytes + link->outbox.sent, link->outbox.have - link->outbox.sent};
        memset(&link->outbox, 0, sizeof link->outbox);
        pthread_mutex_unlock(&link->lock);
        outcome = write_all(link->fd, &rest, 1, -1);
        free(bytes);
        pthread_mutex_lock(&link->lock);
    }
    return outcome;
}

/* The outbox goes first: its first frame may be half written. And last: its owner does not wait. */
static enum outcome write_frame(struct link *link, struct iovec *pieces, size_t count,
                                int descriptor) {
    pthread_mutex_lock(&link->lock);
    assert(!link->sending);
    link->sending = true;
    enum outcome outcome = drain_outbox(link);
    if (outcome == OK && count > 0) {
        pthread_mutex_unlock(&link->lock);
        outcome = write_all(link->fd, pieces, count, descriptor);
        pthread_mutex_lock(&link->lock);
        if (outcome == OK) outcome = drain_outbox(link);
    }
    link->sending = false;
    pthread_mutex_unlock(&link->lock);
    return outcome;
}

/* NULL when there is no memfd to be had; the payload then goes through the stream. */
static struct body *memfd_of(const void *payload, size_t payload_bytes) {
    struct body *body;
    if (body_create(&body, payload_bytes) != OK) return NULL;
    if (body_append(body, payload, payload_bytes) == OK && body_seal(body) == OK) return body;
    body_unref(body);
    return NULL;
}

/* memfd_bytes: from this size on the payload goes as a memfd. */
static enum outcome send_frame(struct link *link, enum wire_type type,
                               const struct ProtobufCMessage *message, const void *payload,
                               size_t payload_bytes, size_t memfd_bytes) {
    assert(payload_bytes <= UINT32_MAX);
    struct body *body = NULL;
    if (type == WIRE_REPLY && payload_bytes >= memfd_bytes) body = memfd_of(payload, payload_bytes);
    uint8_t *head;
    size_t head_bytes;
    enum outcome outcome = envelope_pack(message, type, body != NULL ? WIRE_FLAG_MEMFD : 0,
                                         (uint32_t)payload_bytes, &head, &head_bytes);
    if (outcome == OK) {
        struct iovec pieces[] = {{head, head_bytes}, {(void *)(uintptr_t)payload, payload_bytes}};
        bool in_stream = body == NULL && payload_bytes > 0;
        outcome = write_frame(link, pieces, in_stream ? 2 : 1, body != NULL ? body->memfd : -1);
    }
    free(head);
    body_unref(body);
    return outcome;
}

enum outcome link_send(struct link *link, enum wire_type type,
                       const struct ProtobufCMessage *message, const void *payload,
                       size_t payload_bytes) {
    return send_frame(link, type, message, payload, payload_bytes, BODY_MEMFD_BYTES);
}

/* --- through the ring --------------------------------------------------------------------------------- */

static void ring_bell(const struct link *link) {
    uint64_t one = 1;
    ssize_t written = write(link->bell, &one, sizeof one);
    (void)written; /* a full counter rings as well */
}

/* An answer's head and its texts, as the ring has them. */
struct answer_parts {
    struct reply_record_head head;
    struct iovec texts[1 + 2 * REPLY_RECORD_PAIRS];
    size_t count;
};

static void add_text(struct answer_parts *parts, const char *text) {
    size_t bytes = strlen(text) + 1;
    parts->texts[parts->count++] = (struct iovec){(void *)(uintptr_t)text, bytes};
    parts->head.text_bytes += (uint32_t)bytes;
}

static void split_reply(struct answer_parts *parts, const Poolgate__Worker__V1__Reply *reply,
                        size_t payload_bytes) {
    assert(reply->n_metadata <= REPLY_RECORD_PAIRS);
    parts->head.id = reply->id;
    parts->head.kind = REPLY_RECORD_REPLY;
    parts->head.pairs = (uint16_t)reply->n_metadata;
    parts->head.payload_bytes = (uint32_t)payload_bytes;
    add_text(parts, reply->content_type);
    for (size_t i = 0; i < reply->n_metadata; i++) {
        add_text(parts, reply->metadata[i]->name);
        add_text(parts, reply->metadata[i]->value);
    }
}

static void split_error(struct answer_parts *parts, const Poolgate__Worker__V1__Error *error) {
    parts->head.id = error->id;
    parts->head.kind = REPLY_RECORD_ERROR;
    parts->head.error = (uint8_t)error->kind;
    add_text(parts, error->message);
}

static enum ring_result put_in_ring(struct link *link, enum wire_type type, const void *message,
                                    const void *payload, size_t payload_bytes) {
    if (link->replies.head == NULL || payload_bytes >= BODY_MEMFD_BYTES) return RING_FULL;
    UNINITIALIZED struct answer_parts parts; /* only what is counted is read */
    parts.head = (struct reply_record_head){0};
    parts.count = 0;
    if (type == WIRE_REPLY)
        split_reply(&parts, message, payload_bytes);
    else
        split_error(&parts, message);
    return reply_record_write(&link->replies, &parts.head, parts.texts, parts.count, payload);
}

enum outcome link_answer(struct link *link, enum wire_type type,
                         const struct ProtobufCMessage *message, const void *payload,
                         size_t payload_bytes) {
    assert(type == WIRE_REPLY || type == WIRE_ERROR);
    enum ring_result result = put_in_ring(link, type, message, payload, payload_bytes);
    if (result == RING_OK_WAKE) ring_bell(link);
    if (result == RING_OK || result == RING_OK_WAKE) return OK;
    size_t memfd_bytes = link->replies.head != NULL ? LINK_COPIED_BYTES : BODY_MEMFD_BYTES;
    return send_frame(link, type, message, payload, payload_bytes, memfd_bytes);
}

enum outcome link_flush(struct link *link) {
    return write_frame(link, NULL, 0, -1);
}
