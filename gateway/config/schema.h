/* schema - every key of the configuration: its type, default, range and place in struct config.
 * thread: any; the tables are constant.
 * owns:   nothing.
 * fails:  never. */
#ifndef GATEWAY_CONFIG_SCHEMA_H
#define GATEWAY_CONFIG_SCHEMA_H

#include "gateway/config/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, what a person calls such a value, what the key's member of the struct is) */
#define KINDS(X)                                                                                   \
    X(BOOLEAN, "a boolean", bool)                                                                  \
    X(NUMBER, "a whole number", uint32_t)                                                          \
    X(COUNT, "a whole number", uint64_t)                                                           \
    X(SIZE, "a size", uint64_t)                                                                    \
    X(TIME, "a time", uint64_t)                                                                    \
    X(PERCENT, "a percentage", uint32_t)                                                           \
    X(SHARE, "a size or a percentage", struct share)                                               \
    X(CHOICE, "one of the choices", unsigned)                                                      \
    X(TEXT, "usable", char *)                                                                      \
    X(LISTEN, "an address", struct listen_address)                                                 \
    X(TEXTS, "a list", char **)                                                                    \
    X(PAIRS, "a map", struct pair *)                                                               \
    X(POOLS, "a list", struct pool_config *)

enum kind {
#define KIND_NAME(name, noun, type) KIND_##name,
    KINDS(KIND_NAME)
#undef KIND_NAME
};

/* What an empty value means. */
enum empty {
    EMPTY_WRONG,
    EMPTY_NONE, /* the member is all zero: no text, no address, the first choice */
    EMPTY_TEXT  /* the member is "" */
};

struct choice {
    const char *name; /* NULL ends the list */
    unsigned value;
};

struct key {
    const char *path; /* below its schema, dotted */
    enum kind kind;
    enum empty empty;
    const char *standard;         /* the default, as an operator would write it */
    size_t offset, count_offset;  /* of the member; of a list's or map's length, or NO_COUNT */
    uint64_t least, most;         /* numbers, in the unit of the member */
    const struct choice *choices; /* KIND_CHOICE */
    pattern_fn *fits;             /* texts, items of a list, names of a map; NULL: any */
    const char *allowed;          /* said to people; NULL: made of kind, range and choices */
};
#define NO_COUNT SIZE_MAX

struct schema {
    const struct key *keys; /* the members of a group stand together */
    size_t count;
};
extern const struct schema schema_program; /* fills a struct config */
extern const struct schema schema_pool;    /* fills a struct pool_config */

#define KEY_NONE  SIZE_MAX
#define KEY_BYTES 64 /* every known path is shorter */

size_t schema_find(const struct schema *schema, const char *path); /* an index, or KEY_NONE */
/* Whether keys stand below path; "" is the group of all. */
bool schema_is_group(const struct schema *schema, const char *path);
/* The index of the first map that path would be an entry of, or KEY_NONE. */
size_t schema_map_of(const struct schema *schema, const char *path);
/* The next name directly below a group; *cursor starts at 0. False: there is no further one. */
bool schema_next_name(const struct schema *schema, const char *group, size_t *cursor,
                      char name[KEY_BYTES]);
/* All names directly below a group: "listen, max_body, tls". */
#define SCHEMA_NAMES_BYTES 512
void schema_list_names(const struct schema *schema, const char *group,
                       char text[SCHEMA_NAMES_BYTES]);

#endif
