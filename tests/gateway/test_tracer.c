/* tracer: what is sent, what is dropped, and that nobody waits for either. A thread of the test is the
 * collector: it answers as it is told, and counts what it was sent. */
#include "core/base/clock.h"
#include "gateway/trace/tracer.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES ((size_t)4 << 20)

static struct {
    int listener;
    pthread_t thread;
    _Atomic(const char *) status; /* NULL: it says nothing */
    _Atomic unsigned posts, spans;
    char address[64];
} collector;

static struct metrics *metrics;
static struct tracer *tracer;

static void answer(int client) {
    static char text[BODY_BYTES];
    size_t used = 0, wanted = SIZE_MAX;
    while (used < wanted) {
        ssize_t got = read(client, text + used, BODY_BYTES - 1 - used);
        if (got <= 0) return;
        used += (size_t)got;
        text[used] = '\0';
        const char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (body == NULL || wanted != SIZE_MAX) continue;
        wanted = (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10);
    }
    ck_assert(strncmp(text, "POST /v1/traces HTTP/1.1\r\n", 26) == 0);
    ck_assert_ptr_nonnull(strstr(text, "\r\nContent-Type: application/json\r\n"));
    unsigned spans = 0;
    for (const char *at = text; (at = strstr(at, "\"spanId\"")) != NULL; at++) spans++;
    collector.spans += spans;
    collector.posts++;
    if (collector.status == NULL) {
        while (read(client, text, 1) > 0) continue;
        return;
    }
    dprintf(client, "HTTP/1.1 %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            atomic_load(&collector.status));
}

static void *collector_main(void *unused) {
    int client;
    while ((client = accept(collector.listener, NULL, NULL)) >= 0) {
        answer(client);
        close(client);
    }
    return unused;
}

static void listen_somewhere(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof any;
    collector.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(collector.listener, (struct sockaddr *)&any, sizeof any), 0);
    ck_assert_int_eq(getsockname(collector.listener, (struct sockaddr *)&any, &bytes), 0);
    snprintf(collector.address, sizeof collector.address, "http://127.0.0.1:%u/",
             ntohs(any.sin_port));
}

static void arrange(const char *status, uint32_t sample_percent) {
    collector.status = status;
    collector.posts = collector.spans = 0;
    listen_somewhere();
    ck_assert_int_eq(listen(collector.listener, 16), 0);
    ck_assert_int_eq(pthread_create(&collector.thread, NULL, collector_main, NULL), 0);
    ck_assert_int_eq(metrics_open(&metrics), OK);
    const struct tracer_options options = {
        .collector = collector.address, .sample_percent = sample_percent, .metrics = metrics};
    ck_assert_int_eq(tracer_open(&tracer, &options), OK);
}

static uint64_t counted(const char *name) {
    struct snapshot none = {.memory.stall_percent = -1};
    char *page = NULL, wanted[64];
    size_t bytes;
    FILE *out = open_memstream(&page, &bytes);
    metrics_write(metrics, &none, out);
    fclose(out);
    snprintf(wanted, sizeof wanted, "\npoolgate_trace_%s_total ", name);
    uint64_t count = strtoull(strstr(page, wanted) + strlen(wanted), NULL, 10);
    free(page);
    return count;
}

/* Each is two spans: itself and its run. */
static void add(size_t count) {
    struct request_course course = {.run_ns = 5};
    tracer_begin(tracer, NULL, &course.trace);
    const struct request_record record = {.frontend = FRONTEND_HTTP,
                                          .method = "GET",
                                          .target = "/",
                                          .request_id = "r",
                                          .client = "",
                                          .course = &course};
    for (size_t i = 0; i < count; i++) tracer_add(tracer, &record);
}

/* How long the tracer's end took. */
static uint64_t end_tracer(void) {
    uint64_t began_ns = clock_now_ns();
    tracer_close(tracer);
    return clock_now_ns() - began_ns;
}

static void end_collector(void) {
    shutdown(collector.listener, SHUT_RDWR);
    pthread_join(collector.thread, NULL);
    close(collector.listener);
    metrics_close(metrics);
}

START_TEST(what_is_added_is_sent_in_batches_and_the_rest_at_the_end) {
    arrange("200 OK", 100);
    add(3 * TRACER_BATCH + 1);
    ck_assert_uint_lt(end_tracer(), TRACER_LAST_NS);
    ck_assert_uint_eq(collector.spans, 2 * (3 * TRACER_BATCH + 1));
    ck_assert_uint_eq(collector.posts, 4);
    ck_assert_uint_eq(counted("sent"), collector.spans);
    ck_assert_uint_eq(counted("dropped"), 0);
    end_collector();
}
END_TEST

START_TEST(a_lone_span_is_sent_within_its_time) {
    arrange("202 Accepted", 100);
    add(1);
    uint64_t until_ns = clock_now_ns() + 3 * TRACER_PATIENCE_NS;
    while (counted("sent") == 0 && clock_now_ns() < until_ns) usleep(10000);
    ck_assert_uint_eq(counted("sent"), 2);
    end_tracer();
    end_collector();
}
END_TEST

START_TEST(without_room_spans_are_dropped_and_counted_and_nobody_waits) {
    arrange(NULL, 100); /* it takes everything and never answers */
    uint64_t began_ns = clock_now_ns();
    add(2 * TRACER_REQUESTS);
    ck_assert_uint_lt(clock_now_ns() - began_ns, CLOCK_S);
    ck_assert_uint_ge(counted("dropped"), 2 * (TRACER_REQUESTS - TRACER_BATCH));
    ck_assert_uint_lt(end_tracer(), TRACER_LAST_NS + CLOCK_S);
    ck_assert_uint_eq(counted("dropped") + counted("sent"), 2 * 2 * TRACER_REQUESTS);
    ck_assert_uint_eq(counted("sent"), 0);
    end_collector();
}
END_TEST

START_TEST(what_a_collector_refuses_is_not_sent_again) {
    arrange("400 Bad Request", 100);
    add(TRACER_BATCH);
    end_tracer();
    ck_assert_uint_eq(collector.posts, 1);
    ck_assert_uint_eq(counted("dropped"), 2 * TRACER_BATCH);
    end_collector();
}
END_TEST

START_TEST(what_a_collector_cannot_take_now_is_sent_again) {
    arrange("503 Service Unavailable", 100);
    add(TRACER_BATCH);
    uint64_t until_ns = clock_now_ns() + 5 * CLOCK_S;
    while (collector.posts == 0 && clock_now_ns() < until_ns) usleep(1000);
    collector.status = "200 OK";
    while (counted("sent") == 0 && clock_now_ns() < until_ns) usleep(10000);
    ck_assert_uint_eq(collector.posts, 2);
    ck_assert_uint_eq(counted("sent"), 2 * TRACER_BATCH);
    end_tracer();
    end_collector();
}
END_TEST

START_TEST(without_a_collector_the_end_comes_all_the_same) {
    const struct tracer_options options = {.collector = collector.address, .sample_percent = 100};
    struct tracer_options own = options;
    listen_somewhere(); /* and nobody listens */
    ck_assert_int_eq(metrics_open(&metrics), OK);
    own.metrics = metrics;
    ck_assert_int_eq(tracer_open(&tracer, &own), OK);
    add(TRACER_BATCH + 1);
    ck_assert_uint_lt(end_tracer(), TRACER_LAST_NS + CLOCK_S);
    ck_assert_uint_eq(counted("dropped"), 2 * (TRACER_BATCH + 1));
    close(collector.listener);
    metrics_close(metrics);
}
END_TEST

START_TEST(a_clients_trace_is_joined_and_its_wish_kept) {
    struct trace trace;
    char text[TRACEPARENT_BYTES];
    arrange("200 OK", 100);
    tracer_begin(tracer, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", &trace);
    ck_assert(!trace.sampled);
    traceparent_write(&trace, text);
    ck_assert(strncmp(text, "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36) == 0);
    ck_assert(strncmp(text + 36, "00f067aa0ba902b7", 16) != 0);
    ck_assert_str_eq(text + 52, "-00");
    end_tracer();
    end_collector();
}
END_TEST

START_TEST(traces_that_begin_here_have_ids_of_their_own_and_are_sampled_by_share) {
    static const uint32_t shares[] = {0, 25, 100};
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
        struct trace trace, before = {.sampled = false};
        unsigned sampled = 0;
        arrange("200 OK", shares[s]);
        for (int i = 0; i < 4000; i++, before = trace) {
            tracer_begin(tracer, NULL, &trace);
            ck_assert(trace_present(&trace));
            ck_assert(memcmp(trace.trace_id, before.trace_id, 16) != 0);
            ck_assert(memcmp(trace.span_id, before.span_id, 8) != 0);
            sampled += trace.sampled;
        }
        ck_assert_uint_ge(sampled, shares[s] * 40 - shares[s] % 100 * 6);
        ck_assert_uint_le(sampled, shares[s] * 40 + shares[s] % 100 * 6);
        end_tracer();
        end_collector();
    }
}
END_TEST

START_TEST(without_a_tracer_a_clients_trace_is_only_read) {
    struct trace trace;
    char text[TRACEPARENT_BYTES];
    tracer_begin(NULL, NULL, &trace);
    ck_assert(!trace_present(&trace));
    tracer_begin(NULL, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &trace);
    ck_assert_str_eq(traceparent_write(&trace, text),
                     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}
END_TEST

SUITE("gateway/trace/tracer", 30, what_is_added_is_sent_in_batches_and_the_rest_at_the_end,
      a_lone_span_is_sent_within_its_time,
      without_room_spans_are_dropped_and_counted_and_nobody_waits,
      what_a_collector_refuses_is_not_sent_again, what_a_collector_cannot_take_now_is_sent_again,
      without_a_collector_the_end_comes_all_the_same, a_clients_trace_is_joined_and_its_wish_kept,
      traces_that_begin_here_have_ids_of_their_own_and_are_sampled_by_share,
      without_a_tracer_a_clients_trace_is_only_read)
