#include "gateway/config/tree.h"

#include "core/base/request.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 192 /* what is cut is longer than every known path */
#define ITEMS_MOST 1024

static char *keep(struct scope *scope, const char *text) {
    return arena_text(scope->arena, text, strlen(text));
}

static yaml_node_t *pair_key(struct document *document, const yaml_node_pair_t *pair) {
    return document_node(document, pair->key);
}

static size_t pairs_count(const yaml_node_t *node) {
    return (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
}

static size_t items_count(const yaml_node_t *node) {
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

/* Whether an earlier member of the same map has the same name; *first is where it stands. */
static bool find_duplicate(struct document *document, const yaml_node_t *map,
                           const yaml_node_pair_t *pair, struct origin *first) {
    const char *name = document_text(pair_key(document, pair));
    const yaml_node_pair_t *earlier = map->data.mapping.pairs.start;
    for (; earlier < pair; earlier++) {
        const yaml_node_t *key = pair_key(document, earlier);
        const char *text = document_text(key);
        if (text == NULL || strcmp(text, name) != 0) continue;
        *first = document_origin(document, key);
        return true;
    }
    return false;
}

static void refuse_duplicate(struct scope *scope, const struct origin *origin,
                             const struct origin *first, const char *path) {
    if (first->layer == LAYER_FILE)
        report_mistake(scope->report, origin, scope->prefix, path,
                       "is given twice, allowed is once; the first is in line %zu", first->line);
    else
        report_mistake(scope->report, origin, scope->prefix, path,
                       "is given twice, allowed is once");
}

static enum outcome set_texts(struct scope *scope, size_t key, struct document *document,
                              yaml_node_t *node) {
    const struct key *at = &scope->schema->keys[key];
    size_t count = document_is_null(node) ? 0 : items_count(node), kept = 0;
    struct origin origin = document_origin(document, node);
    if (count > ITEMS_MOST) {
        scope_mistake(scope, key, &origin, "has more than 1024 items");
        return OK;
    }
    char **items = arena_take(scope->arena, (count + 1) * sizeof *items);
    if (items == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = document_node(document, node->data.sequence.items.start[i]);
        const char *text = document_text(item);
        if (text == NULL || (at->fits != NULL && !at->fits(text))) {
            struct origin here = document_origin(document, item);
            scope_refuse_item(scope, key, &here, document_describe(item).text);
        } else if ((items[kept++] = keep(scope, text)) == NULL) {
            return MEMORY_EXHAUSTED;
        }
    }
    scope_set_texts(scope, key, items, kept);
    return OK;
}

/* One entry of a free map; *kept grows when it is a good one. */
static enum outcome set_pair(struct scope *scope, size_t key, struct document *document,
                             const yaml_node_t *map, const yaml_node_pair_t *pair,
                             struct pair *pairs, size_t *kept) {
    const struct key *at = &scope->schema->keys[key];
    const yaml_node_t *name_node = pair_key(document, pair);
    const yaml_node_t *value_node = document_node(document, pair->value);
    const char *name = document_text(name_node), *value = document_text(value_node);
    struct origin origin = document_origin(document, name_node), first;
    if (name == NULL || *name == '\0' || (at->fits != NULL && !at->fits(name))) {
        scope_refuse_item(scope, key, &origin, document_describe(name_node).text);
        return OK;
    }
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", at->path, name);
    if (find_duplicate(document, map, pair, &first)) {
        refuse_duplicate(scope, &origin, &first, path);
        return OK;
    }
    if (value == NULL) {
        struct origin here = document_origin(document, value_node);
        report_mistake(scope->report, &here, scope->prefix, path,
                       "%s is not a value, allowed is a text or a number",
                       document_describe(value_node).text);
        return OK;
    }
    struct pair copy = {.name = keep(scope, name), .value = keep(scope, value)};
    if (copy.name == NULL || copy.value == NULL) return MEMORY_EXHAUSTED;
    pairs[(*kept)++] = copy;
    return OK;
}

static enum outcome set_pairs(struct scope *scope, size_t key, struct document *document,
                              yaml_node_t *node) {
    size_t count = document_is_null(node) ? 0 : pairs_count(node), kept = 0;
    struct origin origin = document_origin(document, node);
    if (count > ITEMS_MOST) {
        scope_mistake(scope, key, &origin, "has more than 1024 entries");
        return OK;
    }
    struct pair *pairs = arena_take(scope->arena, (count + 1) * sizeof *pairs);
    if (pairs == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = OK;
    for (size_t i = 0; i < count && outcome == OK; i++)
        outcome =
            set_pair(scope, key, document, node, &node->data.mapping.pairs.start[i], pairs, &kept);
    scope_set_pairs(scope, key, pairs, kept);
    return outcome;
}

/* The text of a map's member, NULL where it has none. */
static const char *member_text(struct document *document, const yaml_node_t *map,
                               const char *name) {
    const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
    for (; pair < map->data.mapping.pairs.top; pair++) {
        const char *text = document_text(pair_key(document, pair));
        if (text != NULL && strcmp(text, name) == 0)
            return document_text(document_node(document, pair->value));
    }
    return NULL;
}

static enum outcome set_pool(struct draft *draft, size_t index, struct document *document,
                             yaml_node_t *node) {
    struct origin origin = document_origin(document, node);
    struct pool_draft *pool;
    enum outcome outcome = draft_new_pool(draft, index, &origin, &pool);
    if (outcome == OK) outcome = tree_set_defaults(draft, &pool->scope);
    if (outcome != OK) return outcome;
    bool map = node->type == YAML_MAPPING_NODE;
    if (map) draft_name_pool(pool, member_text(document, node, "name"));
    outcome = tree_set_group(draft, &pool->scope, document, node, "");
    /* What is no map is one mistake, not a pool without a name and a worker as well. */
    return outcome == OK && (map || document_is_null(node)) ? draft_add_pool(draft, pool) : outcome;
}

static enum outcome set_pools(struct draft *draft, size_t key, struct document *document,
                              yaml_node_t *node) {
    size_t count = document_is_null(node) ? 0 : items_count(node);
    struct origin origin = document_origin(document, node);
    draft_clear_pools(draft);
    if (count == 0) {
        scope_mistake(&draft->scope, key, &origin, "is empty");
    } else if (count > DRAFT_POOLS_MOST) {
        scope_mistake(&draft->scope, key, &origin, "has more than 1024 pools");
        return OK;
    }
    enum outcome outcome = OK;
    for (size_t i = 0; i < count && outcome == OK && !report_full(draft->scope.report); i++)
        outcome = set_pool(draft, i, document,
                           document_node(document, node->data.sequence.items.start[i]));
    return outcome;
}

static enum outcome set_key(struct draft *draft, struct scope *scope, size_t key,
                            struct document *document, yaml_node_t *node) {
    enum kind kind = scope->schema->keys[key].kind;
    bool list = kind == KIND_TEXTS || kind == KIND_POOLS, map = kind == KIND_PAIRS;
    bool null = document_is_null(node);
    struct origin origin = document_origin(document, node);
    if (list || map) {
        scope_begin(scope, key, &origin);
        if (!null && node->type != (map ? YAML_MAPPING_NODE : YAML_SEQUENCE_NODE)) {
            scope_refuse(scope, key, &origin, document_describe(node).text);
            return OK;
        }
        if (kind == KIND_POOLS) return set_pools(draft, key, document, node);
        return map ? set_pairs(scope, key, document, node) : set_texts(scope, key, document, node);
    }
    if (null) return scope_set_text(scope, key, &origin, "");
    const char *text = document_text(node);
    if (text != NULL) return scope_set_text(scope, key, &origin, text);
    scope_begin(scope, key, &origin);
    scope_refuse(scope, key, &origin, document_describe(node).text);
    return OK;
}

static void refuse_in_group(struct scope *scope, const struct origin *origin, const char *group,
                            const yaml_node_t *node, const char *wanted) {
    char known[SCHEMA_NAMES_BYTES];
    schema_list_names(scope->schema, group, known);
    report_mistake(scope->report, origin, scope->prefix, group, "%s is not %s, allowed here: %s",
                   document_describe(node).text, wanted, known);
}

/* One member of a group: a key or a smaller group. */
static enum outcome set_member(struct draft *draft, struct scope *scope, struct document *document,
                               const yaml_node_t *map, const yaml_node_pair_t *pair,
                               const char *group) {
    const yaml_node_t *name_node = pair_key(document, pair);
    const char *name = document_text(name_node);
    struct origin origin = document_origin(document, name_node), first;
    if (name == NULL) {
        refuse_in_group(scope, &origin, group, name_node, "a key");
        return OK;
    }
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", group, *group == '\0' ? "" : ".", name);
    if (strchr(name, '.') != NULL) {
        report_mistake(scope->report, &origin, scope->prefix, path,
                       "has a dot in it, allowed are maps within maps");
        return OK;
    }
    size_t key = schema_find(scope->schema, path);
    if (key == KEY_NONE && !schema_is_group(scope->schema, path)) {
        scope_refuse_unknown(scope, &origin, path);
        return OK;
    }
    if (find_duplicate(document, map, pair, &first)) {
        refuse_duplicate(scope, &origin, &first, path);
        return OK;
    }
    yaml_node_t *value = document_node(document, pair->value);
    if (key != KEY_NONE) return set_key(draft, scope, key, document, value);
    return tree_set_group(draft, scope, document, value, path);
}

enum outcome tree_set_group(struct draft *draft, struct scope *scope, struct document *document,
                            yaml_node_t *node, const char *group) {
    if (document_is_null(node)) return OK;
    if (node->type != YAML_MAPPING_NODE) {
        struct origin origin = document_origin(document, node);
        refuse_in_group(scope, &origin, group, node, "a map");
        return OK;
    }
    enum outcome outcome = OK;
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top && outcome == OK; pair++) {
        if (report_full(scope->report)) break;
        outcome = set_member(draft, scope, document, node, pair, group);
    }
    return outcome;
}

enum outcome tree_set_text(struct draft *draft, struct scope *scope, const char *path,
                           const struct origin *origin, const char *text) {
    size_t key = schema_find(scope->schema, path);
    if (key != KEY_NONE) {
        enum kind kind = scope->schema->keys[key].kind;
        if (kind != KIND_TEXTS && kind != KIND_PAIRS && kind != KIND_POOLS)
            return scope_set_text(scope, key, origin, text);
    }
    struct document document;
    enum outcome outcome =
        document_open(&document, scope->report, origin, scope->prefix, path, text, strlen(text));
    if (outcome == INVALID_REQUEST) {
        /* The report has it; checks across keys need to know. */
        if (key != KEY_NONE) scope_begin(scope, key, origin)->broken = true;
        return OK;
    }
    if (outcome != OK) return outcome;
    yaml_node_t *root = document_root(&document);
    outcome = key != KEY_NONE ? set_key(draft, scope, key, &document, root)
                              : tree_set_group(draft, scope, &document, root, path);
    document_close(&document);
    return outcome;
}

enum outcome tree_set_defaults(struct draft *draft, struct scope *scope) {
    static const struct origin origin = {.layer = LAYER_DEFAULT, .name = "defaults"};
    enum outcome outcome = OK;
    for (size_t i = 0; i < scope->schema->count && outcome == OK; i++) {
        const struct key *key = &scope->schema->keys[i];
        if (key->kind != KIND_POOLS)
            outcome = tree_set_text(draft, scope, key->path, &origin, key->standard);
    }
    return outcome;
}
