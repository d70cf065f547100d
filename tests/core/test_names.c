/* names: found by any bytes, under any seed, also where many share a bucket. */
#include "core/base/names.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define MANY 2000

static struct names names;
static struct name records[MANY];
static char texts[MANY][32];

static void open_names(size_t expected, uint64_t seed) {
    ck_assert_int_eq(names_init(&names, expected, seed), OK);
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "%.*s%d", i % 17, "prefix-of-a-name-", i);
        records[i] = (struct name){.text = texts[i], .bytes = strlen(texts[i])};
    }
}

static struct name *find(int i) {
    return names_find(&names, texts[i], strlen(texts[i]));
}

START_TEST(every_name_is_found_until_it_is_removed) {
    open_names(8, 1); /* 64 buckets: thirty records in each */
    for (int i = 0; i < MANY; i++) {
        require(find(i) == NULL);
        names_add(&names, &records[i]);
    }
    for (int i = 0; i < MANY; i++) require(find(i) == &records[i]);
    for (int i = 0; i < MANY; i += 2) names_remove(&names, &records[i]);
    for (int i = 0; i < MANY; i++) require(find(i) == (i % 2 ? &records[i] : NULL));
    names_free(&names);
}
END_TEST

START_TEST(nothing_is_a_name_too_and_so_is_a_prefix) {
    static struct name empty = {.text = ""}, byte = {.text = "\0", .bytes = 1};
    open_names(8, 2);
    ck_assert_ptr_null(names_find(&names, "", 0));
    names_add(&names, &empty);
    ck_assert_ptr_null(names_find(&names, "\0", 1));
    names_add(&names, &byte);
    ck_assert_ptr_eq(names_find(&names, "", 0), &empty);
    ck_assert_ptr_eq(names_find(&names, "\0", 1), &byte);
    names_free(&names);
}
END_TEST

START_TEST(names_spread_and_another_seed_spreads_them_otherwise) {
    size_t longest = 0, same = 0;
    uint64_t before[MANY];
    for (uint64_t seed = 0; seed < 2; seed++) {
        open_names(MANY, seed);
        ck_assert_uint_eq(names.buckets_count, 2048);
        for (int i = 0; i < MANY; i++) {
            names_add(&names, &records[i]);
            uint64_t bucket = records[i].hash % names.buckets_count;
            if (seed == 1) same += bucket == before[i];
            before[i] = bucket;
        }
        for (size_t i = 0; i < names.buckets_count; i++) {
            size_t length = 0;
            for (const struct name *at = names.buckets[i]; at != NULL; at = at->next) length++;
            if (length > longest) longest = length;
        }
        names_free(&names);
    }
    ck_assert_uint_lt(longest, 12);
    ck_assert_uint_lt(same, 20);
}
END_TEST

SUITE("core/names", 30, every_name_is_found_until_it_is_removed,
      nothing_is_a_name_too_and_so_is_a_prefix,
      names_spread_and_another_seed_spreads_them_otherwise)
