#include "gateway/http/hygiene.h"
#include "tests/support/suite.h"

#include <string.h>

static enum outcome outcome; /* of the last verdict */

/* lines: "Name: value", separated by LF. */
static const char *verdict_of(const char *method, const char *version, const char *lines) {
    struct hygiene hygiene = {0};
    while (*lines != '\0') {
        size_t line = strcspn(lines, "\n"), name = 0;
        while (name < line && strncmp(lines + name, ": ", 2) != 0) name++;
        ck_assert_uint_lt(name, line);
        hygiene_line(&hygiene, lines, name, lines + name + 2, line - name - 2);
        lines += line + (lines[line] == '\n' ? 1 : 0);
    }
    const struct start_line start = {method, "/livez", version};
    const char *flaw;
    outcome = hygiene_verdict(&hygiene, &start, &flaw);
    ck_assert_int_eq(outcome == OK, flaw == NULL);
    return flaw;
}

static void refused(const char *lines) {
    ck_assert_msg(verdict_of("POST", "HTTP/1.1", lines) != NULL, "let through: %s", lines);
}

static void passes(const char *lines) {
    const char *verdict = verdict_of("POST", "HTTP/1.1", lines);
    ck_assert_msg(verdict == NULL, "%s: %s", lines, verdict);
}

START_TEST(an_ordinary_request_passes) {
    passes("Host: gateway");
    passes("Host: gateway:8080\nContent-Length: 12\nContent-Type: text/plain");
    passes("Host: [::1]:8080\nTransfer-Encoding: chunked");
    passes("Host: gateway\nTransfer-Encoding: Chunked");
    passes("Host: gateway\nContent-Length: 0 ");
    passes("Host: gateway\nX-Text: caf\xc3\xa9\twith a tab");
    ck_assert_ptr_null(verdict_of("GET", "HTTP/1.0", "Accept: */*"));
}
END_TEST

START_TEST(length_and_encoding_together_are_refused) {
    refused("Host: g\nContent-Length: 3\nTransfer-Encoding: chunked");
    refused("Host: g\nTransfer-Encoding: chunked\nContent-Length: 3");
}
END_TEST

START_TEST(a_repeated_length_is_refused_even_if_it_agrees) {
    refused("Host: g\nContent-Length: 3\nContent-Length: 3");
    refused("Host: g\nContent-Length: 3\ncontent-length: 4");
}
END_TEST

START_TEST(a_length_that_is_not_one_number_is_refused) {
    static const char *const values[] = {"3, 3", "+3", "-3", "0x3", "3 3",
                                         "",     " ",  "3a", "3.0", "18446744073709551616"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char lines[64];
        snprintf(lines, sizeof lines, "Host: g\nContent-Length: %s", values[i]);
        refused(lines);
    }
}
END_TEST

START_TEST(an_encoding_other_than_one_chunked_is_refused) {
    static const struct {
        const char *value;
        enum outcome outcome;
    } rows[] = {
        {"gzip, chunked", NOT_IMPLEMENTED},
        {"identity", NOT_IMPLEMENTED},
        {"xchunked", NOT_IMPLEMENTED},
        {"chunked ", INVALID_REQUEST}, /* the library would read without an end */
        {"chunked\t", INVALID_REQUEST},
        {"chunked, chunked", INVALID_REQUEST},
        {"chunked, gzip", INVALID_REQUEST},
        {"", INVALID_REQUEST},
        {"chunked,", INVALID_REQUEST},
        {",chunked", INVALID_REQUEST},
        {"\"chunked\"", INVALID_REQUEST},
        {"chunked;q=1", INVALID_REQUEST},
        {"chun ked", INVALID_REQUEST},
        {"gzip\nTransfer-Encoding: gzip", INVALID_REQUEST},
        {"gzip\nContent-Length: 1", INVALID_REQUEST},
        {"chunked\nTransfer-Encoding: chunked", INVALID_REQUEST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[96];
        snprintf(lines, sizeof lines, "Host: g\nTransfer-Encoding: %s", rows[i].value);
        refused(lines);
        ck_assert_msg(outcome == rows[i].outcome, "%s: %s", lines, outcome_code(outcome));
    }
}
END_TEST

START_TEST(a_method_that_nobody_knows_is_not_implemented) {
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "PATCH", "TRACE"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_ptr_null(verdict_of(known[i], "HTTP/1.1", "Host: g"));
    static const char *const unknown[] = {"M-SEARCH", "get", "GETT", "PRI", "BREW"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        ck_assert_ptr_nonnull(verdict_of(unknown[i], "HTTP/1.1", "Host: g"));
        ck_assert_int_eq(outcome, NOT_IMPLEMENTED);
    }
    ck_assert_ptr_nonnull(verdict_of("CONNECT", "HTTP/1.1", "Host: g"));
    ck_assert_int_eq(outcome, INVALID_REQUEST);
    ck_assert_ptr_nonnull(verdict_of("BREW", "HTTP/1.1", "X: y")); /* what is unclear comes first */
    ck_assert_int_eq(outcome, INVALID_REQUEST);
}
END_TEST

static enum outcome verdict_on(size_t lines, size_t bytes, size_t target_bytes) {
    static char value[HEADER_BYTES_MOST + 1], target[TARGET_BYTES_MOST + 2];
    struct hygiene hygiene = {0};
    struct start_line start = {"GET", target, "HTTP/1.1"};
    const char *flaw;
    memset(value, 'v', sizeof value);
    memset(target, '/', sizeof target);
    target[target_bytes] = '\0';
    hygiene_line(&hygiene, "Host", 4, "g", 1);
    for (size_t i = 2; i < lines; i++) hygiene_line(&hygiene, "X", 1, "", 0);
    hygiene_line(&hygiene, "X", 1, value, bytes - hygiene.bytes - 5);
    ck_assert_uint_eq(hygiene.bytes, bytes);
    return hygiene_verdict(&hygiene, &start, &flaw);
}

START_TEST(each_limit_holds_to_the_byte) {
    ck_assert_int_eq(verdict_on(100, 2048, 10), OK);
    ck_assert_int_eq(verdict_on(101, 2048, 10), HEADERS_TOO_LARGE);
    ck_assert_int_eq(verdict_on(10, HEADER_BYTES_MOST, 10), OK);
    ck_assert_int_eq(verdict_on(10, HEADER_BYTES_MOST + 1, 10), HEADERS_TOO_LARGE);
    ck_assert_int_eq(verdict_on(10, 2048, TARGET_BYTES_MOST), OK);
    ck_assert_int_eq(verdict_on(10, 2048, TARGET_BYTES_MOST + 1), URI_TOO_LONG);
}
END_TEST

START_TEST(an_encoding_on_http_1_0_is_refused) {
    ck_assert_ptr_nonnull(verdict_of("POST", "HTTP/1.0", "Host: g\nTransfer-Encoding: chunked"));
}
END_TEST

START_TEST(one_host_is_needed_and_only_one) {
    refused("Accept: */*");
    refused("Host: a\nHost: b");
    refused("Host: a\nhost: a");
    refused("Host: a, b");
    refused("Host: user@a");
    refused("Host: a/b");
    ck_assert_ptr_nonnull(verdict_of("GET", "HTTP/1.0", "Host: a\nHost: b"));
}
END_TEST

START_TEST(a_name_that_is_no_token_is_refused) {
    refused("Host: g\nX(a): 1");
    refused("Host: g\nX a: 1");
    refused("Host: g\nContent-Length : 1");
    refused("Host: g\nX-\xc3\xa9: 1");
}
END_TEST

START_TEST(control_characters_in_a_value_are_refused) {
    refused("Host: g\nX-A: a\rb");
    refused("Host: g\nX-A: a\x01");
    refused("Host: g\nX-A: \x7f");
    struct hygiene hygiene = {0};
    hygiene_line(&hygiene, "X-A", 3, "a\0b", 3);
    ck_assert_ptr_nonnull(hygiene.flaw);
}
END_TEST

START_TEST(a_method_that_is_no_token_and_a_strange_version_are_refused) {
    ck_assert_ptr_nonnull(verdict_of("P\x01ST", "HTTP/1.1", "Host: g"));
    ck_assert_ptr_nonnull(verdict_of("", "HTTP/1.1", "Host: g"));
    ck_assert_ptr_nonnull(verdict_of("GET", "HTTP/9.9", "Host: g"));
    ck_assert_ptr_nonnull(verdict_of("GET", "", "Host: g"));
}
END_TEST

START_TEST(the_length_is_known_after_its_line) {
    struct hygiene hygiene = {0};
    hygiene_line(&hygiene, "content-LENGTH", 14, "1234", 4);
    ck_assert_uint_eq(hygiene.content_length, 1234);
    ck_assert_uint_eq(hygiene.lengths, 1);
}
END_TEST

SUITE("gateway/http/hygiene", 5, an_ordinary_request_passes,
      length_and_encoding_together_are_refused, a_repeated_length_is_refused_even_if_it_agrees,
      a_length_that_is_not_one_number_is_refused, an_encoding_other_than_one_chunked_is_refused,
      an_encoding_on_http_1_0_is_refused, one_host_is_needed_and_only_one,
      a_name_that_is_no_token_is_refused, control_characters_in_a_value_are_refused,
      a_method_that_is_no_token_and_a_strange_version_are_refused,
      a_method_that_nobody_knows_is_not_implemented, each_limit_holds_to_the_byte,
      the_length_is_known_after_its_line)
