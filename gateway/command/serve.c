#include "gateway/command/command.h"
#include "gateway/command/configuration.h"
#include "gateway/command/lifetime.h"
#include "gateway/command/reconfigure.h"

#include "core/base/log.h"
#include "core/gate.h"
#include "core/watchdog.h"
#include "gateway/edge/edge.h"
#include "gateway/grpc/server.h"
#include "gateway/http/server.h"
#include "gateway/live_requests.h"
#include "gateway/memory_limit.h"
#include "gateway/process/activation.h"
#include "gateway/process/hardening.h"
#include "gateway/process/privileges.h"
#include "gateway/self_dial.h"
#include "gateway/trace/tracer.h"
#include "workers/host/thread_host.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Where this is not said the allocator reads from /sys how many processors there are, on the thread that
 * first waits for another in it. */
#define ARENAS 16

const char serve_usage[] =
    "usage: poolgate serve [--config FILE] [--set KEY=VALUE]... [--allow-chaos]\n\n"
    "Serves in the foreground until SIGTERM or SIGINT; logs go to stderr, and the line\n"
    "msg=listening names the addresses. Without FILE: HTTP on 127.0.0.1:8080, one pool `embed`.\n"
    "Every key of the configuration can also be set in the environment (http.listen is\n"
    "POOLGATE_HTTP_LISTEN) and, above all, by --set http.listen=127.0.0.1:0.\n"
    "SIGTERM: not ready at once, serves drain.grace more, finishes what was accepted, ends with "
    "0.\n"
    "A second signal, or SIGINT, skips the grace; a third ends at once.\n"
    "SIGHUP: reads the configuration again; only the pools that it changes are touched. One with "
    "a\n"
    "mistake is refused, with its mistakes in the log, and nothing changes. Certificates and the\n"
    "key file are read again too, also by themselves within two seconds when they changed.\n"
    "As root: name process.user, who serves once the ports are bound; loopback addresses are "
    "served\n"
    "without it. Sockets that systemd hands over are known by FileDescriptorName=http, grpc.\n";

struct gateway {
    struct configuration configuration;
    struct activation ports; /* sockets, ours or handed over; their owners' once they are open */
    char inherited[ACTIVATION_PORTS][sizeof "admin.listen=" + ACTIVATION_ADDRESS_BYTES];
    struct herald herald;
    struct pool_options *pools;
    char worker_program[PATH_MAX], plugin_folder[PATH_MAX];
    struct gate *gate;
    struct access *access;
    struct metrics *metrics;
    struct live_requests live;
    struct certificates *certificates;
    struct observer observer;
    struct http_server *http;
    struct rpc_server *rpc;
    struct reconfigure *reconfigure;
};

/* Beside the executable as it was built, or below ../lib/poolgate as it is installed. */
static bool locate(const char *folder, const char *name, char out[PATH_MAX]) {
    static const char *const places[] = {"", "../lib/poolgate/"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int length = snprintf(out, PATH_MAX, "%s/%s%s", folder, places[i], name);
        if (length < PATH_MAX && access(out, X_OK) == 0) return true;
    }
    return false;
}

static bool find_workers(struct gateway *gateway) {
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0) return false;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL) *slash = '\0';
    if (!locate(folder, "poolgate-worker", gateway->worker_program)) {
        fprintf(stderr, "poolgate: there is no poolgate-worker in %s or its ../lib/poolgate\n",
                folder);
        return false;
    }
    if (locate(folder, "workers", gateway->plugin_folder)) return true;
    /* Installed, the plug-ins are in ../lib/poolgate itself. */
    return snprintf(gateway->plugin_folder, PATH_MAX, "%s/../lib/poolgate", folder) < PATH_MAX;
}

static bool open_gate(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    gateway->pools = calloc(config->pools_count, sizeof *gateway->pools);
    if (gateway->pools == NULL) return false;
    for (size_t i = 0; i < config->pools_count; i++) gateway->pools[i] = config->pools[i].core;
    const struct gate_options options = {
        .pools = gateway->pools,
        .pools_count = config->pools_count,
        .worker_program = gateway->worker_program,
        .plugin_folder = gateway->plugin_folder,
        .thread_worker = thread_host_run,
        .memory_limit_bytes = memory_limit_bytes(&config->memory_limit),
    };
    /* Slots are the parallelism; before any plug-in loads OpenMP into this process. */
    setenv("OMP_THREAD_LIMIT", "1", 0);
    enum outcome outcome = gate_open(&gateway->gate, &options);
    if (outcome != OK)
        fprintf(stderr, "poolgate: the pools cannot start: %s\n", outcome_title(outcome));
    return outcome == OK;
}

static bool open_observer(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    struct observer *observer = &gateway->observer;
    *observer = (struct observer){.metrics = gateway->metrics, .access_log = config->log.access};
    if (config->trace.otlp == NULL) return true;
    const struct tracer_options options = {
        .collector = config->trace.otlp,
        .sample_percent = config->trace.sample_percent,
        .metrics = gateway->metrics,
    };
    return tracer_open(&observer->tracer, &options) == OK;
}

/* Returns false; INVALID_REQUEST: errno tells. */
static bool say_cannot_listen(const char *door, const struct listen_address *listen,
                              enum outcome outcome) {
    int error = errno;
    fprintf(stderr, "poolgate: %s.listen: cannot listen on %s:%u: %s\n", door, listen->host,
            listen->port, outcome == INVALID_REQUEST ? strerror(error) : outcome_title(outcome));
    return false;
}

static bool open_http(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    const struct http_server_options options = {
        .gate = gateway->gate,
        .metrics = gateway->metrics,
        .observer = &gateway->observer,
        .config = config,
        .tls = certificates_of(gateway->certificates, FRONTEND_HTTP),
        .access = gateway->access,
        .live = &gateway->live,
        .inherited_fd = gateway->ports.fds[ACTIVATION_HTTP],
        .inherited_admin_fd = gateway->ports.fds[ACTIVATION_ADMIN],
    };
    enum outcome outcome = http_server_open(&gateway->http, &options);
    return outcome == OK || say_cannot_listen("http", &config->http.listen, outcome);
}

static bool open_grpc(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    const struct rpc_server_options options = {
        .gate = gateway->gate,
        .metrics = gateway->metrics,
        .observer = &gateway->observer,
        .config = config,
        .tls = certificates_of(gateway->certificates, FRONTEND_GRPC),
        .access = gateway->access,
        .live = &gateway->live,
        .inherited_fd = gateway->ports.fds[ACTIVATION_GRPC],
    };
    enum outcome outcome = rpc_server_open(&gateway->rpc, &options);
    return outcome == OK || say_cannot_listen("grpc", &config->grpc.listen, outcome);
}

/* A connection is a descriptor, and there may be more of them than the usual 1,024. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool open_certificates(struct gateway *gateway) {
    if (metrics_open(&gateway->metrics) != OK) return false;
    return certificates_open(&gateway->certificates, gateway->configuration.config,
                             gateway->metrics) == OK;
}

static bool open_access(struct gateway *gateway) {
    char error[KEY_ERROR_BYTES];
    enum outcome outcome = access_open(&gateway->access, gateway->configuration.config, error);
    if (outcome != OK)
        fprintf(stderr, "poolgate: auth.keys_file: %s\n",
                error[0] != '\0' ? error : outcome_title(outcome));
    return outcome == OK;
}

static bool open_all(struct gateway *gateway) {
    size_t expected = (size_t)gateway->configuration.config->http.max_connections;
    if (!open_observer(gateway)) return false;
    certificates_begin(gateway->certificates);
    access_user_changed(gateway->access);
    if (!find_workers(gateway) || live_requests_open(&gateway->live, expected) != OK) return false;
    if (!open_gate(gateway)) return false;
    bool http = open_http(gateway);
    if (http && open_grpc(gateway)) {
        enum outcome outcome =
            reconfigure_open(&gateway->reconfigure, gateway->gate, &gateway->configuration);
        if (outcome == OK) return true;
        rpc_server_close(gateway->rpc, 0);
    }
    lifetime_drain(gateway->gate, 0);
    if (http) http_server_close(gateway->http, 0);
    gate_close(gateway->gate);
    return false;
}

static uint32_t abandoned_threads(struct gate *gate) {
    const struct snapshot *snapshot = gate_snapshot(gate);
    uint32_t abandoned = snapshot->abandoned;
    gate_snapshot_release(gate, snapshot);
    return abandoned;
}

/* Without it the gateway serves as well, and nobody would be better off if it did not. */
static void open_self_dial(const struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    const struct self_dial_port http = {.address = http_server_address(gateway->http),
                                        .tls = config->http.tls.cert != NULL};
    const struct self_dial_port grpc = {.address = rpc_server_address(gateway->rpc),
                                        .tls = config->grpc.tls.cert != NULL};
    if (self_dial_open(&http, &grpc) != OK)
        log_event(LOG_WARN, "nobody dials our own ports: out of threads or descriptors");
}

/* --- before there are threads --- */

/* Where an inherited socket listens is a setting above all others: who may come in is judged by it. */
static bool inherit_ports(struct gateway *gateway) {
    if (!activation_take(&gateway->ports, stderr)) return false;
    for (enum activation_port port = 0; port < ACTIVATION_PORTS; port++) {
        char address[ACTIVATION_ADDRESS_BYTES], *setting = gateway->inherited[port];
        if (gateway->ports.fds[port] == 0) continue;
        activation_address(gateway->ports.fds[port], address);
        snprintf(setting, sizeof gateway->inherited[port], "%s.listen=%s", activation_name(port),
                 address);
        configuration_set(&gateway->configuration, setting);
    }
    return true;
}

static bool bind_port(int *port, const char *door, const struct listen_address *listen) {
    if (*port == 0) *port = edge_bind(listen->host, listen->port);
    return *port > 0 || say_cannot_listen(door, listen, INVALID_REQUEST);
}

static bool bind_ports(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    int *fds = gateway->ports.fds;
    return bind_port(&fds[ACTIVATION_HTTP], "http", &config->http.listen) &&
           bind_port(&fds[ACTIVATION_GRPC], "grpc", &config->grpc.listen) &&
           (config->admin.listen.text == NULL ||
            bind_port(&fds[ACTIVATION_ADMIN], "admin", &config->admin.listen));
}

/* Ports are bound, keys and certificates read with the powers that we were started with; everything else
 * happens without them. */
static int give_up_privileges(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    if (!privileges_allow(config, stderr)) return EXIT_USAGE;
    if (!bind_ports(gateway) || !open_access(gateway) || !open_certificates(gateway))
        return EXIT_FAILURE;
    if (!privileges_drop(config, stderr)) return EXIT_USAGE;
    process_harden();
    return EXIT_SUCCESS;
}

static void prepare_process(void) {
    mallopt(M_ARENA_MAX, ARENAS);
    signal(SIGUSR1, SIG_IGN); /* what other servers take for "open the log again" must not end it */
    lifetime_block_signals();
    raise_descriptor_limit();
}

/* --- serving --- */

static void say_listening(const struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    const char *admin = http_server_admin_address(gateway->http);
    if (privileges_are_roots())
        log_event(LOG_WARN, "runs as root",
                  LOG_STR("text", "name process.user, or start it as another user"));
    log_event(LOG_INFO, "listening", LOG_STR("http", http_server_address(gateway->http)),
              LOG_STR("grpc", rpc_server_address(gateway->rpc)),
              LOG_STR(admin[0] != '\0' ? "admin" : NULL, admin),
              LOG_UINT("pools", config->pools_count), LOG_STR("version", POOLGATE_VERSION),
              LOG_INT("pid", getpid()));
}

static int serve(struct gateway *gateway) {
    const struct config *config = gateway->configuration.config;
    if (log_open(STDERR_FILENO, config->log.level, config->log.format) != OK) return EXIT_FAILURE;
    if (watchdog_open() != OK || !open_all(gateway)) {
        tracer_close(gateway->observer.tracer);
        watchdog_close();
        log_close();
        return EXIT_FAILURE;
    }
    say_listening(gateway);
    open_self_dial(gateway);
    const struct lifetime_parts parts = {.gate = gateway->gate,
                                         .http = gateway->http,
                                         .rpc = gateway->rpc,
                                         .certificates = gateway->certificates,
                                         .access = gateway->access,
                                         .reconfigure = gateway->reconfigure,
                                         .herald = &gateway->herald};
    lifetime_run(&parts);
    tracer_close(gateway->observer.tracer);
    uint32_t abandoned = abandoned_threads(gateway->gate);
    gate_close(gateway->gate);
    watchdog_close();
    log_event(LOG_INFO, "stopped", LOG_UINT("abandoned_threads", abandoned));
    log_close();
    /* What an abandoned thread still uses must not be torn down under it. */
    if (abandoned > 0) _exit(EXIT_SUCCESS);
    return EXIT_SUCCESS;
}

int command_serve(int argc, char **argv) {
    struct gateway gateway = {0};
    int status = configuration_options(&gateway.configuration, argc, argv, serve_usage);
    if (status < 0 && !inherit_ports(&gateway)) status = EXIT_FAILURE;
    if (status < 0) status = configuration_load(&gateway.configuration);
    if (status < 0) {
        prepare_process();
        herald_open(&gateway.herald);
        status = give_up_privileges(&gateway);
        if (status == EXIT_SUCCESS) status = serve(&gateway);
        herald_close(&gateway.herald);
    }
    certificates_close(gateway.certificates);
    metrics_close(gateway.metrics);
    if (gateway.live.watched != NULL) live_requests_close(&gateway.live);
    access_close(gateway.access);
    reconfigure_close(gateway.reconfigure);
    free(gateway.pools);
    configuration_free(&gateway.configuration);
    return status;
}
