#include "gateway/request_record.h"

#include <string.h>

static void keep(char out[64], const char *text) {
    size_t bytes = text == NULL ? 0 : strnlen(text, 63);
    if (bytes > 0) memcpy(out, text, bytes);
    out[bytes] = '\0';
}

void request_course_towards(struct request_course *course, const char *pool, const char *tenant,
                            enum priority priority) {
    keep(course->pool, pool);
    keep(course->tenant, tenant);
    course->priority = priority;
}

void request_course_answered(struct request_course *course, const struct request *request) {
    course->outcome = request->outcome;
    course->had_slot = request->slot != REQUEST_NO_SLOT;
    course->slot = request->slot;
    course->attempts = request->attempts;
    course->queue_ns = request->queue_ns;
    course->cold_ns = request->cold_ns;
    course->run_ns = request->run_ns;
}
