/* http_guard: what libmicrohttpd lets through or hides from its handler is refused, and where a piece
 * ends changes nothing. */
#include "gateway/edge/http_guard.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

struct sight {
    enum http_guard_verdict verdict;
    size_t passed;
    uint64_t requests;
    bool between;
};

static struct sight sight_of(const struct http_guard *guard, size_t passed) {
    return (struct sight){guard->verdict, passed, guard->requests, guard->between};
}

static struct sight see(const char *bytes, size_t count) {
    struct http_guard guard;
    http_guard_init(&guard);
    size_t passed = http_guard_see(&guard, bytes, count);
    require((guard.flaw == NULL) == (guard.verdict == HTTP_GUARD_CLEAN));
    require((passed == count) == (guard.verdict == HTTP_GUARD_CLEAN));
    return sight_of(&guard, passed);
}

static struct sight see_split(const char *bytes, size_t count, size_t split) {
    struct http_guard guard;
    http_guard_init(&guard);
    size_t passed = http_guard_see(&guard, bytes, split);
    if (passed == split) passed += http_guard_see(&guard, bytes + split, count - split);
    return sight_of(&guard, passed);
}

static void same(struct sight a, struct sight b, const char *text) {
    if (a.verdict != b.verdict || a.passed != b.passed || a.requests != b.requests ||
        a.between != b.between)
        ck_abort_msg("split differently: %s", text);
}

static struct sight see_every_way(const char *text, size_t count) {
    const struct sight whole = see(text, count);
    for (size_t split = 0; split <= count; split++)
        same(whole, see_split(text, count, split), text);
    return whole;
}

static void verdict_is(enum http_guard_verdict verdict, const char *text, size_t count) {
    const struct sight sight = see_every_way(text, count);
    ck_assert_msg(sight.verdict == verdict, "verdict %d, not %d, after %zu bytes of: %s",
                  sight.verdict, verdict, sight.passed, text);
}
#define IS(verdict, text)                                                                          \
    verdict_is(HTTP_GUARD_##verdict, "" text, sizeof text - 1) /* NUL may be inside */
#define FIELD_IS(verdict, line)                                                                    \
    IS(verdict, "POST / HTTP/1.1\r\nHost: g\r\n" line "\r\n\r\nGET /x HTTP/1.1\r\nHost: "          \
                "g\r\n\r\n")
#define CHUNKED "POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"

static void passes(const char *text, uint64_t requests) {
    const struct sight sight = see_every_way(text, strlen(text));
    ck_assert_msg(sight.verdict == HTTP_GUARD_CLEAN, "verdict %d after %zu bytes of: %s",
                  sight.verdict, sight.passed, text);
    ck_assert_uint_eq(sight.requests, requests);
    ck_assert(sight.between);
}

START_TEST(ordinary_requests_pass_and_are_counted) {
    passes("", 0);
    passes("GET / HTTP/1.1\r\nHost: g\r\n\r\n", 1);
    passes("OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 1);
    passes("GET http://g/x?y=%00 HTTP/1.1\r\nHost:g\r\n\r\n", 1);
    passes("GET / HTTP/1.0\r\n\r\n", 1);
    passes("GET / HTTP/1.0\r\nHost: g\r\nX: a\tb caf\xc3\xa9\r\nEmpty:\r\n\r\n", 1);
    passes("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", 1);
    passes("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: \t003\r\n\r\na\r\n", 1);
    passes("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n", 1);
    passes("\r\nGET / HTTP/1.1\r\nHost: g\r\n\r\n", 1);
    passes("X-!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost:\r\n!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n", 1);
    passes("POST / HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 1);
}
END_TEST

START_TEST(pipelined_requests_pass_in_any_number) {
    passes("GET / HTTP/1.1\r\nHost: g\r\n\r\nGET / HTTP/1.1\r\nHost: g\r\n\r\n", 2);
    passes("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\nab\r\n" CHUNKED
           "1\r\nx\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
           3);
}
END_TEST

START_TEST(chunked_bodies_pass) {
    passes(CHUNKED "0\r\n\r\n", 1);
    passes(CHUNKED "5\r\nhello\r\n00A\r\n0\r\n\r\n67890\r\n0\r\n\r\n", 1);
    passes(CHUNKED "5;name\r\nhello\r\n1;a=b;c=\"d;\\\" \";e\r\nx\r\n0;last\r\n\r\n", 1);
}
END_TEST

START_TEST(a_trailer_passes_that_says_nothing_about_the_message) {
    passes(CHUNKED "0\r\nX-Sum: 12\r\nX-More: 1\r\n\r\n", 1);
}
END_TEST

START_TEST(a_message_is_not_between_until_its_last_byte) {
    const char text[] = "\r\n" CHUNKED "3\r\nabc\r\n0\r\n\r\n";
    for (size_t count = 0; count < sizeof text; count++) {
        const struct sight sight = see(text, count);
        ck_assert_int_eq(sight.verdict, HTTP_GUARD_CLEAN);
        ck_assert_msg(sight.between == (count <= 2 || count == sizeof text - 1), "%zu", count);
        ck_assert_uint_eq(sight.requests, count == sizeof text - 1 ? 1 : 0);
    }
}
END_TEST

START_TEST(a_length_beside_a_coding_is_refused) {
    FIELD_IS(FRAMING, "Content-Length: 5 ");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked ");
    FIELD_IS(FRAMING, "Content-Length: 6\r\nTransfer-Encoding: chunked"); /* CL.TE */
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked\r\nContent-Length: 6"); /* TE.CL */
    FIELD_IS(FRAMING, "transfer-ENCODING: chunked\r\ncontent-LENGTH: 6");
    FIELD_IS(FRAMING, "Content-Length: 6\r\nTransfer-Encoding: identity");
}
END_TEST

START_TEST(a_repeated_length_is_refused_even_if_it_agrees) {
    FIELD_IS(FRAMING, "Content-Length: 3\r\nContent-Length: 3");
    FIELD_IS(FRAMING, "Content-Length: 3\r\nContent-Length: 30");
    FIELD_IS(FRAMING, "Content-Length: 0\r\nX: y\r\nContent-Length: 30");
}
END_TEST

START_TEST(a_length_that_is_not_one_number_is_refused) {
    FIELD_IS(FRAMING, "Content-Length: 3, 3");
    FIELD_IS(FRAMING, "Content-Length: 3,3");
    FIELD_IS(FRAMING, "Content-Length: 3 3");
    FIELD_IS(FRAMING, "Content-Length: +3");
    FIELD_IS(FRAMING, "Content-Length: -3");
    FIELD_IS(FRAMING, "Content-Length: 0x3");
    FIELD_IS(FRAMING, "Content-Length: 3.0");
    FIELD_IS(FRAMING, "Content-Length: 1e3");
    FIELD_IS(FRAMING, "Content-Length: 3;");
    FIELD_IS(FRAMING, "Content-Length: \"3\"");
    FIELD_IS(FRAMING, "Content-Length: \xef\xbc\x93");
    FIELD_IS(FRAMING, "Content-Length:");
    FIELD_IS(FRAMING, "Content-Length: \t ");
}
END_TEST

START_TEST(a_length_beyond_the_largest_is_refused) {
    FIELD_IS(FRAMING, "Content-Length: 9007199254740993");
    FIELD_IS(FRAMING, "Content-Length: 18446744073709551616");
    FIELD_IS(FRAMING, "Content-Length: 18446744073709551619");
    FIELD_IS(FRAMING, "Content-Length: 99999999999999999999999999999999999999999");
    IS(CLEAN, "POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 9007199254740992\r\n\r\nabc");
}
END_TEST

START_TEST(a_coding_other_than_chunked_is_refused) {
    FIELD_IS(FRAMING, "Transfer-Encoding: gzip");
    FIELD_IS(FRAMING, "Transfer-Encoding: gzip, chunked");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked, identity");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked, chunked");
    FIELD_IS(FRAMING, "Transfer-Encoding: identity");
    FIELD_IS(FRAMING, "Transfer-Encoding: xchunked");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunkedx");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunke");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunk ed");
    FIELD_IS(FRAMING, "Transfer-Encoding: \"chunked\"");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked;q=1");
    FIELD_IS(FRAMING, "Transfer-Encoding:");
    FIELD_IS(FIELD, "Transfer-Encoding: \x0b"
                    "chunked");
    FIELD_IS(FIELD, "Transfer-Encoding: chunked\0");
}
END_TEST

START_TEST(a_repeated_coding_is_refused) {
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked");
    FIELD_IS(FRAMING, "Transfer-Encoding: chunked\r\nTransfer-encoding: x");
}
END_TEST

START_TEST(a_coding_on_http_1_0_is_refused) {
    IS(FRAMING, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    IS(FRAMING, "POST / HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
}
END_TEST

START_TEST(exactly_one_host_is_wanted) {
    IS(FRAMING, "GET / HTTP/1.1\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.1\r\nX: y\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
    FIELD_IS(FRAMING, "Host: g");
    FIELD_IS(FRAMING, "host: other");
    IS(FRAMING, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    IS(FRAMING, "GET / HTTP/1.1\r\nHost: caf\xc3\xa9\r\n\r\n");
}
END_TEST

START_TEST(a_blank_before_the_colon_is_refused) {
    FIELD_IS(FIELD, "Content-Length : 6");
    FIELD_IS(FIELD, "Content-Length\t: 6");
    FIELD_IS(FIELD, "Transfer-Encoding : chunked");
    FIELD_IS(FIELD, "X : y");
}
END_TEST

START_TEST(a_folded_field_is_refused) {
    FIELD_IS(FIELD, "X: one\r\n two");
    FIELD_IS(FIELD, "X: one\r\n\ttwo");
    FIELD_IS(FRAMING, "Transfer-Encoding:\r\n chunked");
    IS(FIELD, "GET / HTTP/1.1\r\n Host: g\r\n\r\n");
}
END_TEST

START_TEST(a_name_that_is_no_token_is_refused) {
    FIELD_IS(FIELD, ": v");
    FIELD_IS(FIELD, "no colon");
    FIELD_IS(FIELD, "nocolon");
    FIELD_IS(FIELD, "a\0b: v");
    FIELD_IS(FIELD, "\0: v");
    FIELD_IS(FIELD, "a\x01"
                    "b: v");
    FIELD_IS(FIELD, "a(b): v");
    FIELD_IS(FIELD, "a\"b: v");
    FIELD_IS(FIELD, "caf\xc3\xa9: v");
    FIELD_IS(FIELD, "a\x7f: v");
    FIELD_IS(FIELD, "a\nb: v");
}
END_TEST

START_TEST(a_control_byte_in_a_value_is_refused) {
    FIELD_IS(FIELD, "X: a\0b");
    FIELD_IS(FIELD, "X: \x01");
    FIELD_IS(FIELD, "X: a\x0b");
    FIELD_IS(FIELD, "X: a\x0c");
    FIELD_IS(FIELD, "X: a\x1b[31m");
    FIELD_IS(FIELD, "X: a\x7f");
    FIELD_IS(FIELD, "Content-Length: 6\0");
    FIELD_IS(FIELD, "Content-Length: 6\x0b");
}
END_TEST

START_TEST(a_bare_newline_or_return_is_refused) {
    FIELD_IS(NEWLINE, "X: a\rb");
    FIELD_IS(NEWLINE, "X: a\nTransfer-Encoding: chunked");
    FIELD_IS(NEWLINE, "X: a\r\r\n");
    IS(NEWLINE, "GET / HTTP/1.1\nHost: g\r\n\r\n");
    IS(NEWLINE, "GET / HTTP/1.1\r\nHost: g\n\n");
    IS(NEWLINE, "GET / HTTP/1.1\r\nHost: g\r\n\n");
    IS(NEWLINE, "GET / HTTP/1.1\r\nHost: g\r\n\rX");
    IS(NEWLINE, "GET / HTTP/1.1\rHost: g\r\n\r\n");
    IS(NEWLINE, "\nGET / HTTP/1.1\r\nHost: g\r\n\r\n");
    IS(NEWLINE, "\rGET / HTTP/1.1\r\nHost: g\r\n\r\n");
    IS(LINE, "\r\n\r\nGET / HTTP/1.1\r\nHost: g\r\n\r\n");
}
END_TEST

START_TEST(a_line_that_is_no_request_line_is_refused) {
    IS(LINE, " GET / HTTP/1.1\r\n");
    IS(LINE, "GET  / HTTP/1.1\r\n");
    IS(LINE, "GET\t/ HTTP/1.1\r\n");
    IS(LINE, "GET /  HTTP/1.1\r\n");
    IS(LINE, "GET / HTTP/1.1 \r\n");
    IS(LINE, "GET /\r\n");
    IS(LINE, "GET\r\n");
    IS(LINE, "GET /\n");
    IS(LINE, "G\0T / HTTP/1.1\r\n");
    IS(LINE, "G\x01T / HTTP/1.1\r\n");
    IS(LINE, "G{T / HTTP/1.1\r\n");
    IS(LINE, "AMETHODTHATISLONGERTHANANY / HTTP/1.1\r\n");
    IS(LINE, "CONNECT g:80 HTTP/1.1\r\n");
    IS(LINE, "\x16\x03\x01\x02");
}
END_TEST

START_TEST(a_target_with_unseen_characters_is_refused) {
    IS(LINE, "GET /a\0b HTTP/1.1\r\n");
    IS(LINE, "GET /a\tb HTTP/1.1\r\n");
    IS(LINE, "GET /a\x7f HTTP/1.1\r\n");
    IS(LINE, "GET /caf\xc3\xa9 HTTP/1.1\r\n");
    IS(LINE, "GET /a\rb HTTP/1.1\r\n");
    IS(LINE, "GET /a#b HTTP/1.1\r\n");
}
END_TEST

START_TEST(a_version_of_another_kind_is_refused) {
    IS(LINE, "GET / HTTP/0.9\r\n");
    IS(LINE, "GET / HTTP/1.2\r\n");
    IS(LINE, "GET / HTTP/2.0\r\n");
    IS(LINE, "GET / HTTP/9.9\r\n");
    IS(LINE, "GET / HTTP/1.10\r\n");
    IS(LINE, "GET / HTTP/01.1\r\n");
    IS(LINE, "GET / http/1.1\r\n");
    IS(LINE, "GET / HTTP/1,1\r\n");
    IS(LINE, "GET / HTTP/ 1.1\r\n");
    IS(LINE, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}
END_TEST

START_TEST(a_size_that_is_not_one_number_is_refused) {
    IS(CHUNK, CHUNKED "\r\n");
    IS(CHUNK, CHUNKED "x\r\n");
    IS(CHUNK, CHUNKED "0x5\r\nhello\r\n");
    IS(CHUNK, CHUNKED "+5\r\nhello\r\n");
    IS(CHUNK, CHUNKED "-5\r\nhello\r\n");
    IS(CHUNK, CHUNKED " 5\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5 \r\nhello\r\n");
    IS(CHUNK, CHUNKED "5\t;a\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5_0\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5\0\r\nhello\r\n");
    IS(CHUNK, CHUNKED ";a\r\nhello\r\n");
}
END_TEST

START_TEST(a_size_beyond_the_largest_is_refused) {
    IS(CHUNK, CHUNKED "FFFFFFFFFFFFFFFF\r\n");
    IS(CHUNK, CHUNKED "10000000000000005\r\nhello\r\n");
    IS(CHUNK, CHUNKED "00000000000000005\r\nhello\r\n");
    IS(CHUNK, CHUNKED "20000000000001\r\n");
    IS(CLEAN, CHUNKED "20000000000000\r\nhello");
    IS(CLEAN, CHUNKED "0000000000000005\r\nhello");
}
END_TEST

START_TEST(a_chunk_line_ends_with_both_characters) {
    IS(NEWLINE, CHUNKED "5\nhello\r\n");
    IS(NEWLINE, CHUNKED "5\rhello\r\n");
    IS(NEWLINE, CHUNKED "5;a\nhello\r\n"); /* hidden from one of two readers */
    IS(NEWLINE, CHUNKED "5;a=b\nhello\r\n");
    IS(NEWLINE, CHUNKED "5;a=\"b\"\nhello\r\n");
    IS(NEWLINE, CHUNKED "5;a\rX\nhello\r\n");
    IS(NEWLINE, CHUNKED "0\r\n\nGET");
    IS(NEWLINE, CHUNKED "0\n\nGET");
}
END_TEST

START_TEST(a_malformed_extension_is_refused) {
    IS(CHUNK, CHUNKED "5;\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;;a\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5; a\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;=b\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=b=c\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=\"b\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=\"b\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=\"b\\\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a=\"b\"c\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;a\0\r\nhello\r\n");
    IS(CHUNK, CHUNKED "5;caf\xc3\xa9\r\nhello\r\n");
}
END_TEST

START_TEST(a_chunk_is_as_long_as_its_size) {
    IS(CHUNK, CHUNKED "5\r\nhello!\r\n0\r\n\r\n");
    IS(CHUNK, CHUNKED "5\r\nhell\r\n0\r\n\r\n");
    IS(CHUNK, CHUNKED "5\r\nhello0\r\n\r\n");
    IS(CHUNK, CHUNKED "5\r\nhello\n0\r\n\r\n");
    IS(NEWLINE, CHUNKED "5\r\nhello\rX0\r\n\r\n");
}
END_TEST

START_TEST(a_trailer_that_frames_is_refused) {
    IS(CHUNK, CHUNKED "0\r\nContent-Length: 6\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nX: y\r\nhost: other\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nX: y\r\n folded\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nX : y\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nX: \0\r\n\r\n");
    IS(CHUNK, CHUNKED "0\r\nGET / HTTP/1.1\r\nHost: g\r\n\r\n");
}
END_TEST

/* A request whose header is exactly so long. */
static size_t padded(char *out, size_t header) {
    static const char begin[] = "GET / HTTP/1.1\r\nHost: g\r\nX: ";
    memcpy(out, begin, sizeof begin - 1);
    memset(out + sizeof begin - 1, 'x', header - (sizeof begin - 1) - 4);
    memcpy(out + header - 4, "\r\n\r\n", 4);
    return header;
}

START_TEST(a_header_may_have_just_so_many_bytes) {
    static char text[2 * HTTP_GUARD_HEADER_BYTES + 2];
    size_t bytes = padded(text, HTTP_GUARD_HEADER_BYTES);
    bytes += padded(text + bytes, HTTP_GUARD_HEADER_BYTES);
    const struct sight sight = see(text, bytes);
    ck_assert_int_eq(sight.verdict, HTTP_GUARD_CLEAN);
    ck_assert_uint_eq(sight.requests, 2);
    bytes = padded(text, HTTP_GUARD_HEADER_BYTES + 1);
    ck_assert_int_eq(see(text, bytes).verdict, HTTP_GUARD_TOO_LONG);
    ck_assert_uint_eq(see(text, bytes).passed, HTTP_GUARD_HEADER_BYTES);
    for (size_t split = bytes - 100; split <= bytes; split++)
        same(see(text, bytes), see_split(text, bytes, split), "long");
    memset(text, '/', sizeof text);
    memcpy(text, "GET /", 5);
    ck_assert_uint_eq(see(text, sizeof text).passed, HTTP_GUARD_HEADER_BYTES);
    ck_assert_int_eq(see(text, sizeof text).verdict, HTTP_GUARD_TOO_LONG);
}
END_TEST

static size_t fields(char *out, size_t room, const char *begin, int count) {
    size_t bytes = (size_t)snprintf(out, room, "%s", begin);
    for (int i = 0; i < count; i++)
        bytes += (size_t)snprintf(out + bytes, room - bytes, "X%d: y\r\n", i);
    return bytes + (size_t)snprintf(out + bytes, room - bytes, "\r\n");
}

START_TEST(a_header_may_have_just_so_many_fields) {
    static char text[4096];
    const char begin[] = "GET / HTTP/1.1\r\nHost: g\r\n";
    size_t bytes = fields(text, sizeof text, begin, HTTP_GUARD_FIELDS - 1);
    ck_assert_int_eq(see(text, bytes).verdict, HTTP_GUARD_CLEAN);
    bytes = fields(text, sizeof text, begin, HTTP_GUARD_FIELDS);
    ck_assert_int_eq(see(text, bytes).verdict, HTTP_GUARD_TOO_LONG);
    bytes = fields(text, sizeof text, CHUNKED "0\r\n", 16);
    ck_assert_int_eq(see(text, bytes).verdict, HTTP_GUARD_CLEAN);
    bytes = fields(text, sizeof text, CHUNKED "0\r\n", 17);
    ck_assert_int_eq(see(text, bytes).verdict, HTTP_GUARD_TOO_LONG);
}
END_TEST

START_TEST(an_extension_or_a_trailer_may_not_go_on_for_ever) {
    static char text[8192];
    memset(text, 'x', sizeof text);
    memcpy(text, CHUNKED "1;", sizeof CHUNKED + 1);
    ck_assert_int_eq(see(text, sizeof text).verdict, HTTP_GUARD_TOO_LONG);
    ck_assert_uint_lt(see(text, sizeof text).passed, 400);
    memset(text, 'x', sizeof text);
    memcpy(text, CHUNKED "0\r\nX: ", sizeof CHUNKED + 5);
    ck_assert_int_eq(see(text, sizeof text).verdict, HTTP_GUARD_TOO_LONG);
    ck_assert_uint_lt(see(text, sizeof text).passed, 4096 + 100);
}
END_TEST

START_TEST(nothing_passes_after_a_refusal) {
    struct http_guard guard;
    http_guard_init(&guard);
    ck_assert_uint_eq(http_guard_see(&guard, "GET / HTTP/1.1\n", 15), 14);
    ck_assert_uint_eq(http_guard_see(&guard, "GET / HTTP/1.1\r\n", 16), 0);
    ck_assert_int_eq(guard.verdict, HTTP_GUARD_NEWLINE);
    ck_assert_ptr_nonnull(guard.flaw);
}
END_TEST

START_TEST(a_million_chunks_of_one_byte_pass) {
    struct http_guard guard;
    http_guard_init(&guard);
    ck_assert_uint_eq(http_guard_see(&guard, CHUNKED, sizeof CHUNKED - 1), sizeof CHUNKED - 1);
    for (int i = 0; i < 1000000; i++) require(http_guard_see(&guard, "1\r\nx\r\n", 6) == 6);
    ck_assert_uint_eq(http_guard_see(&guard, "0\r\n\r\n", 5), 5);
    ck_assert_uint_eq(guard.requests, 1);
}
END_TEST

/* Parts of requests, good and bad, in any order. */
static size_t compose(struct chance *chance, char *out, size_t room) {
    static const char *const parts[] = {
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.0\r\n",
        "Host: g\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X-Long-Name-Of-A-Field: value\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "A;e=\"f\"\r\n",
        "0123456789\r\n",
        "GET / HTTP/1.1\r\nHost: g\r\n\r\n",
        CHUNKED "3\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello"};
    size_t bytes = 0;
    while (chance_below(chance, 12) != 0) {
        const char *part = parts[chance_below(chance, sizeof parts / sizeof parts[0])];
        if (bytes + strlen(part) > room) break;
        memcpy(out + bytes, part, strlen(part));
        bytes += strlen(part);
    }
    if (bytes > 0 && chance_below(chance, 3) == 0)
        out[chance_below(chance, (uint32_t)bytes)] = (char)chance_below(chance, 256);
    return bytes;
}

START_TEST(random_pieces_are_seen_as_the_whole_is) {
    static char text[1024];
    struct chance chance = chance_open();
    uint64_t clean = 0;
    for (int round = 0; round < 100000; round++) {
        const size_t count = compose(&chance, text, sizeof text - 1);
        const struct sight whole = see(text, count);
        struct http_guard guard;
        http_guard_init(&guard);
        size_t at = 0;
        while (at < count && guard.verdict == HTTP_GUARD_CLEAN) {
            size_t piece = 1 + chance_below(&chance, 20);
            if (piece > count - at) piece = count - at;
            at += http_guard_see(&guard, text + at, piece);
        }
        same(whole, sight_of(&guard, at), text);
        clean += whole.verdict == HTTP_GUARD_CLEAN && whole.requests > 0;
    }
    ck_assert_uint_gt(clean, 1000);
}
END_TEST

SUITE("gateway/edge/http_guard", 30, ordinary_requests_pass_and_are_counted,
      pipelined_requests_pass_in_any_number, chunked_bodies_pass,
      a_trailer_passes_that_says_nothing_about_the_message,
      a_message_is_not_between_until_its_last_byte, a_length_beside_a_coding_is_refused,
      a_repeated_length_is_refused_even_if_it_agrees, a_length_that_is_not_one_number_is_refused,
      a_length_beyond_the_largest_is_refused, a_coding_other_than_chunked_is_refused,
      a_repeated_coding_is_refused, a_coding_on_http_1_0_is_refused, exactly_one_host_is_wanted,
      a_blank_before_the_colon_is_refused, a_folded_field_is_refused,
      a_name_that_is_no_token_is_refused, a_control_byte_in_a_value_is_refused,
      a_bare_newline_or_return_is_refused, a_line_that_is_no_request_line_is_refused,
      a_target_with_unseen_characters_is_refused, a_version_of_another_kind_is_refused,
      a_size_that_is_not_one_number_is_refused, a_size_beyond_the_largest_is_refused,
      a_chunk_line_ends_with_both_characters, a_malformed_extension_is_refused,
      a_chunk_is_as_long_as_its_size, a_trailer_that_frames_is_refused,
      a_header_may_have_just_so_many_bytes, a_header_may_have_just_so_many_fields,
      an_extension_or_a_trailer_may_not_go_on_for_ever, nothing_passes_after_a_refusal,
      a_million_chunks_of_one_byte_pass, random_pieces_are_seen_as_the_whole_is)
