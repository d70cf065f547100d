/* circuit_breaker - stops sending to a pool whose workers fail, and finds out when they work again.
 * thread: the owner's (the pool loop). Pure: time is passed in.
 * owns:   nothing outside its struct.
 * fails:  never.
 *
 * closed: everything may pass. It opens on `failures` in a row, or when of at least
 * BREAKER_LEAST results within the last BREAKER_WINDOW_NS at least BREAKER_RATE percent failed.
 * open: nothing passes for `open_ns`. half-open: at most `probes` are under way at once; `successes`
 * of them close it, one failure opens it again. Only failures of the worker count; a result that says
 * nothing about the worker (the client's fault, a cancel, its own deadline) only gives its probe back.
 * Pattern: Nygard 2007. */
#ifndef CORE_POLICY_CIRCUIT_BREAKER_H
#define CORE_POLICY_CIRCUIT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_STATES(X) X(CLOSED, "closed") X(OPEN, "open") X(HALF_OPEN, "half_open")
enum breaker_state {
#define BREAKER_STATE_NAME(name, text) BREAKER_##name,
    BREAKER_STATES(BREAKER_STATE_NAME)
#undef BREAKER_STATE_NAME
        BREAKER_STATE_COUNT
};

#define BREAKER_WINDOW_NS UINT64_C(10000000000)
#define BREAKER_PARTS     10 /* the window moves in tenths */
#define BREAKER_LEAST     20
#define BREAKER_RATE      50

struct breaker_options {
    uint32_t failures, probes, successes;
    uint64_t open_ns;
};

enum breaker_result { BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_NEUTRAL };

struct circuit_breaker {
    struct breaker_options options;
    enum breaker_state state;
    uint64_t since_ns;
    uint64_t open_until_ns; /* while open */
    uint32_t failures;      /* in a row, while closed */
    uint32_t probing;       /* under way, while half-open */
    uint32_t succeeded;     /* probes that did, while half-open */
    uint64_t era; /* from 1; grows with each change of state: results of an older one say nothing */
    struct {
        uint64_t part; /* now / (window / parts) when it was last counted */
        uint32_t good, bad;
    } window[BREAKER_PARTS];
    uint64_t bad_part;           /* the part in which something was last bad */
    uint64_t opened, rejections; /* totals; the owner counts what it rejects */
};

void breaker_init(struct circuit_breaker *breaker, const struct breaker_options *options,
                  uint64_t now_ns);
/* Open and its time is over: half-open. True when the state changed. */
bool breaker_tick(struct circuit_breaker *breaker, uint64_t now_ns);
/* How many more may be sent now: UINT32_MAX when closed, 0 when open. */
uint32_t breaker_room(const struct circuit_breaker *breaker);
/* One is sent (there must be room); keep what it returns and hand it to breaker_result. */
uint64_t breaker_begin(struct circuit_breaker *breaker);
/* How it ended. True when the state changed. */
bool breaker_result(struct circuit_breaker *breaker, uint64_t era, enum breaker_result result,
                    uint64_t now_ns);
/* When breaker_tick has something to do: CLOCK_NEVER unless open. */
uint64_t breaker_next_ns(const struct circuit_breaker *breaker);
const char *breaker_state_name(enum breaker_state state);

#endif
