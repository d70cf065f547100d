/* transport - how a slot talks to its worker: a table of functions down, one event callback up.
 * thread: the pool loop, all of it.
 * owns:   send takes its own reference to the request's body; the request stays the caller's.
 *         An event's reply parts are the receiver's (it empties them), the rest is valid for the call.
 * fails:  start: what prevents it; send: MEMORY_EXHAUSTED, INVALID_REQUEST. Everything else that goes
 *         wrong comes as an event, and a run always ends with exactly one TRANSPORT_EXITED. */
#ifndef CORE_TRANSPORT_TRANSPORT_H
#define CORE_TRANSPORT_TRANSPORT_H

#include "core/base/request.h"

#include <stdint.h>
#include <sys/types.h>

enum transport_event_kind {
    TRANSPORT_STARTED,  /* the worker exists: pid */
    TRANSPORT_LOADING,  /* it said hello and was told what to load */
    TRANSPORT_READY,    /* it can work, max_batch at a time; or text says why it never will */
    TRANSPORT_REPLY,    /* id, reply */
    TRANSPORT_ERROR,    /* id, error, text */
    TRANSPORT_PONG,     /* id, waiting, busy_ns */
    TRANSPORT_CHECKED,  /* the deep check has run: text says what is wrong, "" when it is sound */
    TRANSPORT_BROKEN,   /* it broke the protocol: text; kill it, EXITED follows */
    TRANSPORT_MEASURED, /* resident_bytes */
    TRANSPORT_EXITED    /* it is gone and reaped: exit_kind, exit_value, text; nothing follows */
};

/* How a worker says that a request went wrong; or ANSWER_LOST: it was done, and there was no memory here to
 * keep the answer. */
enum transport_error {
    WORKER_SAID_FAILED,
    WORKER_SAID_INVALID,
    WORKER_SAID_UNSUPPORTED,
    WORKER_SAID_CANCELLED,
    WORKER_ANSWER_LOST
};

enum exit_kind {
    EXIT_NEVER_STARTED, /* text says why */
    EXIT_STATUS,        /* exit_value: its exit status */
    EXIT_CRASH_SIGNAL,  /* exit_value: a signal that a faulty program raises (SEGV, ABRT, …) */
    EXIT_OTHER_SIGNAL,  /* exit_value: a signal that somebody sent (KILL, TERM, …) */
    EXIT_ABANDONED      /* a thread that hangs cannot be killed: it is left behind */
};

struct transport_event {
    enum transport_event_kind kind;
    uint64_t id;
    pid_t pid;
    const char *text; /* never NULL */
    struct reply *reply;
    enum transport_error error;
    uint64_t resident_bytes; /* PSS where the kernel gives it, else RSS */
    uint32_t max_batch;      /* of READY: 1 where it takes no batches */
    bool checks;             /* of READY: it can check itself */
    uint32_t waiting;        /* of PONG: requests received and not begun */
    uint64_t busy_ns;        /* of PONG: how long the current one runs; 0: none does */
    enum exit_kind exit_kind;
    int exit_value;
};

typedef void transport_event_fn(void *owner, const struct transport_event *event);

struct transport {
    const struct transport_calls *calls;
    uint32_t stages; /* requests that it can hold ahead and give back; 0: none. Since READY */
};

struct transport_calls {
    /* Begins a run; only when none is under way. */
    enum outcome (*start)(struct transport *transport);
    /* One batch of requests, in this order, all of it or nothing; count is 1 where max_batch is. */
    enum outcome (*send)(struct transport *transport, struct request *const *requests, size_t count,
                         uint64_t now_ns);
    /* Takes back a request that was sent and that the worker has not begun. True: it never will begin,
     * and no event comes for it. False: it has begun, or nobody can know. */
    bool (*revoke)(struct transport *transport, uint64_t id);
    void (*cancel)(struct transport *transport, uint64_t id);
    void (*ping)(struct transport *transport, uint64_t id);
    void (*check)(struct transport *transport); /* CHECKED follows; only while it has no work */
    /* Asks it to finish what it does and end. */
    void (*shutdown)(struct transport *transport);
    /* TERM or KILL to the worker and everything it started. */
    void (*signal)(struct transport *transport, int signal_number);
    void (*measure)(struct transport *transport); /* MEASURED follows, when it can be known */
    /* Only when no run is under way; frees it once the loop has closed its handles. */
    void (*close)(struct transport *transport);
};

#endif
