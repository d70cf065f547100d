#include "gateway/text_rules.h"

#include "core/base/utf8.h"

#include <assert.h>

enum fault { TOO_LONG, NOT_UTF8, CONTROL, NO_NAME, FAULTS };

#define ALLOWED "; allowed: at most 1024 bytes of UTF-8 without control characters"
_Static_assert(TEXT_MOST_BYTES == 1024 && TEXT_NAME_MOST_BYTES == 64, "the sentences name them");

static const char *const sentences[CLIENT_TEXT_COUNT][FAULTS] = {
#define TEXT_SENTENCES(name, words)                                                                \
    [TEXT_##name] = {                                                                              \
        [TOO_LONG] = words " is too long" ALLOWED,                                                 \
        [NOT_UTF8] = words " is not UTF-8" ALLOWED,                                                \
        [CONTROL] = words " has control characters" ALLOWED,                                       \
        [NO_NAME] = words " has other characters or is too long; allowed: 1 to 64 of "             \
                          "A-Z a-z 0-9 and '-'",                                                   \
    },
    CLIENT_TEXTS(TEXT_SENTENCES)
#undef TEXT_SENTENCES
};

static enum fault fault_of(const char *text, size_t bytes) {
    for (size_t at = 0, length; at < bytes; at += length) {
        length = utf8_length(text + at, bytes - at);
        if (length == 0) return NOT_UTF8;
        if (utf8_is_control(text + at)) return CONTROL;
    }
    return FAULTS;
}

static bool is_name(const char *text, size_t bytes) {
    if (bytes < 1 || bytes > TEXT_NAME_MOST_BYTES) return false;
    for (size_t i = 0; i < bytes; i++) {
        char lower = (char)(text[i] | 0x20);
        bool letter = lower >= 'a' && lower <= 'z', digit = text[i] >= '0' && text[i] <= '9';
        if (!letter && !digit && text[i] != '-') return false;
    }
    return true;
}

bool text_valid(const char *text, size_t bytes) {
    return fault_of(text, bytes) == FAULTS;
}

const char *text_flaw(enum client_text which, const char *text, size_t bytes) {
    assert((unsigned)which < CLIENT_TEXT_COUNT);
    enum fault fault;
    if (which == TEXT_METADATA_NAME)
        fault = is_name(text, bytes) ? FAULTS : NO_NAME;
    else
        fault = bytes > TEXT_MOST_BYTES ? TOO_LONG : fault_of(text, bytes);
    return fault == FAULTS ? NULL : sentences[which][fault];
}
