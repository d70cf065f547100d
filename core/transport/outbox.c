#include "core/transport/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FLUSH_BYTES ((size_t)64 * 1024)
#define FLUSH_PARTS 16

struct outbox_frame {
    struct outbox_frame *next;
    uint8_t *head;
    size_t head_bytes, total_bytes, sent; /* total: head and what is streamed behind it */
    struct body *body;
    bool passes_memfd; /* the descriptor goes with the head's first byte */
};

void outbox_init(struct outbox *outbox) {
    outbox->first = NULL;
    outbox->last = &outbox->first;
}

bool outbox_empty(const struct outbox *outbox) {
    return outbox->first == NULL;
}

static void remove_first(struct outbox *outbox) {
    struct outbox_frame *frame = outbox->first;
    outbox->first = frame->next;
    if (outbox->first == NULL) outbox->last = &outbox->first;
    body_unref(frame->body);
    free(frame->head);
    free(frame);
}

void outbox_clear(struct outbox *outbox) {
    while (outbox->first != NULL) remove_first(outbox);
}

enum outcome outbox_add(struct outbox *outbox, uint8_t *head, size_t head_bytes, struct body *body,
                        enum outbox_payload how) {
    struct outbox_frame *frame = calloc(1, sizeof *frame);
    bool streams = body != NULL && how == OUTBOX_STREAM && body->bytes > 0;
    if (frame == NULL || (streams && body_data(body) == NULL)) {
        free(frame);
        free(head);
        return MEMORY_EXHAUSTED;
    }
    frame->head = head;
    frame->head_bytes = head_bytes;
    frame->total_bytes = head_bytes + (streams ? body->bytes : 0);
    frame->body = body != NULL ? body_ref(body) : NULL;
    frame->passes_memfd = how == OUTBOX_MEMFD;
    *outbox->last = frame;
    outbox->last = &frame->next;
    return OK;
}

/* Describes what is left of the frame, at most room bytes of it; returns how many parts. */
static int describe(const struct outbox_frame *frame, size_t room, struct iovec parts[2]) {
    int count = 0;
    if (frame->sent < frame->head_bytes) {
        parts[count++] = (struct iovec){.iov_base = frame->head + frame->sent,
                                        .iov_len = frame->head_bytes - frame->sent};
        room = room > parts[0].iov_len ? room - parts[0].iov_len : 0;
    }
    size_t done = frame->sent > frame->head_bytes ? frame->sent - frame->head_bytes : 0;
    size_t left = frame->total_bytes - frame->head_bytes - done;
    if (left > room) left = room;
    if (left > 0)
        parts[count++] = (struct iovec){.iov_base = frame->body->data + done, .iov_len = left};
    return count;
}

static ssize_t write_parts(int socket, struct iovec *parts, int count, int descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t written;
    do written = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (written < 0 && errno == EINTR);
    return written;
}

/* Frames that stream can share one call; one that passes a descriptor goes in a call of its own. */
static int gather(const struct outbox *outbox, struct iovec parts[FLUSH_PARTS], int *descriptor) {
    int count = 0;
    size_t room = FLUSH_BYTES;
    *descriptor = -1;
    for (const struct outbox_frame *frame = outbox->first;
         frame != NULL && count + 2 <= FLUSH_PARTS && room > 0; frame = frame->next) {
        bool first_byte = frame->sent == 0 && frame->passes_memfd;
        if (first_byte && count > 0) break;
        int added = describe(frame, room, parts + count);
        for (int i = count; i < count + added; i++)
            room = room > parts[i].iov_len ? room - parts[i].iov_len : 0;
        count += added;
        if (first_byte) {
            *descriptor = frame->body->memfd;
            break;
        }
    }
    return count;
}

static void advance(struct outbox *outbox, size_t written) {
    while (written > 0) {
        struct outbox_frame *frame = outbox->first;
        size_t left = frame->total_bytes - frame->sent;
        if (written < left) {
            frame->sent += written;
            return;
        }
        written -= left;
        remove_first(outbox);
    }
}

bool outbox_flush(struct outbox *outbox, int socket) {
    size_t done = 0;
    while (outbox->first != NULL && done < FLUSH_BYTES) {
        struct iovec parts[FLUSH_PARTS];
        int descriptor;
        int count = gather(outbox, parts, &descriptor);
        ssize_t written = write_parts(socket, parts, count, descriptor);
        if (written < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
        done += (size_t)written;
        advance(outbox, (size_t)written);
    }
    return true;
}
