#include "gateway/edge/stream_tls.h"

#include <errno.h>

static ssize_t result(enum tls_step step, size_t moved) {
    switch (step) {
    case TLS_DONE: return (ssize_t)moved;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE: errno = EAGAIN; return -1;
    case TLS_ENDED: return 0;
    case TLS_FAILED: break;
    }
    errno = ECONNABORTED;
    return -1;
}

static ssize_t receive_tls(struct stream *stream, void *bytes, size_t count) {
    size_t moved;
    enum tls_step step = tls_session_read(stream->session, bytes, count, &moved);
    return result(step, moved);
}

static ssize_t send_tls(struct stream *stream, const void *bytes, size_t count) {
    size_t moved;
    enum tls_step step = tls_session_write(stream->session, bytes, count, &moved);
    return result(step == TLS_ENDED ? TLS_FAILED : step, moved);
}

static void goodbye_tls(struct stream *stream) {
    tls_session_goodbye(stream->session);
}

static void close_tls(struct stream *stream) {
    tls_session_free(stream->session);
    stream->session = NULL;
}

static const struct stream_kind tls_kind = {
    .receive = receive_tls,
    .send = send_tls,
    .goodbye = goodbye_tls,
    .close = close_tls,
    .short_is_all = false,
};

bool stream_tls(struct stream *out, struct tls *tls, int fd) {
    *out = (struct stream){.fd = fd};
    struct tls_session *session = tls_session_new(tls, fd);
    if (session == NULL) return false;
    out->kind = &tls_kind;
    out->session = session;
    return true;
}

enum stream_tls_step stream_tls_handshake(struct stream *stream) {
    switch (tls_session_handshake(stream->session)) {
    case TLS_DONE: return STREAM_TLS_DONE;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE: return STREAM_TLS_WAITS;
    default: return STREAM_TLS_FAILED;
    }
}

const char *stream_tls_flaw(const struct stream *stream) {
    return tls_session_flaw(stream->session);
}

const char *stream_tls_detail(const struct stream *stream) {
    return tls_session_detail(stream->session);
}
