/* draft - a configuration in the making: what is set so far, by whom, and what was wrong.
 * thread: the owner's.
 * owns:   nothing: everything lives in the arena that draft_open was given.
 * fails:  MEMORY_EXHAUSTED. */
#ifndef GATEWAY_CONFIG_DRAFT_H
#define GATEWAY_CONFIG_DRAFT_H

#include "gateway/config/config.h"
#include "gateway/config/scope.h"

#define DRAFT_POOLS_MOST 1024

struct pool_draft {
    struct pool_config config;
    struct scope scope;
    char prefix[80]; /* "pools.ocr."; "pools[0]." while it has no good name */
    size_t index;
};

struct draft {
    struct config *config;
    struct scope scope; /* the program's keys */
    struct pool_draft **pools;
    size_t pools_count, pools_capacity;
};

enum outcome draft_open(struct draft *draft, struct config *config, struct arena *arena,
                        struct report *report, const struct origin *origin);
/* A pool without any value, not even defaults; index: its place in the list. */
enum outcome draft_new_pool(struct draft *draft, size_t index, const struct origin *origin,
                            struct pool_draft **out);
enum outcome draft_add_pool(struct draft *draft, struct pool_draft *pool);
void draft_clear_pools(struct draft *draft);
/* Lines about the pool call it so; a name that is not allowed counts as none. NULL: none. */
void draft_name_pool(struct pool_draft *pool, const char *name);
struct pool_draft *draft_find_pool(const struct draft *draft, const char *name, size_t bytes);
/* Moves the pools into the config. */
enum outcome draft_finish(struct draft *draft);

#endif
