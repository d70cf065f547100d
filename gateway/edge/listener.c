#include "gateway/edge/listener.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 128
#define BACKOFF_MS       100
#define BACKLOG          4096 /* the kernel cuts it to net.core.somaxconn */

struct listener {
    struct listener_options options;
    int fd, spare; /* spare: a descriptor to give up when there are no more */
    uint16_t port;
    bool listening;
    bool shared; /* another process has it too */
    unsigned handles_open;
    uint64_t complained_ns;
    uv_poll_t poll;
    uv_timer_t backoff;
};

static void complain(struct listener *listener, int error) {
    uint64_t now_ns = clock_now_ns();
    if (listener->complained_ns != 0 && now_ns - listener->complained_ns < CLOCK_S) return;
    listener->complained_ns = now_ns;
    log_event(LOG_WARN, "accept failed", LOG_STR("error", strerror(error)));
}

/* --- accept --- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_backoff(uv_timer_t *timer) {
    struct listener *listener = timer->data;
    if (listener->spare < 0) listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listener->listening) uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

/* Out of descriptors: the spare one serves to tell the client so; then a pause instead of a spin. */
static void on_accept_failed(struct listener *listener, int error) {
    const char *answer = listener->options.answer_full;
    complain(listener, error);
    if (listener->spare >= 0 && (error == EMFILE || error == ENFILE)) {
        close(listener->spare);
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
            close(fd);
        }
        listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && listener->spare >= 0) return;
    }
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->backoff, on_backoff, BACKOFF_MS, 0);
}

static bool out_of_resources(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct listener *listener = poll->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->options.accepted(listener->options.owner, fd,
                                       (const struct sockaddr *)&address);
            continue;
        }
        if (errno == EAGAIN) return;
        if (!out_of_resources(errno)) continue; /* this one client failed, not accept */
        on_accept_failed(listener, errno);
        if (!uv_is_active((uv_handle_t *)poll)) return;
    }
}

/* --- life --- */

static bool make_address(const char *host, uint16_t port, struct sockaddr_storage *address,
                         socklen_t *bytes) {
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *bytes = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1) return false;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    *bytes = sizeof *six;
    return true;
}

int listener_bind(const char *host, uint16_t port) {
    struct sockaddr_storage address;
    socklen_t bytes;
    int on = 1;
    if (!make_address(host, port, &address, &bytes)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address, bytes) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) return 0;
    return address_of((const struct sockaddr *)&address).port;
}

static bool listens(int fd) {
    int listening = 0;
    socklen_t bytes = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening != 0;
}

/* False with errno. Accepted sockets inherit TCP_NODELAY on Linux. */
static bool listen_on(struct listener *listener) {
    const struct listener_options *options = &listener->options;
    int on = 1, inherited = options->inherited_fd;
    int fd = inherited > 0 ? inherited : listener_bind(options->host, options->port);
    if (fd < 0) return false;
    listener->shared = listens(fd);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && listen(fd, BACKLOG) == 0) {
        listener->fd = fd;
        listener->port = port_of(fd);
        return true;
    }
    int error = errno;
    if (inherited <= 0) close(fd);
    errno = error;
    return false;
}

enum outcome listener_open(struct listener **out, uv_loop_t *loop,
                           const struct listener_options *options) {
    *out = NULL;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) return MEMORY_EXHAUSTED;
    listener->options = *options;
    if (!listen_on(listener)) {
        free(listener);
        return INVALID_REQUEST;
    }
    listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listener->spare < 0 || uv_poll_init(loop, &listener->poll, listener->fd) != 0) {
        if (options->inherited_fd <= 0) close(listener->fd);
        if (listener->spare >= 0) close(listener->spare);
        free(listener);
        return MEMORY_EXHAUSTED;
    }
    uv_timer_init(loop, &listener->backoff);
    listener->poll.data = listener->backoff.data = listener;
    listener->handles_open = 2;
    listener->listening = true;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    *out = listener;
    return OK;
}

uint16_t listener_port(const struct listener *listener) {
    return listener->port;
}

void listener_stop(struct listener *listener) {
    if (!listener->listening) return;
    listener->listening = false;
    uv_poll_stop(&listener->poll);
    if (!listener->shared) shutdown(listener->fd, SHUT_RDWR);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct listener *listener = handle->data;
    if (--listener->handles_open > 0) return;
    close(listener->fd);
    if (listener->spare >= 0) close(listener->spare);
    free(listener);
}

void listener_close(struct listener *listener) {
    listener_stop(listener);
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->backoff, on_handle_closed);
}
