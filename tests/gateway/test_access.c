/* access: each route's need against each kind of client, as the table says. */
#include "gateway/keys/access.h"
#include "gateway/keys/key_file.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include "core/base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEGAN  (1000 * CLOCK_S)
#define WALL_S UINT64_C(1800000000)

static char folder[64], path[96], error[KEY_ERROR_BYTES];
static struct keys *keys;
static struct config config;
static struct access *gate;
static struct access_grant grant;
static uint32_t peer; /* another address for each attempt, unless a test wants the wait */

/* A key, and "Bearer TOKEN" of it. */
static void make_key(struct api_key key, char bearer[128]) {
    struct token token;
    require(token_make(&token, key.salt) && token_hash(&token, key.salt, key.hash));
    memcpy(key.id, token.id, sizeof key.id);
    key.created_s = 1;
    if (key.name[0] == '\0') snprintf(key.name, sizeof key.name, "k");
    if (key.tenant[0] == '\0') snprintf(key.tenant, sizeof key.tenant, "acc");
    require(keys_add(keys, &key) == OK);
    memcpy(bearer, "Bearer ", 7);
    token_write(&token, bearer + 7);
}

static void write_file(void) {
    struct key_file_lock lock;
    require(key_file_lock(&lock, path, error) == OK);
    require(key_file_write(keys, path, &lock, error) == OK);
    key_file_unlock(&lock);
}

static void begin(void) {
    snprintf(folder, sizeof folder, "/tmp/poolgate-access-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/keys.json", folder);
    ck_assert_int_eq(keys_open(&keys), OK);
    config = (struct config){.auth.keys_file = path};
}

static void open_access(void) {
    write_file();
    ck_assert_int_eq(access_open(&gate, &config, error), OK);
}

static void end(void) {
    access_close(gate);
    keys_free(keys);
    unlink(path);
    rmdir(folder);
}

static struct access_ask ask_of(enum access_need need, const char *credentials) {
    struct access_ask ask = {.need = need, .now_ns = BEGAN, .wall_s = WALL_S};
    ask.credentials = credentials;
    ask.credentials_count = credentials != NULL;
    ask.credentials_bytes = credentials == NULL ? 0 : strlen(credentials);
    peer++;
    memcpy(ask.address.s6_addr, &peer, sizeof peer);
    return ask;
}

static enum outcome decide(enum access_need need, const char *credentials) {
    struct access_ask ask = ask_of(need, credentials);
    access_decide(gate, &ask, &grant);
    enum outcome outcome = grant.outcome;
    access_leave(&grant);
    return outcome;
}

/* --- the table --- */

enum who { NOBODY, MALFORMED, WRONG, EXPIRED, USER, READER, ADMIN, OTHER, WHO_COUNT };
static char shown[WHO_COUNT][128];

static void make_clients(void) {
    snprintf(shown[MALFORMED], 128, "Bearer pg_hello");
    make_key((struct api_key){.scopes = KEY_SCOPE_INVOKE}, shown[WRONG]);
    char *last = &shown[WRONG][strlen(shown[WRONG]) - 1];
    *last = *last == '0' ? '1' : '0';
    make_key((struct api_key){.scopes = 7, .expires_s = WALL_S}, shown[EXPIRED]);
    make_key((struct api_key){.scopes = KEY_SCOPE_INVOKE}, shown[USER]);
    make_key((struct api_key){.scopes = KEY_SCOPE_READ}, shown[READER]);
    make_key((struct api_key){.scopes = KEY_SCOPE_ADMIN}, shown[ADMIN]);
    make_key((struct api_key){.scopes = KEY_SCOPE_INVOKE, .tenant = "sales"}, shown[OTHER]);
}

START_TEST(each_need_and_each_client_as_the_table_says) {
#define U UNAUTHENTICATED
#define P PERMISSION_DENIED
    static const enum outcome table[ACCESS_NEED_COUNT][WHO_COUNT] = {
        /*                 none malformed wrong expired user reader admin other */
        [ACCESS_OPEN] = {OK, OK, OK, OK, OK, OK, OK, OK},
        [ACCESS_ANY] = {U, U, U, U, OK, OK, OK, OK},
        [ACCESS_INVOKE] = {U, U, U, U, OK, P, P, OK},
        [ACCESS_OWN] = {U, U, U, U, OK, P, P, OK},
        [ACCESS_READ] = {U, U, U, U, P, OK, P, P},
        [ACCESS_ADMIN] = {U, U, U, U, P, P, OK, P},
    };
#undef U
#undef P
    begin();
    make_clients();
    open_access();
    for (int need = 0; need < ACCESS_NEED_COUNT; need++)
        for (int who = 0; who < WHO_COUNT; who++) {
            enum outcome outcome =
                decide((enum access_need)need, who == NOBODY ? NULL : shown[who]);
            ck_assert_msg(outcome == table[need][who], "need %d, client %d: %s", need, who,
                          outcome_code(outcome));
            bool known = outcome == OK || outcome == PERMISSION_DENIED;
            const char *tenant = need == ACCESS_OPEN || !known ? NULL
                                 : who == OTHER                ? "sales"
                                                               : "acc";
            ck_assert_pstr_eq(grant.tenant, tenant);
            ck_assert(outcome == OK || grant.detail != NULL);
        }
    end();
}
END_TEST

START_TEST(without_keys_everybody_may_do_everything_but_administer) {
    config = (struct config){.auth.keys_file = NULL};
    ck_assert_int_eq(access_open(&gate, &config, error), OK);
    for (int need = 0; need < ACCESS_NEED_COUNT; need++)
        ck_assert_int_eq(decide((enum access_need)need, "Bearer whatever"),
                         need == ACCESS_ADMIN ? PERMISSION_DENIED : OK);
    struct access_ask ask = ask_of(ACCESS_ADMIN, NULL);
    ask.admin_door = true;
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, OK);
    ck_assert(access_may_see(&grant, "anybody"));
    ck_assert_ptr_null(grant.tenant);
    access_close(gate);
}
END_TEST

START_TEST(the_admin_door_wants_no_key_but_refuses_a_wrong_one) {
    begin();
    make_clients();
    open_access();
    struct access_ask ask = ask_of(ACCESS_ADMIN, NULL);
    ask.admin_door = true;
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, OK);
    ck_assert(grant.admin);
    ask = ask_of(ACCESS_ADMIN, "Bearer whatever");
    ask.admin_door = true;
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
    end();
}
END_TEST

START_TEST(credentials_have_one_form) {
    char text[1024];
    begin();
    make_clients();
    open_access();
    const char *token = shown[USER] + 7;
    static const struct {
        const char *before, *after;
        enum outcome outcome;
    } forms[] = {{"Bearer ", "", OK},
                 {"bearer ", "", OK},
                 {"BEARER ", "", OK},
                 {"", "", UNAUTHENTICATED},
                 {"Bearer", "", UNAUTHENTICATED},
                 {"Bearer  ", "", UNAUTHENTICATED},
                 {"Bearer\t", "", UNAUTHENTICATED},
                 {"Basic ", "", UNAUTHENTICATED},
                 {" Bearer ", "", UNAUTHENTICATED},
                 {"Bearer ", " ", UNAUTHENTICATED},
                 {"Bearer ", ",x", UNAUTHENTICATED},
                 {"Bearer \"", "\"", UNAUTHENTICATED},
                 {"Bearer pg_", "", UNAUTHENTICATED}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        snprintf(text, sizeof text, "%s%s%s", forms[i].before, token, forms[i].after);
        ck_assert_msg(decide(ACCESS_INVOKE, text) == forms[i].outcome, "row %zu", i);
    }
    ck_assert_int_eq(decide(ACCESS_INVOKE, "Bearer"), UNAUTHENTICATED);
    ck_assert_int_eq(decide(ACCESS_INVOKE, "Bearer "), UNAUTHENTICATED);
    ck_assert_int_eq(decide(ACCESS_INVOKE, ""), UNAUTHENTICATED);
    struct access_ask ask = ask_of(ACCESS_INVOKE, shown[USER]);
    ask.credentials_count = 2;
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
    ck_assert_str_eq(grant.detail, "Authorization is there more than once");
    end();
}
END_TEST

START_TEST(a_token_of_64_kib_is_refused) {
    char *text = malloc(65536 + 1);
    begin();
    make_clients();
    open_access();
    memset(text, 'a', 65536);
    text[65536] = '\0';
    memcpy(text, shown[USER], strlen(shown[USER]));
    ck_assert_int_eq(decide(ACCESS_INVOKE, text), UNAUTHENTICATED);
    free(text);
    end();
}
END_TEST

START_TEST(ten_wrong_keys_make_the_wrong_ones_of_their_address_wait) {
    begin();
    make_clients();
    open_access();
    struct access_ask ask = ask_of(ACCESS_INVOKE, shown[WRONG]);
    for (int i = 0; i < 10; i++) {
        access_decide(gate, &ask, &grant);
        ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
    }
    struct access_ask good = ask_of(ACCESS_INVOKE, shown[USER]), none = ask_of(ACCESS_INVOKE, NULL);
    access_decide(gate, &good, &grant);
    ck_assert_int_eq(grant.outcome, OK); /* from elsewhere */
    access_leave(&grant);
    good.address = none.address = ask.address;
    access_decide(gate, &good, &grant);
    ck_assert_int_eq(grant.outcome, OK); /* nobody is locked out by his neighbours */
    access_leave(&grant);
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, RATE_LIMITED);
    ck_assert_uint_eq(grant.retry_after_ns, 10 * CLOCK_S);
    access_decide(gate, &none, &grant);
    ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
    none.need = ACCESS_OPEN;
    access_decide(gate, &none, &grant);
    ck_assert_int_eq(grant.outcome, OK);
    ask.now_ns += 10 * CLOCK_S;
    access_decide(gate, &ask, &grant);
    ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
    end();
}
END_TEST

START_TEST(who_shows_no_key_or_an_old_one_is_not_counted_as_guessing) {
    begin();
    make_clients();
    open_access();
    struct access_ask none = ask_of(ACCESS_INVOKE, NULL),
                      old = ask_of(ACCESS_INVOKE, shown[EXPIRED]);
    old.address = none.address;
    for (int i = 0; i < 50; i++) {
        access_decide(gate, &none, &grant);
        ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
        access_decide(gate, &old, &grant);
        ck_assert_int_eq(grant.outcome, UNAUTHENTICATED);
        ck_assert_str_eq(grant.detail, "the key has expired");
    }
    end();
}
END_TEST

/* --- limits --- */

START_TEST(a_place_is_held_until_it_is_left_and_left_once) {
    char bearer[128];
    begin();
    make_key((struct api_key){.scopes = KEY_SCOPE_INVOKE, .concurrency = 2}, bearer);
    open_access();
    struct access_ask ask = ask_of(ACCESS_INVOKE, bearer), own = ask_of(ACCESS_OWN, bearer);
    struct access_grant first, second;
    access_decide(gate, &ask, &first);
    access_decide(gate, &ask, &second);
    ck_assert(first.outcome == OK && second.outcome == OK);
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), RATE_LIMITED);
    access_decide(gate, &own, &grant); /* to see and cancel them there is always a place */
    ck_assert_int_eq(grant.outcome, OK);
    access_leave(&grant);
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), RATE_LIMITED);
    access_leave(&first);
    access_leave(&first);
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), OK);
    access_leave(&second);
    end();
}
END_TEST

START_TEST(a_used_up_rate_says_when_to_come_again) {
    char bearer[128];
    begin();
    make_key((struct api_key){.scopes = 7, .rate = 4, .burst = 2}, bearer);
    open_access();
    ck_assert_int_eq(decide(ACCESS_READ, bearer), OK);
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), OK);
    ck_assert_int_eq(decide(ACCESS_ADMIN, bearer), RATE_LIMITED);
    ck_assert_uint_eq(grant.retry_after_ns, 250 * CLOCK_MS);
    ck_assert_uint_eq(grant.quota.limit, 2);
    ck_assert_str_eq(grant.detail, "the tenant's rate is used up");
    end();
}
END_TEST

START_TEST(a_class_above_the_keys_becomes_its_best) {
    char bearer[128];
    begin();
    make_key((struct api_key){.scopes = 1, .max_priority = PRIORITY_NORMAL}, bearer);
    open_access();
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), OK);
    ck_assert_int_eq(access_priority(&grant, PRIORITY_CRITICAL), PRIORITY_NORMAL);
    ck_assert_int_eq(access_priority(&grant, PRIORITY_NORMAL), PRIORITY_NORMAL);
    ck_assert_int_eq(access_priority(&grant, PRIORITY_BATCH), PRIORITY_BATCH);
    end();
}
END_TEST

START_TEST(one_tenant_does_not_see_anothers_requests) {
    begin();
    make_clients();
    open_access();
    ck_assert_int_eq(decide(ACCESS_OWN, shown[USER]), OK);
    ck_assert(access_may_see(&grant, "acc"));
    ck_assert(!access_may_see(&grant, "sales"));
    ck_assert(!access_may_see(&grant, ""));
    ck_assert(!access_may_see(&grant, NULL));
    ck_assert_int_eq(decide(ACCESS_ADMIN, shown[ADMIN]), OK);
    ck_assert(access_may_see(&grant, "sales"));
    ck_assert_int_eq(decide(ACCESS_OWN, shown[WRONG]), UNAUTHENTICATED);
    ck_assert(!access_may_see(&grant, "acc"));
    end();
}
END_TEST

START_TEST(the_tenant_header_is_believed_on_loopback_without_keys) {
    struct config some = {.auth.trust_tenant_header = TRUST_DEFAULT};
    struct listen_address near = {.loopback = true}, far = {.loopback = false};
    ck_assert(access_trusts_tenant(&some, &near) && !access_trusts_tenant(&some, &far));
    some.auth.keys_file = path;
    ck_assert(!access_trusts_tenant(&some, &near));
    some.auth.trust_tenant_header = TRUST_YES;
    ck_assert(access_trusts_tenant(&some, &far));
    some = (struct config){.auth.trust_tenant_header = TRUST_NO};
    ck_assert(!access_trusts_tenant(&some, &near));
}
END_TEST

/* --- the file changes --- */

START_TEST(a_changed_file_counts_within_a_second_and_a_broken_one_does_not) {
    char first[128], second[128];
    begin();
    make_key((struct api_key){.scopes = 1}, first);
    open_access();
    access_tend(gate, BEGAN, false);
    keys_remove(keys, 0);
    make_key((struct api_key){.scopes = 1}, second);
    write_file();
    access_tend(gate, BEGAN + CLOCK_S - 1, false);
    ck_assert_int_eq(decide(ACCESS_INVOKE, first), OK);
    access_tend(gate, BEGAN + CLOCK_S, false);
    ck_assert_int_eq(decide(ACCESS_INVOKE, first), UNAUTHENTICATED);
    ck_assert_int_eq(decide(ACCESS_INVOKE, second), OK);
    FILE *file = fopen(path, "w");
    fputs("{", file);
    fclose(file);
    access_tend(gate, BEGAN + 2 * CLOCK_S, false);
    ck_assert_int_eq(decide(ACCESS_INVOKE, second), OK);
    unlink(path);
    access_tend(gate, BEGAN + 2 * CLOCK_S, true);
    ck_assert_int_eq(decide(ACCESS_INVOKE, second), OK);
    keys_remove(keys, 0);
    write_file();
    access_tend(gate, BEGAN + 2 * CLOCK_S, true); /* asked for: at once */
    ck_assert_int_eq(decide(ACCESS_INVOKE, second), UNAUTHENTICATED);
    end();
}
END_TEST

START_TEST(what_a_tenant_used_survives_another_file) {
    char bearer[128];
    begin();
    make_key((struct api_key){.scopes = 1, .rate = 1, .burst = 1, .concurrency = 1}, bearer);
    open_access();
    struct access_ask ask = ask_of(ACCESS_INVOKE, bearer);
    struct access_grant held;
    access_decide(gate, &ask, &held);
    for (int i = 0; i < 10; i++) { /* more tables than the ring has places */
        write_file();
        access_tend(gate, BEGAN, true);
        ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), RATE_LIMITED);
    }
    access_leave(&held);
    ck_assert_int_eq(decide(ACCESS_INVOKE, bearer), RATE_LIMITED);
    ck_assert(grant.quota.rate_used_up);
    end();
}
END_TEST

START_TEST(a_missing_file_does_not_open) {
    config = (struct config){.auth.keys_file = "/nowhere/keys.json"};
    ck_assert_int_eq(access_open(&gate, &config, error), INVALID_REQUEST);
    ck_assert_str_eq(error, "cannot be read: No such file or directory");
    ck_assert_ptr_null(gate);
}
END_TEST

SUITE("gateway/keys/access", 20, each_need_and_each_client_as_the_table_says,
      without_keys_everybody_may_do_everything_but_administer,
      the_admin_door_wants_no_key_but_refuses_a_wrong_one, credentials_have_one_form,
      a_token_of_64_kib_is_refused, ten_wrong_keys_make_the_wrong_ones_of_their_address_wait,
      who_shows_no_key_or_an_old_one_is_not_counted_as_guessing,
      a_place_is_held_until_it_is_left_and_left_once, a_used_up_rate_says_when_to_come_again,
      a_class_above_the_keys_becomes_its_best, one_tenant_does_not_see_anothers_requests,
      the_tenant_header_is_believed_on_loopback_without_keys,
      a_changed_file_counts_within_a_second_and_a_broken_one_does_not,
      what_a_tenant_used_survives_another_file, a_missing_file_does_not_open)
