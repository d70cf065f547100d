#include "gateway/command/client.h"
#include "gateway/command/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char status_usage[] =
    "usage: poolgate status [--json | --ready] [--url URL] [OPTION]...\n\n"
    "Shows the pools and slots of a running gateway, as tables or, with --json, as one object\n"
    "{\"pools\":[...],\"slots\":[...]}. URL: without it POOLGATE_URL, else "
    "http://127.0.0.1:8080.\n"
    "--ready asks /readyz alone and prints what it says: 0 when the gateway is ready, else 1. It "
    "is\n"
    "meant for a container's health check. A key is taken from the environment: "
    "POOLGATE_KEY.\n\n" CLIENT_TLS_USAGE;

static const char *text_of(json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "-";
}

static long long number_of(json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

/* The object at a path, or NULL after a line on stderr. */
static json_t *get(const struct client *gateway, const char *path) {
    struct client client = *gateway;
    json_t *json = NULL;
    snprintf(client.path, sizeof client.path, "%s", path);
    if (client_send(&client)) {
        if (client.status == 200 && client.text != NULL)
            json = json_loads(client.text, JSON_REJECT_DUPLICATES, NULL);
        if (json == NULL) client_explain(&client, stderr);
    }
    client_free(&client);
    return json;
}

/* All slots of all pools in one array; NULL after a line on stderr. */
static json_t *get_slots(const struct client *gateway, json_t *pools) {
    json_t *all = json_array(), *pool;
    size_t at;
    json_array_foreach(pools, at, pool) {
        char path[256];
        snprintf(path, sizeof path, "/v1/pools/%s/slots", text_of(pool, "name"));
        json_t *answer = get(gateway, path);
        if (answer == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, json_object_get(answer, "slots"));
        json_decref(answer);
    }
    return all;
}

static void print_pools(json_t *pools) {
    json_t *pool;
    size_t at;
    printf("%-16s %-10s %-7s %7s %9s %9s %9s %10s %10s\n", "POOL", "HEALTH", "WISH", "WAITING",
           "CAPACITY", "ANSWERED", "RETRIED", "RUN p50 ms", "RUN p99 ms");
    json_array_foreach(pools, at, pool) {
        json_t *queue = json_object_get(pool, "queue"), *totals = json_object_get(pool, "totals");
        json_t *run = json_object_get(json_object_get(pool, "latency_ms"), "run");
        printf("%-16s %-10s %-7s %7lld %9lld %9lld %9lld %10.2f %10.2f\n", text_of(pool, "name"),
               text_of(pool, "health"), text_of(pool, "wish"), number_of(queue, "waiting"),
               number_of(queue, "capacity"), number_of(totals, "answered"),
               number_of(totals, "retried"), json_number_value(json_object_get(run, "p50")),
               json_number_value(json_object_get(run, "p99")));
    }
}

static void print_breaker(json_t *pool) {
    json_t *breaker = json_object_get(pool, "breaker");
    json_t *open_for = json_object_get(breaker, "open_for_ms");
    const char *state = text_of(breaker, "state");
    if (strcmp(state, "closed") == 0 || strcmp(state, "-") == 0) return;
    printf("%s: the circuit breaker is %s", text_of(pool, "name"), state);
    if (json_is_number(open_for))
        printf(", it tries again in %.1f s", json_number_value(open_for) / 1000.0);
    printf("; %lld refused so far\n", number_of(breaker, "rejections"));
}

/* Worth a line each once somebody is named. */
static void print_tenants(json_t *pool) {
    json_t *tenants = json_object_get(json_object_get(pool, "queue"), "tenants"), *tenant;
    const char *name;
    if (json_object_size(tenants) == (json_object_get(tenants, "") != NULL)) return;
    json_object_foreach(tenants, name, tenant) printf(
        "%s: tenant %s: %lld waiting, %lld running, %.0f %% of the time lately\n",
        text_of(pool, "name"), *name != '\0' ? name : "(none)", number_of(tenant, "waiting"),
        number_of(tenant, "running"), json_number_value(json_object_get(tenant, "share")) * 100.0);
}

/* What is out of the ordinary, below the table. */
static void print_remarks(json_t *pools) {
    json_t *pool;
    size_t at;
    json_array_foreach(pools, at, pool) {
        print_breaker(pool);
        print_tenants(pool);
    }
}

static void print_slots(json_t *slots) {
    json_t *slot;
    size_t at;
    printf("\n%-20s %-11s %8s %9s %7s %8s %12s %6s  %s\n", "SLOT", "STATE", "PID", "REQUESTS",
           "ERRORS", "RESTARTS", "RESIDENT MiB", "STAGED", "CURRENT");
    json_array_foreach(slots, at, slot) {
        json_t *current = json_object_get(slot, "current");
        printf("%-20s %-11s %8lld %9lld %7lld %8lld %12.1f %6lld  %s\n", text_of(slot, "id"),
               text_of(slot, "state"), number_of(slot, "pid"), number_of(slot, "requests"),
               number_of(slot, "errors"), number_of(slot, "restarts"),
               (double)number_of(slot, "resident_bytes") / 1048576.0, number_of(slot, "staged"),
               text_of(current, "request_id"));
    }
}

static int show(const struct client *gateway, bool as_json) {
    json_t *answer = get(gateway, "/v1/pools");
    json_t *pools = json_object_get(answer, "pools");
    json_t *slots = answer == NULL ? NULL : get_slots(gateway, pools);
    if (slots != NULL && as_json) {
        json_t *all = json_pack("{s:O, s:O}", "pools", pools, "slots", slots);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else if (slots != NULL) {
        print_pools(pools);
        print_remarks(pools);
        print_slots(slots);
    }
    int status = slots != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
    json_decref(slots);
    json_decref(answer);
    return status;
}

/* What /readyz says, as one line. */
static int show_ready(const struct client *gateway) {
    struct client client = *gateway;
    snprintf(client.path, sizeof client.path, "/readyz");
    int status = EXIT_FAILURE;
    if (client_send(&client)) {
        json_t *verdict = client.text == NULL
                              ? NULL
                              : json_loads(client.text, JSON_REJECT_DUPLICATES, NULL),
               *reason;
        size_t at;
        if (client.status == 200) status = EXIT_SUCCESS;
        printf("%s", text_of(verdict, "status"));
        json_array_foreach(json_object_get(verdict, "reasons"), at, reason)
            printf("%s %s", at == 0 ? ":" : ";", json_string_value(reason));
        putchar('\n');
        json_decref(verdict);
    }
    client_free(&client);
    return status;
}

int command_status(int argc, char **argv) {
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},         {"ready", no_argument, NULL, 'r'},
        {"url", required_argument, NULL, 'u'},    CLIENT_TLS_OPTIONS,
        {"help", no_argument, NULL, OPTION_HELP}, {0}};
    struct client gateway = {0}; /* where it is */
    bool as_json = false, ready = false;
    int status = -1, option;
    while ((option = command_option(argc, argv, ":h", options, status_usage, &status)) != -1) {
        if (option == 'j') as_json = true;
        if (option == 'r') ready = true;
        if (option == 'u') gateway.url = optarg;
        client_tls_option(&gateway.tls, option, optarg);
    }
    if (status >= 0) return status;
    if (optind < argc) return command_misuse("status", "unexpected argument %s", argv[optind]);
    if (ready && as_json) return command_misuse("status", "--ready and --json exclude each other");
    return ready ? show_ready(&gateway) : show(&gateway, as_json);
}
