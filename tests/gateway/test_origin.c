/* origin: a page from elsewhere gets nothing out of a loopback listener, a listed one gets what it asks. */
#include "gateway/http/origin.h"
#include "tests/support/suite.h"

static char *listed[] = {"https://app.example", "http://tools.example:8443/", NULL};
static const struct text_list some = {.items = listed, .count = 2}, none = {.items = NULL};

static bool may(const struct text_list *origins, bool loopback, const char *host,
                const char *origin) {
    return origin_flaw(origins, loopback, host, origin) == NULL;
}

START_TEST(a_host_on_loopback_is_loopback) {
    static const char *const good[] = {"localhost",    "localhost:8080", "LocalHost:1", "127.0.0.1",
                                       "127.9.9.9:80", "[::1]",          "[::1]:8080",  ""};
    static const char *const bad[] = {"evil.example",
                                      "evil.example:8080",
                                      "localhost.evil.example",
                                      "10.0.0.1",
                                      "0.0.0.0",
                                      "[::2]",
                                      "127.0.0.1.evil.example",
                                      "localhost:",
                                      "localhost:x",
                                      "localhost:123456",
                                      "[::1",
                                      "[]",
                                      "127.1",
                                      "2130706433",
                                      "localhost.",
                                      ":80",
                                      "0x7f.0.0.1",
                                      "[::ffff:127.0.0.1]",
                                      "127.0.0.1:80:80"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(may(&none, true, good[i], NULL), "%s", good[i]);
    ck_assert(may(&none, true, NULL, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!may(&none, true, bad[i], NULL), "%s", bad[i]);
        ck_assert_msg(may(&none, false, bad[i], NULL), "%s", bad[i]);
    }
}
END_TEST

START_TEST(the_host_of_a_listed_origin_is_known) {
    ck_assert(may(&some, true, "app.example", NULL));
    ck_assert(may(&some, true, "APP.example:443", NULL));
    ck_assert(may(&some, true, "tools.example", NULL));
    ck_assert(!may(&some, true, "example", NULL));
    ck_assert(!may(&some, true, "xapp.example", NULL));
    ck_assert(!may(&some, true, "app.example.evil.example", NULL));
}
END_TEST

START_TEST(an_origin_is_the_same_place_or_listed) {
    ck_assert(may(&none, true, "localhost:8080", "http://localhost:8080"));
    ck_assert(may(&some, true, "localhost:8080", "https://app.example"));
    ck_assert(may(&some, true, "localhost:8080", "http://tools.example:8443"));
    ck_assert(!may(&some, true, "localhost:8080", "http://localhost:9090"));
    ck_assert(!may(&some, true, "localhost:8080", "http://app.example"));
    ck_assert(!may(&some, true, "localhost:8080", "https://app.example:444"));
    ck_assert(!may(&none, true, "localhost:8080", "null"));
    ck_assert(!may(&none, true, "localhost:8080", ""));
    ck_assert(!may(&none, true, "", "http://"));
    ck_assert(!may(&none, true, "localhost", "https://evil.example"));
    ck_assert(may(&none, false, "public.example", "https://evil.example"));
}
END_TEST

START_TEST(only_listed_origins_may_read_answers) {
    ck_assert(origin_listed(&some, "https://app.example"));
    ck_assert(origin_listed(&some, "http://tools.example:8443"));
    ck_assert(!origin_listed(&some, "http://localhost:8080"));
    ck_assert(!origin_listed(&some, "null"));
    ck_assert(!origin_listed(&some, ""));
    ck_assert(!origin_listed(&some, NULL));
    ck_assert(!origin_listed(&none, "https://app.example"));
}
END_TEST

SUITE("gateway/http/origin", 5, a_host_on_loopback_is_loopback,
      the_host_of_a_listed_origin_is_known, an_origin_is_the_same_place_or_listed,
      only_listed_origins_may_read_answers)
