/* The texts of a client's headers, each read for what it may say. */
#include "core/base/clock.h"
#include "gateway/http/hygiene.h"
#include "gateway/http/invoke.h"
#include "gateway/http/urgency.h"
#include "gateway/request_id.h"
#include "gateway/text_rules.h"
#include "gateway/traceparent.h"
#include "tests/fuzz/fuzz.h"

/* What is read is written in the form of version 0, and that is read as the same. */
static void check_traceparent(const char *text) {
    struct trace trace, again;
    char written[TRACEPARENT_BYTES];
    const bool read = traceparent_read(text, &trace);
    must(read == trace_present(&trace));
    traceparent_write(&trace, written);
    must(strlen(written) == (read ? TRACEPARENT_BYTES - 1 : 0));
    if (!read) return;
    must(strncmp(written + 3, text + 3, 49) == 0);
    must(traceparent_read(written, &again) && memcmp(&trace, &again, sizeof trace) == 0);
}

static void check_hygiene(const char *text, size_t size) {
    struct hygiene hygiene = {0};
    for (size_t at = 0; at < size;) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', size - at);
        const size_t bytes = end != NULL ? (size_t)(end - line) : size - at;
        const char *colon = memchr(line, ':', bytes);
        const size_t name = colon != NULL ? (size_t)(colon - line) : bytes;
        const size_t value = name < bytes ? name + 1 : bytes;
        hygiene_line(&hygiene, line, name, line + value, bytes - value);
        at += bytes + 1;
    }
    const char *flaw = NULL;
    const struct start_line start = {"POST", "/", "HTTP/1.1"};
    must((hygiene_verdict(&hygiene, &start, &flaw) == OK) == (flaw == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    uint64_t timeout_ns = 0;
    check_traceparent(text);
    const enum priority priority = urgency_priority(text);
    must(priority >= PRIORITY_CRITICAL && priority <= PRIORITY_BATCH);
    if (invoke_timeout(text, CLOCK_S, &timeout_ns)) must(timeout_ns > 0 && timeout_ns <= CLOCK_S);
    if (request_id_usable(text, size)) must(size >= 1 && size <= 128 && strlen(text) == size);
    if (text_flaw(TEXT_METADATA_NAME, text, size) == NULL)
        must(size >= 1 && size <= TEXT_NAME_MOST_BYTES && text_valid(text, size));
    if (text_flaw(TEXT_TENANT, text, size) == NULL)
        must(size <= TEXT_MOST_BYTES && text_valid(text, size));
    if (text_valid(text, size)) must(strlen(text) == size);
    check_hygiene(text, size);
    free(text);
    return 0;
}
