#include "gateway/config/report.h"

#include <stdarg.h>
#include <string.h>

#define LINE_BYTES 2048

struct line {
    char text[LINE_BYTES];
    size_t bytes;
};

static void line_add_list(struct line *line, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void line_add(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void line_add_list(struct line *line, const char *format, va_list arguments) {
    size_t room = sizeof line->text - line->bytes;
    int written = vsnprintf(line->text + line->bytes, room, format, arguments);
    if (written > 0) line->bytes += (size_t)written < room ? (size_t)written : room - 1;
}

static void line_add(struct line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    line_add_list(line, format, arguments);
    va_end(arguments);
}

/* A key or a value may hold line feeds and terminal escapes; a line stays one line. */
static void line_write(struct line *line, FILE *stream) {
    for (size_t i = 0; i < line->bytes; i++) {
        unsigned char byte = (unsigned char)line->text[i];
        if (byte < 0x20 || byte == 0x7f) line->text[i] = '?';
    }
    fprintf(stream, "%s\n", line->text);
}

static void line_add_origin(struct line *line, const struct origin *origin) {
    switch (origin->layer) {
    case LAYER_DEFAULT: line_add(line, "defaults: "); break;
    case LAYER_FILE: line_add(line, "%s:%zu: ", origin->name, origin->line); break;
    case LAYER_ENVIRONMENT: line_add(line, "environment %s: ", origin->name); break;
    case LAYER_SETTING: line_add(line, "--set: "); break;
    }
}

/* An empty path is the whole that the prefix names, without its dot. */
static void line_add_key(struct line *line, const char *prefix, const char *path) {
    size_t bytes = strlen(prefix);
    if (*path != '\0')
        line_add(line, "%s%.128s: ", prefix, path);
    else if (bytes > 0)
        line_add(line, "%.*s: ", (int)bytes - 1, prefix);
    else
        line_add(line, "configuration: ");
}

void report_mistake(struct report *report, const struct origin *origin, const char *prefix,
                    const char *path, const char *format, ...) {
    if (report_full(report)) return;
    struct line line = {.bytes = 0};
    line_add_origin(&line, origin);
    line_add_key(&line, prefix, path);
    report->mistakes++;
    if (report_full(report)) {
        line_add(&line, "one of more than %d mistakes, the rest is not shown", REPORT_LIMIT);
    } else {
        va_list arguments;
        va_start(arguments, format);
        line_add_list(&line, format, arguments);
        va_end(arguments);
    }
    line_write(&line, report->stream);
}

void report_warning(struct report *report, const char *format, ...) {
    struct line line = {.bytes = 0};
    line_add(&line, "warning: ");
    va_list arguments;
    va_start(arguments, format);
    line_add_list(&line, format, arguments);
    va_end(arguments);
    line_write(&line, report->stream);
}

bool report_full(const struct report *report) {
    return report->mistakes > REPORT_LIMIT;
}

struct quoted report_quote(const char *text) {
    struct quoted quoted;
    size_t bytes = strlen(text), room = sizeof quoted.text - sizeof "\"...\"";
    const char *end = "\"";
    if (bytes > room) {
        bytes = room;
        end = "...\"";
        /* Never through the middle of a UTF-8 sequence. */
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) bytes--;
    }
    snprintf(quoted.text, sizeof quoted.text, "\"%.*s%s", (int)bytes, text, end);
    return quoted;
}
