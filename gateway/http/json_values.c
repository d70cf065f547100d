#include "gateway/http/json_values.h"

#include "core/base/clock.h"

#include <stddef.h>

#define FOREIGN_BYTES 192

json_t *json_number(uint64_t value) {
    return json_integer((json_int_t)value);
}

json_t *json_milliseconds(uint64_t ns) {
    return json_real((double)(ns / CLOCK_US) / 1e3);
}

json_t *json_time(uint64_t monotonic_ns) {
    char text[CLOCK_TEXT_BYTES];
    clock_text(monotonic_ns, text);
    return json_string(text);
}

json_t *json_time_or_null(uint64_t monotonic_ns) {
    return monotonic_ns != 0 ? json_time(monotonic_ns) : json_null();
}

json_t *json_foreign(const char *text) {
    json_t *string = json_string(text);
    if (string != NULL) return string;
    char copy[FOREIGN_BYTES];
    size_t used = 0;
    for (; text[used] != '\0' && used + 1 < sizeof copy; used++)
        copy[used] = (text[used] & 0x80) != 0 ? '?' : text[used];
    return json_stringn(copy, used);
}

json_t *json_text_or_null(const char *text) {
    return text[0] != '\0' ? json_foreign(text) : json_null();
}
