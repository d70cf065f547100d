#include "gateway/grpc/client.h"

#include "gateway/grpc/message.h"
#include "protos/gateway.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES ((size_t)256 * 1024)

/* What comes back from one call. */
struct answer {
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *message;
    grpc_status_code status;
    grpc_slice detail;
};

/* --- the question --- */

/* The file to its end, in one block. */
static bool read_all(FILE *file, uint8_t **data, size_t *bytes) {
    size_t room = 0;
    *data = NULL;
    *bytes = 0;
    for (;;) {
        if (room - *bytes < READ_BYTES) {
            room = room * 2 + READ_BYTES;
            uint8_t *grown = realloc(*data, room);
            if (grown == NULL) return false;
            *data = grown;
        }
        size_t count = fread(*data + *bytes, 1, room - *bytes, file);
        *bytes += count;
        if (count == 0) return ferror(file) == 0;
    }
}

static char *text(const char *constant) {
    return (char *)(uintptr_t)(constant != NULL ? constant : "");
}

/* The payload goes last and is not copied. */
static grpc_byte_buffer *make_message(const struct rpc_client *client, uint8_t *data,
                                      size_t bytes) {
    Poolgate__V1__InvokeRequest rest = POOLGATE__V1__INVOKE_REQUEST__INIT;
    rest.pool = text(client->pool);
    rest.content_type = text(client->content_type);
    rest.operation = text(client->operation);
    rest.priority = (Poolgate__V1__Priority)client->priority;
    size_t rest_bytes = poolgate__v1__invoke_request__get_packed_size(&rest);
    grpc_slice slices[2] = {grpc_slice_malloc(rest_bytes + 11)};
    uint8_t *at = GRPC_SLICE_START_PTR(slices[0]);
    at += poolgate__v1__invoke_request__pack(&rest, at);
    *at++ = 0x12; /* field 2, length and bytes */
    size_t left = bytes;
    for (; left >= 0x80; left >>= 7) *at++ = (uint8_t)(left | 0x80);
    *at++ = (uint8_t)left;
    grpc_slice head =
        grpc_slice_sub_no_ref(slices[0], 0, (size_t)(at - GRPC_SLICE_START_PTR(slices[0])));
    slices[0] = head;
    slices[1] = grpc_slice_new(data, bytes, free);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(slices, 2);
    grpc_slice_unref(slices[0]);
    grpc_slice_unref(slices[1]);
    return message;
}

/* The call holds what it sends until its end. */
static void perform(grpc_call *call, grpc_completion_queue *queue, grpc_byte_buffer *message,
                    const char *key, struct answer *answer) {
    char bearer[256] = "";
    if (key != NULL) snprintf(bearer, sizeof bearer, "Bearer %s", key);
    grpc_metadata shown = {.key = grpc_slice_from_static_string("authorization"),
                           .value = grpc_slice_from_copied_string(bearer)};
    grpc_op ops[6] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
                      {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},  {.op = GRPC_OP_RECV_MESSAGE}};
    ops[0].data.send_initial_metadata.count = key != NULL ? 1 : 0;
    ops[0].data.send_initial_metadata.metadata = &shown;
    ops[1].data.send_message.send_message = message;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &answer->initial;
    ops[4].data.recv_status_on_client.trailing_metadata = &answer->trailing;
    ops[4].data.recv_status_on_client.status = &answer->status;
    ops[4].data.recv_status_on_client.status_details = &answer->detail;
    ops[5].data.recv_message.recv_message = &answer->message;
    grpc_call_error error = grpc_call_start_batch(call, ops, 6, answer, NULL);
    assert(error == GRPC_CALL_OK);
    grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice_unref(shown.value);
}

/* --- the answer --- */

static char *trailer(const struct answer *answer, const char *name) {
    for (size_t i = 0; i < answer->trailing.count; i++)
        if (grpc_slice_str_cmp(answer->trailing.metadata[i].key, name) == 0)
            return grpc_slice_to_c_string(answer->trailing.metadata[i].value);
    return NULL;
}

static void print_timing(FILE *out, struct message_field *field) {
    static const char *const names[] = {"", "queue", "cold", "run"};
    struct message_fields fields = {.at = field->data, .end = field->data + field->bytes};
    struct message_field part;
    while (message_next(&fields, &part)) {
        if (part.number >= 1 && part.number <= 3)
            fprintf(out, "%s: %.3f ms\n", names[part.number], (double)part.value / 1e3);
        if (part.number == 4) fprintf(out, "attempts: %" PRIu64 "\n", part.value);
    }
}

static void print_course(FILE *out, struct message_page *page) {
    struct message_fields fields = message_fields(page);
    struct message_field field;
    while (message_next(&fields, &field)) {
        if (field.number == 5) print_timing(out, &field);
        const char *value = field.number == 4 || field.number == 6 ? message_text(&field) : NULL;
        if (value != NULL && text_valid(value, field.bytes))
            fprintf(out, "%s: %s\n", field.number == 4 ? "request-id" : "slot", value);
    }
}

static enum outcome on_piece(void *owner, const uint8_t *data, size_t bytes) {
    return fwrite(data, 1, bytes, owner) == bytes ? OK : STORAGE_FULL;
}

static bool read_answer(struct rpc_client *client, const struct answer *answer) {
    struct message_page page;
    struct message_extent payload;
    client->status = (int)answer->status;
    client->code = trailer(answer, "poolgate-code");
    client->pushback_ms = trailer(answer, "grpc-retry-pushback-ms");
    client->detail = grpc_slice_to_c_string(answer->detail);
    if (answer->status != GRPC_STATUS_OK) return true;
    if (message_sort(answer->message, 1, &page, &payload) != OK) {
        fprintf(stderr, "poolgate: the answer is not an InvokeResponse\n");
        return false;
    }
    if (client->timing != NULL) print_course(client->timing, &page);
    if (message_pieces(answer->message, payload, on_piece, client->out) == OK) return true;
    fprintf(stderr, "poolgate: the answer cannot be written\n");
    return false;
}

/* --- the call --- */

#define SECURE_SCHEME      "https://"
#define TRUSTED_BY_MACHINE "/etc/ssl/certs/ca-certificates.crt"
#define PEM_BYTES_MOST     ((size_t)4 * 1024 * 1024)

/* A whole PEM file as a text that is freed; NULL after a line on stderr. */
static char *read_pem(const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = fopen(path, "rbe");
    if (file != NULL) text = malloc(PEM_BYTES_MOST + 1);
    if (text != NULL) bytes = fread(text, 1, PEM_BYTES_MOST, file);
    if (file == NULL || text == NULL || ferror(file) != 0)
        fprintf(stderr, "poolgate: %s: %s\n", path, strerror(errno));
    if (text != NULL) text[bytes] = '\0';
    if (file != NULL) fclose(file);
    return text;
}

static grpc_channel_credentials *open_secure(const struct rpc_client *client) {
    grpc_channel_credentials *credentials = NULL;
    char *ca = read_pem(client->tls_ca != NULL ? client->tls_ca : TRUSTED_BY_MACHINE);
    char *cert = client->tls_cert != NULL ? read_pem(client->tls_cert) : NULL;
    char *key = client->tls_key != NULL ? read_pem(client->tls_key) : NULL;
    grpc_ssl_pem_key_cert_pair pair = {.private_key = key, .cert_chain = cert};
    bool read = ca != NULL && (client->tls_cert == NULL || cert != NULL) &&
                (client->tls_key == NULL || key != NULL);
    if (read && (cert == NULL) != (key == NULL))
        fprintf(stderr, "poolgate: --cert and --key come together\n");
    else if (read)
        credentials = grpc_ssl_credentials_create(ca, cert != NULL ? &pair : NULL, NULL, NULL);
    if (key != NULL) explicit_bzero(key, strlen(key));
    free(ca);
    free(cert);
    free(key);
    return credentials;
}

/* NULL after a line on stderr. */
static grpc_channel *open_channel(const struct rpc_client *client) {
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
    };
    const grpc_channel_args all = {.num_args = sizeof args / sizeof args[0], .args = args};
    const char *address = client->address;
    bool secure = strncmp(address, SECURE_SCHEME, sizeof SECURE_SCHEME - 1) == 0;
    if (secure) address += sizeof SECURE_SCHEME - 1;
    grpc_channel_credentials *credentials =
        secure ? open_secure(client) : grpc_insecure_credentials_create();
    if (credentials == NULL) return NULL;
    grpc_channel *channel = grpc_channel_create(address, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

static gpr_timespec deadline_of(const struct rpc_client *client) {
    if (client->timeout_ms == 0 || client->timeout_ms > INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis((int64_t)client->timeout_ms, GPR_TIMESPAN));
}

static bool call_gateway(struct rpc_client *client, grpc_byte_buffer *message) {
    grpc_channel *channel = open_channel(client);
    if (channel == NULL) return false;
    struct answer answer = {.detail = grpc_empty_slice()};
    grpc_metadata_array_init(&answer.initial);
    grpc_metadata_array_init(&answer.trailing);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    grpc_call *call =
        grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                 grpc_slice_from_static_string("/poolgate.v1.Gateway/Invoke"), NULL,
                                 deadline_of(client), NULL);
    perform(call, queue, message, client->key, &answer);
    bool read = read_answer(client, &answer);
    grpc_metadata_array_destroy(&answer.initial);
    grpc_metadata_array_destroy(&answer.trailing);
    grpc_slice_unref(answer.detail);
    if (answer.message != NULL) grpc_byte_buffer_destroy(answer.message);
    grpc_call_unref(call);
    grpc_channel_destroy(channel);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(queue);
    return read;
}

bool rpc_client_invoke(struct rpc_client *client) {
    uint8_t *data;
    size_t bytes;
    if (!read_all(client->body, &data, &bytes)) {
        fprintf(stderr, "poolgate: the body cannot be read: %s\n", strerror(errno));
        free(data);
        return false;
    }
    grpc_init();
    grpc_byte_buffer *message = make_message(client, data, bytes);
    bool answered = call_gateway(client, message);
    grpc_byte_buffer_destroy(message);
    grpc_shutdown();
    return answered;
}

void rpc_client_explain(const struct rpc_client *client, FILE *out) {
    fprintf(out, "poolgate: %s%s%s (gRPC %d", client->code != NULL ? client->code : "",
            client->code != NULL ? ": " : "", client->detail, client->status);
    if (client->pushback_ms != NULL) fprintf(out, ", retry in %s ms", client->pushback_ms);
    fprintf(out, ")\n");
}

void rpc_client_free(struct rpc_client *client) {
    gpr_free(client->code);
    gpr_free(client->detail);
    gpr_free(client->pushback_ms);
    client->code = client->detail = client->pushback_ms = NULL;
}
