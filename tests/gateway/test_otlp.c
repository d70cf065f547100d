/* otlp: requests as a collector reads them. */
#include "gateway/trace/otlp.h"
#include "tests/support/suite.h"

#include <jansson.h>

static struct request_course course;
static struct request_record record;
static struct otlp_context context;
static char *text;

static void arrange(void) {
    course = (struct request_course){.status = 200,
                                     .had_slot = true,
                                     .slot = 2,
                                     .attempts = 1,
                                     .cold_ns = 100,
                                     .queue_ns = 20,
                                     .run_ns = 3};
    traceparent_read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &course.trace);
    memcpy(course.trace.span_id, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    request_course_towards(&course, "ocr", "acme", PRIORITY_NORMAL);
    record = (struct request_record){.frontend = FRONTEND_HTTP,
                                     .method = "POST",
                                     .route = "/v1/pools/{pool}/invoke",
                                     .target = "/v1/pools/ocr/invoke",
                                     .request_id = "r-1",
                                     .client = "127.0.0.1:4711",
                                     .arrived_ns = 1000,
                                     .ended_ns = 1130,
                                     .course = &course};
    context = (struct otlp_context){.wall_offset_ns = UINT64_C(1700000000000000000)};
    for (uint8_t i = 0; i < OTLP_PARTS; i++) memset(context.part_ids[i], 0xa0 + i, 8);
}

static const char *encoded(void) {
    size_t bytes;
    free(text);
    FILE *out = open_memstream(&text, &bytes);
    otlp_begin(out);
    otlp_add(out, true, &record, &context);
    otlp_end(out);
    fclose(out);
    return text;
}

/* The spans; kept alive by *root. */
static json_t *spans(json_t **root) {
    json_error_t error;
    *root = json_loads(encoded(), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(*root != NULL, "%s in %s", error.text, text);
    json_t *resource = json_array_get(json_object_get(*root, "resourceSpans"), 0);
    json_t *scope = json_array_get(json_object_get(resource, "scopeSpans"), 0);
    return json_object_get(scope, "spans");
}

static const char *attribute(const json_t *span, const char *key) {
    size_t i;
    json_t *pair;
    json_array_foreach(json_object_get(span, "attributes"), i, pair) {
        if (strcmp(json_string_value(json_object_get(pair, "key")), key) != 0) continue;
        json_t *value = json_object_get(pair, "value");
        const char *word = json_string_value(json_object_get(value, "stringValue"));
        return word != NULL ? word : json_string_value(json_object_get(value, "intValue"));
    }
    return NULL;
}

#define TRACE_ID                     "\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\""
#define TEXT_ATTRIBUTE(key, value)   "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define NUMBER_ATTRIBUTE(key, value) "{\"key\":\"" key "\",\"value\":{\"intValue\":\"" value "\"}}"

START_TEST(a_request_is_a_server_span_with_its_parts_one_after_the_other) {
    arrange();
    ck_assert_str_eq(
        encoded(),
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" TEXT_ATTRIBUTE(
            "service.name",
            "poolgate") "," TEXT_ATTRIBUTE("service.version",
                                           POOLGATE_VERSION) "]},"
                                                             "\"scopeSpans\":[{\"scope\":{\"name\":"
                                                             "\"poolgate\"},\"spans\":["
                                                             "{" TRACE_ID
                                                             ",\"spanId\":\"0102030405060708\","
                                                             "\"parentSpanId\":"
                                                             "\"00f067aa0ba902b7\","
                                                             "\"kind\":2,\"startTimeUnixNano\":"
                                                             "\"1700000000000001000\","
                                                             "\"endTimeUnixNano\":"
                                                             "\"1700000000000001130\",\"name\":"
                                                             "\"POST /v1/pools/{pool}/invoke\","
                                                             "\"attributes\":[" TEXT_ATTRIBUTE(
                                                                 "http.request.method", "POST") "," TEXT_ATTRIBUTE("http.route",
                                                                                                                   "/v1/pools/{pool}/invoke") "," TEXT_ATTRIBUTE("url.path", "/v1/pools/ocr/invoke") "," NUMBER_ATTRIBUTE("http.response.status_code", "200") "," TEXT_ATTRIBUTE("client.address", "127.0.0.1:4711") "," TEXT_ATTRIBUTE("poolgate.code", "ok") "," TEXT_ATTRIBUTE("poolgate.request_id",
                                                                                                                                                                                                                                                                                                                                                                                  "r-1") "," TEXT_ATTRIBUTE("poolgate.tenant", "acme") "," TEXT_ATTRIBUTE("poolgate.pool",
                                                                                                                                                                                                                                                                                                                                                                                                                                                          "ocr") "," TEXT_ATTRIBUTE("poolgate.priority",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "normal") "," TEXT_ATTRIBUTE("poolgate.slot", "ocr/2") "," NUMBER_ATTRIBUTE("poolgate.attempts",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "1") "]},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "{" TRACE_ID
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     ",\"spanId\":\"a0a0a0a0a0a0a0a0\",\"parentSpanId\":\"0102030405060708\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"kind\":1,\"startTimeUnixNano\":\"1700000000000001000\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"endTimeUnixNano\":\"1700000000000001100\",\"name\":\"cold\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "{" TRACE_ID
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     ",\"spanId\":\"a1a1a1a1a1a1a1a1\",\"parentSpanId\":\"0102030405060708\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"kind\":1,\"startTimeUnixNano\":\"1700000000000001100\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"endTimeUnixNano\":\"1700000000000001120\",\"name\":\"queue\"},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "{" TRACE_ID
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     ",\"spanId\":\"a2a2a2a2a2a2a2a2\",\"parentSpanId\":\"0102030405060708\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"kind\":1,\"startTimeUnixNano\":\"1700000000000001120\","
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "\"endTimeUnixNano\":\"1700000000000001123\",\"name\":\"run\"}"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "]}]}]}\n");
    ck_assert_uint_eq(otlp_spans(&record), 4);
}
END_TEST

START_TEST(a_trace_that_begins_here_has_no_parent_and_parts_that_took_nothing_are_not_there) {
    arrange();
    memset(course.trace.parent_id, 0, sizeof course.trace.parent_id);
    course.cold_ns = course.queue_ns = course.run_ns = 0;
    json_t *root, *all = spans(&root);
    ck_assert_uint_eq(json_array_size(all), 1);
    ck_assert_uint_eq(otlp_spans(&record), 1);
    ck_assert_ptr_null(json_object_get(json_array_get(all, 0), "parentSpanId"));
    json_decref(root);
}
END_TEST

START_TEST(a_call_is_named_as_the_conventions_name_rpcs) {
    arrange();
    record.frontend = FRONTEND_GRPC;
    record.method = "poolgate.v1.Gateway/Invoke";
    record.route = record.target = NULL;
    course.status = 14;
    record.outcome = QUEUE_FULL;
    json_t *root, *span = json_array_get(spans(&root), 0);
    ck_assert_str_eq(json_string_value(json_object_get(span, "name")),
                     "poolgate.v1.Gateway/Invoke");
    ck_assert_str_eq(attribute(span, "rpc.system"), "grpc");
    ck_assert_str_eq(attribute(span, "rpc.service"), "poolgate.v1.Gateway");
    ck_assert_str_eq(attribute(span, "rpc.method"), "Invoke");
    ck_assert_str_eq(attribute(span, "rpc.grpc.status_code"), "14");
    ck_assert_ptr_null(attribute(span, "http.request.method"));
    json_decref(root);
}
END_TEST

START_TEST(only_what_is_the_servers_fault_is_an_error) {
    static const struct {
        enum frontend frontend;
        unsigned status;
        enum outcome outcome;
        bool error;
    } rows[] = {{FRONTEND_HTTP, 200, OK, false},
                {FRONTEND_HTTP, 404, NO_SUCH_POOL, false},
                {FRONTEND_HTTP, 499, CANCELLED, false},
                {FRONTEND_HTTP, 503, QUEUE_FULL, true},
                {FRONTEND_GRPC, 0, OK, false},
                {FRONTEND_GRPC, 1, CANCELLED, false},
                {FRONTEND_GRPC, 3, INVALID_REQUEST, false},
                {FRONTEND_GRPC, 8, RATE_LIMITED, false},
                {FRONTEND_GRPC, 13, WORKER_CRASHED, true},
                {FRONTEND_GRPC, 4, DEADLINE_EXCEEDED, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        arrange();
        record.frontend = rows[i].frontend;
        record.outcome = rows[i].outcome;
        course.status = rows[i].status;
        json_t *root, *span = json_array_get(spans(&root), 0);
        const char *type = attribute(span, "error.type");
        const json_t *status = json_object_get(json_object_get(span, "status"), "code");
        ck_assert_int_eq(json_integer_value(status), rows[i].error ? 2 : 0);
        ck_assert_int_eq(type != NULL, rows[i].error);
        if (type != NULL) ck_assert_str_eq(type, outcome_code(rows[i].outcome));
        json_decref(root);
    }
}
END_TEST

START_TEST(what_a_client_chose_stays_inside_its_text) {
    arrange();
    record.method = "BREW\"";
    record.route = NULL;
    record.target = "/\"}],\\\n\x01\xff\xc3\xa4";
    json_t *root, *span = json_array_get(spans(&root), 0);
    ck_assert_str_eq(json_string_value(json_object_get(span, "name")), "_OTHER");
    ck_assert_str_eq(attribute(span, "http.request.method"), "_OTHER");
    ck_assert_str_eq(attribute(span, "url.path"), "/\"}],\\\n\x01\xef\xbf\xbd\xc3\xa4");
    json_decref(root);
}
END_TEST

SUITE("gateway/trace/otlp", 5, a_request_is_a_server_span_with_its_parts_one_after_the_other,
      a_trace_that_begins_here_has_no_parent_and_parts_that_took_nothing_are_not_there,
      a_call_is_named_as_the_conventions_name_rpcs, only_what_is_the_servers_fault_is_an_error,
      what_a_client_chose_stays_inside_its_text)
