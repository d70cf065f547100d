#include "gateway/config/difference.h"
#include "gateway/config/schema.h"
#include "tests/support/suite.h"

#include <string.h>

static struct config *load(const char *setting) {
    const char *const settings[] = {setting, NULL};
    struct config *config;
    const struct config_source source = {.settings = settings};
    ck_assert_int_eq(config_load(&config, &source, stderr), OK);
    return config;
}

static void expect(const char *one, const char *other, const char *wanted) {
    struct config *a = load(one), *b = load(other);
    size_t cursor = 0;
    const char *key = difference_next(a, b, &cursor);
    ck_assert_str_eq(key != NULL ? key : "", wanted);
    ck_assert(key == NULL || difference_next(a, b, &cursor) == NULL);
    config_free(a);
    config_free(b);
}

START_TEST(the_same_configuration_differs_in_nothing) {
    expect(NULL, NULL, "");
    expect("http.max_body=1MiB", "http.max_body=1024KiB", "");
    expect("memory.limit=80%", NULL, "");
}
END_TEST

START_TEST(a_key_of_every_kind_is_seen) {
    expect(NULL, "grpc.reflection=false", "grpc.reflection");
    expect(NULL, "http.max_connections=5", "http.max_connections");
    expect(NULL, "http.min_rate=2KiB", "http.min_rate");
    expect(NULL, "http.header_timeout=1s", "http.header_timeout");
    expect("memory.limit=80%", "memory.limit=70%", "memory.limit");
    expect("memory.limit=80%", "memory.limit=1GiB", "memory.limit");
    expect("memory.limit=2GiB", "memory.limit=1GiB", "memory.limit");
    expect(NULL, "log.level=debug", "log.level");
    expect(NULL, "trace.otlp=http://127.0.0.1:4318", "trace.otlp");
    expect("http.listen=127.0.0.1:1", "http.listen=127.0.0.1:2", "http.listen");
    expect(NULL, "http.origins=[https://a.example]", "http.origins");
    expect("http.origins=[https://a.example]", "http.origins=[https://b.example]", "http.origins");
}
END_TEST

START_TEST(pools_are_not_looked_at) {
    expect(NULL, "pools.embed.slots.max=2", "");
}
END_TEST

SUITE("gateway/config/difference", 20, the_same_configuration_differs_in_nothing,
      a_key_of_every_kind_is_seen, pools_are_not_looked_at)
