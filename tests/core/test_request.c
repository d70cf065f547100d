/* request: its texts are its own, what is missing is "", and everything it holds goes with it. */
#include "core/base/clock.h"
#include "core/base/heap.h"
#include "core/base/request.h"
#include "tests/support/suite.h"

#include <string.h>

static char long_text[5000];

static struct request *make_request(const struct request_texts *texts) {
    struct request *request;
    ck_assert_int_eq(request_create(&request, texts), OK);
    return request;
}

START_TEST(a_new_request_is_nowhere_and_has_no_deadline) {
    struct request *request = make_request(&(struct request_texts){.request_id = "a"});
    ck_assert_int_eq(request->state, REQUEST_NEW);
    ck_assert_int_eq(request->priority, PRIORITY_NORMAL);
    ck_assert_uint_eq(request->deadline_ns, CLOCK_NEVER);
    ck_assert_uint_eq(request->deadline_index, REQUEST_NOWHERE);
    ck_assert_uint_eq(request->slot, REQUEST_NO_SLOT);
    ck_assert_uint_eq(request->id, 0);
    ck_assert_uint_eq(request->attempts, 0);
    ck_assert_ptr_null(request->body);
    ck_assert_ptr_null(request->reply.body);
    ck_assert_ptr_null(request->detail);
    request_free(request);
}
END_TEST

START_TEST(texts_are_copied) {
    char id[] = "id", type[] = "text/plain", operation[] = "embed", tenant[] = "acme",
         key[] = "batch", trace[] = "00-1-2-01", name[] = "n", value[] = "v";
    struct pair metadata[] = {{name, value}, {"second", "two"}};
    struct request *request = make_request(&(struct request_texts){.request_id = id,
                                                                   .content_type = type,
                                                                   .operation = operation,
                                                                   .tenant = tenant,
                                                                   .batch_key = key,
                                                                   .traceparent = trace,
                                                                   .metadata = metadata,
                                                                   .metadata_count = 2});
    id[0] = type[0] = operation[0] = tenant[0] = key[0] = trace[0] = name[0] = value[0] = '!';
    metadata[1] = (struct pair){0};
    ck_assert_str_eq(request->request_id, "id");
    ck_assert_str_eq(request->content_type, "text/plain");
    ck_assert_str_eq(request->operation, "embed");
    ck_assert_str_eq(request->tenant, "acme");
    ck_assert_str_eq(request->batch_key, "batch");
    ck_assert_str_eq(request->traceparent, "00-1-2-01");
    ck_assert_uint_eq(request->metadata_count, 2);
    ck_assert_str_eq(request->metadata[0].name, "n");
    ck_assert_str_eq(request->metadata[0].value, "v");
    ck_assert_str_eq(request->metadata[1].name, "second");
    ck_assert_str_eq(request->metadata[1].value, "two");
    request_free(request);
}
END_TEST

START_TEST(what_is_not_given_is_an_empty_text) {
    static const struct pair metadata[] = {{"empty", ""}, {"none", NULL}};
    struct request *request =
        make_request(&(struct request_texts){.metadata = metadata, .metadata_count = 2});
    ck_assert_str_eq(request->request_id, "");
    ck_assert_str_eq(request->content_type, "");
    ck_assert_str_eq(request->operation, "");
    ck_assert_str_eq(request->tenant, "");
    ck_assert_str_eq(request->batch_key, "");
    ck_assert_str_eq(request->traceparent, "");
    ck_assert_str_eq(request->metadata[0].value, "");
    ck_assert_str_eq(request->metadata[1].name, "none");
    ck_assert_str_eq(request->metadata[1].value, "");
    request_free(request);
}
END_TEST

START_TEST(long_texts_are_kept_whole) {
    memset(long_text, 'x', sizeof long_text - 1);
    struct pair metadata[50];
    for (int i = 0; i < 50; i++) metadata[i] = (struct pair){long_text, long_text};
    struct request *request = make_request(&(struct request_texts){
        .request_id = long_text, .tenant = long_text, .metadata = metadata, .metadata_count = 50});
    ck_assert_str_eq(request->request_id, long_text);
    ck_assert_str_eq(request->tenant, long_text);
    for (int i = 0; i < 50; i++) ck_assert_str_eq(request->metadata[i].value, long_text);
    request_free(request);
}
END_TEST

START_TEST(an_explanation_replaces_the_last_one) {
    struct request *request = make_request(&(struct request_texts){0});
    request_explain(request, "%s after %d", "late", 5);
    ck_assert_str_eq(request->detail, "late after 5");
    request_explain(request, "%s", "again");
    ck_assert_str_eq(request->detail, "again");
    request_free(request);
}
END_TEST

static void count_release(void *owner, size_t bytes) {
    *(size_t *)owner += bytes;
}

static struct body *make_body(const char *text, size_t *released_bytes) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, 0), OK);
    ck_assert_int_eq(body_append(body, text, strlen(text)), OK);
    body->released = count_release;
    body->released_owner = released_bytes;
    return body;
}

START_TEST(a_freed_request_gives_back_its_body_and_its_reply) {
    size_t asked = 0, answered = 0;
    struct request *request = make_request(&(struct request_texts){0});
    request->body = make_body("question", &asked);
    request->reply = (struct reply){.body = make_body("answer", &answered),
                                    .content_type = strdup("text/plain"),
                                    .metadata = calloc(1, sizeof(struct pair)),
                                    .metadata_count = 1};
    request_free(request);
    ck_assert_uint_eq(asked, 8);
    ck_assert_uint_eq(answered, 6);
    request_free(NULL);
}
END_TEST

START_TEST(a_freed_reply_is_empty_and_may_be_freed_again) {
    size_t answered = 0;
    struct reply reply = {.body = make_body("answer", &answered), .content_type = strdup("a/b")};
    reply_free(&reply);
    ck_assert_uint_eq(answered, 6);
    ck_assert_ptr_null(reply.body);
    ck_assert_ptr_null(reply.content_type);
    ck_assert_ptr_null(reply.metadata);
    ck_assert_uint_eq(reply.metadata_count, 0);
    reply_free(&reply);
    ck_assert_uint_eq(answered, 6);
}
END_TEST

START_TEST(a_copied_reply_shares_the_body_and_copies_the_rest) {
    size_t answered = 0;
    static const char texts[] = "model\0small\0empty\0";
    struct pair *pairs = malloc(2 * sizeof *pairs + sizeof texts); /* one block, as it comes */
    char *text = memcpy(pairs + 2, texts, sizeof texts);
    pairs[0] = (struct pair){text, text + 6};
    pairs[1] = (struct pair){text + 12, text + 18};
    struct reply reply = {.body = make_body("answer", &answered),
                          .content_type = strdup("text/plain"),
                          .metadata = pairs,
                          .metadata_count = 2};
    struct reply copy;
    ck_assert_int_eq(reply_copy(&copy, &reply), OK);
    ck_assert_ptr_eq(copy.body, reply.body);
    reply_free(&reply);
    ck_assert_uint_eq(answered, 0); /* the copy still has it */
    ck_assert_str_eq(copy.content_type, "text/plain");
    ck_assert_uint_eq(copy.metadata_count, 2);
    ck_assert_str_eq(copy.metadata[0].name, "model");
    ck_assert_str_eq(copy.metadata[0].value, "small");
    ck_assert_str_eq(copy.metadata[1].value, "");
    reply_free(&copy);
    ck_assert_uint_eq(answered, 6);
}
END_TEST

START_TEST(a_copied_reply_without_anything_but_a_body_has_nothing_else) {
    size_t answered = 0;
    struct reply reply = {.body = make_body("", &answered)}, copy;
    ck_assert_int_eq(reply_copy(&copy, &reply), OK);
    ck_assert_ptr_null(copy.content_type);
    ck_assert_ptr_null(copy.metadata);
    reply_free(&reply);
    reply_free(&copy);
}
END_TEST

START_TEST(a_request_takes_the_evidence_of_its_deaths_with_it) {
    struct request *request = make_request(&(struct request_texts){0});
    request->evidence = calloc(1, 100); /* a leak if it is not freed: the sanitizer tells */
    request->marks = 1;
    request_free(request);
}
END_TEST

START_TEST(priorities_have_five_names_in_order) {
    static const char *const names[] = {"critical", "high", "normal", "low", "batch"};
    ck_assert_int_eq(PRIORITY_COUNT, 5);
    for (enum priority priority = 0; priority < PRIORITY_COUNT; priority++) {
        ck_assert_str_eq(priority_name(priority), names[priority]);
        ck_assert_int_eq(priority_from_name(names[priority]), priority);
    }
    ck_assert_str_eq(priority_name(PRIORITY_COUNT), "?");
}
END_TEST

START_TEST(other_words_are_no_priority) {
    static const char *const words[] = {"", "Critical", "normal ", "norma", "normally", "0", "?"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_int_eq(priority_from_name(words[i]), PRIORITY_COUNT);
}
END_TEST

SUITE("core/request", 30, a_new_request_is_nowhere_and_has_no_deadline, texts_are_copied,
      what_is_not_given_is_an_empty_text, long_texts_are_kept_whole,
      an_explanation_replaces_the_last_one, a_freed_request_gives_back_its_body_and_its_reply,
      a_freed_reply_is_empty_and_may_be_freed_again,
      a_copied_reply_shares_the_body_and_copies_the_rest,
      a_copied_reply_without_anything_but_a_body_has_nothing_else,
      a_request_takes_the_evidence_of_its_deaths_with_it, priorities_have_five_names_in_order,
      other_words_are_no_priority)
