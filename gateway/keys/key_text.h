/* key_text - the table of keys as the JSON of a key file, and back.
 * thread: any; pure.
 * owns:   what it makes is the caller's: keys_free, free.
 * fails:  key_text_read: INVALID_REQUEST, and `error` says where and why, never what a member held;
 *         MEMORY_EXHAUSTED. key_text_write: NULL when out of memory.
 *
 * {"version": 1, "keys": [{"id", "name", "tenant", "salt", "hash", "created", "scopes": [...],
 *  "expires"?, "rate"?, "burst"?, "concurrency"?, "max_priority"?}, ...]}; nothing else is a member. */
#ifndef GATEWAY_KEYS_KEY_TEXT_H
#define GATEWAY_KEYS_KEY_TEXT_H

#include "gateway/keys/keys.h"

#define KEY_TEXT_MOST   ((size_t)8 * 1024 * 1024) /* KEYS_MOST keys fit */
#define KEY_TEXT_DEPTH  8                         /* brackets within brackets */
#define KEY_ERROR_BYTES 256

enum outcome key_text_read(struct keys **out, const char *text, size_t bytes,
                           char error[KEY_ERROR_BYTES]);
char *key_text_write(const struct keys *keys, size_t *bytes);

/* RFC 3339 in UTC with whole seconds: 2026-01-31T12:00:00Z. */
#define KEY_TIME_BYTES 32
void key_time_write(uint64_t wall_s, char text[KEY_TIME_BYTES]);
bool key_time_read(const char *text, uint64_t *wall_s);

#endif
