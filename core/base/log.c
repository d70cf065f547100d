#include "core/base/log.h"

#include "core/base/clock.h"
#include "core/base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES    2048
#define RING_LINES    1024
#define ROOM_MS       50
#define LAST_WORDS_NS CLOCK_S
/* Texts stop here and further fields are left out, so that a cut line still closes its quotes. */
#define CLOSING_BYTES 64

struct line {
    uint16_t bytes;
    char text[LINE_BYTES];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    pthread_t writer;
    bool running, stopping;
    struct line *lines; /* RING_LINES of them */
    size_t first, count;
    int fd;
    enum log_format format;
    _Atomic int level;
    _Atomic uint64_t dropped;
    _Atomic uint64_t give_up_ns; /* from then on a descriptor that takes nothing is left */
} journal = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

static const char *const level_names[] = {"debug", "info", "warn", "error", "alert"};

const char *log_level_name(enum log_level level) {
    return (unsigned)level < sizeof level_names / sizeof level_names[0] ? level_names[level] : "?";
}

void log_set_level(enum log_level level) {
    atomic_store(&journal.level, (int)level);
}

uint64_t log_dropped(void) {
    return atomic_load(&journal.dropped);
}

/* --- building one line --------------------------------------------------------------------- */

struct builder {
    struct line *line;
};

static void add_bytes(struct builder *builder, const char *text, size_t bytes) {
    size_t room = LINE_BYTES - 2 - builder->line->bytes; /* one for the newline, one for '}' */
    if (bytes > room) bytes = room;
    memcpy(builder->line->text + builder->line->bytes, text, bytes);
    builder->line->bytes = (uint16_t)(builder->line->bytes + bytes);
}

static void add(struct builder *builder, const char *text) {
    add_bytes(builder, text, strlen(text));
}

/* What is not text, and control characters, are escaped byte by byte: a line stays valid whatever is
 * written. */
static void add_escaped(struct builder *builder, const char *text) {
    char escaped[8];
    for (size_t left = strnlen(text, LINE_BYTES), bytes; left > 0; text += bytes, left -= bytes) {
        if (builder->line->bytes > LINE_BYTES - CLOSING_BYTES) return;
        bytes = utf8_length(text, left);
        if (bytes == 0 || utf8_is_control(text)) {
            bytes = 1;
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned char)*text);
            add(builder, escaped);
        } else {
            if (*text == '"' || *text == '\\') add(builder, "\\");
            add_bytes(builder, text, bytes);
        }
    }
}

/* A text needs no quotes when it is made of characters that cannot be misread. */
static bool is_plain(const char *text) {
    if (*text == '\0') return false;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7f || *c == '"' || *c == '\\' || *c == '=') return false;
    return true;
}

static void add_quoted(struct builder *builder, const char *text) {
    add(builder, "\"");
    add_escaped(builder, text);
    add(builder, "\"");
}

static void add_text_field(struct builder *builder, const char *key, const char *text) {
    if (text == NULL) text = "";
    if (journal.format == LOG_JSON) {
        add(builder, builder->line->bytes > 1 ? "," : "");
        add_quoted(builder, key);
        add(builder, ":");
        add_quoted(builder, text);
    } else {
        add(builder, builder->line->bytes > 0 ? " " : "");
        add(builder, key);
        add(builder, "=");
        if (is_plain(text))
            add(builder, text);
        else
            add_quoted(builder, text);
    }
}

static void add_number_field(struct builder *builder, const char *key, const char *digits) {
    if (journal.format == LOG_JSON) {
        add(builder, ",");
        add_quoted(builder, key);
        add(builder, ":");
    } else {
        add(builder, " ");
        add(builder, key);
        add(builder, "=");
    }
    add(builder, digits);
}

static void add_field(struct builder *builder, const struct log_field *field) {
    char digits[24];
    switch (field->kind) {
    case LOG_FIELD_TEXT: add_text_field(builder, field->key, field->text); return;
    case LOG_FIELD_NUMBER: snprintf(digits, sizeof digits, "%lld", (long long)field->number); break;
    case LOG_FIELD_UNSIGNED:
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)field->number);
        break;
    }
    add_number_field(builder, field->key, digits);
}

void log_fields(enum log_level level, const char *message, const struct log_field *fields,
                size_t count) {
    if ((int)level < atomic_load_explicit(&journal.level, memory_order_relaxed)) return;
    char time[CLOCK_TEXT_BYTES];
    clock_text(clock_now_ns(), time);
    pthread_mutex_lock(&journal.lock);
    if (!journal.running || journal.count == RING_LINES) {
        if (journal.running) atomic_fetch_add(&journal.dropped, 1);
        pthread_mutex_unlock(&journal.lock);
        return;
    }
    struct line *line = &journal.lines[(journal.first + journal.count) % RING_LINES];
    struct builder builder = {.line = line};
    line->bytes = 0;
    if (journal.format == LOG_JSON) add(&builder, "{");
    add_text_field(&builder, "time", time);
    add_text_field(&builder, "level", log_level_name(level));
    add_text_field(&builder, "msg", message);
    for (size_t i = 0; i < count; i++)
        if (fields[i].key != NULL && line->bytes < LINE_BYTES - 2 * CLOSING_BYTES)
            add_field(&builder, &fields[i]);
    if (journal.format == LOG_JSON) line->text[line->bytes++] = '}';
    line->text[line->bytes++] = '\n';
    journal.count++;
    pthread_cond_signal(&journal.arrived);
    pthread_mutex_unlock(&journal.lock);
}

/* --- the writer ------------------------------------------------------------------------------ */

/* A pipe that nobody reads must not hold up the end. Where there is room in a pipe there is room for a whole
 * line, so a write after this does not block, whatever the descriptor's mode. */
static bool wait_for_room(void) {
    struct pollfd room = {.fd = journal.fd, .events = POLLOUT};
    while (poll(&room, 1, ROOM_MS) <= 0)
        if (clock_now_ns() >= atomic_load(&journal.give_up_ns)) return false;
    return true;
}

static void write_line(const struct line *line) {
    size_t done = 0;
    while (done < line->bytes) {
        if (!wait_for_room()) {
            atomic_fetch_add(&journal.dropped, 1);
            return;
        }
        ssize_t written = write(journal.fd, line->text + done, line->bytes - done);
        if (written > 0) {
            done += (size_t)written;
        } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
            atomic_fetch_add(&journal.dropped, 1);
            return;
        }
    }
}

static void *write_lines(void *unused) {
    (void)unused;
    static struct line copy;
    pthread_mutex_lock(&journal.lock);
    for (;;) {
        while (journal.count == 0 && !journal.stopping)
            pthread_cond_wait(&journal.arrived, &journal.lock);
        if (journal.count == 0) break;
        const struct line *line = &journal.lines[journal.first];
        copy.bytes = line->bytes;
        memcpy(copy.text, line->text, line->bytes);
        journal.first = (journal.first + 1) % RING_LINES;
        journal.count--;
        pthread_mutex_unlock(&journal.lock);
        write_line(&copy);
        pthread_mutex_lock(&journal.lock);
    }
    pthread_mutex_unlock(&journal.lock);
    return NULL;
}

enum outcome log_open(int fd, enum log_level level, enum log_format format) {
    journal.lines = calloc(RING_LINES, sizeof *journal.lines);
    if (journal.lines == NULL) return MEMORY_EXHAUSTED;
    journal.fd = fd;
    journal.format = format;
    journal.first = journal.count = 0;
    journal.stopping = false;
    atomic_store(&journal.level, (int)level);
    atomic_store(&journal.give_up_ns, CLOCK_NEVER);
    if (pthread_create(&journal.writer, NULL, write_lines, NULL) != 0) {
        free(journal.lines);
        journal.lines = NULL;
        return MEMORY_EXHAUSTED;
    }
    pthread_mutex_lock(&journal.lock);
    journal.running = true;
    pthread_mutex_unlock(&journal.lock);
    return OK;
}

void log_close(void) {
    pthread_mutex_lock(&journal.lock);
    if (!journal.running) {
        pthread_mutex_unlock(&journal.lock);
        return;
    }
    journal.running = false;
    journal.stopping = true;
    atomic_store(&journal.give_up_ns, clock_now_ns() + LAST_WORDS_NS);
    pthread_cond_signal(&journal.arrived);
    pthread_mutex_unlock(&journal.lock);
    pthread_join(journal.writer, NULL);
    free(journal.lines);
    journal.lines = NULL;
}
