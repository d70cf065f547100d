#include "gateway/traceparent.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const char *traceparent_checked(const char *field) {
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    static const char digits[] = "0123456789abcdef";
    if (field == NULL || strlen(field) != sizeof shape - 1 || strncmp(field, "ff", 2) == 0)
        return "";
    for (size_t i = 0; shape[i] != '\0'; i++)
        if (shape[i] == 'h' ? strchr(digits, field[i]) == NULL : field[i] != '-') return "";
    bool no_trace = strspn(field + 3, "0") == 32, no_parent = strspn(field + 36, "0") == 16;
    return no_trace || no_parent ? "" : field;
}
