#include "gateway/http/result.h"

#include "core/base/clock.h"
#include "gateway/http/reply.h"
#include "gateway/status_map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONTENT_TYPE "application/octet-stream"
#define META_NAME_BYTES      128

bool header_value_fits(const char *value) {
    for (; *value != '\0'; value++)
        if (*value < ' ' || *value > '~') return false;
    return true;
}

/* The part of a header's name behind "Poolgate-Meta-": letters, digits, and what joins them. */
static bool meta_name_fits(const char *name) {
    size_t bytes = strlen(name);
    return bytes > 0 && bytes < META_NAME_BYTES - sizeof "Poolgate-Meta-" &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               bytes;
}

void server_timing(const struct request *request, char out[SERVER_TIMING_BYTES]) {
    snprintf(out, SERVER_TIMING_BYTES,
             "queue;dur=%" PRIu64 ".%03u, cold;dur=%" PRIu64 ".%03u, run;dur=%" PRIu64 ".%03u",
             request->queue_ns / CLOCK_MS, (unsigned)(request->queue_ns % CLOCK_MS / CLOCK_US),
             request->cold_ns / CLOCK_MS, (unsigned)(request->cold_ns % CLOCK_MS / CLOCK_US),
             request->run_ns / CLOCK_MS, (unsigned)(request->run_ns % CLOCK_MS / CLOCK_US));
}

static void add_course(struct MHD_Response *response, const struct exchange *exchange,
                       const struct request *request) {
    char text[SERVER_TIMING_BYTES];
    if (request->slot != REQUEST_NO_SLOT) {
        snprintf(text, sizeof text, "%s/%" PRIu32, exchange->match.pool, request->slot);
        MHD_add_response_header(response, "Poolgate-Slot", text);
    }
    snprintf(text, sizeof text, "%" PRIu32, request->attempts);
    MHD_add_response_header(response, "Poolgate-Attempts", text);
    server_timing(request, text);
    MHD_add_response_header(response, "Server-Timing", text);
}

static void add_metadata(struct MHD_Response *response, const struct reply *reply) {
    char name[META_NAME_BYTES];
    for (size_t i = 0; i < reply->metadata_count; i++) {
        const struct pair *pair = &reply->metadata[i];
        if (!meta_name_fits(pair->name) || !header_value_fits(pair->value)) continue;
        snprintf(name, sizeof name, "Poolgate-Meta-%s", pair->name);
        MHD_add_response_header(response, name, pair->value);
    }
}

static void on_sent(void *body) {
    body_unref(body);
}

/* The bytes are not copied: memory is sent from where it is, a memfd by the kernel. */
static struct MHD_Response *make_body(struct body *body) {
    if (body->bytes == 0) return MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (body->memfd >= 0) {
        int fd = fcntl(body->memfd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) return NULL;
        struct MHD_Response *response = MHD_create_response_from_fd64(body->bytes, fd);
        if (response == NULL) close(fd);
        return response;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        body->bytes, body->data, on_sent, body_ref(body));
    if (response == NULL) body_unref(body);
    return response;
}

static enum MHD_Result reply_ok(struct exchange *exchange, const struct request *request) {
    const char *type = request->reply.content_type;
    struct MHD_Response *response = make_body(request->reply.body);
    if (response != NULL) {
        bool usable = type != NULL && type[0] != '\0' && header_value_fits(type);
        reply_counts(exchange, request->reply.body->bytes);
        MHD_add_response_header(response, "Content-Type", usable ? type : DEFAULT_CONTENT_TYPE);
        add_course(response, exchange, request);
        add_metadata(response, &request->reply);
    }
    return reply_queue(exchange, 200, response);
}

enum MHD_Result reply_result(struct exchange *exchange, const struct request *request) {
    if (request->outcome == OK) return reply_ok(exchange, request);
    struct refusal refusal = {
        .outcome = request->outcome,
        .source = request->source,
        .detail = request->detail,
        .retry_after_ns = request->retry_after_ns,
    };
    struct MHD_Response *response = reply_make_problem(exchange, &refusal);
    if (response != NULL) add_course(response, exchange, request);
    return reply_queue(exchange, status_of(request->outcome)->http, response);
}
