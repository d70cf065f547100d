/* worker_state - the states of a worker in its slot, the legal moves, and the record of moves made.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  worker_state_move refuses an illegal move and changes nothing. */
#ifndef CORE_POLICY_WORKER_STATE_H
#define CORE_POLICY_WORKER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* dead is also the state of a slot that has no worker yet. */
#define WORKER_STATES(X)                                                                           \
    X(SPAWNING, "spawning")                                                                        \
    X(LOADING, "loading")                                                                          \
    X(READY, "ready")                                                                              \
    X(PROCESSING, "processing")                                                                    \
    X(IDLE, "idle") X(EVICTING, "evicting") X(DEAD, "dead") X(FAILED, "failed")

enum worker_state {
#define WORKER_STATE_NAME(name, text) WORKER_##name,
    WORKER_STATES(WORKER_STATE_NAME)
#undef WORKER_STATE_NAME
        WORKER_STATE_COUNT
};

/* Why a worker moved: bounded, so that it can be a label. */
#define REASONS(X)                                                                                 \
    X(START, "start")               /* the pool wants a worker here */                             \
    X(STARTED, "started")           /* the process or thread exists and said hello */              \
    X(LOADED, "loaded")             /* its model is ready */                                       \
    X(REQUEST, "request")           /* got work */                                                 \
    X(ANSWERED, "answered")         /* all its work is done */                                     \
    X(QUIET, "quiet")               /* a second without work */                                    \
    X(SPAWN_FAILED, "spawn_failed") /* could not be started at all */                              \
    X(LOAD_FAILED, "load_failed")   /* it said that it cannot load, or died while loading */       \
    X(LOAD_TIMEOUT, "load_timeout") /* timeouts.load passed */                                     \
    X(EXITED, "exited")             /* ended by itself with an exit status */                      \
    X(CRASHED, "crashed")           /* ended by a signal that was not ours */                      \
    X(PROTOCOL, "protocol")         /* broke the worker protocol */                                \
    X(PING_MISSED, "ping_missed")   /* health.misses pings in a row without an answer */           \
    X(DEADLINE, "deadline")         /* stopped: its request's deadline had passed */               \
    X(CANCEL, "cancel")             /* stopped: its request was cancelled and it went on */        \
    X(CHECK_FAILED, "check_failed") /* its deep check found it unsound, or did not end */          \
    X(SCALE_DOWN, "scale_down")     /* not needed any more */                                      \
    X(RECYCLE, "recycle")           /* served recycle.requests, or grew above recycle.memory */    \
    X(MEMORY, "memory")             /* made room for another, or memory was critical */            \
    X(UNLOAD, "unload")             /* the administrator wants it gone */                          \
    X(RELOAD, "reload")             /* the configuration of its worker changed */                  \
    X(DRAIN, "drain")               /* the gateway or the pool is stopping */                      \
    X(REAPED, "reaped")             /* its end was seen by the gateway */

enum reason {
#define REASON_NAME(name, text) REASON_##name,
    REASONS(REASON_NAME)
#undef REASON_NAME
        REASON_COUNT
};

#define WORKER_TRANSITIONS 32

struct transition {
    enum worker_state from, to;
    enum reason why;
    uint64_t at_ns;
};

/* Counts that many workers share: how many are in each state, how often each move was made. */
struct worker_census {
    uint32_t by_state[WORKER_STATE_COUNT];
    uint64_t moves[WORKER_STATE_COUNT][WORKER_STATE_COUNT];
};

struct worker_record {
    enum worker_state state;
    uint64_t since_ns;
    uint64_t moved; /* moves so far; the last WORKER_TRANSITIONS are in transitions[moved % …] */
    struct transition transitions[WORKER_TRANSITIONS];
    struct worker_census *census;
};

/* Starts dead, counted in the census. */
void worker_state_init(struct worker_record *record, struct worker_census *census, uint64_t now_ns);
bool worker_state_legal(enum worker_state from, enum worker_state to);
/* The one setter: moves the census, records the transition. False, and nothing changed, when illegal. */
bool worker_state_move(struct worker_record *record, enum worker_state to, enum reason why,
                       uint64_t now_ns);
/* Copies the recorded transitions, oldest first; returns how many. */
size_t worker_state_history(const struct worker_record *record,
                            struct transition out[WORKER_TRANSITIONS]);
bool worker_state_can_serve(enum worker_state state); /* ready, processing or idle */
const char *worker_state_name(enum worker_state state);
const char *reason_name(enum reason reason);

#endif
