#include "gateway/config/rules.h"

#include "core/policy/chaos.h"
#include "gateway/config/tls_rules.h"
#include "gateway/keys/key_file.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING ", allowed is nothing"

/* A value that is understood but cannot be had: it would be unsafe to go on as if it were not
 * there. One row each; the row goes when the feature comes. */
static const struct unavailable {
    const struct schema *schema;
    const char *path;
    const char *value; /* NULL: anything but nothing */
    const char *why;
} unavailable[] = {
    {&schema_pool, "sandbox", "strict", "is not available in this version, allowed is standard"},
};

static void blame(const struct scope *scope, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The line is where the key was set, or where its scope begins when it was not. */
static void blame(const struct scope *scope, const char *path, const char *format, ...) {
    const struct setting *setting = scope_setting(scope, path);
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report_mistake(scope->report, setting->given ? &setting->origin : &scope->origin, scope->prefix,
                   path, "%s", text);
}

/* Who said the last word of the two is to blame when they do not fit. */
static const char *later(const struct scope *scope, const char *a, const char *b) {
    return scope_setting(scope, b)->origin.layer > scope_setting(scope, a)->origin.layer ? b : a;
}

static bool is_sound(const struct scope *scope, const char *path) {
    return !scope_setting(scope, path)->broken;
}

static void expect_order(const struct scope *scope, const char *small_path, uint64_t small,
                         const char *large_path, uint64_t large) {
    if (small <= large || !is_sound(scope, small_path) || !is_sound(scope, large_path)) return;
    blame(scope, later(scope, small_path, large_path),
          "%s (%s) is above %s (%s), allowed is at most the same", small_path,
          scope_setting(scope, small_path)->text, large_path,
          scope_setting(scope, large_path)->text);
}

static void check_available(const struct scope *scope) {
    for (size_t i = 0; i < sizeof unavailable / sizeof unavailable[0]; i++) {
        const struct unavailable *row = &unavailable[i];
        if (row->schema != scope->schema || !is_sound(scope, row->path)) continue;
        const char *text = scope_setting(scope, row->path)->text;
        bool asked = row->value != NULL ? strcmp(text, row->value) == 0 : *text != '\0';
        if (!asked) continue;
        blame(scope, row->path, "%s%s%s", row->value != NULL ? row->value : "",
              row->value != NULL ? " " : "", row->why);
    }
}

static void check_door(const struct draft *draft, const char *path,
                       const struct listen_address *listen) {
    const struct config *config = draft->config;
    const struct scope *scope = &draft->scope;
    if (listen->text == NULL || listen->loopback || !is_sound(scope, path)) return;
    if (config->auth.allow_anonymous || config->auth.keys_file != NULL) return;
    if (!is_sound(scope, "auth.allow_anonymous") || !is_sound(scope, "auth.keys_file")) return;
    blame(scope, path,
          "%s can be reached from other machines and nobody would be asked for a key, allowed is a "
          "loopback address, auth.keys_file, or auth.allow_anonymous: true",
          listen->text);
}

static bool same_place(const struct listen_address *a, const struct listen_address *b) {
    return a->port != 0 && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void check_admin(const struct draft *draft) {
    const struct config *config = draft->config;
    const struct scope *scope = &draft->scope;
    const struct listen_address *admin = &config->admin.listen;
    if (admin->text == NULL || !is_sound(scope, "admin.listen")) return;
    if (!admin->loopback)
        blame(scope, "admin.listen",
              "%s can be reached from other machines, allowed is a loopback address", admin->text);
    if ((is_sound(scope, "http.listen") && same_place(admin, &config->http.listen)) ||
        (is_sound(scope, "grpc.listen") && same_place(admin, &config->grpc.listen)))
        blame(scope, "admin.listen", "%s is taken by clients, allowed is an address of its own",
              admin->text);
}

static void check_doors(const struct draft *draft) {
    const struct config *config = draft->config;
    const struct scope *scope = &draft->scope;
    const struct listen_address *http = &config->http.listen, *grpc = &config->grpc.listen;
    check_door(draft, "http.listen", http);
    check_door(draft, "grpc.listen", grpc);
    check_admin(draft);
    if (!is_sound(scope, "http.listen") || !is_sound(scope, "grpc.listen")) return;
    if (!same_place(http, grpc)) return;
    blame(scope, later(scope, "grpc.listen", "http.listen"),
          "HTTP and gRPC are both at %s, allowed is an address of its own for each", grpc->text);
}

static void check_worker(const struct pool_draft *pool) {
    const struct scope *scope = &pool->scope;
    const struct worker_options *worker = &pool->config.core.worker;
    bool command = worker->command != NULL && worker->command[0] != NULL;
    bool plugin = worker->plugin != NULL;
    if (!is_sound(scope, "worker.plugin") || !is_sound(scope, "worker.command")) return;
    if (plugin && command)
        blame(scope, later(scope, "worker.command", "worker.plugin"),
              "a plugin and a command are given, allowed is exactly one of worker.plugin and "
              "worker.command");
    if (!plugin && !command)
        blame(scope, "worker.plugin",
              "is missing, allowed is exactly one of worker.plugin and worker.command");
    if (command && worker->command[0][0] == '\0')
        blame(scope, "worker.command", "begins with an empty text, allowed is a program");
    if (command && pool->config.core.isolation == ISOLATION_THREAD)
        blame(scope, later(scope, "isolation", "worker.command"),
              "a command cannot be a thread, allowed is isolation: process, or a plugin");
}

static void check_name(const struct draft *draft, const struct pool_draft *pool) {
    const struct scope *scope = &pool->scope;
    const char *name = pool->config.core.name;
    if (!is_sound(scope, "name")) return;
    if (name == NULL) {
        blame(scope, "name", "is missing, allowed is 1 to 63 characters of a-z, 0-9 and -");
    } else if (draft_find_pool(draft, name, strlen(name)) != pool) {
        blame(scope, "name", "an earlier pool has this name, allowed is a name of its own");
    }
}

static bool parse_weight(const char *text, uint32_t *weight) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 4 || text[digits] != '\0') return false;
    *weight = (uint32_t)strtoul(text, NULL, 10);
    return *weight >= 1 && *weight <= TENANT_WEIGHT_MOST;
}

static void check_weights(const struct pool_draft *pool) {
    const struct scope *scope = &pool->scope;
    uint32_t weight;
    if (!is_sound(scope, "queue.weights")) return;
    for (size_t i = 0; i < pool->config.weights_count; i++) {
        const struct pair *pair = &pool->config.weights[i];
        if (!parse_weight(pair->value, &weight))
            blame(scope, "queue.weights",
                  "%s for %s is no weight, allowed is a whole number from 1 to %d",
                  report_quote(pair->value).text, report_quote(pair->name).text,
                  TENANT_WEIGHT_MOST);
    }
}

static void check_pool(const struct draft *draft, const struct pool_draft *pool) {
    const struct pool_options *core = &pool->config.core;
    const struct scope *scope = &pool->scope;
    check_name(draft, pool);
    check_worker(pool);
    check_weights(pool);
    expect_order(scope, "slots.min", core->slots_min, "slots.max", core->slots_max);
    expect_order(scope, "timeouts.request", core->timeouts.request_ns, "timeouts.max",
                 core->timeouts.max_ns);
    check_available(scope);
}

static void blame_chaos(const struct scope *scope, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One entry of the map. */
static void blame_chaos(const struct scope *scope, const char *name, const char *format, ...) {
    char path[KEY_BYTES + 8], text[CHAOS_ERROR_BYTES];
    snprintf(path, sizeof path, "chaos.%s", name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report_mistake(scope->report, &scope_setting(scope, "chaos")->origin, scope->prefix, path, "%s",
                   text);
}

/* What befalls a thread befalls the gateway. */
static void check_thread_chaos(const struct scope *scope, const char *name,
                               const struct chaos_options *chaos) {
    for (int i = 0; i < CHAOS_NONE; i++) {
        if (i == CHAOS_DELAY || i == CHAOS_SLOW_LOAD || chaos->faults[i].rate == 0) continue;
        blame_chaos(scope, name,
                    "%s would take the gateway along, allowed with isolation: thread are delay and "
                    "slow-load",
                    chaos_name((enum chaos_fault)i));
    }
}

/* "seed=42 ", or nothing where the pool's faults name a seed of their own. */
static const char *seed_of(const struct config *config, const struct chaos_options *own) {
    for (size_t i = 0; i < config->chaos_count && !own->seeded; i++)
        if (strcmp(config->chaos[i].name, "seed") == 0) return config->chaos[i].value;
    return NULL;
}

static void check_faults(const struct draft *draft, const struct pair *faults) {
    const struct scope *scope = &draft->scope;
    const struct pool_draft *pool = draft_find_pool(draft, faults->name, strlen(faults->name));
    struct chaos_options chaos;
    char error[CHAOS_ERROR_BYTES];
    if (pool == NULL)
        blame_chaos(scope, faults->name,
                    "there is no such pool, allowed are seed and the names of pools");
    else if (chaos_parse(&chaos, faults->value, error) != OK)
        blame_chaos(scope, faults->name, "%s", error);
    else if (pool->config.core.worker.plugin == NULL)
        blame_chaos(scope, faults->name,
                    "a command does not inject faults, allowed are pools with a plugin");
    else if (pool->config.core.isolation == ISOLATION_THREAD)
        check_thread_chaos(scope, faults->name, &chaos);
}

static void check_chaos(const struct draft *draft, bool allowed) {
    const struct config *config = draft->config;
    if (config->chaos_count > 0 && !allowed) {
        blame(&draft->scope, "chaos",
              "faults are asked for, allowed is nothing without --allow-chaos");
        return;
    }
    for (size_t i = 0; i < config->chaos_count; i++) {
        const char *value = config->chaos[i].value;
        size_t digits = strspn(value, "0123456789");
        if (strcmp(config->chaos[i].name, "seed") != 0)
            check_faults(draft, &config->chaos[i]);
        else if (digits == 0 || digits > 18 || value[digits] != '\0')
            blame_chaos(&draft->scope, "seed",
                        "%s is not a seed, allowed is a whole number of at most 18 digits",
                        report_quote(value).text);
    }
}

void rules_check_files(struct draft *draft) {
    tls_rules_check_files(draft);
    const char *path = draft->config->auth.keys_file;
    char error[KEY_ERROR_BYTES];
    struct keys *keys;
    if (path == NULL || !is_sound(&draft->scope, "auth.keys_file")) return;
    enum outcome outcome = key_file_read(&keys, path, error);
    keys_free(keys);
    if (outcome == OK) return;
    blame(&draft->scope, "auth.keys_file", "%s: %s (`poolgate key add` makes one that fits)",
          report_quote(path).text, outcome == MEMORY_EXHAUSTED ? "out of memory" : error);
}

void rules_check(struct draft *draft, bool allow_chaos) {
    const struct config *config = draft->config;
    const struct scope *scope = &draft->scope;
    check_doors(draft);
    tls_rules_check(draft);
    expect_order(scope, "drain.grace", config->drain.grace_ns, "drain.timeout",
                 config->drain.timeout_ns);
    check_chaos(draft, allow_chaos);
    if (scope_setting(scope, "pools")->origin.name == NULL)
        blame(scope, "pools", "is missing, allowed is a list of at least one pool");
    check_available(scope);
    for (size_t i = 0; i < draft->pools_count; i++) check_pool(draft, draft->pools[i]);
}

static enum outcome derive_chaos(struct draft *draft, const struct pair *faults) {
    struct chaos_options own;
    char error[CHAOS_ERROR_BYTES];
    enum outcome sound = chaos_parse(&own, faults->value, error);
    assert(sound == OK); /* it was checked */
    const char *seed = seed_of(draft->config, &own);
    size_t bytes = strlen(faults->value) + (seed != NULL ? strlen(seed) : 0) + sizeof "seed= ";
    char *text = arena_take(draft->scope.arena, bytes);
    if (text == NULL) return MEMORY_EXHAUSTED;
    snprintf(text, bytes, "%s%s%s%s", seed != NULL ? "seed=" : "", seed != NULL ? seed : "",
             seed != NULL ? " " : "", faults->value);
    draft_find_pool(draft, faults->name, strlen(faults->name))->config.core.chaos = text;
    return OK;
}

static enum outcome derive_weights(struct draft *draft, struct pool_config *pool) {
    if (pool->weights_count == 0) return OK;
    struct tenant_weight *weights =
        arena_take(draft->scope.arena, pool->weights_count * sizeof *weights);
    if (weights == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < pool->weights_count; i++) {
        weights[i].tenant = pool->weights[i].name;
        bool sound = parse_weight(pool->weights[i].value, &weights[i].weight);
        assert(sound); /* it was checked */
    }
    pool->core.queue.weights = weights;
    pool->core.queue.weights_count = pool->weights_count;
    return OK;
}

enum outcome rules_derive(struct draft *draft) {
    enum outcome outcome = OK;
    if (!scope_setting(&draft->scope, "http.guard")->given && !draft->config->http.listen.loopback)
        draft->config->http.guard = GUARD_STRICT;
    for (size_t i = 0; i < draft->pools_count; i++) {
        struct pool_config *pool = &draft->pools[i]->config;
        struct pool_options *core = &pool->core;
        uint64_t reserve = (uint64_t)core->queue.capacity * pool->reserve_percent / 100;
        if (reserve == 0 && pool->reserve_percent > 0) reserve = 1;
        core->queue.reserve = (uint32_t)reserve;
        core->max_reply_bytes = draft->config->http.max_body;
        /* An empty list is no command. */
        if (core->worker.command != NULL && core->worker.command[0] == NULL)
            core->worker.command = NULL;
        if (outcome == OK) outcome = derive_weights(draft, pool);
    }
    const struct config *config = draft->config;
    for (size_t i = 0; i < config->chaos_count && outcome == OK; i++)
        if (strcmp(config->chaos[i].name, "seed") != 0)
            outcome = derive_chaos(draft, &config->chaos[i]);
    return outcome;
}
