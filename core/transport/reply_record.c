#include "core/transport/reply_record.h"
#include "core/base/uninitialized.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TEXTS (1 + 2 * REPLY_RECORD_PAIRS)
/* What a reply without a content type is; then none is kept. */
#define PLAIN "application/octet-stream"

_Static_assert(sizeof(struct reply_record_head) == RING_GRAIN, "a head never lies around the end");

static enum reply_record_step broken(const char **out, const char *why) {
    *out = why;
    return REPLY_RECORD_BROKEN;
}

/* Finds so many texts; false when they are not exactly what lies there. */
static bool split(const char *text, size_t bytes, const char **texts, size_t count) {
    const char *end = text + bytes;
    for (size_t i = 0; i < count; i++) {
        const char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
        if (nul == NULL) return false;
        texts[i] = text;
        text = nul + 1;
    }
    return text == end;
}

/* One block of pairs and their texts, which lie behind one another from `from` to `end`. */
static struct pair *keep_pairs(const char *const *texts, size_t count, const char *end) {
    size_t bytes = (size_t)(end - texts[0]);
    struct pair *pairs = malloc(count * sizeof *pairs + bytes);
    if (pairs == NULL) return NULL;
    char *kept = memcpy(pairs + count, texts[0], bytes);
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = kept + (texts[2 * i] - texts[0]);
        pairs[i].value = kept + (texts[2 * i + 1] - texts[0]);
    }
    return pairs;
}

static bool keep_texts(struct reply *reply, const char *const *texts, size_t pairs,
                       const char *end) {
    if (*texts[0] != '\0' && strcmp(texts[0], PLAIN) != 0) {
        reply->content_type = strdup(texts[0]);
        if (reply->content_type == NULL) return false;
    }
    if (pairs == 0) return true;
    reply->metadata = keep_pairs(texts + 1, pairs, end);
    if (reply->metadata == NULL) return false;
    reply->metadata_count = pairs;
    return true;
}

static bool keep_payload(struct reply *reply, const struct ring_reader *reader, size_t offset,
                         size_t bytes) {
    if (body_create(&reply->body, bytes) != OK) return false;
    if (bytes == 0) return true;
    ring_copy(reader, offset, reply->body->data, bytes);
    reply->body->bytes = bytes;
    return true;
}

static bool head_makes_sense(const struct reply_record_head *head, size_t waiting) {
    if (head->text_bytes > REPLY_RECORD_TEXT_BYTES || head->payload_bytes >= BODY_MEMFD_BYTES ||
        head->pairs > REPLY_RECORD_PAIRS)
        return false;
    if (sizeof *head + head->text_bytes + head->payload_bytes > waiting) return false;
    if (head->kind == REPLY_RECORD_ERROR) return head->payload_bytes == 0 && head->pairs == 0;
    return head->kind == REPLY_RECORD_REPLY;
}

enum reply_record_step reply_record_read(struct ring_reader *reader, struct reply_record *out,
                                         const char **why) {
    static _Thread_local char scratch[REPLY_RECORD_TEXT_BYTES];
    struct reply_record_head head;
    size_t waiting;
    *out = (struct reply_record){0};
    if (ring_waiting(reader, &waiting) != RING_OK)
        return broken(why, "its ring's counters make no sense");
    if (waiting == 0) return REPLY_RECORD_NONE;
    ring_copy(reader, 0, &head, sizeof head);
    if (!head_makes_sense(&head, waiting))
        return broken(why, "a reply in its ring that makes no sense");
    const char *texts[MOST_TEXTS] = {0};
    ring_copy(reader, sizeof head, scratch, head.text_bytes);
    if (!split(scratch, head.text_bytes, texts, 1 + 2 * (size_t)head.pairs))
        return broken(why, "texts in its ring that do not end");
    assert(texts[0] != NULL && (head.pairs == 0 || texts[1] != NULL)); /* split has filled them */
    out->id = head.id;
    out->kind = (enum reply_record_kind)head.kind;
    out->error = head.error;
    out->text = texts[0];
    if (out->kind == REPLY_RECORD_REPLY &&
        !(keep_payload(&out->reply, reader, sizeof head + head.text_bytes, head.payload_bytes) &&
          keep_texts(&out->reply, texts, head.pairs, scratch + head.text_bytes))) {
        reply_free(&out->reply);
        out->kind = REPLY_RECORD_LOST;
    }
    ring_skip(reader, sizeof head + head.text_bytes + head.payload_bytes);
    return REPLY_RECORD_READ;
}

enum ring_result reply_record_write(struct ring_writer *writer,
                                    const struct reply_record_head *head, const struct iovec *texts,
                                    size_t count, const void *payload) {
    UNINITIALIZED struct iovec parts[2 + MOST_TEXTS];
    assert(count <= MOST_TEXTS);
    parts[0] = (struct iovec){(void *)(uintptr_t)head, sizeof *head};
    if (count > 0) memcpy(parts + 1, texts, count * sizeof *texts);
    parts[count + 1] = (struct iovec){(void *)(uintptr_t)payload, head->payload_bytes};
    return ring_write(writer, parts, count + 2);
}
