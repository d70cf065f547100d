#include "gateway/status_map.h"

#include <assert.h>

/* The numbers of google.rpc.Code, so that this table does not need gRPC's headers. */
enum {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

static const struct status statuses[] = {
    [OK] = {200, GRPC_OK, false},
    [INVALID_REQUEST] = {400, GRPC_INVALID_ARGUMENT, false},
    [UNAUTHENTICATED] = {401, GRPC_UNAUTHENTICATED, false},
    [PERMISSION_DENIED] = {403, GRPC_PERMISSION_DENIED, false},
    [NO_SUCH_POOL] = {404, GRPC_NOT_FOUND, false},
    [NO_SUCH_REQUEST] = {404, GRPC_NOT_FOUND, false},
    [NO_SUCH_JOB] = {404, GRPC_NOT_FOUND, false},
    [NOT_FOUND] = {404, GRPC_NOT_FOUND, false},
    [METHOD_NOT_ALLOWED] = {405, GRPC_UNIMPLEMENTED, false},
    [NOT_IMPLEMENTED] = {501, GRPC_UNIMPLEMENTED, false},
    [URI_TOO_LONG] = {414, GRPC_INVALID_ARGUMENT, false},
    [HEADERS_TOO_LARGE] = {431, GRPC_RESOURCE_EXHAUSTED, false},
    [UNSUPPORTED_MEDIA_TYPE] = {415, GRPC_INVALID_ARGUMENT, false},
    [ALREADY_EXISTS] = {409, GRPC_ALREADY_EXISTS, false},
    [IDEMPOTENCY_MISMATCH] = {422, GRPC_FAILED_PRECONDITION, false},
    [STORAGE_FULL] = {507, GRPC_RESOURCE_EXHAUSTED, true},
    [PAYLOAD_TOO_LARGE] = {413, GRPC_RESOURCE_EXHAUSTED, false},
    [QUARANTINED] = {422, GRPC_FAILED_PRECONDITION, false},
    [RATE_LIMITED] = {429, GRPC_RESOURCE_EXHAUSTED, true},
    [CANCELLED] = {499, GRPC_CANCELLED, false},
    [WORKER_ERROR] = {500, GRPC_INTERNAL, false},
    [WORKER_CRASHED] = {502, GRPC_INTERNAL, false},
    [QUEUE_FULL] = {503, GRPC_UNAVAILABLE, true},
    [CIRCUIT_OPEN] = {503, GRPC_UNAVAILABLE, true},
    [NO_WORKERS] = {503, GRPC_UNAVAILABLE, true},
    [SPAWN_FAILED] = {503, GRPC_UNAVAILABLE, true},
    [MEMORY_EXHAUSTED] = {503, GRPC_UNAVAILABLE, true},
    [SHUTTING_DOWN] = {503, GRPC_UNAVAILABLE, true},
    [PAUSED] = {503, GRPC_UNAVAILABLE, true},
    [DEADLINE_EXCEEDED] = {504, GRPC_DEADLINE_EXCEEDED, false},
    [SPAWN_TIMEOUT] = {504, GRPC_DEADLINE_EXCEEDED, true},
    [DEADLINE_UNMEETABLE] = {504, GRPC_DEADLINE_EXCEEDED, false},
};
_Static_assert(sizeof statuses / sizeof statuses[0] == OUTCOME_COUNT, "an outcome has no status");

const struct status *status_of(enum outcome outcome) {
    assert((unsigned)outcome < OUTCOME_COUNT && statuses[outcome].http != 0);
    return &statuses[outcome];
}
