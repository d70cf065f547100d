#include "gateway/metrics.h"
#include "tests/support/suite.h"

#include <pthread.h>
#include <string.h>

static struct metrics *metrics;
static struct pool_snapshot pools[2];
static struct snapshot snapshot;
static char *page;

static void arrange(void) {
    ck_assert_int_eq(metrics_open(&metrics, 2), OK);
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
    metrics_answered(metrics, 0, FRONTEND_HTTP, OK);
    metrics_answered(metrics, 0, FRONTEND_HTTP, OK);
    metrics_answered(metrics, 1, FRONTEND_GRPC, QUEUE_FULL);
    metrics_answered(metrics, METRICS_NO_POOL, FRONTEND_HTTP, NO_SUCH_POOL);
    write_page();
    has("poolgate_requests_total{pool=\"ocr\",frontend=\"http\",code=\"ok\"} 2");
    has("poolgate_requests_total{pool=\"embed\",frontend=\"grpc\",code=\"queue_full\"} 1");
    has("poolgate_requests_total{pool=\"\",frontend=\"http\",code=\"no_such_pool\"} 1");
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
    has("poolgate_build_info{version=\"" POOLGATE_VERSION "\"} 1");
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

static char family[64], seen[2048] = " ";
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
        ck_assert_ptr_nonnull(strstr(line, "} "));
    }
}

/* HELP, then TYPE, then the family's samples together; every sample belongs to the family above it. */
START_TEST(the_page_is_in_the_text_format) {
    arrange();
    metrics_answered(metrics, 0, FRONTEND_HTTP, OK);
    metrics_loop_lag(metrics, FRONTEND_HTTP, 1);
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
    for (int i = 0; i < 50000; i++) metrics_answered(metrics, 0, FRONTEND_HTTP, OK);
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

SUITE("gateway/metrics", 20, answers_are_counted_by_pool_front_end_and_code,
      gauges_tell_the_snapshot, histograms_are_cumulative_and_in_seconds,
      a_front_ends_loop_is_listed_once_it_ran, the_page_is_in_the_text_format,
      counts_from_many_threads_add_up)
