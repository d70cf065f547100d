#include "gateway/http/routes.h"

#include "gateway/http/handlers.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const struct route routes[] = {
    {"POST", "/v1/pools/{pool}/invoke", &handler_invoke, ACCESS_INVOKE, ROUTE_AT_HTTP},
    {"GET", "/v1/pools", &handler_pools, ACCESS_READ, ROUTE_AT_BOTH},
    {"GET", "/v1/pools/{pool}", &handler_pool, ACCESS_READ, ROUTE_AT_BOTH},
    {"GET", "/v1/pools/{pool}/slots", &handler_slots, ACCESS_READ, ROUTE_AT_BOTH},
    {"POST", "/v1/pools/{pool}/load", &handler_load, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/pools/{pool}/unload", &handler_unload, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/pools/{pool}/drain", &handler_drain, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/pools/{pool}/pause", &handler_pause, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/pools/{pool}/resume", &handler_resume, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/pools/{pool}/scale", &handler_scale, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"GET", "/v1/quarantine", &handler_quarantine, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"POST", "/v1/quarantine/{id}/kick", &handler_kick, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"DELETE", "/v1/quarantine/{id}", &handler_delete, ACCESS_ADMIN, ROUTE_AT_ADMIN},
    {"GET", "/v1/requests/{id}", &handler_request, ACCESS_OWN, ROUTE_AT_HTTP},
    {"DELETE", "/v1/requests/{id}", &handler_cancel, ACCESS_OWN, ROUTE_AT_HTTP},
    {"GET", "/v1/events", &handler_events, ACCESS_READ, ROUTE_AT_BOTH},
    {"GET", "/livez", &handler_livez, ACCESS_OPEN, ROUTE_AT_BOTH},
    {"GET", "/readyz", &handler_readyz, ACCESS_OPEN, ROUTE_AT_BOTH},
    {"GET", "/startupz", &handler_startupz, ACCESS_OPEN, ROUTE_AT_BOTH},
    {"GET", "/healthz", &handler_healthz, ACCESS_READ, ROUTE_AT_BOTH},
    {"GET", "/metrics", &handler_metrics, ACCESS_READ, ROUTE_AT_ADMIN},
    {"GET", "/openapi.yaml", &handler_openapi, ACCESS_ANY, ROUTE_AT_BOTH},
};
const size_t routes_count = sizeof routes / sizeof routes[0];

static void keep_segment(struct route_match *match, const char *template, const char *segment,
                         size_t bytes) {
    bool pool = strncmp(template, "{pool}", 6) == 0;
    char *out = pool ? match->pool : match->id;
    size_t room = pool ? sizeof match->pool : sizeof match->id;
    snprintf(out, room, "%.*s", bytes < room ? (int)bytes : 0, segment);
}

/* Walks template and path side by side; match keeps the segments that stand for a {name}. */
static bool path_matches(const char *template, const char *path, struct route_match *match) {
    while (*template != '\0') {
        if (*template != '{') {
            if (*template ++ != *path++) return false;
            continue;
        }
        size_t segment = strcspn(path, "/");
        if (segment == 0) return false;
        keep_segment(match, template, path, segment);
        path += segment;
        template = strchr(template, '}') + 1;
    }
    return *path == '\0';
}

static bool method_matches(const char *allowed, const char *method) {
    if (strcmp(allowed, method) == 0) return true;
    return strcmp(allowed, "GET") == 0 && strcmp(method, "HEAD") == 0;
}

static void allow_add(struct route_match *match, const char *method) {
    size_t used = strlen(match->allow);
    if (strstr(match->allow, method) != NULL) return;
    snprintf(match->allow + used, sizeof match->allow - used, "%s%s", used > 0 ? ", " : "", method);
}

enum outcome route_find(const struct route *table, size_t count, enum route_address addresses,
                        const char *method, const char *path, struct route_match *match) {
    match->handler = NULL;
    match->need = ACCESS_ANY;
    match->path = NULL;
    match->allow[0] = match->pool[0] = match->id[0] = '\0';
    bool everything = strcmp(path, "*") == 0;
    for (size_t i = 0; i < count; i++) {
        if ((table[i].addresses & addresses) == 0) continue;
        if (!everything && !path_matches(table[i].path, path, match)) continue;
        if (!everything && match->allow[0] == '\0') match->need = table[i].need;
        if (!everything && method_matches(table[i].method, method)) {
            match->handler = table[i].handler;
            match->need = table[i].need;
            match->path = table[i].path;
            return OK;
        }
        allow_add(match, table[i].method);
        if (strcmp(table[i].method, "GET") == 0) allow_add(match, "HEAD");
    }
    if (match->allow[0] == '\0') return NOT_FOUND;
    allow_add(match, "OPTIONS");
    return METHOD_NOT_ALLOWED;
}
