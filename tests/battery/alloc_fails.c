/* alloc_fails - preloaded into the gateway: the n-th allocation fails, on the threads where a request's way is ours.
 *
 * ALLOC_FAILS names a file of two 64-bit numbers that the test maps too: how many allocations still succeed
 * (negative: none fails), and whether all that follow fail as well. libc's and gRPC's own threads are left out: gRPC
 * core ends the process when an allocation fails, by design. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

struct plan {
    _Atomic int64_t left;
    _Atomic int64_t persistent, failed;
};

static struct plan *plan;

__attribute__((constructor)) static void read_plan(void) {
    const char *file = getenv("ALLOC_FAILS");
    int fd = file != NULL ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *shared = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) plan = shared;
    close(fd);
}

/* Asked once for each thread, after it has its name. */
static bool is_ours(void) {
    static _Thread_local int known;
    char name[16];
    if (known == 0 && pthread_getname_np(pthread_self(), name, sizeof name) == 0)
        known = strcmp(name, "http") == 0 || strcmp(name, "pool") == 0 ? 1 : -1;
    return known > 0;
}

static bool fails(void) {
    if (plan == NULL || atomic_load(&plan->left) < 0 || !is_ours()) return false;
    int64_t left = atomic_fetch_sub(&plan->left, 1);
    if (left > 0) return false;
    if (left < 0) return false;
    if (atomic_load(&plan->persistent) != 0) atomic_store(&plan->left, 0);
    atomic_fetch_add(&plan->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) {
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
    return fails() ? NULL : __libc_realloc(old, bytes);
}
