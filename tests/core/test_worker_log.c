/* worker_log: what a worker writes, line by line, bounded in length and in number. */
#include "core/base/clock.h"
#include "core/transport/worker_log.h"
#include "tests/core/journal.h"
#include "tests/support/suite.h"

static struct worker_log worker;

static void open_worker(void) {
    journal_open(LOG_DEBUG, LOG_TEXT, 0, 1 << 20);
    worker_log_init(&worker, "echo/3");
    worker.pid = 77;
}

static void feed(const char *text, uint64_t now_ns) {
    worker_log_feed(&worker, text, strlen(text), now_ns);
}

/* Each line that was logged must be the next of these, without time. */
static void assert_logged(const char *const *wanted, size_t count) {
    char *cursor = journal_text(), *line;
    for (size_t i = 0; i < count; i++) {
        line = journal_line(&cursor);
        ck_assert_ptr_nonnull(line);
        ck_assert_str_eq(strchr(line, ' ') + 1, wanted[i]);
    }
    ck_assert_ptr_null(journal_line(&cursor));
}
#define LINE(text) "level=info msg=worker slot=echo/3 pid=77 text=" text

START_TEST(each_line_is_logged_with_its_slot_and_pid) {
    static const char *const wanted[] = {LINE("one"), LINE("two")};
    open_worker();
    feed("one\ntwo\n", CLOCK_S);
    assert_logged(wanted, 2);
}
END_TEST

START_TEST(a_line_may_come_in_pieces) {
    static const char *const wanted[] = {LINE("together"), LINE("next")};
    open_worker();
    for (const char *c = "together\nnext\n"; *c != '\0'; c++)
        worker_log_feed(&worker, c, 1, CLOCK_S);
    assert_logged(wanted, 2);
}
END_TEST

START_TEST(empty_lines_are_skipped) {
    static const char *const wanted[] = {LINE("a"), LINE("b")};
    open_worker();
    feed("\n\n\na\n\nb\n\n", CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    assert_logged(wanted, 2);
}
END_TEST

START_TEST(an_unfinished_line_is_logged_at_the_end) {
    static const char *const wanted[] = {LINE("a"), LINE("\"last words\"")};
    open_worker();
    feed("a\nlast words", CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    assert_logged(wanted, 2);
}
END_TEST

START_TEST(a_long_line_is_cut_and_the_next_is_whole) {
    static char text[3 * WORKER_LOG_LINE_BYTES + 8];
    char wanted_text[WORKER_LOG_LINE_BYTES + 64];
    memset(text, 'x', sizeof text - 8);
    memcpy(text + sizeof text - 8, "\nnext\n", 7);
    open_worker();
    feed(text, CLOCK_S);
    int length = snprintf(wanted_text, sizeof wanted_text, "%s", LINE(""));
    memset(wanted_text + length, 'x', WORKER_LOG_LINE_BYTES);
    wanted_text[length + WORKER_LOG_LINE_BYTES] = '\0';
    const char *const wanted[] = {wanted_text, LINE("next")};
    assert_logged(wanted, 2);
}
END_TEST

START_TEST(a_line_of_exactly_the_most_is_not_cut) {
    char text[WORKER_LOG_LINE_BYTES + 2];
    memset(text, 'y', WORKER_LOG_LINE_BYTES);
    memcpy(text + WORKER_LOG_LINE_BYTES, "\n", 2);
    open_worker();
    feed(text, CLOCK_S);
    char *cursor = journal_text();
    ck_assert_uint_eq(strlen(strstr(journal_line(&cursor), "yyy")), WORKER_LOG_LINE_BYTES);
}
END_TEST

static size_t count_lines(const char *with) {
    char *cursor = journal_text(), *line;
    size_t count = 0;
    while ((line = journal_line(&cursor)) != NULL) count += strstr(line, with) != NULL;
    return count;
}

START_TEST(a_flood_is_dropped_and_reported_in_the_next_second) {
    open_worker();
    for (int i = 0; i < WORKER_LOG_LINES + 23; i++) feed("flood\n", CLOCK_S + (uint64_t)i);
    ck_assert_uint_eq(worker.dropped, 23);
    feed("after\n", 2 * CLOCK_S - 1); /* still the same second */
    ck_assert_uint_eq(worker.dropped, 24);
    feed("calm\n", 2 * CLOCK_S);
    ck_assert_uint_eq(worker.dropped, 0);
    char *cursor = journal_text(), *line;
    for (int i = 0; i < WORKER_LOG_LINES; i++)
        ck_assert_ptr_nonnull(strstr(journal_line(&cursor), "text=flood"));
    line = journal_line(&cursor);
    ck_assert_str_eq(strchr(line, ' ') + 1,
                     "level=warn msg=worker_log_dropped slot=echo/3 pid=77 lines=24");
    ck_assert_str_eq(strchr(journal_line(&cursor), ' ') + 1, LINE("calm"));
    ck_assert_ptr_null(journal_line(&cursor));
}
END_TEST

START_TEST(what_was_dropped_last_is_reported_at_the_end) {
    open_worker();
    for (int i = 0; i < WORKER_LOG_LINES + 5; i++) feed("flood\n", CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    ck_assert_uint_eq(count_lines("worker_log_dropped slot=echo/3 pid=77 lines=5"), 1);
}
END_TEST

START_TEST(every_second_has_its_own_lines) {
    open_worker();
    for (uint64_t second = 1; second <= 3; second++)
        for (int i = 0; i < WORKER_LOG_LINES; i++) feed("busy\n", second * CLOCK_S);
    ck_assert_uint_eq(worker.dropped, 0);
    ck_assert_uint_eq(count_lines("text=busy"), 3 * WORKER_LOG_LINES);
}
END_TEST

START_TEST(the_last_words_are_remembered_even_in_a_flood) {
    char text[400];
    open_worker();
    ck_assert_str_eq(worker.last, "");
    for (int i = 0; i < 2 * WORKER_LOG_LINES; i++) feed("flood\n", CLOCK_S);
    feed("Segmentation fault\n\n", CLOCK_S);
    ck_assert_str_eq(worker.last, "Segmentation fault");
    memset(text, 'z', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    feed(text, CLOCK_S);
    worker_log_end(&worker, CLOCK_S);
    ck_assert_uint_eq(strlen(worker.last), sizeof worker.last - 1);
    journal_text();
}
END_TEST

START_TEST(bytes_that_could_be_misread_are_escaped) {
    static const char *const wanted[] = {LINE("\"\\u001b[31mred level=error\"")};
    open_worker();
    feed("\x1b[31mred level=error\n", CLOCK_S);
    assert_logged(wanted, 1);
}
END_TEST

SUITE("core/worker_log", 30, each_line_is_logged_with_its_slot_and_pid, a_line_may_come_in_pieces,
      empty_lines_are_skipped, an_unfinished_line_is_logged_at_the_end,
      a_long_line_is_cut_and_the_next_is_whole, a_line_of_exactly_the_most_is_not_cut,
      a_flood_is_dropped_and_reported_in_the_next_second,
      what_was_dropped_last_is_reported_at_the_end, every_second_has_its_own_lines,
      the_last_words_are_remembered_even_in_a_flood, bytes_that_could_be_misread_are_escaped)
