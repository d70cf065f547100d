/* keys - the table of keys: who may come in, for which tenant, how often, and for what.
 * thread: built by one thread; constant and read from any once it is handed on.
 * owns:   its keys. The limits that they point to are another's.
 * fails:  keys_add: MEMORY_EXHAUSTED, ALREADY_EXISTS (the id). */
#ifndef GATEWAY_KEYS_KEYS_H
#define GATEWAY_KEYS_KEYS_H

#include "core/base/names.h"
#include "core/base/request.h"
#include "gateway/keys/token.h"

#define KEY_NAME_BYTES       64 /* 63 of A-Z a-z 0-9 . _ - and the end; tenants alike */
#define KEY_RATE_MOST        1000000u
#define KEY_CONCURRENCY_MOST 1000000u
#define KEYS_MOST            10000u
#define KEYS_OF_A_NAME       2u /* valid at a time: the old one and the new one while clients change */

/* What a key is good for; none holds another. X(NAME, text) */
#define KEY_SCOPES(X) X(INVOKE, "invoke") X(READ, "read") X(ADMIN, "admin")
enum key_scope_number {
#define KEY_SCOPE_NUMBER(name, text) KEY_SCOPE_NUMBER_##name,
    KEY_SCOPES(KEY_SCOPE_NUMBER)
#undef KEY_SCOPE_NUMBER
        KEY_SCOPE_COUNT
};
enum key_scope {
#define KEY_SCOPE_BIT(name, text) KEY_SCOPE_##name = 1 << KEY_SCOPE_NUMBER_##name,
    KEY_SCOPES(KEY_SCOPE_BIT)
#undef KEY_SCOPE_BIT
};
extern const char *const key_scope_names[KEY_SCOPE_COUNT];

struct tenant_limit;

struct api_key {
    struct name by_id;
    char id[TOKEN_ID_DIGITS + 1];
    char name[KEY_NAME_BYTES], tenant[KEY_NAME_BYTES];
    uint8_t salt[TOKEN_SALT_BYTES], hash[TOKEN_HASH_BYTES];
    uint64_t created_s, expires_s; /* since 1970; expires_s 0: never */
    uint32_t rate, burst;          /* requests a second, and at once; 0: no limit */
    uint32_t concurrency;          /* requests under way; 0: no limit */
    unsigned scopes;               /* of enum key_scope */
    enum priority max_priority;    /* the best class that it may ask for */
    struct tenant_limit *limit;    /* what the tenant has used; NULL where nobody counts */
};

struct keys {
    struct names by_id;
    struct api_key **items;
    size_t count, room;
};

enum outcome keys_open(struct keys **out);
void keys_free(struct keys *keys);                                    /* NULL is allowed */
enum outcome keys_add(struct keys *keys, const struct api_key *like); /* copies it */
void keys_remove(struct keys *keys, size_t index);
/* The key that this is the token of, or NULL. It takes as long when there is no such id. */
const struct api_key *keys_verify(const struct keys *keys, const struct token *token);
bool key_expired(const struct api_key *key, uint64_t wall_s);
/* 1 to 63 of A-Z a-z 0-9 . _ - */
bool key_name_fits(const char *text);

#endif
