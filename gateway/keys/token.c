#include "gateway/keys/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define ID_AT     (sizeof TOKEN_PREFIX - 1)
#define SECRET_AT (ID_AT + TOKEN_ID_DIGITS + 1)

void token_to_digits(const uint8_t *bytes, size_t count, char *digits) {
    static const char all[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *digits++ = all[bytes[i] >> 4];
        *digits++ = all[bytes[i] & 15];
    }
    *digits = '\0';
}

/* All ones where 0 <= value < limit, else zero; no branch. */
static uint32_t mask_below(int32_t value, int32_t limit) {
    uint32_t below = (uint32_t)(value - limit) & ~(uint32_t)value;
    return 0 - (below >> 31);
}

/* A digit's value; adds to *wrong when it is none. As quick whatever the digit. */
static uint32_t digit_value(char digit, uint32_t *wrong) {
    int32_t number = digit - '0', letter = digit - 'a';
    uint32_t is_number = mask_below(number, 10), is_letter = mask_below(letter, 6);
    *wrong |= ~(is_number | is_letter);
    return ((uint32_t)number & is_number) | ((uint32_t)(letter + 10) & is_letter);
}

bool token_from_digits(const char *digits, size_t digits_count, uint8_t *bytes, size_t count) {
    uint32_t wrong = 0;
    if (digits_count != 2 * count) return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t high = digit_value(digits[2 * i], &wrong);
        bytes[i] = (uint8_t)(high << 4 | digit_value(digits[2 * i + 1], &wrong));
    }
    return wrong == 0;
}

static bool draw(uint8_t *bytes, size_t count) {
    return getrandom(bytes, count, 0) == (ssize_t)count;
}

bool token_make(struct token *token, uint8_t salt[TOKEN_SALT_BYTES]) {
    uint8_t id[TOKEN_ID_DIGITS / 2];
    *token = (struct token){.id = ""};
    if (!draw(id, sizeof id) || !draw(token->secret, sizeof token->secret) ||
        !draw(salt, TOKEN_SALT_BYTES))
        return false;
    token_to_digits(id, sizeof id, token->id);
    return true;
}

void token_write(const struct token *token, char text[TOKEN_DIGITS + 1]) {
    memcpy(text, TOKEN_PREFIX, ID_AT);
    memcpy(text + ID_AT, token->id, TOKEN_ID_DIGITS);
    text[SECRET_AT - 1] = '_';
    token_to_digits(token->secret, TOKEN_SECRET_BYTES, text + SECRET_AT);
}

bool token_read(struct token *token, const char *text, size_t bytes) {
    uint8_t id[TOKEN_ID_DIGITS / 2];
    *token = (struct token){.id = ""};
    if (bytes != TOKEN_DIGITS || memcmp(text, TOKEN_PREFIX, ID_AT) != 0 ||
        text[SECRET_AT - 1] != '_' ||
        !token_from_digits(text + ID_AT, TOKEN_ID_DIGITS, id, sizeof id) ||
        !token_from_digits(text + SECRET_AT, TOKEN_SECRET_DIGITS, token->secret,
                           TOKEN_SECRET_BYTES)) {
        token_forget(token);
        return false;
    }
    memcpy(token->id, text + ID_AT, TOKEN_ID_DIGITS);
    return true;
}

void token_forget(struct token *token) {
    explicit_bzero(token, sizeof *token);
}

/* Looking an algorithm up takes locks and more time than hashing with it: once. */
static EVP_MD *sha256;

static void find_sha256(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool token_hash(const struct token *token, const uint8_t salt[TOKEN_SALT_BYTES],
                uint8_t hash[TOKEN_HASH_BYTES]) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t salted[TOKEN_SALT_BYTES + TOKEN_SECRET_BYTES];
    pthread_once(&once, find_sha256);
    memcpy(salted, salt, TOKEN_SALT_BYTES);
    memcpy(salted + TOKEN_SALT_BYTES, token->secret, TOKEN_SECRET_BYTES);
    bool hashed =
        sha256 != NULL && EVP_Digest(salted, sizeof salted, hash, NULL, sha256, NULL) == 1;
    explicit_bzero(salted, sizeof salted);
    return hashed;
}

bool token_hash_same(const uint8_t a[TOKEN_HASH_BYTES], const uint8_t b[TOKEN_HASH_BYTES]) {
    return CRYPTO_memcmp(a, b, TOKEN_HASH_BYTES) == 0;
}
