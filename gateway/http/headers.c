#include "gateway/http/headers.h"

#include <strings.h>

static const struct {
    const char *name;
    size_t bytes, offset;
} known[] = {
#define HEADER_ROW(member, header) {header, sizeof(header) - 1, offsetof(struct headers, member)},
    HEADERS(HEADER_ROW)};

static enum MHD_Result on_line(void *owner, enum MHD_ValueKind kind, const char *name,
                               size_t name_bytes, const char *value, size_t value_bytes) {
    (void)kind;
    struct headers *headers = owner;
    if (value == NULL) value = "";
    hygiene_line(&headers->hygiene, name, name_bytes, value, value_bytes);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].bytes != name_bytes || strncasecmp(known[i].name, name, name_bytes) != 0)
            continue;
        const char **member = (const char **)(void *)((char *)headers + known[i].offset);
        if (member == &headers->authorization) headers->authorizations++;
        if (*member == NULL || member == &headers->forwarded_for) *member = value;
        break;
    }
    return MHD_YES;
}

void headers_read(struct headers *headers, struct MHD_Connection *connection) {
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_line, headers);
}
