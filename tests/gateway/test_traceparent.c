/* traceparent: what passes for a trace context, and what the worker is told. */
#include "gateway/traceparent.h"
#include "tests/support/suite.h"

#include <string.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static const char *written(const struct trace *trace) {
    static char text[TRACEPARENT_BYTES];
    return traceparent_write(trace, text);
}

START_TEST(a_trace_context_is_read_and_written_as_it_came) {
    struct trace trace;
    char hex[TRACE_ID_TEXT_BYTES];
    ck_assert(traceparent_read("00-" TRACE "-" PARENT "-01", &trace));
    ck_assert(trace_present(&trace));
    ck_assert(trace.sampled);
    ck_assert_str_eq(trace_hex(trace.trace_id, 16, hex), TRACE);
    ck_assert_str_eq(trace_hex(trace.parent_id, 8, hex), PARENT);
    ck_assert_str_eq(written(&trace), "00-" TRACE "-" PARENT "-01");
}
END_TEST

START_TEST(a_span_of_ours_takes_the_place_of_the_parent) {
    struct trace trace;
    ck_assert(traceparent_read("00-" TRACE "-" PARENT "-00", &trace));
    ck_assert(!trace.sampled);
    memcpy(trace.span_id, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    ck_assert_str_eq(written(&trace), "00-" TRACE "-0123456789abcdef-00");
}
END_TEST

START_TEST(only_the_flag_that_is_known_counts_and_is_passed_on) {
    static const struct {
        const char *flags, *passed;
    } rows[] = {{"00", "00"}, {"01", "01"}, {"02", "00"}, {"ff", "01"}, {"a0", "00"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char field[64];
        struct trace trace;
        snprintf(field, sizeof field, "00-" TRACE "-" PARENT "-%s", rows[i].flags);
        ck_assert(traceparent_read(field, &trace));
        ck_assert_str_eq(written(&trace) + 53, rows[i].passed);
    }
}
END_TEST

/* Section 3.2.4 of the standard: later versions may only add to the end. */
START_TEST(a_later_version_is_read_as_far_as_it_is_known) {
    struct trace trace;
    ck_assert(traceparent_read("cc-" TRACE "-" PARENT "-01", &trace));
    ck_assert_str_eq(written(&trace), "00-" TRACE "-" PARENT "-01");
    ck_assert(traceparent_read("cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like", &trace));
    ck_assert(!traceparent_read("cc-" TRACE "-" PARENT "-01.what-the-future-will-be-like", &trace));
}
END_TEST

START_TEST(what_is_no_trace_context_is_as_if_it_were_not_there) {
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-1x",
        "ff-" TRACE "-" PARENT "-01",
        "0-" TRACE "-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        " 00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01 ",
        "00-" TRACE "-" PARENT "-01-x",
    };
    struct trace trace;
    ck_assert(!traceparent_read(NULL, &trace));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&trace, 0xff, sizeof trace);
        ck_assert_msg(!traceparent_read(bad[i], &trace), "%s", bad[i]);
        ck_assert(!trace_present(&trace));
        ck_assert_str_eq(written(&trace), "");
    }
}
END_TEST

SUITE("gateway/traceparent", 5, a_trace_context_is_read_and_written_as_it_came,
      a_span_of_ours_takes_the_place_of_the_parent,
      only_the_flag_that_is_known_counts_and_is_passed_on,
      a_later_version_is_read_as_far_as_it_is_known,
      what_is_no_trace_context_is_as_if_it_were_not_there)
