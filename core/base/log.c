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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048
/* Of each of the two areas: lines are added to one while the other is being written. */
#define AREA_BYTES ((size_t)2 << 20)
/* Where there is room in a pipe there is room for so much (POSIX's PIPE_BUF), so a write after poll does
 * not block whatever the descriptor's mode. A file never blocks and takes more at once. */
#define PIPE_PIECE ((size_t)4096)
#define FILE_PIECE ((size_t)256 * 1024)
/* After a write the writer lets lines gather for so long: a busy log costs a few hundred writes a second. */
#define GATHER_NS     (4 * CLOCK_MS)
#define ROOM_MS       50
#define LAST_WORDS_NS CLOCK_S
/* Texts stop here and further fields are left out, so that a cut line still closes its quotes. */
#define CLOSING_BYTES 64

struct line {
    uint16_t bytes;
    char text[LINE_BYTES];
};

struct area {
    size_t bytes;
    char *text; /* whole lines */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    pthread_t writer;
    _Atomic bool running;
    bool stopping;
    bool asleep; /* the writer waits for `arrived` */
    struct area filling, writing;
    int fd;
    size_t piece;
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

bool log_writes(enum log_level level) {
    return (int)level >= atomic_load_explicit(&journal.level, memory_order_relaxed);
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

/* Writes the digits so that they end before `end`; where they begin. At least `least` of them. */
static char *digits_before(char *end, uint64_t number, int least) {
    for (; number > 0 || least > 0; number /= 10, least--) *--end = (char)('0' + number % 10);
    return end;
}

static void add_field(struct builder *builder, const struct log_field *field) {
    char digits[32], *cursor = &digits[sizeof digits - 1];
    uint64_t number = (uint64_t)field->number;
    *cursor = '\0';
    switch (field->kind) {
    case LOG_FIELD_TEXT: add_text_field(builder, field->key, field->text); return;
    case LOG_FIELD_NUMBER:
        cursor = digits_before(cursor, field->number < 0 ? 0 - number : number, 1);
        if (field->number < 0) *--cursor = '-';
        break;
    case LOG_FIELD_UNSIGNED: cursor = digits_before(cursor, number, 1); break;
    case LOG_FIELD_MS:
        cursor = digits_before(cursor, number % CLOCK_MS / CLOCK_US, 3);
        *--cursor = '.';
        cursor = digits_before(cursor, number / CLOCK_MS, 1);
        break;
    }
    add_number_field(builder, field->key, cursor);
}

/* The lock is held for a copy only. A writer that is awake looks again by itself. */
static void keep_line(const struct line *line) {
    pthread_mutex_lock(&journal.lock);
    struct area *area = &journal.filling;
    bool room = journal.running && AREA_BYTES - area->bytes >= line->bytes;
    if (room) {
        memcpy(area->text + area->bytes, line->text, line->bytes);
        area->bytes += line->bytes;
    } else if (journal.running) {
        atomic_fetch_add(&journal.dropped, 1);
    }
    bool wake = room && journal.asleep;
    journal.asleep = journal.asleep && !wake;
    pthread_mutex_unlock(&journal.lock);
    if (wake) pthread_cond_signal(&journal.arrived);
}

void log_fields(enum log_level level, const char *message, const struct log_field *fields,
                size_t count) {
    if (!log_writes(level) || !atomic_load(&journal.running)) return;
    char time[CLOCK_TEXT_BYTES];
    struct line line;
    struct builder builder = {.line = &line};
    line.bytes = 0;
    clock_text(clock_now_ns(), time);
    if (journal.format == LOG_JSON) add(&builder, "{");
    add_text_field(&builder, "time", time);
    add_text_field(&builder, "level", log_level_name(level));
    add_text_field(&builder, "msg", message);
    for (size_t i = 0; i < count; i++)
        if (fields[i].key != NULL && line.bytes < LINE_BYTES - 2 * CLOSING_BYTES)
            add_field(&builder, &fields[i]);
    if (journal.format == LOG_JSON) line.text[line.bytes++] = '}';
    line.text[line.bytes++] = '\n';
    keep_line(&line);
}

/* --- the writer ------------------------------------------------------------------------------ */

/* A pipe that nobody reads must not hold up the end. */
static bool wait_for_room(void) {
    struct pollfd room = {.fd = journal.fd, .events = POLLOUT};
    while (poll(&room, 1, ROOM_MS) <= 0)
        if (clock_now_ns() >= atomic_load(&journal.give_up_ns)) return false;
    return true;
}

static void count_dropped(const char *text, size_t bytes) {
    uint64_t lines = 0;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    atomic_fetch_add(&journal.dropped, lines);
}

static void write_piece(const char *text, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = wait_for_room() ? write(journal.fd, text + done, bytes - done) : -1;
        bool over = clock_now_ns() >= atomic_load(&journal.give_up_ns);
        if (written > 0) {
            done += (size_t)written;
        } else if (over || (errno != EINTR && errno != EAGAIN)) {
            count_dropped(text + done, bytes - done);
            return;
        }
    }
}

/* In pieces of whole lines. */
static void write_area(const struct area *area) {
    for (size_t at = 0, bytes; at < area->bytes; at += bytes) {
        bytes = area->bytes - at;
        if (bytes > journal.piece) {
            const char *last = memrchr(area->text + at, '\n', journal.piece);
            bytes = (size_t)(last + 1 - (area->text + at));
        }
        write_piece(area->text + at, bytes);
    }
}

/* What has gathered becomes what is to be written; false: nothing has, and nothing will. */
static bool take_area(void) {
    pthread_mutex_lock(&journal.lock);
    while (journal.filling.bytes == 0 && !journal.stopping) {
        journal.asleep = true;
        pthread_cond_wait(&journal.arrived, &journal.lock);
    }
    journal.asleep = false;
    struct area full = journal.filling;
    journal.writing.bytes = 0;
    journal.filling = journal.writing;
    journal.writing = full;
    pthread_mutex_unlock(&journal.lock);
    return full.bytes > 0;
}

static void *write_lines(void *unused) {
    (void)unused;
    const struct timespec moment = {.tv_nsec = (long)GATHER_NS};
    while (take_area()) {
        write_area(&journal.writing);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static void free_areas(void) {
    free(journal.filling.text);
    free(journal.writing.text);
    journal.filling = journal.writing = (struct area){.bytes = 0};
}

static bool open_areas(void) {
    journal.filling = (struct area){.text = malloc(AREA_BYTES)};
    journal.writing = (struct area){.text = malloc(AREA_BYTES)};
    if (journal.filling.text != NULL && journal.writing.text != NULL) return true;
    free_areas();
    return false;
}

enum outcome log_open(int fd, enum log_level level, enum log_format format) {
    struct stat status;
    if (!open_areas()) return MEMORY_EXHAUSTED;
    journal.fd = fd;
    journal.piece = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? FILE_PIECE : PIPE_PIECE;
    journal.format = format;
    journal.stopping = journal.asleep = false;
    atomic_store(&journal.level, (int)level);
    atomic_store(&journal.give_up_ns, CLOCK_NEVER);
    if (pthread_create(&journal.writer, NULL, write_lines, NULL) != 0) {
        free_areas();
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
    free_areas();
}
