#include "gateway/config/draft.h"

#include <stdio.h>
#include <string.h>

enum outcome draft_open(struct draft *draft, struct config *config, struct arena *arena,
                        struct report *report, const struct origin *origin) {
    *draft = (struct draft){
        .config = config,
        .scope = {.prefix = "", .origin = *origin, .arena = arena, .report = report},
    };
    return scope_open(&draft->scope, &schema_program, config);
}

enum outcome draft_new_pool(struct draft *draft, size_t index, const struct origin *origin,
                            struct pool_draft **out) {
    *out = NULL;
    struct pool_draft *pool = arena_take(draft->scope.arena, sizeof *pool);
    if (pool == NULL) return MEMORY_EXHAUSTED;
    pool->index = index;
    pool->scope = (struct scope){.prefix = pool->prefix,
                                 .origin = *origin,
                                 .arena = draft->scope.arena,
                                 .report = draft->scope.report};
    draft_name_pool(pool, NULL);
    enum outcome outcome = scope_open(&pool->scope, &schema_pool, &pool->config);
    if (outcome == OK) *out = pool;
    return outcome;
}

enum outcome draft_add_pool(struct draft *draft, struct pool_draft *pool) {
    if (draft->pools_count == draft->pools_capacity) {
        size_t capacity = draft->pools_capacity == 0 ? 8 : 2 * draft->pools_capacity;
        struct pool_draft **pools = arena_take(draft->scope.arena, capacity * sizeof pool);
        if (pools == NULL) return MEMORY_EXHAUSTED;
        for (size_t i = 0; i < draft->pools_count; i++) pools[i] = draft->pools[i];
        draft->pools = pools;
        draft->pools_capacity = capacity;
    }
    draft->pools[draft->pools_count++] = pool;
    return OK;
}

void draft_clear_pools(struct draft *draft) {
    draft->pools_count = 0;
}

void draft_name_pool(struct pool_draft *pool, const char *name) {
    if (name != NULL && pattern_pool_name(name))
        snprintf(pool->prefix, sizeof pool->prefix, "pools.%s.", name);
    else
        snprintf(pool->prefix, sizeof pool->prefix, "pools[%zu].", pool->index);
}

struct pool_draft *draft_find_pool(const struct draft *draft, const char *name, size_t bytes) {
    for (size_t i = 0; i < draft->pools_count; i++) {
        const char *known = draft->pools[i]->config.core.name;
        if (known != NULL && strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return draft->pools[i];
    }
    return NULL;
}

enum outcome draft_finish(struct draft *draft) {
    struct pool_config *pools = arena_take(draft->scope.arena, draft->pools_count * sizeof *pools);
    if (pools == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < draft->pools_count; i++) pools[i] = draft->pools[i]->config;
    draft->config->pools = pools;
    draft->config->pools_count = draft->pools_count;
    return OK;
}
