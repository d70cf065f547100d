#include "gateway/trace/otlp.h"

#include "core/base/utf8.h"

#include <inttypes.h>
#include <string.h>

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2 };
enum span_status { SPAN_UNSET = 0, SPAN_ERROR = 2 };

#define SERVICE_BYTES 64

/* --- JSON ------------------------------------------------------------------------------------------ */

/* What is not UTF-8 becomes U+FFFD. */
static void write_text(FILE *out, const char *text) {
    putc('"', out);
    for (size_t left = strlen(text), bytes; left > 0; text += bytes, left -= bytes) {
        bytes = utf8_length(text, left);
        if (bytes == 0) {
            fputs("\\ufffd", out);
            bytes = 1;
        } else if (utf8_is_control(text)) {
            fprintf(out, "\\u%04x",
                    (unsigned char)text[bytes - 1]); /* of C1 it is the second byte */
        } else {
            if (*text == '"' || *text == '\\') putc('\\', out);
            fwrite(text, 1, bytes, out);
        }
    }
    putc('"', out);
}

struct attributes {
    FILE *out;
    bool any;
};

static void begin_attribute(struct attributes *attributes, const char *key) {
    fprintf(attributes->out, "%s{\"key\":\"%s\",\"value\":{", attributes->any ? "," : "", key);
    attributes->any = true;
}

/* Left out when there is nothing to say. */
static void add_text(struct attributes *attributes, const char *key, const char *value) {
    if (value == NULL || value[0] == '\0') return;
    begin_attribute(attributes, key);
    fputs("\"stringValue\":", attributes->out);
    write_text(attributes->out, value);
    fputs("}}", attributes->out);
}

/* 64-bit numbers are texts in the JSON form of protobuf. */
static void add_number(struct attributes *attributes, const char *key, uint64_t value) {
    begin_attribute(attributes, key);
    fprintf(attributes->out, "\"intValue\":\"%" PRIu64 "\"}}", value);
}

/* --- what a request was ------------------------------------------------------------------------------ */

/* As the conventions have it: whose fault is the client's is no error of the server. */
static enum span_status status_of_span(const struct request_record *record) {
    static const uint32_t server_faults = 1u << 2 /* UNKNOWN */ | 1u << 4 /* DEADLINE_EXCEEDED */ |
                                          1u << 12 /* UNIMPLEMENTED */ | 1u << 13 /* INTERNAL */ |
                                          1u << 14 /* UNAVAILABLE */ | 1u << 15 /* DATA_LOSS */;
    unsigned status = record->course->status;
    bool failed = record->frontend == FRONTEND_HTTP ? status >= 500
                                                    : (server_faults >> (status & 31) & 1) != 0;
    return failed ? SPAN_ERROR : SPAN_UNSET;
}

/* "poolgate.v1.Gateway/Invoke": what stands before the slash. */
static void service_of(const char *method, char out[SERVICE_BYTES]) {
    snprintf(out, SERVICE_BYTES, "%.*s", (int)strcspn(method, "/"), method);
}

/* A method that HTTP does not know could be anything: it must not become a value of its own. */
static const char *known_method(const char *method) {
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], method) == 0) return method;
    return "_OTHER";
}

static void write_name(FILE *out, const struct request_record *record) {
    char name[192];
    if (record->frontend == FRONTEND_GRPC)
        snprintf(name, sizeof name, "%s", record->method);
    else
        snprintf(name, sizeof name, "%s%s%s", known_method(record->method),
                 record->route != NULL ? " " : "", record->route != NULL ? record->route : "");
    write_text(out, name);
}

static void add_protocol(struct attributes *attributes, const struct request_record *record) {
    char service[SERVICE_BYTES];
    const char *slash;
    if (record->frontend == FRONTEND_HTTP) {
        add_text(attributes, "http.request.method", known_method(record->method));
        add_text(attributes, "http.route", record->route);
        add_text(attributes, "url.path", record->target);
        add_number(attributes, "http.response.status_code", record->course->status);
        return;
    }
    service_of(record->method, service);
    slash = strchr(record->method, '/');
    add_text(attributes, "rpc.system", "grpc");
    add_text(attributes, "rpc.service", service);
    add_text(attributes, "rpc.method", slash != NULL ? slash + 1 : record->method);
    add_number(attributes, "rpc.grpc.status_code", record->course->status);
}

static void add_course(struct attributes *attributes, const struct request_record *record) {
    const struct request_course *course = record->course;
    char slot[80];
    add_text(attributes, "poolgate.code", outcome_code(record->outcome));
    add_text(attributes, "poolgate.request_id", record->request_id);
    add_text(attributes, "poolgate.tenant", course->tenant);
    if (course->pool[0] == '\0') return;
    add_text(attributes, "poolgate.pool", course->pool);
    add_text(attributes, "poolgate.priority", priority_name(course->priority));
    if (!course->had_slot) return;
    snprintf(slot, sizeof slot, "%s/%" PRIu32, course->pool, course->slot);
    add_text(attributes, "poolgate.slot", slot);
    add_number(attributes, "poolgate.attempts", course->attempts);
}

/* --- spans ------------------------------------------------------------------------------------------- */

struct span {
    const uint8_t *id, *parent;
    uint64_t from_ns, to_ns; /* since 1970 */
    enum span_kind kind;
};

/* Leaves the object open behind its times. name is written by the caller when it is NULL. */
static void begin_span(FILE *out, const struct trace *trace, const struct span *span) {
    char trace_id[TRACE_ID_TEXT_BYTES], id[SPAN_ID_TEXT_BYTES], parent[SPAN_ID_TEXT_BYTES];
    trace_hex(trace->trace_id, sizeof trace->trace_id, trace_id);
    trace_hex(span->id, sizeof trace->span_id, id);
    trace_hex(span->parent, sizeof trace->parent_id, parent);
    fprintf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", trace_id, id);
    if (strspn(parent, "0") < strlen(parent)) fprintf(out, ",\"parentSpanId\":\"%s\"", parent);
    fprintf(out,
            ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRIu64 "\",\"endTimeUnixNano\":\"%" PRIu64
            "\",\"name\":",
            (int)span->kind, span->from_ns, span->to_ns);
}

static void write_server_span(FILE *out, const struct request_record *record,
                              const struct otlp_context *context) {
    const struct trace *trace = &record->course->trace;
    const struct span span = {
        .id = trace->span_id,
        .parent = trace->parent_id,
        .from_ns = record->arrived_ns + context->wall_offset_ns,
        .to_ns = record->ended_ns + context->wall_offset_ns,
        .kind = SPAN_SERVER,
    };
    struct attributes attributes = {.out = out};
    begin_span(out, trace, &span);
    write_name(out, record);
    fputs(",\"attributes\":[", out);
    add_protocol(&attributes, record);
    add_text(&attributes, "client.address", record->client);
    add_course(&attributes, record);
    enum span_status status = status_of_span(record);
    if (status == SPAN_ERROR) add_text(&attributes, "error.type", outcome_code(record->outcome));
    fputs("]", out);
    if (status == SPAN_ERROR) fprintf(out, ",\"status\":{\"code\":%d}", (int)status);
    fputs("}", out);
}

struct part {
    const char *name;
    uint64_t took_ns;
};

/* In the order in which they follow each other from the arrival on; how many there are. */
static size_t parts_of(const struct request_course *course, struct part parts[OTLP_PARTS]) {
    size_t count = 0;
    if (course->cold_ns > 0) parts[count++] = (struct part){"cold", course->cold_ns};
    if (course->queue_ns > 0) parts[count++] = (struct part){"queue", course->queue_ns};
    if (course->run_ns > 0) parts[count++] = (struct part){"run", course->run_ns};
    return count;
}

size_t otlp_spans(const struct request_record *record) {
    struct part parts[OTLP_PARTS];
    return 1 + parts_of(record->course, parts);
}

void otlp_add(FILE *out, bool first, const struct request_record *record,
              const struct otlp_context *context) {
    struct part parts[OTLP_PARTS];
    const struct trace *trace = &record->course->trace;
    size_t count = parts_of(record->course, parts);
    uint64_t at_ns = record->arrived_ns + context->wall_offset_ns;
    if (!first) fputs(",", out);
    write_server_span(out, record, context);
    for (size_t i = 0; i < count; i++) {
        const struct span span = {.id = context->part_ids[i],
                                  .parent = trace->span_id,
                                  .from_ns = at_ns,
                                  .to_ns = at_ns + parts[i].took_ns,
                                  .kind = SPAN_INTERNAL};
        fputs(",", out);
        begin_span(out, trace, &span);
        fprintf(out, "\"%s\"}", parts[i].name);
        at_ns = span.to_ns;
    }
}

void otlp_begin(FILE *out) {
    fputs("{\"resourceSpans\":[{\"resource\":{\"attributes\":["
          "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"poolgate\"}},"
          "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"" POOLGATE_VERSION "\"}}]},"
          "\"scopeSpans\":[{\"scope\":{\"name\":\"poolgate\"},\"spans\":[",
          out);
}

void otlp_end(FILE *out) {
    fputs("]}]}]}\n", out);
}
