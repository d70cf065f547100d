#include "core/policy/quarantine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct quarantined *entry_of(struct list_node *node) {
    return LIST_ENTRY(node, struct quarantined, node);
}

/* What is held of the request's body, which can be less than there was. */
static uint64_t held_bytes(const struct quarantined *entry) {
    return entry->copy->body != NULL ? entry->copy->body->bytes : 0;
}

static void entry_free(struct quarantined *entry) {
    request_free(entry->copy);
    free(entry);
}

static enum outcome copy_request(struct request **out, const struct request *request) {
    const struct request_texts texts = {.request_id = request->request_id,
                                        .content_type = request->content_type,
                                        .operation = request->operation,
                                        .tenant = request->tenant,
                                        .batch_key = request->batch_key,
                                        .traceparent = request->traceparent,
                                        .metadata = request->metadata,
                                        .metadata_count = request->metadata_count};
    enum outcome outcome = request_create(out, &texts);
    if (outcome != OK) return outcome;
    (*out)->pool = request->pool;
    (*out)->priority = request->priority;
    (*out)->arrived_ns = request->arrived_ns;
    (*out)->attempts = request->attempts;
    (*out)->marks = request->marks;
    (*out)->slot = request->slot;
    return OK;
}

static void keep_marks(struct quarantined *entry, const struct quarantine_mark *marks,
                       uint32_t count) {
    uint32_t kept = count < QUARANTINE_MARKS ? count : QUARANTINE_MARKS;
    entry->marks_count = count;
    for (uint32_t i = 0; i < kept; i++) {
        entry->marks[i] = marks[i];
        entry->marks[i].how[QUARANTINE_EVIDENCE - 1] = '\0';
    }
}

static enum outcome entry_create(struct quarantined **out, const struct request *request) {
    *out = NULL;
    struct quarantined *entry = calloc(1, sizeof *entry);
    if (entry == NULL) return MEMORY_EXHAUSTED;
    if (copy_request(&entry->copy, request) != OK) {
        free(entry);
        return MEMORY_EXHAUSTED;
    }
    entry->digest[0] = request->digest[0];
    entry->digest[1] = request->digest[1];
    entry->body_bytes = request->body != NULL ? request->body->bytes : 0;
    if (entry->body_bytes <= QUARANTINE_BYTES && request->body != NULL)
        entry->copy->body = body_ref(request->body);
    *out = entry;
    return OK;
}

/* The oldest go until one more with so many bytes fits. */
static void make_room(struct quarantine *quarantine, uint64_t bytes) {
    while (quarantine->count >= QUARANTINE_REQUESTS ||
           quarantine->bytes + bytes > QUARANTINE_BYTES) {
        assert(quarantine->count > 0);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is unlinked before it is freed */
        quarantine_remove(quarantine, entry_of(quarantine->buried.next));
        quarantine->dropped++;
    }
}

void quarantine_init(struct quarantine *quarantine) {
    *quarantine = (struct quarantine){0};
    list_init(&quarantine->buried);
}

void quarantine_free(struct quarantine *quarantine) {
    while (quarantine->count > 0) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above */
        quarantine_remove(quarantine, entry_of(quarantine->buried.next));
    assert(list_empty(&quarantine->buried) && quarantine->bytes == 0);
}

enum outcome quarantine_add(struct quarantine *quarantine, const struct request *request,
                            const struct quarantine_mark *marks, uint32_t marks_count,
                            uint64_t now_ns) {
    struct quarantined *entry;
    if (entry_create(&entry, request) != OK) return MEMORY_EXHAUSTED;
    keep_marks(entry, marks, marks_count);
    make_room(quarantine, held_bytes(entry));
    entry->number = request->id;
    quarantine->numbers++;
    entry->buried_ns = now_ns;
    list_push_back(&quarantine->buried, &entry->node);
    quarantine->count++;
    quarantine->bytes += held_bytes(entry);
    return entry->body_bytes > QUARANTINE_BYTES ? PAYLOAD_TOO_LARGE : OK;
}

struct quarantined *quarantine_find(const struct quarantine *quarantine, uint64_t number) {
    struct list_node *node = quarantine->buried.next;
    for (; node != &quarantine->buried; node = node->next)
        if (entry_of(node)->number == number) return entry_of(node);
    return NULL;
}

void quarantine_remove(struct quarantine *quarantine, struct quarantined *entry) {
    assert(quarantine->count > 0 && quarantine->bytes >= held_bytes(entry));
    quarantine->count--;
    quarantine->bytes -= held_bytes(entry);
    list_remove(&entry->node);
    entry_free(entry);
}
