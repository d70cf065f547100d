#include "core/base/clock.h"
#include "gateway/grpc/pool_state.h"
#include "tests/support/suite.h"

#include <string.h>

#define NOW (UINT64_C(5000) * CLOCK_S)

static struct pool_snapshot pool;
static struct pool_state state;
static Poolgate__V1__PoolState *read;

/* What a client sees: packed and unpacked. */
static void send(void) {
    static uint8_t bytes[1 << 16];
    pool.name = "ocr";
    pool.capability = "vision";
    pool_state_fill(&state, &pool, NOW);
    size_t size = poolgate__v1__pool_state__get_packed_size(&state.message);
    ck_assert_uint_le(size, sizeof bytes);
    ck_assert_uint_eq(poolgate__v1__pool_state__pack(&state.message, bytes), size);
    read = poolgate__v1__pool_state__unpack(NULL, size, bytes);
    ck_assert_ptr_nonnull(read);
}

static void end(void) {
    poolgate__v1__pool_state__free_unpacked(read, NULL);
}

START_TEST(tenants_come_as_counts_and_as_facts) {
    pool.tenants_count = 2;
    pool.tenants_live = 40;
    pool.service_rate = 12.5;
    pool.tenants[0] = (struct tenant_snapshot){
        .name = "alice", .waiting = 7, .out = 2, .share = 0.75, .weight = 3};
    pool.tenants[1] = (struct tenant_snapshot){.name = "m\xfcller", .waiting = 1};
    send();
    const Poolgate__V1__PoolState__Queue *queue = read->queue;
    ck_assert_uint_eq(queue->n_tenants, 2);
    ck_assert_str_eq(queue->tenants[0]->key, "alice");
    ck_assert_uint_eq(queue->tenants[0]->value, 7);
    ck_assert_uint_eq(queue->n_by_tenant, 2);
    ck_assert_str_eq(queue->by_tenant[0]->key, "alice");
    ck_assert_uint_eq(queue->by_tenant[0]->value->waiting, 7);
    ck_assert_uint_eq(queue->by_tenant[0]->value->running, 2);
    ck_assert(queue->by_tenant[0]->value->share == 0.75);
    ck_assert_uint_eq(queue->by_tenant[0]->value->weight, 3);
    ck_assert_str_eq(queue->by_tenant[1]->key, "m?ller"); /* a client refuses what is no UTF-8 */
    ck_assert_uint_eq(queue->tenants_live, 40);
    ck_assert(queue->service_rate == 12.5);
    end();
}
END_TEST

START_TEST(as_many_tenants_as_a_snapshot_has_are_sent) {
    pool.tenants_count = SNAPSHOT_TENANTS;
    for (uint32_t i = 0; i < SNAPSHOT_TENANTS; i++) {
        snprintf(pool.tenants[i].name, sizeof pool.tenants[i].name, "tenant %u", i);
        pool.tenants[i].waiting = i;
    }
    send();
    ck_assert_uint_eq(read->queue->n_by_tenant, SNAPSHOT_TENANTS);
    for (uint32_t i = 0; i < SNAPSHOT_TENANTS; i++)
        ck_assert_uint_eq(read->queue->by_tenant[i]->value->waiting, i);
    end();
}
END_TEST

START_TEST(an_open_breaker_says_how_long_it_stays_so) {
    pool.breaker = BREAKER_OPEN;
    pool.breaker_until_ns = NOW + 1500 * CLOCK_MS;
    pool.breaker_opened = 2;
    pool.breaker_rejections = 41;
    send();
    ck_assert_str_eq(read->breaker->state, "open");
    ck_assert(read->breaker->open_for_ms == 1500);
    ck_assert_uint_eq(read->breaker->opened, 2);
    ck_assert_uint_eq(read->breaker->rejections, 41);
    end();
    pool.breaker_until_ns = NOW - 1;
    send();
    ck_assert(read->breaker->open_for_ms == 0);
    end();
    pool.breaker = BREAKER_CLOSED;
    send();
    ck_assert_str_eq(read->breaker->state, "closed");
    end();
}
END_TEST

START_TEST(totals_are_the_snapshots) {
    pool.answered = 1, pool.retried = 2, pool.crashed = 3, pool.restarts = 4, pool.cancelled = 5;
    pool.expired = 6, pool.abandoned = 7, pool.unmeetable = 8, pool.shed = 9;
    pool.deduplicated = 10, pool.evictions = 11, pool.recycled = 12, pool.quarantined = 13;
    pool.staged_back = 14, pool.batches = 15, pool.batched = 16, pool.alarms = 17;
    send();
    const Poolgate__V1__PoolState__Totals *totals = read->totals;
    const uint64_t sent[] = {totals->answered,     totals->retried,     totals->crashed,
                             totals->restarts,     totals->cancelled,   totals->expired,
                             totals->abandoned,    totals->unmeetable,  totals->shed,
                             totals->deduplicated, totals->evictions,   totals->recycled,
                             totals->quarantined,  totals->staged_back, totals->batches,
                             totals->batched,      totals->alarms};
    for (uint64_t i = 0; i < sizeof sent / sizeof sent[0]; i++) ck_assert_uint_eq(sent[i], i + 1);
    end();
}
END_TEST

/* A client of the first version knows fields 1 to 7 of Totals, 1 to 6 of Queue and 1 of Breaker. */
START_TEST(the_numbers_of_the_first_version_stay) {
    static const struct {
        const ProtobufCMessageDescriptor *message;
        const char *field;
        uint32_t number;
    } rows[] = {
        {&poolgate__v1__pool_state__totals__descriptor, "answered", 1},
        {&poolgate__v1__pool_state__totals__descriptor, "abandoned", 7},
        {&poolgate__v1__pool_state__queue__descriptor, "waiting", 1},
        {&poolgate__v1__pool_state__queue__descriptor, "tenants", 5},
        {&poolgate__v1__pool_state__queue__descriptor, "expected_wait_ms", 6},
        {&poolgate__v1__pool_state__breaker__descriptor, "state", 1},
        {&poolgate__v1__pool_state__descriptor, "breaker", 8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(
            protobuf_c_message_descriptor_get_field_by_name(rows[i].message, rows[i].field)->id,
            rows[i].number);
}
END_TEST

SUITE("gateway/grpc/pool_state", 10, tenants_come_as_counts_and_as_facts,
      as_many_tenants_as_a_snapshot_has_are_sent, an_open_breaker_says_how_long_it_stays_so,
      totals_are_the_snapshots, the_numbers_of_the_first_version_stay)
