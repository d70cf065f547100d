#include "gateway/http/problem.h"
#include "gateway/retry_after.h"
#include "tests/support/suite.h"

#include <jansson.h>
#include <string.h>

static char text[PROBLEM_BYTES];

static struct problem sample(enum outcome outcome) {
    return (struct problem){.outcome = outcome,
                            .source = SOURCE_GATEWAY,
                            .instance = "/v1/pools/ocr/invoke",
                            .request_id = "id-1"};
}

static json_t *parsed(const struct problem *problem) {
    size_t bytes = problem_write(problem, text);
    ck_assert_uint_eq(bytes, strlen(text));
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "%s", text);
    return json;
}

static const char *member(json_t *json, const char *name) {
    return json_string_value(json_object_get(json, name));
}

START_TEST(a_problem_has_every_member_of_the_contract) {
    struct problem problem = sample(WORKER_ERROR);
    problem.source = SOURCE_WORKER;
    problem.detail = "no page in it";
    json_t *json = parsed(&problem);
    ck_assert_str_eq(member(json, "type"), "urn:poolgate:problem:worker_error");
    ck_assert_str_eq(member(json, "title"), outcome_title(WORKER_ERROR));
    ck_assert_int_eq(json_integer_value(json_object_get(json, "status")), 500);
    ck_assert_str_eq(member(json, "detail"), "no page in it");
    ck_assert_str_eq(member(json, "instance"), "/v1/pools/ocr/invoke");
    ck_assert_str_eq(member(json, "code"), "worker_error");
    ck_assert_str_eq(member(json, "request_id"), "id-1");
    ck_assert_str_eq(member(json, "source"), "worker");
    ck_assert(json_is_null(json_object_get(json, "retry_after_ms")));
    json_decref(json);
}
END_TEST

START_TEST(every_outcome_makes_a_problem) {
    for (int i = INVALID_REQUEST; i < OUTCOME_COUNT; i++) {
        struct problem problem = sample((enum outcome)i);
        json_t *json = parsed(&problem);
        ck_assert_str_eq(member(json, "code"), outcome_code((enum outcome)i));
        ck_assert_str_eq(member(json, "detail"), outcome_title((enum outcome)i));
        json_decref(json);
    }
}
END_TEST

START_TEST(retry_after_is_whole_seconds_rounded_up_and_at_least_one) {
    static const struct {
        uint64_t ns, seconds, ms;
    } rows[] = {{0, 1, 1000},          {1, 1, 1},
                {1000000000, 1, 1000}, {1000000001, 2, 1001},
                {2500000000, 3, 2500}, {59000000000, 59, 59000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct problem problem = sample(QUEUE_FULL);
        problem.retry_after_ns = rows[i].ns;
        ck_assert_uint_eq(retry_after_s(problem.outcome, problem.retry_after_ns), rows[i].seconds);
        json_t *json = parsed(&problem);
        json_int_t ms = json_integer_value(json_object_get(json, "retry_after_ms"));
        ck_assert_uint_eq((uint64_t)ms, rows[i].ms);
        json_decref(json);
    }
}
END_TEST

START_TEST(retry_after_comes_with_429_and_503_only) {
    struct problem problem = sample(DEADLINE_EXCEEDED);
    problem.retry_after_ns = 1000000000;
    ck_assert_uint_eq(retry_after_s(problem.outcome, problem.retry_after_ns), 0);
    problem.outcome = RATE_LIMITED;
    ck_assert_uint_eq(retry_after_s(problem.outcome, problem.retry_after_ns), 1);
}
END_TEST

START_TEST(a_workers_text_cannot_break_the_json) {
    static const struct {
        const char *detail, *shown;
    } rows[] = {
        {"\"}, \\ {\"", "\"}, \\ {\""},
        {"a\nb\tc\x01", "a\nb\tc\x01"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct problem problem = sample(WORKER_ERROR);
        problem.detail = rows[i].detail;
        json_t *json = parsed(&problem);
        ck_assert_str_eq(member(json, "detail"), rows[i].shown);
        json_decref(json);
    }
}
END_TEST

START_TEST(texts_of_any_length_fit_and_stay_json) {
    char detail[9000], instance[9000];
    for (size_t length = 0; length < sizeof detail - 1; length += 97) {
        memset(detail, length % 2 == 0 ? '\x02' : '"', length);
        memset(instance, '\xff', length);
        detail[length] = instance[length] = '\0';
        struct problem problem = sample(WORKER_ERROR);
        problem.detail = detail;
        problem.instance = instance;
        json_decref(parsed(&problem));
    }
}
END_TEST

START_TEST(an_instance_is_a_uri_whatever_the_client_sent) {
    struct problem problem = sample(NOT_FOUND);
    problem.instance = "/a\"b\xc3\xa9<\\";
    json_t *json = parsed(&problem);
    ck_assert_str_eq(member(json, "instance"), "/a%22b%C3%A9%3C%5C");
    json_decref(json);
}
END_TEST

START_TEST(random_bytes_stay_json) {
    unsigned seed = 7;
    for (int round = 0; round < 2000; round++) {
        char detail[200];
        size_t length = (size_t)rand_r(&seed) % sizeof detail;
        for (size_t i = 0; i < length; i++) detail[i] = (char)(1 + rand_r(&seed) % 255);
        detail[length > 0 ? length - 1 : 0] = '\0';
        struct problem problem = sample(INVALID_REQUEST);
        problem.detail = detail;
        json_decref(parsed(&problem));
    }
}
END_TEST

SUITE("gateway/http/problem", 20, a_problem_has_every_member_of_the_contract,
      every_outcome_makes_a_problem, retry_after_is_whole_seconds_rounded_up_and_at_least_one,
      retry_after_comes_with_429_and_503_only, a_workers_text_cannot_break_the_json,
      texts_of_any_length_fit_and_stay_json, an_instance_is_a_uri_whatever_the_client_sent,
      random_bytes_stay_json)
