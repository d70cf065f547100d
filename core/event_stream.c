#include "core/event_stream.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CACHE_LINE 64

struct entry {
    uint64_t lost; /* of the feed, when this one was written */
    struct happening happening;
};

/* A ring with one writer, the loop, and one reader, the listener. Both counters only grow. */
struct event_feed {
    struct event_stream *stream;
    uint32_t kinds;
    size_t place, mask;
    event_wake_fn *wake;
    void *owner;
    struct entry *entries;
    _Alignas(CACHE_LINE) _Atomic uint64_t written; /* by the loop */
    _Atomic uint64_t lost;                         /* so far; by the loop */
    _Alignas(CACHE_LINE) _Atomic uint64_t read;    /* by the listener */
    uint64_t told;                                 /* of the lost ones; the listener's */
};

struct event_stream {
    _Atomic uint32_t wanted; /* kinds of all feeds */
    /* Odd while the loop hands an event around. Who takes a feed out of its place and then sees an even
     * number, or another one, knows that the loop has left it. */
    _Atomic uint64_t turn;
    _Atomic uint64_t lost;
    uint64_t sequence; /* the loop's */
    _Atomic(struct event_feed *) places[EVENT_FEEDS_MOST];
    _Atomic size_t places_used; /* feeds stand below it */
    pthread_mutex_t lock;       /* of those who open and close; the loop does not know it */
};

const char *happening_name(enum happening_kind kind) {
    static const char *const names[] = {
#define HAPPENING_TEXT(name, text) text,
        HAPPENINGS(HAPPENING_TEXT)
#undef HAPPENING_TEXT
    };
    return kind < HAPPENING_COUNT ? names[kind] : "?";
}

enum outcome event_stream_open(struct event_stream **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&(*out)->lock, NULL);
    return OK;
}

void event_stream_close(struct event_stream *stream) {
    for (size_t i = 0; i < EVENT_FEEDS_MOST; i++) assert(atomic_load(&stream->places[i]) == NULL);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

bool event_stream_wants(const struct event_stream *stream, enum happening_kind kind) {
    uint32_t wanted = atomic_load_explicit(&stream->wanted, memory_order_relaxed);
    return (wanted & UINT32_C(1) << kind) != 0;
}

uint64_t event_stream_lost(const struct event_stream *stream) {
    return atomic_load_explicit(&stream->lost, memory_order_relaxed);
}

/* --- the loop's side ------------------------------------------------------------------------------- */

/* There is one writer: no read-modify-write is needed. */
static void count(_Atomic uint64_t *number) {
    atomic_store(number, atomic_load_explicit(number, memory_order_relaxed) + 1);
}

static void keep(struct event_feed *feed, const struct happening *happening, uint64_t written) {
    struct entry *entry = &feed->entries[written & feed->mask];
    entry->lost = atomic_load_explicit(&feed->lost, memory_order_relaxed);
    entry->happening = *happening;
    atomic_store(&feed->written, written + 1);
}

static void offer(struct event_feed *feed, const struct happening *happening) {
    uint64_t written = atomic_load_explicit(&feed->written, memory_order_relaxed);
    uint64_t waiting = written - atomic_load_explicit(&feed->read, memory_order_acquire);
    if (waiting <= feed->mask) {
        keep(feed, happening, written);
    } else {
        count(&feed->lost);
        count(&feed->stream->lost);
    }
    /* In one order with the reader's last steps (it stores `read`, then looks at `lost` and `written`):
     * either it sees this, or this sees that it had read everything before, and wakes it. */
    if (atomic_load(&feed->read) == written) feed->wake(feed->owner);
}

void event_stream_emit(struct event_stream *stream, struct happening *happening) {
    happening->sequence = ++stream->sequence;
    if (!event_stream_wants(stream, happening->kind)) return;
    uint64_t turn = atomic_load_explicit(&stream->turn, memory_order_relaxed);
    atomic_store(&stream->turn, turn + 1);
    size_t used = atomic_load(&stream->places_used);
    for (size_t i = 0; i < used; i++) {
        struct event_feed *feed = atomic_load(&stream->places[i]);
        if (feed != NULL && (feed->kinds & UINT32_C(1) << happening->kind) != 0)
            offer(feed, happening);
    }
    atomic_store_explicit(&stream->turn, turn + 2, memory_order_release);
}

/* --- the listeners' side --------------------------------------------------------------------------- */

/* Under the lock, after a place has changed. */
static void note_places(struct event_stream *stream) {
    uint32_t wanted = 0;
    size_t used = 0;
    for (size_t i = 0; i < EVENT_FEEDS_MOST; i++) {
        const struct event_feed *feed = atomic_load(&stream->places[i]);
        if (feed == NULL) continue;
        wanted |= feed->kinds;
        used = i + 1;
    }
    atomic_store(&stream->places_used, used);
    atomic_store(&stream->wanted, wanted);
}

static enum outcome take_place(struct event_feed *feed) {
    struct event_stream *stream = feed->stream;
    enum outcome outcome = QUEUE_FULL;
    pthread_mutex_lock(&stream->lock);
    for (size_t i = 0; i < EVENT_FEEDS_MOST && outcome != OK; i++) {
        if (atomic_load(&stream->places[i]) != NULL) continue;
        feed->place = i;
        atomic_store(&stream->places[i], feed);
        note_places(stream);
        outcome = OK;
    }
    pthread_mutex_unlock(&stream->lock);
    return outcome;
}

static void feed_free(struct event_feed *feed) {
    free(feed->entries);
    free(feed);
}

enum outcome event_feed_open(struct event_feed **out, struct event_stream *stream, uint32_t kinds,
                             size_t capacity, event_wake_fn *wake, void *owner) {
    *out = NULL;
    assert(capacity > 0 && (capacity & (capacity - 1)) == 0);
    struct event_feed *feed = aligned_alloc(CACHE_LINE, sizeof *feed);
    if (feed == NULL) return MEMORY_EXHAUSTED;
    *feed = (struct event_feed){.stream = stream,
                                .kinds = kinds,
                                .mask = capacity - 1,
                                .wake = wake,
                                .owner = owner,
                                .entries = calloc(capacity, sizeof *feed->entries)};
    enum outcome outcome = feed->entries == NULL ? MEMORY_EXHAUSTED : take_place(feed);
    if (outcome == OK)
        *out = feed;
    else
        feed_free(feed);
    return outcome;
}

static uint64_t newly_lost(struct event_feed *feed, uint64_t lost) {
    uint64_t news = lost - feed->told;
    feed->told = lost;
    return news;
}

bool event_feed_next(struct event_feed *feed, struct happening *out, uint64_t *lost) {
    /* Looked at before `written`: if there is no further event, all of these came after the last one. */
    uint64_t lost_so_far = atomic_load(&feed->lost);
    uint64_t read = atomic_load_explicit(&feed->read, memory_order_relaxed);
    if (read == atomic_load(&feed->written)) {
        *lost = newly_lost(feed, lost_so_far);
        return false;
    }
    const struct entry *entry = &feed->entries[read & feed->mask];
    *out = entry->happening;
    *lost = newly_lost(feed, entry->lost);
    atomic_store(&feed->read, read + 1);
    return true;
}

void event_feed_close(struct event_feed *feed) {
    struct event_stream *stream = feed->stream;
    pthread_mutex_lock(&stream->lock);
    atomic_store(&stream->places[feed->place], NULL);
    note_places(stream);
    pthread_mutex_unlock(&stream->lock);
    uint64_t turn = atomic_load(&stream->turn);
    while (turn % 2 != 0 && atomic_load(&stream->turn) == turn) sched_yield();
    feed_free(feed);
}
