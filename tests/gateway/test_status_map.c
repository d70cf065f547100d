#include "gateway/status_map.h"
#include "tests/support/suite.h"

#include <string.h>

/* The contract's table, written down a second time by hand. */
static const struct {
    const char *code;
    int http, grpc;
} contract[] = {
    {"ok", 200, 0},
    {"invalid_request", 400, 3},
    {"unauthenticated", 401, 16},
    {"permission_denied", 403, 7},
    {"no_such_pool", 404, 5},
    {"no_such_request", 404, 5},
    {"no_such_job", 404, 5},
    {"not_found", 404, 5},
    {"method_not_allowed", 405, 12},
    {"not_implemented", 501, 12},
    {"uri_too_long", 414, 3},
    {"headers_too_large", 431, 8},
    {"unsupported_media_type", 415, 3},
    {"already_exists", 409, 6},
    {"idempotency_mismatch", 422, 9},
    {"storage_full", 507, 8},
    {"payload_too_large", 413, 8},
    {"quarantined", 422, 9},
    {"rate_limited", 429, 8},
    {"cancelled", 499, 1},
    {"worker_error", 500, 13},
    {"worker_crashed", 502, 13},
    {"queue_full", 503, 14},
    {"circuit_open", 503, 14},
    {"no_workers", 503, 14},
    {"spawn_failed", 503, 14},
    {"memory_exhausted", 503, 14},
    {"shutting_down", 503, 14},
    {"paused", 503, 14},
    {"deadline_exceeded", 504, 4},
    {"spawn_timeout", 504, 4},
    {"deadline_unmeetable", 504, 4},
};

START_TEST(every_outcome_has_the_contracts_statuses) {
    ck_assert_uint_eq(sizeof contract / sizeof contract[0], OUTCOME_COUNT);
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        const char *code = outcome_code((enum outcome)i);
        size_t row = 0;
        while (row < OUTCOME_COUNT && strcmp(contract[row].code, code) != 0) row++;
        ck_assert_msg(row < OUTCOME_COUNT, "%s is not in the contract", code);
        const struct status *status = status_of((enum outcome)i);
        ck_assert_msg(status->http == contract[row].http, "HTTP status of %s", code);
        ck_assert_msg(status->grpc == contract[row].grpc, "gRPC status of %s", code);
    }
}
END_TEST

START_TEST(what_is_refused_before_it_ran_may_be_sent_again_and_nothing_else) {
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        const struct status *status = status_of((enum outcome)i);
        if (status->http == 429 || status->http == 503) ck_assert(status->retryable);
        if (status->http < 429) ck_assert(!status->retryable);
    }
    ck_assert(!status_of(WORKER_CRASHED)->retryable);
    ck_assert(!status_of(WORKER_ERROR)->retryable);
}
END_TEST

SUITE("gateway/status_map", 5, every_outcome_has_the_contracts_statuses,
      what_is_refused_before_it_ran_may_be_sent_again_and_nothing_else)
