/* value - one scalar of the configuration, from text to the member that it fills.
 * thread: any.
 * owns:   nothing: a text stays the caller's and the value points to it.
 * fails:  VALUE_WRONG, VALUE_OUT_OF_RANGE; never allocates. */
#ifndef GATEWAY_CONFIG_VALUE_H
#define GATEWAY_CONFIG_VALUE_H

#include "gateway/config/config.h"
#include "gateway/config/schema.h"

enum verdict { VALUE_FITS, VALUE_WRONG, VALUE_OUT_OF_RANGE };

/* Starts with what belongs into the member: the first value_bytes(kind) bytes. */
union value {
    bool boolean;
    uint32_t number;
    uint64_t amount; /* sizes in bytes, times in nanoseconds */
    unsigned choice;
    struct share share;
    char *text;
    struct listen_address listen;
};

/* text is not empty. Not for lists and maps. */
enum verdict value_parse(const struct key *key, char *text, union value *value);
size_t value_bytes(enum kind kind);

const char *value_noun(enum kind kind); /* "a size" */
#define VALUE_ALLOWED_BYTES 160
void value_allowed(const struct key *key, char text[VALUE_ALLOWED_BYTES]);

#endif
