#include "core/burial.h"

#include "core/base/clock.h"
#include "core/work.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A buried body up to this size is named by its digest: half a millisecond of the loop. */
#define DIGEST_BYTES ((size_t)4 * 1024 * 1024)
#define KICK_BYTES   192 /* of what is said of a kick */

/* --- in ------------------------------------------------------------------------------------------------ */

void burial_mark(struct request *request, uint32_t slot, const char *how, uint64_t now_ns) {
    request->marks++;
    if (request->evidence == NULL) request->evidence = calloc(1, sizeof *request->evidence);
    if (request->evidence == NULL) return; /* the mark counts without its evidence */
    struct request_evidence *evidence = request->evidence;
    if (evidence->count >= QUARANTINE_MARKS)
        memmove(evidence->marks, evidence->marks + 1,
                (QUARANTINE_MARKS - 1) * sizeof evidence->marks[0]);
    uint32_t at = evidence->count < QUARANTINE_MARKS ? evidence->count : QUARANTINE_MARKS - 1;
    evidence->marks[at] = (struct quarantine_mark){.at_ns = now_ns, .slot = slot};
    snprintf(evidence->marks[at].how, sizeof evidence->marks[at].how, "%s", how);
    evidence->count++;
}

void burial_bury(struct pool *pool, struct request *request, uint64_t now_ns) {
    size_t bytes = request->body != NULL ? request->body->bytes : 0;
    bool known = request->digest[0] != 0 || request->digest[1] != 0;
    if (!known && bytes <= DIGEST_BYTES) dedup_digest(request);
    const struct request_evidence *evidence = request->evidence;
    quarantine_add(&pool->quarantine, request, evidence != NULL ? evidence->marks : NULL,
                   evidence != NULL ? evidence->count : 0, now_ns);
    pool_tell(pool,
              &(struct pool_news){.kind = HAPPENING_QUARANTINE,
                                  .slot = &pool->slots[request->slot],
                                  .request = request,
                                  .to = "buried",
                                  .why = request->detail,
                                  .number = request->marks},
              now_ns);
}

/* --- looking ------------------------------------------------------------------------------------------- */

static bool is_meant(const struct pool *pool, const char *name) {
    return name == NULL || strcmp(pool->options->name, name) == 0;
}

static bool may_see(const struct quarantined *entry, const char *tenant) {
    return tenant == NULL || strcmp(entry->copy->tenant, tenant) == 0;
}

static void name_it(char name[QUESTION_NAME_BYTES], const char *text) {
    snprintf(name, QUESTION_NAME_BYTES, "%s", text);
}

static void show_buried(struct buried *out, const struct pool *pool,
                        const struct quarantined *entry) {
    const struct request *copy = entry->copy;
    *out = (struct buried){.number = entry->number,
                           .priority = copy->priority,
                           .buried_ns = entry->buried_ns,
                           .body_bytes = entry->body_bytes,
                           .digest = {entry->digest[0], entry->digest[1]},
                           .body_kept = copy->body != NULL || entry->body_bytes == 0,
                           .kicked = entry->kicked != 0,
                           .attempts = copy->attempts,
                           .marks_count = entry->marks_count};
    name_it(out->request_id, copy->request_id);
    name_it(out->tenant, copy->tenant);
    snprintf(out->pool, sizeof out->pool, "%s", pool->options->name);
    memcpy(out->marks, entry->marks, sizeof out->marks);
}

/* In its place by number, while there is room below higher ones. */
static void put_in_order(struct buried_list *list, const struct pool *pool,
                         const struct quarantined *entry) {
    size_t at = list->count;
    while (at > 0 && list->items[at - 1].number > entry->number) at--;
    list->more = list->more || list->count == list->room;
    if (at == list->room) return;
    size_t behind = (list->count < list->room ? list->count : list->room - 1) - at;
    memmove(&list->items[at + 1], &list->items[at], behind * sizeof list->items[0]);
    show_buried(&list->items[at], pool, entry);
    if (list->count < list->room) list->count++;
}

void burial_list(const struct orchestrator *orchestrator, struct buried_list *list) {
    list->count = 0;
    list->more = false;
    for (size_t i = 0; i < orchestrator->listed_count; i++) {
        const struct pool *pool = orchestrator->listed[i];
        const struct list_node *end = &pool->quarantine.buried;
        if (!is_meant(pool, list->pool)) continue;
        for (const struct list_node *at = end->next; at != end; at = at->next) {
            const struct quarantined *entry = LIST_ENTRY(at, struct quarantined, node);
            if (entry->number > list->after && may_see(entry, list->for_tenant))
                put_in_order(list, pool, entry);
        }
    }
}

static struct quarantined *find_buried(struct orchestrator *orchestrator,
                                       const struct buried_order *order, struct pool **out) {
    for (size_t i = 0; i < orchestrator->listed_count; i++) {
        *out = orchestrator->listed[i];
        struct quarantined *entry = quarantine_find(&(*out)->quarantine, order->number);
        if (entry != NULL) return may_see(entry, order->for_tenant) ? entry : NULL;
    }
    return NULL;
}

/* --- out ------------------------------------------------------------------------------------------------- */

static void tell_of(struct pool *pool, const struct request *request, const char *from,
                    const char *to, const char *why, uint64_t now_ns) {
    pool_tell(
        pool,
        &(struct pool_news){
            .kind = HAPPENING_QUARANTINE, .request = request, .from = from, .to = to, .why = why},
        now_ns);
}

enum outcome burial_delete(struct orchestrator *orchestrator, const struct buried_order *order,
                           uint64_t now_ns) {
    struct pool *pool;
    struct quarantined *entry = find_buried(orchestrator, order, &pool);
    if (entry == NULL) return NO_SUCH_REQUEST;
    tell_of(pool, entry->copy, "buried", "deleted", order->why, now_ns);
    quarantine_remove(&pool->quarantine, entry);
    return OK;
}

/* Its worker has said something, or it is buried anew: the old grave is empty. */
static bool has_been_tried(enum outcome outcome) {
    return outcome == OK || outcome == WORKER_ERROR || outcome == INVALID_REQUEST ||
           outcome == UNSUPPORTED_MEDIA_TYPE || outcome == QUARANTINED;
}

static struct quarantined *grave_of(struct pool *pool, uint64_t kicked) {
    struct list_node *end = &pool->quarantine.buried;
    for (struct list_node *at = end->next; at != end; at = at->next)
        if (LIST_ENTRY(at, struct quarantined, node)->kicked == kicked)
            return LIST_ENTRY(at, struct quarantined, node);
    return NULL;
}

static void on_kicked_done(struct request *request) {
    struct pool *pool = request->owner;
    uint64_t began_ns = request->arrived_ns + request->queue_ns + request->cold_ns;
    uint64_t now_ns = (request->began_ns > 0 ? request->began_ns : began_ns) + request->run_ns;
    struct quarantined *grave = grave_of(pool, request->id);
    tell_of(pool, request, "kicked", outcome_code(request->outcome), request->detail, now_ns);
    if (grave != NULL && has_been_tried(request->outcome))
        quarantine_remove(&pool->quarantine, grave);
    else if (grave != NULL)
        grave->kicked = 0;
    request_free(request);
}

/* As it was, and fresh. */
static struct request *revive(struct pool *pool, const struct quarantined *entry,
                              const struct buried_order *order, uint64_t now_ns) {
    const struct request *copy = entry->copy;
    const struct request_texts texts = {.request_id = order->request_id,
                                        .content_type = copy->content_type,
                                        .operation = copy->operation,
                                        .tenant = copy->tenant,
                                        .batch_key = copy->batch_key,
                                        .traceparent = copy->traceparent,
                                        .metadata = copy->metadata,
                                        .metadata_count = copy->metadata_count};
    struct request *request;
    if (request_create(&request, &texts) != OK) return NULL;
    uint64_t limit_ns = pool->options->timeouts.request_ns;
    request->id = order->id;
    request->pool = pool->place;
    request->priority = copy->priority;
    request->arrived_ns = now_ns;
    if (limit_ns > 0) request->deadline_ns = clock_add(now_ns, limit_ns);
    if (copy->body != NULL) request->body = body_ref(copy->body);
    request->digest[0] = entry->digest[0];
    request->digest[1] = entry->digest[1];
    request->done = on_kicked_done;
    request->owner = pool;
    return request;
}

static enum outcome take_permit(struct pool *pool, const struct request *copy,
                                uint64_t *retry_after_ns, uint64_t now_ns) {
    const struct admission_ask ask = {.priority = copy->priority,
                                      .tenant = copy->tenant,
                                      .deadline_ns = CLOCK_NEVER,
                                      .now_ns = now_ns};
    enum outcome outcome = admission_take(&pool->admission, &ask);
    if (outcome != OK) *retry_after_ns = admission_retry_after(&pool->admission, outcome, now_ns);
    return outcome;
}

enum outcome burial_kick(struct orchestrator *orchestrator, const struct buried_order *order,
                         uint64_t *retry_after_ns, uint64_t now_ns) {
    struct pool *pool;
    struct quarantined *entry = find_buried(orchestrator, order, &pool);
    if (entry == NULL) return NO_SUCH_REQUEST;
    if (entry->kicked != 0) return ALREADY_EXISTS;
    if (entry->body_bytes > 0 && entry->copy->body == NULL) return PAYLOAD_TOO_LARGE;
    enum outcome outcome = take_permit(pool, entry->copy, retry_after_ns, now_ns);
    if (outcome != OK) return outcome;
    struct request *request = revive(pool, entry, order, now_ns);
    if (request == NULL) {
        admission_give_back(&pool->admission, entry->copy->tenant);
        return MEMORY_EXHAUSTED;
    }
    entry->kicked = request->id;
    char why[KICK_BYTES];
    snprintf(why, sizeof why, "again %s%s%s", entry->copy->request_id,
             order->why != NULL ? ", " : "", order->why != NULL ? order->why : "");
    tell_of(pool, request, "buried", "kicked", why, now_ns);
    work_submit(pool, request, now_ns);
    return OK;
}
