#include "workers/host/plugin.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A table must reach at least this far. */
#define NEEDED_BYTES (offsetof(struct poolgate_worker, handle) + sizeof(void *))

static bool refuse(char error[POOLGATE_ERROR_BYTES], const char *text) {
    snprintf(error, POOLGATE_ERROR_BYTES, "%s", text);
    return false;
}

static poolgate_worker_entry_fn *find_entry(const char *path, char error[POOLGATE_ERROR_BYTES]) {
    poolgate_worker_entry_fn *entry = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library != NULL ? dlsym(library, "poolgate_worker_entry") : NULL;
    if (symbol == NULL) {
        const char *why = dlerror();
        refuse(error, why != NULL ? why : "poolgate_worker_entry is NULL");
        return NULL;
    }
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function */
    return entry;
}

bool plugin_adopt(struct poolgate_worker *out, const struct poolgate_worker *table,
                  char error[POOLGATE_ERROR_BYTES]) {
    memset(out, 0, sizeof *out);
    if (table == NULL) return refuse(error, "the plug-in has no table");
    if (table->abi != POOLGATE_WORKER_ABI) {
        snprintf(error, POOLGATE_ERROR_BYTES, "the plug-in has ABI %u, this host knows %u",
                 table->abi, (unsigned)POOLGATE_WORKER_ABI);
        return false;
    }
    size_t reach = table->struct_bytes;
    if (reach < NEEDED_BYTES) return refuse(error, "the plug-in's table is too short");
    memcpy(out, table, reach < sizeof *out ? reach : sizeof *out);
    if (out->handle != NULL || out->handle_batch != NULL) return true;
    memset(out, 0, sizeof *out);
    return refuse(error, "the plug-in has neither handle nor handle_batch");
}

bool plugin_open(struct poolgate_worker *out, const char *path, char error[POOLGATE_ERROR_BYTES]) {
    memset(out, 0, sizeof *out);
    poolgate_worker_entry_fn *entry = find_entry(path, error);
    return entry != NULL && plugin_adopt(out, entry(), error);
}
