/* log - one line per event, as key=value text or JSON, through bounded room with its own writer.
 * thread: log_event from any thread; open and close once, from main.
 * owns:   copies what it is given.
 * fails:  never blocks and never allocates: where there is no room the line is dropped and counted. */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include "core/base/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_ALERT };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_NUMBER, LOG_FIELD_UNSIGNED, LOG_FIELD_MS } kind;
    const char *text; /* any bytes: control characters and quotes are escaped; NULL reads as "" */
    int64_t number;
};

#define LOG_STR(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_TEXT, .text = (value)})
#define LOG_INT(name, value)                                                                       \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_NUMBER, .number = (int64_t)(value)})
#define LOG_UINT(name, value)                                                                      \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_UNSIGNED, .number = (int64_t)(value)})
/* Nanoseconds, written as milliseconds with three decimals. */
#define LOG_MS(name, ns)                                                                           \
    ((struct log_field){.key = (name), .kind = LOG_FIELD_MS, .number = (int64_t)(ns)})

/* log_event(LOG_INFO, "listening", LOG_STR("http", "127.0.0.1:8080"), LOG_INT("pid", 7));
 * writes time=… level=info msg=listening http=127.0.0.1:8080 pid=7 */
#define log_event(level, message, ...)                                                             \
    log_fields(level, message, (const struct log_field[]){{.key = NULL}, ##__VA_ARGS__},           \
               sizeof((const struct log_field[]){{.key = NULL}, ##__VA_ARGS__}) /                  \
                   sizeof(struct log_field))

/* Starts the writer thread on descriptor fd. Before it, and after log_close, lines go nowhere. */
enum outcome log_open(int fd, enum log_level level, enum log_format format);
/* Writes what is waiting, then stops the writer. What nobody takes within a second is dropped. */
void log_close(void);
void log_set_level(enum log_level level);
bool log_writes(enum log_level level); /* ask before filling in what is dear */
/* Fields without a key are skipped. Lines are cut at 2,048 bytes. */
void log_fields(enum log_level level, const char *message, const struct log_field *fields,
                size_t count);
uint64_t log_dropped(void);
const char *log_level_name(enum log_level level);

#endif
