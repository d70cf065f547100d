/* event_stream - everything that happens in the pools, told to any number of listeners.
 * thread: emit on the pool loop. A feed belongs to one thread, which reads and closes it; open from any.
 *         wants, lost from any.
 * owns:   an event is copied to each feed that wants its kind.
 * fails:  event_feed_open: MEMORY_EXHAUSTED, QUEUE_FULL (too many feeds).
 *
 * A feed is a ring of its own: a listener that is slow loses events and is told how many, and the loop
 * neither waits nor allocates. The wake function is called on the loop when an empty feed gets its
 * first event; it must only signal (uv_async_send, a write to an eventfd). */
#ifndef CORE_EVENT_STREAM_H
#define CORE_EVENT_STREAM_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAPPENINGS(X)                                                                              \
    X(SLOT, "slot")             /* a transition: slot, from, to, why, error, number: the pid */    \
    X(TURN, "turn")             /* a slot took up work or put it down: slot, from, to, why */      \
    X(EVICTION, "eviction")     /* a worker made room: slot, why, number: bytes that came back */  \
    X(BREAKER, "breaker")       /* from, to, why */                                                \
    X(PRESSURE, "pressure")     /* memory: from, to, number: bytes used */                         \
    X(SCALE, "scale")           /* why, number: workers wanted */                                  \
    X(POOL, "pool")             /* the wish: from, to; why: who asked */                           \
    X(QUARANTINE, "quarantine") /* request, from, to: buried, kicked, deleted, an outcome; why */  \
    X(ALARM, "alarm")           /* something that must not be: why */                              \
    X(REQUEST_STARTED, "request_started")     /* request, slot */                                  \
    X(REQUEST_COMPLETED, "request_completed") /* request, slot, number: run time in ns */          \
    X(REQUEST_FAILED, "request_failed")       /* request, slot, to: the outcome's code */

enum happening_kind {
#define HAPPENING_NAME(name, text) HAPPENING_##name,
    HAPPENINGS(HAPPENING_NAME)
#undef HAPPENING_NAME
        HAPPENING_COUNT
};
#define HAPPENING_BIT(name) (UINT32_C(1) << HAPPENING_##name)
#define HAPPENINGS_ALL      ((UINT32_C(1) << HAPPENING_COUNT) - 1)
const char *happening_name(enum happening_kind kind);

#define HAPPENING_NO_SLOT UINT32_MAX

struct happening {
    enum happening_kind kind;
    uint32_t slot; /* HAPPENING_NO_SLOT: not about one */
    uint64_t sequence, at_ns, number;
    const char *from, *to;                             /* constant texts; "" when there is none */
    char pool[64], request[136], why[192], error[192]; /* error: of a slot that failed */
};

struct event_stream;
struct event_feed;

enum outcome event_stream_open(struct event_stream **out);
void event_stream_close(struct event_stream *stream); /* every feed must have been closed */
/* Does anybody want this kind? Ask before filling in what is dear. */
bool event_stream_wants(const struct event_stream *stream, enum happening_kind kind);
/* Numbers it and copies it; sequence is set here. */
void event_stream_emit(struct event_stream *stream, struct happening *happening);
uint64_t event_stream_lost(const struct event_stream *stream); /* so far, by all feeds together */

typedef void event_wake_fn(void *owner);
#define EVENT_FEEDS_MOST 64
/* kinds: bits of HAPPENING_BIT. capacity: a power of two. */
enum outcome event_feed_open(struct event_feed **out, struct event_stream *stream, uint32_t kinds,
                             size_t capacity, event_wake_fn *wake, void *owner);
/* False when there is none now. *lost: how many were lost just before this one, or since the last one;
 * each is told once, so that those received and those lost add up to those that happened. */
bool event_feed_next(struct event_feed *feed, struct happening *out, uint64_t *lost);
/* After it wake is not called any more: it waits for an emit that is under way. Not from within wake. */
void event_feed_close(struct event_feed *feed);

#endif
