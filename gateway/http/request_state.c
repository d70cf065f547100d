#include "gateway/http/request_state.h"

#include "core/base/clock.h"
#include "gateway/http/json_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_t *timing(const struct look *look) {
    if (look->state != LOOK_DONE) return json_null();
    return json_pack("{s:o, s:o, s:o}", "queue", json_milliseconds(look->queue_ns), "cold",
                     json_milliseconds(look->cold_ns), "run", json_milliseconds(look->run_ns));
}

json_t *request_state(const struct look *look) {
    bool done = look->state == LOOK_DONE;
    bool known = !done && look->expected_wait_ns != CLOCK_NEVER;
    return json_pack(
        "{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "request_id",
        json_foreign(look->request_id), "state", look_state_name(look->state), "pool",
        json_foreign(look->pool), "priority", priority_name(look->priority), "tenant",
        json_text_or_null(look->tenant), "place",
        look->place > 0 ? json_number(look->place) : json_null(), "expected_wait_ms",
        known ? json_milliseconds(look->expected_wait_ns) : json_null(), "blocked_by",
        json_text_or_null(look_block_name(look->blocked_by)), "outcome",
        done ? json_string(outcome_code(look->outcome)) : json_null(), "attempts",
        json_number(look->attempts), "shared", look->shared, "arrived",
        json_time_or_null(look->arrived_ns), "began", json_time_or_null(look->began_ns), "ended",
        json_time_or_null(look->ended_ns), "timing_ms", timing(look));
}

/* --- the quarantine --- */

#define LAST_WORDS "; last words: "

/* How a worker ended is one sentence, its own last line behind it. */
static json_t *crash_json(const struct quarantine_mark *mark) {
    int signal = 0, status = 0;
    bool signalled = sscanf(mark->how, "the worker was ended by signal %d", &signal) == 1;
    bool exited = sscanf(mark->how, "the worker ended with exit status %d", &status) == 1;
    const char *words = strstr(mark->how, LAST_WORDS);
    json_t *lines = json_array();
    if (words != NULL) json_array_append_new(lines, json_foreign(words + sizeof LAST_WORDS - 1));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "slot", json_number(mark->slot), "at",
                     json_time(mark->at_ns), "how", json_foreign(mark->how), "signal",
                     signalled ? json_integer(signal) : json_null(), "exit_code",
                     exited ? json_integer(status) : json_null(), "stderr", lines);
}

static json_t *digest_json(const struct buried *buried) {
    char text[33];
    if (buried->digest[0] == 0 && buried->digest[1] == 0) return json_null();
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, buried->digest[0], buried->digest[1]);
    return json_string(text);
}

static json_t *buried_json(const struct buried *buried) {
    char id[24];
    size_t kept = buried->marks_count < QUARANTINE_MARKS ? buried->marks_count : QUARANTINE_MARKS;
    json_t *crashes = json_array();
    for (size_t i = 0; i < kept; i++) json_array_append_new(crashes, crash_json(&buried->marks[i]));
    snprintf(id, sizeof id, "%" PRIu64, buried->number);
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:b, s:b, s:o, s:o}", "id", id,
                     "request_id", json_foreign(buried->request_id), "pool",
                     json_foreign(buried->pool), "tenant", json_text_or_null(buried->tenant),
                     "priority", priority_name(buried->priority), "buried_at",
                     json_time(buried->buried_ns), "body_bytes", json_number(buried->body_bytes),
                     "body_digest", digest_json(buried), "body_kept", buried->body_kept, "kicked",
                     buried->kicked, "attempts", json_number(buried->attempts), "crashes", crashes);
}

json_t *request_state_buried(const struct buried_list *list) {
    char next[24];
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, buried_json(&list->items[i]));
    bool more = list->more && list->count > 0;
    if (more) snprintf(next, sizeof next, "%" PRIu64, list->items[list->count - 1].number);
    return json_pack("{s:o, s:o}", "quarantine", array, "next",
                     more ? json_string(next) : json_null());
}
