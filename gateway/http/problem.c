#include "gateway/http/problem.h"

#include "core/base/utf8.h"
#include "gateway/retry_after.h"
#include "gateway/status_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1100 /* of one escaped text */

const char *source_name(enum source source) {
    return source == SOURCE_WORKER ? "worker" : "gateway";
}

/* Writes text as the inside of a JSON string; what is not UTF-8 becomes U+FFFD. */
static const char *json_escape(const char *text, char out[TEXT_BYTES]) {
    size_t used = 0;
    for (size_t left = strnlen(text, TEXT_BYTES), bytes; left > 0; text += bytes, left -= bytes) {
        if (used + 7 >= TEXT_BYTES) break;
        bytes = utf8_length(text, left);
        if (bytes == 0) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "\\ufffd");
            bytes = 1;
        } else if (utf8_is_control(text)) {
            unsigned code = (unsigned char)text[bytes - 1]; /* of C1 it is the second byte */
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "\\u%04x", code);
        } else {
            if (*text == '"' || *text == '\\') out[used++] = '\\';
            memcpy(out + used, text, bytes);
            used += bytes;
        }
    }
    out[used] = '\0';
    return out;
}

/* An instance is a URI reference: what cannot stand in one is percent-encoded. */
static const char *uri_escape(const char *text, char out[TEXT_BYTES]) {
    size_t used = 0;
    for (; *text != '\0' && used + 4 < TEXT_BYTES; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c > '~' || strchr("\"\\<>^`{|}", c) != NULL)
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%%%02X", c);
        else
            out[used++] = (char)c;
    }
    out[used] = '\0';
    return out;
}

size_t problem_write(const struct problem *problem, char out[PROBLEM_BYTES]) {
    char detail[TEXT_BYTES], instance[TEXT_BYTES], id[TEXT_BYTES], retry[24] = "null";
    const char *title = outcome_title(problem->outcome), *code = outcome_code(problem->outcome);
    uint64_t retry_ms = retry_after_ms(problem->outcome, problem->retry_after_ns);
    if (retry_ms > 0) snprintf(retry, sizeof retry, "%" PRIu64, retry_ms);
    const char *text =
        problem->detail != NULL && problem->detail[0] != '\0' ? problem->detail : title;
    int length = snprintf(
        out, PROBLEM_BYTES,
        "{\"type\":\"urn:poolgate:problem:%s\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\","
        "\"instance\":\"%s\",\"code\":\"%s\",\"request_id\":\"%s\",\"source\":\"%s\","
        "\"retry_after_ms\":%s}\n",
        code, title, status_of(problem->outcome)->http, json_escape(text, detail),
        uri_escape(problem->instance, instance), code, json_escape(problem->request_id, id),
        source_name(problem->source), retry);
    return (size_t)length;
}
