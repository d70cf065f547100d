/* config - everything that the contract's YAML, the environment and --set can say, checked.
 * thread: loaded by main, at the start and for each reload; constant afterwards, read from any thread.
 * owns:   config_free releases every text; pools[i].core points into them.
 * fails:  config_load returns INVALID_REQUEST and has written one line per mistake to `errors`:
 *         FILE:LINE: KEY: what is wrong, what is allowed. MEMORY_EXHAUSTED. */
#ifndef GATEWAY_CONFIG_CONFIG_H
#define GATEWAY_CONFIG_CONFIG_H

#include "core/base/log.h"
#include "core/base/outcome.h"
#include "core/policy/pool_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct listen_address {
    char *text;    /* as written: "127.0.0.1:8080", "[::1]:0"; NULL or "" where empty means none */
    char host[64]; /* numeric, without brackets */
    uint16_t port; /* 0: a free one */
    bool loopback;
};

struct text_list {
    char **items; /* NULL-terminated */
    size_t count;
};

struct tls_config {
    char *cert, *key, *client_ca; /* NULL: none */
    struct text_list client_names;
};

enum half_close { HALF_CLOSE_CANCEL, HALF_CLOSE_KEEP };
enum guard_level { GUARD_STANDARD, GUARD_STRICT };
enum sandbox { SANDBOX_NONE, SANDBOX_STANDARD, SANDBOX_STRICT };
enum trust { TRUST_DEFAULT, TRUST_YES, TRUST_NO };

/* A size that may be a share of what the machine has: percent != 0 wins over bytes. */
struct share {
    uint64_t bytes;
    uint32_t percent;
};

struct pool_config {
    struct pool_options core; /* complete; max_reply_bytes is http.max_body */
    uint32_t reserve_percent;
    const struct pair *weights; /* as written; core.queue.weights has the numbers */
    size_t weights_count;
    uint64_t stall_ns;
    enum sandbox sandbox;
};

struct config {
    struct {
        struct listen_address listen;
        uint64_t max_body, min_rate;
        uint32_t max_connections, max_per_address;
        uint64_t header_timeout_ns;
        enum half_close half_close;
        enum guard_level guard; /* not given: strict unless http.listen is loopback */
        struct text_list trusted_proxies, origins;
        struct tls_config tls;
    } http;
    struct {
        struct listen_address listen;
        uint64_t max_message;
        uint32_t max_streams;
        uint64_t keepalive_ns, max_age_ns;
        bool reflection;
        struct tls_config tls;
    } grpc;
    struct {
        struct listen_address listen;
    } admin;
    struct {
        char *keys_file;
        bool allow_anonymous;
        enum trust trust_tenant_header;
    } auth;
    struct {
        char *user; /* NULL: whoever starts it */
        bool allow_root;
    } process;
    struct share memory_limit;
    struct {
        char *path;
        uint64_t keep_ns;
        uint32_t max;
        struct text_list webhooks;
    } jobs;
    struct {
        char *otlp;
        uint32_t sample_percent;
    } trace;
    struct {
        uint64_t grace_ns, timeout_ns;
    } drain;
    struct {
        enum log_level level;
        enum log_format format;
        bool access;
    } log;
    const struct pair *chaos; /* as written, with seed; pools[i].core.chaos is what came of it */
    size_t chaos_count;
    struct pool_config *pools;
    size_t pools_count;
};

struct config_source {
    const char *file;               /* NULL: defaults, with the one pool `embed` */
    const char *const *environment; /* "NAME=value", NULL-terminated; NULL: none is looked at */
    const char *const *settings;    /* "KEY=VALUE" of --set, NULL-terminated; may be NULL */
    bool allow_chaos;
    bool files_unseen; /* the files that keys name are not looked at */
};

/* Defaults < file < environment < settings. Warnings (an unknown POOLGATE_ variable) go to errors too,
 * marked "warning:", and do not fail. */
enum outcome config_load(struct config **out, const struct config_source *source, FILE *errors);
void config_free(struct config *config); /* NULL is allowed */

#endif
