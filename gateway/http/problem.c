#include "gateway/http/problem.h"

#include "core/base/clock.h"
#include "gateway/status_map.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1100 /* of one escaped text */

const char *source_name(enum source source) {
    return source == SOURCE_WORKER ? "worker" : "gateway";
}

/* Length of the well-formed UTF-8 sequence that text begins with (RFC 3629); 0: there is none. */
static size_t utf8_length(const unsigned char *text) {
    static const struct {
        unsigned char low, high, second_low, second_high;
        size_t length;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].low || text[0] > forms[i].high) continue;
        if (text[1] < forms[i].second_low || text[1] > forms[i].second_high) return 0;
        for (size_t at = 2; at < forms[i].length; at++)
            if ((text[at] & 0xc0) != 0x80) return 0;
        return forms[i].length;
    }
    return 0;
}

/* Writes text as the inside of a JSON string; what is not UTF-8 becomes U+FFFD. */
static const char *json_escape(const char *text, char out[TEXT_BYTES]) {
    size_t used = 0;
    const unsigned char *from = (const unsigned char *)text;
    while (*from != '\0' && used + 7 < TEXT_BYTES) {
        size_t length = *from < 0x80 ? 1 : utf8_length(from);
        if (length == 0) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "\\ufffd");
            length = 1;
        } else if (*from == '"' || *from == '\\') {
            out[used++] = '\\';
            out[used++] = (char)*from;
        } else if (*from < ' ' || *from == 0x7f) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "\\u%04x", *from);
        } else {
            memcpy(out + used, from, length);
            used += length;
        }
        from += length;
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

static bool has_retry_after(enum outcome outcome) {
    uint16_t status = status_of(outcome)->http;
    return status == 429 || status == 503;
}

uint64_t problem_retry_after_s(const struct problem *problem) {
    if (!has_retry_after(problem->outcome)) return 0;
    uint64_t seconds = problem->retry_after_ns / CLOCK_S;
    if (problem->retry_after_ns % CLOCK_S != 0) seconds++;
    return seconds > 0 ? seconds : 1;
}

size_t problem_write(const struct problem *problem, char out[PROBLEM_BYTES]) {
    char detail[TEXT_BYTES], instance[TEXT_BYTES], id[TEXT_BYTES], retry[24] = "null";
    const char *title = outcome_title(problem->outcome), *code = outcome_code(problem->outcome);
    if (has_retry_after(problem->outcome)) {
        uint64_t ns = problem->retry_after_ns > 0 ? problem->retry_after_ns : CLOCK_S;
        uint64_t ms = ns / CLOCK_MS + (ns % CLOCK_MS != 0 ? 1 : 0);
        snprintf(retry, sizeof retry, "%" PRIu64, ms);
    }
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
