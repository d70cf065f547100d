/* dedup: what makes two requests identical, who may be joined and until when, and a naive model. */
#include "core/base/clock.h"
#include "core/policy/dedup.h"
#include "tests/core/chance.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WINDOW (100 * CLOCK_MS)
#define START  (1000 * CLOCK_S)

/* --- the digest ----------------------------------------------------------------------------------- */

struct wanted {
    uint32_t pool;
    const char *tenant, *operation, *content_type;
    struct pair metadata[2];
    size_t metadata_count;
    const char *body; /* NULL: none */
};

static const struct wanted usual = {.pool = 1,
                                    .tenant = "ab",
                                    .operation = "cd",
                                    .content_type = "ef",
                                    .metadata = {{"gh", "ij"}, {"kl", "mn"}},
                                    .metadata_count = 2,
                                    .body = "op"};

static struct body *body_of(const void *data, size_t bytes) {
    struct body *body;
    ck_assert_int_eq(body_create(&body, bytes), OK);
    ck_assert_int_eq(body_append(body, data, bytes), OK);
    ck_assert_int_eq(body_seal(body), OK);
    return body;
}

static struct request *request_of(const struct wanted *wanted) {
    struct request_texts texts = {.tenant = wanted->tenant,
                                  .operation = wanted->operation,
                                  .content_type = wanted->content_type,
                                  .metadata = wanted->metadata,
                                  .metadata_count = wanted->metadata_count};
    struct request *request;
    ck_assert_int_eq(request_create(&request, &texts), OK);
    request->pool = wanted->pool;
    if (wanted->body != NULL) request->body = body_of(wanted->body, strlen(wanted->body));
    return request;
}

struct digest {
    uint64_t half[2];
};

static struct digest digest_of(const struct wanted *wanted) {
    struct request *request = request_of(wanted);
    dedup_digest(request);
    struct digest digest = {{request->digest[0], request->digest[1]}};
    request_free(request);
    return digest;
}

static bool same(struct digest a, struct digest b) {
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

static void assert_all_differ(const struct wanted *wanted, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(!same(digest_of(&wanted[i]), digest_of(&wanted[j])), "%zu and %zu", i, j);
}

START_TEST(identical_requests_have_one_digest) {
    struct digest digest = digest_of(&usual);
    ck_assert(same(digest, digest_of(&usual)));
    ck_assert_uint_ne(digest.half[0], 0);
    ck_assert_uint_ne(digest.half[1], 0);
    ck_assert_uint_ne(digest.half[0], digest.half[1]);
}
END_TEST

START_TEST(each_part_that_counts_makes_a_difference) {
    struct wanted all[11];
    for (size_t i = 0; i < 11; i++) all[i] = usual;
    all[1].pool = 2;
    all[2].tenant = "ax";
    all[3].operation = "cx";
    all[4].content_type = "ex";
    all[5].metadata[0].name = "gx";
    all[6].metadata[1].value = "mx";
    all[7].metadata_count = 1;
    all[8].metadata[0] = usual.metadata[1];
    all[8].metadata[1] = usual.metadata[0]; /* in another order */
    all[9].body = "ox";
    all[10].body = NULL;
    assert_all_differ(all, 11);
}
END_TEST

START_TEST(what_only_says_when_and_for_whom_makes_none) {
    struct request *request = request_of(&usual);
    request->priority = PRIORITY_CRITICAL;
    request->deadline_ns = 77;
    request->arrived_ns = 5;
    request->id = 9;
    request->request_id = "another";
    request->batch_key = "another";
    request->traceparent = "another";
    dedup_digest(request);
    struct digest digest = {{request->digest[0], request->digest[1]}};
    ck_assert(same(digest, digest_of(&usual)));
    request_free(request);
}
END_TEST

/* The same characters one after the other, cut at other places. */
START_TEST(where_a_part_ends_makes_a_difference) {
    struct wanted all[] = {
        usual,
        {1, "abc", "d", "ef", {{"gh", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "a", "bcd", "ef", {{"gh", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "abcd", "", "ef", {{"gh", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "", "abcd", "ef", {{"gh", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "ab", "cde", "f", {{"gh", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "ab", "cd", "efg", {{"h", "ij"}, {"kl", "mn"}}, 2, "op"},
        {1, "ab", "cd", "ef", {{"ghi", "j"}, {"kl", "mn"}}, 2, "op"},
        {1, "ab", "cd", "ef", {{"gh", "ijk"}, {"l", "mn"}}, 2, "op"},
        {1, "ab", "cd", "ef", {{"gh", "ij"}, {"kl", "m"}}, 2, "nop"},
        {1, "ab", "cd", "ef", {{"gh", "ij"}}, 1, "klmnop"},
        {1, "ab", "cd", "ef", {{0}}, 0, "ghijklmnop"},
        {1, "ab", "cd", "efghijklmnop", {{0}}, 0, NULL},
        {1, "ab", "cd", "ef", {{"", "gh"}, {"ijkl", "mn"}}, 2, "op"},
    };
    assert_all_differ(all, sizeof all / sizeof all[0]);
}
END_TEST

START_TEST(no_body_is_an_empty_body) {
    struct wanted without = usual, empty = usual;
    without.body = NULL;
    empty.body = "";
    ck_assert(same(digest_of(&without), digest_of(&empty)));
}
END_TEST

START_TEST(a_body_counts_by_its_bytes_wherever_they_are) {
    size_t bytes = BODY_MEMFD_BYTES + 12345;
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(i * 7 + (i >> 8));
    struct request *large = request_of(&usual), *heap = request_of(&usual);
    body_unref(large->body);
    body_unref(heap->body);
    large->body = body_of(data, bytes);
    ck_assert_int_eq(body_from_heap(&heap->body, data, bytes), OK);
    ck_assert_int_ge(large->body->memfd, 0);
    ck_assert_int_lt(heap->body->memfd, 0);
    dedup_digest(large);
    dedup_digest(heap);
    ck_assert_mem_eq(large->digest, heap->digest, sizeof large->digest);
    data[bytes - 1] ^= 1;
    dedup_digest(heap);
    ck_assert_mem_ne(large->digest, heap->digest, sizeof large->digest);
    request_free(large);
    request_free(heap);
}
END_TEST

START_TEST(a_body_that_cannot_be_read_leaves_no_digest) {
    struct body unreadable = {.refs = 1, .memfd = -1, .bytes = 5};
    struct request *request = request_of(&usual);
    body_unref(request->body);
    request->body = &unreadable;
    request->digest[0] = request->digest[1] = 1;
    dedup_digest(request);
    ck_assert_uint_eq(request->digest[0], 0);
    ck_assert_uint_eq(request->digest[1], 0);
    request->body = NULL;
    request_free(request);
}
END_TEST

/* Both are new processes as far as the secret goes: nobody has drawn it yet. */
START_TEST(every_process_has_its_own_digests) {
    struct digest digests[2];
    for (int i = 0; i < 2; i++) {
        int ends[2];
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            struct digest digest = digest_of(&usual);
            _exit(write(ends[1], &digest, sizeof digest) == sizeof digest ? 0 : 1);
        }
        ck_assert_int_eq(read(ends[0], &digests[i], sizeof digests[i]), sizeof digests[i]);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        close(ends[0]);
        close(ends[1]);
    }
    ck_assert_uint_ne(digests[0].half[0], digests[1].half[0]);
    ck_assert_uint_ne(digests[0].half[1], digests[1].half[1]);
}
END_TEST

static void *digest_first(void *out) {
    struct request *request = request_of(&usual);
    for (int i = 0; i < 1000; i++) dedup_digest(request);
    *(struct digest *)out = (struct digest){{request->digest[0], request->digest[1]}};
    request_free(request);
    return NULL;
}

START_TEST(threads_that_are_first_together_agree) {
    pthread_t threads[4];
    struct digest digests[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, digest_first, &digests[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) ck_assert(same(digests[i], digest_of(&usual)));
}
END_TEST

/* --- the table ------------------------------------------------------------------------------------ */

#define ROOM 40

static struct dedup dedup;
static struct request requests[ROOM];

/* low and high: the halves of its digest. */
static struct request *fresh(size_t i, uint64_t low, uint64_t high) {
    requests[i] = (struct request){.id = i + 1, .digest = {low, high}};
    return &requests[i];
}

static void open_dedup(void) {
    ck_assert_int_eq(dedup_init(&dedup, WINDOW, ROOM), OK);
}

START_TEST(there_are_as_many_buckets_as_room_at_least) {
    static const size_t rooms[] = {0, 1, 63, 64, 65, 1000, 11000};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        ck_assert_int_eq(dedup_init(&dedup, WINDOW, rooms[i]), OK);
        ck_assert_uint_ge(dedup.buckets_count, rooms[i]);
        ck_assert_uint_eq(dedup.buckets_count & (dedup.buckets_count - 1), 0);
        dedup_free(&dedup);
        ck_assert_ptr_null(dedup.buckets);
    }
}
END_TEST

START_TEST(without_a_window_nothing_is_ever_found) {
    ck_assert_int_eq(dedup_init(&dedup, 0, ROOM), OK);
    struct request *leader = fresh(0, 5, 5), *other = fresh(1, 5, 5);
    dedup_lead(&dedup, leader, START);
    ck_assert_ptr_null(dedup_find(&dedup, other, START));
    dedup_succeed(&dedup, leader, other);
    dedup_forget(&dedup, leader);
    ck_assert_uint_eq(dedup.buckets_count, 0);
    dedup_free(&dedup);
}
END_TEST

START_TEST(a_leader_is_found_by_both_halves_of_its_digest) {
    open_dedup();
    struct request *leader = fresh(0, 5, 6);
    ck_assert_ptr_null(dedup_find(&dedup, fresh(1, 5, 6), START));
    dedup_lead(&dedup, leader, START);
    ck_assert_uint_eq(leader->led_ns, START);
    ck_assert_ptr_eq(dedup_find(&dedup, fresh(1, 5, 6), START), leader);
    ck_assert_ptr_null(dedup_find(&dedup, fresh(1, 5, 7), START));
    ck_assert_ptr_null(dedup_find(&dedup, fresh(1, 4, 6), START));
    ck_assert_ptr_null(dedup_find(&dedup, fresh(1, 5 + dedup.buckets_count, 6), START));
    ck_assert_ptr_null(dedup_find(&dedup, leader, START)); /* nobody follows itself */
    dedup_free(&dedup);
}
END_TEST

START_TEST(a_leader_can_be_joined_for_the_window_and_no_longer) {
    open_dedup();
    struct request *leader = fresh(0, 5, 6), *other = fresh(1, 5, 6);
    dedup_lead(&dedup, leader, START);
    ck_assert_ptr_eq(dedup_find(&dedup, other, START + WINDOW), leader);
    ck_assert_ptr_null(dedup_find(&dedup, other, START + WINDOW + 1));
    dedup_free(&dedup);
}
END_TEST

START_TEST(a_forgotten_leader_is_gone_and_its_neighbours_stay) {
    open_dedup();
    uint64_t step = dedup.buckets_count; /* all in one bucket */
    for (size_t gone = 0; gone < 3; gone++) {
        for (size_t i = 0; i < 3; i++) dedup_lead(&dedup, fresh(i, 5 + i * step, 6), START);
        dedup_forget(&dedup, &requests[gone]);
        ck_assert_ptr_null(requests[gone].next_by_digest);
        for (size_t i = 0; i < 3; i++) {
            struct request *found = dedup_find(&dedup, fresh(9, 5 + i * step, 6), START);
            ck_assert_ptr_eq(found, i == gone ? NULL : &requests[i]);
        }
        for (size_t i = 0; i < 3; i++) dedup_forget(&dedup, &requests[i]); /* once more: no harm */
        ck_assert_ptr_null(dedup.buckets[5]);
    }
    dedup_free(&dedup);
}
END_TEST

START_TEST(who_has_no_digest_neither_leads_nor_follows) {
    open_dedup();
    struct request *leader = fresh(0, 0, 0);
    dedup_lead(&dedup, leader, START);
    ck_assert_ptr_null(dedup_find(&dedup, fresh(1, 0, 0), START));
    ck_assert_ptr_null(dedup.buckets[0]);
    dedup_succeed(&dedup, leader, fresh(1, 0, 0));
    dedup_forget(&dedup, leader);
    dedup_lead(&dedup, fresh(2, 0, 3), START); /* half a zero is a digest */
    ck_assert_ptr_eq(dedup_find(&dedup, fresh(1, 0, 3), START), &requests[2]);
    dedup_free(&dedup);
}
END_TEST

START_TEST(an_heir_takes_the_place_and_the_age) {
    open_dedup();
    uint64_t step = dedup.buckets_count;
    for (size_t leads = 0; leads < 3; leads++) {
        for (size_t i = 0; i < 3; i++) dedup_lead(&dedup, fresh(i, 5 + i * step, 6), START);
        struct request *leader = &requests[leads], *heir = fresh(8, 5 + leads * step, 6);
        dedup_succeed(&dedup, leader, heir);
        ck_assert_uint_eq(heir->led_ns, START);
        ck_assert_ptr_null(leader->next_by_digest);
        for (size_t i = 0; i < 3; i++) {
            struct request *other = fresh(9, 5 + i * step, 6);
            ck_assert_ptr_eq(dedup_find(&dedup, other, START + WINDOW),
                             i == leads ? heir : &requests[i]);
            ck_assert_ptr_null(dedup_find(&dedup, other, START + WINDOW + 1));
        }
        dedup_forget(&dedup, leader); /* it is not in the table any more */
        ck_assert_ptr_eq(dedup_find(&dedup, fresh(9, 5 + leads * step, 6), START), heir);
        dedup_forget(&dedup, heir);
        for (size_t i = 0; i < 3; i++) dedup_forget(&dedup, &requests[i]);
    }
    dedup_free(&dedup);
}
END_TEST

START_TEST(a_newer_leader_takes_the_place_of_one_too_old_to_join) {
    open_dedup();
    struct request *old = fresh(0, 5, 6), *new = fresh(1, 5, 6), *heir = fresh(2, 5, 6);
    dedup_lead(&dedup, old, START);
    dedup_lead(&dedup, new, START + 2 * WINDOW);
    ck_assert_ptr_eq(dedup_find(&dedup, fresh(3, 5, 6), START + 2 * WINDOW), new);
    ck_assert_ptr_null(new->next_by_digest);
    dedup_succeed(&dedup, old, heir); /* who takes over from the old one does not lead either */
    ck_assert_ptr_eq(dedup_find(&dedup, fresh(3, 5, 6), START + 2 * WINDOW), new);
    dedup_forget(&dedup, old);
    ck_assert_ptr_eq(dedup_find(&dedup, fresh(3, 5, 6), START + 2 * WINDOW), new);
    dedup_forget(&dedup, new);
    ck_assert_ptr_null(dedup_find(&dedup, fresh(3, 5, 6), START + 2 * WINDOW));
    dedup_free(&dedup);
}
END_TEST

/* --- against a model that has one line for each digest -------------------------------------------- */

#define DIGESTS 12
#define STEPS   300000

static struct request *model[DIGESTS]; /* who leads */

/* Three buckets with four digests each. */
static void draw_digest(struct request *request, size_t which) {
    request->digest[0] = which % 3 + (which / 3 % 2) * dedup.buckets_count;
    request->digest[1] = 1 + which / 6;
}

static void step(struct chance *chance, uint64_t now_ns) {
    size_t i = chance_below(chance, ROOM), which = i % DIGESTS;
    struct request *request = &requests[i], *lead = model[which];
    switch (chance_below(chance, 4)) {
    case 0:
        dedup_lead(&dedup, request, now_ns);
        model[which] = request;
        return;
    case 1:
        dedup_forget(&dedup, request);
        if (lead == request) model[which] = NULL;
        return;
    case 2: {
        struct request *heir = &requests[(i + DIGESTS) % (DIGESTS * 3)];
        if (heir == request || heir == lead || i >= DIGESTS * 3) return;
        dedup_succeed(&dedup, request, heir);
        require(heir->led_ns == request->led_ns);
        if (lead == request) model[which] = heir;
        return;
    }
    default: return;
    }
}

static void compare(uint64_t now_ns) {
    size_t chained = 0, leading = 0;
    for (size_t i = 0; i < DIGESTS; i++) {
        struct request other = {.id = 1}, *lead = model[i];
        draw_digest(&other, i);
        bool joinable = lead != NULL && now_ns <= lead->led_ns + WINDOW;
        require(dedup_find(&dedup, &other, now_ns) == (joinable ? lead : NULL));
        leading += lead != NULL;
    }
    for (size_t i = 0; i < dedup.buckets_count; i++)
        for (struct request *at = dedup.buckets[i]; at != NULL; at = at->next_by_digest) chained++;
    require(chained == leading);
}

START_TEST(random_operations_agree_with_the_model) {
    struct chance chance = chance_open();
    uint64_t now_ns = START;
    open_dedup();
    for (size_t i = 0; i < ROOM; i++) draw_digest(fresh(i, 0, 0), i % DIGESTS);
    for (int i = 0; i < STEPS; i++) {
        step(&chance, now_ns);
        if (i % 4 == 0) compare(now_ns);
        now_ns += chance_below(&chance, WINDOW / 8);
    }
    dedup_free(&dedup);
}
END_TEST

SUITE("core/dedup", 60, identical_requests_have_one_digest,
      each_part_that_counts_makes_a_difference, what_only_says_when_and_for_whom_makes_none,
      where_a_part_ends_makes_a_difference, no_body_is_an_empty_body,
      a_body_counts_by_its_bytes_wherever_they_are, a_body_that_cannot_be_read_leaves_no_digest,
      every_process_has_its_own_digests, threads_that_are_first_together_agree,
      there_are_as_many_buckets_as_room_at_least, without_a_window_nothing_is_ever_found,
      a_leader_is_found_by_both_halves_of_its_digest,
      a_leader_can_be_joined_for_the_window_and_no_longer,
      a_forgotten_leader_is_gone_and_its_neighbours_stay,
      who_has_no_digest_neither_leads_nor_follows, an_heir_takes_the_place_and_the_age,
      a_newer_leader_takes_the_place_of_one_too_old_to_join, random_operations_agree_with_the_model)
