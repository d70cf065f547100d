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
    TRANSPORT_READY,    /* it can work; or text says why it never will */
    TRANSPORT_REPLY,    /* id, reply */
    TRANSPORT_ERROR,    /* id, error, text */
    TRANSPORT_PONG,     /* id */
    TRANSPORT_BROKEN,   /* it broke the protocol: text; kill it, EXITED follows */
    TRANSPORT_MEASURED, /* resident_bytes */
    TRANSPORT_EXITED    /* it is gone and reaped: exit_kind, exit_value, text; nothing follows */
};

/* How a worker says that a request went wrong. */
enum transport_error {
    WORKER_SAID_FAILED,
    WORKER_SAID_INVALID,
    WORKER_SAID_UNSUPPORTED,
    WORKER_SAID_CANCELLED
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
    uint64_t resident_bytes;
    enum exit_kind exit_kind;
    int exit_value;
};

typedef void transport_event_fn(void *owner, const struct transport_event *event);

struct transport {
    const struct transport_calls *calls;
};

struct transport_calls {
    /* Begins a run; only when none is under way. */
    enum outcome (*start)(struct transport *transport);
    enum outcome (*send)(struct transport *transport, struct request *request, uint64_t now_ns);
    void (*cancel)(struct transport *transport, uint64_t id);
    void (*ping)(struct transport *transport, uint64_t id);
    /* Asks it to finish what it does and end. */
    void (*shutdown)(struct transport *transport);
    /* TERM or KILL to the worker and everything it started. */
    void (*signal)(struct transport *transport, int signal_number);
    void (*measure)(struct transport *transport); /* MEASURED follows, when it can be known */
    /* Only when no run is under way; frees it once the loop has closed its handles. */
    void (*close)(struct transport *transport);
};

#endif
