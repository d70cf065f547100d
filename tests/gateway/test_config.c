#include "gateway/config/config.h"
#include "gateway/config/schema.h"
#include "gateway/config/value.h"
#include "tests/support/suite.h"

#include "core/base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define KIB       UINT64_C(1024)
#define MIB       (1024 * KIB)
#define GIB       (1024 * MIB)
#define HOUR      (3600 * CLOCK_S)
#define FILE_NAME "poolgate.yaml"

#define ARRAY(...) ((const char *const[]){__VA_ARGS__, NULL})
#define POOL       "pools: [{name: a, worker: {plugin: embed}}]\n"
#define POOL_OPEN  "pools:\n- name: a\n  worker: {plugin: embed}\n  "

/* What a load gave: the configuration, or the lines about what was wrong. */
struct loaded {
    enum outcome outcome;
    struct config *config;
    char *lines;
    size_t lines_bytes;
};

/* text NULL: no file. Works in a folder of its own, so that the file has a short name. */
static void load(struct loaded *loaded, const char *text, const char *const *environment,
                 const char *const *settings) {
    char folder[] = "/tmp/poolgate-config-XXXXXX";
    struct config_source source = {.environment = environment, .settings = settings};
    memset(loaded, 0, sizeof *loaded);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    if (text != NULL) {
        FILE *file = fopen(FILE_NAME, "w");
        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
        source.file = FILE_NAME;
    }
    FILE *errors = open_memstream(&loaded->lines, &loaded->lines_bytes);
    ck_assert_ptr_nonnull(errors);
    loaded->outcome = config_load(&loaded->config, &source, errors);
    fclose(errors);
    unlink(FILE_NAME);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void unload(struct loaded *loaded) {
    config_free(loaded->config);
    free(loaded->lines);
}

static void expect_good(const struct loaded *loaded) {
    ck_assert_str_eq(loaded->lines, "");
    ck_assert_int_eq(loaded->outcome, OK);
    ck_assert_ptr_nonnull(loaded->config);
}

static void load_good(struct loaded *loaded, const char *text, const char *const *environment,
                      const char *const *settings) {
    load(loaded, text, environment, settings);
    expect_good(loaded);
}

static void expect_refused(const char *text, const char *const *environment,
                           const char *const *settings, const char *lines) {
    struct loaded loaded;
    load(&loaded, text, environment, settings);
    ck_assert_str_eq(loaded.lines, lines);
    ck_assert_int_eq(loaded.outcome, INVALID_REQUEST);
    ck_assert_ptr_null(loaded.config);
    unload(&loaded);
}

static size_t count_lines(const char *lines) {
    size_t count = 0;
    for (; *lines != '\0'; lines++) count += *lines == '\n';
    return count;
}

START_TEST(without_a_file_one_pool_embed_listens_on_loopback) {
    struct loaded loaded;
    load_good(&loaded, NULL, NULL, NULL);
    const struct config *config = loaded.config;
    ck_assert_str_eq(config->http.listen.text, "127.0.0.1:8080");
    ck_assert_str_eq(config->http.listen.host, "127.0.0.1");
    ck_assert_uint_eq(config->http.listen.port, 8080);
    ck_assert(config->http.listen.loopback);
    ck_assert_str_eq(config->grpc.listen.text, "127.0.0.1:8081");
    ck_assert_ptr_null(config->admin.listen.text);
    ck_assert_uint_eq(config->pools_count, 1);
    ck_assert_str_eq(config->pools[0].core.name, "embed");
    ck_assert_str_eq(config->pools[0].core.capability, "text-embedding");
    ck_assert_str_eq(config->pools[0].core.worker.plugin, "embed");
    ck_assert_ptr_null(config->pools[0].core.worker.command);
    unload(&loaded);
}
END_TEST

START_TEST(a_program_without_settings_has_the_defaults_of_the_contract) {
    struct loaded loaded;
    load_good(&loaded, POOL, NULL, NULL);
    const struct config *config = loaded.config;
    ck_assert_uint_eq(config->http.max_body, 64 * MIB);
    ck_assert_uint_eq(config->http.max_connections, 10000);
    ck_assert_uint_eq(config->http.header_timeout_ns, 10 * CLOCK_S);
    ck_assert_uint_eq(config->http.min_rate, KIB);
    ck_assert_int_eq(config->http.half_close, HALF_CLOSE_CANCEL);
    ck_assert_int_eq(config->http.guard, GUARD_STANDARD);
    ck_assert_uint_eq(config->http.trusted_proxies.count, 0);
    ck_assert_uint_eq(config->http.origins.count, 0);
    ck_assert_ptr_null(config->http.origins.items[0]);
    ck_assert_ptr_null(config->http.tls.cert);
    ck_assert_uint_eq(config->grpc.max_message, 64 * MIB);
    ck_assert_uint_eq(config->grpc.max_streams, 1000);
    ck_assert_uint_eq(config->grpc.keepalive_ns, 60 * CLOCK_S);
    ck_assert_uint_eq(config->grpc.max_age_ns, 0);
    ck_assert(config->grpc.reflection);
    ck_assert_ptr_null(config->grpc.tls.key);
    ck_assert_ptr_null(config->auth.keys_file);
    ck_assert(!config->auth.allow_anonymous);
    ck_assert_int_eq(config->auth.trust_tenant_header, TRUST_DEFAULT);
    ck_assert_uint_eq(config->memory_limit.percent, 80);
    ck_assert_ptr_null(config->jobs.path);
    ck_assert_uint_eq(config->jobs.keep_ns, 24 * HOUR);
    ck_assert_uint_eq(config->jobs.max, 100000);
    ck_assert_uint_eq(config->jobs.webhooks.count, 0);
    ck_assert_ptr_null(config->trace.otlp);
    ck_assert_uint_eq(config->drain.grace_ns, 5 * CLOCK_S);
    ck_assert_uint_eq(config->drain.timeout_ns, 25 * CLOCK_S);
    ck_assert_int_eq(config->log.level, LOG_INFO);
    ck_assert_int_eq(config->log.format, LOG_TEXT);
    ck_assert_uint_eq(config->chaos_count, 0);
    unload(&loaded);
}
END_TEST

START_TEST(a_pool_without_settings_has_the_defaults_of_the_contract) {
    struct loaded loaded;
    load_good(&loaded, POOL, NULL, NULL);
    const struct pool_config *pool = &loaded.config->pools[0];
    const struct pool_options *core = &pool->core;
    ck_assert_str_eq(core->capability, "");
    ck_assert_uint_eq(core->worker.args_count, 0);
    ck_assert_int_eq(core->isolation, ISOLATION_PROCESS);
    ck_assert(core->slots_min == 1 && core->slots_max == 4 && core->inflight == 1);
    ck_assert_uint_eq(pool->core.staged, 1);
    ck_assert_str_eq(pool->core.cpus, "any");
    ck_assert_uint_eq(core->memory_bytes, 200 * MIB);
    ck_assert(core->queue.capacity == 10000 && core->queue.reserve == 1000);
    ck_assert_uint_eq(core->queue.bytes, GIB);
    ck_assert(pool->core.queue.aging_ns == 30 * CLOCK_S && pool->core.queue.dedup_ns == 0);
    ck_assert(pool->core.queue.batch_max == 1 && pool->core.queue.batch_delay_ns == 0 &&
              pool->core.queue.fair);
    ck_assert_uint_eq(pool->core.queue.weights_count, 0);
    ck_assert_int_eq(pool->core.pick, PICK_LEAST_LOADED);
    ck_assert_int_eq(pool->core.queue.overload, OVERLOAD_SHED);
    ck_assert_uint_eq(core->timeouts.load_ns, 30 * CLOCK_S);
    ck_assert_uint_eq(core->timeouts.request_ns, 60 * CLOCK_S);
    ck_assert_uint_eq(core->timeouts.max_ns, HOUR);
    ck_assert_uint_eq(core->timeouts.idle_ns, 300 * CLOCK_S);
    ck_assert_uint_eq(core->timeouts.cancel_ns, 30 * CLOCK_S);
    ck_assert_uint_eq(core->timeouts.kill_ns, 5 * CLOCK_S);
    ck_assert(core->required);
    ck_assert(core->health.interval_ns == 10 * CLOCK_S && core->health.timeout_ns == CLOCK_S);
    ck_assert(core->health.misses == 3 && pool->core.health.deep_ns == 0);
    ck_assert(pool->core.breaker.failures == 5 && pool->core.breaker.open_ns == 60 * CLOCK_S);
    ck_assert(pool->core.breaker.probes == 3 && pool->core.breaker.successes == 3);
    ck_assert(core->scale.policy == SCALE_ADAPTIVE && core->scale.interval_ns == CLOCK_S);
    ck_assert_uint_eq(pool->stall_ns, 30 * CLOCK_S);
    ck_assert_uint_eq(core->retry_crashes, 1);
    ck_assert(pool->core.recycle.requests == 0 && pool->core.recycle.memory_bytes == 0);
    ck_assert_uint_eq(core->worker.env_pass_count, 2);
    ck_assert_str_eq(core->worker.env_pass[0], "PATH");
    ck_assert_str_eq(core->worker.env_pass[1], "LANG");
    ck_assert_uint_eq(core->worker.env_set_count, 0);
    ck_assert_int_eq(pool->sandbox, SANDBOX_STANDARD);
    ck_assert_uint_eq(core->max_reply_bytes, 64 * MIB);
    unload(&loaded);
}
END_TEST

START_TEST(every_key_of_the_contract_is_accepted) {
    struct loaded loaded;
    load_good(&loaded,
              "http:  { listen: 127.0.0.1:8080, max_body: 64MiB, max_connections: 10000,\n"
              "         header_timeout: 10s, min_rate: 1KiB, half_close: keep, guard: standard,\n"
              "         trusted_proxies: [], origins: [https://a.example, http://b.example],\n"
              "         tls: { cert: , key: , client_ca: } }\n"
              "grpc:  { listen: '[::1]:0', max_message: 64MiB, max_streams: 1000, keepalive: 60s,\n"
              "         max_age: 1h, reflection: no, tls: { cert: , key: ~, client_ca: null } }\n"
              "admin: { listen: }\n"
              "auth:  { keys_file: , allow_anonymous: true, trust_tenant_header: false }\n"
              "memory: { limit: 6GiB }\n"
              "jobs:  { path: /var/lib/jobs, keep: 24h, max: 7, webhooks: [https://a.example/x] }\n"
              "trace: { otlp: http://127.0.0.1:4318 }\n"
              "drain: { grace: 5s, timeout: 25s }\n"
              "log:   { level: debug, format: json }\n"
              "chaos: { }\n"
              "pools:\n"
              "  - name: ocr\n"
              "    capability: vision\n"
              "    worker: { command: [python3, my_worker.py], args: { language: eng, n: 007 } }\n"
              "    isolation: process\n"
              "    slots: { min: 0, max: 8, inflight: 4, staged: 0, cpus: '0-3,8',\n"
              "             pick: two_choices }\n"
              "    memory: 1GiB\n"
              "    queue: { capacity: 10, bytes: 2MiB, reserve: 0%, aging: 1s, dedup: 5ms,\n"
              "             batch: { max: 8, delay: 5ms }, fair: false, overload: codel,\n"
              "             weights: { acme: 3, b: 1000 } }\n"
              "    timeouts: { load: 2m, request: 1s, max: 2s, idle: 3s, cancel: 0s, kill: 1ms }\n"
              "    required: false\n"
              "    health: { interval: 50ms, timeout: 40ms, misses: 1, deep: 1m }\n"
              "    breaker: { failures: 1, open: 2s, probes: 3, successes: 4 }\n"
              "    scale: { policy: predictive, interval: 10s }\n"
              "    stream: { stall: 1s }\n"
              "    retry: { crashes: 0 }\n"
              "    recycle: { requests: 1000, memory: 1GiB }\n"
              "    env: { pass: [], set: { COLOUR: green, EMPTY: } }\n"
              "    sandbox: none\n",
              NULL, NULL);
    const struct config *config = loaded.config;
    const struct pool_config *pool = &config->pools[0];
    ck_assert_int_eq(config->http.half_close, HALF_CLOSE_KEEP);
    ck_assert_int_eq(config->http.guard, GUARD_STANDARD);
    ck_assert_uint_eq(config->http.origins.count, 2);
    ck_assert_str_eq(config->http.origins.items[1], "http://b.example");
    ck_assert_str_eq(config->grpc.listen.host, "::1");
    ck_assert(config->grpc.listen.loopback && !config->grpc.reflection);
    ck_assert_ptr_null(config->grpc.tls.client_ca);
    ck_assert_int_eq(config->auth.trust_tenant_header, TRUST_NO);
    ck_assert(config->memory_limit.bytes == 6 * GIB && config->memory_limit.percent == 0);
    ck_assert_str_eq(config->jobs.path, "/var/lib/jobs");
    ck_assert_str_eq(config->trace.otlp, "http://127.0.0.1:4318");
    ck_assert(config->log.level == LOG_DEBUG && config->log.format == LOG_JSON);
    ck_assert_str_eq(pool->core.worker.command[1], "my_worker.py");
    ck_assert_ptr_null(pool->core.worker.command[2]);
    ck_assert_ptr_null(pool->core.worker.plugin);
    ck_assert_str_eq(pool->core.worker.args[1].value, "007");
    ck_assert_str_eq(pool->core.cpus, "0-3,8");
    ck_assert_uint_eq(pool->core.queue.reserve, 0);
    ck_assert(pool->core.queue.batch_max == 8 && pool->core.queue.batch_delay_ns == 5 * CLOCK_MS &&
              !pool->core.queue.fair);
    ck_assert_int_eq(pool->core.pick, PICK_TWO_CHOICES);
    ck_assert_uint_eq(pool->core.queue.weights_count, 2);
    ck_assert_str_eq(pool->core.queue.weights[0].tenant, "acme");
    ck_assert_uint_eq(pool->core.queue.weights[0].weight, 3);
    ck_assert_int_eq(pool->core.queue.overload, OVERLOAD_CODEL);
    ck_assert_uint_eq(pool->core.timeouts.load_ns, 120 * CLOCK_S);
    ck_assert_uint_eq(pool->core.timeouts.cancel_ns, 0);
    ck_assert(!pool->core.required && pool->core.breaker.successes == 4);
    ck_assert_int_eq(pool->core.scale.policy, SCALE_PREDICTIVE);
    ck_assert(pool->core.recycle.requests == 1000 && pool->core.recycle.memory_bytes == GIB);
    ck_assert_uint_eq(pool->core.worker.env_pass_count, 0);
    ck_assert_str_eq(pool->core.worker.env_set[0].value, "green");
    ck_assert_str_eq(pool->core.worker.env_set[1].value, "");
    ck_assert_int_eq(pool->sandbox, SANDBOX_NONE);
    unload(&loaded);
}
END_TEST

/* A broken configuration and the one line about it. */
struct mistake {
    const char *text, *line;
};

/* Behind POOL, so in line 2. */
static const struct mistake program_mistakes[] = {
    {"http: {listen: 127.0.0.1}",
     "poolgate.yaml:2: http.listen: \"127.0.0.1\" is not an address, allowed is IPV4:PORT, "
     "[IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: example.org:80}",
     "poolgate.yaml:2: http.listen: \"example.org:80\" is not an address, allowed is IPV4:PORT, "
     "[IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: \"127.0.0.1:65536\"}",
     "poolgate.yaml:2: http.listen: \"127.0.0.1:65536\" is not an address, allowed is IPV4:PORT, "
     "[IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: \"::1:80\"}",
     "poolgate.yaml:2: http.listen: \"::1:80\" is not an address, allowed is IPV4:PORT, "
     "[IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: }", "poolgate.yaml:2: http.listen: is empty, allowed is IPV4:PORT, "
                         "[IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: [a]}", "poolgate.yaml:2: http.listen: a list is not an address, allowed is "
                            "IPV4:PORT, [IPV6]:PORT or localhost:PORT, with 0 for a free port"},
    {"http: {listen: 0.0.0.0:80}",
     "poolgate.yaml:2: http.listen: 0.0.0.0:80 can be reached from other machines and nobody would "
     "be asked for a key, allowed is a loopback address, auth.keys_file, or "
     "auth.allow_anonymous: true"},
    {"grpc: {listen: \"[::]:81\"}",
     "poolgate.yaml:2: grpc.listen: [::]:81 can be reached from other machines and nobody would be "
     "asked for a key, allowed is a loopback address, auth.keys_file, or "
     "auth.allow_anonymous: true"},
    {"grpc: {listen: 127.0.0.1:8080}", "poolgate.yaml:2: grpc.listen: HTTP and gRPC are both at "
                                       "127.0.0.1:8080, allowed is an address of its own for each"},
    {"http: {lisen: 127.0.0.1:80}",
     "poolgate.yaml:2: http.lisen: unknown key (did you mean listen?), allowed here: listen, "
     "max_body, max_connections, max_per_address, header_timeout, min_rate, half_close, guard, "
     "trusted_proxies, "
     "origins, tls"},
    {"htpp: {}", "poolgate.yaml:2: htpp: unknown key (did you mean http?), allowed here: http, "
                 "grpc, admin, auth, process, memory, jobs, trace, drain, log, chaos, pools"},
    {"http.listen: 127.0.0.1:80",
     "poolgate.yaml:2: http.listen: has a dot in it, allowed are maps within maps"},
    {"http: 7",
     "poolgate.yaml:2: http: \"7\" is not a map, allowed here: listen, max_body, max_connections, "
     "max_per_address, header_timeout, min_rate, half_close, guard, trusted_proxies, origins, tls"},
    {"http: {max_body: 4GiB}", "poolgate.yaml:2: http.max_body: \"4GiB\" is out of range, allowed "
                               "is a size such as 64MiB, from 1B to 4294967295B"},
    {"http: {max_body: 64MB}", "poolgate.yaml:2: http.max_body: \"64MB\" is not a size, allowed is "
                               "a size such as 64MiB, from 1B to 4294967295B"},
    {"http: {max_body: 18446744073709551617}",
     "poolgate.yaml:2: http.max_body: \"18446744073709551617\" is out of range, allowed is a size "
     "such as 64MiB, from 1B to 4294967295B"},
    {"http: {max_body: 17179869185GiB}",
     "poolgate.yaml:2: http.max_body: \"17179869185GiB\" is out of range, allowed is a size such "
     "as 64MiB, from 1B to 4294967295B"},
    {"http: {max_connections: 0}", "poolgate.yaml:2: http.max_connections: \"0\" is out of range, "
                                   "allowed is a whole number from 1 to 1000000"},
    {"http: {max_connections: 1e3}", "poolgate.yaml:2: http.max_connections: \"1e3\" is not a "
                                     "whole number, allowed is a whole number from 1 to 1000000"},
    {"http: {max_connections: -1}", "poolgate.yaml:2: http.max_connections: \"-1\" is not a whole "
                                    "number, allowed is a whole number from 1 to 1000000"},
    {"http: {header_timeout: 5}", "poolgate.yaml:2: http.header_timeout: \"5\" is not a time, "
                                  "allowed is a time such as 5ms, 30s, 2m or 1h, from 1ms to 1h"},
    {"http: {header_timeout: 2h}", "poolgate.yaml:2: http.header_timeout: \"2h\" is out of range, "
                                   "allowed is a time such as 5ms, 30s, 2m or 1h, from 1ms to 1h"},
    {"http: {header_timeout: 1.5s}",
     "poolgate.yaml:2: http.header_timeout: \"1.5s\" is not a time, allowed is a time such as 5ms, "
     "30s, 2m or 1h, from 1ms to 1h"},
    {"http: {half_close: maybe}", "poolgate.yaml:2: http.half_close: \"maybe\" is not one of the "
                                  "choices, allowed is cancel or keep"},
    {"http: {origins: https://example.org}",
     "poolgate.yaml:2: http.origins: \"https://example.org\" is not a list, allowed is a list of "
     "origins such as [https://example.org]"},
    {"http: {origins: [example.org]}",
     "poolgate.yaml:2: http.origins: \"example.org\" does not fit into the list, allowed is a list "
     "of origins such as [https://example.org]"},
    {"http: {origins: [[]]}", "poolgate.yaml:2: http.origins: a list does not fit into the list, "
                              "allowed is a list of origins such as [https://example.org]"},
    {"http: {trusted_proxies: [10.0.0.1/8]}",
     "poolgate.yaml:2: http.trusted_proxies: \"10.0.0.1/8\" does not fit into the list, allowed is "
     "a list of "
     "addresses and networks such as [10.0.0.0/8]"},
    {"http: {tls: {cert: a.pem}}",
     "poolgate.yaml:2: http.tls.cert: http.tls.key is missing, allowed is nothing, or with it"},
    {"http: {tls: {key: a.pem}}",
     "poolgate.yaml:2: http.tls.key: http.tls.cert is missing, allowed is nothing, or with it"},
    {"grpc: {tls: {cert: c.pem, key: k.pem, client_names: [a]}}",
     "poolgate.yaml:2: grpc.tls.client_names: grpc.tls.client_ca is missing, allowed is nothing, "
     "or "
     "with it"},
    {"http: {tls: {client_names: a}}",
     "poolgate.yaml:2: http.tls.client_names: \"a\" is not a list, allowed is a list of names such "
     "as [worker.example, spiffe://example/app]"},
    {"http: {tls: {cert: /nowhere/c.pem, key: k.pem}}",
     "poolgate.yaml:2: http.tls.cert: /nowhere/c.pem: No such file or directory, allowed is a "
     "readable PEM file"},
    {"http: {tls: yes}",
     "poolgate.yaml:2: http.tls: \"yes\" is not a map, allowed here: cert, key, client_ca, "
     "client_names"},
    {"grpc: {tls: {client_ca: ca.pem}}",
     "poolgate.yaml:2: grpc.tls.client_ca: grpc.tls.cert is missing, allowed is nothing, or with "
     "it"},
    {"grpc: {max_message: 2GiB}", "poolgate.yaml:2: grpc.max_message: \"2GiB\" is out of range, "
                                  "allowed is a size such as 64MiB, from 1B to 2147483647B"},
    {"admin: {listen: 10.0.0.1:9}", "poolgate.yaml:2: admin.listen: 10.0.0.1:9 can be reached from "
                                    "other machines, allowed is a loopback address"},
    {"admin: {listen: 127.0.0.1:8081}",
     "poolgate.yaml:2: admin.listen: 127.0.0.1:8081 is taken by clients, allowed is an address of "
     "its own"},
    {"auth: {keys_file: keys.json}",
     "poolgate.yaml:2: auth.keys_file: \"keys.json\": cannot be read: No such file or directory "
     "(`poolgate key add` makes one that fits)"},
    {"auth: {allow_anonymous: perhaps}", "poolgate.yaml:2: auth.allow_anonymous: \"perhaps\" is "
                                         "not a boolean, allowed is true or false"},
    {"auth: {trust_tenant_header: 7}", "poolgate.yaml:2: auth.trust_tenant_header: \"7\" is not "
                                       "one of the choices, allowed is true, false, or nothing"},
    {"memory: {limit: 0%}",
     "poolgate.yaml:2: memory.limit: \"0%\" is out of range, allowed is a percentage from 1% to "
     "100%, or a size such as 2GiB, from 1MiB to 1024TiB"},
    {"memory: {limit: half}",
     "poolgate.yaml:2: memory.limit: \"half\" is not a size or a percentage, allowed is a "
     "percentage from 1% to 100%, or a size such as 2GiB, from 1MiB to 1024TiB"},
    {"jobs: {max: many}", "poolgate.yaml:2: jobs.max: \"many\" is not a whole number, allowed is a "
                          "whole number from 1 to 100000000"},
    {"trace: {otlp: 127.0.0.1:4318}",
     "poolgate.yaml:2: trace.otlp: \"127.0.0.1:4318\" is not usable, allowed is an address such as "
     "http://127.0.0.1:4318, or nothing"},
    {"drain: {grace: 26s}", "poolgate.yaml:2: drain.grace: drain.grace (26s) is above "
                            "drain.timeout (25s), allowed is at most the same"},
    {"log: {level: loud}", "poolgate.yaml:2: log.level: \"loud\" is not one of the choices, "
                           "allowed is debug, info, warn, error or alert"},
    {"log: {level: info, level: warn}",
     "poolgate.yaml:2: log.level: is given twice, allowed is once; the first is in line 2"},
    {"chaos: {a: crash=5%}",
     "poolgate.yaml:2: chaos: faults are asked for, allowed is nothing without --allow-chaos"},
    {"<<: {a: b}", "poolgate.yaml:2: <<: unknown key, allowed here: http, grpc, admin, auth, "
                   "process, memory, jobs, trace, drain, log, chaos, pools"},
    {"? [a]\n: 1", "poolgate.yaml:2: configuration: a list is not a key, allowed here: http, grpc, "
                   "admin, auth, process, memory, jobs, trace, drain, log, chaos, pools"},
};

/* Behind POOL_OPEN, so in line 4. */
static const struct mistake pool_mistakes[] = {
    {"name: b",
     "poolgate.yaml:4: pools.a.name: is given twice, allowed is once; the first is in line 2"},
    {"capability: \"a\\tb\"", "poolgate.yaml:4: pools.a.capability: \"a?b\" is not usable, allowed "
                              "is UTF-8 text without control characters"},
    {"memory: 10%", "poolgate.yaml:4: pools.a.memory: \"10%\" is not a size, allowed is a size "
                    "such as 64MiB, from 1KiB to 1024TiB"},
    {"sandbox: strict", "poolgate.yaml:4: pools.a.sandbox: strict is not available in this "
                        "version, allowed is standard"},
    {"isolation: fibre", "poolgate.yaml:4: pools.a.isolation: \"fibre\" is not one of the choices, "
                         "allowed is process or thread"},
    {"slots: {min: 5}", "poolgate.yaml:4: pools.a.slots.min: slots.min (5) is above slots.max (4), "
                        "allowed is at most the same"},
    {"slots: {max: 0}", "poolgate.yaml:4: pools.a.slots.max: \"0\" is out of range, allowed is a "
                        "whole number from 1 to 1024"},
    {"slots: {inflight: 0}", "poolgate.yaml:4: pools.a.slots.inflight: \"0\" is out of range, "
                             "allowed is a whole number from 1 to 1024"},
    {"slots: {cpus: 3-1}", "poolgate.yaml:4: pools.a.slots.cpus: \"3-1\" is not usable, allowed is "
                           "any, auto, or a list of processors such as 0-3,8"},
    {"slots: {cpus: }", "poolgate.yaml:4: pools.a.slots.cpus: is empty, allowed is any, auto, or a "
                        "list of processors such as 0-3,8"},
    {"slots: [1, 2]", "poolgate.yaml:4: pools.a.slots: a list is not a map, allowed here: min, "
                      "max, inflight, staged, pick, cpus"},
    {"queue: {capacity: 0}", "poolgate.yaml:4: pools.a.queue.capacity: \"0\" is out of range, "
                             "allowed is a whole number from 1 to 1000000"},
    {"queue: {weights: {b: 0}}",
     "poolgate.yaml:4: pools.a.queue.weights: \"0\" for \"b\" is no weight, allowed is a whole "
     "number from 1 to 1000"},
    {"queue: {weights: {b: 1.5}}",
     "poolgate.yaml:4: pools.a.queue.weights: \"1.5\" for \"b\" is no weight, allowed is a whole "
     "number from 1 to 1000"},
    {"queue: {weights: [b]}",
     "poolgate.yaml:4: pools.a.queue.weights: a list is not a map, allowed "
     "is a map of tenants and whole numbers from 1 to 1000 such as "
     "{acme: 3}"},
    {"slots: {pick: best}",
     "poolgate.yaml:4: pools.a.slots.pick: \"best\" is not one of the choices, allowed "
     "is least_loaded, most_recent or two_choices"},
    {"queue: {reserve: 10}", "poolgate.yaml:4: pools.a.queue.reserve: \"10\" is not a percentage, "
                             "allowed is a percentage from 0% to 100%"},
    {"queue: {reserve: 101%}", "poolgate.yaml:4: pools.a.queue.reserve: \"101%\" is out of range, "
                               "allowed is a percentage from 0% to 100%"},
    {"queue: {batch: {max: 0}}", "poolgate.yaml:4: pools.a.queue.batch.max: \"0\" is out of range, "
                                 "allowed is a whole number from 1 to 1024"},
    {"queue: {batch: {sizes: 3}}",
     "poolgate.yaml:4: pools.a.queue.batch.sizes: unknown key, allowed here: max, delay"},
    {"timeouts: {request: 2h}", "poolgate.yaml:4: pools.a.timeouts.request: timeouts.request (2h) "
                                "is above timeouts.max (1h), allowed is at most the same"},
    {"timeouts: {kill: 0}", "poolgate.yaml:4: pools.a.timeouts.kill: \"0\" is out of range, "
                            "allowed is a time such as 5ms, 30s, 2m or 1h, from 1ms to 1h"},
    {"required: maybe",
     "poolgate.yaml:4: pools.a.required: \"maybe\" is not a boolean, allowed is true or false"},
    {"health: {misses: 0}", "poolgate.yaml:4: pools.a.health.misses: \"0\" is out of range, "
                            "allowed is a whole number from 1 to 1000"},
    {"breaker: {opens: 1s}", "poolgate.yaml:4: pools.a.breaker.opens: unknown key (did you mean "
                             "open?), allowed here: failures, open, probes, successes"},
    {"retry: {crashes: -1}", "poolgate.yaml:4: pools.a.retry.crashes: \"-1\" is not a whole "
                             "number, allowed is a whole number from 0 to 1000"},
    {"recycle: {memory: lots}", "poolgate.yaml:4: pools.a.recycle.memory: \"lots\" is not a size, "
                                "allowed is a size such as 64MiB, from 0 to 1024TiB"},
    {"env: {pass: [A=B]}", "poolgate.yaml:4: pools.a.env.pass: \"A=B\" does not fit into the list, "
                           "allowed is a list of names of environment variables"},
    {"env: {set: [a]}", "poolgate.yaml:4: pools.a.env.set: a list is not a map, allowed is a map "
                        "of names and values of environment variables"},
    {"env: {set: {\"\": x}}", "poolgate.yaml:4: pools.a.env.set: \"\" does not fit into the map, "
                              "allowed is a map of names and values of environment variables"},
    {"env: {set: {A: [1]}}",
     "poolgate.yaml:4: pools.a.env.set.A: a list is not a value, allowed is a text or a number"},
    {"plugin: embed", "poolgate.yaml:4: pools.a.plugin: unknown key, allowed here: name, "
                      "capability, worker, isolation, slots, memory, queue, timeouts, required, "
                      "health, breaker, scale, stream, retry, recycle, env, sandbox"},
};

static const struct mistake file_mistakes[] = {
    {"", "poolgate.yaml:1: pools: is missing, allowed is a list of at least one pool"},
    {"[]", "poolgate.yaml:1: configuration: a list is not a map, allowed here: http, grpc, admin, "
           "auth, process, memory, jobs, trace, drain, log, chaos, pools"},
    {"pools: []", "poolgate.yaml:1: pools: is empty, allowed is a list of at least one pool"},
    {"pools: {a: b}",
     "poolgate.yaml:1: pools: a map is not a list, allowed is a list of at least one pool"},
    {"pools: [7]", "poolgate.yaml:1: pools[0]: \"7\" is not a map, allowed here: name, capability, "
                   "worker, isolation, slots, memory, queue, timeouts, required, health, breaker, "
                   "scale, stream, retry, recycle, env, sandbox"},
    {"pools: [{worker: {plugin: embed}}]",
     "poolgate.yaml:1: pools[0].name: is missing, allowed is 1 to 63 characters of a-z, 0-9 and -"},
    {"pools: [{name: A, worker: {plugin: embed}}]",
     "poolgate.yaml:1: pools[0].name: \"A\" is not usable, allowed is 1 to 63 characters of a-z, "
     "0-9 and -"},
    {"pools: [{name: a}]", "poolgate.yaml:1: pools.a.worker.plugin: is missing, allowed is exactly "
                           "one of worker.plugin and worker.command"},
    {"pools: [{name: a, worker: {plugin: embed, command: [x]}}]",
     "poolgate.yaml:1: pools.a.worker.command: a plugin and a command are given, allowed is "
     "exactly one of worker.plugin and worker.command"},
    {"pools: [{name: a, worker: {plugin: ../x}}]",
     "poolgate.yaml:1: pools.a.worker.plugin: \"../x\" is not usable, allowed is 1 to 63 "
     "characters of a-z, 0-9, _ and -"},
    {"pools: [{name: a, worker: {command: x}}]",
     "poolgate.yaml:1: pools.a.worker.command: \"x\" is not a list, allowed is a program and its "
     "arguments such as [python3, worker.py]"},
    {"pools: [{name: a, worker: {command: [\"\"]}}]",
     "poolgate.yaml:1: pools.a.worker.command: begins with an empty text, allowed is a program"},
    {"pools: [{name: a, worker: {plugin: x, args: {l: {}}}}]",
     "poolgate.yaml:1: pools.a.worker.args.l: a map is not a value, allowed is a text or a number"},
    {"pools: [{name: a, worker: {plugin: x, args: {l: 1, l: 2}}}]",
     "poolgate.yaml:1: pools.a.worker.args.l: is given twice, allowed is once; the first is in "
     "line 1"},
    {"pools: [{name: a, worker: {plugin: embed}},\n {name: a, worker: {plugin: embed}}]\n",
     "poolgate.yaml:2: pools.a.name: an earlier pool has this name, allowed is a name of its own"},
    {"pools: [{name: a, worker: {plugin: embed}}]\npools: [{name: a, worker: {plugin: embed}}]\n",
     "poolgate.yaml:2: pools: is given twice, allowed is once; the first is in line 1"},
    {"pools: [{name: a, worker: {plugin: embed}}]\n---\npools: [{name: a, worker: {plugin: "
     "embed}}]\n",
     "poolgate.yaml:2: configuration: has a second document, allowed is one"},
    {"pools: [{name: a, worker: {plugin: embed}}]\nlog: {level: \n",
     "poolgate.yaml:4: configuration: did not find expected node content while parsing a flow "
     "node, allowed is well-formed YAML in UTF-8"},
    {"\tlog: x\n", "poolgate.yaml:1: configuration: found character that cannot start any token "
                   "while scanning for the next token, allowed is well-formed YAML in UTF-8"},
    {"log: *nowhere\n",
     "poolgate.yaml:1: configuration: found undefined alias, allowed is well-formed YAML in UTF-8"},
    {"pools: &p [*p]", "poolgate.yaml:1: pools[0]: a list is not a map, allowed here: name, "
                       "capability, worker, isolation, slots, memory, queue, timeouts, required, "
                       "health, breaker, scale, stream, retry, recycle, env, sandbox"},
};

static void expect_each_refused(const char *before, const struct mistake *mistakes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char text[512], lines[512];
        snprintf(text, sizeof text, "%s%s\n", before, mistakes[i].text);
        snprintf(lines, sizeof lines, "%s\n", mistakes[i].line);
        expect_refused(text, NULL, NULL, lines);
    }
}

START_TEST(a_mistake_of_the_program_is_one_line_with_file_line_and_key) {
    expect_each_refused(POOL, program_mistakes, sizeof program_mistakes / sizeof *program_mistakes);
}
END_TEST

START_TEST(a_mistake_of_a_pool_is_one_line_with_file_line_and_key) {
    expect_each_refused(POOL_OPEN, pool_mistakes, sizeof pool_mistakes / sizeof *pool_mistakes);
}
END_TEST

START_TEST(a_mistake_of_the_whole_file_is_one_line_with_file_line_and_key) {
    expect_each_refused("", file_mistakes, sizeof file_mistakes / sizeof *file_mistakes);
}
END_TEST

START_TEST(all_mistakes_are_told_in_one_go) {
    expect_refused(
        "http: {lisen: x, max_body: 5GiB}\n"
        "pools:\n"
        "- {name: a, worker: {plugin: embed}, slots: {min: x}}\n"
        "- {capability: x}\n",
        ARRAY("POOLGATE_LOG_LEVEL=loud"), ARRAY("pools.a.slots.max=none"),
        "poolgate.yaml:1: http.lisen: unknown key (did you mean listen?), allowed here: listen, "
        "max_body, max_connections, max_per_address, header_timeout, min_rate, half_close, guard, "
        "trusted_proxies, "
        "origins, tls\n"
        "poolgate.yaml:1: http.max_body: \"5GiB\" is out of range, allowed is a size such as "
        "64MiB, from 1B to 4294967295B\n"
        "poolgate.yaml:3: pools.a.slots.min: \"x\" is not a whole number, allowed is a whole "
        "number from 0 to 1024\n"
        "environment POOLGATE_LOG_LEVEL: log.level: \"loud\" is not one of the choices, allowed is "
        "debug, info, warn, error or alert\n"
        "--set: pools.a.slots.max: \"none\" is not a whole number, allowed is a whole number from "
        "1 to 1024\n"
        "poolgate.yaml:4: pools[1].name: is missing, allowed is 1 to 63 characters of a-z, 0-9 "
        "and -\n"
        "poolgate.yaml:4: pools[1].worker.plugin: is missing, allowed is exactly one of "
        "worker.plugin and worker.command\n");
}
END_TEST

START_TEST(a_hundred_mistakes_are_enough) {
    char text[4096] = "";
    size_t bytes = 0;
    for (int i = 0; i < 150; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "unknown%d: 1\n", i);
    struct loaded loaded;
    load(&loaded, text, NULL, NULL);
    ck_assert_int_eq(loaded.outcome, INVALID_REQUEST);
    ck_assert_uint_eq(count_lines(loaded.lines), 101);
    ck_assert_ptr_nonnull(
        strstr(loaded.lines, "poolgate.yaml:101: unknown100: one of more than 100 mistakes, the "
                             "rest is not shown\n"));
    unload(&loaded);
}
END_TEST

START_TEST(a_line_stays_one_line_whatever_is_in_the_value) {
    expect_refused(POOL "log: {level: \"a\\nfoo: bar\\e[2J\"}\n", NULL, NULL,
                   "poolgate.yaml:2: log.level: \"a?foo: bar?[2J\" is not one of the choices, "
                   "allowed is debug, info, warn, error or alert\n");
    expect_refused(
        POOL "log: {level: "
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéaaaaaa}\n",
        NULL, NULL,
        "poolgate.yaml:2: log.level: "
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" is not "
        "one of the choices, allowed is debug, info, warn, error or alert\n");
}
END_TEST

START_TEST(a_zero_byte_hides_nothing) {
    expect_refused(
        POOL "\"log\\0\": {level: loud}\n", NULL, NULL,
        "poolgate.yaml:2: configuration: \"log\" is not a key, allowed here: http, grpc, "
        "admin, auth, process, memory, jobs, trace, drain, log, chaos, pools\n");
    expect_refused(POOL "log: {level: \"info\\0x\"}\n", NULL, NULL,
                   "poolgate.yaml:2: log.level: \"info\" is not one of the choices, allowed is "
                   "debug, info, warn, error or alert\n");
}
END_TEST

/* One that repeats a text until the file has so many bytes. */
static char *repeated(const char *text, size_t bytes) {
    char *all = malloc(bytes + 1);
    ck_assert_ptr_nonnull(all);
    for (size_t i = 0; i < bytes; i++) all[i] = text[i % strlen(text)];
    all[bytes] = '\0';
    return all;
}

START_TEST(a_file_above_one_mebibyte_is_refused) {
    char *text = repeated("# much ado\n", MIB + 1);
    expect_refused(text, NULL, NULL,
                   "poolgate.yaml:1: configuration: is too large, allowed is a readable file of at "
                   "most 1MiB\n");
    text[MIB] = '\0';
    expect_refused(text, NULL, NULL,
                   "poolgate.yaml:1: pools: is missing, allowed is a list of at least one pool\n");
    free(text);
}
END_TEST

START_TEST(deep_nesting_is_refused_at_once) {
    char *text = repeated("[", MIB);
    expect_refused(text, NULL, NULL,
                   "poolgate.yaml:1: configuration: is nested too deeply, allowed are 64 levels\n");
    free(text);
}
END_TEST

START_TEST(an_alias_stands_for_its_anchor_and_a_cycle_ends) {
    struct loaded loaded;
    load_good(&loaded,
              "pools:\n- {name: a, worker: &w {plugin: embed}, slots: &s {max: 2}}\n"
              "- {name: b, worker: *w, slots: *s}\n",
              NULL, NULL);
    ck_assert_uint_eq(loaded.config->pools[1].core.slots_max, 2);
    unload(&loaded);
    load(&loaded, "pools: &p [&m {worker: *m, slots: {max: *p}, env: {set: *m, pass: *p}}, *p]\n",
         NULL, NULL);
    ck_assert_int_eq(loaded.outcome, INVALID_REQUEST);
    unload(&loaded);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told) {
    static const struct mistake files[] = {
        {"/nowhere/poolgate.yaml", "/nowhere/poolgate.yaml:1: configuration: No such file or "
                                   "directory, allowed is a readable "
                                   "file of at most 1MiB\n"},
        {"/tmp", "/tmp:1: configuration: Is a directory, allowed is a readable file of at most "
                 "1MiB\n"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct config_source source = {.file = files[i].text};
        struct config *config;
        char lines[512] = "";
        FILE *errors = fmemopen(lines, sizeof lines, "w");
        ck_assert_int_eq(config_load(&config, &source, errors), INVALID_REQUEST);
        fclose(errors);
        ck_assert_str_eq(lines, files[i].line);
        ck_assert_ptr_null(config);
    }
}
END_TEST

/* --set KEY=VALUE, and the number that comes of it. */
static uint64_t set_number(const char *setting, size_t offset, size_t bytes) {
    struct loaded loaded;
    uint64_t number = 0;
    load_good(&loaded, POOL, NULL, ARRAY(setting));
    memcpy(&number, (const char *)loaded.config + offset, bytes);
    unload(&loaded);
    return number;
}
#define SET(setting, member)                                                                       \
    set_number(setting, offsetof(struct config, member), sizeof((struct config *)NULL)->member)

START_TEST(sizes_are_bytes_with_or_without_a_unit) {
    ck_assert_uint_eq(SET("http.max_body=1", http.max_body), 1);
    ck_assert_uint_eq(SET("http.max_body=17B", http.max_body), 17);
    ck_assert_uint_eq(SET("http.max_body=1KiB", http.max_body), KIB);
    ck_assert_uint_eq(SET("http.max_body=64MiB", http.max_body), 64 * MIB);
    ck_assert_uint_eq(SET("http.max_body=3GiB", http.max_body), 3 * GIB);
    ck_assert_uint_eq(SET("http.max_body=4294967295", http.max_body), 4 * GIB - 1);
    ck_assert_uint_eq(SET("http.min_rate=0", http.min_rate), 0);
}
END_TEST

START_TEST(times_have_a_unit_and_only_zero_needs_none) {
    ck_assert_uint_eq(SET("drain.timeout=5000ms", drain.timeout_ns), 5 * CLOCK_S);
    ck_assert_uint_eq(SET("drain.timeout=30s", drain.timeout_ns), 30 * CLOCK_S);
    ck_assert_uint_eq(SET("drain.timeout=2m", drain.timeout_ns), 120 * CLOCK_S);
    ck_assert_uint_eq(SET("drain.timeout=1h", drain.timeout_ns), HOUR);
    ck_assert_uint_eq(SET("drain.grace=0", drain.grace_ns), 0);
    ck_assert_uint_eq(SET("drain.grace=0ms", drain.grace_ns), 0);
}
END_TEST

START_TEST(booleans_are_true_yes_on_and_false_no_off) {
    ck_assert_uint_eq(SET("auth.allow_anonymous=true", auth.allow_anonymous), 1);
    ck_assert_uint_eq(SET("auth.allow_anonymous=yes", auth.allow_anonymous), 1);
    ck_assert_uint_eq(SET("auth.allow_anonymous=on", auth.allow_anonymous), 1);
    ck_assert_uint_eq(SET("grpc.reflection=false", grpc.reflection), 0);
    ck_assert_uint_eq(SET("grpc.reflection=no", grpc.reflection), 0);
    ck_assert_uint_eq(SET("grpc.reflection=off", grpc.reflection), 0);
    ck_assert_uint_eq(SET("auth.trust_tenant_header=true", auth.trust_tenant_header), TRUST_YES);
    ck_assert_uint_eq(SET("auth.trust_tenant_header=", auth.trust_tenant_header), TRUST_DEFAULT);
}
END_TEST

START_TEST(addresses_are_numeric_and_know_whether_they_are_loopback) {
    static const struct {
        const char *setting, *host;
        uint16_t port;
        bool loopback;
    } good[] = {
        {"http.listen=127.0.0.1:0", "127.0.0.1", 0, true},
        {"http.listen=127.9.9.9:65535", "127.9.9.9", 65535, true},
        {"http.listen=localhost:90", "127.0.0.1", 90, true},
        {"http.listen=[::1]:90", "::1", 90, true},
        {"http.listen=[::ffff:127.0.0.1]:90", "::ffff:127.0.0.1", 90, true},
        {"http.listen=0.0.0.0:90", "0.0.0.0", 90, false},
        {"http.listen=[::]:90", "::", 90, false},
        {"http.listen=[::ffff:10.0.0.1]:90", "::ffff:10.0.0.1", 90, false},
        {"http.listen=192.168.1.1:90", "192.168.1.1", 90, false},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct loaded loaded;
        load_good(&loaded, POOL, NULL, ARRAY("auth.allow_anonymous=true", good[i].setting));
        const struct listen_address *listen = &loaded.config->http.listen;
        ck_assert_str_eq(listen->text, strchr(good[i].setting, '=') + 1);
        ck_assert_str_eq(listen->host, good[i].host);
        ck_assert_uint_eq(listen->port, good[i].port);
        ck_assert_int_eq(listen->loopback, good[i].loopback);
        unload(&loaded);
    }
}
END_TEST

START_TEST(the_reserve_is_a_share_of_the_capacity_and_at_least_one) {
    static const struct {
        const char *queue;
        uint32_t reserve;
    } good[] = {
        {"pools.a.queue={capacity: 10, reserve: 10%}", 1},
        {"pools.a.queue={capacity: 19, reserve: 10%}", 1},
        {"pools.a.queue={capacity: 1, reserve: 1%}", 1},
        {"pools.a.queue={capacity: 10, reserve: 0%}", 0},
        {"pools.a.queue={capacity: 1000000, reserve: 100%}", 1000000},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct loaded loaded;
        load_good(&loaded, POOL, NULL, ARRAY(good[i].queue));
        ck_assert_uint_eq(loaded.config->pools[0].core.queue.reserve, good[i].reserve);
        unload(&loaded);
    }
}
END_TEST

START_TEST(the_largest_body_is_the_largest_reply) {
    struct loaded loaded;
    load_good(&loaded, POOL, NULL, ARRAY("http.max_body=1MiB"));
    ck_assert_uint_eq(loaded.config->pools[0].core.max_reply_bytes, MIB);
    unload(&loaded);
}
END_TEST

START_TEST(the_environment_beats_the_file_and_set_beats_both) {
    static const char text[] = "log: {level: warn}\n" POOL_OPEN "slots: {min: 2, max: 5}\n";
    const char *const *environment =
        ARRAY("HOME=/", "POOLGATE_LOG_LEVEL=error", "POOLGATE_POOLS_A_SLOTS_MAX=6");
    struct loaded loaded;
    load_good(&loaded, text, NULL, NULL);
    ck_assert(loaded.config->log.level == LOG_WARN && loaded.config->pools[0].core.slots_max == 5);
    unload(&loaded);
    load_good(&loaded, text, environment, NULL);
    ck_assert(loaded.config->log.level == LOG_ERROR && loaded.config->pools[0].core.slots_max == 6);
    unload(&loaded);
    load_good(&loaded, text, environment,
              ARRAY("log.level=debug", "pools.a.slots.max=7", "pools.a.slots.max=8"));
    ck_assert(loaded.config->log.level == LOG_DEBUG && loaded.config->pools[0].core.slots_max == 8);
    ck_assert_uint_eq(loaded.config->pools[0].core.slots_min, 2);
    unload(&loaded);
}
END_TEST

START_TEST(a_variable_names_a_pool_with_hyphens_and_a_key_with_underscores) {
    struct loaded loaded;
    load_good(&loaded,
              "pools: [{name: a-b-c, worker: {plugin: embed}}, {name: a, worker: {plugin: echo}}]",
              ARRAY("POOLGATE_POOLS_A_B_C_QUEUE_BATCH_MAX=3", "POOLGATE_HTTP_MAX_BODY=2MiB",
                    "POOLGATE_POOLS_A_WORKER_ARGS={delay_ms: 300}",
                    "POOLGATE_POOLS_A_ENV_PASS=[HOME]", "POOLGATE_POOLS_A_CAPABILITY=",
                    "POOLGATE_HTTP_ORIGINS=", "POOLGATE_MEMORY_LIMIT=50%"),
              NULL);
    ck_assert_uint_eq(loaded.config->pools[0].core.queue.batch_max, 3);
    ck_assert_uint_eq(loaded.config->pools[1].core.queue.batch_max, 1);
    ck_assert_uint_eq(loaded.config->http.max_body, 2 * MIB);
    ck_assert_str_eq(loaded.config->pools[1].core.worker.args[0].name, "delay_ms");
    ck_assert_str_eq(loaded.config->pools[1].core.worker.args[0].value, "300");
    ck_assert_str_eq(loaded.config->pools[1].core.worker.env_pass[0], "HOME");
    ck_assert_uint_eq(loaded.config->memory_limit.percent, 50);
    unload(&loaded);
}
END_TEST

START_TEST(the_whole_comes_before_its_parts_in_any_order_of_the_environment) {
    struct loaded loaded;
    load_good(&loaded, POOL,
              ARRAY("POOLGATE_POOLS_X_SLOTS_MAX=7", "POOLGATE_POOLS_X_SLOTS={min: 2, max: 3}",
                    "POOLGATE_POOLS_X={slots: {inflight: 9}}",
                    "POOLGATE_POOLS=[{name: x, worker: {plugin: echo}}]"),
              NULL);
    ck_assert_uint_eq(loaded.config->pools_count, 1);
    const struct pool_options *core = &loaded.config->pools[0].core;
    ck_assert_str_eq(core->name, "x");
    ck_assert(core->slots_min == 2 && core->slots_max == 7 && core->inflight == 9);
    unload(&loaded);
}
END_TEST

START_TEST(a_variable_that_names_no_key_warns_and_does_not_fail) {
    struct loaded loaded;
    load(&loaded, POOL,
         ARRAY("POOLGATE_URL=x", "POOLGATE_KEY=x", "POOLGATE_SLOT=a/0",
               "POOLGATE_HTTP_LISTN=127.0.0.1:1", "POOLGATE_8080_TCP_ADDR=10.0.0.1",
               "POOLGATE_NOTHING", "OTHER=1"),
         NULL);
    ck_assert_int_eq(loaded.outcome, OK);
    ck_assert_str_eq(loaded.lines,
                     "warning: environment POOLGATE_HTTP_LISTN: names no key and is ignored, did "
                     "you mean POOLGATE_HTTP_LISTEN?\n"
                     "warning: environment POOLGATE_8080_TCP_ADDR: names no key and is ignored\n");
    unload(&loaded);
}
END_TEST

START_TEST(a_variable_that_names_two_keys_is_refused) {
    expect_refused(
        "pools: [{name: x, worker: {plugin: a}}, {name: x-recycle, worker: {plugin: a}}]\n",
        ARRAY("POOLGATE_POOLS_X_RECYCLE_MEMORY=1GiB"), NULL,
        "environment POOLGATE_POOLS_X_RECYCLE_MEMORY: pools.x.recycle.memory: could be "
        "pools.x-recycle.memory as well, allowed is to say it with --set\n");
}
END_TEST

START_TEST(set_reaches_lists_maps_groups_and_single_entries) {
    struct loaded loaded;
    load_good(&loaded, POOL, NULL,
              ARRAY("http.listen=[::1]:0",
                    "pools.a.worker.plugin=", "pools.a.worker.command=[sh, -c, 'a=b; c']",
                    "pools.a.worker.args={language: eng, x: 1}", "pools.a.worker.args.language=deu",
                    "pools.a.worker.args.a.b=c=d", "pools.a.slots={min: 2, max: 3}",
                    "pools.a.env.set.HOME=/home"));
    const struct worker_options *worker = &loaded.config->pools[0].core.worker;
    ck_assert_ptr_null(worker->plugin);
    ck_assert_str_eq(worker->command[2], "a=b; c");
    ck_assert_uint_eq(worker->args_count, 3);
    ck_assert_str_eq(worker->args[0].value, "deu");
    ck_assert_str_eq(worker->args[1].value, "1");
    ck_assert_str_eq(worker->args[2].name, "a.b");
    ck_assert_str_eq(worker->args[2].value, "c=d");
    ck_assert_str_eq(worker->env_set[0].name, "HOME");
    ck_assert_uint_eq(loaded.config->pools[0].core.slots_min, 2);
    unload(&loaded);
}
END_TEST

START_TEST(set_replaces_all_pools_and_renames_one) {
    struct loaded loaded;
    load_good(&loaded, NULL, NULL,
              ARRAY("pools=[{name: x, worker: {plugin: echo}}, {name: y, worker: {plugin: echo}}]",
                    "pools.y.name=z", "pools.z.slots.max=9"));
    ck_assert_uint_eq(loaded.config->pools_count, 2);
    ck_assert_str_eq(loaded.config->pools[1].core.name, "z");
    ck_assert_uint_eq(loaded.config->pools[1].core.slots_max, 9);
    unload(&loaded);
}
END_TEST

static const struct mistake setting_mistakes[] = {
    {"http.lisen=127.0.0.1:1",
     "--set: http.lisen: unknown key (did you mean listen?), allowed here: listen, max_body, "
     "max_connections, max_per_address, header_timeout, min_rate, half_close, guard, "
     "trusted_proxies, origins, tls\n"},
    {"pools.a.slots.mx=3", "--set: pools.a.slots.mx: unknown key (did you mean max?), allowed "
                           "here: min, max, inflight, staged, pick, cpus\n"},
    {"pools.b.slots.max=3", "--set: pools.b.slots.max: no such pool (did you mean a?), allowed "
                            "here: a\n"},
    {"log=loud", "--set: log: \"loud\" is not a map, allowed here: level, format, access\n"},
    {"log={level: loud}", "--set: log.level: \"loud\" is not one of the choices, allowed is debug, "
                          "info, warn, error or alert\n"},
    {"pools.a.env.pass=PATH", "--set: pools.a.env.pass: \"PATH\" is not a list, allowed is a list "
                              "of names of environment variables\n"},
    {"pools.a.env.pass=[PATH",
     "--set: pools.a.env.pass: did not find expected ',' or ']' while parsing a flow sequence, "
     "allowed is well-formed YAML in UTF-8\n"},
    {"pools.a.env.set.=x", "--set: pools.a.env.set: \"\" does not fit into the map, allowed is a "
                           "map of names and values of environment variables\n"},
    {"pools.a.capability=\xff", "--set: pools.a.capability: \"\xff\" is not usable, allowed is "
                                "UTF-8 text without control characters\n"},
    {"pools.a.slots.max=0", "--set: pools.a.slots.max: \"0\" is out of range, allowed is a whole "
                            "number from 1 to 1024\n"},
    {"pools.a.slots.min=5", "--set: pools.a.slots.min: slots.min (5) is above slots.max (4), "
                            "allowed is at most the same\n"},
    {"http.listen=0.0.0.0:1",
     "--set: http.listen: 0.0.0.0:1 can be reached from other machines and nobody would be asked "
     "for a key, allowed is a loopback address, auth.keys_file, or "
     "auth.allow_anonymous: true\n"},
    {"http.listen=127.0.0.1:8081", "--set: http.listen: HTTP and gRPC are both at 127.0.0.1:8081, "
                                   "allowed is an address of its own for each\n"},
    {"http.listen", "--set: http.listen: has no value, allowed is --set KEY=VALUE\n"},
    {"=x", "--set: =x: has no key, allowed is --set KEY=VALUE\n"},
};

START_TEST(a_mistake_of_set_is_told_with_its_key) {
    for (size_t i = 0; i < sizeof setting_mistakes / sizeof *setting_mistakes; i++)
        expect_refused(POOL, NULL, ARRAY(setting_mistakes[i].text), setting_mistakes[i].line);
}
END_TEST

START_TEST(who_spoke_last_is_to_blame_when_two_keys_do_not_fit) {
    expect_refused(POOL_OPEN "slots: {min: 3}\n", ARRAY("POOLGATE_POOLS_A_SLOTS_MAX=2"), NULL,
                   "environment POOLGATE_POOLS_A_SLOTS_MAX: pools.a.slots.max: slots.min (3) is "
                   "above slots.max (2), allowed is at most the same\n");
    expect_refused(POOL, NULL, ARRAY("drain.timeout=4s"),
                   "--set: drain.timeout: drain.grace (5s) is above drain.timeout (4s), allowed "
                   "is at most the same\n");
}
END_TEST

START_TEST(a_thread_cannot_be_a_command) {
    struct loaded loaded;
    load(&loaded, "pools: [{name: a, worker: {command: [x]}, isolation: thread}]\n", NULL, NULL);
    ck_assert_int_eq(loaded.outcome, INVALID_REQUEST);
    ck_assert_ptr_nonnull(strstr(loaded.lines,
                                 "poolgate.yaml:1: pools.a.isolation: a command cannot be a "
                                 "thread, allowed is isolation: process, or a plugin\n"));
    unload(&loaded);
}
END_TEST

START_TEST(a_public_address_is_allowed_when_anonymous_clients_are) {
    struct loaded loaded;
    load_good(&loaded, POOL "http: {listen: 0.0.0.0:80}\nauth: {allow_anonymous: true}\n", NULL,
              NULL);
    ck_assert(!loaded.config->http.listen.loopback);
    unload(&loaded);
}
END_TEST

START_TEST(two_doors_may_both_ask_for_a_free_port) {
    struct loaded loaded;
    load_good(&loaded, POOL, NULL, ARRAY("http.listen=127.0.0.1:0", "grpc.listen=127.0.0.1:0"));
    unload(&loaded);
}
END_TEST

/* Four pools, and the faults that are asked for. */
static void load_chaos(struct loaded *loaded, const char *chaos) {
    char setting[512];
    snprintf(setting, sizeof setting, "chaos=%s", chaos);
    const struct config_source source = {
        .settings =
            ARRAY("pools=[{name: a, worker: {plugin: echo}}, {name: b, worker: {plugin: echo}}, "
                  "{name: t, worker: {plugin: echo}, isolation: thread}, "
                  "{name: c, worker: {command: [python3, w.py]}}]",
                  setting),
        .allow_chaos = true};
    *loaded = (struct loaded){0};
    FILE *errors = open_memstream(&loaded->lines, &loaded->lines_bytes);
    loaded->outcome = config_load(&loaded->config, &source, errors);
    fclose(errors);
}

START_TEST(a_pool_gets_the_faults_that_are_asked_for_and_the_seed_of_all) {
    struct loaded loaded;
    load_chaos(&loaded, "{a: crash=5% delay=10%:50ms, t: seed=7 slow-load=1%:1s, seed: 42}");
    expect_good(&loaded);
    ck_assert_str_eq(loaded.config->pools[0].core.chaos, "seed=42 crash=5% delay=10%:50ms");
    ck_assert_ptr_null(loaded.config->pools[1].core.chaos);
    ck_assert_str_eq(loaded.config->pools[2].core.chaos, "seed=7 slow-load=1%:1s");
    ck_assert_ptr_null(loaded.config->pools[3].core.chaos);
    unload(&loaded);
    load_chaos(&loaded, "{b: hang=1%}");
    expect_good(&loaded);
    ck_assert_str_eq(loaded.config->pools[1].core.chaos, "hang=1%");
    unload(&loaded);
}
END_TEST

START_TEST(faults_that_cannot_be_injected_are_refused_with_what_is_allowed) {
    static const struct {
        const char *chaos, *line;
    } rows[] = {
        {"{d: crash=5%}",
         "--set: chaos.d: there is no such pool, allowed are seed and the names of pools\n"},
        {"{a: crash=lots}",
         "--set: chaos.a: \"crash=lots\" has no rate, allowed is crash= and a rate from "
         "0% to 100% such as 0.5%\n"},
        {"{a: 0.5}",
         "--set: chaos.a: \"0.5\" is not a fault, allowed are seed=, crash=, hang=, delay=, "
         "garbage=, balloon= and slow-load=\n"},
        {"{a: crash=5%, seed: x}", "--set: chaos.seed: \"x\" is not a seed, allowed is a whole "
                                   "number of at most 18 digits\n"},
        {"{c: delay=5%:1s}",
         "--set: chaos.c: a command does not inject faults, allowed are pools with a plugin\n"},
        {"{t: crash=5% delay=5%:1s}",
         "--set: chaos.t: crash would take the gateway along, allowed with "
         "isolation: thread are delay and slow-load\n"},
        {"{t: hang=1% garbage=0%}",
         "--set: chaos.t: hang would take the gateway along, allowed with "
         "isolation: thread are delay and slow-load\n"},
        {"{t: garbage=1%}", "--set: chaos.t: garbage would take the gateway along, allowed with "
                            "isolation: thread are delay and slow-load\n"},
        {"{t: balloon=1%:1MiB}",
         "--set: chaos.t: balloon would take the gateway along, allowed with "
         "isolation: thread are delay and slow-load\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct loaded loaded;
        load_chaos(&loaded, rows[i].chaos);
        ck_assert_int_eq(loaded.outcome, INVALID_REQUEST);
        ck_assert_str_eq(loaded.lines, rows[i].line);
        unload(&loaded);
    }
}
END_TEST

START_TEST(a_text_is_utf_8_without_control_characters) {
    static const char *const good[] = {"", "vision", "é", "\u20ac", "\U0001f600", "\U0010ffff"};
    static const char *const bad[] = {"\n",
                                      "a\x7f",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xe9",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) ck_assert(pattern_text(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!pattern_text(bad[i]), "bad text %zu", i);
}
END_TEST

START_TEST(processors_are_any_auto_or_a_list) {
    static const char *const good[] = {"any", "auto", "0", "0-3", "0-3,8", "4,2-2"};
    static const char *const bad[] = {"",     "all", "3-1",  "1-",  "-1",
                                      "1,,2", "1,",  "4096", "0 1", "99999999999"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) ck_assert(pattern_cpus(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!pattern_cpus(bad[i]), "bad list %zu", i);
}
END_TEST

START_TEST(the_bundled_configuration_is_good) {
    const struct config_source source = {.file = TEST_SOURCE_FOLDER "/docker/poolgate.yaml"};
    struct config *config;
    ck_assert_int_eq(config_load(&config, &source, stderr), OK);
    ck_assert_uint_eq(config->pools_count, 2);
    ck_assert_str_eq(config->pools[0].core.name, "embed");
    ck_assert_str_eq(config->pools[0].core.capability, "text-embedding");
    ck_assert_str_eq(config->pools[1].core.worker.plugin, "ocr");
    ck_assert_str_eq(config->pools[1].core.worker.args[0].value, "eng");
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(config->pools[i].core.slots_min, 1);
        ck_assert_uint_eq(config->pools[i].core.slots_max, 2);
    }
    config_free(config);
}
END_TEST

/* Whether a row of the page says the key, its default and what is allowed. */
static void expect_documented(const char *page, const char *before, const struct key *key) {
    char start[128], allowed[VALUE_ALLOWED_BYTES], row[512];
    const char *standard = *key->standard == '\0' ? "nothing" : key->standard;
    value_allowed(key, allowed);
    snprintf(start, sizeof start, "\n| `%s%s` | ", before, key->path);
    snprintf(row, sizeof row, "%s%s%s%s | %s | ", start, *key->standard == '\0' ? "" : "`",
             standard, *key->standard == '\0' ? "" : "`", allowed);
    ck_assert_msg(strstr(page, row) != NULL, "docs/configuration.md has no row%s", row);
}

START_TEST(every_key_is_in_the_documentation_as_it_is) {
    static char page[64 * 1024];
    FILE *file = fopen(TEST_SOURCE_FOLDER "/docs/configuration.md", "r");
    ck_assert_ptr_nonnull(file);
    size_t bytes = fread(page, 1, sizeof page - 1, file);
    ck_assert_uint_lt(bytes, sizeof page - 1);
    fclose(file);
    for (size_t i = 0; i < schema_program.count; i++)
        expect_documented(page, "", &schema_program.keys[i]);
    for (size_t i = 0; i < schema_pool.count; i++)
        expect_documented(page, "pools.NAME.", &schema_pool.keys[i]);
}
END_TEST

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

#if OWN_ALLOCATOR
/* This program's allocations, those of its libraries too, of which one can be made to fail. */
#define EXPORTED __attribute__((visibility("default")))

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void __libc_free(void *memory);

static bool counting;
static long allocations_until_failure, allocations_alive;

static bool may_allocate(void) {
    if (!counting || --allocations_until_failure != 0) return true;
    errno = ENOMEM;
    return false;
}

static void *counted(void *memory) {
    if (counting && memory != NULL) allocations_alive++;
    return memory;
}

EXPORTED void *malloc(size_t bytes) {
    return may_allocate() ? counted(__libc_malloc(bytes)) : NULL;
}

EXPORTED void *calloc(size_t count, size_t bytes) {
    return may_allocate() ? counted(__libc_calloc(count, bytes)) : NULL;
}

EXPORTED void *realloc(void *memory, size_t bytes) {
    if (!may_allocate()) return NULL;
    return memory == NULL ? counted(__libc_malloc(bytes)) : __libc_realloc(memory, bytes);
}

EXPORTED void free(void *memory) {
    if (counting && memory != NULL) allocations_alive--;
    __libc_free(memory);
}

/* Loads with the n-th allocation failing; false once there are fewer than n. What is left behind
 * adds up in *leaked. */
static bool load_with_failure(const struct config_source *source, FILE *errors, long n,
                              long *leaked) {
    struct config *config;
    allocations_until_failure = n;
    allocations_alive = 0;
    counting = true;
    enum outcome outcome = config_load(&config, source, errors);
    bool failed = allocations_until_failure <= 0;
    config_free(config);
    counting = false;
    *leaked += allocations_alive;
    if (failed)
        ck_assert_msg(outcome == MEMORY_EXHAUSTED, "allocation %ld: %d", n, (int)outcome);
    else
        ck_assert_int_eq(outcome, OK);
    return failed;
}

START_TEST(every_allocation_may_fail_and_nothing_leaks) {
    const struct config_source source = {
        .file = TEST_SOURCE_FOLDER "/docker/poolgate.yaml",
        .environment = ARRAY("POOLGATE_POOLS_OCR_WORKER_ARGS={language: deu}",
                             "POOLGATE_HTTP_LISTEN=127.0.0.1:0"),
        .settings = ARRAY("pools.ocr.worker.args.language=fra", "log={level: debug}")};
    static char lines[4096];
    FILE *errors = fmemopen(lines, sizeof lines, "w");
    ck_assert_ptr_nonnull(errors);
    long n = 1, leaked = 0;
    while (load_with_failure(&source, errors, n, &leaked)) n++;
    fclose(errors);
    ck_assert_str_eq(lines, "");
    ck_assert_int_gt(n, 100);
    /* libyaml 0.2.5 loses one text where its array of nodes cannot grow for it. A block of ours
     * would be missing after every later failure. */
    ck_assert_int_le(leaked, 3);
}
END_TEST
#else
/* A sanitizer has its own allocator, and its own eye on leaks: one mistake on every kind of path. */
START_TEST(every_allocation_may_fail_and_nothing_leaks) {
    expect_refused(POOL, ARRAY("POOLGATE_LOG={level: debug, x: 1}"), ARRAY("pools.a.env.pass=[a"),
                   "environment POOLGATE_LOG: log.x: unknown key, allowed here: level, format, "
                   "access\n"
                   "--set: pools.a.env.pass: did not find expected ',' or ']' while parsing a flow "
                   "sequence, allowed is well-formed YAML in UTF-8\n");
}
END_TEST
#endif

SUITE("gateway/config", 60, without_a_file_one_pool_embed_listens_on_loopback,
      a_program_without_settings_has_the_defaults_of_the_contract,
      a_pool_without_settings_has_the_defaults_of_the_contract,
      every_key_of_the_contract_is_accepted,
      a_mistake_of_the_program_is_one_line_with_file_line_and_key,
      a_mistake_of_a_pool_is_one_line_with_file_line_and_key,
      a_mistake_of_the_whole_file_is_one_line_with_file_line_and_key,
      all_mistakes_are_told_in_one_go, a_hundred_mistakes_are_enough,
      a_line_stays_one_line_whatever_is_in_the_value, a_zero_byte_hides_nothing,
      a_file_above_one_mebibyte_is_refused, deep_nesting_is_refused_at_once,
      an_alias_stands_for_its_anchor_and_a_cycle_ends, a_file_that_cannot_be_read_is_told,
      sizes_are_bytes_with_or_without_a_unit, times_have_a_unit_and_only_zero_needs_none,
      booleans_are_true_yes_on_and_false_no_off,
      addresses_are_numeric_and_know_whether_they_are_loopback,
      the_reserve_is_a_share_of_the_capacity_and_at_least_one,
      the_largest_body_is_the_largest_reply, the_environment_beats_the_file_and_set_beats_both,
      a_variable_names_a_pool_with_hyphens_and_a_key_with_underscores,
      the_whole_comes_before_its_parts_in_any_order_of_the_environment,
      a_variable_that_names_no_key_warns_and_does_not_fail,
      a_variable_that_names_two_keys_is_refused, set_reaches_lists_maps_groups_and_single_entries,
      set_replaces_all_pools_and_renames_one, a_mistake_of_set_is_told_with_its_key,
      who_spoke_last_is_to_blame_when_two_keys_do_not_fit, a_thread_cannot_be_a_command,
      a_public_address_is_allowed_when_anonymous_clients_are,
      two_doors_may_both_ask_for_a_free_port,
      a_pool_gets_the_faults_that_are_asked_for_and_the_seed_of_all,
      faults_that_cannot_be_injected_are_refused_with_what_is_allowed,
      a_text_is_utf_8_without_control_characters, processors_are_any_auto_or_a_list,
      the_bundled_configuration_is_good, every_key_is_in_the_documentation_as_it_is,
      every_allocation_may_fail_and_nothing_leaks)
