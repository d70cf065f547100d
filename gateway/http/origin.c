#include "gateway/http/origin.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define HOST_BYTES 64 /* a numeric address, or localhost */

/* Length of the host in HOST[:PORT], brackets included; 0: the rest is no port. */
static size_t host_bytes(const char *host) {
    size_t bytes = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (*host == '[' && host[bytes - 1] == '\0') return 0;
    const char *port = host + bytes;
    if (*port == '\0') return bytes;
    size_t digits = *port == ':' ? strspn(port + 1, "0123456789") : 0;
    return digits > 0 && digits <= 5 && port[1 + digits] == '\0' ? bytes : 0;
}

static bool is_loopback(const char *host) {
    char text[HOST_BYTES];
    struct in_addr four;
    struct in6_addr six;
    size_t bytes = host_bytes(host), brackets = *host == '[' ? 1 : 0;
    if (bytes <= 2 * brackets || bytes - 2 * brackets >= sizeof text) return false;
    memcpy(text, host + brackets, bytes - 2 * brackets);
    text[bytes - 2 * brackets] = '\0';
    if (brackets > 0) return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    if (strcasecmp(text, "localhost") == 0) return true;
    return inet_pton(AF_INET, text, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

/* HOST[:PORT] of SCHEME://HOST[:PORT]; NULL: it is no such thing ("null" is an origin as well). */
static const char *authority_of(const char *origin) {
    const char *mark = strstr(origin, "://");
    return mark == NULL ? NULL : mark + 3;
}

static bool same_text(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    return a_bytes > 0 && a_bytes == b_bytes && strncasecmp(a, b, a_bytes) == 0;
}

static bool host_listed(const struct text_list *origins, const char *host) {
    for (size_t i = 0; i < origins->count; i++) {
        const char *authority = authority_of(origins->items[i]);
        if (authority != NULL &&
            same_text(authority, strcspn(authority, ":/"), host, host_bytes(host)))
            return true;
    }
    return false;
}

/* An origin has no path; who lists one with a slash at its end means the same. */
bool origin_listed(const struct text_list *origins, const char *origin) {
    for (size_t i = 0; origin != NULL && i < origins->count; i++) {
        size_t bytes = strlen(origins->items[i]);
        if (bytes > 0 && origins->items[i][bytes - 1] == '/') bytes--;
        if (same_text(origins->items[i], bytes, origin, strlen(origin))) return true;
    }
    return false;
}

const char *origin_flaw(const struct text_list *origins, bool loopback, const char *host,
                        const char *origin) {
    if (!loopback) return NULL;
    if (host == NULL) host = "";
    if (*host != '\0' && !is_loopback(host) && !host_listed(origins, host))
        return "Host is neither a loopback address nor localhost nor in http.origins";
    if (origin == NULL || origin_listed(origins, origin)) return NULL;
    const char *authority = authority_of(origin);
    if (authority != NULL && same_text(authority, strlen(authority), host, strlen(host)))
        return NULL;
    return "Origin is another place and not in http.origins";
}
