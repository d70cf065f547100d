#include "gateway/config/pattern.h"
#include "gateway/tenant_list.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

static struct pool_snapshot pool;
static struct tenant_list list;

static void add(const char *name, uint32_t waiting, uint32_t out, double share) {
    struct tenant_snapshot *tenant = &pool.tenants[pool.tenants_count++];
    snprintf(tenant->name, sizeof tenant->name, "%s", name);
    tenant->waiting = waiting;
    tenant->out = out;
    tenant->share = share;
}

START_TEST(the_busiest_stay_first_and_whole) {
    add("alice", 7, 2, 0.75);
    add("", 3, 1, 0.25);
    tenant_list_fill(&list, &pool);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.rows[0].name, "alice");
    ck_assert_uint_eq(list.rows[0].waiting, 7);
    ck_assert_uint_eq(list.rows[0].out, 2);
    ck_assert(list.rows[0].share == 0.75);
    ck_assert_str_eq(list.rows[1].name, "");
}
END_TEST

START_TEST(nobody_is_an_empty_list) {
    tenant_list_fill(&list, &pool);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(what_is_no_text_becomes_question_marks) {
    static const struct {
        const char *name, *shown;
    } rows[] = {
        {"m\xc3\xbcller", "m\xc3\xbcller"},
        {"m\xfcller", "m?ller"},
        {"a\nb", "a?b"},
        {"a\x1b[31m", "a?[31m"},
        {"a\x7f", "a?"},
        {"a\xc2\x9b"
         "1m",
         "a??1m"},
        {"\xed\xa0\x80", "???"},
        {"back\\slash", "back\\slash"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pool.tenants_count = 0;
        add(rows[i].name, 1, 0, 0);
        tenant_list_fill(&list, &pool);
        ck_assert_str_eq(list.rows[0].name, rows[i].shown);
    }
}
END_TEST

START_TEST(a_name_that_was_cut_within_a_character_loses_that_one_only) {
    char name[65] = "", whole[63] = ""; /* of 32 characters 31 and a half have room */
    for (size_t i = 0; i < 32; i++) memcpy(&name[2 * i], "\xc3\xa4", 2);
    memcpy(whole, name, 62);
    add(name, 1, 0, 0);
    ck_assert_uint_eq(strlen(pool.tenants[0].name), 63);
    tenant_list_fill(&list, &pool);
    ck_assert_str_eq(list.rows[0].name, whole);
}
END_TEST

START_TEST(names_that_look_the_same_are_one_row) {
    add("\xff", 4, 1, 0.5);
    add("bob", 2, 0, 0.125);
    add("\xfe", 1, 2, 0.25);
    tenant_list_fill(&list, &pool);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.rows[0].name, "?");
    ck_assert_uint_eq(list.rows[0].waiting, 5);
    ck_assert_uint_eq(list.rows[0].out, 3);
    ck_assert(list.rows[0].share == 0.75);
    ck_assert_str_eq(list.rows[1].name, "bob");
}
END_TEST

static void add_random(struct chance *chance, uint32_t waiting) {
    static const unsigned char bytes[] = "ab\xc3\xa4\xc2\x9b\xf0\x9f\x98\x80\xff\x1b\"\\";
    char name[64];
    size_t length = chance_below(chance, sizeof name);
    for (size_t i = 0; i < length; i++)
        name[i] = (char)bytes[chance_below(chance, sizeof bytes - 1)];
    name[length] = '\0';
    add(name, waiting, 0, 0);
}

START_TEST(whatever_the_names_are_every_row_is_text_and_nothing_is_lost) {
    struct chance chance = chance_open();
    for (int turn = 0; turn < 20000; turn++) {
        uint64_t waiting = 0, shown = 0;
        pool.tenants_count = 0;
        while (pool.tenants_count < SNAPSHOT_TENANTS) {
            uint32_t own = chance_below(&chance, 100);
            waiting += own;
            add_random(&chance, own);
        }
        tenant_list_fill(&list, &pool);
        for (size_t i = 0; i < list.count; i++) {
            shown += list.rows[i].waiting;
            require(pattern_text(list.rows[i].name));
            for (size_t j = 0; j < i; j++)
                require(strcmp(list.rows[i].name, list.rows[j].name) != 0);
        }
        require(shown == waiting);
    }
}
END_TEST

SUITE("gateway/tenant_list", 30, the_busiest_stay_first_and_whole, nobody_is_an_empty_list,
      what_is_no_text_becomes_question_marks,
      a_name_that_was_cut_within_a_character_loses_that_one_only,
      names_that_look_the_same_are_one_row,
      whatever_the_names_are_every_row_is_text_and_nothing_is_lost)
