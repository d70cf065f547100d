#include "gateway/config/scope.h"

#include "core/base/request.h"
#include "gateway/config/nearest.h"
#include "gateway/config/value.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum outcome scope_open(struct scope *scope, const struct schema *schema, void *target) {
    scope->schema = schema;
    scope->target = target;
    scope->settings = arena_take(scope->arena, schema->count * sizeof *scope->settings);
    return scope->settings != NULL ? OK : MEMORY_EXHAUSTED;
}

struct setting *scope_begin(struct scope *scope, size_t key, const struct origin *origin) {
    struct setting *setting = &scope->settings[key];
    *setting =
        (struct setting){.origin = *origin, .text = "", .given = origin->layer != LAYER_DEFAULT};
    return setting;
}

static void store(struct scope *scope, size_t offset, const void *member, size_t bytes) {
    memcpy((char *)scope->target + offset, member, bytes);
}

static void store_array(struct scope *scope, size_t key, const void *array, size_t bytes,
                        size_t count) {
    const struct key *at = &scope->schema->keys[key];
    store(scope, at->offset, array, bytes);
    if (at->count_offset != NO_COUNT) store(scope, at->count_offset, &count, sizeof count);
    if (count > 0) scope->settings[key].text = "...";
}

void scope_set_texts(struct scope *scope, size_t key, char **items, size_t count) {
    store_array(scope, key, &items, sizeof items, count);
}

void scope_set_pairs(struct scope *scope, size_t key, struct pair *pairs, size_t count) {
    store_array(scope, key, &pairs, sizeof pairs, count);
}

void scope_mistake(struct scope *scope, size_t key, const struct origin *origin, const char *what) {
    const struct key *at = &scope->schema->keys[key];
    char allowed[VALUE_ALLOWED_BYTES];
    value_allowed(at, allowed);
    report_mistake(scope->report, origin, scope->prefix, at->path, "%s, allowed is %s", what,
                   allowed);
    scope->settings[key].broken = true;
}

void scope_refuse(struct scope *scope, size_t key, const struct origin *origin, const char *what) {
    char text[160];
    snprintf(text, sizeof text, "%s is not %s", what, value_noun(scope->schema->keys[key].kind));
    scope_mistake(scope, key, origin, text);
}

void scope_refuse_item(struct scope *scope, size_t key, const struct origin *origin,
                       const char *what) {
    char text[160];
    bool map = scope->schema->keys[key].kind == KIND_PAIRS;
    snprintf(text, sizeof text, "%s does not fit into the %s", what, map ? "map" : "list");
    scope_mistake(scope, key, origin, text);
}

static void refuse_text(struct scope *scope, size_t key, const struct origin *origin,
                        const char *text, enum verdict verdict) {
    struct quoted quoted = report_quote(text);
    char what[160];
    if (verdict == VALUE_WRONG) {
        scope_refuse(scope, key, origin, quoted.text);
    } else {
        snprintf(what, sizeof what, "%s is out of range", quoted.text);
        scope_mistake(scope, key, origin, what);
    }
}

enum outcome scope_set_text(struct scope *scope, size_t key, const struct origin *origin,
                            const char *text) {
    const struct key *at = &scope->schema->keys[key];
    struct setting *setting = scope_begin(scope, key, origin);
    if (*text == '\0' && at->empty == EMPTY_WRONG) {
        /* A required key has no default. */
        if (origin->layer != LAYER_DEFAULT) scope_mistake(scope, key, origin, "is empty");
        return OK;
    }
    char *copy = arena_text(scope->arena, text, strlen(text));
    if (copy == NULL) return MEMORY_EXHAUSTED;
    setting->text = copy;

    union value value;
    memset(&value, 0, sizeof value);
    enum verdict verdict = VALUE_FITS;
    if (*text != '\0')
        verdict = value_parse(at, copy, &value);
    else if (at->empty == EMPTY_TEXT)
        value.text = copy;
    if (verdict == VALUE_FITS)
        store(scope, at->offset, &value, value_bytes(at->kind));
    else
        refuse_text(scope, key, origin, text, verdict);
    return OK;
}

enum outcome scope_set_pair(struct scope *scope, size_t key, const struct origin *origin,
                            const char *path, const char *value) {
    const struct key *at = &scope->schema->keys[key];
    const char *name = path + strlen(at->path) + 1;
    struct pair *old;
    size_t count;
    memcpy(&old, (char *)scope->target + at->offset, sizeof old);
    memcpy(&count, (char *)scope->target + at->count_offset, sizeof count);
    scope_begin(scope, key, origin);
    if (*name == '\0' || (at->fits != NULL && !at->fits(name))) {
        scope_refuse_item(scope, key, origin, report_quote(name).text);
        return OK;
    }
    struct pair *pairs = arena_take(scope->arena, (count + 1) * sizeof *pairs);
    char *name_copy = arena_text(scope->arena, name, strlen(name));
    char *value_copy = arena_text(scope->arena, value, strlen(value));
    if (pairs == NULL || name_copy == NULL || value_copy == NULL) return MEMORY_EXHAUSTED;

    size_t place = 0;
    for (size_t i = 0; i < count; i++) pairs[i] = old[i];
    while (place < count && strcmp(pairs[place].name, name) != 0) place++;
    pairs[place] = (struct pair){.name = name_copy, .value = value_copy};
    scope_set_pairs(scope, key, pairs, place < count ? count : count + 1);
    return OK;
}

/* Splits path behind the longest group that leads to it. */
static const char *split_group(const struct schema *schema, const char *path,
                               char group[KEY_BYTES]) {
    const char *rest = path;
    group[0] = '\0';
    for (const char *dot = strchr(path, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        char longer[KEY_BYTES];
        size_t bytes = (size_t)(dot - path);
        if (bytes >= sizeof longer) break;
        memcpy(longer, path, bytes);
        longer[bytes] = '\0';
        if (!schema_is_group(schema, longer)) break;
        memcpy(group, longer, bytes + 1);
        rest = dot + 1;
    }
    return rest;
}

void scope_refuse_unknown(struct scope *scope, const struct origin *origin, const char *path) {
    char group[KEY_BYTES], name[KEY_BYTES], known[SCHEMA_NAMES_BYTES];
    char meant[NEAREST_BYTES + 32] = "";
    const char *rest = split_group(scope->schema, path, group);
    struct nearest nearest;
    nearest_open(&nearest, rest, strcspn(rest, "."));
    for (size_t cursor = 0; schema_next_name(scope->schema, group, &cursor, name);)
        nearest_offer(&nearest, name);
    if (nearest.best[0] != '\0') snprintf(meant, sizeof meant, " (did you mean %s?)", nearest.best);
    schema_list_names(scope->schema, group, known);
    report_mistake(scope->report, origin, scope->prefix, path, "unknown key%s, allowed here: %s",
                   meant, known);
}

const struct setting *scope_setting(const struct scope *scope, const char *path) {
    size_t key = schema_find(scope->schema, path);
    assert(key != KEY_NONE);
    return &scope->settings[key];
}
