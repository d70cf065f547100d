#include "gateway/grpc/invoke_request.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

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

/* Where the message itself is broken, by the field in which it is; 0 stands for all that are unknown. */
static const struct field_flaws {
    const char *kind, *cut_short;
} field_flaws[] = {
#define FIELD_FLAWS(number, words)                                                                 \
    [number] = {words " is written as another kind of field",                                      \
                words " reaches beyond the end of the message"}
    FIELD_FLAWS(0, "a field"),
    FIELD_FLAWS(FIELD_POOL, "the pool's name"),
    FIELD_FLAWS(FIELD_PAYLOAD, "the payload"),
    FIELD_FLAWS(FIELD_CONTENT_TYPE, "the content type"),
    FIELD_FLAWS(FIELD_METADATA, "a pair of metadata"),
    FIELD_FLAWS(FIELD_PRIORITY, "the priority"),
    FIELD_FLAWS(FIELD_TENANT, "the tenant"),
    FIELD_FLAWS(FIELD_BATCH_KEY, "the batch key"),
    FIELD_FLAWS(FIELD_OPERATION, "the operation"),
    FIELD_FLAWS(FIELD_REQUEST_ID, "the request id"),
};

static const struct field_flaws *flaws_of(uint32_t field) {
    return &field_flaws[field < sizeof field_flaws / sizeof field_flaws[0] ? field : 0];
}

static const char *sort_flaw(const struct message_page *page) {
    switch (page->fault) {
    case MESSAGE_BAD_KIND: return flaws_of(page->fault_field)->kind;
    case MESSAGE_CUT_SHORT: return flaws_of(page->fault_field)->cut_short;
    case MESSAGE_TOO_LONG: return "the message has more than 48 KiB beside its payload";
    default: return "the message is not protobuf";
    }
}

static const char *read_text(struct message_field *field, enum client_text which,
                             const char **out) {
    *out = message_text(field);
    return *out != NULL ? text_flaw(which, *out, field->bytes) : flaws_of(field->number)->kind;
}

static const char *read_priority(const struct message_field *field, enum priority *out) {
    static const enum priority priorities[] = {PRIORITY_NORMAL, PRIORITY_CRITICAL, PRIORITY_HIGH,
                                               PRIORITY_NORMAL, PRIORITY_LOW,      PRIORITY_BATCH};
    if (field->kind != FIELD_NUMBER) return flaws_of(FIELD_PRIORITY)->kind;
    if (field->value >= sizeof priorities / sizeof priorities[0])
        return "the priority is none of the enumeration; allowed: 0 to 5";
    *out = priorities[field->value];
    return NULL;
}

/* A map is written as pairs; of two with one name the later counts. */
static const char *keep_pair(struct invoke_request *request, struct pair pair) {
    size_t at = 0;
    while (at < request->metadata_count && strcmp(request->metadata[at].name, pair.name) != 0) at++;
    if (at == INVOKE_METADATA_PAIRS) return "there are too many pairs of metadata; allowed: 32";
    request->metadata[at] = pair;
    if (at == request->metadata_count) request->metadata_count++;
    return NULL;
}

static const char *read_part(struct pair *pair, struct message_field *part) {
    const char **text = part->number == 1 ? &pair->name : &pair->value;
    if (part->number != 1 && part->number != 2) return NULL; /* of a later version */
    *text = message_text(part);
    if (*text == NULL) return flaws_of(FIELD_METADATA)->kind;
    return text_flaw(part->number == 1 ? TEXT_METADATA_NAME : TEXT_METADATA_VALUE, *text,
                     part->bytes);
}

static const char *read_pair(struct invoke_request *request, const struct message_field *entry) {
    struct pair pair = {.name = "", .value = ""};
    struct message_fields fields = {.at = entry->data, .end = entry->data + entry->bytes};
    struct message_field part;
    const char *flaw = entry->kind == FIELD_BYTES ? NULL : flaws_of(FIELD_METADATA)->kind;
    while (flaw == NULL && message_next(&fields, &part)) flaw = read_part(&pair, &part);
    if (flaw != NULL) return flaw;
    if (fields.broken) return "a pair of metadata is not protobuf";
    flaw = text_flaw(TEXT_METADATA_NAME, pair.name, strlen(pair.name)); /* it may be missing */
    if (flaw != NULL) return flaw;
    if (strcasecmp(pair.name, "authorization") == 0) return NULL; /* no worker's business */
    return keep_pair(request, pair);
}

static const char *read_field(struct invoke_request *request, struct message_field *field) {
    switch (field->number) {
    case FIELD_POOL: return read_text(field, TEXT_POOL, &request->pool);
    case FIELD_CONTENT_TYPE: return read_text(field, TEXT_CONTENT_TYPE, &request->content_type);
    case FIELD_METADATA: return read_pair(request, field);
    case FIELD_PRIORITY: return read_priority(field, &request->priority);
    case FIELD_TENANT: return read_text(field, TEXT_TENANT, &request->tenant);
    case FIELD_BATCH_KEY: return read_text(field, TEXT_BATCH_KEY, &request->batch_key);
    case FIELD_OPERATION: return read_text(field, TEXT_OPERATION, &request->operation);
    case FIELD_REQUEST_ID: return read_text(field, TEXT_REQUEST_ID, &request->request_id);
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
        request->flaw = sort_flaw(&request->page);
        return INVALID_REQUEST;
    }
    struct message_fields fields = message_fields(&request->page);
    struct message_field field;
    while (request->flaw == NULL && message_next(&fields, &field))
        request->flaw = read_field(request, &field);
    assert(!fields.broken); /* it was sorted */
    return request->flaw == NULL ? OK : INVALID_REQUEST;
}
