#include "core/base/request.h"

#include "core/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const priority_names[] = {
#define PRIORITY_TEXT(name, text) [PRIORITY_##name] = (text),
    PRIORITIES(PRIORITY_TEXT)};

const char *priority_name(enum priority priority) {
    return (unsigned)priority < PRIORITY_COUNT ? priority_names[priority] : "?";
}

enum priority priority_from_name(const char *text) {
    for (int i = 0; i < PRIORITY_COUNT; i++)
        if (strcmp(text, priority_names[i]) == 0) return (enum priority)i;
    return PRIORITY_COUNT;
}

static size_t text_bytes(const char *text) {
    return text == NULL || *text == '\0' ? 0 : strlen(text) + 1;
}

/* Copies text to *cursor and moves it on; an empty text takes no room. */
static const char *keep(char **cursor, const char *text) {
    size_t bytes = text_bytes(text);
    if (bytes == 0) return "";
    char *copy = memcpy(*cursor, text, bytes);
    *cursor += bytes;
    return copy;
}

enum outcome request_create(struct request **out, const struct request_texts *texts) {
    *out = NULL;
    size_t bytes = sizeof(struct request) + texts->metadata_count * sizeof(struct pair) +
                   text_bytes(texts->request_id) + text_bytes(texts->content_type) +
                   text_bytes(texts->operation) + text_bytes(texts->tenant) +
                   text_bytes(texts->batch_key) + text_bytes(texts->traceparent);
    for (size_t i = 0; i < texts->metadata_count; i++)
        bytes += text_bytes(texts->metadata[i].name) + text_bytes(texts->metadata[i].value);
    struct request *request = malloc(bytes);
    if (request == NULL) return MEMORY_EXHAUSTED;
    memset(request, 0, sizeof *request);
    request->priority = PRIORITY_NORMAL;
    request->deadline_ns = request->run_deadline_ns = CLOCK_NEVER;
    request->slot = REQUEST_NO_SLOT;
    request->deadline_index = REQUEST_NOWHERE;
    list_init(&request->followers);
    request->metadata = (struct pair *)(request + 1);
    request->metadata_count = texts->metadata_count;
    char *cursor = (char *)(request->metadata + texts->metadata_count);
    request->request_id = keep(&cursor, texts->request_id);
    request->content_type = keep(&cursor, texts->content_type);
    request->operation = keep(&cursor, texts->operation);
    request->tenant = keep(&cursor, texts->tenant);
    request->batch_key = keep(&cursor, texts->batch_key);
    request->traceparent = keep(&cursor, texts->traceparent);
    for (size_t i = 0; i < texts->metadata_count; i++) {
        request->metadata[i].name = keep(&cursor, texts->metadata[i].name);
        request->metadata[i].value = keep(&cursor, texts->metadata[i].value);
    }
    *out = request;
    return OK;
}

void request_explain(struct request *request, const char *format, ...) {
    free(request->detail);
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&request->detail, format, arguments) < 0) request->detail = NULL;
    va_end(arguments);
}

void reply_free(struct reply *reply) {
    body_unref(reply->body);
    free(reply->content_type);
    free(reply->metadata); /* one block: the pairs, then their texts */
    *reply = (struct reply){0};
}

/* One block, as reply_free expects it: the pairs, then their texts. */
static struct pair *copy_pairs(const struct pair *pairs, size_t count) {
    size_t bytes = count * sizeof *pairs;
    for (size_t i = 0; i < count; i++)
        bytes += text_bytes(pairs[i].name) + text_bytes(pairs[i].value);
    struct pair *copy = malloc(bytes);
    if (copy == NULL) return NULL;
    char *cursor = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        copy[i].name = keep(&cursor, pairs[i].name);
        copy[i].value = keep(&cursor, pairs[i].value);
    }
    return copy;
}

enum outcome reply_copy(struct reply *out, const struct reply *from) {
    *out = (struct reply){0};
    if (from->content_type != NULL) {
        out->content_type = strdup(from->content_type);
        if (out->content_type == NULL) return MEMORY_EXHAUSTED;
    }
    if (from->metadata_count > 0) {
        out->metadata = copy_pairs(from->metadata, from->metadata_count);
        if (out->metadata == NULL) {
            reply_free(out);
            return MEMORY_EXHAUSTED;
        }
        out->metadata_count = from->metadata_count;
    }
    body_data(from->body); /* mapped here, before two threads would do it at once */
    out->body = body_ref(from->body);
    return OK;
}

void request_free(struct request *request) {
    if (request == NULL) return;
    body_unref(request->body);
    reply_free(&request->reply);
    free(request->detail);
    free(request->evidence);
    free(request);
}
