/* scope - the keys of one schema with the struct that they fill: the program's, or one pool's.
 * thread: the owner's.
 * owns:   nothing: texts and arrays live in the arena.
 * fails:  MEMORY_EXHAUSTED. A mistake is reported, marks its key as broken and returns OK, so that
 *         the others are found too. */
#ifndef GATEWAY_CONFIG_SCOPE_H
#define GATEWAY_CONFIG_SCOPE_H

#include "core/base/outcome.h"
#include "gateway/config/arena.h"
#include "gateway/config/report.h"
#include "gateway/config/schema.h"

struct pair;

/* What is known of one key. */
struct setting {
    struct origin origin; /* name NULL: nobody has set it, not even a default */
    const char *text;     /* a scalar as it was written last; "..." for a list, "" for nothing */
    bool given;           /* by more than its default */
    bool broken;          /* the last value was a mistake: checks across keys leave it alone */
};

struct scope {
    const struct schema *schema;
    void *target;             /* a struct config or a struct pool_config */
    struct setting *settings; /* one each key */
    const char *prefix;       /* before the paths in a line: "" or "pools.ocr." */
    struct origin origin;     /* where the scope itself was written */
    struct arena *arena;
    struct report *report;
};

/* Its settings are new, its target stays as it is. */
enum outcome scope_open(struct scope *scope, const struct schema *schema, void *target);

/* Notes who says what about the key from here on. */
struct setting *scope_begin(struct scope *scope, size_t key, const struct origin *origin);
enum outcome scope_set_text(struct scope *scope, size_t key, const struct origin *origin,
                            const char *text);
/* Items and pairs are in the arena and become the struct's. */
void scope_set_texts(struct scope *scope, size_t key, char **items, size_t count);
void scope_set_pairs(struct scope *scope, size_t key, struct pair *pairs, size_t count);
/* Replaces or adds one entry of a map; path is the map's path, a dot and the entry's name. */
enum outcome scope_set_pair(struct scope *scope, size_t key, const struct origin *origin,
                            const char *path, const char *value);

/* "WHAT, allowed is …". The key is broken from here on. */
void scope_mistake(struct scope *scope, size_t key, const struct origin *origin, const char *what);
/* "WHAT is not a size, allowed is …"; what: "\"5x\"", "a list". */
void scope_refuse(struct scope *scope, size_t key, const struct origin *origin, const char *what);
/* The same for one name of a map or one item of a list. */
void scope_refuse_item(struct scope *scope, size_t key, const struct origin *origin,
                       const char *what);
/* A path that names nothing; says what was probably meant. */
void scope_refuse_unknown(struct scope *scope, const struct origin *origin, const char *path);
/* Of a path that is in the schema. */
const struct setting *scope_setting(const struct scope *scope, const char *path);

#endif
