/* stream - the client's side of a connection: its socket, plain or with a TLS session on it.
 * thread: the loop's.
 * owns:   the session, never the socket.
 * fails:  like recv and send: -1 with errno; EAGAIN also when TLS has to turn the other way first, so a
 *         step that could not be made is tried again when the socket can do anything new. */
#ifndef GATEWAY_EDGE_STREAM_H
#define GATEWAY_EDGE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stream;
struct stream_kind {
    ssize_t (*receive)(struct stream *stream, void *bytes, size_t count);
    ssize_t (*send)(struct stream *stream, const void *bytes, size_t count);
    void (*goodbye)(struct stream *stream); /* no byte will be sent after it */
    void (*close)(struct stream *stream);   /* the session, not the socket */
    bool short_is_all; /* fewer bytes than there was room for: there were no more */
};

struct stream {
    const struct stream_kind *kind;
    int fd;
    void *session;
};

struct stream stream_plain(int fd);

static inline ssize_t stream_receive(struct stream *stream, void *bytes, size_t count) {
    return stream->kind->receive(stream, bytes, count);
}
static inline ssize_t stream_send(struct stream *stream, const void *bytes, size_t count) {
    return stream->kind->send(stream, bytes, count);
}

#endif
