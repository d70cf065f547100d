#include "core/watchdog.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/symbol.h"

#include <assert.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define LOOPS_MOST    16
#define LOOK_NS       (100 * CLOCK_MS)
#define TRACE_WAIT_NS (200 * CLOCK_MS) /* then the thread is somewhere where it takes no signal */
#define FRAMES_MOST   24
#define FRAMES_TOLD   12
#define TRACE_SIGNAL  SIGURG /* ignored where nobody handles it: one that comes late does no harm */

/* One loop. Under the lock, but for its stamp and stuck_ns. */
struct place {
    struct watchdog_loop loop; /* first: the handle is the place */
    const char *name;          /* NULL: free */
    pid_t thread;
    uint64_t stamp;            /* as it was at the last look */
    uint64_t since_ns;         /* no progress since */
    _Atomic uint64_t stuck_ns; /* the same once it is a stall; 0: it is none */
};

static struct {
    pthread_mutex_t lock; /* held for a look, with the backtrace of a loop that is stuck */
    pthread_cond_t stop;
    pthread_t thread;
    bool running, stopping;
    struct place places[LOOPS_MOST];
    struct watchdog_loop nobody;
} watchdog = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- where a thread is ----------------------------------------------------------------------------- */

enum trace_state { TRACE_NONE, TRACE_ASKED, TRACE_RUNNING, TRACE_TAKEN };

/* Written by the signal's handler on the thread that was asked. */
static struct {
    _Atomic int state;
    _Atomic pid_t thread;
    void *frames[FRAMES_MOST];
    int count;
    void *interrupted; /* where the signal came; NULL: this machine does not tell */
} trace;

static void *interrupted_at(const ucontext_t *context) {
#if defined(__x86_64__)
    return (void *)(uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)(uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

/* Only what is safe in a signal's handler: backtrace() was called before, so it loads nothing now. */
static void on_trace_signal(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    int error = errno, asked = TRACE_ASKED;
    if (atomic_load(&trace.thread) == gettid() &&
        atomic_compare_exchange_strong(&trace.state, &asked, TRACE_RUNNING)) {
        trace.count = backtrace(trace.frames, FRAMES_MOST);
        trace.interrupted = interrupted_at(context);
        atomic_store(&trace.state, TRACE_TAKEN);
    }
    errno = error;
}

static bool take_trace(pid_t thread) {
    atomic_store(&trace.thread, thread);
    atomic_store(&trace.state, TRACE_ASKED);
    if (syscall(SYS_tgkill, getpid(), thread, TRACE_SIGNAL) == 0) {
        uint64_t until_ns = clock_now_ns() + TRACE_WAIT_NS;
        while (atomic_load(&trace.state) != TRACE_TAKEN && clock_now_ns() < until_ns)
            nanosleep(&(struct timespec){.tv_nsec = (long)CLOCK_MS}, NULL);
    }
    int asked = TRACE_ASKED;
    if (atomic_compare_exchange_strong(&trace.state, &asked, TRACE_NONE)) return false;
    while (atomic_load(&trace.state) != TRACE_TAKEN) sched_yield();
    return true;
}

/* The innermost first: "spin+0x1c < run+0x2e < …", without the handler's own frames. */
static void describe_trace(char *text, size_t bytes) {
    int first = 0, length = 0;
    for (int i = 0; i < trace.count; i++)
        if (trace.frames[i] == trace.interrupted) first = i;
    int last = first + FRAMES_TOLD < trace.count ? first + FRAMES_TOLD : trace.count;
    for (int i = first; i < last && (size_t)length < bytes; i++) {
        char name[SYMBOL_BYTES];
        /* A caller's address is behind its call, perhaps already in the next function. */
        symbol_text((const char *)trace.frames[i] - (i > first), name);
        length +=
            snprintf(text + length, bytes - (size_t)length, "%s%s", i > first ? " < " : "", name);
    }
}

static void report_stall(const struct place *place, uint64_t for_ns) {
    char text[FRAMES_TOLD * (SYMBOL_BYTES + 3)];
    snprintf(text, sizeof text, "unknown: the thread takes no signal");
    if (take_trace(place->thread)) describe_trace(text, sizeof text);
    log_event(LOG_ERROR, "loop stalled", LOG_STR("loop", place->name),
              LOG_UINT("for_ms", for_ns / CLOCK_MS), LOG_STR("at", text));
}

/* --- looking --------------------------------------------------------------------------------------- */

/* A file about one of our threads; false where it may not be read or is empty. */
static bool read_of_thread(pid_t thread, const char *name, char *text, size_t bytes) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)thread, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t count = read(fd, text, bytes - 1);
    close(fd);
    text[count > 0 ? count : 0] = '\0';
    return count > 0;
}

/* By the name of the function of the kernel that it sleeps in; "0" when it runs, or when the kernel keeps
 * no names. */
static bool sleeps_in_epoll(pid_t thread) {
    char text[512];
    if (!read_of_thread(thread, "wchan", text, sizeof text)) return true;
    if (strcmp(text, "0") != 0)
        return strstr(text, "epoll") != NULL || strncmp(text, "ep_", 3) == 0;
    if (!read_of_thread(thread, "stat", text, sizeof text)) return true;
    const char *state = strrchr(text, ')');
    return state == NULL || strncmp(state, ") R", 3) != 0;
}

/* Whether the thread waits in epoll. Where the kernel does not tell, it is believed to. A process that is
 * not dumpable may not read its own system calls, unless it is root's. */
static bool waits_in_epoll(pid_t thread) {
    char text[32];
    if (!read_of_thread(thread, "syscall", text, sizeof text)) return sleeps_in_epoll(thread);
    if (text[0] < '0' || text[0] > '9') return false; /* "running" */
    long number = strtol(text, NULL, 10);
#ifdef SYS_epoll_wait
    if (number == SYS_epoll_wait) return true;
#endif
    return number == SYS_epoll_pwait;
}

/* Notes progress. Afterwards since_ns is when it last made some. */
static void look_at(struct place *place, uint64_t now_ns) {
    uint64_t stamp = atomic_load_explicit(&place->loop.stamp, memory_order_relaxed);
    bool asleep = (stamp & 1) != 0;
    if (stamp != place->stamp) {
        place->stamp = stamp;
        place->since_ns = stamp >> 1;
    } else if (asleep && waits_in_epoll(place->thread)) {
        place->since_ns = now_ns;
    }
}

static void judge(struct place *place, uint64_t now_ns) {
    uint64_t stuck_ns = atomic_load(&place->stuck_ns), since_ns = place->since_ns;
    if (stuck_ns != 0 && since_ns != stuck_ns) {
        log_event(LOG_WARN, "loop runs again", LOG_STR("loop", place->name),
                  LOG_UINT("stalled_ms", (since_ns - stuck_ns) / CLOCK_MS));
        atomic_store(&place->stuck_ns, 0);
        stuck_ns = 0;
    }
    if (stuck_ns != 0 || now_ns < since_ns + WATCHDOG_STALL_NS) return;
    atomic_store(&place->stuck_ns, since_ns);
    report_stall(place, now_ns - since_ns);
}

/* Under the lock. */
static void look_around(void) {
    for (size_t i = 0; i < LOOPS_MOST; i++) {
        struct place *place = &watchdog.places[i];
        if (place->name == NULL) continue;
        uint64_t now_ns = clock_now_ns();
        look_at(place, now_ns);
        judge(place, now_ns);
    }
}

/* Under the lock, which is free meanwhile. */
static void rest(void) {
    uint64_t until_ns = clock_now_ns() + LOOK_NS;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_S),
                                   .tv_nsec = (long)(until_ns % CLOCK_S)};
    int error = 0;
    while (!watchdog.stopping && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&watchdog.stop, &watchdog.lock, &until);
}

static void *watch(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "watchdog");
    pthread_mutex_lock(&watchdog.lock);
    while (!watchdog.stopping) {
        look_around();
        rest();
    }
    pthread_mutex_unlock(&watchdog.lock);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------ */

static void handle_signal(bool whether) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    if (whether) {
        action.sa_sigaction = on_trace_signal;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
    }
    int failed = sigaction(TRACE_SIGNAL, &action, NULL);
    assert(failed == 0);
}

enum outcome watchdog_open(void) {
    assert(!watchdog.running);
    void *frame;
    (void)backtrace(&frame, 1); /* the first call loads a library, which a handler may not */
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog.stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    handle_signal(true);
    watchdog.stopping = false;
    watchdog.running = pthread_create(&watchdog.thread, NULL, watch, NULL) == 0;
    return watchdog.running ? OK : MEMORY_EXHAUSTED;
}

void watchdog_close(void) {
    if (!watchdog.running) return;
    pthread_mutex_lock(&watchdog.lock);
    watchdog.stopping = true;
    pthread_cond_signal(&watchdog.stop);
    pthread_mutex_unlock(&watchdog.lock);
    pthread_join(watchdog.thread, NULL);
    pthread_cond_destroy(&watchdog.stop);
    handle_signal(false);
    watchdog.running = false;
}

static void take_trace_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, TRACE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

struct watchdog_loop *watchdog_watch(const char *name) {
    struct watchdog_loop *loop = &watchdog.nobody;
    take_trace_signals();
    pthread_mutex_lock(&watchdog.lock);
    for (size_t i = 0; i < LOOPS_MOST && loop == &watchdog.nobody; i++) {
        struct place *place = &watchdog.places[i];
        if (place->name != NULL) continue;
        loop = &place->loop;
        watchdog_enter(loop, clock_now_ns());
        place->name = name;
        place->thread = gettid();
        place->stamp = 0; /* the next look sees the first word */
        atomic_store(&place->stuck_ns, 0);
    }
    pthread_mutex_unlock(&watchdog.lock);
    return loop;
}

void watchdog_unwatch(struct watchdog_loop *loop) {
    if (loop == &watchdog.nobody) return;
    struct place *place = (struct place *)loop;
    pthread_mutex_lock(&watchdog.lock);
    assert(place->name != NULL);
    place->name = NULL;
    atomic_store(&place->stuck_ns, 0);
    pthread_mutex_unlock(&watchdog.lock);
}

uint64_t watchdog_stalled_ns(void) {
    uint64_t now_ns = clock_now_ns(), longest_ns = 0;
    for (size_t i = 0; i < LOOPS_MOST; i++) {
        uint64_t since_ns = atomic_load(&watchdog.places[i].stuck_ns);
        if (since_ns == 0 || since_ns > now_ns) continue;
        if (now_ns - since_ns > longest_ns) longest_ns = now_ns - since_ns;
    }
    return longest_ns;
}
