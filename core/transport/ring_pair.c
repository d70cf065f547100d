#include "core/transport/ring_pair.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static bool power_of_two(uint64_t number) {
    return number != 0 && (number & (number - 1)) == 0;
}

uint32_t ring_pair_cells(uint64_t requests) {
    uint32_t cells = RING_PAIR_MIN_CELLS;
    while (cells < 2 * requests && cells < RING_PAIR_MAX_CELLS) cells *= 2;
    return cells;
}

static size_t offers_end(uint64_t cells) {
    return sizeof(struct ring_pair_memory) + cells * sizeof(struct offer_cell);
}

/* Sets up one side's private view of the memory. */
static void lay_out(struct ring_pair *pair, void *memory) {
    pair->memory = memory;
    pair->request_bytes = (uint8_t *)memory + offers_end(pair->cells);
    pair->reply_bytes = pair->request_bytes + pair->request_size;
    atomic_init(&pair->holders, 1);
}

static struct ring_pair *new_pair(uint32_t cells) {
    struct ring_pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) return NULL;
    pair->cells = cells;
    pair->request_size = RING_REQUEST_BYTES;
    pair->reply_size = RING_REPLY_BYTES;
    pair->memory_bytes = offers_end(cells) + pair->request_size + pair->reply_size;
    return pair;
}

/* The rest of the memory is zero. */
static void begin(struct ring_pair *pair) {
    struct ring_pair_memory *memory = pair->memory;
    memory->magic = RING_PAIR_MAGIC;
    memory->cells = pair->cells;
    memory->request_bytes = (uint32_t)pair->request_size;
    memory->reply_bytes = (uint32_t)pair->reply_size;
    atomic_store(&memory->replies.asleep, 1);
}

static void *map(const struct ring_pair *pair, int memfd) {
    void *memory = mmap(NULL, pair->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

enum outcome ring_pair_create(struct ring_pair **out, uint32_t cells, int *memfd) {
    *out = NULL;
    *memfd = memfd_create("poolgate-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct ring_pair *pair = new_pair(cells);
    void *memory = NULL;
    if (*memfd >= 0 && pair != NULL && ftruncate(*memfd, (off_t)pair->memory_bytes) == 0 &&
        fcntl(*memfd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0)
        memory = map(pair, *memfd);
    if (memory != NULL) {
        lay_out(pair, memory);
        begin(pair);
        *out = pair;
        return OK;
    }
    free(pair);
    if (*memfd >= 0) close(*memfd);
    *memfd = -1;
    return MEMORY_EXHAUSTED;
}

/* Reads the first line once; what does not fit the memory's sealed size is refused. */
static bool read_sizes(struct ring_pair *pair, int memfd, uint64_t bytes) {
    struct ring_pair_memory first;
    if (pread(memfd, &first, sizeof first, 0) != (ssize_t)sizeof first) return false;
    if (first.magic != RING_PAIR_MAGIC || first.cells > RING_PAIR_MAX_CELLS ||
        !power_of_two(first.cells) || !power_of_two(first.reply_bytes))
        return false;
    pair->cells = first.cells;
    pair->request_size = first.request_bytes;
    pair->reply_size = first.reply_bytes;
    pair->memory_bytes = offers_end(pair->cells) + pair->request_size + pair->reply_size;
    return pair->memory_bytes == bytes;
}

enum outcome ring_pair_attach(struct ring_pair **out, int memfd) {
    *out = NULL;
    struct stat status;
    int seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS || fstat(memfd, &status) != 0)
        return INVALID_REQUEST;
    struct ring_pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = INVALID_REQUEST;
    void *memory = NULL;
    if (read_sizes(pair, memfd, (uint64_t)status.st_size)) {
        memory = map(pair, memfd);
        outcome = memory != NULL ? OK : MEMORY_EXHAUSTED;
    }
    if (outcome != OK) {
        free(pair);
        return outcome;
    }
    lay_out(pair, memory);
    *out = pair;
    return OK;
}

enum outcome ring_pair_create_private(struct ring_pair **out, uint32_t cells) {
    *out = NULL;
    struct ring_pair *pair = new_pair(cells);
    void *memory = pair != NULL ? aligned_alloc(64, pair->memory_bytes) : NULL;
    if (memory == NULL) {
        free(pair);
        return MEMORY_EXHAUSTED;
    }
    memset(memory, 0, offers_end(cells)); /* the bytes behind it are written before they are read */
    lay_out(pair, memory);
    begin(pair);
    *out = pair;
    return OK;
}

void ring_pair_hold(struct ring_pair *pair) {
    atomic_fetch_add(&pair->holders, 1);
}

void ring_pair_drop(struct ring_pair *pair, enum ring_sharing sharing) {
    if (pair == NULL || atomic_fetch_sub(&pair->holders, 1) != 1) return;
    if (sharing == RING_SHARED)
        munmap(pair->memory, pair->memory_bytes);
    else
        free(pair->memory);
    free(pair);
}

struct ring_writer ring_pair_reply_writer(const struct ring_pair *pair) {
    return (struct ring_writer){
        .head = &pair->memory->replies, .bytes = pair->reply_bytes, .size = pair->reply_size};
}

struct ring_reader ring_pair_reply_reader(const struct ring_pair *pair) {
    return (struct ring_reader){
        .head = &pair->memory->replies, .bytes = pair->reply_bytes, .size = pair->reply_size};
}
