#include "gateway/edge/tls.h"

#include "gateway/edge/tls_context.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* What tells a file from the one that was there before. The time of its status too: a file that was
 * refused for who may read it is worth another look after a chmod. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec modified, altered;
};

struct stamps {
    struct stamp files[TLS_FILE_COUNT];
};

struct tls {
    struct tls_options options; /* its texts are the struct's own */
    char *texts[TLS_FILE_COUNT], *protocol;
    char **client_names;
    struct stamps tried, seen; /* main's */
    pthread_mutex_t lock;      /* held to take or to put the pointer, for nothing else */
    struct tls_context *newest;
};

/* --- which files these are --- */

static struct stamp stamp_of(const char *path) {
    struct stamp stamp;
    struct stat file;
    memset(&stamp, 0, sizeof stamp); /* compared as bytes */
    if (path == NULL || stat(path, &file) != 0) return stamp;
    stamp.device = file.st_dev;
    stamp.inode = file.st_ino;
    stamp.bytes = file.st_size;
    stamp.modified = file.st_mtim;
    stamp.altered = file.st_ctim;
    return stamp;
}

static struct stamps stamps_now(const struct tls *tls) {
    struct stamps stamps;
    for (size_t i = 0; i < TLS_FILE_COUNT; i++) stamps.files[i] = stamp_of(tls->texts[i]);
    return stamps;
}

static bool same(const struct stamps *a, const struct stamps *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

bool tls_changed(struct tls *tls) {
    struct stamps now = stamps_now(tls);
    bool still = same(&now, &tls->seen);
    tls->seen = now;
    return still && !same(&now, &tls->tried);
}

void tls_user_changed(struct tls *tls) {
    static const struct stamp hidden;
    struct stamps now = stamps_now(tls);
    for (size_t i = 0; i < TLS_FILE_COUNT; i++)
        if (memcmp(&now.files[i], &hidden, sizeof hidden) == 0)
            tls->tried.files[i] = tls->seen.files[i] = hidden;
}

/* --- the newest context --- */

struct tls_context *tls_newest(struct tls *tls) {
    pthread_mutex_lock(&tls->lock);
    struct tls_context *context = tls->newest;
    tls_context_hold(context);
    pthread_mutex_unlock(&tls->lock);
    return context;
}

static void swap(struct tls *tls, struct tls_context *context) {
    pthread_mutex_lock(&tls->lock);
    struct tls_context *older = tls->newest;
    tls->newest = context;
    pthread_mutex_unlock(&tls->lock);
    tls_context_release(older);
}

void tls_certificate(struct tls *tls, struct tls_certificate *out) {
    struct tls_context *context = tls_newest(tls);
    *out = context->certificate;
    tls_context_release(context);
}

/* Before the files are read: what changes after that is seen later. */
static enum outcome read_files(struct tls *tls, struct tls_context **out, struct tls_error *error) {
    tls->tried = tls->seen = stamps_now(tls);
    return tls_context_read(out, &tls->options, error);
}

/* Nobody could connect with it, and with the old one they can. */
static bool is_valid_today(const struct tls *tls, const struct tls_context *context,
                           struct tls_error *error) {
    int64_t now = time(NULL);
    const struct tls_certificate *certificate = &context->certificate;
    bool early = now<certificate->not_before, late = now> certificate->not_after;
    if (!early && !late) return true;
    error->file = TLS_CERT;
    snprintf(error->text, sizeof error->text, "%s: the certificate is %s, allowed is one of today",
             tls->options.cert, late ? "expired" : "not valid yet");
    return false;
}

enum outcome tls_reload(struct tls *tls, struct tls_error *error) {
    struct tls_context *context;
    enum outcome outcome = read_files(tls, &context, error);
    if (outcome != OK) return outcome;
    if (!is_valid_today(tls, context, error)) {
        tls_context_release(context);
        return INVALID_REQUEST;
    }
    swap(tls, context);
    return OK;
}

/* --- its life --- */

static bool copy_text(char **out, const char *text) {
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

static bool copy_options(struct tls *tls, const struct tls_options *options) {
    const char *const texts[] = {options->cert, options->key, options->client_ca};
    for (size_t i = 0; i < TLS_FILE_COUNT; i++)
        if (!copy_text(&tls->texts[i], texts[i])) return false;
    if (!copy_text(&tls->protocol, options->protocol)) return false;
    if (options->client_names != NULL) {
        tls->client_names = tls_names_copy(options->client_names);
        if (tls->client_names == NULL) return false;
    }
    tls->options = (struct tls_options){.cert = tls->texts[TLS_CERT],
                                        .key = tls->texts[TLS_KEY],
                                        .client_ca = tls->texts[TLS_CLIENT_CA],
                                        .client_names = (const char *const *)tls->client_names,
                                        .protocol = tls->protocol};
    return true;
}

void tls_close(struct tls *tls) {
    if (tls == NULL) return;
    if (tls->newest != NULL) tls_context_release(tls->newest);
    for (size_t i = 0; i < TLS_FILE_COUNT; i++) free(tls->texts[i]);
    tls_names_free(tls->client_names);
    free(tls->protocol);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

enum outcome tls_open(struct tls **out, const struct tls_options *options,
                      struct tls_error *error) {
    *out = NULL;
    *error = (struct tls_error){.file = TLS_CERT};
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&tls->lock, NULL);
    enum outcome outcome = MEMORY_EXHAUSTED;
    if (copy_options(tls, options)) outcome = read_files(tls, &tls->newest, error);
    if (outcome == OK)
        *out = tls;
    else
        tls_close(tls);
    return outcome;
}
