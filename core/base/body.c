#include "core/base/body.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDED_SEALS (F_SEAL_SHRINK | F_SEAL_WRITE)
#define ALL_SEALS    (NEEDED_SEALS | F_SEAL_GROW | F_SEAL_SEAL)

static int memfd_open(void) {
    return memfd_create("poolgate-body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static bool is_sealed(int memfd) {
    int seals = fcntl(memfd, F_GET_SEALS);
    return seals >= 0 && (seals & NEEDED_SEALS) == NEEDED_SEALS;
}

static enum outcome body_new(struct body **out, int memfd, size_t own_bytes) {
    *out = NULL;
    struct body *body = malloc(sizeof *body + own_bytes);
    if (body == NULL) return MEMORY_EXHAUSTED;
    *body = (struct body){.memfd = memfd, .capacity = own_bytes};
    if (own_bytes > 0) body->data = body->own;
    atomic_init(&body->refs, 1);
    *out = body;
    return OK;
}

/* Memory at data, unless it is the body's own. */
static void free_data(struct body *body) {
    if (body->data != body->own) free(body->data);
    body->data = NULL;
    body->capacity = 0;
}

enum outcome body_create(struct body **out, size_t expected_bytes) {
    bool small = expected_bytes < BODY_MEMFD_BYTES;
    enum outcome outcome = body_new(out, -1, small ? expected_bytes : 0);
    if (outcome != OK || small) return outcome;
    (*out)->memfd = memfd_open();
    if ((*out)->memfd >= 0) return OK;
    body_unref(*out);
    *out = NULL;
    return MEMORY_EXHAUSTED;
}

enum outcome body_from_memfd(struct body **out, int memfd, size_t bytes) {
    *out = NULL;
    struct stat status;
    if (!is_sealed(memfd)) return INVALID_REQUEST;
    if (fstat(memfd, &status) != 0 || status.st_size < 0 || (size_t)status.st_size < bytes)
        return INVALID_REQUEST;
    enum outcome outcome = body_new(out, memfd, 0);
    if (outcome == OK) (*out)->bytes = bytes;
    return outcome;
}

enum outcome body_from_heap(struct body **out, uint8_t *data, size_t bytes) {
    enum outcome outcome = body_new(out, -1, 0);
    if (outcome != OK) return outcome;
    (*out)->data = data;
    (*out)->bytes = (*out)->capacity = bytes;
    return OK;
}

static bool write_all(int fd, const uint8_t *data, size_t bytes, size_t offset) {
    while (bytes > 0) {
        ssize_t written = pwrite(fd, data, bytes, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        data += written;
        offset += (size_t)written;
        bytes -= (size_t)written;
    }
    return true;
}

/* The body has outgrown memory: its bytes move into a memfd. */
static enum outcome spill(struct body *body) {
    int memfd = memfd_open();
    if (memfd < 0) return MEMORY_EXHAUSTED;
    if (!write_all(memfd, body->data, body->bytes, 0)) {
        close(memfd);
        return MEMORY_EXHAUSTED;
    }
    free_data(body);
    body->memfd = memfd;
    return OK;
}

static enum outcome grow(struct body *body, size_t wanted) {
    size_t capacity = body->capacity > 0 ? body->capacity : 256;
    while (capacity < wanted) capacity *= 2;
    bool own = body->data == body->own;
    uint8_t *data = realloc(own ? NULL : body->data, capacity);
    if (data == NULL) return MEMORY_EXHAUSTED;
    if (own) memcpy(data, body->own, body->bytes);
    body->data = data;
    body->capacity = capacity;
    return OK;
}

enum outcome body_append(struct body *body, const void *data, size_t bytes) {
    if (bytes == 0) return OK;
    if (body->memfd < 0 && body->bytes + bytes >= BODY_MEMFD_BYTES) {
        enum outcome outcome = spill(body);
        if (outcome != OK) return outcome;
    }
    if (body->memfd >= 0) {
        if (!write_all(body->memfd, data, bytes, body->bytes)) return MEMORY_EXHAUSTED;
    } else {
        if (body->bytes + bytes > body->capacity) {
            enum outcome outcome = grow(body, body->bytes + bytes);
            if (outcome != OK) return outcome;
        }
        memcpy(body->data + body->bytes, data, bytes);
    }
    body->bytes += bytes;
    return OK;
}

enum outcome body_seal(struct body *body) {
    if (body->memfd < 0 || is_sealed(body->memfd)) return OK;
    return fcntl(body->memfd, F_ADD_SEALS, ALL_SEALS) == 0 ? OK : MEMORY_EXHAUSTED;
}

const uint8_t *body_data(struct body *body) {
    if (body->bytes == 0) return NULL;
    if (body->data == NULL && body->memfd >= 0) {
        void *map = mmap(NULL, body->bytes, PROT_READ, MAP_PRIVATE, body->memfd, 0);
        if (map != MAP_FAILED) body->data = map;
    }
    return body->data;
}

struct body *body_ref(struct body *body) {
    atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);
    return body;
}

void body_unref(struct body *body) {
    if (body == NULL) return;
    if (atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) != 1) return;
    if (body->memfd >= 0) {
        if (body->data != NULL) munmap(body->data, body->bytes);
        close(body->memfd);
    } else {
        free_data(body);
    }
    if (body->released != NULL) body->released(body->released_owner, body->bytes);
    free(body);
}
