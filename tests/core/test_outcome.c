/* outcome: every code of the contract, written out here once more, and none besides. */
#include "core/base/outcome.h"
#include "tests/support/suite.h"

#include <ctype.h>
#include <string.h>

static const struct {
    enum outcome outcome;
    const char *code;
} contract[] = {
    {OK, "ok"},
    {INVALID_REQUEST, "invalid_request"},
    {UNAUTHENTICATED, "unauthenticated"},
    {PERMISSION_DENIED, "permission_denied"},
    {NO_SUCH_POOL, "no_such_pool"},
    {NO_SUCH_REQUEST, "no_such_request"},
    {NO_SUCH_JOB, "no_such_job"},
    {METHOD_NOT_ALLOWED, "method_not_allowed"},
    {NOT_IMPLEMENTED, "not_implemented"},
    {URI_TOO_LONG, "uri_too_long"},
    {HEADERS_TOO_LARGE, "headers_too_large"},
    {UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"},
    {ALREADY_EXISTS, "already_exists"},
    {IDEMPOTENCY_MISMATCH, "idempotency_mismatch"},
    {STORAGE_FULL, "storage_full"},
    {PAYLOAD_TOO_LARGE, "payload_too_large"},
    {QUARANTINED, "quarantined"},
    {RATE_LIMITED, "rate_limited"},
    {CANCELLED, "cancelled"},
    {WORKER_ERROR, "worker_error"},
    {WORKER_CRASHED, "worker_crashed"},
    {QUEUE_FULL, "queue_full"},
    {CIRCUIT_OPEN, "circuit_open"},
    {NO_WORKERS, "no_workers"},
    {SPAWN_FAILED, "spawn_failed"},
    {MEMORY_EXHAUSTED, "memory_exhausted"},
    {SHUTTING_DOWN, "shutting_down"},
    {PAUSED, "paused"},
    {DEADLINE_EXCEEDED, "deadline_exceeded"},
    {SPAWN_TIMEOUT, "spawn_timeout"},
    {DEADLINE_UNMEETABLE, "deadline_unmeetable"},
    /* A path that leads nowhere: the HTTP front end's own. */
    {NOT_FOUND, "not_found"},
};
#define CODES (sizeof contract / sizeof contract[0])

START_TEST(every_code_of_the_contract_is_there) {
    for (size_t i = 0; i < CODES; i++)
        ck_assert_str_eq(outcome_code(contract[i].outcome), contract[i].code);
}
END_TEST

START_TEST(there_is_no_code_besides_those_of_the_contract) {
    ck_assert_uint_eq(OUTCOME_COUNT, CODES);
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        size_t found = 0;
        for (size_t i = 0; i < CODES; i++)
            found += strcmp(outcome_code(outcome), contract[i].code) == 0;
        ck_assert_msg(found == 1, "%s is %zu times in the contract", outcome_code(outcome), found);
    }
}
END_TEST

START_TEST(ok_is_zero) {
    ck_assert_int_eq(OK, 0);
}
END_TEST

START_TEST(codes_and_titles_are_unique) {
    for (enum outcome a = 0; a < OUTCOME_COUNT; a++) {
        for (enum outcome b = a + 1; b < OUTCOME_COUNT; b++) {
            ck_assert_str_ne(outcome_code(a), outcome_code(b));
            ck_assert_str_ne(outcome_title(a), outcome_title(b));
        }
    }
}
END_TEST

START_TEST(codes_can_be_labels) {
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++)
        for (const char *c = outcome_code(outcome); *c != '\0'; c++)
            ck_assert(islower((unsigned char)*c) || *c == '_');
}
END_TEST

START_TEST(titles_read_like_sentences_without_a_stop) {
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
        const char *title = outcome_title(outcome);
        ck_assert_uint_gt(strlen(title), 0);
        ck_assert(isupper((unsigned char)title[0]));
        ck_assert_int_ne(title[strlen(title) - 1], '.');
    }
}
END_TEST

START_TEST(a_number_out_of_range_is_a_question_mark) {
    ck_assert_str_eq(outcome_code(OUTCOME_COUNT), "?");
    ck_assert_str_eq(outcome_title(OUTCOME_COUNT), "?");
    ck_assert_str_eq(outcome_code((enum outcome) - 1), "?");
    ck_assert_str_eq(outcome_title((enum outcome) - 1), "?");
}
END_TEST

SUITE("core/outcome", 30, every_code_of_the_contract_is_there,
      there_is_no_code_besides_those_of_the_contract, ok_is_zero, codes_and_titles_are_unique,
      codes_can_be_labels, titles_read_like_sentences_without_a_stop,
      a_number_out_of_range_is_a_question_mark)
