/* token - what a client shows: pg_ID_SECRET, both in lower-case hexadecimal, and the hash that is kept of it.
 * thread: any; pure but for token_make, which draws random bytes.
 * owns:   nothing. Whoever has a struct token wipes it with token_forget.
 * fails:  token_make, token_hash: false when the kernel gives no random bytes, the library no memory.
 *
 * The hash is SHA-256 over salt and secret. A slow hash protects passwords, which can be guessed; a
 * secret of 256 random bits cannot, and a slow one would let strangers buy our time cheaply. */
#ifndef GATEWAY_KEYS_TOKEN_H
#define GATEWAY_KEYS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_PREFIX        "pg_"
#define TOKEN_ID_DIGITS     16
#define TOKEN_SECRET_BYTES  32
#define TOKEN_SALT_BYTES    16
#define TOKEN_HASH_BYTES    32
#define TOKEN_SECRET_DIGITS ((size_t)2 * TOKEN_SECRET_BYTES)
#define TOKEN_DIGITS        (3 + TOKEN_ID_DIGITS + 1 + TOKEN_SECRET_DIGITS)

struct token {
    char id[TOKEN_ID_DIGITS + 1];
    uint8_t secret[TOKEN_SECRET_BYTES];
};

bool token_make(struct token *token, uint8_t salt[TOKEN_SALT_BYTES]);
void token_write(const struct token *token, char text[TOKEN_DIGITS + 1]);
/* False, and the token is empty: it does not look like one. */
bool token_read(struct token *token, const char *text, size_t bytes);
void token_forget(struct token *token);

bool token_hash(const struct token *token, const uint8_t salt[TOKEN_SALT_BYTES],
                uint8_t hash[TOKEN_HASH_BYTES]);
/* Takes as long wherever they differ. */
bool token_hash_same(const uint8_t a[TOKEN_HASH_BYTES], const uint8_t b[TOKEN_HASH_BYTES]);

/* bytes in 2 * count lower-case digits, and back; false: other characters, or another count. */
void token_to_digits(const uint8_t *bytes, size_t count, char *digits);
bool token_from_digits(const char *digits, size_t digits_count, uint8_t *bytes, size_t count);

#endif
