#include "core/base/clock.h"
#include "gateway/grpc/tracking.h"
#include "gateway/http/request_state.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

static struct look look;
static json_t *made;

static json_t *request_now(void) {
    json_decref(made);
    made = request_state(&look);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void is(const json_t *object, const char *member, const char *wanted) {
    char *text = json_dumps(json_object_get(object, member), JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_msg(text != NULL && strcmp(text, wanted) == 0, "%s is %s, not %s", member, text,
                  wanted);
    free(text);
}

static void end(void) {
    json_decref(made);
    made = NULL;
}

static void arrange(enum look_state state) {
    look = (struct look){.state = state,
                         .priority = PRIORITY_LOW,
                         .arrived_ns = CLOCK_S,
                         .request_id = "mine",
                         .pool = "ocr"};
}

START_TEST(one_that_waits_has_a_place_and_a_wait) {
    arrange(LOOK_QUEUED);
    look.place = 3;
    look.blocked_by = LOOK_BLOCKED_BY_SLOTS;
    look.expected_wait_ns = 1500 * CLOCK_US;
    json_t *json = request_now();
    is(json, "state", "\"queued\"");
    is(json, "priority", "\"low\"");
    is(json, "place", "3");
    is(json, "expected_wait_ms", "1.5");
    is(json, "blocked_by", "\"slots\"");
    is(json, "outcome", "null");
    is(json, "tenant", "null");
    is(json, "timing_ms", "null");
    is(json, "began", "null");
    end();
}
END_TEST

START_TEST(a_wait_that_nobody_knows_is_null_and_minus_one) {
    struct request_status status;
    arrange(LOOK_QUEUED);
    look.expected_wait_ns = CLOCK_NEVER;
    is(request_now(), "expected_wait_ms", "null");
    request_status_fill(&status, &look);
    ck_assert_double_eq(status.message.expected_wait_ms, -1);
    end();
}
END_TEST

START_TEST(one_that_is_done_has_an_outcome_and_its_times) {
    struct request_status status;
    arrange(LOOK_DONE);
    look.outcome = QUARANTINED;
    look.attempts = 2;
    look.run_ns = 3 * CLOCK_MS;
    look.ended_ns = 2 * CLOCK_S;
    json_t *json = request_now();
    is(json, "outcome", "\"quarantined\"");
    is(json, "timing_ms", "{\"queue\":0.0,\"cold\":0.0,\"run\":3.0}");
    is(json, "expected_wait_ms", "null");
    request_status_fill(&status, &look);
    ck_assert_str_eq(status.message.outcome, "quarantined");
    ck_assert_uint_eq(status.message.timing->run_us, 3000);
    ck_assert_uint_eq(status.message.timing->attempts, 2);
    ck_assert_str_ne(status.message.ended, "");
    end();
}
END_TEST

START_TEST(both_doors_name_everything_alike) {
    struct request_status status;
    for (int state = LOOK_QUEUED; state <= LOOK_DONE; state++) {
        arrange((enum look_state)state);
        json_t *json = request_now();
        request_status_fill(&status, &look);
        ck_assert_str_eq(status.message.state, json_string_value(json_object_get(json, "state")));
        ck_assert_str_eq(status.message.arrived,
                         json_string_value(json_object_get(json, "arrived")));
        ck_assert_int_eq(status.message.timing == NULL, state != LOOK_DONE);
    }
    end();
}
END_TEST

/* --- the quarantine --- */

static struct buried graves[2];

static json_t *page(bool more) {
    struct buried_list list = {.items = graves, .room = 2, .count = 2, .more = more};
    json_decref(made);
    made = request_state_buried(&list);
    ck_assert_ptr_nonnull(made);
    return made;
}

static json_t *crash(const char *how) {
    graves[0] =
        (struct buried){.number = 7, .request_id = "deadly", .pool = "ocr", .marks_count = 1};
    graves[1] = (struct buried){.number = 12, .request_id = "too", .pool = "ocr"};
    snprintf(graves[0].marks[0].how, sizeof graves[0].marks[0].how, "%s", how);
    json_t *first = json_array_get(json_object_get(page(false), "quarantine"), 0);
    return json_array_get(json_object_get(first, "crashes"), 0);
}

START_TEST(how_a_worker_died_is_told_in_parts) {
    json_t *json = crash("the worker was ended by signal 6 (Aborted); last words: out of leptons");
    is(json, "signal", "6");
    is(json, "exit_code", "null");
    is(json, "stderr", "[\"out of leptons\"]");
    json = crash("the worker ended with exit status 3");
    is(json, "signal", "null");
    is(json, "exit_code", "3");
    is(json, "stderr", "[]");
    json = crash("it broke the protocol: \xff");
    is(json, "signal", "null");
    is(json, "how", "\"it broke the protocol: ?\"");
    end();
}
END_TEST

START_TEST(only_a_page_with_more_behind_it_has_a_next) {
    crash("");
    is(page(false), "next", "null");
    is(page(true), "next", "\"12\"");
    end();
}
END_TEST

START_TEST(no_more_marks_are_shown_than_are_kept) {
    crash("");
    graves[0].marks_count = QUARANTINE_MARKS + 5;
    graves[0].digest[1] = 255;
    json_t *first = json_array_get(json_object_get(page(false), "quarantine"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(first, "crashes")), QUARANTINE_MARKS);
    is(first, "body_digest", "\"000000000000000000000000000000ff\"");
    is(json_array_get(json_object_get(made, "quarantine"), 1), "body_digest", "null");
    end();
}
END_TEST

SUITE("gateway/http/request_state", 5, one_that_waits_has_a_place_and_a_wait,
      a_wait_that_nobody_knows_is_null_and_minus_one, one_that_is_done_has_an_outcome_and_its_times,
      both_doors_name_everything_alike, how_a_worker_died_is_told_in_parts,
      only_a_page_with_more_behind_it_has_a_next, no_more_marks_are_shown_than_are_kept)
