#include "gateway/http/urgency.h"

#include <stdbool.h>
#include <string.h>

static const enum priority by_urgency[8] = {PRIORITY_CRITICAL, PRIORITY_HIGH, PRIORITY_HIGH,
                                            PRIORITY_NORMAL,   PRIORITY_LOW,  PRIORITY_LOW,
                                            PRIORITY_BATCH,    PRIORITY_BATCH};

static const char *skip_spaces(const char *text) {
    while (*text == ' ' || *text == '\t') text++;
    return text;
}

/* A member of a structured dictionary ends at a comma or at its parameters. */
static bool ends_member(const char *text) {
    text = skip_spaces(text);
    return *text == '\0' || *text == ',' || *text == ';';
}

enum priority urgency_priority(const char *field) {
    enum priority priority = PRIORITY_NORMAL;
    while (field != NULL && *field != '\0') {
        field = skip_spaces(field);
        if (strncmp(field, "u=", 2) == 0 && field[2] >= '0' && field[2] <= '7' &&
            ends_member(field + 3))
            priority = by_urgency[field[2] - '0']; /* the last one counts (RFC 8941) */
        field = strchr(field, ',');
        if (field != NULL) field++;
    }
    return priority;
}
