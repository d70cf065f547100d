/* quarantine: what is buried keeps its texts, its body and its evidence, within two bounds. The sources
 * are compiled in here with an allocator that can run dry. */
#include <stdlib.h>

static void *rationed_malloc(size_t bytes);
static void *rationed_calloc(size_t count, size_t bytes);

#define malloc rationed_malloc
#define calloc rationed_calloc
#include "core/base/request.c"
#include "core/policy/quarantine.c"
#undef malloc
#undef calloc

#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <string.h>

#define MIB       (UINT64_C(1024) * 1024)
#define UNLIMITED (-1)

static int ration; /* allocations that still succeed */

static bool use_ration(void) {
    if (ration == 0) return false;
    if (ration > 0) ration--;
    return true;
}

static void *rationed_malloc(size_t bytes) {
    return use_ration() ? malloc(bytes) : NULL;
}

static void *rationed_calloc(size_t count, size_t bytes) {
    return use_ration() ? calloc(count, bytes) : NULL;
}

static struct quarantine quarantine;

static void open_quarantine(void) {
    ration = UNLIMITED;
    quarantine_init(&quarantine);
}

/* --- requests with bodies that are counted and nowhere: nobody reads them ------------------------------ */

static int bodies;

static void body_gone(void *owner, size_t bytes) {
    (void)owner;
    (void)bytes;
    bodies--;
}

static struct body *make_body(uint64_t bytes) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, 0), OK);
    body->bytes = bytes;
    body->released = body_gone;
    bodies++;
    return body;
}

static struct request *make_request(uint64_t body_bytes) {
    static const struct pair metadata[] = {{"colour", "green"}, {"empty", ""}};
    const struct request_texts texts = {.request_id = "r-7",
                                        .content_type = "image/png",
                                        .operation = "ocr",
                                        .tenant = "acme",
                                        .batch_key = "small",
                                        .traceparent = "00-1-2-01",
                                        .metadata = metadata,
                                        .metadata_count = 2};
    struct request *request;
    ck_assert_int_eq(request_create(&request, &texts), OK);
    request->id = quarantine.numbers + 1;
    request->pool = 3;
    request->priority = PRIORITY_LOW;
    request->digest[0] = 11;
    request->digest[1] = 22;
    request->body = make_body(body_bytes);
    return request;
}

/* The request is freed, as after its answer: only what the quarantine holds is left. */
static enum outcome bury(uint64_t body_bytes, uint64_t now_ns) {
    const struct quarantine_mark mark = {.how = "signal 11"};
    struct request *request = make_request(body_bytes);
    enum outcome outcome = quarantine_add(&quarantine, request, &mark, 1, now_ns);
    request_free(request);
    return outcome;
}

static struct quarantined *oldest(void) {
    return LIST_ENTRY(quarantine.buried.next, struct quarantined, node);
}

START_TEST(a_buried_request_keeps_its_texts_and_its_body_after_the_request_is_gone) {
    open_quarantine();
    ck_assert_int_eq(bury(1000, 77), OK);
    struct quarantined *entry = quarantine_find(&quarantine, 1);
    ck_assert_ptr_nonnull(entry);
    ck_assert_ptr_eq(entry, oldest());
    ck_assert_uint_eq(entry->buried_ns, 77);
    ck_assert_uint_eq(entry->digest[0], 11);
    ck_assert_uint_eq(entry->digest[1], 22);
    ck_assert_uint_eq(entry->body_bytes, 1000);
    ck_assert_str_eq(entry->copy->request_id, "r-7");
    ck_assert_str_eq(entry->copy->content_type, "image/png");
    ck_assert_str_eq(entry->copy->operation, "ocr");
    ck_assert_str_eq(entry->copy->tenant, "acme");
    ck_assert_str_eq(entry->copy->batch_key, "small");
    ck_assert_str_eq(entry->copy->traceparent, "00-1-2-01");
    ck_assert_uint_eq(entry->copy->metadata_count, 2);
    ck_assert_str_eq(entry->copy->metadata[0].value, "green");
    ck_assert_uint_eq(entry->copy->pool, 3);
    ck_assert_int_eq(entry->copy->priority, PRIORITY_LOW);
    ck_assert_ptr_null(entry->copy->done);
    ck_assert_uint_eq(entry->copy->body->bytes, 1000);
    ck_assert_uint_eq(quarantine.bytes, 1000);
    ck_assert_int_eq(bodies, 1);
    quarantine_remove(&quarantine, entry);
    ck_assert_int_eq(bodies, 0);
    ck_assert_uint_eq(quarantine.count + quarantine.bytes + quarantine.dropped, 0);
    quarantine_free(&quarantine);
}
END_TEST

START_TEST(a_request_without_a_body_is_buried_too) {
    open_quarantine();
    struct request *request = make_request(1);
    body_unref(request->body);
    request->body = NULL;
    ck_assert_int_eq(quarantine_add(&quarantine, request, NULL, 0, 1), OK);
    request_free(request);
    ck_assert_ptr_null(oldest()->copy->body);
    ck_assert_uint_eq(oldest()->body_bytes, 0);
    ck_assert_uint_eq(oldest()->marks_count, 0);
    quarantine_free(&quarantine);
}
END_TEST

static void bury_with_marks(uint32_t count) {
    struct quarantine_mark marks[QUARANTINE_MARKS] = {0};
    for (uint32_t i = 0; i < QUARANTINE_MARKS; i++) {
        marks[i].at_ns = 100 + i;
        marks[i].slot = i;
        memset(marks[i].how, 'a' + (int)i, sizeof marks[i].how); /* does not even end */
    }
    struct request *request = make_request(1);
    ck_assert_int_eq(quarantine_add(&quarantine, request, marks, count, 1), OK);
    request_free(request);
}

START_TEST(the_marks_are_kept_and_end) {
    open_quarantine();
    bury_with_marks(2);
    ck_assert_uint_eq(oldest()->marks_count, 2);
    ck_assert_uint_eq(oldest()->marks[0].at_ns, 100);
    ck_assert_uint_eq(oldest()->marks[1].slot, 1);
    ck_assert_uint_eq(strlen(oldest()->marks[1].how), QUARANTINE_EVIDENCE - 1);
    ck_assert_int_eq(oldest()->marks[1].how[0], 'b');
    ck_assert_int_eq(oldest()->marks[2].how[0], '\0');
    quarantine_free(&quarantine);
}
END_TEST

START_TEST(of_more_deaths_than_there_are_marks_all_are_counted) {
    open_quarantine();
    bury_with_marks(1000);
    ck_assert_uint_eq(oldest()->marks_count, 1000);
    ck_assert_uint_eq(oldest()->marks[QUARANTINE_MARKS - 1].at_ns, 100 + QUARANTINE_MARKS - 1);
    quarantine_free(&quarantine);
}
END_TEST

START_TEST(the_oldest_goes_when_there_are_too_many) {
    open_quarantine();
    for (uint32_t i = 0; i < QUARANTINE_REQUESTS; i++) ck_assert_int_eq(bury(10, i), OK);
    ck_assert_uint_eq(quarantine.dropped, 0);
    ck_assert_int_eq(bury(10, 999), OK);
    ck_assert_uint_eq(quarantine.count, QUARANTINE_REQUESTS);
    ck_assert_uint_eq(quarantine.bytes, 10 * QUARANTINE_REQUESTS);
    ck_assert_uint_eq(quarantine.dropped, 1);
    ck_assert_ptr_null(quarantine_find(&quarantine, 1));
    ck_assert_ptr_eq(quarantine_find(&quarantine, 2), oldest());
    quarantine_free(&quarantine);
    ck_assert_int_eq(bodies, 0);
}
END_TEST

START_TEST(the_oldest_go_when_there_are_too_many_bytes) {
    open_quarantine();
    for (int i = 0; i < 4; i++) ck_assert_int_eq(bury(QUARANTINE_BYTES / 4, 1), OK);
    ck_assert_uint_eq(quarantine.count, 4);
    ck_assert_int_eq(bury(QUARANTINE_BYTES / 4 + 1, 1), OK);
    ck_assert_uint_eq(quarantine.count, 3);
    ck_assert_uint_eq(quarantine.dropped, 2);
    ck_assert_uint_eq(quarantine.bytes, 3 * (QUARANTINE_BYTES / 4) + 1);
    ck_assert_int_eq(bury(QUARANTINE_BYTES, 1), OK); /* exactly fits: it alone */
    ck_assert_uint_eq(quarantine.count, 1);
    ck_assert_int_eq(bodies, 1);
    quarantine_free(&quarantine);
    ck_assert_int_eq(bodies, 0);
}
END_TEST

START_TEST(a_body_above_the_bound_is_left_out_and_sends_nobody_away) {
    open_quarantine();
    ck_assert_int_eq(bury(MIB, 1), OK);
    ck_assert_int_eq(bury(QUARANTINE_BYTES + 1, 2), PAYLOAD_TOO_LARGE);
    ck_assert_uint_eq(quarantine.count, 2);
    ck_assert_uint_eq(quarantine.bytes, MIB);
    struct quarantined *entry = quarantine_find(&quarantine, 2);
    ck_assert_ptr_null(entry->copy->body);
    ck_assert_uint_eq(entry->body_bytes, QUARANTINE_BYTES + 1);
    ck_assert_str_eq(entry->copy->operation, "ocr");
    ck_assert_int_eq(bodies, 1);
    quarantine_free(&quarantine);
}
END_TEST

START_TEST(a_number_is_never_used_again) {
    open_quarantine();
    bury(1, 1);
    bury(1, 1);
    quarantine_remove(&quarantine, quarantine_find(&quarantine, 2));
    bury(1, 1);
    ck_assert_ptr_null(quarantine_find(&quarantine, 2));
    ck_assert_ptr_nonnull(quarantine_find(&quarantine, 3));
    ck_assert_ptr_null(quarantine_find(&quarantine, 0));
    quarantine_free(&quarantine);
}
END_TEST

START_TEST(out_of_memory_changes_nothing) {
    open_quarantine();
    bury(1, 1);
    struct request *request = make_request(5);
    for (int n = 0; n < 2; n++) {
        ration = n;
        ck_assert_int_eq(quarantine_add(&quarantine, request, NULL, 0, 1), MEMORY_EXHAUSTED);
        ck_assert_uint_eq(quarantine.count, 1);
        ck_assert_uint_eq(quarantine.bytes, 1);
        ck_assert_uint_eq(quarantine.numbers, 1);
    }
    ration = 2;
    ck_assert_int_eq(quarantine_add(&quarantine, request, NULL, 0, 1), OK);
    ration = UNLIMITED;
    request_free(request);
    quarantine_free(&quarantine);
    ck_assert_int_eq(bodies, 0);
}
END_TEST

/* --- against a plain list of numbers and sizes --------------------------------------------------------- */

static struct { uint64_t number, bytes; } model[QUARANTINE_REQUESTS];
static size_t model_count;

static uint64_t model_bytes(void) {
    uint64_t sum = 0;
    for (size_t i = 0; i < model_count; i++) sum += model[i].bytes;
    return sum;
}

static void model_remove(size_t index) {
    memmove(&model[index], &model[index + 1], (--model_count - index) * sizeof model[0]);
}

static void step(struct chance *chance, uint64_t most_bytes) {
    if (model_count > 0 && chance_percent(chance, 20)) {
        size_t index = chance_below(chance, (uint32_t)model_count);
        quarantine_remove(&quarantine, quarantine_find(&quarantine, model[index].number));
        model_remove(index);
        return;
    }
    uint64_t bytes = chance_below(chance, (uint32_t)most_bytes);
    bool kept = bytes <= QUARANTINE_BYTES;
    require(bury(bytes, 1) == (kept ? OK : PAYLOAD_TOO_LARGE));
    uint64_t held = kept ? bytes : 0;
    while (model_count == QUARANTINE_REQUESTS || model_bytes() + held > QUARANTINE_BYTES)
        model_remove(0);
    model[model_count].number = quarantine.numbers;
    model[model_count++].bytes = held;
}

static void run_against_model(uint64_t most_bytes) {
    struct chance chance = chance_open();
    open_quarantine();
    model_count = 0;
    for (int round = 0; round < 5000; round++) {
        step(&chance, most_bytes);
        require(quarantine.count == model_count && quarantine.bytes == model_bytes());
        struct list_node *node = quarantine.buried.next;
        for (size_t i = 0; i < model_count; i++, node = node->next)
            require(LIST_ENTRY(node, struct quarantined, node)->number == model[i].number);
        require(node == &quarantine.buried);
    }
    quarantine_free(&quarantine);
    ck_assert_int_eq(bodies, 0);
}

START_TEST(it_agrees_with_a_plain_list_of_large_bodies) {
    run_against_model(QUARANTINE_BYTES + QUARANTINE_BYTES / 8);
}
END_TEST

START_TEST(it_agrees_with_a_plain_list_of_small_bodies) {
    run_against_model(QUARANTINE_BYTES / 200);
}
END_TEST

SUITE("core/quarantine", 60,
      a_buried_request_keeps_its_texts_and_its_body_after_the_request_is_gone,
      a_request_without_a_body_is_buried_too, the_marks_are_kept_and_end,
      of_more_deaths_than_there_are_marks_all_are_counted, the_oldest_goes_when_there_are_too_many,
      the_oldest_go_when_there_are_too_many_bytes,
      a_body_above_the_bound_is_left_out_and_sends_nobody_away, a_number_is_never_used_again,
      out_of_memory_changes_nothing, it_agrees_with_a_plain_list_of_large_bodies,
      it_agrees_with_a_plain_list_of_small_bodies)
