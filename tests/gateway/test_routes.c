#include "gateway/http/handlers.h"
#include "gateway/http/path.h"
#include "gateway/http/routes.h"
#include "tests/support/suite.h"

#include <string.h>

static struct route_match match;

static enum outcome find(const char *method, const char *path) {
    return route_find(routes, routes_count, ROUTE_AT_BOTH, method, path, &match);
}

START_TEST(each_path_of_the_contract_finds_its_handler) {
    static const struct {
        const char *method, *path;
        const struct handler *handler;
    } rows[] = {
        {"POST", "/v1/pools/ocr/invoke", &handler_invoke},
        {"GET", "/v1/pools", &handler_pools},
        {"GET", "/v1/pools/ocr", &handler_pool},
        {"GET", "/v1/pools/ocr/slots", &handler_slots},
        {"GET", "/livez", &handler_livez},
        {"GET", "/readyz", &handler_readyz},
        {"GET", "/startupz", &handler_startupz},
        {"GET", "/healthz", &handler_healthz},
        {"GET", "/metrics", &handler_metrics},
        {"HEAD", "/livez", &handler_livez},
        {"POST", "/v1/pools/ocr/load", &handler_load},
        {"POST", "/v1/pools/ocr/unload", &handler_unload},
        {"POST", "/v1/pools/ocr/drain", &handler_drain},
        {"POST", "/v1/pools/ocr/pause", &handler_pause},
        {"POST", "/v1/pools/ocr/resume", &handler_resume},
        {"POST", "/v1/pools/ocr/scale", &handler_scale},
        {"GET", "/v1/quarantine", &handler_quarantine},
        {"GET", "/v1/events", &handler_events},
        {"POST", "/v1/quarantine/7/kick", &handler_kick},
        {"DELETE", "/v1/quarantine/7", &handler_delete},
        {"GET", "/v1/requests/mine", &handler_request},
        {"DELETE", "/v1/requests/mine", &handler_cancel},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(find(rows[i].method, rows[i].path) == OK, "%s", rows[i].path);
        ck_assert_ptr_eq(match.handler, rows[i].handler);
    }
}
END_TEST

START_TEST(the_pools_name_is_taken_out_of_the_path) {
    ck_assert_int_eq(find("POST", "/v1/pools/scan-2/invoke"), OK);
    ck_assert_str_eq(match.pool, "scan-2");
    ck_assert_int_eq(find("GET", "/v1/pools/scan-2"), OK);
    ck_assert_str_eq(match.pool, "scan-2");
}
END_TEST

START_TEST(the_id_is_taken_out_of_the_path) {
    char path[256] = "/v1/requests/";
    ck_assert_int_eq(find("GET", "/v1/requests/order-4711"), OK);
    ck_assert_str_eq(match.id, "order-4711");
    ck_assert_str_eq(match.pool, "");
    ck_assert_int_eq(find("POST", "/v1/quarantine/12/kick"), OK);
    ck_assert_str_eq(match.id, "12");
    memset(path + strlen(path), 'a', 129);
    ck_assert_int_eq(find("GET", path), OK);
    ck_assert_str_eq(match.id, "");
    path[strlen(path) - 1] = '\0';
    ck_assert_int_eq(find("GET", path), OK);
    ck_assert_uint_eq(strlen(match.id), 128);
}
END_TEST

START_TEST(who_administers_needs_the_scope_at_the_address_for_it) {
    static const char *const paths[] = {
        "/v1/pools/a/load",   "/v1/pools/a/unload", "/v1/pools/a/drain",    "/v1/pools/a/pause",
        "/v1/pools/a/resume", "/v1/pools/a/scale",  "/v1/quarantine/7/kick"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ck_assert_int_eq(find("POST", paths[i]), OK);
        ck_assert_int_eq(match.need, ACCESS_ADMIN);
        ck_assert_int_eq(route_find(routes, routes_count, ROUTE_AT_HTTP, "POST", paths[i], &match),
                         NOT_FOUND);
    }
    ck_assert_int_eq(find("DELETE", "/v1/requests/mine"), OK);
    ck_assert_int_eq(match.need, ACCESS_OWN);
}
END_TEST

START_TEST(a_name_longer_than_any_pools_is_no_pool) {
    char path[256] = "/v1/pools/";
    memset(path + strlen(path), 'a', 64);
    ck_assert_int_eq(find("GET", path), OK);
    ck_assert_str_eq(match.pool, "");
    path[strlen(path) - 1] = '\0';
    ck_assert_int_eq(find("GET", path), OK);
    ck_assert_uint_eq(strlen(match.pool), 63);
}
END_TEST

START_TEST(what_is_not_there_is_not_found) {
    static const char *const paths[] = {"/",
                                        "/v1",
                                        "/v1/pools/",
                                        "/v1/pools//slots",
                                        "/livez/",
                                        "/livezz",
                                        "//livez",
                                        "/v1/pools/a/b/slots",
                                        "/v1/pools/a/slot",
                                        "/LIVEZ",
                                        "/v1/../livez",
                                        "/v1/pools/a/invoke/x"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ck_assert_msg(find("GET", paths[i]) == NOT_FOUND, "%s", paths[i]);
}
END_TEST

START_TEST(a_wrong_method_is_told_which_are_right) {
    ck_assert_int_eq(find("DELETE", "/v1/pools/a/invoke"), METHOD_NOT_ALLOWED);
    ck_assert_str_eq(match.allow, "POST, OPTIONS");
    ck_assert_int_eq(find("POST", "/v1/pools"), METHOD_NOT_ALLOWED);
    ck_assert_str_eq(match.allow, "GET, HEAD, OPTIONS");
    ck_assert_int_eq(find("get", "/livez"), METHOD_NOT_ALLOWED);
}
END_TEST

START_TEST(options_of_everything_is_everything) {
    ck_assert_int_eq(find("OPTIONS", "*"), METHOD_NOT_ALLOWED);
    ck_assert_str_eq(match.allow, "POST, GET, HEAD, DELETE, OPTIONS");
    ck_assert_int_eq(find("GET", "*"), METHOD_NOT_ALLOWED);
}
END_TEST

/* Routes such as administration brings. */
static const struct route planned[] = {
    {"POST", "/v1/pools/{pool}/drain", &handler_pools, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"GET", "/v1/requests/{id}", &handler_pool, ACCESS_OWN, ROUTE_AT_HTTP},
    {"GET", "/v1/quarantine/{id}", &handler_slots, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"GET", "/livez", &handler_livez, ACCESS_OPEN, ROUTE_AT_BOTH},
};

static enum outcome find_planned(enum route_address addresses, const char *method,
                                 const char *path) {
    return route_find(planned, 4, addresses, method, path, &match);
}

START_TEST(a_route_is_there_only_at_its_address) {
    ck_assert_int_eq(find_planned(ROUTE_AT_HTTP, "POST", "/v1/pools/a/drain"), NOT_FOUND);
    ck_assert_int_eq(find_planned(ROUTE_AT_ADMIN, "POST", "/v1/pools/a/drain"), OK);
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "POST", "/v1/pools/a/drain"), OK);
    ck_assert_int_eq(find_planned(ROUTE_AT_ADMIN, "GET", "/v1/requests/7"), NOT_FOUND);
    ck_assert_int_eq(find_planned(ROUTE_AT_HTTP, "GET", "/v1/requests/7"), OK);
    ck_assert_int_eq(find_planned(ROUTE_AT_HTTP, "GET", "/livez"), OK);
    ck_assert_int_eq(find_planned(ROUTE_AT_ADMIN, "GET", "/livez"), OK);
    ck_assert_int_eq(find_planned(ROUTE_AT_HTTP, "PUT", "/v1/pools/a/drain"), NOT_FOUND);
    ck_assert_int_eq(find_planned(ROUTE_AT_HTTP, "OPTIONS", "*"), METHOD_NOT_ALLOWED);
    ck_assert_str_eq(match.allow, "GET, HEAD, OPTIONS");
}
END_TEST

START_TEST(a_path_says_what_it_needs_also_with_a_wrong_method) {
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "POST", "/v1/pools/a/drain"), OK);
    ck_assert_int_eq(match.need, ACCESS_ADMIN);
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "PUT", "/v1/pools/a/drain"), METHOD_NOT_ALLOWED);
    ck_assert_int_eq(match.need, ACCESS_ADMIN);
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "HEAD", "/livez"), OK);
    ck_assert_int_eq(match.need, ACCESS_OPEN);
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "GET", "/nothing"), NOT_FOUND);
    ck_assert_int_eq(match.need, ACCESS_ANY);
    ck_assert_int_eq(find_planned(ROUTE_AT_BOTH, "OPTIONS", "*"), METHOD_NOT_ALLOWED);
    ck_assert_int_eq(match.need, ACCESS_ANY);
}
END_TEST

START_TEST(only_probes_need_nothing) {
    size_t open = 0;
    for (size_t i = 0; i < routes_count; i++)
        if (routes[i].need == ACCESS_OPEN) open++;
    ck_assert_uint_eq(open, 3);
    static const char *const probes[] = {"/livez", "/readyz", "/startupz"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(find("GET", probes[i]), OK);
        ck_assert_int_eq(match.need, ACCESS_OPEN);
    }
    ck_assert_int_eq(find("POST", "/v1/pools/a/invoke"), OK);
    ck_assert_int_eq(match.need, ACCESS_INVOKE);
    ck_assert_int_eq(find("GET", "/metrics"), OK);
    ck_assert_int_eq(match.need, ACCESS_READ);
}
END_TEST

static char decoded[64];

static enum outcome decode(const char *target) {
    const char *flaw;
    enum outcome outcome = path_decode(target, decoded, sizeof decoded, &flaw);
    ck_assert_int_eq(outcome == INVALID_REQUEST, flaw != NULL);
    return outcome;
}

START_TEST(a_path_is_decoded_once) {
    ck_assert_int_eq(decode("/v1/po%6Fls/%61"), OK);
    ck_assert_str_eq(decoded, "/v1/pools/a");
    ck_assert_int_eq(decode("/%2561"), OK);
    ck_assert_str_eq(decoded, "/%61");
    ck_assert_int_eq(decode("http://host:80/livez"), OK);
    ck_assert_str_eq(decoded, "/livez");
    ck_assert_int_eq(decode("*"), OK);
    ck_assert_int_eq(decode("/v1/pools/"), OK);
    ck_assert_int_eq(decode("/.../a..b/.c"), OK);
    ck_assert_int_eq(decode("/caf%c3%a9%23"), OK);
    ck_assert_str_eq(decoded, "/caf\xc3\xa9#");
}
END_TEST

START_TEST(a_path_that_hides_something_is_refused) {
    static const char *const targets[] = {"/a%2fb",
                                          "/a%2Fb",
                                          "/%00",
                                          "/a%0a",
                                          "/%",
                                          "/%4",
                                          "/%zz",
                                          "livez",
                                          "",
                                          "http://",
                                          "/a b",
                                          "/%7f",
                                          "http:///livez",
                                          "http://host",
                                          "ftp://host/livez",
                                          "http://user@host/livez",
                                          "http://host\\@other/livez",
                                          "//livez",
                                          "/v1//pools",
                                          "/v1/./pools",
                                          "/v1/pools/../pools",
                                          "/v1/pools/%2e%2E/pools",
                                          "/..",
                                          "/v1\\pools",
                                          "/v1%5cpools",
                                          "/%c0%af",
                                          "/%e0%80%af",
                                          "/%ed%a0%80",
                                          "/%c2%85",
                                          "/livez#x",
                                          "**"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        ck_assert_msg(decode(targets[i]) == INVALID_REQUEST, "%s", targets[i]);
}
END_TEST

START_TEST(a_path_longer_than_its_room_is_not_found) {
    char target[80] = "/";
    memset(target + 1, 'a', 62);
    ck_assert_int_eq(decode(target), OK);
    target[63] = 'a';
    ck_assert_int_eq(decode(target), NOT_FOUND);
}
END_TEST

SUITE("gateway/http/routes", 5, each_path_of_the_contract_finds_its_handler,
      the_pools_name_is_taken_out_of_the_path, the_id_is_taken_out_of_the_path,
      who_administers_needs_the_scope_at_the_address_for_it,
      a_name_longer_than_any_pools_is_no_pool, what_is_not_there_is_not_found,
      a_wrong_method_is_told_which_are_right, options_of_everything_is_everything,
      a_route_is_there_only_at_its_address, a_path_says_what_it_needs_also_with_a_wrong_method,
      only_probes_need_nothing, a_path_is_decoded_once, a_path_that_hides_something_is_refused,
      a_path_longer_than_its_room_is_not_found)
