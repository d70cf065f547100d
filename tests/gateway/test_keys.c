/* keys: a token opens what its hash says and nothing else; the table is swapped under its readers. */
#include "gateway/keys/key_ring.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

static struct keys *keys;
static struct token token;
static char text[TOKEN_DIGITS + 1];

/* One key, whose token is left in `token` and `text`. */
static void make_key(const char *name) {
    struct api_key key = {.scopes = KEY_SCOPE_INVOKE};
    require(token_make(&token, key.salt) && token_hash(&token, key.salt, key.hash));
    memcpy(key.id, token.id, sizeof key.id);
    snprintf(key.name, sizeof key.name, "%s", name);
    require(keys_add(keys, &key) == OK);
    token_write(&token, text);
}

static void open_keys(void) {
    ck_assert_int_eq(keys_open(&keys), OK);
}

static const struct api_key *verify(const char *shown) {
    struct token read;
    return token_read(&read, shown, strlen(shown)) ? keys_verify(keys, &read) : NULL;
}

START_TEST(a_token_is_read_as_it_was_written) {
    struct token read;
    open_keys();
    make_key("a");
    ck_assert_uint_eq(strlen(text), 84);
    ck_assert_int_eq(strncmp(text, "pg_", 3), 0);
    ck_assert(token_read(&read, text, strlen(text)));
    ck_assert_str_eq(read.id, token.id);
    ck_assert_mem_eq(read.secret, token.secret, sizeof token.secret);
    token_forget(&read);
    for (size_t i = 0; i < sizeof read.secret; i++) ck_assert_uint_eq(read.secret[i], 0);
    keys_free(keys);
}
END_TEST

START_TEST(what_is_no_token_is_not_read) {
    struct token read;
    char other[TOKEN_DIGITS + 2];
    open_keys();
    make_key("a");
    for (size_t bytes = 0; bytes < TOKEN_DIGITS; bytes++)
        ck_assert(!token_read(&read, text, bytes));
    snprintf(other, sizeof other, "%s0", text);
    ck_assert(!token_read(&read, other, TOKEN_DIGITS + 1));
    for (size_t at = 0; at < TOKEN_DIGITS; at++) { /* a byte that none of its places allows */
        memcpy(other, text, sizeof text);
        other[at] = 'Z';
        ck_assert_msg(!token_read(&read, other, TOKEN_DIGITS), "at %zu", at);
        ck_assert_str_eq(read.id, "");
    }
    keys_free(keys);
}
END_TEST

START_TEST(only_the_whole_secret_opens) {
    char other[TOKEN_DIGITS + 1];
    open_keys();
    make_key("a");
    ck_assert_ptr_nonnull(verify(text));
    ck_assert_str_eq(verify(text)->name, "a");
    for (size_t at = 3; at < TOKEN_DIGITS; at++) {
        memcpy(other, text, sizeof other);
        if (other[at] == '_') continue;
        other[at] = other[at] == '0' ? '1' : '0';
        ck_assert_msg(verify(other) == NULL, "a wrong digit at %zu", at);
    }
    keys_free(keys);
}
END_TEST

START_TEST(each_of_many_keys_is_found_until_it_is_removed) {
    enum { MANY = 500 };
    static char texts[MANY][TOKEN_DIGITS + 1];
    char name[16];
    open_keys();
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "key-%d", i);
        make_key(name);
        memcpy(texts[i], text, sizeof text);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "key-%d", i);
        require(verify(texts[i]) != NULL && strcmp(verify(texts[i])->name, name) == 0);
    }
    for (int i = MANY - 1; i >= 0; i -= 2) keys_remove(keys, (size_t)i);
    ck_assert_uint_eq(keys->count, MANY / 2);
    for (int i = 0; i < MANY; i++) require((verify(texts[i]) != NULL) == (i % 2 == 0));
    keys_free(keys);
}
END_TEST

START_TEST(an_id_is_there_once) {
    open_keys();
    make_key("a");
    ck_assert_int_eq(keys_add(keys, keys->items[0]), ALREADY_EXISTS);
    ck_assert_uint_eq(keys->count, 1);
    keys_free(keys);
}
END_TEST

START_TEST(a_key_expires_with_its_second) {
    struct api_key key = {.expires_s = 100};
    ck_assert(!key_expired(&key, 99));
    ck_assert(key_expired(&key, 100));
    key.expires_s = 0;
    ck_assert(!key_expired(&key, UINT64_MAX));
}
END_TEST

START_TEST(names_are_short_and_plain) {
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    ck_assert(!key_name_fits(longest));
    longest[63] = '\0';
    ck_assert(key_name_fits(longest) && key_name_fits("A.b_c-9"));
    ck_assert(!key_name_fits("") && !key_name_fits("a b") && !key_name_fits("\xc3\xa9"));
}
END_TEST

/* --- the ring --- */

#define READERS 3
#define SWAPS   20000

static struct key_ring ring;
static _Atomic bool over;
static _Atomic uint64_t reads;

/* A table is whole for as long as it is read: its count and its keys belong together. */
static void *read_on(void *owner) {
    unsigned place;
    while (!atomic_load(&over)) {
        const struct keys *seen = key_ring_take(&ring, &place);
        require(seen->count == 1 && strcmp(seen->items[0]->name, "ringed") == 0);
        key_ring_give_back(&ring, place);
        atomic_fetch_add(&reads, 1);
    }
    return owner;
}

static struct keys *ringed(void) {
    struct api_key key = {.name = "ringed", .id = "0123456789abcdef"};
    struct keys *made;
    require(keys_open(&made) == OK && keys_add(made, &key) == OK);
    return made;
}

START_TEST(a_table_stays_whole_while_others_come) {
    pthread_t threads[READERS];
    key_ring_open(&ring, ringed());
    for (int i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, read_on, NULL);
    for (int i = 0; i < SWAPS;) {
        struct keys *next = ringed();
        if (key_ring_offer(&ring, next)) {
            i++;
            continue;
        }
        keys_free(next); /* its readers are waiting for a processor */
        sched_yield();
    }
    while (atomic_load(&reads) == 0) sched_yield();
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    key_ring_close(&ring);
}
END_TEST

START_TEST(a_table_that_is_read_is_not_replaced) {
    unsigned places[KEY_RING_PLACES];
    key_ring_open(&ring, ringed());
    for (int i = 0; i < KEY_RING_PLACES; i++) {
        key_ring_take(&ring, &places[i]);
        struct keys *next = ringed();
        bool taken = key_ring_offer(&ring, next);
        ck_assert_int_eq(taken, i < KEY_RING_PLACES - 1);
        if (!taken) keys_free(next);
    }
    key_ring_give_back(&ring, places[0]);
    ck_assert(key_ring_offer(&ring, ringed()));
    for (int i = 1; i < KEY_RING_PLACES; i++) key_ring_give_back(&ring, places[i]);
    key_ring_close(&ring);
}
END_TEST

SUITE("gateway/keys", 60, a_token_is_read_as_it_was_written, what_is_no_token_is_not_read,
      only_the_whole_secret_opens, each_of_many_keys_is_found_until_it_is_removed,
      an_id_is_there_once, a_key_expires_with_its_second, names_are_short_and_plain,
      a_table_stays_whole_while_others_come, a_table_that_is_read_is_not_replaced)
