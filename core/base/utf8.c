#include "core/base/utf8.h"

#include <stdint.h>

/* Table 3-7 of the Unicode standard: only the second byte's bounds depend on the first. */
static const struct form {
    uint8_t first_min, first_max, second_min, second_max, bytes;
} forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool has_form(const uint8_t *text, size_t left, const struct form *form) {
    if (form->bytes > left) return false;
    if (text[1] < form->second_min || text[1] > form->second_max) return false;
    for (size_t i = 2; i < form->bytes; i++)
        if ((text[i] & 0xc0) != 0x80) return false;
    return true;
}

size_t utf8_length(const char *text, size_t left) {
    const uint8_t *bytes = (const uint8_t *)text;
    if (bytes[0] < 0x80) return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (bytes[0] >= forms[i].first_min && bytes[0] <= forms[i].first_max)
            return has_form(bytes, left, &forms[i]) ? forms[i].bytes : 0;
    return 0;
}

bool utf8_is_control(const char *character) {
    const uint8_t *bytes = (const uint8_t *)character;
    return bytes[0] < 0x20 || bytes[0] == 0x7f || (bytes[0] == 0xc2 && bytes[1] < 0xa0);
}
