/* embed - a worker that turns texts into vectors of unit length, without a model file.
 *
 * thread: one state per slot, no globals.
 * owns:   its state; an answer is handed over without a copy.
 * fails:  POOLGATE_INVALID_INPUT names the input that no vector can be made of; POOLGATE_UNSUPPORTED
 *         is an unknown content type or any operation. A cancelled request stops between two texts.
 *
 * A text that comes twice, in one request or in one batch, is usually embedded once (shelf.h). The metadata
 * Batch of an answer says how many requests were in its batch.
 *
 * Arguments: dimensions, 8 to 4096, how long the vectors are; 384 if not given.
 * In:  application/json {"input": "text" or ["text", …]} and, if wanted, "dimensions" (no more than
 *      configured), "encoding_format" ("float", "base64"), "model" and "user" (texts, not looked
 *      at); or text/plain, which is also what a body without a type is.
 * Out: application/json, {"object":"list","model","data":[{"object":"embedding","index",
 *      "embedding"}],"usage"}, where a token is a word.
 *
 * How a text becomes a vector is said in text_features.h. Vectors are close when texts share words or
 * parts of words; nothing here knows what words mean. */
#include "answer.h"
#include "poolgate/worker.h"
#include "question.h"
#include "shelf.h"
#include "text_features.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIMENSIONS_DEFAULT 384
#define DIMENSIONS_MAX     4096

struct slot {
    size_t dimensions;
    struct shelf shelf;
    locale_t locale; /* in which numbers have a decimal point */
};

/* ---- requests ---- */

static const char *reason_of(enum features_result result) {
    switch (result) {
    case FEATURES_OK: break;
    case FEATURES_NOT_UTF8: return "not valid UTF-8";
    case FEATURES_NO_WORDS: return "empty: without a word there is no vector";
    case FEATURES_TOO_LONG: return "longer than 1 MiB";
    case FEATURES_NO_MEMORY: return "not enough memory";
    }
    return "";
}

static void refuse_text(struct poolgate_reply *reply, const struct question *question, size_t index,
                        enum features_result result) {
    char name[32] = "input", message[96];
    if (question->list != NULL) snprintf(name, sizeof name, "input[%zu]", index);
    snprintf(message, sizeof message, "%s: %s", name, reason_of(result));
    poolgate_reply_fail(
        reply, result == FEATURES_NO_MEMORY ? POOLGATE_FAILED : POOLGATE_INVALID_INPUT, message);
}

/* Returns 0 when every text is in the answer; otherwise the reply was failed. */
static int embed_all(struct slot *slot, const struct question *question, struct answer *answer,
                     struct poolgate_reply *reply) {
    size_t tokens = 0;
    answer_begin(answer, slot->dimensions);
    for (size_t i = 0; i < question->count; i++) {
        if (poolgate_cancelled(reply)) {
            poolgate_reply_fail(reply, POOLGATE_FAILED, "cancelled");
            return -1;
        }
        size_t bytes, words;
        const float *vector;
        const char *text = question_text(question, i, &bytes);
        enum features_result result =
            shelf_embed(&slot->shelf, text, bytes, question->dimensions, &vector, &words);
        if (result != FEATURES_OK) {
            refuse_text(reply, question, i, result);
            return -1;
        }
        answer_add(answer, vector, question->dimensions, question->form);
        tokens += words;
    }
    answer_end(answer, tokens);
    return 0;
}

static void release(void *data, void *owner) {
    (void)owner;
    free(data);
}

static void reply_answer(struct answer *answer, struct poolgate_reply *reply) {
    size_t bytes;
    char *json = answer_take(answer, &bytes);
    if (json == NULL) {
        poolgate_reply_fail(reply, POOLGATE_FAILED, "not enough memory");
    } else {
        poolgate_reply_take(reply, "application/json", json, bytes, release, NULL);
    }
}

/* False when the request was refused; it needs no question_free then. */
static bool read_request(const struct slot *slot, const struct poolgate_request *request,
                         struct question *question, struct poolgate_reply *reply) {
    if (request->operation[0] != '\0') {
        poolgate_reply_fail(reply, POOLGATE_UNSUPPORTED, "operation: not known; allowed: none");
        return false;
    }
    char why[QUESTION_WHY_BYTES];
    int error = question_read(question, request, slot->dimensions, why);
    if (error != 0) poolgate_reply_fail(reply, (enum poolgate_error)error, why);
    return error == 0;
}

static void reply_to(struct slot *slot, const struct question *question,
                     struct poolgate_reply *reply) {
    struct answer answer;
    locale_t before = uselocale(slot->locale);
    if (embed_all(slot, question, &answer, reply) == 0) reply_answer(&answer, reply);
    uselocale(before);
    answer_free(&answer);
}

static void handle(void *state, const struct poolgate_request *request,
                   struct poolgate_reply *reply) {
    struct slot *slot = state;
    struct question question;
    if (!read_request(slot, request, &question, reply)) return;
    reply_to(slot, &question, reply);
    shelf_clear(&slot->shelf);
    question_free(&question);
}

static void name_batch(struct poolgate_reply *replies, size_t count) {
    char number[24];
    snprintf(number, sizeof number, "%zu", count);
    for (size_t i = 0; i < count; i++) poolgate_reply_meta(&replies[i], "Batch", number);
}

/* The shelf refers to texts of all questions, so that they live as long as the batch. */
static void handle_batch(void *state, const struct poolgate_request *requests,
                         struct poolgate_reply *replies, size_t count) {
    struct slot *slot = state;
    name_batch(replies, count);
    struct question *questions = calloc(count, sizeof *questions);
    for (size_t i = 0; i < count; i++) {
        if (questions == NULL)
            poolgate_reply_fail(&replies[i], POOLGATE_FAILED, "not enough memory");
        else if (read_request(slot, &requests[i], &questions[i], &replies[i]))
            reply_to(slot, &questions[i], &replies[i]);
        else
            questions[i] = (struct question){0};
    }
    shelf_clear(&slot->shelf);
    for (size_t i = 0; questions != NULL && i < count; i++) question_free(&questions[i]);
    free(questions);
}

/* ---- life ---- */

static void unload(void *state) {
    struct slot *slot = state;
    if (slot->locale != (locale_t)0) freelocale(slot->locale);
    shelf_close(&slot->shelf);
    free(slot);
}

static int set_argument(struct slot *slot, const struct poolgate_pair *pair, char *error) {
    if (strcmp(pair->name, "dimensions") != 0) {
        snprintf(error, POOLGATE_ERROR_BYTES, "%.64s: no such argument; allowed: dimensions",
                 pair->name);
        return -1;
    }
    char *end;
    unsigned long value = strtoul(pair->value, &end, 10);
    if (pair->value[0] < '0' || pair->value[0] > '9' || *end != '\0' ||
        value < QUESTION_DIMENSIONS_MIN || value > DIMENSIONS_MAX) {
        snprintf(error, POOLGATE_ERROR_BYTES,
                 "dimensions: not allowed; allowed: a whole number from %d to %d",
                 QUESTION_DIMENSIONS_MIN, DIMENSIONS_MAX);
        return -1;
    }
    slot->dimensions = value;
    return 0;
}

static int load(const struct poolgate_args *args, void **state, char error[POOLGATE_ERROR_BYTES]) {
    *state = NULL;
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL) goto no_memory;
    slot->dimensions = DIMENSIONS_DEFAULT;
    for (size_t i = 0; i < args->pairs_count; i++)
        if (set_argument(slot, &args->pairs[i], error) != 0) goto failed;
    slot->locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (shelf_open(&slot->shelf, slot->dimensions) != 0 || slot->locale == (locale_t)0)
        goto no_memory;
    *state = slot;
    return 0;
no_memory:
    snprintf(error, POOLGATE_ERROR_BYTES, "not enough memory");
failed:
    if (slot != NULL) unload(slot);
    return -1;
}

static double squares_of(const float *vector, size_t dimensions) {
    double squares = 0;
    for (size_t i = 0; i < dimensions; i++) squares += (double)vector[i] * (double)vector[i];
    return squares;
}

/* A text that is known to work becomes a vector of length 1, and the same vector each time. */
static int check(void *state, char error[POOLGATE_ERROR_BYTES]) {
    static const char text[] = "The quick gate lets the patient queue through.";
    struct slot *slot = state;
    float *vector = slot->shelf.vectors, *again = vector + slot->dimensions;
    size_t words, words_again;
    shelf_clear(&slot->shelf); /* its first two places are needed */
    enum features_result result =
        features_embed(text, sizeof text - 1, vector, slot->dimensions, &words);
    features_embed(text, sizeof text - 1, again, slot->dimensions, &words_again);
    double squares = squares_of(vector, slot->dimensions);
    bool same =
        words == words_again && memcmp(vector, again, slot->dimensions * sizeof *vector) == 0;
    if (result == FEATURES_OK && words == 8 && fabs(squares - 1) < 1e-5 && same) return 0;
    snprintf(error, POOLGATE_ERROR_BYTES, "a known text became a vector of length %g%s (%s)",
             sqrt(squares), same ? "" : ", and another one the second time", reason_of(result));
    return -1;
}

static const struct poolgate_worker worker = {
    .abi = POOLGATE_WORKER_ABI,
    .struct_bytes = sizeof(struct poolgate_worker),
    .name = "embed",
    .version = POOLGATE_VERSION,
    .load = load,
    .handle = handle,
    .handle_batch = handle_batch,
    .check = check,
    .unload = unload,
};

const struct poolgate_worker *poolgate_worker_entry(void) {
    return &worker;
}
