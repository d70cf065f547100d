#include "gateway/edge/addresses.h"
#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct addresses *addresses;

static void arrange(void) {
    ck_assert_int_eq(addresses_open(&addresses, 100), OK);
}

static void end(void) {
    addresses_close(addresses);
}

static struct address at(const char *text) {
    struct address address;
    ck_assert(address_read(&address, text, strlen(text)));
    return address;
}

static bool enter(const char *text, uint32_t limit) {
    struct address address = at(text);
    return addresses_enter(addresses, &address, limit);
}

static void leave(const char *text) {
    struct address address = at(text);
    addresses_leave(addresses, &address);
}

static void flooded(const char *text, uint64_t now_ns) {
    struct address address = at(text);
    addresses_flooded(addresses, &address, now_ns);
}

static bool wary(const char *text, uint64_t now_ns) {
    struct address address = at(text);
    return addresses_is_wary(addresses, &address, now_ns);
}

START_TEST(the_limit_is_exact_and_a_place_comes_back) {
    arrange();
    for (int i = 0; i < 3; i++) ck_assert(enter("10.0.0.1", 3));
    ck_assert(!enter("10.0.0.1:99", 3));
    ck_assert(enter("10.0.0.2", 3));
    leave("10.0.0.1");
    ck_assert(enter("10.0.0.1", 3));
    ck_assert(!enter("10.0.0.1", 3));
    for (int i = 0; i < 3; i++) leave("10.0.0.1");
    leave("10.0.0.2");
    ck_assert_uint_eq(addresses_count(addresses), 0);
    end();
}
END_TEST

START_TEST(an_ipv6_client_counts_with_its_whole_64) {
    arrange();
    ck_assert(enter("2001:db8:0:1::1", 2));
    ck_assert(enter("2001:db8:0:1:ffff::2", 2));
    ck_assert(!enter("2001:db8:0:1:1:2:3:4", 2));
    ck_assert(enter("2001:db8:0:2::1", 2));
    leave("2001:db8:0:1::5");
    leave("2001:db8:0:1::6");
    leave("2001:db8:0:2::7");
    end();
}
END_TEST

START_TEST(a_refused_stranger_leaves_no_entry) {
    arrange();
    ck_assert(!enter("10.0.0.1", 0));
    ck_assert_uint_eq(addresses_count(addresses), 0);
    end();
}
END_TEST

START_TEST(the_third_flood_in_ten_seconds_makes_wary_for_ten) {
    arrange();
    for (uint64_t i = 0; i < 2; i++) flooded("10.0.0.1", 100 * S + i * S);
    ck_assert(!wary("10.0.0.1", 110 * S));
    flooded("10.0.0.1", 110 * S);
    ck_assert(wary("10.0.0.1", 110 * S));
    ck_assert(wary("10.0.0.1", 120 * S - 1));
    ck_assert(!wary("10.0.0.1", 120 * S));
    ck_assert(!wary("10.0.0.2", 110 * S));
    end();
}
END_TEST

START_TEST(floods_that_are_spread_make_nobody_wary) {
    arrange();
    for (uint64_t i = 0; i < 100; i++) {
        flooded("10.0.0.1", 100 * S + i * (5 * S + S / 50));
        ck_assert(!wary("10.0.0.1", 100 * S + i * (5 * S + S / 50)));
    }
    end();
}
END_TEST

START_TEST(flooding_addresses_do_not_pile_up) {
    arrange();
    char text[32];
    for (unsigned i = 0; i < ADDRESSES_FLOODING + 500; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8, i & 255);
        flooded(text, 100 * S);
        ck_assert_uint_le(addresses_count(addresses), ADDRESSES_FLOODING);
    }
    flooded("10.0.0.1", 111 * S); /* those of long ago go with the next */
    ck_assert_uint_eq(addresses_count(addresses), 1);
    end();
}
END_TEST

START_TEST(an_entry_with_floods_outlives_its_connections_and_the_other_way_round) {
    arrange();
    ck_assert(enter("10.0.0.1", 5));
    flooded("10.0.0.1", 100 * S);
    leave("10.0.0.1");
    ck_assert_uint_eq(addresses_count(addresses), 1);
    ck_assert(enter("10.0.0.3", 5));
    flooded("10.0.0.3", 100 * S);
    flooded("10.0.0.2", 200 * S);
    ck_assert_uint_eq(addresses_count(addresses), 2);
    leave("10.0.0.3");
    ck_assert_uint_eq(addresses_count(addresses), 1);
    end();
}
END_TEST

static _Atomic unsigned inside, most;

static void *come_and_go(void *unused) {
    (void)unused;
    struct address address = at("10.0.0.1");
    for (int i = 0; i < 20000; i++) {
        if (!addresses_enter(addresses, &address, 2)) continue;
        unsigned now = atomic_fetch_add(&inside, 1) + 1;
        if (now > atomic_load(&most)) atomic_store(&most, now);
        atomic_fetch_sub(&inside, 1);
        addresses_leave(addresses, &address);
    }
    return NULL;
}

START_TEST(the_limit_holds_against_a_race) {
    arrange();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, come_and_go, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    ck_assert_uint_le(atomic_load(&most), 2);
    ck_assert_uint_eq(addresses_count(addresses), 0);
    end();
}
END_TEST

static void expect_text(const char *text, const char *written) {
    char again[ADDRESS_TEXT_BYTES];
    struct address address = at(text);
    address_write(&address, again);
    ck_assert_str_eq(again, written);
}

START_TEST(addresses_are_read_and_written) {
    expect_text("10.0.0.1", "10.0.0.1:0");
    expect_text("10.0.0.1:80", "10.0.0.1:80");
    expect_text("::1", "[::1]:0");
    expect_text("[::1]", "[::1]:0");
    expect_text("[::1]:8080", "[::1]:8080");
    expect_text("::ffff:10.0.0.1", "10.0.0.1:0");
    static const char *const wrong[] = {
        "",       "localhost",     "10.0.0", "10.0.0.1:", "10.0.0.1:x", "[::1", "[::1]x",
        "[::1]:", "1.2.3.4:65536", "::1::2", "unknown",   "_hidden",    "[]"};
    struct address address;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!address_read(&address, wrong[i], strlen(wrong[i])), "%s", wrong[i]);
}
END_TEST

START_TEST(a_socket_address_becomes_the_same_value) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "10.0.0.1", &four.sin_addr);
    struct address address = address_of((const struct sockaddr *)&four), read = at("10.0.0.1:80");
    ck_assert_mem_eq(&address, &read, sizeof read);
    ck_assert(!address_is_loopback(&address));
    struct address local = at("127.0.0.9"), six = at("::1");
    ck_assert(address_is_loopback(&local) && address_is_loopback(&six));
}
END_TEST

static bool has(const char *network_text, const char *text) {
    struct network network;
    struct address address = at(text);
    ck_assert_msg(network_read(&network, network_text), "%s", network_text);
    return network_has(&network, &address);
}

START_TEST(networks_have_their_addresses_and_no_others) {
    ck_assert(has("10.0.0.0/8", "10.255.0.1"));
    ck_assert(!has("10.0.0.0/8", "11.0.0.1"));
    ck_assert(has("10.0.0.128/25", "10.0.0.129"));
    ck_assert(!has("10.0.0.128/25", "10.0.0.127"));
    ck_assert(has("10.0.0.1", "10.0.0.1:99"));
    ck_assert(!has("10.0.0.1", "10.0.0.2"));
    ck_assert(has("0.0.0.0/0", "1.2.3.4"));
    ck_assert(!has("0.0.0.0/0", "::1"));
    ck_assert(has("2001:db8::/32", "2001:db8:1::1"));
    ck_assert(!has("2001:db8::/32", "2001:db9::1"));
    static const char *const wrong[] = {"",           "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/",
                                        "10.0.0.0/x", "x/8",         "::/129",     "10.0.0.0/8/8"};
    struct network network;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!network_read(&network, wrong[i]), "%s", wrong[i]);
}
END_TEST

SUITE("gateway/addresses", 20, the_limit_is_exact_and_a_place_comes_back,
      an_ipv6_client_counts_with_its_whole_64, a_refused_stranger_leaves_no_entry,
      the_third_flood_in_ten_seconds_makes_wary_for_ten, floods_that_are_spread_make_nobody_wary,
      flooding_addresses_do_not_pile_up,
      an_entry_with_floods_outlives_its_connections_and_the_other_way_round,
      the_limit_holds_against_a_race, addresses_are_read_and_written,
      a_socket_address_becomes_the_same_value, networks_have_their_addresses_and_no_others)
