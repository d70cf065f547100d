#include "workers/host/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND(name) POOLGATE__WORKER__V1__ERROR_KIND__##name

static bool is_cancelled(const struct answer *answer) {
    return atomic_load_explicit(&answer->call->cancelled, memory_order_relaxed);
}

/* Sends the frame that ends the answer. */
static int end_with(struct answer *answer, enum wire_type type, const ProtobufCMessage *message,
                    const void *data, size_t bytes) {
    /* What ends a stream must come after its chunks: on the same way. */
    bool streams = answer->state == ANSWER_STREAMING;
    enum outcome outcome = streams ? link_send(answer->link, type, message, data, bytes)
                                   : link_answer(answer->link, type, message, data, bytes);
    if (outcome != OK) return -1;
    answer->state = ANSWER_ANSWERED;
    return 0;
}

static int end_with_error(struct answer *answer, Poolgate__Worker__V1__ErrorKind kind,
                          const char *message) {
    char text[ENVELOPE_TEXT_BYTES + 1];
    envelope_text_clean(text, message);
    Poolgate__Worker__V1__Error error = POOLGATE__WORKER__V1__ERROR__INIT;
    error.id = answer->call->id;
    error.kind = kind;
    error.message = text;
    return end_with(answer, WIRE_ERROR, &error.base, NULL, 0);
}

/* Whether the plug-in may send so many more bytes under this content type; if not, the answer has ended. */
static bool allowed(struct answer *answer, const char *content_type, uint64_t bytes) {
    if (!envelope_value_valid(content_type)) {
        (void)end_with_error(answer, KIND(FAILED), "the worker's content type is not valid");
        return false;
    }
    if (bytes <= answer->max_reply_bytes - answer->streamed_bytes) return true;
    char text[128];
    snprintf(text, sizeof text, "the reply has %" PRIu64 " bytes, the pool allows %" PRIu64,
             answer->streamed_bytes + bytes, answer->max_reply_bytes);
    (void)end_with_error(answer, KIND(FAILED), text);
    return false;
}

static int host_send(struct poolgate_reply *reply, const char *content_type, const void *data,
                     size_t bytes) {
    struct answer *answer = reply->host_state;
    if (content_type == NULL) content_type = "";
    if (answer->state != ANSWER_OPEN || is_cancelled(answer)) return -1;
    if (!allowed(answer, content_type, bytes)) return -1;
    Poolgate__Worker__V1__Reply message = POOLGATE__WORKER__V1__REPLY__INIT;
    message.id = answer->call->id;
    message.content_type = (char *)(uintptr_t)content_type;
    message.n_metadata = answer->metadata_count;
    message.metadata = answer->metadata;
    return end_with(answer, WIRE_REPLY, &message.base, data, bytes);
}

static int host_take(struct poolgate_reply *reply, const char *content_type, void *data,
                     size_t bytes, void (*release)(void *data, void *owner), void *owner) {
    int result = host_send(reply, content_type, data, bytes);
    if (release != NULL) release(data, owner);
    return result;
}

static int host_chunk(struct poolgate_reply *reply, const char *content_type, const void *data,
                      size_t bytes) {
    struct answer *answer = reply->host_state;
    bool first = answer->state == ANSWER_OPEN;
    if (content_type == NULL || !first) content_type = "";
    if (answer->state == ANSWER_ANSWERED || is_cancelled(answer)) return -1;
    if (!allowed(answer, content_type, bytes)) return -1;
    Poolgate__Worker__V1__Chunk message = POOLGATE__WORKER__V1__CHUNK__INIT;
    message.id = answer->call->id;
    message.content_type = (char *)(uintptr_t)content_type;
    message.n_metadata = first ? answer->metadata_count : 0;
    message.metadata = answer->metadata;
    if (link_send(answer->link, WIRE_CHUNK, &message.base, data, bytes) != OK) return -1;
    answer->state = ANSWER_STREAMING;
    answer->streamed_bytes += bytes;
    return 0;
}

static Poolgate__Worker__V1__ErrorKind kind_of(enum poolgate_error error) {
    switch (error) {
    case POOLGATE_INVALID_INPUT: return KIND(INVALID_INPUT);
    case POOLGATE_UNSUPPORTED: return KIND(UNSUPPORTED);
    case POOLGATE_FAILED: break;
    }
    return KIND(FAILED); /* also for a number that is none of ours */
}

static int host_fail(struct poolgate_reply *reply, enum poolgate_error error, const char *message) {
    struct answer *answer = reply->host_state;
    if (answer->state == ANSWER_ANSWERED || is_cancelled(answer)) return -1;
    return end_with_error(answer, kind_of(error), message);
}

static int host_meta(struct poolgate_reply *reply, const char *name, const char *value) {
    struct answer *answer = reply->host_state;
    size_t at = answer->metadata_count;
    if (answer->state != ANSWER_OPEN || at == ENVELOPE_METADATA_PAIRS) return -1;
    if (!envelope_name_valid(name) || !envelope_value_valid(value)) return -1;
    Poolgate__Worker__V1__Pair pair = POOLGATE__WORKER__V1__PAIR__INIT;
    pair.name = strdup(name);
    pair.value = strdup(value);
    if (pair.name == NULL || pair.value == NULL) {
        free(pair.name);
        free(pair.value);
        return -1;
    }
    answer->pairs[at] = pair;
    answer->metadata[at] = &answer->pairs[at];
    answer->metadata_count++;
    return 0;
}

static int host_cancelled(const struct poolgate_reply *reply) {
    const struct answer *answer = reply->host_state;
    return is_cancelled(answer);
}

static const struct poolgate_host host_table = {
    .abi = POOLGATE_WORKER_ABI,
    .struct_bytes = sizeof(struct poolgate_host),
    .meta = host_meta,
    .send = host_send,
    .take = host_take,
    .chunk = host_chunk,
    .fail = host_fail,
    .cancelled = host_cancelled,
};

void answer_begin(struct answer *answer, struct link *link, const struct call *call,
                  uint64_t max_reply_bytes) {
    answer->reply = (struct poolgate_reply){.host = &host_table, .host_state = answer};
    answer->link = link;
    answer->call = call;
    answer->max_reply_bytes = max_reply_bytes;
    answer->streamed_bytes = 0;
    answer->state = ANSWER_OPEN;
    answer->metadata_count = 0;
}

static int end_stream(struct answer *answer) {
    Poolgate__Worker__V1__Reply message = POOLGATE__WORKER__V1__REPLY__INIT;
    message.id = answer->call->id;
    return end_with(answer, WIRE_REPLY, &message.base, NULL, 0);
}

bool answer_finish(struct answer *answer) {
    if (answer->state != ANSWER_ANSWERED) {
        if (is_cancelled(answer))
            (void)end_with_error(answer, KIND(CANCELLED), "the request was cancelled");
        else if (answer->state == ANSWER_STREAMING)
            (void)end_stream(answer);
        else
            (void)end_with_error(answer, KIND(FAILED), "the worker returned without an answer");
    }
    for (size_t i = 0; i < answer->metadata_count; i++) {
        free(answer->pairs[i].name);
        free(answer->pairs[i].value);
    }
    answer->metadata_count = 0;
    return answer->state == ANSWER_ANSWERED;
}

enum outcome answer_refuse(struct link *link, uint64_t id, Poolgate__Worker__V1__ErrorKind kind,
                           const char *message) {
    Poolgate__Worker__V1__Error error = POOLGATE__WORKER__V1__ERROR__INIT;
    error.id = id;
    error.kind = kind;
    error.message = (char *)(uintptr_t)message;
    return link_post(link, WIRE_ERROR, &error.base);
}
