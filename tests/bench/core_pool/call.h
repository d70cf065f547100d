/* call - one request as its caller sees it: made, submitted, answered, looked at.
 * thread: one caller's, but for the moment in which `done` posts it to its mailbox.
 * owns:   the request once it was answered, until call_close.
 * fails:  call_submit: the gate's refusals. A wrong answer is invalid() at once. */
#ifndef BENCH_CORE_POOL_CALL_H
#define BENCH_CORE_POOL_CALL_H

#include "core/base/clock.h"
#include "core/gate.h"
#include "tests/bench/core_pool/mailbox.h"

#define CALL_BODY_BYTES 16

struct call {
    struct call *next; /* the mailbox's */
    struct mailbox *home;
    struct request *request;
    uint64_t number; /* its body is this number, so no two are alike */
    char body[CALL_BODY_BYTES];
    uint64_t id;      /* names it in gate_cancel */
    uint32_t answers; /* must end as 1 */
};

struct call_options {
    struct gate *gate;
    enum priority priority;
    const char *tenant, *operation; /* NULL: "" */
    uint64_t arrived_ns, deadline_ns;
};

/* Makes the request anew, as a front end does, with its bytes charged, and submits it. */
enum outcome call_submit(struct call *call, const struct call_options *options);
/* The answer must be OK and byte for byte what was sent; frees the request. */
void call_close(struct call *call);
/* The same where the outcome may be any; OK is looked at as above. */
enum outcome call_end(struct call *call);

/* When it was handed to a slot and when it was answered, as the pool saw it. */
uint64_t call_began_ns(const struct call *call);
uint64_t call_ended_ns(const struct call *call);

#endif
