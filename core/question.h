/* question - what somebody asks the pool loop and the answer: for all that a snapshot does not tell.
 * thread: asked from any by the gate; answered exactly once, on the pool loop. `answered` only posts.
 * owns:   a question is the asker's, texts and room for the answer included; the loop borrows it from the
 *         moment the gate took it until `answered` is called.
 * fails:  `outcome` says how it went; what was not taken is never answered. */
#ifndef CORE_QUESTION_H
#define CORE_QUESTION_H

#include "core/base/request.h"

#define QUESTIONS_MOST      256 /* under way at once */
#define QUESTION_NAME_BYTES 132

enum question_kind {
    QUESTION_LOOK,
    QUESTION_CANCEL,
    QUESTION_LIST_BURIED,
    QUESTION_DELETE_BURIED,
    QUESTION_KICK_BURIED
};

struct question {
    enum question_kind kind; /* by the gate */
    void (*answered)(struct question *question);
    void *owner;
    enum outcome outcome;
    uint64_t retry_after_ns; /* 0: no advice */
};

/* Where a request is, or what became of it. */
#define LOOK_STATES(X)                                                                             \
    X(QUEUED, "queued")                                                                            \
    X(STAGED, "staged") X(LOADING, "loading") X(RUNNING, "running") X(DONE, "done")
/* Why it does not run yet. */
#define LOOK_BLOCKS(X)                                                                             \
    X(NOTHING, "")                                                                                 \
    X(SLOTS, "slots")                                                                              \
    X(LOADING, "loading")                                                                          \
    X(BREAKER, "breaker")                                                                          \
    X(PAUSE, "pause") X(MEMORY, "memory") X(BACKOFF, "backoff") X(BATCH, "batch")

enum look_state {
#define LOOK_STATE_NAME(name, text) LOOK_##name,
    LOOK_STATES(LOOK_STATE_NAME)
#undef LOOK_STATE_NAME
};
enum look_block {
#define LOOK_BLOCK_NAME(name, text) LOOK_BLOCKED_BY_##name,
    LOOK_BLOCKS(LOOK_BLOCK_NAME)
#undef LOOK_BLOCK_NAME
};
const char *look_state_name(enum look_state state);
const char *look_block_name(enum look_block block); /* "": nothing does */

/* NO_SUCH_REQUEST: nobody knows it, or it is another tenant's. */
struct look {
    struct question question;
    uint64_t id;            /* as gate_submit gave it; 0: look among the finished by name */
    const char *name;       /* its request id; NULL with an id */
    const char *for_tenant; /* NULL: whosever it is */

    enum look_state state;
    enum look_block blocked_by;
    enum priority priority; /* its own class */
    enum outcome outcome;   /* once it is done */
    uint64_t place;         /* in its tenant's line of its class, 1 is next; 0: it stands in none */
    uint64_t expected_wait_ns; /* CLOCK_NEVER: nobody can say */
    uint64_t arrived_ns, began_ns, ended_ns, queue_ns, cold_ns, run_ns; /* 0: not yet */
    uint32_t attempts;
    bool shared; /* it follows an identical one, and stands where that stands */
    char request_id[QUESTION_NAME_BYTES], pool[64], tenant[QUESTION_NAME_BYTES];
};

#endif
