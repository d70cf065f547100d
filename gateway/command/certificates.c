#include "gateway/command/certificates.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <stdlib.h>
#include <time.h>

#define SOON_S (INT64_C(7) * 24 * 3600)

static const struct {
    const char *name, *protocol, *path;
} doors[FRONTEND_COUNT] = {[FRONTEND_HTTP] = {"http", "http/1.1", "http.tls"},
                           [FRONTEND_GRPC] = {"grpc", "h2", "grpc.tls"}};

struct certificates {
    struct metrics *metrics;
    struct tls *tls[FRONTEND_COUNT]; /* NULL: plain */
    uint64_t due_ns;
};

static void tell(const struct certificates *certificates, int frontend, const char *message) {
    struct tls_certificate certificate;
    struct tm parts;
    char until[32] = "";
    tls_certificate(certificates->tls[frontend], &certificate);
    time_t not_after = certificate.not_after;
    if (gmtime_r(&not_after, &parts) != NULL)
        strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &parts);
    bool ends_soon = certificate.not_after - time(NULL) < SOON_S;
    log_event(ends_soon ? LOG_WARN : LOG_INFO, message, LOG_STR("frontend", doors[frontend].name),
              LOG_STR("subject", certificate.subject), LOG_STR("serial", certificate.serial),
              LOG_STR("not_after", until));
    metrics_tls_expiry(certificates->metrics, (enum frontend)frontend, certificate.not_after);
}

static void read_again(const struct certificates *certificates, int frontend) {
    struct tls_error error;
    enum outcome outcome = tls_reload(certificates->tls[frontend], &error);
    if (outcome == OK) {
        tell(certificates, frontend, "certificate read again");
        return;
    }
    metrics_tls_reload_failed(certificates->metrics, (enum frontend)frontend);
    log_event(LOG_ERROR, "certificate refused", LOG_STR("frontend", doors[frontend].name),
              LOG_STR("text", outcome == INVALID_REQUEST ? error.text : outcome_title(outcome)));
}

void certificates_tend(struct certificates *certificates, uint64_t now_ns, bool hung_up) {
    if (!hung_up && now_ns < certificates->due_ns) return;
    for (int i = 0; i < FRONTEND_COUNT; i++)
        if (certificates->tls[i] != NULL && (hung_up || tls_changed(certificates->tls[i])))
            read_again(certificates, i);
    if (certificates->due_ns != CLOCK_NEVER) certificates->due_ns = now_ns + CERTIFICATES_LOOK_NS;
}

uint64_t certificates_due_ns(const struct certificates *certificates) {
    return certificates->due_ns;
}

struct tls *certificates_of(const struct certificates *certificates, enum frontend frontend) {
    return certificates->tls[frontend];
}

static enum outcome open_one(struct certificates *certificates, int frontend,
                             const struct tls_config *config) {
    static const char *const files[] = {
        [TLS_CERT] = "cert", [TLS_KEY] = "key", [TLS_CLIENT_CA] = "client_ca"};
    const struct tls_options options = {
        .cert = config->cert,
        .key = config->key,
        .client_ca = config->client_ca,
        .client_names = (const char *const *)config->client_names.items,
        .protocol = doors[frontend].protocol,
    };
    struct tls_error error;
    if (config->cert == NULL) return OK;
    enum outcome outcome = tls_open(&certificates->tls[frontend], &options, &error);
    if (outcome == INVALID_REQUEST)
        fprintf(stderr, "poolgate: %s.%s: %s\n", doors[frontend].path, files[error.file],
                error.text);
    if (outcome == OK) certificates->due_ns = 0;
    return outcome;
}

void certificates_begin(const struct certificates *certificates) {
    for (int i = 0; i < FRONTEND_COUNT; i++) {
        if (certificates->tls[i] == NULL) continue;
        tls_user_changed(certificates->tls[i]);
        tell(certificates, i, "certificate");
    }
}

void certificates_close(struct certificates *certificates) {
    if (certificates == NULL) return;
    for (int i = 0; i < FRONTEND_COUNT; i++) tls_close(certificates->tls[i]);
    free(certificates);
}

enum outcome certificates_open(struct certificates **out, const struct config *config,
                               struct metrics *metrics) {
    *out = NULL;
    struct certificates *certificates = calloc(1, sizeof *certificates);
    if (certificates == NULL) return MEMORY_EXHAUSTED;
    certificates->metrics = metrics;
    certificates->due_ns = CLOCK_NEVER;
    enum outcome outcome = open_one(certificates, FRONTEND_HTTP, &config->http.tls);
    if (outcome == OK) outcome = open_one(certificates, FRONTEND_GRPC, &config->grpc.tls);
    if (outcome == OK)
        *out = certificates;
    else
        certificates_close(certificates);
    return outcome;
}
