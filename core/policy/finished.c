#include "core/policy/finished.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static_assert(sizeof(void *) != 8 || sizeof(struct finished_request) == 112,
              "two cache lines are enough for most");

/* What is searched lies apart and close together. */
struct finished {
    uint64_t ids[FINISHED_REQUESTS], hashes[FINISHED_REQUESTS];
    struct finished_request records[FINISHED_REQUESTS];
    uint64_t added;
};

enum outcome finished_open(struct finished **out) {
    *out = malloc(sizeof **out);
    if (*out == NULL) return MEMORY_EXHAUSTED;
    memset(*out, 0, sizeof **out); /* its pages exist from now on */
    return OK;
}

static void forget(struct finished_request *record) {
    if (record->spilled) free(record->names.block);
    record->spilled = false;
}

void finished_free(struct finished *finished) {
    if (finished == NULL) return;
    for (size_t i = 0; i < FINISHED_REQUESTS; i++) forget(&finished->records[i]);
    free(finished);
}

static void keep_names(struct finished_request *record, const struct request *request,
                       size_t id_bytes) {
    size_t tenant_bytes = strlen(request->tenant) + 1;
    char *text = record->names.text;
    record->spilled = id_bytes + tenant_bytes > sizeof record->names.text;
    if (record->spilled) text = record->names.block = malloc(id_bytes + tenant_bytes);
    if (text == NULL) return;
    memcpy(text, request->request_id, id_bytes);
    memcpy(text + id_bytes, request->tenant, tenant_bytes);
}

void finished_add(struct finished *finished, const char *pool, const struct request *request,
                  uint64_t now_ns) {
    size_t at = finished->added++ % FINISHED_REQUESTS, id_bytes = strlen(request->request_id) + 1;
    struct finished_request *record = &finished->records[at];
    forget(record);
    finished->ids[at] = request->id;
    finished->hashes[at] = XXH3_64bits(request->request_id, id_bytes - 1);
    record->arrived_ns = request->arrived_ns;
    record->ended_ns = now_ns;
    record->queue_ns = request->queue_ns;
    record->cold_ns = request->cold_ns;
    record->run_ns = request->run_ns;
    record->pool = pool;
    record->attempts = request->attempts;
    record->outcome = (uint8_t)request->outcome;
    record->priority = (uint8_t)request->priority;
    record->source = (uint8_t)request->source;
    keep_names(record, request, id_bytes);
}

const char *finished_request_id(const struct finished_request *record) {
    const char *text = record->spilled ? record->names.block : record->names.text;
    return text != NULL ? text : "";
}

const char *finished_tenant(const struct finished_request *record) {
    const char *text = record->spilled ? record->names.block : record->names.text;
    return text != NULL ? text + strlen(text) + 1 : "";
}

const struct finished_request *finished_find(const struct finished *finished, uint64_t id,
                                             const char *request_id, uint64_t now_ns) {
    const uint64_t *keys = id != 0 ? finished->ids : finished->hashes;
    uint64_t key = id != 0 ? id : XXH3_64bits(request_id, strlen(request_id));
    uint64_t kept = finished->added < FINISHED_REQUESTS ? finished->added : FINISHED_REQUESTS;
    size_t at = (size_t)(finished->added % FINISHED_REQUESTS); /* the newest stands before it */
    for (uint64_t n = 0; n < kept; n++) {
        at = at > 0 ? at - 1 : FINISHED_REQUESTS - 1;
        if (keys[at] != key) continue;
        const struct finished_request *record = &finished->records[at];
        if (now_ns - record->ended_ns > FINISHED_KEPT_NS) return NULL;
        if (id != 0 || strcmp(finished_request_id(record), request_id) == 0) return record;
    }
    return NULL;
}
