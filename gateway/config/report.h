/* report - the lines that tell an operator what is wrong with a configuration.
 * thread: the owner's.
 * owns:   nothing; a line is written as a whole, without control characters.
 * fails:  never; never allocates. After REPORT_LIMIT mistakes one last line says that there are
 *         more. */
#ifndef GATEWAY_CONFIG_REPORT_H
#define GATEWAY_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define REPORT_LIMIT 100

/* Later layers win. */
enum layer { LAYER_DEFAULT, LAYER_FILE, LAYER_ENVIRONMENT, LAYER_SETTING };

/* Where a value was written. */
struct origin {
    enum layer layer;
    const char *name; /* the file's or the variable's */
    size_t line;      /* in a file, from 1 */
};

struct report {
    FILE *stream;
    size_t mistakes;
};

/* "ORIGIN: PREFIXPATH: TEXT". The text says what is wrong, then what is allowed. An empty path is
 * the whole pool or, without a prefix, the whole configuration. */
void report_mistake(struct report *report, const struct origin *origin, const char *prefix,
                    const char *path, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void report_warning(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool report_full(const struct report *report); /* nobody needs to look for more mistakes */

/* A value as a person wants to see it in a line: in quotes, cut when it is long. */
struct quoted {
    char text[80];
};
struct quoted report_quote(const char *text);

#endif
