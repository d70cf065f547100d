#include "core/transport/launch.h"

#include "core/transport/topology.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_DIGITS 10

struct launch_facts {
    const struct pool_options *pool;
    uint32_t slot;
    const char *worker_program, *plugin_folder;
    struct placement placement;
};

/* A NULL-terminated vector that grows by formatted texts. */
struct texts {
    char **items;
    size_t count;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void add(struct texts *texts, const char *format,
                                                      ...) {
    char **items = realloc(texts->items, (texts->count + 2) * sizeof *items);
    if (items == NULL) {
        texts->failed = true;
        return;
    }
    texts->items = items;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&items[texts->count], format, arguments) < 0) {
        items[texts->count] = NULL;
        texts->failed = true;
    } else {
        items[++texts->count] = NULL;
    }
    va_end(arguments);
}

static void add_place(struct texts *texts, const struct placement *placement) {
    if (placement->cpu >= 0) {
        add(texts, "--cpus");
        add(texts, "%d", placement->cpu);
    }
    if (placement->node >= 0) {
        add(texts, "--node");
        add(texts, "%d", placement->node);
    }
}

static void add_chaos(struct texts *texts, const char *chaos) {
    if (chaos == NULL || *chaos == '\0') return;
    add(texts, "--chaos");
    add(texts, "%s", chaos);
    add(texts, "--run");
    add(texts, "%0*u", RUN_DIGITS, 0u);
}

static struct texts make_arguments(const struct launch_facts *facts) {
    const struct worker_options *worker = &facts->pool->worker;
    struct texts texts = {0};
    add(&texts, "%s", facts->worker_program);
    add(&texts, "--pool");
    add(&texts, "%s", facts->pool->name);
    add(&texts, "--slot");
    add(&texts, "%u", facts->slot);
    add(&texts, "--parent");
    add(&texts, "%d", (int)getpid());
    add_place(&texts, &facts->placement);
    if (worker->plugin != NULL) {
        add_chaos(&texts, facts->pool->chaos);
        add(&texts, "--plugin");
        add(&texts, "%s/%s.so", facts->plugin_folder, worker->plugin);
        add(&texts, "--rings");
        return texts;
    }
    add(&texts, "--");
    for (const char *const *word = worker->command; *word != NULL; word++) add(&texts, "%s", *word);
    return texts;
}

static bool is_set(const struct worker_options *worker, const char *name) {
    for (size_t i = 0; i < worker->env_set_count; i++)
        if (strcmp(worker->env_set[i].name, name) == 0) return true;
    return false;
}

static struct texts make_environment(const struct launch_facts *facts) {
    const struct worker_options *worker = &facts->pool->worker;
    struct texts texts = {0};
    add(&texts, "POOLGATE_FD=3");
    add(&texts, "POOLGATE_SLOT=%s/%u", facts->pool->name, facts->slot);
    for (size_t i = 0; i < worker->env_pass_count; i++) {
        const char *name = worker->env_pass[i], *value = getenv(name);
        if (value != NULL && !is_set(worker, name)) add(&texts, "%s=%s", name, value);
    }
    for (size_t i = 0; i < worker->env_set_count; i++)
        add(&texts, "%s=%s", worker->env_set[i].name, worker->env_set[i].value);
    return texts;
}

void launch_count(struct launch *launch) {
    launch->runs++;
    for (char **word = launch->arguments; *word != NULL && strcmp(*word, "--") != 0; word++)
        if (strcmp(*word, "--run") == 0)
            snprintf(word[1], RUN_DIGITS + 1, "%0*u", RUN_DIGITS, launch->runs);
}

static void free_texts(char **texts) {
    for (char **text = texts; text != NULL && *text != NULL; text++) free(*text);
    free(texts);
}

void launch_free(struct launch *launch) {
    free_texts(launch->arguments);
    free_texts(launch->environment);
    *launch = (struct launch){0};
}

enum outcome launch_make(struct launch *out, const struct pool_options *pool, uint32_t slot,
                         const char *worker_program, const char *plugin_folder) {
    *out = (struct launch){0};
    struct launch_facts facts = {.pool = pool,
                                 .slot = slot,
                                 .worker_program = worker_program,
                                 .plugin_folder = plugin_folder};
    enum outcome outcome = topology_place(&facts.placement, pool, slot);
    if (outcome != OK) return outcome;
    struct texts arguments = make_arguments(&facts), environment = make_environment(&facts);
    *out = (struct launch){.arguments = arguments.items, .environment = environment.items};
    if (!arguments.failed && !environment.failed) return OK;
    launch_free(out);
    return MEMORY_EXHAUSTED;
}
