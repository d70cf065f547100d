#include "gateway/self_dial.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PERIOD_MS 5000
#define BOUND_NS  (2 * CLOCK_S)
#define FAILURES  3

enum dial { DIAL_ANSWERED, DIAL_DEAD, DIAL_UNKNOWN };
enum port { PORT_HTTP, PORT_GRPC, PORT_COUNT };

static const char *const port_names[] = {[PORT_HTTP] = "http", [PORT_GRPC] = "grpc"};

static const char http_question[] =
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/* The preface and an empty SETTINGS frame (RFC 9113, 3.4). */
static const char grpc_question[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static struct {
    bool open;
    struct sockaddr_storage targets[PORT_COUNT];
    bool tls[PORT_COUNT];
    int stop;
    pthread_t thread;
    _Atomic unsigned failures[PORT_COUNT];
    _Atomic uint64_t answered_ns;
    _Atomic unsigned own_port;    /* of the socket that dials right now; 0: none */
    _Atomic uint64_t own_host[2]; /* its address, by halves */
} dialer;

/* --- one dial --- */

/* Whether the socket became ready before the time was up. */
static bool await(int fd, short events, uint64_t until_ns) {
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= until_ns) return false;
        struct pollfd ready = {.fd = fd, .events = events};
        int count = poll(&ready, 1, (int)((until_ns - now_ns) / CLOCK_MS) + 1);
        if (count > 0) return true;
        if (count < 0 && errno != EINTR) return false;
    }
}

/* HTTP: a status line, whatever it says. gRPC: the head of a SETTINGS frame. */
static bool is_answer(enum port port, const char *bytes, size_t count) {
    if (dialer.tls[port]) return true;
    if (port == PORT_HTTP) return count >= 9 && memcmp(bytes, "HTTP/1.1 ", 9) == 0;
    return count >= 9 && bytes[3] == 4;
}

static enum dial hear(int fd, enum port port, uint64_t until_ns) {
    char bytes[64];
    size_t have = 0;
    while (have < 9) {
        if (!await(fd, POLLIN, until_ns)) return DIAL_DEAD;
        ssize_t count = recv(fd, bytes + have, sizeof bytes - have, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (dialer.tls[port]) return DIAL_ANSWERED;
        if (count <= 0) return DIAL_DEAD;
        have += (size_t)count;
    }
    return is_answer(port, bytes, have) ? DIAL_ANSWERED : DIAL_DEAD;
}

static socklen_t size_of(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* The edge is to know the connection when it accepts it, so where it comes from is said before. */
static bool announce(int fd, const struct sockaddr_storage *target) {
    struct sockaddr_storage own = *target;
    socklen_t bytes = sizeof own;
    struct sockaddr_in *four = (struct sockaddr_in *)&own;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&own;
    if (own.ss_family == AF_INET)
        four->sin_port = 0;
    else
        six->sin6_port = 0;
    if (bind(fd, (const struct sockaddr *)&own, size_of(&own)) != 0) return false;
    if (getsockname(fd, (struct sockaddr *)&own, &bytes) != 0) return false;
    const struct address address = address_of((const struct sockaddr *)&own);
    uint64_t host[2];
    memcpy(host, address.bytes, sizeof host);
    for (int half = 0; half < 2; half++) atomic_store(&dialer.own_host[half], host[half]);
    atomic_store(&dialer.own_port, address.port);
    return true;
}

static enum dial ask(int fd, enum port port, uint64_t until_ns) {
    const struct sockaddr_storage *target = &dialer.targets[port];
    if (connect(fd, (const struct sockaddr *)target, size_of(target)) != 0) {
        if (errno != EINPROGRESS) return DIAL_DEAD;
        int error = 0;
        socklen_t bytes = sizeof error;
        if (!await(fd, POLLOUT, until_ns)) return DIAL_DEAD;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0 || error != 0)
            return DIAL_DEAD;
    }
    const char *question = port == PORT_HTTP ? http_question : grpc_question;
    size_t bytes = port == PORT_HTTP ? sizeof http_question - 1 : sizeof grpc_question - 1;
    if (send(fd, question, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)bytes) return DIAL_DEAD;
    return hear(fd, port, until_ns);
}

static enum dial dial(enum port port) {
    const struct sockaddr_storage *target = &dialer.targets[port];
    int fd = socket(target->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return DIAL_UNKNOWN;
    enum dial result =
        announce(fd, target) ? ask(fd, port, clock_now_ns() + BOUND_NS) : DIAL_UNKNOWN;
    atomic_store(&dialer.own_port, 0);
    close(fd);
    return result;
}

/* --- the thread --- */

static void note(enum port port, enum dial result) {
    if (result == DIAL_UNKNOWN) return;
    if (result == DIAL_ANSWERED) {
        if (atomic_exchange(&dialer.failures[port], 0) >= FAILURES)
            log_event(LOG_INFO, "port answers again", LOG_STR("port", port_names[port]));
        return;
    }
    unsigned failures = atomic_fetch_add(&dialer.failures[port], 1) + 1;
    if (failures == FAILURES)
        log_event(LOG_ERROR, "port does not answer", LOG_STR("port", port_names[port]));
}

static void dial_all(void) {
    bool all = true;
    for (int port = 0; port < PORT_COUNT; port++) {
        enum dial result = dial((enum port)port);
        note((enum port)port, result);
        all = all && result == DIAL_ANSWERED;
    }
    if (all) atomic_store(&dialer.answered_ns, clock_now_ns());
}

static void *dialer_main(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "self-dial");
    struct pollfd stop = {.fd = dialer.stop, .events = POLLIN};
    do dial_all();
    while (poll(&stop, 1, PERIOD_MS) <= 0);
    return NULL;
}

/* --- life --- */

/* What listens everywhere is dialled on loopback. */
static void choose_target(enum port port, const struct self_dial_port *from) {
    static const uint8_t any[16] = {0};
    struct address address;
    struct sockaddr_storage *target = &dialer.targets[port];
    struct sockaddr_in *four = (struct sockaddr_in *)target;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)target;
    address_read(&address, from->address, strlen(from->address));
    memset(target, 0, sizeof *target);
    if (strchr(from->address, '[') == NULL) {
        four->sin_family = AF_INET;
        four->sin_port = htons(address.port);
        memcpy(&four->sin_addr, address.bytes + 12, 4);
        if (four->sin_addr.s_addr == INADDR_ANY) four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(address.port);
        memcpy(&six->sin6_addr, address.bytes, 16);
        if (memcmp(address.bytes, any, sizeof any) == 0) six->sin6_addr = in6addr_loopback;
    }
    dialer.tls[port] = from->tls;
    atomic_store(&dialer.failures[port], 0);
}

enum outcome self_dial_open(const struct self_dial_port *http, const struct self_dial_port *grpc) {
    choose_target(PORT_HTTP, http);
    choose_target(PORT_GRPC, grpc);
    atomic_store(&dialer.answered_ns, 0);
    dialer.stop = eventfd(0, EFD_CLOEXEC);
    if (dialer.stop < 0) return MEMORY_EXHAUSTED;
    if (pthread_create(&dialer.thread, NULL, dialer_main, NULL) != 0) {
        close(dialer.stop);
        return MEMORY_EXHAUSTED;
    }
    dialer.open = true;
    return OK;
}

void self_dial_close(void) {
    if (!dialer.open) return;
    dialer.open = false;
    (void)!write(dialer.stop, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(dialer.thread, NULL);
    close(dialer.stop);
    for (int port = 0; port < PORT_COUNT; port++) atomic_store(&dialer.failures[port], 0);
}

const char *self_dial_dead_port(void) {
    for (int port = 0; port < PORT_COUNT; port++)
        if (atomic_load(&dialer.failures[port]) >= FAILURES) return port_names[port];
    return NULL;
}

uint64_t self_dial_answered_ago_ns(uint64_t now_ns) {
    uint64_t answered_ns = atomic_load(&dialer.answered_ns);
    if (answered_ns == 0) return CLOCK_NEVER;
    return now_ns > answered_ns ? now_ns - answered_ns : 0;
}

bool self_dial_is_own(const struct address *peer) {
    unsigned port = atomic_load_explicit(&dialer.own_port, memory_order_relaxed);
    if (port == 0 || port != peer->port) return false;
    uint64_t host[2];
    memcpy(host, peer->bytes, sizeof host);
    return host[0] == atomic_load(&dialer.own_host[0]) &&
           host[1] == atomic_load(&dialer.own_host[1]);
}
