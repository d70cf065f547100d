/* outcome - every way in which a request, or a function, can end.
 * thread: any; the table is constant.
 * owns:   nothing.
 * fails:  never. The contract's codes are the names in lower case. */
#ifndef CORE_BASE_OUTCOME_H
#define CORE_BASE_OUTCOME_H

/* X(NAME, code, title): code travels in JSON, metrics and trailers, title is a short text for people. */
#define OUTCOMES(X)                                                                                \
    X(OK, "ok", "OK")                                                                              \
    X(INVALID_REQUEST, "invalid_request", "The request is not valid")                              \
    X(UNAUTHENTICATED, "unauthenticated", "No valid key was given")                                \
    X(PERMISSION_DENIED, "permission_denied", "The key does not allow this")                       \
    X(NO_SUCH_POOL, "no_such_pool", "There is no such pool")                                       \
    X(NO_SUCH_REQUEST, "no_such_request", "There is no such request")                              \
    X(NO_SUCH_JOB, "no_such_job", "There is no such job")                                          \
    X(NOT_FOUND, "not_found", "There is nothing at this path")                                     \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here")                  \
    X(NOT_IMPLEMENTED, "not_implemented", "The gateway does not know this")                        \
    X(URI_TOO_LONG, "uri_too_long", "The request target is too long")                              \
    X(HEADERS_TOO_LARGE, "headers_too_large", "The request has too many or too long headers")      \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The content type is not supported")       \
    X(ALREADY_EXISTS, "already_exists", "The first request with this key still runs")              \
    X(IDEMPOTENCY_MISMATCH, "idempotency_mismatch", "The key was used with another body")          \
    X(STORAGE_FULL, "storage_full", "The job could not be made durable")                           \
    X(PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large")                             \
    X(QUARANTINED, "quarantined", "The request was put aside because it crashes workers")          \
    X(RATE_LIMITED, "rate_limited", "The tenant's limit is reached")                               \
    X(CANCELLED, "cancelled", "The request was cancelled")                                         \
    X(WORKER_ERROR, "worker_error", "The worker reported an error")                                \
    X(WORKER_CRASHED, "worker_crashed", "The worker died while it had the request")                \
    X(QUEUE_FULL, "queue_full", "The queue is full")                                               \
    X(CIRCUIT_OPEN, "circuit_open", "The pool's circuit breaker is open")                          \
    X(NO_WORKERS, "no_workers", "The pool has no workers")                                         \
    X(SPAWN_FAILED, "spawn_failed", "The pool's workers do not start")                             \
    X(MEMORY_EXHAUSTED, "memory_exhausted", "There is not enough memory")                          \
    X(SHUTTING_DOWN, "shutting_down", "The gateway or the pool is shutting down")                  \
    X(PAUSED, "paused", "The pool is paused")                                                      \
    X(DEADLINE_EXCEEDED, "deadline_exceeded", "The deadline has passed")                           \
    X(SPAWN_TIMEOUT, "spawn_timeout", "A worker took too long to load")                            \
    X(DEADLINE_UNMEETABLE, "deadline_unmeetable", "The deadline cannot be met")

enum outcome {
#define OUTCOME_NAME(name, code, title) name,
    OUTCOMES(OUTCOME_NAME)
#undef OUTCOME_NAME
        OUTCOME_COUNT
};

const char *outcome_code(enum outcome outcome);
const char *outcome_title(enum outcome outcome);

#endif
