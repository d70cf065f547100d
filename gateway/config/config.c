#include "gateway/config/config.h"

#include "gateway/config/document.h"
#include "gateway/config/environment.h"
#include "gateway/config/override.h"
#include "gateway/config/rules.h"
#include "gateway/config/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MOST ((size_t)1024 * 1024)

/* What a caller sees, and the memory that all of it points into. */
struct owned_config {
    struct config config; /* first: config_free finds the rest */
    struct arena arena;
};

static const char built_in[] =
    "pools: [{name: embed, capability: text-embedding, worker: {plugin: embed}}]";

void config_free(struct config *config) {
    if (config == NULL) return;
    struct owned_config *owned = (struct owned_config *)config;
    arena_free(&owned->arena);
    free(owned);
}

static enum outcome apply_yaml(struct draft *draft, const struct origin *origin, const char *text,
                               size_t bytes) {
    struct document document;
    enum outcome outcome =
        document_open(&document, draft->scope.report, origin, "", "configuration", text, bytes);
    if (outcome != OK) return outcome;
    yaml_node_t *root = document_root(&document);
    outcome = tree_set_group(draft, &draft->scope, &document, root, "");
    bool map = root->type == YAML_MAPPING_NODE || document_is_null(root);
    document_close(&document);
    return outcome == OK && !map ? INVALID_REQUEST : outcome;
}

static void refuse_file(struct draft *draft, const struct origin *origin, const char *what) {
    report_mistake(draft->scope.report, origin, "", "configuration",
                   "%s, allowed is a readable file of at most 1MiB", what);
}

/* Reads one byte more than allowed, to see that there is more. 0 or an errno. */
static int read_all(const char *name, char *text, size_t *bytes) {
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return errno;
    ssize_t got;
    *bytes = 0;
    do {
        got = read(file, text + *bytes, FILE_BYTES_MOST + 1 - *bytes);
        if (got > 0) *bytes += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    int failure = got < 0 ? errno : 0;
    close(file);
    return failure;
}

static enum outcome read_file(struct draft *draft, const struct origin *origin, char *text,
                              size_t *bytes) {
    int failure = read_all(origin->name, text, bytes);
    if (failure == 0 && *bytes <= FILE_BYTES_MOST) return OK;
    refuse_file(draft, origin, failure != 0 ? strerror(failure) : "is too large");
    return INVALID_REQUEST;
}

static enum outcome apply_file(struct draft *draft, const struct origin *origin) {
    if (origin->layer == LAYER_DEFAULT)
        return apply_yaml(draft, origin, built_in, sizeof built_in - 1);
    size_t bytes = 0;
    char *text = malloc(FILE_BYTES_MOST + 1);
    if (text == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = read_file(draft, origin, text, &bytes);
    if (outcome == OK) outcome = apply_yaml(draft, origin, text, bytes);
    free(text);
    return outcome;
}

/* INVALID_REQUEST ends it early only when the file as a whole cannot be used: then nothing is known
 * about the pools that the environment and --set refer to. */
static enum outcome apply_layers(struct draft *draft, const struct config_source *source,
                                 const struct origin *origin) {
    enum outcome outcome = tree_set_defaults(draft, &draft->scope);
    if (outcome == OK) outcome = apply_file(draft, origin);
    if (outcome == OK) outcome = environment_apply(draft, source->environment);
    if (outcome == OK) outcome = override_apply_settings(draft, source->settings);
    if (outcome != OK) return outcome;
    rules_check(draft, source->allow_chaos);
    if (!source->files_unseen) rules_check_files(draft);
    if (draft->scope.report->mistakes > 0) return INVALID_REQUEST;
    outcome = rules_derive(draft);
    return outcome == OK ? draft_finish(draft) : outcome;
}

enum outcome config_load(struct config **out, const struct config_source *source, FILE *errors) {
    *out = NULL;
    struct owned_config *owned = calloc(1, sizeof *owned);
    if (owned == NULL) return MEMORY_EXHAUSTED;
    struct origin origin = {.layer = LAYER_DEFAULT, .name = "defaults"};
    if (source->file != NULL)
        origin = (struct origin){.layer = LAYER_FILE, .name = source->file, .line = 1};

    struct report report = {.stream = errors};
    struct draft draft;
    enum outcome outcome = draft_open(&draft, &owned->config, &owned->arena, &report, &origin);
    if (outcome == OK) outcome = apply_layers(&draft, source, &origin);
    if (outcome == OK)
        *out = &owned->config;
    else
        config_free(&owned->config);
    return outcome;
}
