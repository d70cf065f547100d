#include "gateway/config/override.h"

#include "gateway/config/nearest.h"
#include "gateway/config/tree.h"

#include <stdio.h>
#include <string.h>

static enum outcome apply_in(struct draft *draft, struct scope *scope, const struct origin *origin,
                             const char *path, const char *value) {
    const struct schema *schema = scope->schema;
    if (schema_find(schema, path) != KEY_NONE || schema_is_group(schema, path))
        return tree_set_text(draft, scope, path, origin, value);
    size_t map = schema_map_of(schema, path);
    if (map != KEY_NONE) return scope_set_pair(scope, map, origin, path, value);
    scope_refuse_unknown(scope, origin, path);
    return OK;
}

static void refuse_pool(struct draft *draft, const struct origin *origin, const char *path,
                        const char *name, size_t bytes) {
    char known[1024] = "", meant[NEAREST_BYTES + 32] = "";
    size_t used = 0;
    struct nearest nearest;
    nearest_open(&nearest, name, bytes);
    for (size_t i = 0; i < draft->pools_count; i++) {
        const char *other = draft->pools[i]->config.core.name;
        if (other == NULL) continue;
        nearest_offer(&nearest, other);
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                     used == 0 ? "" : ", ", other);
    }
    if (nearest.best[0] != '\0') snprintf(meant, sizeof meant, " (did you mean %s?)", nearest.best);
    report_mistake(draft->scope.report, origin, "", path, "no such pool%s, allowed here: %s", meant,
                   known);
}

enum outcome override_apply(struct draft *draft, const struct origin *origin, const char *path,
                            const char *value) {
    size_t prefix_bytes = strlen(OVERRIDE_POOLS);
    if (strncmp(path, OVERRIDE_POOLS, prefix_bytes) != 0)
        return apply_in(draft, &draft->scope, origin, path, value);

    const char *name = path + prefix_bytes;
    size_t bytes = strcspn(name, ".");
    const char *rest = name[bytes] == '.' ? name + bytes + 1 : name + bytes;
    struct pool_draft *pool = draft_find_pool(draft, name, bytes);
    if (pool == NULL) {
        refuse_pool(draft, origin, path, name, bytes);
        return OK;
    }
    enum outcome outcome = apply_in(draft, &pool->scope, origin, rest, value);
    draft_name_pool(pool, pool->config.core.name); /* it may have been the name */
    return outcome;
}

static enum outcome apply_setting(struct draft *draft, const char *setting) {
    static const struct origin origin = {.layer = LAYER_SETTING, .name = "--set"};
    const char *equals = strchr(setting, '=');
    if (equals == NULL) {
        report_mistake(draft->scope.report, &origin, "", setting,
                       "has no value, allowed is --set KEY=VALUE");
        return OK;
    }
    char *path = arena_text(draft->scope.arena, setting, (size_t)(equals - setting));
    if (path == NULL) return MEMORY_EXHAUSTED;
    if (*path != '\0') return override_apply(draft, &origin, path, equals + 1);
    report_mistake(draft->scope.report, &origin, "", setting,
                   "has no key, allowed is --set KEY=VALUE");
    return OK;
}

enum outcome override_apply_settings(struct draft *draft, const char *const *settings) {
    enum outcome outcome = OK;
    for (size_t i = 0; settings != NULL && settings[i] != NULL && outcome == OK; i++)
        outcome = apply_setting(draft, settings[i]);
    return outcome;
}
