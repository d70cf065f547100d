#include "core/transport/ring_pair.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static enum outcome map(struct ring_pair **out, int memfd) {
    void *memory =
        mmap(NULL, sizeof(struct ring_pair), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    *out = memory != MAP_FAILED ? memory : NULL;
    return *out != NULL ? OK : MEMORY_EXHAUSTED;
}

enum outcome ring_pair_create(struct ring_pair **out, int *memfd) {
    *out = NULL;
    *memfd = memfd_create("poolgate-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*memfd < 0) return MEMORY_EXHAUSTED;
    if (ftruncate(*memfd, sizeof(struct ring_pair)) == 0 &&
        fcntl(*memfd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0 && map(out, *memfd) == OK) {
        atomic_store(&(*out)->requests.asleep, 0);
        atomic_store(&(*out)->replies.asleep, 1);
        return OK;
    }
    close(*memfd);
    *memfd = -1;
    return MEMORY_EXHAUSTED;
}

enum outcome ring_pair_attach(struct ring_pair **out, int memfd) {
    *out = NULL;
    struct stat status;
    int seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS || fstat(memfd, &status) != 0 ||
        status.st_size != sizeof(struct ring_pair))
        return INVALID_REQUEST;
    return map(out, memfd);
}

/* The holders' count lies behind the pair: the rings know nothing of it. */
struct private_pair {
    struct ring_pair pair;
    _Atomic uint32_t holders;
};

enum outcome ring_pair_create_private(struct ring_pair **out) {
    size_t bytes = (sizeof(struct private_pair) + 63) / 64 * 64;
    struct private_pair *private_pair = aligned_alloc(64, bytes);
    *out = private_pair != NULL ? &private_pair->pair : NULL;
    if (private_pair == NULL) return MEMORY_EXHAUSTED;
    memset(private_pair, 0, bytes);
    atomic_store(&private_pair->holders, 1);
    atomic_store(&private_pair->pair.replies.asleep, 1);
    return OK;
}

void ring_pair_hold(struct ring_pair *pair) {
    atomic_fetch_add(&((struct private_pair *)pair)->holders, 1);
}

void ring_pair_drop(struct ring_pair *pair, enum ring_sharing sharing) {
    if (pair == NULL) return;
    if (sharing == RING_SHARED)
        munmap(pair, sizeof *pair);
    else if (atomic_fetch_sub(&((struct private_pair *)pair)->holders, 1) == 1)
        free(pair);
}
