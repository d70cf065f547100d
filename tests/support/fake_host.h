/* fake_host - loads a plug-in's shared object and plays the gateway for it: one slot, one request at
 * a time, everything that the plug-in answers is kept for the test to look at.
 * thread: the test's own.
 * owns:   an answer owns copies of what was answered; answer_free gives them back. plugin_close
 *         unloads the state and the object.
 * fails:  what a correct host would never see fails the test at once: no entry, a wrong table, two
 *         answers, metadata after the first byte, no answer at all. */
#ifndef TESTS_SUPPORT_FAKE_HOST_H
#define TESTS_SUPPORT_FAKE_HOST_H

#include "poolgate/worker.h"

#include <check.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plugin {
    void *library;
    const struct poolgate_worker *worker;
    void *state;
    char error[POOLGATE_ERROR_BYTES];
};

enum answer_kind { ANSWER_NONE, ANSWER_WHOLE, ANSWER_CHUNKS, ANSWER_ERROR };

struct answer {
    enum answer_kind kind;
    char content_type[128];
    char *bytes; /* ends with NUL, which size does not count */
    size_t size, chunks, taken;
    enum poolgate_error error;
    char message[1024];
    char meta_name[64], meta_value[64];
    size_t metas;
    long asks;              /* how often the plug-in asked whether it is cancelled */
    long cancel_after_asks; /* from then on it is */
};

#define NEVER_CANCEL LONG_MAX

/* ---- the host's side of a reply ---- */

static inline struct answer *answer_of(const struct poolgate_reply *reply) {
    return reply->host_state;
}

static inline void answer_append(struct answer *answer, const char *type, const void *data,
                                 size_t bytes) {
    if (answer->bytes == NULL)
        snprintf(answer->content_type, sizeof answer->content_type, "%s", type);
    answer->bytes = realloc(answer->bytes, answer->size + bytes + 1);
    ck_assert_ptr_nonnull(answer->bytes);
    if (bytes > 0) memcpy(answer->bytes + answer->size, data, bytes);
    answer->size += bytes;
    answer->bytes[answer->size] = '\0';
}

static inline int fake_meta(struct poolgate_reply *reply, const char *name, const char *value) {
    struct answer *answer = answer_of(reply);
    ck_assert_int_eq(answer->kind, ANSWER_NONE);
    snprintf(answer->meta_name, sizeof answer->meta_name, "%s", name);
    snprintf(answer->meta_value, sizeof answer->meta_value, "%s", value);
    answer->metas++;
    return 0;
}

static inline int fake_send(struct poolgate_reply *reply, const char *type, const void *data,
                            size_t bytes) {
    struct answer *answer = answer_of(reply);
    ck_assert_int_eq(answer->kind, ANSWER_NONE);
    answer->kind = ANSWER_WHOLE;
    answer_append(answer, type, data, bytes);
    return 0;
}

static inline int fake_take(struct poolgate_reply *reply, const char *type, void *data,
                            size_t bytes, void (*release)(void *data, void *owner), void *owner) {
    int sent = fake_send(reply, type, data, bytes);
    answer_of(reply)->taken++;
    release(data, owner);
    return sent;
}

static inline int fake_chunk(struct poolgate_reply *reply, const char *type, const void *data,
                             size_t bytes) {
    struct answer *answer = answer_of(reply);
    ck_assert(answer->kind == ANSWER_NONE || answer->kind == ANSWER_CHUNKS);
    answer->kind = ANSWER_CHUNKS;
    answer->chunks++;
    answer_append(answer, type, data, bytes);
    return 0;
}

static inline int fake_fail(struct poolgate_reply *reply, enum poolgate_error error,
                            const char *message) {
    struct answer *answer = answer_of(reply);
    ck_assert(answer->kind == ANSWER_NONE || answer->kind == ANSWER_CHUNKS);
    answer->kind = ANSWER_ERROR;
    answer->error = error;
    snprintf(answer->message, sizeof answer->message, "%s", message);
    return 0;
}

static inline int fake_cancelled(const struct poolgate_reply *reply) {
    struct answer *answer = answer_of(reply);
    return ++answer->asks > answer->cancel_after_asks;
}

/* ---- the test's side ---- */

/* Opens BUILD/workers/NAME.so and its table; loads nothing yet. */
static inline struct plugin plugin_open(const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/workers/%s.so", TEST_BUILD_FOLDER, name);
    struct plugin plugin = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    ck_assert_msg(plugin.library != NULL, "%s", dlerror());
    poolgate_worker_entry_fn *entry =
        (poolgate_worker_entry_fn *)dlsym(plugin.library, "poolgate_worker_entry");
    ck_assert_msg(entry != NULL, "%s: no poolgate_worker_entry", path);
    plugin.worker = entry();
    ck_assert_uint_eq(plugin.worker->abi, POOLGATE_WORKER_ABI);
    ck_assert_uint_eq(plugin.worker->struct_bytes, sizeof(struct poolgate_worker));
    ck_assert_str_eq(plugin.worker->name, name);
    return plugin;
}

/* Makes slot 7 of pool "test"; what load returned. The error is in plugin->error. */
static inline int plugin_load(struct plugin *plugin, const struct poolgate_pair *pairs,
                              size_t pairs_count) {
    struct poolgate_args args = {
        .pool = "test", .slot = 7, .pairs = pairs, .pairs_count = pairs_count};
    return plugin->worker->load(&args, &plugin->state, plugin->error);
}

/* A plug-in that is loaded with at most one argument (name NULL: none); it must succeed. */
static inline struct plugin plugin_loaded(const char *plugin_name, const char *name,
                                          const char *value) {
    struct plugin plugin = plugin_open(plugin_name);
    struct poolgate_pair pair = {name, value};
    int loaded = plugin_load(&plugin, &pair, name != NULL);
    ck_assert_msg(loaded == 0, "%s", plugin.error);
    return plugin;
}

/* That load refuses this argument and says so in these words. */
static inline void plugin_refuses_argument(const char *plugin_name, const char *name,
                                           const char *value, const char *words) {
    struct plugin plugin = plugin_open(plugin_name);
    struct poolgate_pair pair = {name, value};
    ck_assert_int_ne(plugin_load(&plugin, &pair, 1), 0);
    ck_assert_msg(strstr(plugin.error, words) != NULL, "%s=%s: %s", name, value, plugin.error);
    ck_assert_ptr_null(plugin.state);
    dlclose(plugin.library);
}

static inline void plugin_close(struct plugin *plugin) {
    plugin->worker->unload(plugin->state);
    dlclose(plugin->library);
}

static const struct poolgate_host fake_host = {
    .abi = POOLGATE_WORKER_ABI,
    .struct_bytes = sizeof fake_host,
    .meta = fake_meta,
    .send = fake_send,
    .take = fake_take,
    .chunk = fake_chunk,
    .fail = fake_fail,
    .cancelled = fake_cancelled,
};

/* Sends one request; answers that it was cancelled once that was asked cancel_after_asks times. */
static inline struct answer plugin_ask_until(struct plugin *plugin, const char *content_type,
                                             const char *operation, const void *body,
                                             size_t body_bytes, long cancel_after_asks) {
    struct answer answer = {.cancel_after_asks = cancel_after_asks};
    struct poolgate_request request = {
        .request_id = "request-1",
        .content_type = content_type,
        .operation = operation,
        .traceparent = "",
        .body = body,
        .body_bytes = body_bytes,
    };
    struct poolgate_reply reply = {.host = &fake_host, .host_state = &answer};
    plugin->worker->handle(plugin->state, &request, &reply);
    ck_assert_int_ne(answer.kind, ANSWER_NONE);
    return answer;
}

#define FAKE_BATCH_MAX 64

/* Sends count requests as one batch; only their texts and bodies need to be set. Each must be answered. */
static inline void plugin_ask_batch(struct plugin *plugin, const struct poolgate_request *requests,
                                    struct answer *answers, size_t count) {
    struct poolgate_reply replies[FAKE_BATCH_MAX];
    ck_assert_uint_le(count, FAKE_BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        answers[i] = (struct answer){.cancel_after_asks = NEVER_CANCEL};
        replies[i] = (struct poolgate_reply){.host = &fake_host, .host_state = &answers[i]};
    }
    plugin->worker->handle_batch(plugin->state, requests, replies, count);
    for (size_t i = 0; i < count; i++) ck_assert_int_ne(answers[i].kind, ANSWER_NONE);
}

static inline struct answer plugin_ask(struct plugin *plugin, const char *content_type,
                                       const char *operation, const void *body, size_t body_bytes) {
    return plugin_ask_until(plugin, content_type, operation, body, body_bytes, NEVER_CANCEL);
}

static inline struct answer plugin_ask_text(struct plugin *plugin, const char *content_type,
                                            const char *operation, const char *body) {
    return plugin_ask(plugin, content_type, operation, body, strlen(body));
}

static inline void answer_free(struct answer *answer) {
    free(answer->bytes);
    answer->bytes = NULL;
}

/* That the answer is this error with these words in it; frees it. */
static inline void answer_is_error(struct answer answer, enum poolgate_error error,
                                   const char *words) {
    ck_assert_msg(answer.kind == ANSWER_ERROR, "no error but: %.200s", answer.bytes);
    ck_assert_msg(strstr(answer.message, words) != NULL, "\"%s\" is not in: %s", words,
                  answer.message);
    ck_assert_int_eq(answer.error, error);
    answer_free(&answer);
}

#endif
