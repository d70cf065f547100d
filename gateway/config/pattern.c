#include "gateway/config/pattern.h"

#include "gateway/address.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NAME_BYTES 63
#define CPU_MOST   4095 /* above what Linux can be built for, not above a typing mistake */

static bool is_control(unsigned char byte) {
    return byte < 0x20 || byte == 0x7f;
}

/* Bytes of the well-formed UTF-8 sequence at text (Unicode 15, table 3-7), 0 where there is none.
 */
static size_t sequence_bytes(const unsigned char *text) {
    if (text[0] < 0x80) return 1;
    size_t bytes = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4) return 0;
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
    }
    if (text[0] == 0xe0 && text[1] < 0xa0) return 0; /* longer than needed */
    if (text[0] == 0xed && text[1] > 0x9f) return 0; /* half of a surrogate pair */
    if (text[0] == 0xf0 && text[1] < 0x90) return 0;
    if (text[0] == 0xf4 && text[1] > 0x8f) return 0; /* above U+10FFFF */
    return bytes;
}

bool pattern_text(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t bytes = sequence_bytes(at);
        if (bytes == 0 || is_control(*at)) return false;
        at += bytes;
    }
    return true;
}

bool pattern_path(const char *text) {
    for (; *text != '\0'; text++) {
        if (is_control((unsigned char)*text)) return false;
    }
    return true;
}

static bool is_made_of(const char *text, const char *letters) {
    size_t bytes = strlen(text);
    return bytes >= 1 && bytes <= NAME_BYTES && strspn(text, letters) == bytes;
}

bool pattern_pool_name(const char *text) {
    return is_made_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

bool pattern_plugin_name(const char *text) {
    return is_made_of(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
}

bool pattern_variable(const char *text) {
    return *text != '\0' && strchr(text, '=') == NULL && pattern_path(text);
}

bool pattern_url(const char *text) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t bytes = strlen(schemes[i]);
        if (strncmp(text, schemes[i], bytes) == 0)
            return text[bytes] != '\0' && strchr(text, ' ') == NULL && pattern_text(text);
    }
    return false;
}

static bool cpu_number(const char **text, uint32_t *number) {
    const char *start = *text;
    *number = 0;
    while (**text >= '0' && **text <= '9') {
        *number = *number * 10 + (uint32_t)(**text - '0');
        if (*number > CPU_MOST) return false;
        (*text)++;
    }
    return *text > start;
}

bool pattern_network(const char *text) {
    struct network network;
    return network_read(&network, text);
}

bool pattern_cpus(const char *text) {
    if (strcmp(text, "any") == 0 || strcmp(text, "auto") == 0) return true;
    for (;; text++) {
        uint32_t first, last;
        if (!cpu_number(&text, &first)) return false;
        if (*text == '-') {
            text++;
            if (!cpu_number(&text, &last) || last < first) return false;
        }
        if (*text == '\0') return true;
        if (*text != ',') return false;
    }
}
