#include "gateway/command/lifetime.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/self_dial.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define OVERDUE_NS (5 * CLOCK_S) /* beyond the drain's bound: something hangs */
#define REPLIES_NS CLOCK_S       /* at least so long for the last replies to leave */

static sigset_t handled(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return set;
}

void lifetime_block_signals(void) {
    sigset_t set = handled();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

struct lifetime {
    int signals, drained;
    struct reconfigure *reconfigure; /* NULL once it is too late */
    struct certificates *certificates;
    struct herald *herald; /* NULL: nobody is to hear of it */
    struct access *access;
    bool ends, said_late, hung_up;
    unsigned signals_seen;
    bool skip_grace, is_drained;
};

/* What a worker leaves behind becomes a child of process 1 (or of a subreaper, prctl(2)), which is us in
 * a container. Such children hang on this thread, the process's first. Workers hang on the spawner's,
 * and __WNOTHREAD leaves them alone: how they ended is for the pool's loop to see. */
static void reap_adopted(void) {
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WNOTHREAD) == 0 && info.si_pid != 0) {
        log_event(LOG_DEBUG, "reaped", LOG_INT("pid", info.si_pid));
        info.si_pid = 0;
    }
}

static void on_hangup(struct lifetime *life) {
    life->hung_up = true;
    if (!life->ends && life->reconfigure != NULL) {
        reconfigure_ask(life->reconfigure);
        herald_reloading(life->herald);
    } else if (!life->said_late) {
        life->said_late = true;
        log_event(LOG_WARN, "reload_ignored", LOG_STR("why", "the gateway is ending"));
    }
}

static void on_signal(struct lifetime *life) {
    struct signalfd_siginfo info;
    if (read(life->signals, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGCHLD) {
        reap_adopted();
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        on_hangup(life);
        return;
    }
    life->signals_seen++;
    log_event(LOG_INFO, "signal",
              LOG_STR("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"),
              LOG_UINT("count", life->signals_seen));
    if (info.ssi_signo == SIGINT || life->signals_seen > 1) life->skip_grace = true;
    if (life->signals_seen >= 3) _exit(EXIT_FAILURE);
}

/* Waits for a signal or the end of the drain, at most until the given time. */
static void wait_until(struct lifetime *life, uint64_t until_ns) {
    int reloaded = life->reconfigure != NULL ? reconfigure_fd(life->reconfigure) : -1;
    struct pollfd fds[] = {{.fd = life->signals, .events = POLLIN},
                           {.fd = life->drained, .events = POLLIN},
                           {.fd = reloaded, .events = POLLIN}};
    int wait_ms = access_has_keys(life->access) ? (int)(ACCESS_LOOK_NS / CLOCK_MS) : -1;
    uint64_t herald_ns = life->herald != NULL ? herald_due_ns(life->herald) : CLOCK_NEVER;
    if (herald_ns < until_ns) until_ns = herald_ns;
    if (until_ns != CLOCK_NEVER) {
        uint64_t now_ns = clock_now_ns();
        uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / CLOCK_MS + 1 : 0;
        wait_ms = left_ms < 1000 ? (int)left_ms : 1000;
    }
    if (poll(fds, 3, wait_ms) < 0) {
        assert(errno == EINTR);
        return;
    }
    if (fds[0].revents != 0) on_signal(life);
    if (fds[2].revents != 0) reconfigure_conclude(life->reconfigure);
    uint64_t drains;
    if (fds[1].revents != 0 && read(life->drained, &drains, sizeof drains) == sizeof drains)
        life->is_drained = true;
    if (life->herald != NULL) herald_attend(life->herald, clock_now_ns());
}

/* On the pool's loop. */
static void on_drained(void *owner) {
    const struct lifetime *life = owner;
    ssize_t written = write(life->drained, &(uint64_t){1}, sizeof(uint64_t));
    assert(written == sizeof(uint64_t));
}

static void lifetime_open(struct lifetime *life) {
    sigset_t set = handled();
    *life = (struct lifetime){.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                              .drained = eventfd(0, EFD_CLOEXEC)};
    assert(life->signals >= 0 && life->drained >= 0);
}

static void lifetime_close(struct lifetime *life) {
    close(life->signals);
    close(life->drained);
}

static void drain(struct lifetime *life, struct gate *gate, uint64_t until_ns) {
    uint64_t now_ns = clock_now_ns();
    gate_drain(gate, until_ns > now_ns ? until_ns - now_ns : 0, on_drained, life);
    while (!life->is_drained) {
        wait_until(life, clock_add(until_ns, OVERDUE_NS));
        if (clock_now_ns() < clock_add(until_ns, OVERDUE_NS)) continue;
        log_event(LOG_ALERT, "the drain hangs");
        log_close();
        _exit(EXIT_FAILURE);
    }
}

void lifetime_drain(struct gate *gate, uint64_t timeout_ns) {
    struct lifetime life;
    lifetime_open(&life);
    drain(&life, gate, clock_add(clock_now_ns(), timeout_ns));
    lifetime_close(&life);
}

/* For the last replies of one front end. */
static uint64_t time_for_replies(uint64_t until_ns) {
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    return left_ns > REPLIES_NS ? left_ns : REPLIES_NS;
}

static void tend(struct lifetime *life) {
    uint64_t now_ns = clock_now_ns();
    certificates_tend(life->certificates, now_ns, life->hung_up);
    access_tend(life->access, now_ns, life->hung_up);
    life->hung_up = false;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

static void serve_until_signal(struct lifetime *life) {
    while (life->signals_seen == 0) {
        wait_until(life, earlier(reconfigure_due_ns(life->reconfigure),
                                 certificates_due_ns(life->certificates)));
        tend(life);
        if (life->signals_seen == 0) reconfigure_run(life->reconfigure, clock_now_ns());
        if (!reconfigure_is_busy(life->reconfigure)) herald_reloaded(life->herald);
    }
    life->ends = true;
}

void lifetime_run(const struct lifetime_parts *parts) {
    struct gate *gate = parts->gate;
    struct http_server *http = parts->http;
    struct rpc_server *rpc = parts->rpc;
    struct reconfigure *reconfigure = parts->reconfigure;
    struct lifetime life;
    lifetime_open(&life);
    life.reconfigure = reconfigure;
    life.certificates = parts->certificates;
    life.access = parts->access;
    life.herald = parts->herald;
    herald_begin(parts->herald, gate);
    serve_until_signal(&life);
    herald_stopping(parts->herald);
    uint64_t grace_ns = reconfigure_grace_ns(reconfigure);
    uint64_t timeout_ns = reconfigure_timeout_ns(reconfigure);
    uint64_t began_ns = clock_now_ns(), until_ns = clock_add(began_ns, timeout_ns);
    uint64_t grace_until_ns = clock_add(began_ns, grace_ns < timeout_ns ? grace_ns : timeout_ns);
    self_dial_close();
    http_server_drain(http);
    rpc_server_drain(rpc);
    log_event(LOG_INFO, "not ready", LOG_UINT("grace_ms", grace_ns / CLOCK_MS));
    while (!life.skip_grace && clock_now_ns() < grace_until_ns) {
        wait_until(&life, earlier(grace_until_ns, certificates_due_ns(life.certificates)));
        tend(&life);
    }
    log_event(LOG_INFO, "draining");
    drain(&life, gate, until_ns);
    rpc_server_close(rpc, time_for_replies(until_ns));
    http_server_close(http, time_for_replies(until_ns));
    lifetime_close(&life);
}
