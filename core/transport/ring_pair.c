#include "core/transport/ring_pair.h"

#include <fcntl.h>
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

void ring_pair_unmap(struct ring_pair *pair) {
    if (pair != NULL) munmap(pair, sizeof *pair);
}
