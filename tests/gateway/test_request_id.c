#include "gateway/live_requests.h"
#include "gateway/request_id.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <string.h>

START_TEST(a_fresh_id_is_a_uuid_of_version_7) {
    struct request_ids ids = {0};
    char id[REQUEST_ID_FRESH_BYTES];
    for (int i = 0; i < 1000; i++) {
        request_id_fresh(&ids, id);
        ck_assert_uint_eq(strlen(id), 36);
        ck_assert_uint_eq(strspn(id, "0123456789abcdef-"), 36);
        ck_assert(id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-');
        ck_assert_int_eq(id[14], '7');
        ck_assert_ptr_nonnull(strchr("89ab", id[19]));
        ck_assert(request_id_usable(id, 36));
    }
}
END_TEST

static char many[5000][REQUEST_ID_FRESH_BYTES];

START_TEST(fresh_ids_differ_and_later_ones_sort_later) {
    struct request_ids ids = {0};
    struct live_requests set;
    static struct live_request entries[5000];
    ck_assert_int_eq(live_requests_open(&set, 64), OK);
    for (size_t i = 0; i < 5000; i++) {
        request_id_fresh(&ids, many[i]);
        ck_assert(live_requests_add(&set, &entries[i], many[i]));
        if (i > 0) ck_assert_int_le(strncmp(many[i - 1], many[i], 13), 0);
    }
    for (size_t i = 0; i < 5000; i++) live_requests_remove(&set, &entries[i]);
    live_requests_close(&set);
}
END_TEST

START_TEST(a_clients_id_is_1_to_128_visible_characters) {
    char text[130];
    memset(text, 'a', sizeof text);
    ck_assert(!request_id_usable(text, 0));
    ck_assert(request_id_usable(text, 1));
    ck_assert(request_id_usable(text, 128));
    ck_assert(!request_id_usable(text, 129));
    ck_assert(request_id_usable("!~\"{}", 5));
    ck_assert(!request_id_usable("a b", 3));
    ck_assert(!request_id_usable("a\x7f", 2));
    ck_assert(!request_id_usable("a\xc3\xa9", 3));
    ck_assert(!request_id_usable("a\n", 2));
}
END_TEST

START_TEST(an_id_is_free_again_once_its_request_is_over) {
    struct live_requests set;
    struct live_request first = {0}, second = {0};
    char same[] = "same";
    ck_assert_int_eq(live_requests_open(&set, 1), OK);
    ck_assert(live_requests_add(&set, &first, "same"));
    ck_assert(!live_requests_add(&set, &second, same));
    ck_assert_ptr_null(second.id);
    live_requests_remove(&set, &first);
    ck_assert(live_requests_add(&set, &second, same));
    live_requests_remove(&set, &second);
    ck_assert_uint_eq(live_requests_count(&set), 0);
    live_requests_close(&set);
}
END_TEST

START_TEST(a_request_is_found_by_its_id_once_a_pool_has_it) {
    struct live_requests set;
    struct live_request entry = {0};
    ck_assert_int_eq(live_requests_open(&set, 1), OK);
    ck_assert(live_requests_add(&set, &entry, "mine"));
    ck_assert_uint_eq(live_requests_find(&set, "mine"), 0);
    live_request_submitted(&entry, 7);
    ck_assert_uint_eq(live_requests_find(&set, "mine"), 7);
    ck_assert_uint_eq(live_requests_find(&set, "other"), 0);
    live_requests_remove(&set, &entry);
    ck_assert_uint_eq(live_requests_find(&set, "mine"), 0);
    live_requests_close(&set);
}
END_TEST

START_TEST(the_last_of_those_that_nobody_waits_for_are_found) {
    struct live_requests set;
    char id[16];
    ck_assert_int_eq(live_requests_open(&set, 1), OK);
    for (uint64_t i = 1; i <= LIVE_WATCHED + 1; i++) {
        snprintf(id, sizeof id, "kick-%u", (unsigned)i);
        live_requests_watch(&set, id, i);
    }
    ck_assert_uint_eq(live_requests_find(&set, "kick-1"), 0);
    ck_assert_uint_eq(live_requests_find(&set, "kick-2"), 2);
    ck_assert_uint_eq(live_requests_find(&set, id), LIVE_WATCHED + 1);
    ck_assert_uint_eq(live_requests_find(&set, ""), 0);
    live_requests_close(&set);
}
END_TEST

SUITE("gateway/request_id", 10, a_fresh_id_is_a_uuid_of_version_7,
      fresh_ids_differ_and_later_ones_sort_later, a_clients_id_is_1_to_128_visible_characters,
      an_id_is_free_again_once_its_request_is_over, a_request_is_found_by_its_id_once_a_pool_has_it,
      the_last_of_those_that_nobody_waits_for_are_found)
