#include "gateway/edge/reason.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = {
#define REASON_TEXT(name, label) [EDGE_##name] = (label),
    EDGE_REASONS(REASON_TEXT)
#undef REASON_TEXT
};

/* The verdicts follow each other as the reasons do. */
#define HTTP_OFFSET ((int)EDGE_HTTP_LINE - (int)HTTP_GUARD_LINE)
#define H2_OFFSET   ((int)EDGE_H2_PREFACE - (int)H2_GUARD_PREFACE)
_Static_assert((int)EDGE_HTTP_TOO_LONG - (int)HTTP_GUARD_TOO_LONG == HTTP_OFFSET, "one each");
_Static_assert((int)EDGE_H2_PING - (int)H2_GUARD_PING == H2_OFFSET, "one each, in the same order");
_Static_assert((int)EDGE_REASON_COUNT - (int)H2_GUARD_COUNT == H2_OFFSET, "one each");

const char *edge_reason_name(enum edge_reason reason) {
    assert(reason < EDGE_REASON_COUNT);
    return names[reason];
}

enum edge_reason edge_reason_of_http(enum http_guard_verdict verdict) {
    assert(verdict >= HTTP_GUARD_LINE && verdict <= HTTP_GUARD_TOO_LONG);
    return (enum edge_reason)((int)verdict + HTTP_OFFSET);
}

enum edge_reason edge_reason_of_h2(enum h2_guard_verdict verdict) {
    assert(verdict >= H2_GUARD_PREFACE && verdict < H2_GUARD_COUNT);
    return (enum edge_reason)((int)verdict + H2_OFFSET);
}

enum edge_reason edge_reason_of_tls(const char *flaw) {
    int reason = EDGE_TLS_HANDSHAKE;
    while (reason < EDGE_TLS_RESET && strcmp(names[reason], flaw) != 0) reason++;
    return (enum edge_reason)reason;
}
