/* observer: what is said of a request at its end, and of which. */
#include "gateway/observer.h"
#include "tests/core/journal.h"
#include "tests/support/suite.h"

#include <jansson.h>

static struct metrics *metrics;
static struct observer observer;
static struct request_course course;
static struct request_record record;

/* An invocation that went well, over HTTP. */
static void arrange(void) {
    ck_assert_int_eq(metrics_open(&metrics), OK);
    observer = (struct observer){.metrics = metrics, .access_log = true};
    course = (struct request_course){.status = 200,
                                     .had_slot = true,
                                     .slot = 2,
                                     .attempts = 1,
                                     .bytes_in = 16,
                                     .bytes_out = 32,
                                     .queue_ns = 1500000,
                                     .run_ns = 2000000};
    request_course_towards(&course, "ocr", "acme", PRIORITY_HIGH);
    record = (struct request_record){.frontend = FRONTEND_HTTP,
                                     .method = "POST",
                                     .route = "/v1/pools/{pool}/invoke",
                                     .target = "/v1/pools/ocr/invoke",
                                     .request_id = "r-1",
                                     .client = "127.0.0.1:4711",
                                     .arrived_ns = 1000,
                                     .ended_ns = 4001000,
                                     .course = &course};
}

static char *said(enum log_format format, enum log_level level) {
    journal_open(level, format, 0, 65536);
    observer_began(&observer, NULL, &course);
    observer_ended(&observer, &record);
    return journal_text();
}

static void end(void) {
    metrics_close(metrics);
}

/* What stands behind time=… in the one line. */
static const char *line_of(char *text) {
    char *line = journal_line(&text);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(journal_line(&text));
    return strchr(line, ' ') + 1;
}

START_TEST(a_request_is_one_line) {
    arrange();
    ck_assert_str_eq(line_of(said(LOG_TEXT, LOG_INFO)),
                     "level=info msg=request frontend=http method=POST "
                     "route=/v1/pools/{pool}/invoke pool=ocr request_id=r-1 tenant=acme "
                     "priority=high code=ok status=200 bytes_in=16 bytes_out=32 queue_ms=1.500 "
                     "cold_ms=0.000 run_ms=2.000 total_ms=4.000 slot=ocr/2 attempts=1 "
                     "client=127.0.0.1:4711");
    end();
}
END_TEST

START_TEST(what_does_not_apply_is_left_out) {
    arrange();
    course = (struct request_course){.status = 404};
    record.outcome = NOT_FOUND;
    record.route = NULL;
    record.target = "/nowhere";
    record.client = "";
    ck_assert_str_eq(line_of(said(LOG_TEXT, LOG_INFO)),
                     "level=info msg=request frontend=http method=POST route=/nowhere "
                     "request_id=r-1 code=not_found status=404 bytes_in=0 bytes_out=0 "
                     "total_ms=4.000");
    end();
}
END_TEST

START_TEST(a_call_is_named_by_its_method_alone) {
    arrange();
    record.frontend = FRONTEND_GRPC;
    record.method = "poolgate.v1.Gateway/Invoke";
    record.route = record.target = NULL;
    char *text = said(LOG_TEXT, LOG_INFO);
    ck_assert_ptr_nonnull(
        strstr(text, " frontend=grpc method=poolgate.v1.Gateway/Invoke pool=ocr "));
    end();
}
END_TEST

START_TEST(a_trace_is_named_also_when_no_spans_are_kept) {
    arrange();
    journal_open(LOG_INFO, LOG_TEXT, 0, 65536);
    observer_began(&observer, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &course);
    observer_ended(&observer, &record);
    ck_assert_ptr_nonnull(
        strstr(journal_text(), " trace_id=4bf92f3577b34da6a3ce929d0e0e4736 client="));
    end();
}
END_TEST

START_TEST(no_text_of_a_client_can_make_a_second_line_or_another_field) {
    static char long_text[3000];
    arrange();
    memset(long_text, '"', sizeof long_text - 1);
    request_course_towards(&course, "ocr", "a\nlevel=alert\x01 \"code\":\"ok\" \xff", PRIORITY_LOW);
    record.method = long_text;
    record.route = NULL;
    record.target = long_text;
    record.request_id = "x\" code=\"ok";
    record.outcome = WORKER_CRASHED;
    json_error_t error;
    char *text = said(LOG_JSON, LOG_INFO), *line = journal_line(&text);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(object != NULL, "%s in %s", error.text, line);
    ck_assert_ptr_null(journal_line(&text));
    ck_assert_str_eq(json_string_value(json_object_get(object, "code")), "worker_crashed");
    ck_assert_str_eq(json_string_value(json_object_get(object, "request_id")), "x\" code=\"ok");
    ck_assert_str_eq(json_string_value(json_object_get(object, "client")), "127.0.0.1:4711");
    json_decref(object);
    end();
}
END_TEST

START_TEST(probes_are_said_only_in_detail_and_nothing_when_nobody_asked) {
    arrange();
    record.probe = true;
    ck_assert(!observer_reads(&observer, &course, true) || log_writes(LOG_DEBUG));
    ck_assert_str_eq(said(LOG_TEXT, LOG_INFO), "");
    ck_assert_ptr_nonnull(strstr(said(LOG_TEXT, LOG_DEBUG), "level=debug msg=request"));
    record.probe = false;
    ck_assert_str_eq(said(LOG_TEXT, LOG_WARN), "");
    observer.access_log = false;
    ck_assert_str_eq(said(LOG_TEXT, LOG_DEBUG), "");
    ck_assert(!observer_reads(&observer, &course, false));
    end();
}
END_TEST

static uint64_t refusals_of(const char *code) {
    struct snapshot none = {.memory.stall_percent = -1};
    char *page = NULL, wanted[128];
    size_t bytes;
    FILE *out = open_memstream(&page, &bytes);
    metrics_write(metrics, &none, out);
    fclose(out);
    snprintf(wanted, sizeof wanted, "\npoolgate_rejected_seconds_count{pool=\"ocr\",code=\"%s\"} ",
             code);
    const char *found = strstr(page, wanted);
    uint64_t count = found == NULL ? 0 : strtoull(found + strlen(wanted), NULL, 10);
    free(page);
    return count;
}

START_TEST(only_what_no_worker_had_is_a_refusal) {
    static const struct {
        enum outcome outcome;
        uint32_t attempts;
        uint64_t counted;
    } rows[] = {{OK, 1, 0},
                {OK, 0, 0},
                {WORKER_ERROR, 1, 0},
                {CANCELLED, 0, 0},
                {QUEUE_FULL, 0, 1},
                {DEADLINE_UNMEETABLE, 0, 1},
                {DEADLINE_EXCEEDED, 2, 0},
                {RATE_LIMITED, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        arrange();
        record.outcome = rows[i].outcome;
        course.attempts = rows[i].attempts;
        observer_ended(&observer, &record);
        ck_assert_uint_eq(refusals_of(outcome_code(rows[i].outcome)), rows[i].counted);
        end();
    }
}
END_TEST

START_TEST(a_course_keeps_what_the_pool_says) {
    const struct request request = {.outcome = WORKER_ERROR,
                                    .slot = 3,
                                    .attempts = 2,
                                    .queue_ns = 1,
                                    .cold_ns = 2,
                                    .run_ns = 3};
    const struct request nowhere = {.outcome = QUEUE_FULL, .slot = REQUEST_NO_SLOT};
    course = (struct request_course){.bytes_in = 7};
    request_course_answered(&course, &request);
    ck_assert(course.had_slot);
    ck_assert_uint_eq(course.slot, 3);
    ck_assert_uint_eq(course.attempts, 2);
    ck_assert_int_eq(course.outcome, WORKER_ERROR);
    ck_assert_uint_eq(course.queue_ns * 100 + course.cold_ns * 10 + course.run_ns, 123);
    ck_assert_uint_eq(course.bytes_in, 7);
    request_course_answered(&course, &nowhere);
    ck_assert(!course.had_slot);
}
END_TEST

SUITE("gateway/observer", 10, a_request_is_one_line, what_does_not_apply_is_left_out,
      a_call_is_named_by_its_method_alone, a_trace_is_named_also_when_no_spans_are_kept,
      no_text_of_a_client_can_make_a_second_line_or_another_field,
      probes_are_said_only_in_detail_and_nothing_when_nobody_asked,
      only_what_no_worker_had_is_a_refusal, a_course_keeps_what_the_pool_says)
