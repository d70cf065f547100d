#include "gateway/config/environment.h"

#include "gateway/config/nearest.h"
#include "gateway/config/override.h"

#include <stdio.h>
#include <string.h>

#define OURS        "POOLGATE_"
#define PATH_BYTES  160
#define DEPTH_BELOW 6 /* pools.ocr.queue.batch.max has four dots */

struct variable {
    const char *name, *value;
};

/* The keys that a variable may mean. A key's and a pool's name contain '_' or '-' themselves, so
 * every known key is spelled as a variable and compared. */
struct match {
    const char *name;
    char path[PATH_BYTES], other[PATH_BYTES]; /* "" while there is none */
    struct nearest nearest;                   /* looks for nothing until it is opened */
};

static void spell(const char *path, char variable[PATH_BYTES]) {
    size_t bytes = (size_t)snprintf(variable, PATH_BYTES, OURS "%s", path);
    for (size_t i = 0; i < bytes && i < PATH_BYTES; i++) {
        char letter = variable[i];
        if (letter >= 'a' && letter <= 'z')
            variable[i] = (char)(letter - 'a' + 'A');
        else if (letter == '.' || letter == '-')
            variable[i] = '_';
    }
}

static void offer(struct match *match, const char *path) {
    char variable[PATH_BYTES];
    spell(path, variable);
    nearest_offer(&match->nearest, variable + strlen(OURS));
    if (strcmp(variable, match->name) != 0 || strcmp(path, match->path) == 0) return;
    char *place = match->path[0] == '\0' ? match->path : match->other;
    snprintf(place, PATH_BYTES, "%s", path);
}

/* The keys of a scope and, before its first member, each group. */
static void offer_scope(struct match *match, const struct scope *scope) {
    const struct schema *schema = scope->schema;
    for (size_t i = 0; i < schema->count; i++) {
        const char *path = schema->keys[i].path, *before = i == 0 ? "" : schema->keys[i - 1].path;
        for (const char *end = path; *end != '\0';) {
            end += strcspn(end + 1, ".") + 1;
            size_t bytes = (size_t)(end - path);
            bool group = *end == '.';
            if (group && strncmp(before, path, bytes + 1) == 0) continue;
            char candidate[PATH_BYTES];
            snprintf(candidate, sizeof candidate, "%s%.*s", scope->prefix, (int)bytes, path);
            offer(match, candidate);
        }
    }
}

static void offer_all(struct match *match, const struct draft *draft) {
    offer_scope(match, &draft->scope);
    for (size_t i = 0; i < draft->pools_count; i++) {
        const char *pool = draft->pools[i]->config.core.name;
        char path[PATH_BYTES];
        if (pool == NULL) continue;
        snprintf(path, sizeof path, OVERRIDE_POOLS "%s", pool);
        offer(match, path);
        offer_scope(match, &draft->pools[i]->scope);
    }
}

static size_t depth(const char *path) {
    size_t dots = 0;
    for (; *path != '\0'; path++) dots += *path == '.';
    return dots;
}

static enum outcome apply(struct draft *draft, const struct variable *variable,
                          const struct match *match) {
    struct origin origin = {.layer = LAYER_ENVIRONMENT, .name = variable->name};
    if (match->other[0] == '\0')
        return override_apply(draft, &origin, match->path, variable->value);
    report_mistake(draft->scope.report, &origin, "", match->path,
                   "could be %s as well, allowed is to say it with --set", match->other);
    return OK;
}

static void warn(struct draft *draft, const struct variable *variable, struct match *match) {
    const char *name = variable->name + strlen(OURS);
    nearest_open(&match->nearest, name, strlen(name));
    offer_all(match, draft);
    bool near = match->nearest.best[0] != '\0';
    report_warning(draft->scope.report, "environment %s: names no key and is ignored%s%s%s",
                   variable->name, near ? ", did you mean " OURS : "", match->nearest.best,
                   near ? "?" : "");
}

/* Takes "POOLGATE_NAME=value" apart; name NULL: it is not for the configuration. */
static enum outcome read_variable(struct arena *arena, const char *text,
                                  struct variable *variable) {
    /* The command line's own, and what a slot is told. */
    static const char *const others[] = {OURS "URL", OURS "SLOT", OURS "KEY"};
    *variable = (struct variable){.name = NULL};
    const char *equals = strchr(text, '=');
    if (equals == NULL || strncmp(text, OURS, strlen(OURS)) != 0) return OK;
    char *name = arena_text(arena, text, (size_t)(equals - text));
    if (name == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(name, others[i]) == 0) return OK;
    }
    *variable = (struct variable){.name = name, .value = equals + 1};
    return OK;
}

/* The whole before its parts, however the environment is ordered: POOLGATE_POOLS makes the pools
 * that POOLGATE_POOLS_OCR_SLOTS_MAX then refers to. */
enum outcome environment_apply(struct draft *draft, const char *const *environment) {
    for (size_t level = 0; level <= DEPTH_BELOW; level++) {
        for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
            struct variable variable;
            enum outcome outcome = read_variable(draft->scope.arena, environment[i], &variable);
            if (outcome != OK) return outcome;
            if (variable.name == NULL) continue;
            struct match match = {.name = variable.name};
            offer_all(&match, draft);
            bool known = match.path[0] != '\0';
            if (known && depth(match.path) == level)
                outcome = apply(draft, &variable, &match);
            else if (!known && level == DEPTH_BELOW)
                warn(draft, &variable, &match);
            if (outcome != OK) return outcome;
        }
    }
    return OK;
}
