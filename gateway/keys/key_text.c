#include "gateway/keys/key_text.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FORMAT_VERSION 1

/* --- times --- */

void key_time_write(uint64_t wall_s, char text[KEY_TIME_BYTES]) {
    time_t seconds = (time_t)wall_s;
    struct tm utc;
    text[0] = '\0';
    if (gmtime_r(&seconds, &utc) != NULL)
        strftime(text, KEY_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* What strptime forgives (spaces, missing zeros) is found by writing it again. */
bool key_time_read(const char *text, uint64_t *wall_s) {
    struct tm utc = {0};
    char again[KEY_TIME_BYTES];
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    *wall_s = 0;
    if (end == NULL || *end != '\0') return false;
    time_t seconds = timegm(&utc);
    if (seconds <= 0) return false;
    key_time_write((uint64_t)seconds, again);
    if (strcmp(again, text) != 0) return false;
    *wall_s = (uint64_t)seconds;
    return true;
}

/* --- reading --- */

struct reading {
    char *error;
    size_t index; /* of the key that is read */
};

static bool refuse(const struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(const struct reading *reading, const char *format, ...) {
    int used = snprintf(reading->error, KEY_ERROR_BYTES, "keys[%zu]: ", reading->index);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reading->error + used, KEY_ERROR_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

/* The library recurses 2,048 times and holds much more than it reads: brackets are counted before. */
static bool is_shallow(const char *text, size_t bytes) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++) {
        if (quoted) {
            if (text[i] == '\\')
                i++;
            else
                quoted = text[i] != '"';
        } else if (text[i] == '"') {
            quoted = true;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > KEY_TEXT_DEPTH) return false;
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
    }
    return true;
}

static bool read_digits(const struct reading *reading, json_t *object, const char *member,
                        uint8_t *bytes, size_t count) {
    json_t *value = json_object_get(object, member);
    if (json_is_string(value) &&
        token_from_digits(json_string_value(value), json_string_length(value), bytes, count))
        return true;
    return refuse(reading, "\"%s\" is not %zu lower-case hexadecimal digits", member, 2 * count);
}

static bool read_id(const struct reading *reading, json_t *object, char id[TOKEN_ID_DIGITS + 1]) {
    uint8_t bytes[TOKEN_ID_DIGITS / 2];
    if (!read_digits(reading, object, "id", bytes, sizeof bytes)) return false;
    token_to_digits(bytes, sizeof bytes, id);
    return true;
}

static bool read_name(const struct reading *reading, json_t *object, const char *member,
                      char out[KEY_NAME_BYTES]) {
    const char *text = json_string_value(json_object_get(object, member));
    if (text == NULL || !key_name_fits(text))
        return refuse(reading, "\"%s\" is not 1 to 63 of A-Z a-z 0-9 . _ -", member);
    memcpy(out, text, strlen(text) + 1);
    return true;
}

/* Not there: stays as it is. */
static bool read_number(const struct reading *reading, json_t *object, const char *member,
                        uint32_t most, uint32_t *out) {
    json_t *value = json_object_get(object, member);
    if (value == NULL) return true;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > (json_int_t)most)
        return refuse(reading, "\"%s\" is not a whole number from 1 to %u", member, most);
    *out = (uint32_t)number;
    return true;
}

static bool read_time(const struct reading *reading, json_t *object, const char *member,
                      uint64_t *out) {
    json_t *value = json_object_get(object, member);
    if (json_is_string(value) && key_time_read(json_string_value(value), out)) return true;
    return refuse(reading, "\"%s\" is not a time such as 2026-01-31T12:00:00Z", member);
}

static bool read_scopes(const struct reading *reading, json_t *object, unsigned *scopes) {
    json_t *list = json_object_get(object, "scopes"), *entry;
    size_t at;
    *scopes = 0;
    json_array_foreach(list, at, entry) {
        const char *text = json_string_value(entry);
        unsigned known = 0;
        for (unsigned i = 0; text != NULL && i < KEY_SCOPE_COUNT; i++)
            if (strcmp(text, key_scope_names[i]) == 0) known = 1u << i;
        if (known == 0 || (*scopes & known) != 0) {
            *scopes = 0;
            break;
        }
        *scopes |= known;
    }
    if (*scopes != 0) return true;
    return refuse(reading, "\"scopes\" is not a list of invoke, read and admin, each once");
}

static bool read_priority(const struct reading *reading, json_t *object, enum priority *priority) {
    json_t *value = json_object_get(object, "max_priority");
    if (value == NULL) return true;
    *priority =
        json_is_string(value) ? priority_from_name(json_string_value(value)) : PRIORITY_COUNT;
    if (*priority != PRIORITY_COUNT) return true;
    return refuse(reading, "\"max_priority\" is none of critical, high, normal, low, batch");
}

static bool knows(const struct reading *reading, json_t *object) {
    static const char *const members[] = {"id",    "name",    "tenant",      "salt",
                                          "hash",  "created", "expires",     "rate",
                                          "burst", "scopes",  "concurrency", "max_priority"};
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
            known = known || strcmp(members[i], name) == 0;
        if (!known) return refuse(reading, "\"%.40s\" is no member of a key", name);
    }
    return true;
}

static bool read_limits(const struct reading *reading, json_t *object, struct api_key *key) {
    if (!read_number(reading, object, "rate", KEY_RATE_MOST, &key->rate)) return false;
    key->burst = key->rate;
    if (!read_number(reading, object, "burst", KEY_RATE_MOST, &key->burst) ||
        !read_number(reading, object, "concurrency", KEY_CONCURRENCY_MOST, &key->concurrency))
        return false;
    if (key->rate == 0 && key->burst != 0)
        return refuse(reading, "\"burst\" is there without \"rate\"");
    return true;
}

static bool read_key(const struct reading *reading, json_t *object, struct api_key *key) {
    *key = (struct api_key){.max_priority = PRIORITY_CRITICAL};
    if (!json_is_object(object)) return refuse(reading, "is not an object");
    if (!knows(reading, object) || !read_id(reading, object, key->id) ||
        !read_name(reading, object, "name", key->name) ||
        !read_name(reading, object, "tenant", key->tenant) ||
        !read_digits(reading, object, "salt", key->salt, sizeof key->salt) ||
        !read_digits(reading, object, "hash", key->hash, sizeof key->hash) ||
        !read_time(reading, object, "created", &key->created_s))
        return false;
    if (json_object_get(object, "expires") != NULL &&
        !read_time(reading, object, "expires", &key->expires_s))
        return false;
    return read_limits(reading, object, key) && read_scopes(reading, object, &key->scopes) &&
           read_priority(reading, object, &key->max_priority);
}

static enum outcome read_list(struct keys *keys, json_t *list, char error[KEY_ERROR_BYTES]) {
    struct reading reading = {.error = error};
    json_t *object;
    json_array_foreach(list, reading.index, object) {
        struct api_key key;
        bool sound = read_key(&reading, object, &key);
        enum outcome outcome = sound ? keys_add(keys, &key) : INVALID_REQUEST;
        explicit_bzero(&key, sizeof key);
        if (outcome == ALREADY_EXISTS) refuse(&reading, "an earlier key has the same \"id\"");
        if (outcome == MEMORY_EXHAUSTED) return outcome;
        if (outcome != OK) return INVALID_REQUEST;
    }
    return OK;
}

static const char *flaw_of(json_t *root) {
    json_t *version = json_object_get(root, "version"), *list = json_object_get(root, "keys");
    if (!json_is_object(root)) return "the file is not one object";
    if (json_integer_value(version) != FORMAT_VERSION || !json_is_integer(version))
        return "\"version\" is not 1";
    if (!json_is_array(list)) return "\"keys\" is not a list";
    if (json_object_size(root) != 2) return "there is more in it than \"version\" and \"keys\"";
    if (json_array_size(list) > KEYS_MOST) return "there are more than 10000 keys";
    return NULL;
}

/* The library's own words may quote the text, and with it a hash: only the place is told. */
static json_t *load(const char *text, size_t bytes, char error[KEY_ERROR_BYTES]) {
    json_error_t flaw;
    if (bytes > KEY_TEXT_MOST) {
        snprintf(error, KEY_ERROR_BYTES, "the file is larger than 8 MiB");
        return NULL;
    }
    if (!is_shallow(text, bytes)) {
        snprintf(error, KEY_ERROR_BYTES, "the file is nested deeper than %d", KEY_TEXT_DEPTH);
        return NULL;
    }
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &flaw);
    if (root == NULL)
        snprintf(error, KEY_ERROR_BYTES, "line %d, column %d: %s", flaw.line, flaw.column,
                 json_error_code(&flaw) == json_error_duplicate_key ? "a member is there twice"
                                                                    : "this is not JSON");
    return root;
}

enum outcome key_text_read(struct keys **out, const char *text, size_t bytes,
                           char error[KEY_ERROR_BYTES]) {
    *out = NULL;
    error[0] = '\0';
    json_t *root = load(text, bytes, error);
    if (root == NULL) return INVALID_REQUEST;
    struct keys *keys = NULL;
    const char *flaw = flaw_of(root);
    enum outcome outcome = flaw != NULL ? INVALID_REQUEST : keys_open(&keys);
    if (flaw != NULL) snprintf(error, KEY_ERROR_BYTES, "%s", flaw);
    if (outcome == OK) outcome = read_list(keys, json_object_get(root, "keys"), error);
    json_decref(root);
    if (outcome == OK)
        *out = keys;
    else
        keys_free(keys);
    return outcome;
}

/* --- writing --- */

static void set_digits(json_t *object, const char *member, const uint8_t *bytes, size_t count) {
    char digits[2 * TOKEN_HASH_BYTES + 1];
    token_to_digits(bytes, count, digits);
    json_object_set_new(object, member, json_string(digits));
}

static void set_time(json_t *object, const char *member, uint64_t wall_s) {
    char text[KEY_TIME_BYTES];
    if (wall_s == 0) return;
    key_time_write(wall_s, text);
    json_object_set_new(object, member, json_string(text));
}

static void set_number(json_t *object, const char *member, uint32_t number) {
    if (number > 0) json_object_set_new(object, member, json_integer(number));
}

static json_t *key_json(const struct api_key *key) {
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "id", key->id, "name", key->name, "tenant", key->tenant);
    json_t *scopes = json_array();
    set_digits(object, "salt", key->salt, sizeof key->salt);
    set_digits(object, "hash", key->hash, sizeof key->hash);
    set_time(object, "created", key->created_s);
    set_time(object, "expires", key->expires_s);
    set_number(object, "rate", key->rate);
    set_number(object, "burst", key->burst);
    set_number(object, "concurrency", key->concurrency);
    for (unsigned i = 0; i < KEY_SCOPE_COUNT; i++)
        if ((key->scopes & 1u << i) != 0)
            json_array_append_new(scopes, json_string(key_scope_names[i]));
    json_object_set_new(object, "scopes", scopes);
    if (key->max_priority != PRIORITY_CRITICAL)
        json_object_set_new(object, "max_priority", json_string(priority_name(key->max_priority)));
    return object;
}

char *key_text_write(const struct keys *keys, size_t *bytes) {
    json_t *list = json_array();
    for (size_t i = 0; i < keys->count; i++) json_array_append_new(list, key_json(keys->items[i]));
    json_t *root = json_pack("{s:i, s:o}", "version", FORMAT_VERSION, "keys", list);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    *bytes = text == NULL ? 0 : strlen(text);
    json_decref(root);
    return text;
}
