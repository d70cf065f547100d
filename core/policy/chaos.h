/* chaos - which request or load of a worker meets which injected fault, from a seeded generator.
 * thread: the owner's. Pure: it decides, the worker's host does (workers/host/chaos.h).
 * owns:   nothing.
 * fails:  chaos_parse: INVALID_REQUEST, with what is wrong and what is allowed as text. */
#ifndef CORE_POLICY_CHAOS_H
#define CORE_POLICY_CHAOS_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, name, what follows its rate). All but the last befall requests, at most one each. */
#define CHAOS_FAULTS(X)                                                                            \
    X(CRASH, "crash", CHAOS_RATE)         /* aborts, or writes where it must not */                \
    X(HANG, "hang", CHAOS_RATE)           /* never answers; answers pings, or is stopped whole */  \
    X(DELAY, "delay", CHAOS_TIME)         /* waits before the plug-in sees the request */          \
    X(GARBAGE, "garbage", CHAOS_RATE)     /* random bytes into the control socket */               \
    X(BALLOON, "balloon", CHAOS_SIZE)     /* so much memory, touched and kept */                   \
    X(SLOW_LOAD, "slow-load", CHAOS_TIME) /* waits before it says that it is ready */

enum chaos_amount { CHAOS_RATE, CHAOS_TIME, CHAOS_SIZE };
enum chaos_fault {
#define CHAOS_NAME(name, text, amount) CHAOS_##name,
    CHAOS_FAULTS(CHAOS_NAME)
#undef CHAOS_NAME
        CHAOS_NONE
};
const char *chaos_name(enum chaos_fault fault);

#define CHAOS_MILLION UINT32_C(1000000)

struct chaos_options {
    uint64_t seed;
    bool seeded; /* the text names a seed */
    struct {
        uint32_t rate;   /* of a million */
        uint64_t amount; /* nanoseconds or bytes */
    } faults[CHAOS_NONE];
};

/* "seed=42 crash=5% hang=0.5% delay=10%:50ms garbage=1% balloon=5%:64MiB slow-load=10%:2s" */
#define CHAOS_ERROR_BYTES 192
enum outcome chaos_parse(struct chaos_options *out, const char *text,
                         char error[CHAOS_ERROR_BYTES]);

struct chaos {
    struct chaos_options options;
    uint64_t state;
};

/* run: counts the starts of the slot's worker, so that one that crashes at once does not for ever. */
void chaos_open(struct chaos *chaos, const struct chaos_options *options, uint32_t slot,
                uint32_t run);
enum chaos_fault chaos_on_load(struct chaos *chaos);    /* SLOW_LOAD or NONE */
enum chaos_fault chaos_on_request(struct chaos *chaos); /* NONE: it is left in peace */
/* Any number, for the ways in which a fault can be done. */
uint64_t chaos_draw(struct chaos *chaos);

#endif
