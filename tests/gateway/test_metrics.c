#include "gateway/metrics.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>

static struct metrics *metrics;
static struct pool_snapshot pools[2];
static struct snapshot snapshot;
static char *page;

static void arrange(void) {
    ck_assert_int_eq(metrics_open(&metrics), OK);
    pools[0] = (struct pool_snapshot){.name = "ocr"};
    pools[1] = (struct pool_snapshot){.name = "embed"};
    snapshot = (struct snapshot){.pools_count = 2, .pools = pools};
}

static void write_page(void) {
    size_t bytes;
    free(page);
    FILE *out = open_memstream(&page, &bytes);
    metrics_write(metrics, &snapshot, out);
    fclose(out);
}

static void has(const char *line) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    ck_assert_msg(strstr(page, wanted) != NULL, "no %s", line);
}

static void end(void) {
    metrics_close(metrics);
    free(page);
    page = NULL;
}

START_TEST(answers_are_counted_by_pool_front_end_and_code) {
    arrange();
    metrics_answered(metrics, "ocr", FRONTEND_HTTP, OK);
    metrics_answered(metrics, "ocr", FRONTEND_HTTP, OK);
    metrics_answered(metrics, "embed", FRONTEND_GRPC, QUEUE_FULL);
    metrics_answered(metrics, "", FRONTEND_HTTP, NO_SUCH_POOL);
    write_page();
    has("poolgate_requests_total{pool=\"ocr\",frontend=\"http\",code=\"ok\"} 2");
    has("poolgate_requests_total{pool=\"embed\",frontend=\"grpc\",code=\"queue_full\"} 1");
    has("poolgate_requests_total{pool=\"\",frontend=\"http\",code=\"no_such_pool\"} 1");
    end();
}
END_TEST

START_TEST(refusals_have_times_of_their_own) {
    arrange();
    write_page();
    ck_assert_ptr_null(strstr(page, "poolgate_rejected_seconds_bucket"));
    metrics_rejected(metrics, "ocr", QUEUE_FULL, 200000);
    metrics_rejected(metrics, "ocr", QUEUE_FULL, 2000000000);
    metrics_rejected(metrics, "", NO_SUCH_POOL, 1);
    write_page();
    has("poolgate_rejected_seconds_bucket{pool=\"ocr\",code=\"queue_full\",le=\"0.0001\"} 0");
    has("poolgate_rejected_seconds_bucket{pool=\"ocr\",code=\"queue_full\",le=\"0.00025\"} 1");
    has("poolgate_rejected_seconds_bucket{pool=\"ocr\",code=\"queue_full\",le=\"+Inf\"} 2");
    has("poolgate_rejected_seconds_sum{pool=\"ocr\",code=\"queue_full\"} 2.000200000");
    has("poolgate_rejected_seconds_count{pool=\"ocr\",code=\"queue_full\"} 2");
    has("poolgate_rejected_seconds_count{pool=\"\",code=\"no_such_pool\"} 1");
    has("poolgate_run_seconds_count{pool=\"ocr\"} 0"); /* what was refused was not run */
    end();
}
END_TEST

START_TEST(spans_are_counted_by_what_became_of_them) {
    arrange();
    metrics_spans(metrics, SPANS_SENT, 12);
    metrics_spans(metrics, SPANS_DROPPED, 4);
    metrics_spans(metrics, SPANS_DROPPED, 3);
    write_page();
    has("poolgate_trace_sent_total 12");
    has("poolgate_trace_dropped_total 7");
    has("poolgate_log_dropped_total 0");
    end();
}
END_TEST

START_TEST(gauges_tell_the_snapshot) {
    arrange();
    pools[0].by_priority[PRIORITY_HIGH] = 3;
    pools[0].by_state[WORKER_READY] = 2;
    pools[0].transitions_total[WORKER_READY][WORKER_PROCESSING] = 9;
    pools[0].restarts_by_reason[REASON_CRASHED] = 4;
    pools[0].memory_declared = 1000;
    pools[0].memory_resident = 900;
    metrics_refused(metrics, FRONTEND_GRPC, UNAUTHENTICATED);
    metrics_refused(metrics, FRONTEND_GRPC, UNAUTHENTICATED);
    metrics_connections(metrics, FRONTEND_HTTP, 3);
    metrics_connections(metrics, FRONTEND_HTTP, -1);
    write_page();
    has("poolgate_queue_depth{pool=\"ocr\",priority=\"high\"} 3");
    has("poolgate_queue_depth{pool=\"embed\",priority=\"high\"} 0");
    has("poolgate_slots{pool=\"ocr\",state=\"ready\"} 2");
    has("poolgate_slot_transitions_total{pool=\"ocr\",from=\"ready\",to=\"processing\"} 9");
    has("poolgate_slot_restarts_total{pool=\"ocr\",reason=\"crashed\"} 4");
    has("poolgate_memory_bytes{pool=\"ocr\",kind=\"declared\"} 1000");
    has("poolgate_memory_bytes{pool=\"ocr\",kind=\"resident\"} 900");
    has("poolgate_connections{frontend=\"http\"} 2");
    has("poolgate_access_refused_total{frontend=\"grpc\",code=\"unauthenticated\"} 2");
    has("poolgate_access_refused_total{frontend=\"http\",code=\"rate_limited\"} 0");
    has("poolgate_build_info{version=\"" POOLGATE_VERSION "\"} 1");
    end();
}
END_TEST

START_TEST(counters_of_the_policies_tell_the_snapshot) {
    static const struct slot_snapshot slots[2] = {{.staged = 2}, {.staged = 1}};
    arrange();
    pools[0].slots = slots;
    pools[0].slots_count = 2;
    pools[0].can_serve = true, pools[0].capacity = 10004, pools[0].bytes = 77;
    pools[0].expected_wait_ns = UINT64_C(1500000000);
    pools[0].service_rate = 12.5;
    pools[0].tenants_live = 40;
    pools[0].unmeetable = 8, pools[0].shed = 9, pools[0].deduplicated = 10, pools[0].retried = 2;
    pools[0].quarantined = 13, pools[0].staged_back = 14, pools[0].evictions = 11;
    pools[0].recycled = 12, pools[0].abandoned = 1, pools[0].breaker_opened = 3;
    pools[0].breaker_rejections = 41, pools[0].alarms = 17;
    snapshot.events_lost = 5;
    snapshot.loop_lag_max_ns = 2500000;
    write_page();
    has("poolgate_staged{pool=\"ocr\"} 3");
    has("poolgate_can_serve{pool=\"ocr\"} 1");
    has("poolgate_can_serve{pool=\"embed\"} 0");
    has("poolgate_queue_capacity{pool=\"ocr\"} 10004");
    has("poolgate_queue_bytes{pool=\"ocr\"} 77");
    has("poolgate_expected_wait_seconds{pool=\"ocr\"} 1.500000000");
    has("poolgate_service_rate{pool=\"ocr\"} 12.500000");
    has("poolgate_tenants{pool=\"ocr\"} 40");
    has("poolgate_unmeetable_total{pool=\"ocr\"} 8");
    has("poolgate_shed_total{pool=\"ocr\"} 9");
    has("poolgate_deduplicated_total{pool=\"ocr\"} 10");
    has("poolgate_retried_total{pool=\"ocr\"} 2");
    has("poolgate_quarantined{pool=\"ocr\"} 13");
    has("poolgate_staged_back_total{pool=\"ocr\"} 14");
    has("poolgate_evictions_total{pool=\"ocr\"} 11");
    has("poolgate_recycled_total{pool=\"ocr\"} 12");
    has("poolgate_abandoned_threads{pool=\"ocr\"} 1");
    has("poolgate_breaker_opened_total{pool=\"ocr\"} 3");
    has("poolgate_breaker_rejections_total{pool=\"ocr\"} 41");
    has("poolgate_alarms_total{pool=\"ocr\"} 17");
    has("poolgate_alarms_total{pool=\"embed\"} 0");
    has("poolgate_events_lost_total 5");
    has("poolgate_loop_lag_max_seconds{loop=\"pool\"} 0.002500000");
    end();
}
END_TEST

START_TEST(a_breaker_is_worse_the_more_it_is_open) {
    static const struct {
        enum breaker_state state;
        const char *line;
    } rows[] = {{BREAKER_CLOSED, "poolgate_breaker_state{pool=\"ocr\"} 0"},
                {BREAKER_HALF_OPEN, "poolgate_breaker_state{pool=\"ocr\"} 1"},
                {BREAKER_OPEN, "poolgate_breaker_state{pool=\"ocr\"} 2"}};
    arrange();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pools[0].breaker = rows[i].state;
        write_page();
        has(rows[i].line);
    }
    end();
}
END_TEST

START_TEST(memory_is_the_governors_and_what_is_unknown_is_left_out) {
    arrange();
    snapshot.memory.stall_percent = -1;
    write_page();
    ck_assert_ptr_null(strstr(page, "memory_limit_bytes"));
    ck_assert_ptr_null(strstr(page, "memory_stall_ratio"));
    has("poolgate_memory_pressure 0");
    snapshot.memory.limit_bytes = 1000, snapshot.memory.used_bytes = 900;
    snapshot.memory.charged_bytes = 800, snapshot.memory.gateway_bytes = 70;
    snapshot.memory.pressure = PRESSURE_CRITICAL, snapshot.memory.stall_percent = 12.5;
    write_page();
    has("poolgate_memory_limit_bytes 1000");
    has("poolgate_memory_used_bytes 900");
    has("poolgate_memory_charged_bytes 800");
    has("poolgate_memory_gateway_bytes 70");
    has("poolgate_memory_pressure 3");
    has("poolgate_memory_stall_ratio 0.125000");
    end();
}
END_TEST

START_TEST(batches_are_a_histogram_of_requests) {
    arrange();
    pools[0].batch_sizes[0] = 5;                        /* of one */
    pools[0].batch_sizes[2] = 2;                        /* of three or four */
    pools[0].batch_sizes[SNAPSHOT_BATCH_SIZES - 1] = 1; /* of 513 to 1,024 */
    pools[0].batched = 612;
    write_page();
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"1\"} 5");
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"2\"} 5");
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"4\"} 7");
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"512\"} 7");
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"1024\"} 8");
    has("poolgate_batch_size_bucket{pool=\"ocr\",le=\"+Inf\"} 8");
    has("poolgate_batch_size_sum{pool=\"ocr\"} 612");
    has("poolgate_batch_size_count{pool=\"ocr\"} 8");
    end();
}
END_TEST

START_TEST(a_tenants_name_cannot_leave_its_label) {
    arrange();
    pools[0].tenants_count = 3;
    pools[0].tenants[0] =
        (struct tenant_snapshot){.name = "a\"} 1\n\\", .waiting = 7, .share = 0.75};
    pools[0].tenants[1] = (struct tenant_snapshot){.name = "\xff", .waiting = 1};
    pools[0].tenants[2] = (struct tenant_snapshot){.name = "\xfe", .waiting = 2};
    write_page();
    has("poolgate_tenant_waiting{pool=\"ocr\",tenant=\"a\\\"} 1?\\\\\"} 7");
    has("poolgate_tenant_share{pool=\"ocr\",tenant=\"a\\\"} 1?\\\\\"} 0.750000");
    has("poolgate_tenant_waiting{pool=\"ocr\",tenant=\"?\"} 3");
    end();
}
END_TEST

START_TEST(histograms_are_cumulative_and_in_seconds) {
    arrange();
    histogram_add(&pools[0].run_time, histogram_bounds_ns[0]); /* on the bound: in the bucket */
    histogram_add(&pools[0].run_time, histogram_bounds_ns[0] + 1);
    histogram_add(&pools[0].run_time, UINT64_C(3600000000000));
    write_page();
    char line[128];
    snprintf(line, sizeof line, "poolgate_run_seconds_bucket{pool=\"ocr\",le=\"%.9g\"} 1",
             (double)histogram_bounds_ns[0] / 1e9);
    has(line);
    snprintf(line, sizeof line, "poolgate_run_seconds_bucket{pool=\"ocr\",le=\"%.9g\"} 2",
             (double)histogram_bounds_ns[HISTOGRAM_BUCKETS - 2] / 1e9);
    has(line);
    has("poolgate_run_seconds_bucket{pool=\"ocr\",le=\"+Inf\"} 3");
    has("poolgate_run_seconds_count{pool=\"ocr\"} 3");
    end();
}
END_TEST

START_TEST(a_front_ends_loop_is_listed_once_it_ran) {
    arrange();
    write_page();
    ck_assert_ptr_null(strstr(page, "loop=\"http\""));
    metrics_loop_lag(metrics, FRONTEND_HTTP, 2000000);
    write_page();
    has("poolgate_loop_lag_seconds_count{loop=\"http\"} 1");
    has("poolgate_loop_lag_seconds_sum{loop=\"http\"} 0.002000000");
    end();
}
END_TEST

static char family[64], seen[4096] = " ";
static bool helped;

static void read_line(const char *line) {
    char name[64], word[80];
    if (sscanf(line, "# HELP %63s", name) == 1) {
        snprintf(word, sizeof word, " %s ", name);
        ck_assert_msg(strstr(seen, word) == NULL, "%s is there twice", name);
        strncat(seen, word + 1, sizeof seen - strlen(seen) - 1);
        snprintf(family, sizeof family, "%s", name);
        helped = true;
    } else if (sscanf(line, "# TYPE %63s", name) == 1) {
        ck_assert(helped);
        ck_assert_str_eq(name, family);
        helped = false;
    } else {
        ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
        ck_assert(strstr(line, "} ") != NULL || line[strlen(family)] == ' ');
    }
}

/* HELP, then TYPE, then the family's samples together; every sample belongs to the family above it. */
START_TEST(the_page_is_in_the_text_format) {
    arrange();
    metrics_answered(metrics, "ocr", FRONTEND_HTTP, OK);
    metrics_rejected(metrics, "ocr", QUEUE_FULL, 1);
    metrics_loop_lag(metrics, FRONTEND_HTTP, 1);
    pools[0].tenants_count = 1;
    snapshot.memory.limit_bytes = 1;
    write_page();
    for (char *line = page; *line != '\0';) {
        char *end_of_line = strchr(line, '\n');
        ck_assert_ptr_nonnull(end_of_line);
        *end_of_line = '\0';
        read_line(line);
        line = end_of_line + 1;
    }
    end();
}
END_TEST

static void *count_many(void *unused) {
    for (int i = 0; i < 50000; i++) metrics_answered(metrics, "ocr", FRONTEND_HTTP, OK);
    return unused;
}

START_TEST(counts_from_many_threads_add_up) {
    arrange();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, count_many, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    write_page();
    has("poolgate_requests_total{pool=\"ocr\",frontend=\"http\",code=\"ok\"} 200000");
    end();
}
END_TEST

START_TEST(a_certificates_end_is_told_of_front_ends_with_one) {
    arrange();
    write_page();
    ck_assert_ptr_null(strstr(page, "poolgate_tls"));
    metrics_tls_expiry(metrics, FRONTEND_GRPC, 1893456000);
    metrics_tls_reload_failed(metrics, FRONTEND_GRPC);
    metrics_tls_reload_failed(metrics, FRONTEND_GRPC);
    write_page();
    has("poolgate_tls_certificate_expiry_seconds{frontend=\"grpc\"} 1893456000");
    has("poolgate_tls_reload_failures_total{frontend=\"grpc\"} 2");
    ck_assert_ptr_null(strstr(page, "poolgate_tls_certificate_expiry_seconds{frontend=\"http\"}"));
    end();
}
END_TEST

SUITE("gateway/metrics", 20, answers_are_counted_by_pool_front_end_and_code,
      refusals_have_times_of_their_own, spans_are_counted_by_what_became_of_them,
      gauges_tell_the_snapshot, counters_of_the_policies_tell_the_snapshot,
      a_breaker_is_worse_the_more_it_is_open,
      memory_is_the_governors_and_what_is_unknown_is_left_out, batches_are_a_histogram_of_requests,
      a_tenants_name_cannot_leave_its_label, histograms_are_cumulative_and_in_seconds,
      a_front_ends_loop_is_listed_once_it_ran, the_page_is_in_the_text_format,
      counts_from_many_threads_add_up, a_certificates_end_is_told_of_front_ends_with_one)
