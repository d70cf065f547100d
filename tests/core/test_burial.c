/* burial: requests that killed their workers are listed, deleted and run again; on virtual time. */
#include "core/buried.h"
#include "tests/core/scene.h"
#include "tests/support/suite.h"

#define FRESH 20000 /* numbers of kicked requests: the gate's */

static uint32_t answers;
static struct event_stream *events;
static struct event_feed *feed;

static void on_answered(struct question *question) {
    (void)question;
    answers++;
}

static void on_event(void *owner) {
    (void)owner;
}

static void open_graveyard(void) {
    set(1, 1, 1);
    options->timeouts.request_ns = 60 * CLOCK_S;
    open_warm();
    ck_assert_int_eq(event_stream_open(&events), OK);
    ck_assert_int_eq(event_feed_open(&feed, events, HAPPENING_BIT(QUARANTINE), 64, on_event, NULL),
                     OK);
    pool()->events = events;
}

static void close_graveyard(void) {
    pool()->events = NULL;
    event_feed_close(feed);
    event_stream_close(events);
    close_stage();
}

static void assert_told(const char *from, const char *to, const char *request) {
    struct happening happening;
    uint64_t lost;
    ck_assert(event_feed_next(feed, &happening, &lost));
    ck_assert_str_eq(happening.from, from);
    ck_assert_str_eq(happening.to, to);
    ck_assert_str_eq(happening.request, request);
}

static void put(struct question *question, enum question_kind kind) {
    uint32_t before = answers;
    question->kind = kind;
    question->answered = on_answered;
    handle(&(struct event){.kind = EVENT_QUESTION, .question = question});
    ck_assert_uint_eq(answers, before + 1);
}

/* The worker is dead; it comes back after its back-off. */
static void come_back(void) {
    while (!A->running) pass(100 * CLOCK_MS);
    load(A);
}

static uint64_t bury_as(const char *tenant, const char *body) {
    const struct admission_ask ask = {.priority = PRIORITY_LOW,
                                      .tenant = tenant,
                                      .deadline_ns = CLOCK_NEVER,
                                      .now_ns = stage.now_ns};
    ck_assert_int_eq(admission_take(&pool()->admission, &ask), OK);
    struct request *request = make_request(
        &(struct offer){.priority = PRIORITY_LOW, .tenant = tenant, .content = "killer"});
    ck_assert_int_eq(body_create(&request->body, strlen(body)), OK);
    ck_assert_int_eq(body_append(request->body, body, strlen(body)), OK);
    ck_assert_int_eq(body_seal(request->body), OK);
    uint64_t id = request->id;
    stage.endings[id].submitted = 1;
    stage.live[0]++;
    handle(&(struct event){.kind = EVENT_SUBMIT, .request = request});
    for (int i = 0; i < 2; i++) {
        crash(A);
        come_back();
    }
    assert_answered(id, QUARANTINED);
    return id;
}

static size_t list(struct buried_list *out, struct buried *items, size_t room) {
    out->items = items;
    out->room = room;
    put(&out->question, QUESTION_LIST_BURIED);
    ck_assert_int_eq(out->question.outcome, OK);
    return out->count;
}

static size_t count_buried(void) {
    struct buried items[8];
    return list(&(struct buried_list){0}, items, 8);
}

static enum outcome kick(uint64_t number, uint64_t fresh) {
    struct buried_order order = {.number = number, .request_id = "fresh", .id = fresh};
    stage.live[0]++; /* nobody's, and it counts while it lives */
    uint64_t live = pool()->queue.live;
    stage.held = true;
    put(&order.question, QUESTION_KICK_BURIED);
    stage.held = false;
    stage.live[0] = (uint32_t)pool()->queue.live;
    if (order.question.outcome == OK) ck_assert_uint_eq(pool()->queue.live, live + 1);
    settle();
    return order.question.outcome;
}

/* The worker answers what was kicked. */
static void end_kicked(void) {
    stage.held = true;
}

static void ended_kicked(void) {
    stage.live[0] = pool()->queue.live;
    stage.answered[0] = pool()->totals.answered;
    stage.held = false;
    settle();
}

START_TEST(a_buried_request_is_listed_with_its_evidence) {
    struct buried items[4];
    struct buried_list all = {0};
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    assert_told("", "buried", "test");
    ck_assert_uint_eq(list(&all, items, 4), 1);
    ck_assert(!all.more);
    ck_assert_uint_eq(items[0].number, id);
    ck_assert_str_eq(items[0].request_id, "test");
    ck_assert_str_eq(items[0].pool, "pool");
    ck_assert_str_eq(items[0].tenant, "acme");
    ck_assert_int_eq(items[0].priority, PRIORITY_LOW);
    ck_assert_uint_eq(items[0].attempts, 2);
    ck_assert_uint_eq(items[0].marks_count, 2);
    ck_assert_ptr_nonnull(strstr(items[0].marks[1].how, "signal 11"));
    ck_assert_uint_eq(items[0].body_bytes, 9);
    ck_assert(items[0].body_kept && !items[0].kicked);
    ck_assert(items[0].digest[0] != 0 || items[0].digest[1] != 0);
    close_graveyard();
}
END_TEST

START_TEST(a_list_is_read_page_by_page_and_by_tenant) {
    struct buried items[2];
    uint64_t ids[5];
    open_graveyard();
    for (int i = 0; i < 5; i++) ids[i] = bury_as(i % 2 ? "odd" : "even", "x");
    struct buried_list page = {0};
    for (size_t at = 0; at < 5;) {
        size_t count = list(&page, items, 2);
        ck_assert_uint_eq(count, at < 4 ? 2 : 1);
        ck_assert(page.more == (at + count < 5));
        for (size_t i = 0; i < count; i++) ck_assert_uint_eq(items[i].number, ids[at + i]);
        page.after = items[count - 1].number;
        at += count;
    }
    struct buried_list odd = {.for_tenant = "odd"}, elsewhere = {.pool = "elsewhere"};
    ck_assert_uint_eq(list(&odd, items, 2), 2);
    ck_assert_str_eq(items[1].tenant, "odd");
    ck_assert_uint_eq(list(&elsewhere, items, 2), 0);
    close_graveyard();
}
END_TEST

START_TEST(what_is_deleted_is_gone_and_gives_its_bytes_back) {
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    struct buried_order order = {.number = id, .for_tenant = "other"};
    put(&order.question, QUESTION_DELETE_BURIED);
    ck_assert_int_eq(order.question.outcome, NO_SUCH_REQUEST);
    order.for_tenant = "acme";
    put(&order.question, QUESTION_DELETE_BURIED);
    ck_assert_int_eq(order.question.outcome, OK);
    put(&order.question, QUESTION_DELETE_BURIED);
    ck_assert_int_eq(order.question.outcome, NO_SUCH_REQUEST);
    ck_assert_uint_eq(pool()->quarantine.bytes, 0);
    ck_assert_uint_eq(count_buried(), 0);
    assert_told("", "buried", "test");
    assert_told("buried", "deleted", "test");
    close_graveyard();
}
END_TEST

START_TEST(what_is_kicked_runs_again_whole_and_leaves_its_grave_when_it_is_answered) {
    struct buried items[1];
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    ck_assert_int_eq(kick(id, FRESH), OK);
    assert_runs(A, FRESH);
    const struct request *request = request_queue_find(&pool()->queue, FRESH);
    ck_assert_str_eq(request->request_id, "fresh");
    ck_assert_str_eq(request->tenant, "acme");
    ck_assert_int_eq(request->priority, PRIORITY_LOW);
    ck_assert_uint_eq(request->body->bytes, 9);
    ck_assert_uint_eq(request->deadline_ns, stage.now_ns + 60 * CLOCK_S);
    ck_assert_uint_eq(pool()->admission.permits, 1);
    list(&(struct buried_list){0}, items, 1);
    ck_assert(items[0].kicked);
    ck_assert_int_eq(kick(id, FRESH + 1), ALREADY_EXISTS);
    end_kicked();
    reply(A, FRESH);
    ended_kicked();
    ck_assert_uint_eq(count_buried(), 0);
    ck_assert_uint_eq(pool()->admission.permits, 0);
    assert_told("", "buried", "test");
    assert_told("buried", "kicked", "fresh");
    assert_told("kicked", "ok", "fresh");
    close_graveyard();
}
END_TEST

START_TEST(what_kills_again_is_buried_under_its_new_number) {
    struct buried items[2];
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    ck_assert_int_eq(kick(id, FRESH), OK);
    crash(A);
    come_back();
    end_kicked();
    crash(A);
    ended_kicked();
    ck_assert_uint_eq(list(&(struct buried_list){0}, items, 2), 1);
    ck_assert_uint_eq(items[0].number, FRESH);
    ck_assert_str_eq(items[0].request_id, "fresh");
    ck_assert(items[0].body_kept && !items[0].kicked);
    come_back();
    ck_assert_int_eq(kick(FRESH, FRESH + 1), OK);
    end_kicked();
    reply(A, FRESH + 1);
    ended_kicked();
    ck_assert_uint_eq(count_buried(), 0);
    close_graveyard();
}
END_TEST

START_TEST(a_kick_that_is_refused_stays_buried_and_says_so) {
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    wish_for(0, WISH_DRAIN);
    ck_assert_int_eq(kick(id, FRESH), SHUTTING_DOWN);
    ck_assert_uint_eq(count_buried(), 1);
    ck_assert_uint_eq(pool()->admission.permits, 0);
    ck_assert_int_eq(kick(4711, FRESH), NO_SUCH_REQUEST);
    close_graveyard();
}
END_TEST

START_TEST(a_kick_that_comes_to_no_worker_stays_buried) {
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes"), busy = submit();
    ck_assert_int_eq(kick(id, FRESH), OK);
    end_kicked();
    stage.now_ns += 60 * CLOCK_S;
    orchestrator_settle(&stage.orchestrator, stage.now_ns);
    ended_kicked();
    ck_assert_uint_eq(count_buried(), 1);
    ck_assert_uint_eq(pool()->quarantine.count, 1);
    reply(A, busy);
    ck_assert_int_eq(kick(id, FRESH + 1), OK);
    end_kicked();
    reply(A, FRESH + 1);
    ended_kicked();
    close_graveyard();
}
END_TEST

START_TEST(a_body_that_was_too_large_to_keep_cannot_be_kicked) {
    open_graveyard();
    uint64_t id = bury_as("acme", "bad bytes");
    struct quarantined *entry = quarantine_find(&pool()->quarantine, id);
    pool()->quarantine.bytes -= entry->copy->body->bytes;
    body_unref(entry->copy->body);
    entry->copy->body = NULL; /* as it is above the bound */
    ck_assert_int_eq(kick(id, FRESH), PAYLOAD_TOO_LARGE);
    close_graveyard();
}
END_TEST

SUITE("core/burial", 30, a_buried_request_is_listed_with_its_evidence,
      a_list_is_read_page_by_page_and_by_tenant, what_is_deleted_is_gone_and_gives_its_bytes_back,
      what_is_kicked_runs_again_whole_and_leaves_its_grave_when_it_is_answered,
      what_kills_again_is_buried_under_its_new_number,
      a_kick_that_is_refused_stays_buried_and_says_so, a_kick_that_comes_to_no_worker_stays_buried,
      a_body_that_was_too_large_to_keep_cannot_be_kicked)
