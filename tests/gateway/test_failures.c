/* failures: ten wrong keys in ten seconds and an address waits; no other does. */
#include "gateway/keys/failures.h"
#include "tests/support/suite.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define BEGAN (1000 * CLOCK_S)

static struct failures *failures;

static struct in6_addr at(const char *text) {
    return failures_address_of_text(text);
}

static bool miss(const char *address, uint64_t now_ns) {
    struct in6_addr from = at(address);
    return failures_add(failures, &from, now_ns);
}

static uint64_t wait_of(const char *address, uint64_t now_ns) {
    struct in6_addr from = at(address);
    return failures_wait_ns(failures, &from, now_ns);
}

START_TEST(the_tenth_failure_begins_a_wait_of_ten_seconds) {
    ck_assert_int_eq(failures_open(&failures), OK);
    for (int i = 0; i < 9; i++) ck_assert(!miss("10.0.0.1:1", BEGAN + (uint64_t)i * CLOCK_S));
    ck_assert_uint_eq(wait_of("10.0.0.1:9", BEGAN + 9 * CLOCK_S), 0);
    ck_assert(miss("10.0.0.1:2", BEGAN + 9 * CLOCK_S));
    ck_assert_uint_eq(wait_of("10.0.0.1:3", BEGAN + 9 * CLOCK_S), 10 * CLOCK_S);
    ck_assert_uint_eq(wait_of("10.0.0.1:3", BEGAN + 19 * CLOCK_S - 1), 1);
    ck_assert_uint_eq(wait_of("10.0.0.1:3", BEGAN + 19 * CLOCK_S), 0);
    ck_assert(!miss("10.0.0.1:3", BEGAN + 19 * CLOCK_S)); /* counted from the start again */
    failures_close(failures);
}
END_TEST

START_TEST(failures_further_apart_are_forgiven) {
    ck_assert_int_eq(failures_open(&failures), OK);
    for (int i = 0; i < 100; i++)
        ck_assert(!miss("10.0.0.1:1", BEGAN + (uint64_t)i * 1200 * CLOCK_MS));
    failures_close(failures);
}
END_TEST

START_TEST(no_other_address_waits) {
    ck_assert_int_eq(failures_open(&failures), OK);
    for (int i = 0; i < 10; i++) miss("10.0.0.1:1", BEGAN);
    ck_assert_uint_gt(wait_of("10.0.0.1:7", BEGAN), 0);
    ck_assert_uint_gt(wait_of("[::ffff:10.0.0.1]:7", BEGAN), 0);
    ck_assert_uint_eq(wait_of("10.0.0.2:7", BEGAN), 0);
    ck_assert_uint_eq(wait_of("[::1]:7", BEGAN), 0);
    failures_close(failures);
}
END_TEST

START_TEST(a_network_of_ipv6_is_one_address) {
    ck_assert_int_eq(failures_open(&failures), OK);
    for (int i = 0; i < 10; i++) {
        char text[64];
        snprintf(text, sizeof text, "[2001:db8::%x]:1", i);
        miss(text, BEGAN);
    }
    ck_assert_uint_gt(wait_of("[2001:db8::ffff:1:2:3]:1", BEGAN), 0);
    ck_assert_uint_eq(wait_of("[2001:db8:0:1::1]:1", BEGAN), 0);
    failures_close(failures);
}
END_TEST

START_TEST(many_addresses_do_not_outgrow_it_and_the_last_ones_count) {
    ck_assert_int_eq(failures_open(&failures), OK);
    for (uint32_t i = 0; i < 100000; i++) {
        char text[64];
        snprintf(text, sizeof text, "10.%u.%u.%u:1", i >> 16 & 255, i >> 8 & 255, i & 255);
        miss(text, BEGAN + i);
    }
    for (int i = 0; i < 10; i++) miss("192.0.2.1:1", BEGAN + CLOCK_S);
    ck_assert_uint_gt(wait_of("192.0.2.1:1", BEGAN + CLOCK_S), 0);
    failures_close(failures);
}
END_TEST

START_TEST(addresses_are_read_as_sockets_and_logs_have_them) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    inet_pton(AF_INET, "10.1.2.3", &four.sin_addr);
    struct in6_addr a = failures_address((struct sockaddr *)&four), b = at("10.1.2.3:9");
    ck_assert_mem_eq(&a, &b, sizeof a);
    a = failures_address((struct sockaddr *)&six), b = at("[::1]:9");
    ck_assert_mem_eq(&a, &b, sizeof a);
    a = failures_address(NULL), b = at("");
    ck_assert_mem_eq(&a, &in6addr_any, sizeof a);
    ck_assert_mem_eq(&b, &in6addr_any, sizeof a);
}
END_TEST

SUITE("gateway/keys/failures", 10, the_tenth_failure_begins_a_wait_of_ten_seconds,
      failures_further_apart_are_forgiven, no_other_address_waits, a_network_of_ipv6_is_one_address,
      many_addresses_do_not_outgrow_it_and_the_last_ones_count,
      addresses_are_read_as_sockets_and_logs_have_them)
