#include "core/transport/talk.h"

#include "core/base/clock.h"
#include "core/transport/envelope.h"
#include "protos/worker.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* protobuf-c generates Poolgate__Worker__V1__Name; short names for the room we are in. */
typedef Poolgate__Worker__V1__Pair Pair;

enum outcome talk_init(struct talk *talk, const struct pool_options *pool, uint32_t slot,
                       transport_event_fn *fn, void *owner) {
    *talk = (struct talk){.pool = pool, .slot = slot, .fn = fn, .owner = owner, .max_batch = 1};
    return OK;
}

void talk_reset(struct talk *talk) {
    for (size_t i = 0; i < talk->partials_count; i++) reply_free(&talk->partials[i].reply);
    talk->partials_count = 0;
    talk->greeted = talk->ready = talk->accepts_memfd = talk->checks = false;
    talk->max_batch = 1;
}

void talk_free(struct talk *talk) {
    talk_reset(talk);
    free(talk->partials);
    talk->partials = NULL;
    talk->partials_room = 0;
}

/* --- sending ------------------------------------------------------------------------------------------- */

static enum outcome post(struct outbox *outbox, const ProtobufCMessage *message,
                         enum wire_type type) {
    uint8_t *head;
    size_t head_bytes;
    enum outcome outcome = envelope_pack(message, type, 0, 0, &head, &head_bytes);
    if (outcome != OK) return outcome;
    return outbox_add(outbox, head, head_bytes, NULL, OUTBOX_STREAM);
}

/* Pairs as the envelope wants them: pointers to structs that borrow the texts. */
struct borrowed_pairs {
    Pair *items;
    Pair **pointers;
};

static enum outcome borrow_pairs(struct borrowed_pairs *out, const struct pair *pairs,
                                 size_t count) {
    *out = (struct borrowed_pairs){0};
    if (count == 0) return OK;
    out->items = calloc(count, sizeof *out->items);
    out->pointers = calloc(count, sizeof(Pair *));
    if (out->items == NULL || out->pointers == NULL) return MEMORY_EXHAUSTED;
    for (size_t i = 0; i < count; i++) {
        poolgate__worker__v1__pair__init(&out->items[i]);
        out->items[i].name = (char *)(uintptr_t)pairs[i].name;
        out->items[i].value = (char *)(uintptr_t)pairs[i].value;
        out->pointers[i] = &out->items[i];
    }
    return OK;
}

static void release_pairs(struct borrowed_pairs *pairs) {
    free(pairs->items);
    free(pairs->pointers);
}

static enum outcome send_setup(const struct talk *talk, struct outbox *outbox) {
    const struct pool_options *pool = talk->pool;
    Poolgate__Worker__V1__Setup setup = POOLGATE__WORKER__V1__SETUP__INIT;
    struct borrowed_pairs args;
    enum outcome outcome = borrow_pairs(&args, pool->worker.args, pool->worker.args_count);
    if (outcome == OK) {
        setup.protocol = WIRE_PROTOCOL;
        setup.pool = (char *)(uintptr_t)pool->name;
        setup.slot = talk->slot;
        setup.args = args.pointers;
        setup.n_args = pool->worker.args_count;
        setup.max_reply_bytes = pool->max_reply_bytes;
        setup.batch = pool->queue.batch_max > 1 ? pool->queue.batch_max : 0;
        outcome = post(outbox, &setup.base, WIRE_SETUP);
    }
    release_pairs(&args);
    return outcome;
}

static enum outcome pack_request(const struct request *request, uint64_t now_ns,
                                 uint32_t batch_more, struct talk_frame *out) {
    uint8_t flags = out->how == OUTBOX_MEMFD ? WIRE_FLAG_MEMFD : 0;
    struct borrowed_pairs metadata;
    enum outcome outcome = borrow_pairs(&metadata, request->metadata, request->metadata_count);
    if (outcome == OK) {
        Poolgate__Worker__V1__Request envelope = POOLGATE__WORKER__V1__REQUEST__INIT;
        envelope.id = request->id;
        envelope.request_id = (char *)(uintptr_t)request->request_id;
        envelope.content_type = (char *)(uintptr_t)request->content_type;
        envelope.operation = (char *)(uintptr_t)request->operation;
        envelope.traceparent = (char *)(uintptr_t)request->traceparent;
        if (request->run_deadline_ns != CLOCK_NEVER)
            envelope.timeout_ns =
                request->run_deadline_ns > now_ns ? request->run_deadline_ns - now_ns : 1;
        envelope.metadata = metadata.pointers;
        envelope.n_metadata = request->metadata_count;
        envelope.batch_more = batch_more;
        uint32_t bytes = request->body != NULL ? (uint32_t)request->body->bytes : 0;
        outcome =
            envelope_pack(&envelope.base, WIRE_REQUEST, flags, bytes, &out->head, &out->head_bytes);
    }
    release_pairs(&metadata);
    return outcome;
}

enum outcome talk_request(struct talk *talk, struct request *request, uint64_t now_ns,
                          uint32_t batch_more, struct talk_frame *out) {
    struct body *body = request->body;
    bool by_memfd = talk->accepts_memfd && body != NULL && body->memfd >= 0 && body->bytes > 0;
    *out = (struct talk_frame){.body = body, .how = by_memfd ? OUTBOX_MEMFD : OUTBOX_STREAM};
    return pack_request(request, now_ns, batch_more, out);
}

/* A frame that cannot be sent for want of memory is lost: the deadline, the ping or the kill that
 * follows makes up for it. */
void talk_cancel(struct outbox *outbox, uint64_t id) {
    Poolgate__Worker__V1__Cancel cancel = POOLGATE__WORKER__V1__CANCEL__INIT;
    cancel.id = id;
    post(outbox, &cancel.base, WIRE_CANCEL);
}

void talk_ping(struct outbox *outbox, uint64_t id) {
    Poolgate__Worker__V1__Ping ping = POOLGATE__WORKER__V1__PING__INIT;
    ping.id = id;
    post(outbox, &ping.base, WIRE_PING);
}

void talk_check(struct outbox *outbox) {
    Poolgate__Worker__V1__Check check = POOLGATE__WORKER__V1__CHECK__INIT;
    post(outbox, &check.base, WIRE_CHECK);
}

void talk_shutdown(struct outbox *outbox) {
    Poolgate__Worker__V1__Shutdown shutdown = POOLGATE__WORKER__V1__SHUTDOWN__INIT;
    post(outbox, &shutdown.base, WIRE_SHUTDOWN);
}

/* --- receiving ------------------------------------------------------------------------------------------- */

static bool broken(struct talk *talk, const char *why) {
    talk->why = why;
    return false;
}

static void emit(struct talk *talk, struct transport_event event) {
    if (event.text == NULL) event.text = "";
    talk->fn(talk->owner, &event);
}

/* Copies checked pairs into one block. */
static bool keep_metadata(struct talk *talk, struct reply *reply, Pair *const *pairs,
                          size_t count) {
    if (count == 0 || reply->metadata != NULL) return true;
    if (count > ENVELOPE_METADATA_PAIRS) return broken(talk, "too many metadata pairs");
    size_t bytes = count * sizeof *reply->metadata;
    for (size_t i = 0; i < count; i++) {
        if (!envelope_name_valid(pairs[i]->name) || !envelope_value_valid(pairs[i]->value))
            return broken(talk, "a metadata pair is not valid");
        bytes += strlen(pairs[i]->name) + strlen(pairs[i]->value) + 2;
    }
    struct pair *kept = malloc(bytes);
    if (kept == NULL) return broken(talk, "out of memory for metadata");
    char *cursor = (char *)(kept + count);
    for (size_t i = 0; i < count; i++) {
        size_t name_bytes = strlen(pairs[i]->name) + 1, value_bytes = strlen(pairs[i]->value) + 1;
        kept[i].name = memcpy(cursor, pairs[i]->name, name_bytes);
        kept[i].value = memcpy(cursor + name_bytes, pairs[i]->value, value_bytes);
        cursor += name_bytes + value_bytes;
    }
    reply->metadata = kept;
    reply->metadata_count = count;
    return true;
}

static bool keep_content_type(struct talk *talk, struct reply *reply, const char *text) {
    if (*text == '\0' || reply->content_type != NULL) return true;
    if (!envelope_value_valid(text)) return broken(talk, "a content type is not valid");
    reply->content_type = strdup(text);
    return reply->content_type != NULL || broken(talk, "out of memory for a content type");
}

static bool keep_headers(struct talk *talk, struct reply *reply, const char *content_type,
                         Pair *const *metadata, size_t metadata_count) {
    return keep_content_type(talk, reply, content_type) &&
           keep_metadata(talk, reply, metadata, metadata_count);
}

/* Takes the frame's payload, from the stream or from the memfd, as a body. */
static struct body *take_payload(struct wire_reader *reader, int *memfd) {
    struct body *body = NULL;
    if ((reader->header.flags & WIRE_FLAG_MEMFD) != 0) {
        if (body_from_memfd(&body, *memfd, reader->header.payload_bytes) == OK) *memfd = -1;
        return body;
    }
    uint8_t *payload = wire_reader_take_payload(reader);
    if (body_from_heap(&body, payload, reader->header.payload_bytes) != OK) free(payload);
    return body;
}

static struct talk_partial *partial(struct talk *talk, uint64_t id) {
    for (size_t i = 0; i < talk->partials_count; i++)
        if (talk->partials[i].id == id) return &talk->partials[i];
    return NULL;
}

/* A worker has no more streams under way than requests. */
static uint64_t partials_limit(const struct talk *talk) {
    uint64_t batch = talk->pool->queue.batch_max;
    return talk->pool->inflight * (batch > 1 ? batch : 1);
}

static struct talk_partial *begin_partial(struct talk *talk, uint64_t id) {
    if (talk->partials_count >= partials_limit(talk)) {
        broken(talk, "chunks of more replies than it has requests");
        return NULL;
    }
    if (talk->partials_count == talk->partials_room) {
        size_t room = talk->partials_room > 0 ? 2 * talk->partials_room : 4;
        struct talk_partial *more = reallocarray(talk->partials, room, sizeof *more);
        if (more == NULL) {
            broken(talk, "out of memory for a stream");
            return NULL;
        }
        talk->partials = more;
        talk->partials_room = room;
    }
    struct talk_partial *part = &talk->partials[talk->partials_count++];
    *part = (struct talk_partial){.id = id};
    return part;
}

/* What has come of a stream, which is over; nothing when there was none. */
static struct reply end_partial(struct talk *talk, uint64_t id) {
    struct talk_partial *part = partial(talk, id);
    if (part == NULL) return (struct reply){0};
    struct reply reply = part->reply;
    *part = talk->partials[--talk->partials_count];
    return reply;
}

/* Adds the payload behind what has come before of the same reply. */
static bool join(struct talk *talk, struct reply *reply, struct body *payload) {
    if (reply->body == NULL) {
        reply->body = payload;
        return true;
    }
    bool fits = reply->body->bytes + payload->bytes <= talk->pool->max_reply_bytes;
    const uint8_t *data = body_data(payload);
    bool joined = fits && (payload->bytes == 0 ||
                           (data != NULL && body_append(reply->body, data, payload->bytes) == OK));
    body_unref(payload);
    if (!fits) return broken(talk, "a reply is larger than the gateway accepts");
    return joined || broken(talk, "out of memory for a reply");
}

static bool on_chunk(struct talk *talk, struct wire_reader *reader, int *memfd,
                     const Poolgate__Worker__V1__Chunk *chunk) {
    if (chunk->id == 0) return broken(talk, "a chunk without an id");
    struct talk_partial *part = partial(talk, chunk->id);
    if (part == NULL) part = begin_partial(talk, chunk->id);
    if (part == NULL) return false;
    if (!keep_headers(talk, &part->reply, chunk->content_type, chunk->metadata, chunk->n_metadata))
        return false;
    struct body *payload = take_payload(reader, memfd);
    if (payload == NULL) return broken(talk, "a payload could not be taken");
    return join(talk, &part->reply, payload);
}

/* Reports a whole reply; what the receiver did not take is freed. */
static bool deliver(struct talk *talk, uint64_t id, struct reply *reply) {
    bool sealed = body_seal(reply->body) == OK || broken(talk, "a reply could not be sealed");
    if (sealed)
        emit(talk, (struct transport_event){.kind = TRANSPORT_REPLY, .id = id, .reply = reply});
    reply_free(reply);
    return sealed;
}

static bool on_reply(struct talk *talk, struct wire_reader *reader, int *memfd,
                     const Poolgate__Worker__V1__Reply *envelope) {
    struct reply reply = end_partial(talk, envelope->id);
    struct body *payload = take_payload(reader, memfd);
    bool whole = (payload != NULL || broken(talk, "a payload could not be taken")) &&
                 keep_headers(talk, &reply, envelope->content_type, envelope->metadata,
                              envelope->n_metadata);
    if (whole)
        whole = join(talk, &reply, payload);
    else
        body_unref(payload);
    if (whole) return deliver(talk, envelope->id, &reply);
    reply_free(&reply);
    return false;
}

static bool report_error(struct talk *talk, uint64_t id, uint32_t kind, const char *said) {
    static const enum transport_error errors[] = {
        [POOLGATE__WORKER__V1__ERROR_KIND__FAILED] = WORKER_SAID_FAILED,
        [POOLGATE__WORKER__V1__ERROR_KIND__INVALID_INPUT] = WORKER_SAID_INVALID,
        [POOLGATE__WORKER__V1__ERROR_KIND__UNSUPPORTED] = WORKER_SAID_UNSUPPORTED,
        [POOLGATE__WORKER__V1__ERROR_KIND__CANCELLED] = WORKER_SAID_CANCELLED};
    if (kind >= sizeof errors / sizeof errors[0])
        return broken(talk, "an error of an unknown kind");
    char text[ENVELOPE_TEXT_BYTES + 1];
    envelope_text_clean(text, said);
    emit(talk, (struct transport_event){
                   .kind = TRANSPORT_ERROR, .id = id, .error = errors[kind], .text = text});
    return true;
}

static bool on_error(struct talk *talk, const Poolgate__Worker__V1__Error *envelope) {
    struct reply begun = end_partial(talk, envelope->id);
    reply_free(&begun);
    return report_error(talk, envelope->id, (uint32_t)envelope->kind, envelope->message);
}

/* An answer that comes whole comes when answers may, and not beside a stream of the same request. */
static bool answer_may_come(struct talk *talk, uint64_t id) {
    if (!talk->greeted) return broken(talk, "did not begin with hello");
    if (!talk->ready) return broken(talk, "an answer before it was ready");
    return partial(talk, id) == NULL ||
           broken(talk, "the end of a reply went another way than its chunks");
}

static bool reply_is_valid(struct talk *talk, const struct reply *reply) {
    if (reply->body->bytes > talk->pool->max_reply_bytes)
        return broken(talk, "a reply is larger than the gateway accepts");
    if (reply->content_type != NULL && !envelope_value_valid(reply->content_type))
        return broken(talk, "a content type is not valid");
    if (reply->metadata_count > ENVELOPE_METADATA_PAIRS)
        return broken(talk, "too many metadata pairs");
    for (size_t i = 0; i < reply->metadata_count; i++)
        if (!envelope_name_valid(reply->metadata[i].name) ||
            !envelope_value_valid(reply->metadata[i].value))
            return broken(talk, "a metadata pair is not valid");
    return true;
}

bool talk_reply(struct talk *talk, uint64_t id, struct reply *reply) {
    if (answer_may_come(talk, id) && reply_is_valid(talk, reply)) return deliver(talk, id, reply);
    reply_free(reply);
    return false;
}

bool talk_error(struct talk *talk, uint64_t id, uint32_t kind, const char *text) {
    return answer_may_come(talk, id) && report_error(talk, id, kind, text);
}

bool talk_lost(struct talk *talk, uint64_t id) {
    if (!answer_may_come(talk, id)) return false;
    emit(talk, (struct transport_event){.kind = TRANSPORT_ERROR,
                                        .id = id,
                                        .error = WORKER_ANSWER_LOST,
                                        .text = "there was no memory to keep its answer"});
    return true;
}

static bool on_hello(struct talk *talk, struct outbox *outbox,
                     const Poolgate__Worker__V1__Hello *hello) {
    if (talk->greeted) return broken(talk, "a second hello");
    if (hello->protocol != WIRE_PROTOCOL) return broken(talk, "speaks another protocol version");
    talk->greeted = true;
    talk->accepts_memfd = hello->accepts_memfd;
    if (send_setup(talk, outbox) != OK) return broken(talk, "its setup could not be sent");
    emit(talk, (struct transport_event){.kind = TRANSPORT_LOADING});
    return true;
}

static uint32_t batch_of(const struct talk *talk, uint32_t said) {
    uint32_t most = talk->pool->queue.batch_max;
    if (said > most) said = most;
    return said > 1 ? said : 1;
}

static bool on_ready(struct talk *talk, const Poolgate__Worker__V1__Ready *ready) {
    if (talk->ready) return broken(talk, "a second ready");
    char text[ENVELOPE_TEXT_BYTES + 1];
    envelope_text_clean(text, ready->error);
    talk->ready = true;
    talk->checks = ready->checks;
    talk->max_batch = batch_of(talk, ready->max_batch);
    emit(talk, (struct transport_event){.kind = TRANSPORT_READY,
                                        .text = text,
                                        .max_batch = talk->max_batch,
                                        .checks = talk->checks});
    return true;
}

static bool on_pong(struct talk *talk, const Poolgate__Worker__V1__Pong *pong) {
    emit(talk, (struct transport_event){.kind = TRANSPORT_PONG,
                                        .id = pong->id,
                                        .waiting = pong->waiting,
                                        .busy_ns = pong->busy_ns});
    return true;
}

static bool on_checked(struct talk *talk, const Poolgate__Worker__V1__Checked *checked) {
    if (!talk->checks) return broken(talk, "the result of a check that it does not have");
    char text[ENVELOPE_TEXT_BYTES + 1];
    envelope_text_clean(text, checked->error);
    emit(talk, (struct transport_event){.kind = TRANSPORT_CHECKED, .text = text});
    return true;
}

static bool dispatch(struct talk *talk, struct wire_reader *reader, int *memfd,
                     struct outbox *outbox, const ProtobufCMessage *message) {
    enum wire_type type = reader->header.type;
    if (!talk->greeted && type != WIRE_HELLO) return broken(talk, "did not begin with hello");
    bool works = type == WIRE_CHUNK || type == WIRE_REPLY || type == WIRE_ERROR;
    if (works && !talk->ready) return broken(talk, "an answer before it was ready");
    const void *envelope = message;
    switch (type) {
    case WIRE_HELLO: return on_hello(talk, outbox, envelope);
    case WIRE_LOADING: return true;
    case WIRE_READY: return on_ready(talk, envelope);
    case WIRE_CHUNK: return on_chunk(talk, reader, memfd, envelope);
    case WIRE_REPLY: return on_reply(talk, reader, memfd, envelope);
    case WIRE_ERROR: return on_error(talk, envelope);
    case WIRE_PONG: return on_pong(talk, envelope);
    case WIRE_CHECKED: return on_checked(talk, envelope);
    default: return broken(talk, "a frame that only the gateway sends");
    }
}

bool talk_frame(struct talk *talk, struct wire_reader *reader, int memfd, struct outbox *outbox) {
    ProtobufCMessage *message;
    bool kept = false;
    if (((reader->header.flags & WIRE_FLAG_MEMFD) != 0) != (memfd >= 0)) {
        broken(talk, "a descriptor is missing or was not announced");
    } else if (envelope_unpack(reader->header.type, reader->envelope, reader->header.envelope_bytes,
                               &message) != OK) {
        broken(talk, "an envelope that is not the type's protobuf");
    } else {
        kept = dispatch(talk, reader, &memfd, outbox, message);
        envelope_free(message);
    }
    if (memfd >= 0) close(memfd);
    return kept;
}
