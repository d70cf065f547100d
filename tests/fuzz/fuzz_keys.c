/* The key file: what is accepted is written and read again as the same keys, and a refusal says why without
 * quoting a hash. */
#include "gateway/keys/key_text.h"
#include "tests/fuzz/fuzz.h"

#define QUOTED_MOST 40 /* of a member's name; a hash has more digits */

static void check_refusal(const char error[KEY_ERROR_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    must(error[0] != '\0' && memchr(error, '\0', KEY_ERROR_BYTES) != NULL);
    for (const char *at = error; *at != '\0'; at += *at != '\0') {
        const size_t run = strspn(at, digits);
        must(run <= QUOTED_MOST);
        at += run;
    }
}

static void check_same(const struct api_key *key, const struct api_key *again) {
    must(strcmp(key->id, again->id) == 0 && strcmp(key->name, again->name) == 0);
    must(strcmp(key->tenant, again->tenant) == 0);
    must(memcmp(key->salt, again->salt, sizeof key->salt) == 0);
    must(memcmp(key->hash, again->hash, sizeof key->hash) == 0);
    must(key->created_s == again->created_s && key->expires_s == again->expires_s);
    must(key->rate == again->rate && key->burst == again->burst);
    must(key->concurrency == again->concurrency && key->scopes == again->scopes);
    must(key->max_priority == again->max_priority);
}

static void check_key(const struct api_key *key) {
    must(key_name_fits(key->name) && key_name_fits(key->tenant));
    must(key->created_s > 0 && key->scopes > 0 && key->scopes < 1u << KEY_SCOPE_COUNT);
    must(key->rate <= KEY_RATE_MOST && key->burst <= KEY_RATE_MOST);
    must(key->burst == 0 || key->rate > 0);
    must(key->concurrency <= KEY_CONCURRENCY_MOST);
    must(key->max_priority < PRIORITY_COUNT);
}

static void check_written(const struct keys *keys) {
    char error[KEY_ERROR_BYTES];
    struct keys *again;
    size_t bytes;
    char *text = key_text_write(keys, &bytes);
    must(text != NULL && bytes == strlen(text));
    must(key_text_read(&again, text, bytes, error) == OK && again->count == keys->count);
    for (size_t i = 0; i < keys->count; i++) {
        check_key(keys->items[i]);
        check_same(keys->items[i], again->items[i]);
    }
    keys_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[KEY_ERROR_BYTES], *text = text_of(data, size);
    struct keys *keys;
    const enum outcome outcome = key_text_read(&keys, text, size, error);
    must(outcome == OK || outcome == INVALID_REQUEST);
    must((keys != NULL) == (outcome == OK));
    if (keys != NULL)
        check_written(keys);
    else
        check_refusal(error);
    keys_free(keys);
    free(text);
    return 0;
}
