/* log: lines that cannot be misread, whatever is written, and that never hold anybody up. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "tests/core/chance.h"
#include "tests/core/journal.h"
#include "tests/support/suite.h"

#include <jansson.h>

#define LINE_BYTES  2048
#define MANY_LINES  1024
#define FLOOD_LINES 6000 /* of a kilobyte each: more than there is room for */
#define PIPE_BYTES  65536
#define WRITERS     8
#define LINES       500

static void open_text(void) {
    journal_open(LOG_DEBUG, LOG_TEXT, 0, PIPE_BYTES);
}

static void open_json(void) {
    journal_open(LOG_DEBUG, LOG_JSON, 0, PIPE_BYTES);
}

/* What follows time=… in a line of text. */
static const char *after_time(const char *line) {
    ck_assert(strncmp(line, "time=", 5) == 0);
    ck_assert_uint_gt(strlen(line), 5 + 24);
    ck_assert_int_eq(line[5 + 10], 'T');
    ck_assert_int_eq(line[5 + 23], 'Z');
    ck_assert_int_eq(line[5 + 24], ' ');
    return line + 5 + 25;
}

/* The one line that was written, without its time. */
static const char *only_line(void) {
    char *cursor = journal_text(), *line = journal_line(&cursor);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(journal_line(&cursor));
    return after_time(line);
}

static json_t *parse(const char *line) {
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(object != NULL, "%s in %s", error.text, line);
    ck_assert(json_is_object(object));
    return object;
}

static json_t *only_object(void) {
    char *cursor = journal_text(), *line = journal_line(&cursor);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(journal_line(&cursor));
    return parse(line);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    ck_assert_msg(text != NULL, "%s is missing", key);
    return text;
}

/* --- one line ---------------------------------------------------------------------------------------- */

START_TEST(a_line_is_key_value_text) {
    open_text();
    log_event(LOG_INFO, "listening", LOG_STR("http", "127.0.0.1:8080"), LOG_INT("pid", 7));
    ck_assert_str_eq(only_line(), "level=info msg=listening http=127.0.0.1:8080 pid=7");
}
END_TEST

START_TEST(a_line_without_fields_is_whole_too) {
    open_text();
    log_event(LOG_WARN, "alone");
    ck_assert_str_eq(only_line(), "level=warn msg=alone");
}
END_TEST

START_TEST(numbers_keep_their_sign_and_size) {
    open_text();
    log_event(LOG_INFO, "n", LOG_INT("least", INT64_MIN), LOG_INT("most", INT64_MAX),
              LOG_UINT("large", UINT64_MAX), LOG_INT("minus", -1), LOG_UINT("zero", 0));
    ck_assert_str_eq(only_line(), "level=info msg=n least=-9223372036854775808 "
                                  "most=9223372036854775807 large=18446744073709551615 minus=-1 "
                                  "zero=0");
}
END_TEST

START_TEST(times_are_milliseconds_with_three_decimals) {
    open_text();
    log_event(LOG_INFO, "m", LOG_MS("none", 0), LOG_MS("a", 999), LOG_MS("b", 1234567),
              LOG_MS("hour", UINT64_C(3600000000001)));
    ck_assert_str_eq(only_line(), "level=info msg=m none=0.000 a=0.000 b=1.234 hour=3600000.000");
}
END_TEST

START_TEST(a_text_that_could_be_misread_is_quoted) {
    static const struct {
        const char *text, *written;
    } table[] = {{"plain", "plain"},
                 {"with-./:_", "with-./:_"},
                 {"", "\"\""},
                 {"two words", "\"two words\""},
                 {"a=b", "\"a=b\""},
                 {"say \"hi\"", "\"say \\\"hi\\\"\""},
                 {"back\\slash", "\"back\\\\slash\""},
                 {"line\nlevel=error", "\"line\\u000alevel=error\""},
                 {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
                 {"\xc3\xa9 \xf0\x9f\x90\x8c", "\"\xc3\xa9 \xf0\x9f\x90\x8c\""},
                 {"\xc2\x9b", "\"\\u00c2\\u009b\""},
                 {"\xc0\xaf\xed\xa0\x80", "\"\\u00c0\\u00af\\u00ed\\u00a0\\u0080\""},
                 {"\xe2\x82", "\"\\u00e2\\u0082\""}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char wanted[200];
        open_text();
        log_event(LOG_INFO, "m", LOG_STR("k", table[i].text));
        snprintf(wanted, sizeof wanted, "level=info msg=m k=%s", table[i].written);
        ck_assert_str_eq(only_line(), wanted);
    }
}
END_TEST

START_TEST(a_missing_text_is_empty_and_a_missing_key_is_skipped) {
    open_text();
    log_event(LOG_INFO, "m", LOG_STR("none", NULL), LOG_STR(NULL, "unseen"), LOG_INT("n", 1));
    ck_assert_str_eq(only_line(), "level=info msg=m none=\"\" n=1");
}
END_TEST

START_TEST(a_json_line_has_types) {
    open_json();
    log_event(LOG_ERROR, "it broke", LOG_STR("slot", "ocr/0"), LOG_INT("pid", -7),
              LOG_UINT("bytes", 123456789), LOG_STR(NULL, "unseen"), LOG_STR("none", NULL));
    json_t *object = only_object();
    ck_assert_uint_eq(json_object_size(object), 7);
    ck_assert_uint_eq(strlen(text_of(object, "time")), 24);
    ck_assert_str_eq(text_of(object, "level"), "error");
    ck_assert_str_eq(text_of(object, "msg"), "it broke");
    ck_assert_str_eq(text_of(object, "slot"), "ocr/0");
    ck_assert_str_eq(text_of(object, "none"), "");
    ck_assert_int_eq(json_integer_value(json_object_get(object, "pid")), -7);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "bytes")), 123456789);
    json_decref(object);
}
END_TEST

START_TEST(every_byte_survives_in_json) {
    char text[256];
    for (int i = 0; i < 255; i++) text[i] = (char)(i + 1);
    text[255] = '\0';
    open_json();
    log_event(LOG_INFO, text, LOG_STR("a\"\n", "odd"));
    json_t *object = only_object();
    /* Each byte is a character of its own: those above ASCII read as two bytes of UTF-8. */
    const char *message = text_of(object, "msg");
    ck_assert_uint_eq(strlen(message), 127 + 2 * 128);
    ck_assert_int_eq(memcmp(message, text, 127), 0);
    ck_assert_str_eq(text_of(object, "a\"\n"), "odd");
    json_decref(object);
}
END_TEST

START_TEST(levels_have_names) {
    static const char *const names[] = {"debug", "info", "warn", "error", "alert"};
    for (int level = LOG_DEBUG; level <= LOG_ALERT; level++)
        ck_assert_str_eq(log_level_name((enum log_level)level), names[level]);
    ck_assert_str_eq(log_level_name((enum log_level)5), "?");
}
END_TEST

START_TEST(what_is_below_the_level_is_not_written) {
    journal_open(LOG_WARN, LOG_TEXT, 0, PIPE_BYTES);
    for (int level = LOG_DEBUG; level <= LOG_ALERT; level++) log_event(level, "first");
    log_set_level(LOG_ALERT);
    for (int level = LOG_DEBUG; level <= LOG_ALERT; level++) log_event(level, "second");
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "third");
    static const char *const wanted[] = {"level=warn msg=first", "level=error msg=first",
                                         "level=alert msg=first", "level=alert msg=second",
                                         "level=debug msg=third"};
    char *cursor = journal_text();
    for (size_t i = 0; i < 5; i++) ck_assert_str_eq(after_time(journal_line(&cursor)), wanted[i]);
    ck_assert_ptr_null(journal_line(&cursor));
    ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

/* --- long lines ----------------------------------------------------------------------------------------- */

START_TEST(a_long_line_is_cut_and_still_valid_json) {
    /* Every length around the limit, of characters that are escaped to one, two and six bytes. */
    static const char fills[] = {'x', '"', '\n'};
    static char text[3000];
    for (size_t fill = 0; fill < sizeof fills; fill++) {
        open_json();
        journal_start_reader();
        size_t lines = 0;
        for (size_t length = 250; length < 2400; length += 1 + (lines % 2) * 6, lines++) {
            memset(text, fills[fill], length);
            text[length] = '\0';
            log_event(LOG_INFO, "long", LOG_STR("text", text), LOG_INT("after", 1),
                      LOG_STR("more", text));
            usleep(50); /* so that the ring does not fill */
        }
        char *cursor = journal_finish(), *line;
        ck_assert_uint_eq(log_dropped(), 0);
        while ((line = journal_line(&cursor)) != NULL) {
            require(strlen(line) < LINE_BYTES);
            json_decref(parse(line));
            lines--;
        }
        ck_assert_uint_eq(lines, 0);
    }
}
END_TEST

START_TEST(long_keys_and_messages_are_cut_too) {
    static char text[5000];
    memset(text, 'k', sizeof text - 1);
    open_json();
    log_event(LOG_INFO, text, LOG_STR("late", "left out"));
    log_event(LOG_INFO, "m", LOG_INT(text, 7));
    log_event(LOG_INFO, "m", LOG_STR(text, text), LOG_INT("late", 1));
    char *cursor = journal_text(), *line;
    int lines = 0;
    while ((line = journal_line(&cursor)) != NULL) {
        json_t *object = parse(line);
        ck_assert_uint_lt(strlen(line), LINE_BYTES);
        ck_assert_ptr_null(json_object_get(object, "late"));
        json_decref(object);
        lines++;
    }
    ck_assert_int_eq(lines, 3);
}
END_TEST

START_TEST(many_fields_are_left_out_from_the_end) {
    struct log_field fields[400];
    char names[400][8];
    for (int i = 0; i < 400; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        fields[i] = LOG_INT(names[i], i);
    }
    open_json();
    log_fields(LOG_INFO, "m", fields, 400);
    json_t *object = only_object();
    size_t count = json_object_size(object) - 3;
    ck_assert_uint_gt(count, 100);
    ck_assert_uint_lt(count, 400);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(json_integer_value(json_object_get(object, names[i])), (json_int_t)i);
    json_decref(object);
}
END_TEST

START_TEST(a_long_line_of_text_closes_its_quotes) {
    static char text[5000];
    memset(text, ' ', sizeof text - 1);
    open_text();
    log_event(LOG_INFO, "m", LOG_STR("k", text), LOG_STR("late", "left out"));
    const char *line = only_line();
    ck_assert_uint_gt(strlen(line), LINE_BYTES - 200);
    ck_assert_int_eq(line[strlen(line) - 1], '"');
}
END_TEST

/* --- room and the writer --------------------------------------------------------------------------- */

START_TEST(without_a_writer_lines_go_nowhere) {
    log_event(LOG_ALERT, "before");
    open_text();
    log_event(LOG_INFO, "while");
    ck_assert_str_eq(only_line(), "level=info msg=while");
    log_event(LOG_ALERT, "after");
    log_close(); /* once more does nothing */
    ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

/* Lines of a bit more than a kilobyte. */
static void flood(void) {
    static char text[1025];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < FLOOD_LINES; i++)
        log_event(LOG_INFO, "m", LOG_INT("i", i), LOG_STR("text", text));
}

START_TEST(without_room_lines_are_dropped_and_counted_and_nobody_is_blocked) {
    journal_open(LOG_DEBUG, LOG_TEXT, 0, 4096); /* nobody reads yet */
    flood();
    uint64_t dropped = log_dropped();
    ck_assert_uint_gt(dropped, FLOOD_LINES / 5);
    char *cursor = journal_text(), *line; /* now somebody does */
    uint64_t written = 0;
    long last = -1;
    while ((line = journal_line(&cursor)) != NULL) {
        long i = strtol(strstr(line, " i=") + 3, NULL, 10);
        require(i > last);
        last = i;
        written++;
    }
    ck_assert_uint_ge(written, FLOOD_LINES / 5);
    ck_assert_uint_eq(written + dropped, FLOOD_LINES);
    ck_assert_uint_eq(log_dropped(), dropped);
}
END_TEST

START_TEST(a_file_gets_every_line_in_few_writes) {
    char name[] = "/tmp/poolgate-test-XXXXXX";
    int file = mkstemp(name), lines = 0;
    ck_assert_int_ge(file, 0);
    unlink(name);
    ck_assert_int_eq(log_open(file, LOG_DEBUG, LOG_TEXT), OK);
    for (int i = 0; i < MANY_LINES; i++) log_event(LOG_INFO, "m", LOG_INT("i", i));
    log_close();
    FILE *text = fdopen(file, "r");
    char line[256];
    rewind(text);
    for (; fgets(line, sizeof line, text) != NULL; lines++)
        ck_assert_int_eq(strtol(strstr(line, " i=") + 3, NULL, 10), lines);
    ck_assert_int_eq(lines, MANY_LINES);
    ck_assert_uint_eq(log_dropped(), 0);
    fclose(text);
}
END_TEST

START_TEST(a_lone_line_does_not_wait_for_others) {
    char line[256];
    open_text();
    log_event(LOG_INFO, "alone");
    ssize_t bytes =
        read(journal.reading, line, sizeof line); /* libcheck's time limit is what fails */
    ck_assert_int_gt(bytes, 0);
    ck_assert_str_eq(journal_text(), "");
}
END_TEST

START_TEST(closing_writes_what_is_waiting) {
    journal_open(LOG_DEBUG, LOG_TEXT, 0, 4096);
    for (int i = 0; i < MANY_LINES; i++) log_event(LOG_INFO, "m", LOG_INT("i", i));
    char *cursor = journal_text();
    for (int i = 0; i < MANY_LINES; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "level=info msg=m i=%d", i);
        ck_assert_str_eq(after_time(journal_line(&cursor)), wanted);
    }
    ck_assert_ptr_null(journal_line(&cursor));
}
END_TEST

START_TEST(a_descriptor_that_would_block_is_waited_for) {
    journal_open(LOG_DEBUG, LOG_TEXT, O_NONBLOCK, 4096);
    for (int i = 0; i < 500; i++) log_event(LOG_INFO, "m", LOG_INT("i", i));
    usleep(20000); /* the pipe is full by now */
    char *cursor = journal_text();
    for (int i = 0; i < 500; i++) ck_assert_ptr_nonnull(journal_line(&cursor));
    ck_assert_ptr_null(journal_line(&cursor));
    ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

START_TEST(a_pipe_that_nobody_reads_does_not_hold_up_the_end) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(log_open(ends[1], LOG_DEBUG, LOG_TEXT), OK);
    flood();
    log_close(); /* libcheck's own time limit is what fails here */
    ck_assert_uint_gt(log_dropped(), FLOOD_LINES - 100); /* the pipe took some */
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(lines_that_cannot_be_written_are_counted) {
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(full, 0);
    ck_assert_int_eq(log_open(full, LOG_DEBUG, LOG_TEXT), OK);
    for (int i = 0; i < 10; i++) log_event(LOG_INFO, "m");
    log_close();
    close(full);
    ck_assert_uint_eq(log_dropped(), 10);
}
END_TEST

static void *write_lines(void *argument) {
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_INFO, "m", LOG_INT("writer", (intptr_t)argument), LOG_INT("i", i));
        if (i % 50 == 0) usleep(100);
    }
    return NULL;
}

START_TEST(lines_of_eight_threads_are_whole_and_in_order) {
    pthread_t threads[WRITERS];
    int next[WRITERS] = {0};
    open_json();
    journal_start_reader();
    for (intptr_t i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    char *cursor = journal_finish(), *line;
    uint64_t written = 0;
    while ((line = journal_line(&cursor)) != NULL) {
        json_t *object = parse(line);
        json_int_t writer = json_integer_value(json_object_get(object, "writer"));
        json_int_t i = json_integer_value(json_object_get(object, "i"));
        require(writer >= 0 && writer < WRITERS && i >= next[writer]);
        next[writer] = (int)i + 1;
        json_decref(object);
        written++;
    }
    ck_assert_uint_eq(written + log_dropped(), (uint64_t)WRITERS * LINES);
}
END_TEST

SUITE("core/log", 60, a_line_is_key_value_text, a_line_without_fields_is_whole_too,
      numbers_keep_their_sign_and_size, times_are_milliseconds_with_three_decimals,
      a_text_that_could_be_misread_is_quoted, a_missing_text_is_empty_and_a_missing_key_is_skipped,
      a_json_line_has_types, every_byte_survives_in_json, levels_have_names,
      what_is_below_the_level_is_not_written, a_long_line_is_cut_and_still_valid_json,
      long_keys_and_messages_are_cut_too, many_fields_are_left_out_from_the_end,
      a_long_line_of_text_closes_its_quotes, without_a_writer_lines_go_nowhere,
      without_room_lines_are_dropped_and_counted_and_nobody_is_blocked,
      a_file_gets_every_line_in_few_writes, a_lone_line_does_not_wait_for_others,
      closing_writes_what_is_waiting, a_descriptor_that_would_block_is_waited_for,
      a_pipe_that_nobody_reads_does_not_hold_up_the_end, lines_that_cannot_be_written_are_counted,
      lines_of_eight_threads_are_whole_and_in_order)
