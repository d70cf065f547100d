#include "gateway/grpc/text.h"

#include <stdint.h>

#define NAME_MOST_BYTES 64

/* Bytes of the character that text begins with, 0 if it is none or a control character. */
static size_t character_bytes(const uint8_t *text, size_t left) {
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, bytes;
    } forms[] = {
        {0x20, 0x7e, 0x00, 0x00, 1}, {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first_min || text[0] > forms[i].first_max) continue;
        if (forms[i].bytes == 1) return 1;
        if (forms[i].bytes > left) return 0;
        if (text[1] < forms[i].second_min || text[1] > forms[i].second_max) return 0;
        for (size_t at = 2; at < forms[i].bytes; at++)
            if ((text[at] & 0xc0) != 0x80) return 0;
        return forms[i].bytes;
    }
    return 0;
}

bool text_valid(const char *text, size_t bytes) {
    for (size_t at = 0, length; at < bytes; at += length) {
        length = character_bytes((const uint8_t *)text + at, bytes - at);
        if (length == 0) return false;
    }
    return true;
}

bool text_is_name(const char *text, size_t bytes) {
    if (bytes < 1 || bytes > NAME_MOST_BYTES) return false;
    for (size_t i = 0; i < bytes; i++) {
        char lower = (char)(text[i] | 0x20);
        bool letter = lower >= 'a' && lower <= 'z', digit = text[i] >= '0' && text[i] <= '9';
        if (!letter && !digit && text[i] != '-') return false;
    }
    return true;
}
