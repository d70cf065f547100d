#include "gateway/config/schema.h"

#include "core/base/clock.h"
#include "gateway/config/config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define MINUTE (60 * CLOCK_S)
#define HOUR   (60 * MINUTE)
#define YEAR   (8760 * HOUR)

#define PAYLOAD_MOST (4 * GIB - 1) /* lengths on the wire have 32 bits */
#define MESSAGE_MOST (2 * GIB - 1) /* gRPC counts in an int */

static const struct choice half_closes[] = {
    {"cancel", HALF_CLOSE_CANCEL}, {"keep", HALF_CLOSE_KEEP}, {NULL, 0}};
static const struct choice guards[] = {
    {"standard", GUARD_STANDARD}, {"strict", GUARD_STRICT}, {NULL, 0}};
static const struct choice trusts[] = {{"true", TRUST_YES}, {"false", TRUST_NO}, {NULL, 0}};
static const struct choice levels[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO},
                                       {"warn", LOG_WARN},   {"error", LOG_ERROR},
                                       {"alert", LOG_ALERT}, {NULL, 0}};
static const struct choice formats[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {NULL, 0}};
static const struct choice isolations[] = {
    {"process", ISOLATION_PROCESS}, {"thread", ISOLATION_THREAD}, {NULL, 0}};
static const struct choice overloads[] = {
    {"shed", OVERLOAD_SHED}, {"codel", OVERLOAD_CODEL}, {"none", OVERLOAD_NONE}, {NULL, 0}};
static const struct choice policies[] = {{"fixed", SCALE_FIXED},
                                         {"adaptive", SCALE_ADAPTIVE},
                                         {"predictive", SCALE_PREDICTIVE},
                                         {NULL, 0}};
static const struct choice picks[] = {{"least_loaded", PICK_LEAST_LOADED},
                                      {"most_recent", PICK_MOST_RECENT},
                                      {"two_choices", PICK_TWO_CHOICES},
                                      {NULL, 0}};
static const struct choice sandboxes[] = {
    {"none", SANDBOX_NONE}, {"standard", SANDBOX_STANDARD}, {"strict", SANDBOX_STRICT}, {NULL, 0}};

/* Where a member is; does not compile when the member is not of the type that its kind fills. */
#define PLACE(type, member)                                                                        \
    (offsetof(OWNER, member) + 0 * sizeof(char[_Generic(((OWNER *)NULL)->member, type : 1)]))
#define TEXT_PLACE(member)                                                                         \
    (offsetof(OWNER, member) +                                                                     \
     0 * sizeof(char[_Generic(((OWNER *)NULL)->member, char * : 1, const char * : 1)]))
#define TEXTS_PLACE(member)                                                                        \
    (offsetof(OWNER, member) +                                                                     \
     0 * sizeof(char[_Generic(((OWNER *)NULL)->member, char ** : 1, const char *const * : 1)]))
#define COUNT_PLACE(member) PLACE(size_t, member)

#define ROW(path_, kind_, offset_, standard_, ...)                                                 \
    { .path = path_, .kind = kind_, .offset = offset_, .standard = standard_, __VA_ARGS__ }
#define RANGED(path_, kind_, type_, member_, standard_, least_, most_)                             \
    ROW(path_, kind_, PLACE(type_, member_), standard_, .least = least_, .most = most_)

#define BOOLEAN(path_, member_, standard_)                                                         \
    ROW(path_, KIND_BOOLEAN, PLACE(bool, member_), standard_, .least = 0)
#define NUMBER(path_, member_, standard_, least_, most_)                                           \
    RANGED(path_, KIND_NUMBER, uint32_t, member_, standard_, least_, most_)
#define COUNT(path_, member_, standard_, least_, most_)                                            \
    RANGED(path_, KIND_COUNT, uint64_t, member_, standard_, least_, most_)
#define SIZE(path_, member_, standard_, least_, most_)                                             \
    RANGED(path_, KIND_SIZE, uint64_t, member_, standard_, least_, most_)
#define TIME(path_, member_, standard_, least_, most_)                                             \
    RANGED(path_, KIND_TIME, uint64_t, member_, standard_, least_, most_)
#define PERCENT(path_, member_, standard_, least_, most_)                                          \
    RANGED(path_, KIND_PERCENT, uint32_t, member_, standard_, least_, most_)
#define SHARE(path_, member_, standard_, least_, most_)                                            \
    RANGED(path_, KIND_SHARE, struct share, member_, standard_, least_, most_)
#define CHOICE(path_, member_, standard_, choices_)                                                \
    ROW(path_, KIND_CHOICE, PLACE(unsigned, member_), standard_, .choices = choices_)
#define TEXT(path_, member_, standard_, empty_, fits_, allowed_)                                   \
    ROW(path_, KIND_TEXT, TEXT_PLACE(member_), standard_, .empty = empty_, .fits = fits_,          \
        .allowed = allowed_)
#define FILE_PATH(path_, member_)                                                                  \
    TEXT(path_, member_, "", EMPTY_NONE, pattern_path, "the path of a file, or nothing")
#define LISTEN(path_, member_, standard_, empty_)                                                  \
    ROW(path_, KIND_LISTEN, PLACE(struct listen_address, member_), standard_, .empty = empty_)
#define TEXTS(path_, member_, count_, standard_, fits_, allowed_)                                  \
    ROW(path_, KIND_TEXTS, TEXTS_PLACE(member_), standard_, .count_offset = count_, .fits = fits_, \
        .allowed = allowed_)
#define PAIRS(path_, member_, count_, fits_, allowed_)                                             \
    ROW(path_, KIND_PAIRS, PLACE(const struct pair *, member_), "{}",                              \
        .count_offset = COUNT_PLACE(count_), .fits = fits_, .allowed = allowed_)

#define OWNER struct config
static const struct key program_keys[] = {
    LISTEN("http.listen", http.listen, "127.0.0.1:8080", EMPTY_WRONG),
    SIZE("http.max_body", http.max_body, "64MiB", 1, PAYLOAD_MOST),
    NUMBER("http.max_connections", http.max_connections, "10000", 1, 1000000),
    NUMBER("http.max_per_address", http.max_per_address, "0", 0, 1000000),
    TIME("http.header_timeout", http.header_timeout_ns, "10s", CLOCK_MS, HOUR),
    SIZE("http.min_rate", http.min_rate, "1KiB", 0, GIB),
    CHOICE("http.half_close", http.half_close, "cancel", half_closes),
    CHOICE("http.guard", http.guard, "standard", guards),
    TEXTS("http.trusted_proxies", http.trusted_proxies.items,
          COUNT_PLACE(http.trusted_proxies.count), "[]", pattern_network,
          "a list of addresses and networks such as [10.0.0.0/8]"),
    TEXTS("http.origins", http.origins.items, COUNT_PLACE(http.origins.count), "[]", pattern_url,
          "a list of origins such as [https://example.org]"),
    FILE_PATH("http.tls.cert", http.tls.cert),
    FILE_PATH("http.tls.key", http.tls.key),
    FILE_PATH("http.tls.client_ca", http.tls.client_ca),
    TEXTS("http.tls.client_names", http.tls.client_names.items,
          COUNT_PLACE(http.tls.client_names.count), "[]", pattern_text,
          "a list of names such as [worker.example, spiffe://example/app]"),
    LISTEN("grpc.listen", grpc.listen, "127.0.0.1:8081", EMPTY_WRONG),
    SIZE("grpc.max_message", grpc.max_message, "64MiB", 1, MESSAGE_MOST),
    NUMBER("grpc.max_streams", grpc.max_streams, "1000", 1, 1000000),
    TIME("grpc.keepalive", grpc.keepalive_ns, "60s", 0, 24 * HOUR),
    TIME("grpc.max_age", grpc.max_age_ns, "0s", 0, YEAR),
    BOOLEAN("grpc.reflection", grpc.reflection, "true"),
    FILE_PATH("grpc.tls.cert", grpc.tls.cert),
    FILE_PATH("grpc.tls.key", grpc.tls.key),
    FILE_PATH("grpc.tls.client_ca", grpc.tls.client_ca),
    TEXTS("grpc.tls.client_names", grpc.tls.client_names.items,
          COUNT_PLACE(grpc.tls.client_names.count), "[]", pattern_text,
          "a list of names such as [worker.example, spiffe://example/app]"),
    LISTEN("admin.listen", admin.listen, "", EMPTY_NONE),
    FILE_PATH("auth.keys_file", auth.keys_file),
    BOOLEAN("auth.allow_anonymous", auth.allow_anonymous, "false"),
    ROW("auth.trust_tenant_header", KIND_CHOICE, PLACE(unsigned, auth.trust_tenant_header), "",
        .empty = EMPTY_NONE, .choices = trusts, .allowed = "true, false, or nothing"),
    TEXT("process.user", process.user, "", EMPTY_NONE, pattern_text,
         "a user of this machine, UID:GID, or nothing"),
    BOOLEAN("process.allow_root", process.allow_root, "false"),
    SHARE("memory.limit", memory_limit, "80%", MIB, 1024 * TIB),
    FILE_PATH("jobs.path", jobs.path),
    TIME("jobs.keep", jobs.keep_ns, "24h", CLOCK_S, YEAR),
    NUMBER("jobs.max", jobs.max, "100000", 1, 100000000),
    TEXTS("jobs.webhooks", jobs.webhooks.items, COUNT_PLACE(jobs.webhooks.count), "[]", pattern_url,
          "a list of addresses such as [https://example.org/done]"),
    TEXT("trace.otlp", trace.otlp, "", EMPTY_NONE, pattern_url,
         "an address such as http://127.0.0.1:4318, or nothing"),
    PERCENT("trace.sample", trace.sample_percent, "100%", 0, 100),
    TIME("drain.grace", drain.grace_ns, "5s", 0, HOUR),
    TIME("drain.timeout", drain.timeout_ns, "25s", 0, 24 * HOUR),
    CHOICE("log.level", log.level, "info", levels),
    CHOICE("log.format", log.format, "text", formats),
    BOOLEAN("log.access", log.access, "false"),
    PAIRS("chaos", chaos, chaos_count, pattern_pool_name,
          "a map of pools and their faults such as {ocr: crash=5% delay=10%:50ms, seed: 42}"),
    ROW("pools", KIND_POOLS, PLACE(struct pool_config *, pools), "",
        .count_offset = COUNT_PLACE(pools_count), .allowed = "a list of at least one pool"),
};
#undef OWNER

#define OWNER struct pool_config
static const struct key pool_keys[] = {
    TEXT("name", core.name, "", EMPTY_WRONG, pattern_pool_name,
         "1 to 63 characters of a-z, 0-9 and -"),
    TEXT("capability", core.capability, "", EMPTY_TEXT, pattern_text,
         "UTF-8 text without control characters"),
    TEXT("worker.plugin", core.worker.plugin, "", EMPTY_NONE, pattern_plugin_name,
         "1 to 63 characters of a-z, 0-9, _ and -"),
    TEXTS("worker.command", core.worker.command, NO_COUNT, "[]", NULL,
          "a program and its arguments such as [python3, worker.py]"),
    PAIRS("worker.args", core.worker.args, core.worker.args_count, pattern_text,
          "a map of names and values such as {language: eng}"),
    CHOICE("isolation", core.isolation, "process", isolations),
    NUMBER("slots.min", core.slots_min, "1", 0, 1024),
    NUMBER("slots.max", core.slots_max, "4", 1, 1024),
    NUMBER("slots.inflight", core.inflight, "1", 1, 1024),
    NUMBER("slots.staged", core.staged, "1", 0, 1024),
    CHOICE("slots.pick", core.pick, "least_loaded", picks),
    TEXT("slots.cpus", core.cpus, "any", EMPTY_WRONG, pattern_cpus,
         "any, auto, or a list of processors such as 0-3,8"),
    SIZE("memory", core.memory_bytes, "200MiB", KIB, 1024 * TIB),
    NUMBER("queue.capacity", core.queue.capacity, "10000", 1, 1000000),
    SIZE("queue.bytes", core.queue.bytes, "1GiB", 1, 1024 * TIB),
    PERCENT("queue.reserve", reserve_percent, "10%", 0, 100),
    TIME("queue.aging", core.queue.aging_ns, "30s", CLOCK_MS, 24 * HOUR),
    TIME("queue.dedup", core.queue.dedup_ns, "0ms", 0, 24 * HOUR),
    NUMBER("queue.batch.max", core.queue.batch_max, "1", 1, 1024),
    TIME("queue.batch.delay", core.queue.batch_delay_ns, "0ms", 0, MINUTE),
    BOOLEAN("queue.fair", core.queue.fair, "true"),
    PAIRS("queue.weights", weights, weights_count, pattern_text,
          "a map of tenants and whole numbers from 1 to 1000 such as {acme: 3}"),
    CHOICE("queue.overload", core.queue.overload, "shed", overloads),
    TIME("timeouts.load", core.timeouts.load_ns, "30s", CLOCK_MS, 24 * HOUR),
    TIME("timeouts.request", core.timeouts.request_ns, "60s", CLOCK_MS, 24 * HOUR),
    TIME("timeouts.max", core.timeouts.max_ns, "1h", CLOCK_MS, 24 * HOUR),
    TIME("timeouts.idle", core.timeouts.idle_ns, "300s", CLOCK_MS, YEAR),
    TIME("timeouts.cancel", core.timeouts.cancel_ns, "30s", 0, 24 * HOUR),
    TIME("timeouts.kill", core.timeouts.kill_ns, "5s", CLOCK_MS, HOUR),
    BOOLEAN("required", core.required, "true"),
    TIME("health.interval", core.health.interval_ns, "10s", CLOCK_MS, 24 * HOUR),
    TIME("health.timeout", core.health.timeout_ns, "1s", CLOCK_MS, HOUR),
    NUMBER("health.misses", core.health.misses, "3", 1, 1000),
    TIME("health.deep", core.health.deep_ns, "0s", 0, 24 * HOUR),
    NUMBER("breaker.failures", core.breaker.failures, "5", 1, 1000000),
    TIME("breaker.open", core.breaker.open_ns, "60s", CLOCK_MS, 24 * HOUR),
    NUMBER("breaker.probes", core.breaker.probes, "3", 1, 1024),
    NUMBER("breaker.successes", core.breaker.successes, "3", 1, 1024),
    CHOICE("scale.policy", core.scale.policy, "adaptive", policies),
    TIME("scale.interval", core.scale.interval_ns, "1s", CLOCK_MS, HOUR),
    TIME("stream.stall", stall_ns, "30s", CLOCK_MS, 24 * HOUR),
    NUMBER("retry.crashes", core.retry_crashes, "1", 0, 1000),
    COUNT("recycle.requests", core.recycle.requests, "0", 0, UINT64_C(1000000000000)),
    SIZE("recycle.memory", core.recycle.memory_bytes, "0", 0, 1024 * TIB),
    TEXTS("env.pass", core.worker.env_pass, COUNT_PLACE(core.worker.env_pass_count), "[PATH, LANG]",
          pattern_variable, "a list of names of environment variables"),
    PAIRS("env.set", core.worker.env_set, core.worker.env_set_count, pattern_variable,
          "a map of names and values of environment variables"),
    CHOICE("sandbox", sandbox, "standard", sandboxes),
};
#undef OWNER

const struct schema schema_program = {program_keys, sizeof program_keys / sizeof program_keys[0]};
const struct schema schema_pool = {pool_keys, sizeof pool_keys / sizeof pool_keys[0]};

size_t schema_find(const struct schema *schema, const char *path) {
    for (size_t i = 0; i < schema->count; i++) {
        if (strcmp(schema->keys[i].path, path) == 0) return i;
    }
    return KEY_NONE;
}

/* What stands behind "GROUP." in path; NULL when path is not below the group. */
static const char *below(const char *path, const char *group) {
    assert(path != NULL && group != NULL);
    size_t bytes = strlen(group);
    if (bytes == 0) return path;
    return strncmp(path, group, bytes) == 0 && path[bytes] == '.' ? path + bytes + 1 : NULL;
}

bool schema_is_group(const struct schema *schema, const char *path) {
    for (size_t i = 0; i < schema->count; i++) {
        if (below(schema->keys[i].path, path) != NULL) return true;
    }
    return false;
}

size_t schema_map_of(const struct schema *schema, const char *path) {
    for (size_t i = 0; i < schema->count; i++) {
        if (schema->keys[i].kind == KIND_PAIRS && below(path, schema->keys[i].path) != NULL)
            return i;
    }
    return KEY_NONE;
}

bool schema_next_name(const struct schema *schema, const char *group, size_t *cursor,
                      char name[KEY_BYTES]) {
    while (*cursor < schema->count) {
        const char *rest = below(schema->keys[(*cursor)++].path, group);
        if (rest == NULL) continue;
        size_t bytes = strcspn(rest, ".");
        memcpy(name, rest, bytes);
        name[bytes] = '\0';
        /* The members of a subgroup follow each other and have one name. */
        while (*cursor < schema->count) {
            const char *next = below(schema->keys[*cursor].path, group);
            if (next == NULL || strncmp(next, name, bytes) != 0 || next[bytes] != '.') break;
            (*cursor)++;
        }
        return true;
    }
    return false;
}

void schema_list_names(const struct schema *schema, const char *group,
                       char text[SCHEMA_NAMES_BYTES]) {
    char name[KEY_BYTES];
    size_t bytes = 0, cursor = 0;
    while (bytes < SCHEMA_NAMES_BYTES && schema_next_name(schema, group, &cursor, name))
        bytes += (size_t)snprintf(text + bytes, SCHEMA_NAMES_BYTES - bytes, "%s%s",
                                  bytes == 0 ? "" : ", ", name);
}
