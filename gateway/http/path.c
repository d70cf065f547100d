#include "gateway/http/path.h"

#include "gateway/text_rules.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The absolute form (RFC 9112 section 3.2.2) names this server whatever its authority says: there is
 * only one here. NULL when it does not have one host and a path. */
static const char *skip_authority(const char *target) {
    static const char scheme[] = "http://";
    if (strncasecmp(target, scheme, sizeof scheme - 1) != 0) return target;
    const char *authority = target + sizeof scheme - 1;
    size_t bytes = strspn(authority, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789.-_~:[]");
    return bytes > 0 && authority[bytes] == '/' ? authority + bytes : NULL;
}

/* The byte at *from, unescaped, and *from moved to its last character; -1: the escape is none. */
static int next_byte(const char **from) {
    if (**from != '%') return (unsigned char)**from;
    int high = hex_digit((*from)[1]);
    int low = high < 0 ? -1 : hex_digit((*from)[2]);
    if (low < 0) return -1;
    *from += 2;
    return high * 16 + low;
}

static enum outcome unescape(const char *from, char *out, size_t capacity, const char **flaw) {
    size_t used = 0;
    for (; *from != '\0'; from++) {
        bool escaped = *from == '%';
        int byte = next_byte(&from);
        if (byte < 0) *flaw = "the path has a % without two hexadecimal digits";
        if (byte == '/' && escaped) *flaw = "the path has an escaped slash";
        if (byte == '\\') *flaw = "the path has a backslash";
        if (byte == '#' && !escaped) *flaw = "the path has a fragment";
        if (byte >= 0 && byte <= ' ') *flaw = "the path has a space or a control character";
        if (*flaw != NULL) return INVALID_REQUEST;
        if (used + 1 == capacity) return NOT_FOUND;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return OK;
}

/* "//", "." and ".." are other ways to write a place; the end may be a slash. */
static bool has_odd_segment(const char *path) {
    while (*path == '/') {
        size_t segment = strcspn(++path, "/");
        bool empty = segment == 0 && path[segment] == '/';
        bool dots = segment > 0 && segment <= 2 && strspn(path, ".") >= segment;
        if (empty || dots) return true;
        path += segment;
    }
    return false;
}

enum outcome path_decode(const char *target, char *out, size_t capacity, const char **flaw) {
    out[0] = '\0';
    *flaw = NULL;
    const char *from = skip_authority(target);
    if (from == NULL || (*from != '/' && strcmp(from, "*") != 0)) {
        *flaw = "the request target is not a path; allowed: /PATH, http://HOST/PATH, *";
        return INVALID_REQUEST;
    }
    enum outcome outcome = unescape(from, out, capacity, flaw);
    if (outcome != OK) return outcome;
    if (!text_valid(out, strlen(out)))
        *flaw = "the path is not UTF-8 or has control characters";
    else if (has_odd_segment(out))
        *flaw = "the path has an empty segment, . or ..";
    return *flaw == NULL ? OK : INVALID_REQUEST;
}
