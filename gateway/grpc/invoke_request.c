#include "gateway/grpc/invoke_request.h"

#include "gateway/grpc/text.h"

#include <string.h>

/* Field numbers of poolgate.v1.InvokeRequest. */
enum {
    FIELD_POOL = 1,
    FIELD_PAYLOAD = 2,
    FIELD_CONTENT_TYPE = 3,
    FIELD_METADATA = 4,
    FIELD_PRIORITY = 5,
    FIELD_TENANT = 6,
    FIELD_BATCH_KEY = 7,
    FIELD_OPERATION = 8,
    FIELD_REQUEST_ID = 9
};

static const char *read_text(struct message_field *field, const char **out) {
    *out = message_text(field, INVOKE_TEXT_BYTES);
    return *out != NULL ? NULL : "a text is not UTF-8, has control characters or is too long";
}

static const char *read_priority(const struct message_field *field, enum priority *out) {
    static const enum priority priorities[] = {PRIORITY_NORMAL, PRIORITY_CRITICAL, PRIORITY_HIGH,
                                               PRIORITY_NORMAL, PRIORITY_LOW,      PRIORITY_BATCH};
    if (field->kind != FIELD_NUMBER || field->value >= sizeof priorities / sizeof priorities[0])
        return "priority is none of the enumeration";
    *out = priorities[field->value];
    return NULL;
}

/* A map is written as pairs; of two with one name the later counts. */
static const char *keep_pair(struct invoke_request *request, struct pair pair) {
    size_t at = 0;
    while (at < request->metadata_count && strcmp(request->metadata[at].name, pair.name) != 0) at++;
    if (at == INVOKE_METADATA_PAIRS) return "there are more than 32 pairs of metadata";
    request->metadata[at] = pair;
    if (at == request->metadata_count) request->metadata_count++;
    return NULL;
}

static const char *read_pair(struct invoke_request *request, const struct message_field *entry) {
    struct pair pair = {.name = "", .value = ""};
    struct message_fields fields = {.at = entry->data, .end = entry->data + entry->bytes};
    struct message_field field;
    const char *flaw = entry->kind == FIELD_BYTES ? NULL : "metadata is not a map";
    while (flaw == NULL && message_next(&fields, &field)) {
        if (field.number == 1) flaw = read_text(&field, &pair.name);
        if (field.number == 2) flaw = read_text(&field, &pair.value);
    }
    if (flaw != NULL) return flaw;
    if (fields.broken) return "the message is not protobuf";
    if (!text_is_name(pair.name, strlen(pair.name)))
        return "a name of metadata is not 1 to 64 of A-Z a-z 0-9 and '-'";
    return keep_pair(request, pair);
}

static const char *read_field(struct invoke_request *request, struct message_field *field) {
    switch (field->number) {
    case FIELD_POOL: return read_text(field, &request->pool);
    case FIELD_CONTENT_TYPE: return read_text(field, &request->content_type);
    case FIELD_METADATA: return read_pair(request, field);
    case FIELD_PRIORITY: return read_priority(field, &request->priority);
    case FIELD_TENANT: return read_text(field, &request->tenant);
    case FIELD_BATCH_KEY: return read_text(field, &request->batch_key);
    case FIELD_OPERATION: return read_text(field, &request->operation);
    case FIELD_REQUEST_ID: return read_text(field, &request->request_id);
    default: return NULL; /* of a later version */
    }
}

enum outcome invoke_request_read(struct invoke_request *request, const grpc_byte_buffer *buffer) {
    request->pool = request->content_type = request->tenant = "";
    request->batch_key = request->operation = request->request_id = "";
    request->priority = PRIORITY_NORMAL;
    request->metadata_count = 0;
    request->flaw = NULL;
    if (message_sort(buffer, FIELD_PAYLOAD, &request->page, &request->payload) != OK) {
        request->flaw = "the message is not protobuf, or has more than 48 KiB beside its payload";
        return INVALID_REQUEST;
    }
    struct message_fields fields = message_fields(&request->page);
    struct message_field field;
    while (request->flaw == NULL && message_next(&fields, &field))
        request->flaw = read_field(request, &field);
    if (request->flaw == NULL && fields.broken) request->flaw = "the message is not protobuf";
    return request->flaw == NULL ? OK : INVALID_REQUEST;
}
