#include "gateway/http/path.h"

#include <string.h>
#include <strings.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The absolute form (RFC 9112 section 3.2.2) names this server whatever its authority says: there is
 * only one here. NULL when there is no path in it. */
static const char *skip_authority(const char *target) {
    static const char scheme[] = "http://";
    if (strncasecmp(target, scheme, sizeof scheme - 1) != 0) return target;
    const char *authority = target + sizeof scheme - 1;
    const char *path = strchr(authority, '/');
    return path == authority ? NULL : path;
}

enum outcome path_decode(const char *target, char *out, size_t capacity) {
    out[0] = '\0';
    const char *from = skip_authority(target);
    if (from == NULL) return INVALID_REQUEST;
    if (*from != '/' && strcmp(from, "*") != 0) return INVALID_REQUEST;
    size_t used = 0;
    for (; *from != '\0'; from++) {
        int byte = (unsigned char)*from;
        if (byte == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0) return INVALID_REQUEST;
            byte = high * 16 + low;
            from += 2;
            if (byte == '/') return INVALID_REQUEST;
        }
        if (byte <= ' ' || byte == 0x7f) return INVALID_REQUEST;
        if (used + 1 == capacity) return NOT_FOUND;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return OK;
}
