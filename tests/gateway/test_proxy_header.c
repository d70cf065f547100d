/* proxy_header: both versions, and nothing that only looks like one. */
#include "gateway/edge/proxy_header.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FOUR      "\x7f\0\0\1\x0a\0\0\2\x1f\x90\0\x50"
#define SIX                                                                                        \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                                       \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"                                                       \
    "\x1f\x90\0\x50"

static struct proxy_header header;

/* Every shorter one is MORE, or BAD already if the whole is. */
static enum proxy_header_verdict read_all(const char *bytes, size_t count) {
    const enum proxy_header_verdict whole = proxy_header_read(&header, bytes, count);
    const size_t end = whole == PROXY_HEADER_WHOLE ? header.bytes : count;
    struct proxy_header part;
    for (size_t i = 0; i < end; i++) {
        const enum proxy_header_verdict verdict = proxy_header_read(&part, bytes, i);
        ck_assert(verdict == PROXY_HEADER_MORE ||
                  (verdict == PROXY_HEADER_BAD && whole == PROXY_HEADER_BAD));
        ck_assert_uint_eq(part.bytes, 0);
    }
    return whole;
}
#define READ(text) read_all("" text, sizeof text - 1)

static void source_is(const char *host, uint16_t port) {
    char text[INET6_ADDRSTRLEN];
    in_port_t found;
    if (header.source.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)&header.source;
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
        found = four->sin_port;
        ck_assert_uint_eq(header.source_bytes, sizeof *four);
    } else {
        const struct sockaddr_in6 *six = (const void *)&header.source;
        ck_assert_int_eq(header.source.ss_family, AF_INET6);
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
        found = six->sin6_port;
        ck_assert_uint_eq(header.source_bytes, sizeof *six);
    }
    ck_assert_str_eq(text, host);
    ck_assert_uint_eq(ntohs(found), port);
}

START_TEST(a_line_with_addresses_says_who_it_is) {
    ck_assert_int_eq(READ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /"),
                     PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 45);
    source_is("192.0.2.1", 56324);
    ck_assert_int_eq(READ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), PROXY_HEADER_WHOLE);
    source_is("2001:db8::1", 0);
}
END_TEST

START_TEST(a_line_without_addresses_is_the_proxy_s_own) {
    ck_assert_int_eq(READ("PROXY UNKNOWN\r\nx"), PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 15);
    ck_assert_int_eq(header.source.ss_family, AF_UNSPEC);
    ck_assert_int_eq(READ("PROXY UNKNOWN ffff::1 whatever\r\n"), PROXY_HEADER_WHOLE);
    ck_assert_int_eq(header.source.ss_family, AF_UNSPEC);
}
END_TEST

START_TEST(a_line_that_is_not_quite_one_is_refused) {
    static const char *const lines[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 99999 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +5 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 5 443443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 5 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 5 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 5 443\r\n",
        "PROXY TCP6 192.0.2.1 ::1 5 443\r\n",
        "PROXY TCP6 2001:db8::1%lo ::1 5 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 5 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 5 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 5 443\rx",
        "PROXY\r\n",
        "proxy TCP4 192.0.2.1 198.51.100.2 5 443\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\n\r\nG",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(read_all(lines[i], strlen(lines[i])) == PROXY_HEADER_BAD, "%s", lines[i]);
    ck_assert_int_eq(READ("PROXY TCP4 192.0.2.1\0 198.51.100.2 5 443\r\n"), PROXY_HEADER_BAD);
}
END_TEST

START_TEST(a_line_ends_within_107_bytes) {
    char line[200];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    ck_assert_int_eq(read_all(line, 106), PROXY_HEADER_MORE);
    ck_assert_int_eq(proxy_header_read(&header, line, 107), PROXY_HEADER_BAD);
    memcpy(line + 105, "\r\n", 2);
    ck_assert_int_eq(read_all(line, sizeof line), PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 107);
}
END_TEST

START_TEST(a_binary_header_says_who_it_is) {
    ck_assert_int_eq(READ(SIGNATURE "\x21\x11\0\x0c" FOUR "GET"), PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 28);
    source_is("127.0.0.1", 8080);
    ck_assert_int_eq(READ(SIGNATURE "\x21\x21\0\x24" SIX), PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 52);
    source_is("2001:db8::1", 8080);
}
END_TEST

START_TEST(what_follows_the_addresses_is_skipped) {
    ck_assert_int_eq(READ(SIGNATURE "\x21\x11\0\x11" FOUR "\4\0\2ab"
                                    "GET"),
                     PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, 33);
    source_is("127.0.0.1", 8080);
}
END_TEST

START_TEST(a_binary_header_without_a_client_is_the_proxy_s_own) {
    ck_assert_int_eq(READ(SIGNATURE "\x20\0\0\0"), PROXY_HEADER_WHOLE);
    ck_assert_int_eq(header.source.ss_family, AF_UNSPEC);
    ck_assert_int_eq(READ(SIGNATURE "\x20\x11\0\x0c" FOUR), PROXY_HEADER_WHOLE);
    ck_assert_int_eq(header.source.ss_family, AF_UNSPEC);
    ck_assert_int_eq(READ(SIGNATURE "\x21\0\0\3abc"), PROXY_HEADER_WHOLE);
    ck_assert_int_eq(header.source.ss_family, AF_UNSPEC);
    ck_assert_uint_eq(header.bytes, 19);
}
END_TEST

START_TEST(a_binary_header_that_is_not_quite_one_is_refused) {
    ck_assert_int_eq(READ(SIGNATURE "\x11\x11\0\x0c" FOUR), PROXY_HEADER_BAD); /* version */
    ck_assert_int_eq(READ(SIGNATURE "\x22\x11\0\x0c" FOUR), PROXY_HEADER_BAD); /* command */
    ck_assert_int_eq(READ(SIGNATURE "\x21\x12\0\x0c" FOUR), PROXY_HEADER_BAD); /* datagrams */
    ck_assert_int_eq(READ(SIGNATURE "\x21\x41\0\x0c" FOUR), PROXY_HEADER_BAD); /* family */
    ck_assert_int_eq(READ(SIGNATURE "\x21\x11\0\x0b" FOUR), PROXY_HEADER_BAD); /* too short */
    ck_assert_int_eq(READ(SIGNATURE "\x21\x21\0\x0c" FOUR), PROXY_HEADER_BAD);
    ck_assert_int_eq(READ(SIGNATURE "\x21\x31\0\x0c" FOUR), PROXY_HEADER_BAD);
}
END_TEST

START_TEST(a_binary_header_may_have_just_so_many_bytes) {
    char bytes[PROXY_HEADER_BYTES + 1] = SIGNATURE "\x21\x11\x02\x08" FOUR;
    ck_assert_int_eq(read_all(bytes, sizeof bytes), PROXY_HEADER_WHOLE);
    ck_assert_uint_eq(header.bytes, PROXY_HEADER_BYTES);
    bytes[15] = 9;
    ck_assert_int_eq(read_all(bytes, sizeof bytes), PROXY_HEADER_BAD);
    ck_assert_int_eq(proxy_header_read(&header, bytes, 16), PROXY_HEADER_BAD);
}
END_TEST

SUITE("gateway/edge/proxy_header", 10, a_line_with_addresses_says_who_it_is,
      a_line_without_addresses_is_the_proxy_s_own, a_line_that_is_not_quite_one_is_refused,
      a_line_ends_within_107_bytes, a_binary_header_says_who_it_is,
      what_follows_the_addresses_is_skipped, a_binary_header_without_a_client_is_the_proxy_s_own,
      a_binary_header_that_is_not_quite_one_is_refused, a_binary_header_may_have_just_so_many_bytes)
