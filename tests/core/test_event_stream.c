#include "core/event_stream.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define KIND(name)    HAPPENING_BIT(name)
#define HAMMER_EVENTS 200000
#define MODEL_STEPS   200000

static void count_wakes(void *owner) {
    unsigned *wakes = owner;
    (*wakes)++;
}

static void ignore(void *owner) {
    (void)owner;
}

static struct event_stream *stream_new(void) {
    struct event_stream *stream;
    ck_assert_int_eq(event_stream_open(&stream), OK);
    return stream;
}

static struct event_feed *feed_new(struct event_stream *stream, uint32_t kinds, size_t capacity) {
    struct event_feed *feed;
    ck_assert_int_eq(event_feed_open(&feed, stream, kinds, capacity, ignore, NULL), OK);
    return feed;
}

static void emit(struct event_stream *stream, enum happening_kind kind, uint64_t number) {
    struct happening happening = {
        .kind = kind, .slot = HAPPENING_NO_SLOT, .number = number, .from = "", .to = "here"};
    event_stream_emit(stream, &happening);
}

START_TEST(a_feed_gets_what_it_wants_in_order) {
    struct event_stream *stream = stream_new();
    struct event_feed *feed = feed_new(stream, KIND(SLOT) | KIND(SCALE), 8);
    emit(stream, HAPPENING_SLOT, 1);
    emit(stream, HAPPENING_BREAKER, 2);
    emit(stream, HAPPENING_SCALE, 3);
    struct happening happening;
    uint64_t lost;
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_int_eq(happening.kind, HAPPENING_SLOT);
    ck_assert_uint_eq(happening.number, 1);
    ck_assert_uint_eq(happening.sequence, 1);
    ck_assert_str_eq(happening.to, "here");
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_int_eq(happening.kind, HAPPENING_SCALE);
    ck_assert_uint_eq(happening.sequence, 3);
    ck_assert_uint_eq(lost, 0);
    ck_assert(!event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 0);
    event_feed_close(feed);
    event_stream_close(stream);
}
END_TEST

START_TEST(a_kind_is_wanted_while_a_feed_for_it_is_open) {
    struct event_stream *stream = stream_new();
    ck_assert(!event_stream_wants(stream, HAPPENING_SLOT));
    struct event_feed *first = feed_new(stream, KIND(SLOT), 1);
    struct event_feed *second = feed_new(stream, KIND(SLOT) | KIND(ALARM), 1);
    ck_assert(event_stream_wants(stream, HAPPENING_SLOT));
    ck_assert(event_stream_wants(stream, HAPPENING_ALARM));
    ck_assert(!event_stream_wants(stream, HAPPENING_REQUEST_STARTED));
    event_feed_close(second);
    ck_assert(event_stream_wants(stream, HAPPENING_SLOT));
    ck_assert(!event_stream_wants(stream, HAPPENING_ALARM));
    event_feed_close(first);
    ck_assert(!event_stream_wants(stream, HAPPENING_SLOT));
    event_stream_close(stream);
}
END_TEST

START_TEST(a_slow_listener_is_told_how_many_it_lost_and_where) {
    struct event_stream *stream = stream_new();
    struct event_feed *feed = feed_new(stream, HAPPENINGS_ALL, 4);
    for (uint64_t i = 0; i < 10; i++) emit(stream, HAPPENING_SLOT, i);
    struct happening happening;
    uint64_t lost;
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 0);
    emit(stream, HAPPENING_SLOT, 10); /* into the place that got free */
    for (uint64_t i = 1; i < 4; i++) {
        ck_assert(event_feed_next(feed, &happening, &lost));
        ck_assert_uint_eq(happening.number, i);
        ck_assert_uint_eq(lost, 0);
    }
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(happening.number, 10);
    ck_assert_uint_eq(lost, 6);
    ck_assert_uint_eq(event_stream_lost(stream), 6);
    event_feed_close(feed);
    event_stream_close(stream);
}
END_TEST

START_TEST(what_was_lost_last_is_told_without_a_further_event) {
    struct event_stream *stream = stream_new();
    struct event_feed *feed = feed_new(stream, HAPPENINGS_ALL, 2);
    for (uint64_t i = 0; i < 5; i++) emit(stream, HAPPENING_SLOT, i);
    struct happening happening;
    uint64_t lost;
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 0);
    ck_assert(!event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 3);
    ck_assert(!event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 0);
    emit(stream, HAPPENING_SLOT, 5);
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_uint_eq(lost, 0);
    event_feed_close(feed);
    event_stream_close(stream);
}
END_TEST

START_TEST(the_first_event_of_an_empty_feed_wakes_and_no_other) {
    struct event_stream *stream = stream_new();
    struct event_feed *feed;
    unsigned wakes = 0;
    ck_assert_int_eq(
        event_feed_open(&feed, stream, KIND(SLOT) | KIND(POOL), 2, count_wakes, &wakes), OK);
    emit(stream, HAPPENING_BREAKER, 0);
    ck_assert_uint_eq(wakes, 0);
    for (int i = 0; i < 5; i++) emit(stream, HAPPENING_SLOT, 0);
    ck_assert_uint_eq(wakes, 1);
    struct happening happening;
    uint64_t lost;
    while (event_feed_next(feed, &happening, &lost)) continue;
    emit(stream, HAPPENING_POOL, 0);
    ck_assert_uint_eq(wakes, 2);
    event_feed_close(feed);
    emit(stream, HAPPENING_POOL, 0);
    ck_assert_uint_eq(wakes, 2);
    event_stream_close(stream);
}
END_TEST

START_TEST(there_are_places_for_so_many_feeds_and_a_closed_one_gives_its_place_back) {
    struct event_stream *stream = stream_new();
    struct event_feed *feeds[EVENT_FEEDS_MOST], *further;
    for (size_t i = 0; i < EVENT_FEEDS_MOST; i++) feeds[i] = feed_new(stream, KIND(SLOT), 1);
    ck_assert_int_eq(event_feed_open(&further, stream, KIND(SLOT), 1, ignore, NULL), QUEUE_FULL);
    ck_assert_ptr_null(further);
    event_feed_close(feeds[7]);
    feeds[7] = feed_new(stream, KIND(SLOT), 1);
    emit(stream, HAPPENING_SLOT, 1);
    for (size_t i = 0; i < EVENT_FEEDS_MOST; i++) {
        struct happening happening;
        uint64_t lost;
        ck_assert(event_feed_next(feeds[i], &happening, &lost));
        event_feed_close(feeds[i]);
    }
    event_stream_close(stream);
}
END_TEST

START_TEST(every_kind_has_a_name_of_its_own) {
    for (int i = 0; i < HAPPENING_COUNT; i++)
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(happening_name((enum happening_kind)i),
                             happening_name((enum happening_kind)j));
    ck_assert_str_eq(happening_name(HAPPENING_REQUEST_FAILED), "request_failed");
}
END_TEST

/* --- against a simple model -------------------------------------------------------------------------- */

struct model {
    uint64_t numbers[4], lost_before[4];
    size_t count;
    uint64_t lost; /* since the last one that was kept */
};

static void model_emit(struct model *model, uint64_t number) {
    if (model->count == 4) {
        model->lost++;
        return;
    }
    model->numbers[model->count] = number;
    model->lost_before[model->count++] = model->lost;
    model->lost = 0;
}

static bool model_next(struct model *model, uint64_t *number, uint64_t *lost) {
    if (model->count == 0) {
        *lost = model->lost;
        model->lost = 0;
        return false;
    }
    *number = model->numbers[0];
    *lost = model->lost_before[0];
    model->count--;
    memmove(model->numbers, model->numbers + 1, sizeof model->numbers - sizeof(uint64_t));
    memmove(model->lost_before, model->lost_before + 1, sizeof model->numbers - sizeof(uint64_t));
    return true;
}

START_TEST(a_feed_does_what_a_simple_queue_of_four_does) {
    struct chance chance = chance_open();
    struct event_stream *stream = stream_new();
    struct event_feed *feed = feed_new(stream, KIND(SLOT), 4);
    struct model model = {0};
    for (uint64_t step = 0; step < MODEL_STEPS; step++) {
        if (chance_percent(&chance, 55)) {
            emit(stream, HAPPENING_SLOT, step);
            model_emit(&model, step);
            continue;
        }
        struct happening happening;
        uint64_t number = 0, lost, expected_lost;
        bool expected = model_next(&model, &number, &expected_lost);
        require(event_feed_next(feed, &happening, &lost) == expected);
        require(lost == expected_lost);
        require(!expected || happening.number == number);
    }
    event_feed_close(feed);
    event_stream_close(stream);
}
END_TEST

/* --- many threads ------------------------------------------------------------------------------------ */

/* One that listens from before the first event until after the last. */
struct listener {
    struct event_stream *stream;
    struct event_feed *feed;
    uint32_t kinds;
    unsigned pause; /* yields after each event */
    const atomic_bool *over;
    uint64_t received, lost;
};

static void check_content(const struct happening *happening) {
    require(happening->number == happening->sequence * 7);
    require(happening->error[0] == happening->why[191]);
    require(happening->error[0] == (char)('a' + happening->sequence % 26));
}

static void *listen_to_the_end(void *argument) {
    struct listener *listener = argument;
    struct happening happening;
    uint64_t lost, last = 0;
    for (bool last_round = false; !last_round;) {
        last_round = atomic_load(listener->over);
        while (event_feed_next(listener->feed, &happening, &lost)) {
            check_content(&happening);
            require((KIND(SLOT) << (happening.kind - HAPPENING_SLOT) & listener->kinds) != 0);
            require(happening.sequence > last);
            if (listener->kinds == HAPPENINGS_ALL) require(happening.sequence == last + 1 + lost);
            last = happening.sequence;
            listener->received++;
            listener->lost += lost;
            for (unsigned i = 0; i < listener->pause; i++) sched_yield();
        }
        listener->lost += lost;
        last += lost; /* told ahead of the next event */
        sched_yield();
    }
    return NULL;
}

/* Comes and goes; between two events that it gets, those missing are those it was told of. */
static void *come_and_go(void *argument) {
    struct listener *listener = argument;
    while (!atomic_load(listener->over)) {
        struct event_feed *feed = feed_new(listener->stream, HAPPENINGS_ALL, 8);
        struct happening happening;
        uint64_t lost, last = 0;
        for (int i = 0; i < 20; i++) {
            if (!event_feed_next(feed, &happening, &lost)) {
                require(lost == 0 || last != 0);
                last = 0; /* what was told here is not told again */
                sched_yield();
                continue;
            }
            check_content(&happening);
            require(last == 0 || happening.sequence == last + 1 + lost);
            last = happening.sequence;
            listener->received++;
        }
        event_feed_close(feed);
    }
    return NULL;
}

struct sender {
    struct event_stream *stream;
    struct chance chance;
    uint64_t emitted[HAPPENING_COUNT];
    atomic_bool *over;
};

static void *emit_many(void *argument) {
    struct sender *sender = argument;
    for (uint64_t i = 1; i <= HAMMER_EVENTS; i++) {
        struct happening happening = {
            .kind = (enum happening_kind)chance_below(&sender->chance, HAPPENING_COUNT),
            .number = i * 7};
        happening.error[0] = happening.why[191] = (char)('a' + i % 26);
        sender->emitted[happening.kind]++;
        event_stream_emit(sender->stream, &happening);
        if (i % 64 == 0) sched_yield();
    }
    atomic_store(sender->over, true);
    return NULL;
}

START_TEST(received_and_lost_add_up_to_what_happened_however_listeners_come_and_go) {
    enum { STEADY = 3, PASSING = 3 };
    struct event_stream *stream = stream_new();
    atomic_bool over = false;
    struct sender sender = {.stream = stream, .chance = chance_open(), .over = &over};
    struct listener listeners[STEADY + PASSING] = {{.kinds = HAPPENINGS_ALL},
                                                   {.kinds = HAPPENINGS_ALL, .pause = 50},
                                                   {.kinds = KIND(SLOT) | KIND(ALARM)}};
    pthread_t threads[STEADY + PASSING], loop;
    for (size_t i = 0; i < STEADY + PASSING; i++) {
        listeners[i].stream = stream;
        listeners[i].over = &over;
        if (i < STEADY) listeners[i].feed = feed_new(stream, listeners[i].kinds, 64);
        pthread_create(&threads[i], NULL, i < STEADY ? listen_to_the_end : come_and_go,
                       &listeners[i]);
    }
    pthread_create(&loop, NULL, emit_many, &sender);
    pthread_join(loop, NULL);
    for (size_t i = 0; i < STEADY + PASSING; i++) {
        pthread_join(threads[i], NULL);
        if (i >= STEADY) continue;
        uint64_t emitted = 0;
        for (int kind = 0; kind < HAPPENING_COUNT; kind++)
            if ((listeners[i].kinds & UINT32_C(1) << kind) != 0) emitted += sender.emitted[kind];
        ck_assert_uint_eq(listeners[i].received + listeners[i].lost, emitted);
        event_feed_close(listeners[i].feed);
    }
    ck_assert_uint_gt(listeners[1].lost, 0);
    event_stream_close(stream);
}
END_TEST

/* A listener that sleeps until it is woken misses nothing: no wake-up is lost. */
struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    bool woken;
};

static void wake_sleeper(void *owner) {
    struct sleeper *sleeper = owner;
    pthread_mutex_lock(&sleeper->lock);
    sleeper->woken = true;
    pthread_cond_signal(&sleeper->arrived);
    pthread_mutex_unlock(&sleeper->lock);
}

static void sleep_until_woken(struct sleeper *sleeper) {
    pthread_mutex_lock(&sleeper->lock);
    while (!sleeper->woken) pthread_cond_wait(&sleeper->arrived, &sleeper->lock);
    sleeper->woken = false;
    pthread_mutex_unlock(&sleeper->lock);
}

START_TEST(no_wake_up_is_lost) {
    struct event_stream *stream = stream_new();
    atomic_bool over = false;
    struct sender sender = {.stream = stream, .chance = chance_open(), .over = &over};
    struct sleeper sleeper = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct event_feed *feed;
    ck_assert_int_eq(event_feed_open(&feed, stream, HAPPENINGS_ALL, 16, wake_sleeper, &sleeper),
                     OK);
    pthread_t loop;
    pthread_create(&loop, NULL, emit_many, &sender);
    uint64_t seen = 0;
    while (seen < HAMMER_EVENTS) {
        struct happening happening;
        uint64_t lost;
        bool more = event_feed_next(feed, &happening, &lost);
        seen += lost + more;
        /* Nothing left and nothing lost at the very end: the loop owes a wake-up. */
        if (!more && seen < HAMMER_EVENTS && !atomic_load(&over)) sleep_until_woken(&sleeper);
    }
    pthread_join(loop, NULL);
    ck_assert_uint_eq(seen, HAMMER_EVENTS);
    event_feed_close(feed);
    event_stream_close(stream);
}
END_TEST

SUITE("core/event_stream", 120, a_feed_gets_what_it_wants_in_order,
      a_kind_is_wanted_while_a_feed_for_it_is_open,
      a_slow_listener_is_told_how_many_it_lost_and_where,
      what_was_lost_last_is_told_without_a_further_event,
      the_first_event_of_an_empty_feed_wakes_and_no_other,
      there_are_places_for_so_many_feeds_and_a_closed_one_gives_its_place_back,
      every_kind_has_a_name_of_its_own, a_feed_does_what_a_simple_queue_of_four_does,
      received_and_lost_add_up_to_what_happened_however_listeners_come_and_go, no_wake_up_is_lost)
