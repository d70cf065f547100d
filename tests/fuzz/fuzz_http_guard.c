/* http_guard: pieces are seen as the whole is; and a second reader, who only knows what CRLF is, counts the
 * same requests in what passed. */
#include "gateway/edge/http_guard.h"
#include "tests/fuzz/fuzz.h"

#include <strings.h>

static const char *find(const char *at, const char *end, const char *text) {
    return at < end ? memmem(at, (size_t)(end - at), text, strlen(text)) : NULL;
}

/* The value of the first line of a head that begins with the name; NULL: there is none. */
static const char *line_value(const char *head, const char *end, const char *name) {
    for (const char *line = head; line != NULL && line < end;) {
        if ((size_t)(end - line) > strlen(name) && strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name);
        line = find(line, end, "\r\n");
        if (line != NULL) line += 2;
    }
    return NULL;
}

/* Past the body of chunks; NULL: it is not whole. */
static const char *after_chunks(const char *at, const char *end) {
    while (at < end) {
        const char *line = find(at, end, "\r\n");
        if (line == NULL) return NULL;
        const uint64_t size = strtoull(at, NULL, 16);
        if (size == 0) { /* the trailer is the lines until an empty one */
            const char *empty = find(line, end, "\r\n\r\n");
            return empty != NULL ? empty + 4 : NULL;
        }
        if ((uint64_t)(end - line) < size + 4) return NULL;
        at = line + 2 + size + 2;
    }
    return NULL;
}

static const char *after_body(const char *head, const char *body, const char *end) {
    if (line_value(head, body, "transfer-encoding:") != NULL) return after_chunks(body, end);
    const char *length = line_value(head, body, "content-length:");
    const uint64_t bytes = length != NULL ? strtoull(length, NULL, 10) : 0;
    return bytes <= (uint64_t)(end - body) ? body + bytes : NULL;
}

/* text ends with NUL behind end. */
static uint64_t count_requests(const char *text, const char *end) {
    uint64_t requests = 0;
    while (text < end) {
        if (end - text >= 2 && memcmp(text, "\r\n", 2) == 0) text += 2;
        const char *body = find(text, end, "\r\n\r\n");
        if (body == NULL) break;
        text = after_body(text, body + 4, end);
        if (text == NULL) break;
        requests++;
    }
    return requests;
}

static void check(const struct http_guard *guard, size_t passed, size_t size) {
    must(passed <= size);
    must((passed == size) == (guard->verdict == HTTP_GUARD_CLEAN));
    must((guard->flaw == NULL) == (guard->verdict == HTTP_GUARD_CLEAN));
    must(guard->header_bytes <= HTTP_GUARD_HEADER_BYTES && guard->fields <= HTTP_GUARD_FIELDS);
    must(guard->name_bytes <= HTTP_GUARD_NAME_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *const text = text_of(data, size);
    struct http_guard whole, pieces;
    http_guard_init(&whole);
    http_guard_init(&pieces);
    const size_t passed = http_guard_see(&whole, text, size);
    check(&whole, passed, size);
    must(whole.requests == count_requests(text, text + passed));

    uint64_t chance = chance_of(data, size);
    size_t at = 0;
    while (at < size && pieces.verdict == HTTP_GUARD_CLEAN) {
        size_t piece = 1 + chance_below(&chance, 1 + chance_below(&chance, 64));
        if (piece > size - at) piece = size - at;
        at += http_guard_see(&pieces, text + at, piece);
    }
    must(at == passed && pieces.verdict == whole.verdict && pieces.flaw == whole.flaw);
    must(pieces.requests == whole.requests && pieces.between == whole.between);
    if (passed < size) must(http_guard_see(&whole, text + passed, size - passed) == 0);
    free(text);
    return 0;
}
