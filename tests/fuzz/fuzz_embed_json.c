/* The JSON that embed takes. Input: the content type's line, then the body; without a line it is JSON. */
#include "tests/fuzz/fuzz.h"
#include "workers/embed/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *line = size > 0 && data[0] == '#' ? memchr(data, '\n', size) : NULL;
    char *type = line != NULL ? text_of(data + 1, (size_t)(line - data - 1))
                              : text_of((const uint8_t *)"application/json", 16);
    const size_t skipped = line != NULL ? (size_t)(line + 1 - data) : 0;
    const struct poolgate_request request = {.request_id = "",
                                             .content_type = type,
                                             .operation = "",
                                             .traceparent = "",
                                             .body = data + skipped,
                                             .body_bytes = size - skipped};
    struct question question;
    char why[QUESTION_WHY_BYTES] = "";
    const int error = question_read(&question, &request, 384, why);
    if (error != 0) {
        must(strlen(why) > 0 && error >= POOLGATE_INVALID_INPUT && error <= POOLGATE_FAILED);
        free(type);
        return 0;
    }
    size_t sum = 0, bytes;
    for (size_t i = 0; i < question.count; i++) {
        const char *text = question_text(&question, i, &bytes);
        for (size_t at = 0; at < bytes; at++) sum += (uint8_t)text[at]; /* all of it may be read */
    }
    must(sum < SIZE_MAX && question.dimensions >= 1 && question.dimensions <= 384);
    question_free(&question);
    free(type);
    return 0;
}
