#include "gateway/trace/tracer.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/trace/collector.h"
#include "gateway/trace/otlp.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A record with room for what it points to. */
struct kept {
    struct request_record record;
    struct request_course course;
    bool has_route, has_target;
    char method[72], route[64], target[128], request_id[129], client[64];
};

struct tracer {
    struct metrics *metrics;
    struct collector *collector;
    uint32_t sample_percent;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC: a batch is full, or the end */
    bool closing;
    size_t first, count; /* of ring */
    struct kept *ring;   /* TRACER_REQUESTS of them */

    /* The thread's own. */
    struct kept *batch; /* TRACER_BATCH of them */
    bool complained;
};

/* --- ids --------------------------------------------------------------------------------------------- */

/* From the kernel, in a stock of the thread's own: a system call for every 256 bytes. */
static void fill_random(uint8_t *out, size_t bytes) {
    static _Thread_local struct {
        uint8_t bytes[256];
        size_t left;
    } stock;
    if (stock.left < bytes) {
        ssize_t got;
        do got = getrandom(stock.bytes, sizeof stock.bytes, 0);
        while (got < 0 && errno == EINTR);
        assert(got == sizeof stock.bytes);
        stock.left = sizeof stock.bytes;
    }
    stock.left -= bytes;
    memcpy(out, stock.bytes + stock.left, bytes);
    out[bytes - 1] |= (uint8_t)(out[0] == 0); /* an id is not all zeros */
}

static bool is_chosen(const struct tracer *tracer) {
    uint8_t random[4];
    fill_random(random, sizeof random);
    uint32_t number = (uint32_t)random[0] << 16 | (uint32_t)random[1] << 8 | random[2];
    return number * UINT64_C(100) < (uint64_t)tracer->sample_percent << 24;
}

void tracer_begin(struct tracer *tracer, const char *traceparent, struct trace *trace) {
    bool given = traceparent_read(traceparent, trace);
    if (tracer == NULL) return;
    if (!given) {
        fill_random(trace->trace_id, sizeof trace->trace_id);
        trace->sampled = is_chosen(tracer);
    }
    fill_random(trace->span_id, sizeof trace->span_id);
}

/* --- room -------------------------------------------------------------------------------------------- */

#define KEEP(to, from) keep_text(to, sizeof(to), from)
static void keep_text(char *to, size_t room, const char *from) {
    size_t bytes = from == NULL ? 0 : strnlen(from, room - 1);
    if (bytes > 0) memcpy(to, from, bytes);
    to[bytes] = '\0';
}

static void keep(struct kept *kept, const struct request_record *record) {
    kept->record = *record;
    kept->course = *record->course;
    kept->has_route = record->route != NULL;
    kept->has_target = record->target != NULL;
    KEEP(kept->method, record->method);
    KEEP(kept->route, record->route);
    KEEP(kept->target, record->target);
    KEEP(kept->request_id, record->request_id);
    KEEP(kept->client, record->client);
}

/* The copy may have moved since it was kept. */
static struct request_record record_of(const struct kept *kept) {
    struct request_record record = kept->record;
    record.course = &kept->course;
    record.method = kept->method;
    record.route = kept->has_route ? kept->route : NULL;
    record.target = kept->has_target ? kept->target : NULL;
    record.request_id = kept->request_id;
    record.client = kept->client;
    return record;
}

void tracer_add(struct tracer *tracer, const struct request_record *record) {
    pthread_mutex_lock(&tracer->lock);
    bool room = tracer->count < TRACER_REQUESTS;
    if (room) keep(&tracer->ring[(tracer->first + tracer->count++) % TRACER_REQUESTS], record);
    bool full = tracer->count == TRACER_BATCH;
    pthread_mutex_unlock(&tracer->lock);
    if (full) pthread_cond_signal(&tracer->changed);
    if (!room) metrics_spans(tracer->metrics, SPANS_DROPPED, otlp_spans(record));
}

/* --- sending ----------------------------------------------------------------------------------------- */

static void wait_until(struct tracer *tracer, uint64_t until_ns) {
    struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_S),
                             .tv_nsec = (long)(until_ns % CLOCK_S)};
    pthread_cond_timedwait(&tracer->changed, &tracer->lock, &until);
}

static bool is_closing(struct tracer *tracer) {
    pthread_mutex_lock(&tracer->lock);
    bool closing = tracer->closing;
    pthread_mutex_unlock(&tracer->lock);
    return closing;
}

/* Waits for a batch, its time, or the end; how many were moved to `batch`. */
static size_t take(struct tracer *tracer) {
    uint64_t due_ns = clock_add(clock_now_ns(), TRACER_PATIENCE_NS);
    pthread_mutex_lock(&tracer->lock);
    while (tracer->count < TRACER_BATCH && !tracer->closing && clock_now_ns() < due_ns)
        wait_until(tracer, due_ns);
    size_t count = tracer->count < TRACER_BATCH ? tracer->count : TRACER_BATCH;
    for (size_t i = 0; i < count; i++)
        tracer->batch[i] = tracer->ring[(tracer->first + i) % TRACER_REQUESTS];
    tracer->first = (tracer->first + count) % TRACER_REQUESTS;
    tracer->count -= count;
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

static size_t spans_of(const struct tracer *tracer, size_t count) {
    size_t spans = 0;
    for (size_t i = 0; i < count; i++) {
        const struct request_record record = record_of(&tracer->batch[i]);
        spans += otlp_spans(&record);
    }
    return spans;
}

/* The body of a request to the collector; NULL without memory. */
static char *encode(const struct tracer *tracer, size_t count, size_t *bytes) {
    char *body = NULL;
    FILE *out = open_memstream(&body, bytes);
    if (out == NULL) return NULL;
    struct otlp_context context = {.wall_offset_ns = clock_wall_ns(0)};
    otlp_begin(out);
    for (size_t i = 0; i < count; i++) {
        const struct request_record record = record_of(&tracer->batch[i]);
        for (size_t part = 0; part < OTLP_PARTS; part++)
            fill_random(context.part_ids[part], sizeof context.part_ids[part]);
        otlp_add(out, i == 0, &record, &context);
    }
    otlp_end(out);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) return body;
    free(body);
    return NULL;
}

/* A line when it stops going well and one when it goes well again, however often it is tried. */
static void complain(struct tracer *tracer, enum delivery delivery, const char *reason) {
    bool well = delivery == DELIVERY_TAKEN;
    if (well != tracer->complained) return;
    tracer->complained = !well;
    if (well)
        log_event(LOG_INFO, "traces are sent again");
    else
        log_event(LOG_WARN, "traces are not taken", LOG_STR("why", reason));
}

/* After a failure: until the calm is over, or the end. */
static void calm(struct tracer *tracer, uint64_t calm_ns) {
    uint64_t until_ns = clock_add(clock_now_ns(), calm_ns);
    pthread_mutex_lock(&tracer->lock);
    while (!tracer->closing && clock_now_ns() < until_ns) wait_until(tracer, until_ns);
    pthread_mutex_unlock(&tracer->lock);
}

static bool deliver(struct tracer *tracer, const char *body, size_t bytes) {
    char reason[COLLECTOR_REASON_BYTES];
    uint64_t calm_ns = TRACER_CALM_NS;
    for (int tries = 1;; tries++) {
        enum delivery delivery = collector_send(tracer->collector, body, bytes, reason);
        complain(tracer, delivery, reason);
        if (delivery != DELIVERY_LATER) return delivery == DELIVERY_TAKEN;
        if (tries == TRACER_TRIES || is_closing(tracer)) return false;
        calm(tracer, calm_ns);
        calm_ns = calm_ns < TRACER_CALM_MOST_NS / 2 ? 2 * calm_ns : TRACER_CALM_MOST_NS;
    }
}

static void send_batch(struct tracer *tracer, size_t count) {
    size_t bytes = 0;
    char *body = encode(tracer, count, &bytes);
    bool taken = body != NULL && deliver(tracer, body, bytes);
    free(body);
    metrics_spans(tracer->metrics, taken ? SPANS_SENT : SPANS_DROPPED, spans_of(tracer, count));
}

static void *tracer_main(void *owner) {
    struct tracer *tracer = owner;
    pthread_setname_np(pthread_self(), "tracer");
    for (;;) {
        size_t count = take(tracer);
        if (count > 0)
            send_batch(tracer, count);
        else if (is_closing(tracer))
            return NULL;
    }
}

/* --- life -------------------------------------------------------------------------------------------- */

static void free_tracer(struct tracer *tracer) {
    collector_close(tracer->collector);
    pthread_cond_destroy(&tracer->changed);
    pthread_mutex_destroy(&tracer->lock);
    free(tracer->ring);
    free(tracer->batch);
    free(tracer);
}

static void open_lock(struct tracer *tracer) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&tracer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&tracer->lock, NULL);
}

enum outcome tracer_open(struct tracer **out, const struct tracer_options *options) {
    *out = NULL;
    struct tracer *tracer = calloc(1, sizeof *tracer);
    if (tracer == NULL) return MEMORY_EXHAUSTED;
    open_lock(tracer);
    tracer->metrics = options->metrics;
    tracer->sample_percent = options->sample_percent;
    tracer->ring = calloc(TRACER_REQUESTS, sizeof *tracer->ring);
    tracer->batch = calloc(TRACER_BATCH, sizeof *tracer->batch);
    enum outcome outcome = collector_open(&tracer->collector, options->collector);
    bool room = tracer->ring != NULL && tracer->batch != NULL;
    if (outcome == OK && room && pthread_create(&tracer->thread, NULL, tracer_main, tracer) == 0) {
        *out = tracer;
        return OK;
    }
    free_tracer(tracer);
    return MEMORY_EXHAUSTED;
}

void tracer_close(struct tracer *tracer) {
    if (tracer == NULL) return;
    collector_hurry(tracer->collector, clock_add(clock_now_ns(), TRACER_LAST_NS));
    pthread_mutex_lock(&tracer->lock);
    tracer->closing = true;
    pthread_cond_broadcast(&tracer->changed);
    pthread_mutex_unlock(&tracer->lock);
    pthread_join(tracer->thread, NULL);
    free_tracer(tracer);
}
