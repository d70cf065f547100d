#include "core/event_log.h"

#include "core/base/log.h"
#include "core/policy/worker_state.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEED_EVENTS 1024
/* What comes with every request. */
#define USUAL                                                                                      \
    (HAPPENING_BIT(TURN) | HAPPENING_BIT(REQUEST_STARTED) | HAPPENING_BIT(REQUEST_COMPLETED) |     \
     HAPPENING_BIT(REQUEST_FAILED))

struct event_log {
    struct event_feed *feed;
    sem_t woken;
    _Atomic bool stopping;
    pthread_t thread;
};

/* --- one line -------------------------------------------------------------------------------------- */

/* A slot is POOL/N, as everywhere in the log. */
static void name_slot(const struct happening *happening, char name[96]) {
    snprintf(name, 96, "%s/%u", happening->pool, happening->slot);
}

static bool is(const char *text, enum worker_state state) {
    return strcmp(text, worker_state_name(state)) == 0;
}

static void write_transition(const struct happening *happening) {
    bool failed = is(happening->to, WORKER_FAILED);
    bool idle = is(happening->to, WORKER_IDLE) ||
                (is(happening->from, WORKER_IDLE) && is(happening->to, WORKER_READY));
    char name[96];
    name_slot(happening, name);
    log_event(failed ? LOG_WARN
              : idle ? LOG_DEBUG
                     : LOG_INFO,
              "slot", LOG_STR("slot", name), LOG_STR("state", happening->to),
              LOG_STR("why", happening->why), LOG_INT("pid", happening->number),
              LOG_STR(failed ? "error" : NULL, happening->error));
}

static bool says(const char *text, const char *word) {
    return text != NULL && strcmp(text, word) == 0;
}

/* What an administrator does with a buried request is no warning, unless it kills once more. */
static bool is_by_hand(const struct happening *happening) {
    return says(happening->to, "kicked") || says(happening->to, "deleted") ||
           (says(happening->from, "kicked") && says(happening->to, "ok"));
}

static enum log_level level_of(const struct happening *happening) {
    switch (happening->kind) {
    case HAPPENING_ALARM: return LOG_ALERT;
    case HAPPENING_QUARANTINE: return is_by_hand(happening) ? LOG_INFO : LOG_WARN;
    case HAPPENING_BREAKER: return strcmp(happening->to, "open") == 0 ? LOG_WARN : LOG_INFO;
    case HAPPENING_PRESSURE: return strcmp(happening->to, "critical") == 0 ? LOG_WARN : LOG_INFO;
    default: return LOG_INFO;
    }
}

/* What the number of its kind is called; NULL: it has none. */
static const char *number_name(enum happening_kind kind) {
    switch (kind) {
    case HAPPENING_EVICTION: return "bytes";
    case HAPPENING_PRESSURE: return "used_bytes";
    case HAPPENING_SCALE: return "wanted";
    default: return NULL;
    }
}

static const char *unless_empty(const char *key, const char *text) {
    return text != NULL && *text != '\0' ? key : NULL;
}

static void write_other(const struct happening *happening) {
    bool at_slot = happening->slot != HAPPENING_NO_SLOT;
    char name[96];
    name_slot(happening, name);
    log_event(level_of(happening), happening_name(happening->kind),
              LOG_STR(at_slot ? NULL : unless_empty("pool", happening->pool), happening->pool),
              LOG_STR(at_slot ? "slot" : NULL, name),
              LOG_STR(unless_empty("request", happening->request), happening->request),
              LOG_STR(unless_empty("from", happening->from), happening->from),
              LOG_STR(unless_empty("to", happening->to), happening->to),
              LOG_STR(unless_empty("why", happening->why), happening->why),
              LOG_UINT(number_name(happening->kind), happening->number));
}

/* --- the thread ------------------------------------------------------------------------------------ */

static void drain(struct event_feed *feed) {
    struct happening happening;
    uint64_t lost;
    bool more;
    do {
        more = event_feed_next(feed, &happening, &lost);
        if (lost > 0) log_event(LOG_WARN, "events lost", LOG_UINT("count", lost));
        if (more && happening.kind == HAPPENING_SLOT) write_transition(&happening);
        if (more && happening.kind != HAPPENING_SLOT) write_other(&happening);
    } while (more);
}

static void *listen(void *argument) {
    struct event_log *log = argument;
    pthread_setname_np(pthread_self(), "event-log");
    for (;;) {
        while (sem_wait(&log->woken) != 0) continue;
        bool last = atomic_load(&log->stopping);
        drain(log->feed);
        if (last) return NULL;
    }
}

static void on_wake(void *owner) {
    struct event_log *log = owner;
    sem_post(&log->woken);
}

static void event_log_free(struct event_log *log) {
    sem_destroy(&log->woken);
    free(log);
}

enum outcome event_log_open(struct event_log **out, struct event_stream *stream) {
    *out = NULL;
    struct event_log *log = calloc(1, sizeof *log);
    if (log == NULL) return MEMORY_EXHAUSTED;
    sem_init(&log->woken, 0, 0);
    enum outcome outcome =
        event_feed_open(&log->feed, stream, HAPPENINGS_ALL & ~USUAL, FEED_EVENTS, on_wake, log);
    if (outcome == OK && pthread_create(&log->thread, NULL, listen, log) != 0) {
        event_feed_close(log->feed);
        outcome = MEMORY_EXHAUSTED;
    }
    if (outcome == OK)
        *out = log;
    else
        event_log_free(log);
    return outcome;
}

void event_log_close(struct event_log *log) {
    atomic_store(&log->stopping, true);
    sem_post(&log->woken);
    pthread_join(log->thread, NULL);
    event_feed_close(log->feed);
    event_log_free(log);
}
