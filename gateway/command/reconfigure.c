#include "gateway/command/reconfigure.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/config/difference.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KEYS_BYTES 1024

/* A configuration and its pools in the form of the core. */
struct generation {
    struct generation *older;
    struct config *config;
    struct pool_options pools[];
};

struct reconfigure {
    struct gate *gate;
    const struct configuration *start;
    struct generation *kept;    /* newest first */
    struct generation *offered; /* the gate has it under way */
    struct gate_reloaded result;
    int ended;
    bool asked;
    uint64_t due_ns; /* the next one begins no sooner */
    uint64_t grace_ns, timeout_ns;
};

enum outcome reconfigure_open(struct reconfigure **out, struct gate *gate,
                              const struct configuration *start) {
    *out = NULL;
    struct reconfigure *reconfigure = calloc(1, sizeof *reconfigure);
    if (reconfigure == NULL) return MEMORY_EXHAUSTED;
    reconfigure->gate = gate;
    reconfigure->start = start;
    reconfigure->grace_ns = start->config->drain.grace_ns;
    reconfigure->timeout_ns = start->config->drain.timeout_ns;
    reconfigure->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (reconfigure->ended < 0) {
        free(reconfigure);
        return MEMORY_EXHAUSTED;
    }
    *out = reconfigure;
    return OK;
}

static void generation_free(struct generation *generation) {
    config_free(generation->config);
    free(generation);
}

void reconfigure_close(struct reconfigure *reconfigure) {
    if (reconfigure == NULL) return;
    if (reconfigure->offered != NULL) generation_free(reconfigure->offered);
    while (reconfigure->kept != NULL) {
        struct generation *generation = reconfigure->kept;
        reconfigure->kept = generation->older;
        generation_free(generation);
    }
    close(reconfigure->ended);
    free(reconfigure);
}

void reconfigure_ask(struct reconfigure *reconfigure) {
    reconfigure->asked = true;
}

uint64_t reconfigure_due_ns(const struct reconfigure *reconfigure) {
    bool waits = reconfigure->asked && reconfigure->offered == NULL;
    return waits ? reconfigure->due_ns : CLOCK_NEVER;
}

bool reconfigure_is_busy(const struct reconfigure *reconfigure) {
    return reconfigure->asked || reconfigure->offered != NULL;
}

int reconfigure_fd(const struct reconfigure *reconfigure) {
    return reconfigure->ended;
}

uint64_t reconfigure_grace_ns(const struct reconfigure *reconfigure) {
    return reconfigure->grace_ns;
}

uint64_t reconfigure_timeout_ns(const struct reconfigure *reconfigure) {
    return reconfigure->timeout_ns;
}

/* --- reading it again ----------------------------------------------------------------------------------- */

static void refuse(const char *text) {
    log_event(LOG_ERROR, "reload_refused", LOG_STR("text", text));
}

/* What the loader wrote, a line each: mistakes if it failed, else warnings. */
static void log_lines(char *text, bool refused) {
    for (char *line = text; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        bool last = *end == '\0';
        *end = '\0';
        if (refused)
            refuse(line);
        else
            log_event(LOG_WARN, "configuration", LOG_STR("text", line));
        line = last ? end : end + 1;
    }
}

/* Certificates are read again apart from this: one that is broken, or that only root can read, keeps no pool
 * from changing. */
static struct config *read_again(const struct configuration *start) {
    struct configuration again = *start;
    again.files_unseen = true;
    char *text = NULL;
    size_t bytes = 0;
    struct config *config = NULL;
    FILE *lines = open_memstream(&text, &bytes);
    enum outcome outcome = MEMORY_EXHAUSTED;
    if (lines != NULL) {
        outcome = configuration_read(&again, &config, lines);
        fclose(lines);
    }
    if (outcome == MEMORY_EXHAUSTED) refuse("out of memory");
    if (text != NULL) log_lines(text, outcome != OK);
    free(text);
    return config;
}

/* Takes the config. */
static struct generation *generation_new(struct config *config, const struct config *start) {
    struct generation *generation =
        calloc(1, sizeof *generation + config->pools_count * sizeof generation->pools[0]);
    if (generation == NULL) {
        refuse("out of memory");
        config_free(config);
        return NULL;
    }
    generation->config = config;
    for (size_t i = 0; i < config->pools_count; i++) {
        generation->pools[i] = config->pools[i].core;
        /* What comes of http.max_body is as fixed as that is. */
        generation->pools[i].max_reply_bytes = start->http.max_body;
    }
    return generation;
}

/* --- handing it over -------------------------------------------------------------------------------------- */

/* On the pool's loop. */
static void on_reloaded(void *owner, const struct gate_reloaded *result) {
    struct reconfigure *reconfigure = owner;
    reconfigure->result = *result;
    ssize_t written = write(reconfigure->ended, &(uint64_t){1}, sizeof(uint64_t));
    assert(written == sizeof(uint64_t));
}

void reconfigure_run(struct reconfigure *reconfigure, uint64_t now_ns) {
    if (reconfigure_due_ns(reconfigure) > now_ns) return;
    reconfigure->asked = false;
    reconfigure->due_ns = now_ns + RECONFIGURE_CALM_NS;
    struct config *config = read_again(reconfigure->start);
    if (config == NULL) return;
    struct generation *generation = generation_new(config, reconfigure->start->config);
    if (generation == NULL) return;
    reconfigure->offered = generation;
    gate_reload(reconfigure->gate, generation->pools, config->pools_count, on_reloaded,
                reconfigure);
}

static bool is_applied(const char *key) {
    static const char *const keys[] = {"drain.grace", "drain.timeout", "log.level"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0) return true;
    return false;
}

/* Compared with what the gateway was started with: that is what still holds. */
static void warn_of_others(const struct config *start, const struct config *config) {
    char text[KEYS_BYTES] = "";
    size_t cursor = 0, used = 0;
    const char *key;
    while ((key = difference_next(start, config, &cursor)) != NULL && used < sizeof text) {
        if (is_applied(key)) continue;
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "", key);
    }
    if (used > 0) log_event(LOG_WARN, "reload_needs_restart", LOG_STR("keys", text));
}

static void take_up(struct reconfigure *reconfigure, const struct config *config) {
    const struct gate_reloaded *result = &reconfigure->result;
    reconfigure->grace_ns = config->drain.grace_ns;
    reconfigure->timeout_ns = config->drain.timeout_ns;
    log_set_level(config->log.level);
    warn_of_others(reconfigure->start->config, config);
    log_event(LOG_INFO, "reloaded", LOG_UINT("added", result->added),
              LOG_UINT("changed", result->changed), LOG_UINT("removed", result->removed),
              LOG_UINT("unchanged", result->unchanged), LOG_UINT("restarted", result->restarted));
}

void reconfigure_conclude(struct reconfigure *reconfigure) {
    uint64_t count;
    struct generation *generation = reconfigure->offered;
    if (read(reconfigure->ended, &count, sizeof count) != sizeof count) return;
    assert(generation != NULL);
    reconfigure->offered = NULL;
    if (reconfigure->result.outcome == OK)
        take_up(reconfigure, generation->config);
    else
        refuse(reconfigure->result.outcome == QUEUE_FULL
                   ? "too many pools of earlier configurations are still ending"
                   : outcome_title(reconfigure->result.outcome));
    if (reconfigure->result.kept) {
        generation->older = reconfigure->kept;
        reconfigure->kept = generation;
    } else {
        generation_free(generation);
    }
}
