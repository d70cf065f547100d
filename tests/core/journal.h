/* journal - the log, written into a pipe and read back by the test.
 * thread: the test's own; one journal at a time.
 * owns:   the pipe and the text; journal_text closes the log and is valid until the next journal_open.
 * fails:  a text beyond JOURNAL_BYTES ends the test. */
#ifndef TESTS_CORE_JOURNAL_H
#define TESTS_CORE_JOURNAL_H

#include "core/base/log.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_BYTES ((size_t)8 << 20)

static struct journal {
    int reading, writing;
    pthread_t reader;
    size_t bytes;
    char text[JOURNAL_BYTES];
} journal;

/* flags: of the writing end, such as O_NONBLOCK. pipe_bytes: how much it takes while nobody reads. */
static inline void journal_open(enum log_level level, enum log_format format, int flags,
                                int pipe_bytes) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    journal.reading = ends[0];
    journal.writing = ends[1];
    journal.bytes = 0;
    ck_assert_int_ge(fcntl(journal.writing, F_SETPIPE_SZ, pipe_bytes), pipe_bytes);
    if (flags != 0) ck_assert_int_eq(fcntl(journal.writing, F_SETFL, flags), 0);
    ck_assert_int_eq(log_open(journal.writing, level, format), OK);
}

static void *journal_read(void *unused) {
    (void)unused;
    ssize_t got;
    while ((got = read(journal.reading, journal.text + journal.bytes,
                       JOURNAL_BYTES - 1 - journal.bytes)) > 0)
        journal.bytes += (size_t)got;
    return NULL;
}

static inline void journal_start_reader(void) {
    ck_assert_int_eq(pthread_create(&journal.reader, NULL, journal_read, NULL), 0);
}

/* After journal_start_reader: closes the log and returns all that was written. */
static inline char *journal_finish(void) {
    log_close();
    close(journal.writing);
    pthread_join(journal.reader, NULL);
    close(journal.reading);
    ck_assert_uint_lt(journal.bytes, JOURNAL_BYTES - 1);
    journal.text[journal.bytes] = '\0';
    return journal.text;
}

static inline char *journal_text(void) {
    journal_start_reader();
    return journal_finish();
}

/* The next line without its newline, cut off from *cursor; NULL after the last. */
static inline char *journal_line(char **cursor) {
    char *line = *cursor, *newline = strchr(line, '\n');
    if (newline == NULL) {
        ck_assert_str_eq(line, ""); /* every line ends with a newline */
        return NULL;
    }
    *newline = '\0';
    *cursor = newline + 1;
    return line;
}

#endif
