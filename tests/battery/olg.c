/* olg PORT CONNECTIONS <PLAN >LEDGER - open-loop load on an HTTP gateway of this machine: every request goes out
 * when its plan says, however many are still unanswered, and its time counts from then.
 *
 * thread: one, with one epoll.
 * owns:   CONNECTIONS are opened before the first request; more as they are needed, all of them kept alive.
 * fails:  exits with 1 and a line on stderr when it cannot do what the plan says.
 *
 * PLAN, sorted by time, a line per request, words apart by one space, `-` for none:
 *   AT_US ID POOL TENANT PRIORITY OPERATION TIMEOUT_MS GIVE_UP_MS RETRIES
 * The body is the ID, and an echo of it is what a good answer has to be. After GIVE_UP_MS the client closes its
 * connection. RETRIES: 429, 503 and 504 are tried again after 50 ms, doubling, plus or minus a half.
 * LEDGER: a line with the beginning in nanoseconds of CLOCK_MONOTONIC, then a line per request:
 *   ID AT_US SENT_US DONE_US STATUS CODE ATTEMPTS TRIES
 * SENT_US is that of the first try. STATUS 0: gave up, -1: the connection broke, -2: the answer of another. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_US      INT64_C(1000)
#define NS_PER_MS      INT64_C(1000000)
#define NS_PER_SECOND  INT64_C(1000000000)
#define REQUEST_BYTES  1024
#define REPLY_BYTES    8192
#define WORD_BYTES     48
#define EVENTS         256
#define CONNECTED_MOST 60000
#define RETRY_NS       (50 * NS_PER_MS)
#define GAVE_UP        0
#define BROKEN         (-1)
#define FOREIGN        (-2)

struct call {
    char id[WORD_BYTES], pool[WORD_BYTES], tenant[WORD_BYTES], priority[WORD_BYTES],
        operation[WORD_BYTES], timeout[WORD_BYTES], code[WORD_BYTES];
    int64_t at_ns, sent_ns, done_ns, give_up_ns;
    struct connection *connection;
    int status, attempts, tries, retries;
};

struct connection {
    int fd;
    bool connecting;
    struct call *call; /* NULL: idle */
    struct connection *next;
    size_t out_bytes, out_sent, in_bytes;
    char out[REQUEST_BYTES], in[REPLY_BYTES];
};

enum due { SEND, GIVE_UP };

struct timer {
    int64_t at_ns;
    enum due due;
    int try;
    struct call *call;
};

static struct {
    int epoll;
    struct sockaddr_in address;
    struct call *calls;
    size_t calls_count, open_calls;
    struct timer *timers; /* a binary heap */
    size_t timers_count, timers_room;
    struct connection *idle, *closed;
    int connected;
    int64_t began_ns;
    uint64_t random;
} olg = {.random = 88172645463325252};

_Noreturn static void give_in(const char *why) {
    fprintf(stderr, "olg: %s: %s\n", why, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* Marsaglia 2003, xorshift64: 0.5 to 1.5. */
static double jitter(void) {
    olg.random ^= olg.random << 13;
    olg.random ^= olg.random >> 7;
    olg.random ^= olg.random << 17;
    return 0.5 + (double)(olg.random >> 11) * 0x1p-53;
}

/* ---- timers ---- */

static void swap(size_t a, size_t b) {
    struct timer kept = olg.timers[a];
    olg.timers[a] = olg.timers[b];
    olg.timers[b] = kept;
}

static void timer_add(struct timer timer) {
    if (olg.timers_count == olg.timers_room) {
        olg.timers_room = olg.timers_room * 2 + 1024;
        olg.timers = realloc(olg.timers, olg.timers_room * sizeof timer);
        if (olg.timers == NULL) give_in("timers");
    }
    size_t at = olg.timers_count++;
    olg.timers[at] = timer;
    for (; at > 0 && olg.timers[(at - 1) / 2].at_ns > timer.at_ns; at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static struct timer timer_take(void) {
    struct timer first = olg.timers[0];
    olg.timers[0] = olg.timers[--olg.timers_count];
    for (size_t at = 0, least;; at = least) {
        least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < olg.timers_count; child++)
            if (olg.timers[child].at_ns < olg.timers[least].at_ns) least = child;
        if (least == at) return first;
        swap(at, least);
    }
}

/* ---- connections ---- */

static struct connection *connection_open(void) {
    if (++olg.connected > CONNECTED_MOST) give_in("more connections than a client has ports");
    struct connection *connection = calloc(1, sizeof *connection);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (connection == NULL || fd < 0) give_in("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *connection = (struct connection){.fd = fd, .connecting = true};
    if (connect(fd, (struct sockaddr *)&olg.address, sizeof olg.address) != 0 &&
        errno != EINPROGRESS)
        give_in("connect");
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(olg.epoll, EPOLL_CTL_ADD, fd, &interest) != 0) give_in("epoll_ctl");
    return connection;
}

/* An event of this round may still name it, so its memory stays until the round is over. */
static void connection_bury(struct connection *connection) {
    connection->next = olg.closed;
    olg.closed = connection;
}

static void connections_free(void) {
    while (olg.closed != NULL) {
        struct connection *connection = olg.closed;
        olg.closed = connection->next;
        free(connection);
    }
}

/* One that is idle is buried when it is taken from the list of those. */
static void connection_close(struct connection *connection) {
    if (connection->fd < 0) return;
    close(connection->fd);
    connection->fd = -1;
    olg.connected--;
    if (connection->call != NULL) connection_bury(connection);
}

static struct connection *connection_take(void) {
    while (olg.idle != NULL) {
        struct connection *connection = olg.idle;
        olg.idle = connection->next;
        if (connection->fd >= 0) return connection;
        connection_bury(connection);
    }
    return connection_open();
}

static void connection_give_back(struct connection *connection) {
    connection->call = NULL;
    connection->in_bytes = connection->out_bytes = connection->out_sent = 0;
    connection->next = olg.idle;
    olg.idle = connection;
}

/* ---- calls ---- */

static bool tried_again(struct call *call, int64_t now) {
    bool refused = call->status == 429 || call->status == 503 || call->status == 504;
    if (!refused || call->tries > call->retries) return false;
    int64_t pause = (int64_t)((double)(RETRY_NS << (call->tries - 1)) * jitter());
    timer_add((struct timer){.at_ns = now + pause, .due = SEND, .call = call});
    return true;
}

static void call_end(struct call *call, int status) {
    int64_t now = now_ns();
    call->status = status;
    call->connection = NULL;
    if (tried_again(call, now)) return;
    call->done_ns = now;
    olg.open_calls--;
}

static void write_out(struct connection *connection) {
    while (connection->out_sent < connection->out_bytes) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
                            connection->out_bytes - connection->out_sent, MSG_NOSIGNAL);
        if (sent < 0) return; /* EAGAIN; anything else is seen by read_in */
        connection->out_sent += (size_t)sent;
    }
}

static size_t header(char *out, size_t used, const char *name, const char *value) {
    if (strcmp(value, "-") == 0) return used;
    int bytes = snprintf(out + used, REQUEST_BYTES - used, "%s: %s\r\n", name, value);
    assert(bytes > 0 && (size_t)bytes < REQUEST_BYTES - used);
    return used + (size_t)bytes;
}

static void call_send(struct call *call) {
    struct connection *connection = connection_take();
    call->connection = connection;
    connection->call = call;
    call->tries++;
    if (call->tries == 1) call->sent_ns = now_ns();
    if (call->give_up_ns > 0)
        timer_add((struct timer){.at_ns = now_ns() + call->give_up_ns,
                                 .due = GIVE_UP,
                                 .try = call->tries,
                                 .call = call});
    int bytes = snprintf(connection->out, REQUEST_BYTES,
                         "POST /v1/pools/%s/invoke HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Type: text/plain\r\nContent-Length: %zu\r\n",
                         call->pool, strlen(call->id));
    size_t used = header(connection->out, (size_t)bytes, "X-Request-Id", call->id);
    used = header(connection->out, used, "Poolgate-Tenant", call->tenant);
    used = header(connection->out, used, "Poolgate-Priority", call->priority);
    used = header(connection->out, used, "Poolgate-Operation", call->operation);
    used = header(connection->out, used, "Poolgate-Timeout-Ms", call->timeout);
    bytes = snprintf(connection->out + used, REQUEST_BYTES - used, "\r\n%s", call->id);
    connection->out_bytes = used + (size_t)bytes;
    if (!connection->connecting) write_out(connection);
}

static const char *header_value(const char *head, const char *name) {
    size_t bytes = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, bytes) == 0 && line[bytes] == ':')
            return line + bytes + 1 + strspn(line + bytes + 1, " ");
    }
    return NULL;
}

static void read_code(struct call *call, int status, const char *body) {
    const char *code = strstr(body, "\"code\"");
    snprintf(call->code, sizeof call->code, "%s", status == 200 ? "ok" : "?");
    if (status == 200 || code == NULL) return;
    code += strlen("\"code\"");
    code += strspn(code, ": \"");
    snprintf(call->code, sizeof call->code, "%.*s", (int)strcspn(code, "\""), code);
}

/* True once the whole reply is there; then the call has ended. */
static bool reply_read(struct connection *connection) {
    connection->in[connection->in_bytes] = '\0';
    char *end = strstr(connection->in, "\r\n\r\n");
    if (end == NULL) return false;
    *end = '\0';
    const char *length = header_value(connection->in, "Content-Length");
    const char *attempts = header_value(connection->in, "Poolgate-Attempts");
    size_t bytes = length != NULL ? strtoul(length, NULL, 10) : 0;
    const char *body = end + 4, *last = header_value(connection->in, "Connection");
    bool whole = (size_t)(connection->in + connection->in_bytes - body) >= bytes;
    if (whole) {
        struct call *call = connection->call;
        int status = (int)strtol(connection->in + strlen("HTTP/1.1 "), NULL, 10);
        call->attempts = attempts != NULL ? (int)strtol(attempts, NULL, 10) : 0;
        read_code(call, status, body);
        bool own = bytes == strlen(call->id) && memcmp(body, call->id, bytes) == 0;
        call_end(call, status == 200 && !own ? FOREIGN : status);
        if (last != NULL && strncasecmp(last, "close", 5) == 0)
            connection_close(connection);
        else
            connection_give_back(connection);
    }
    *end = '\r';
    return whole;
}

static void connection_lost(struct connection *connection) {
    struct call *call = connection->call;
    connection_close(connection);
    if (call != NULL) call_end(call, BROKEN);
}

static void read_in(struct connection *connection) {
    while (connection->fd >= 0) {
        size_t room = REPLY_BYTES - 1 - connection->in_bytes;
        ssize_t bytes = recv(connection->fd, connection->in + connection->in_bytes, room, 0);
        if (bytes < 0 && errno == EAGAIN) return;
        if (bytes <= 0 || connection->call == NULL) {
            connection_lost(connection);
            return;
        }
        connection->in_bytes += (size_t)bytes;
        if (reply_read(connection)) return;
    }
}

static void on_event(struct connection *connection, uint32_t events) {
    if (connection->fd < 0) return;
    if ((events & EPOLLOUT) != 0) {
        connection->connecting = false;
        write_out(connection);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_in(connection);
}

static void on_timer(struct timer timer) {
    struct call *call = timer.call;
    if (timer.due == SEND) {
        call_send(call);
    } else if (call->connection != NULL && call->tries == timer.try) {
        connection_close(call->connection);
        snprintf(call->code, sizeof call->code, "gave_up");
        call_end(call, GAVE_UP);
    }
}

static void run(void) {
    struct epoll_event events[EVENTS];
    while (olg.open_calls > 0) {
        int64_t now = now_ns();
        for (; olg.timers_count > 0 && olg.timers[0].at_ns <= now; now = now_ns())
            on_timer(timer_take());
        int64_t wait = olg.timers_count > 0 ? olg.timers[0].at_ns - now : NS_PER_SECOND;
        struct timespec timeout = {.tv_sec = wait / NS_PER_SECOND, .tv_nsec = wait % NS_PER_SECOND};
        int count = epoll_pwait2(olg.epoll, events, EVENTS, &timeout, NULL);
        if (count < 0 && errno != EINTR) give_in("epoll_pwait2");
        for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
        connections_free();
    }
}

/* ---- plan and ledger ---- */

static void read_plan(void) {
    size_t room = 0;
    char line[512];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (olg.calls_count == room) {
            room = room * 2 + 1024;
            olg.calls = realloc(olg.calls, room * sizeof *olg.calls);
            if (olg.calls == NULL) give_in("plan");
        }
        struct call *call = &olg.calls[olg.calls_count++];
        *call = (struct call){.code = "broken"};
        long long at_us, give_up_ms;
        if (sscanf(line, "%lld %47s %47s %47s %47s %47s %47s %lld %d", &at_us, call->id, call->pool,
                   call->tenant, call->priority, call->operation, call->timeout, &give_up_ms,
                   &call->retries) != 9)
            give_in("a line of the plan cannot be read");
        call->at_ns = at_us * NS_PER_US;
        call->give_up_ns = give_up_ms * NS_PER_MS;
    }
}

static void plan(void) {
    olg.began_ns = now_ns() + 20 * NS_PER_MS;
    for (size_t i = 0; i < olg.calls_count; i++)
        timer_add((struct timer){
            .at_ns = olg.began_ns + olg.calls[i].at_ns, .due = SEND, .call = &olg.calls[i]});
    olg.open_calls = olg.calls_count;
}

static void open_first(int count) {
    for (int i = 0; i < count; i++) connection_give_back(connection_open());
    struct epoll_event events[EVENTS];
    for (int got = 1; got > 0;) {
        got = epoll_wait(olg.epoll, events, EVENTS, 200);
        for (int i = 0; i < got; i++) on_event(events[i].data.ptr, events[i].events);
    }
}

static void write_ledger(void) {
    printf("%lld\n", (long long)olg.began_ns);
    for (size_t i = 0; i < olg.calls_count; i++) {
        const struct call *call = &olg.calls[i];
        printf("%s %lld %lld %lld %d %s %d %d\n", call->id, (long long)(call->at_ns / NS_PER_US),
               (long long)((call->sent_ns - olg.began_ns) / NS_PER_US),
               (long long)((call->done_ns - olg.began_ns) / NS_PER_US), call->status, call->code,
               call->attempts, call->tries);
    }
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: olg PORT CONNECTIONS <PLAN >LEDGER\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    olg.address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)strtoul(words[1], NULL, 10)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    olg.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (olg.epoll < 0) give_in("epoll_create1");
    read_plan();
    open_first((int)strtol(words[2], NULL, 10));
    plan();
    run();
    write_ledger();
    return 0;
}
