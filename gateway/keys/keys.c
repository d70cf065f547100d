#include "gateway/keys/keys.h"

#include "core/base/list.h"
#include "core/base/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED 64

const char *const key_scope_names[KEY_SCOPE_COUNT] = {
#define KEY_SCOPE_TEXT(name, text) text,
    KEY_SCOPES(KEY_SCOPE_TEXT)
#undef KEY_SCOPE_TEXT
};

enum outcome keys_open(struct keys **out) {
    uint64_t seed = 0;
    *out = NULL;
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) return MEMORY_EXHAUSTED;
    if (secret_bytes() != NULL) memcpy(&seed, secret_bytes(), sizeof seed);
    if (names_init(&keys->by_id, EXPECTED, seed) != OK) {
        free(keys);
        return MEMORY_EXHAUSTED;
    }
    *out = keys;
    return OK;
}

static void key_free(struct api_key *key) {
    explicit_bzero(key, sizeof *key);
    free(key);
}

void keys_free(struct keys *keys) {
    if (keys == NULL) return;
    for (size_t i = 0; i < keys->count; i++) key_free(keys->items[i]);
    names_free(&keys->by_id);
    free(keys->items);
    free(keys);
}

static bool reserve(struct keys *keys) {
    if (keys->count < keys->room) return true;
    size_t room = keys->room > 0 ? 2 * keys->room : EXPECTED;
    struct api_key **items = realloc(keys->items, room * sizeof(struct api_key *));
    if (items == NULL) return false;
    keys->items = items;
    keys->room = room;
    return true;
}

enum outcome keys_add(struct keys *keys, const struct api_key *like) {
    assert(strlen(like->id) == TOKEN_ID_DIGITS);
    if (names_find(&keys->by_id, like->id, TOKEN_ID_DIGITS) != NULL) return ALREADY_EXISTS;
    struct api_key *key = malloc(sizeof *key);
    if (key == NULL || !reserve(keys)) {
        free(key);
        return MEMORY_EXHAUSTED;
    }
    *key = *like;
    key->by_id = (struct name){.text = key->id, .bytes = TOKEN_ID_DIGITS};
    names_add(&keys->by_id, &key->by_id);
    keys->items[keys->count++] = key;
    return OK;
}

void keys_remove(struct keys *keys, size_t index) {
    assert(index < keys->count);
    names_remove(&keys->by_id, &keys->items[index]->by_id);
    key_free(keys->items[index]);
    keys->count--;
    memmove(&keys->items[index], &keys->items[index + 1],
            (keys->count - index) * sizeof(struct api_key *));
}

const struct api_key *keys_verify(const struct keys *keys, const struct token *token) {
    static const struct api_key nobody = {.id = ""};
    const struct name *found = names_find(&keys->by_id, token->id, TOKEN_ID_DIGITS);
    const struct api_key *key = found != NULL ? LIST_ENTRY(found, struct api_key, by_id) : &nobody;
    uint8_t hash[TOKEN_HASH_BYTES];
    bool hashed = token_hash(token, key->salt, hash);
    bool same = hashed && token_hash_same(hash, key->hash);
    explicit_bzero(hash, sizeof hash);
    return same && found != NULL ? key : NULL;
}

bool key_expired(const struct api_key *key, uint64_t wall_s) {
    return key->expires_s != 0 && key->expires_s <= wall_s;
}

bool key_name_fits(const char *text) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t bytes = strlen(text);
    return bytes > 0 && bytes < KEY_NAME_BYTES && strspn(text, allowed) == bytes;
}
