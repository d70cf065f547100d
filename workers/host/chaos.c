#include "workers/host/chaos.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GARBAGE_BYTES 64
#define SECOND_NS     UINT64_C(1000000000)

static void wait_for(uint64_t time_ns) {
    struct timespec left = {.tv_sec = (time_t)(time_ns / SECOND_NS),
                            .tv_nsec = (long)(time_ns % SECOND_NS)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static void crash(struct chaos *chaos) {
    static volatile uintptr_t nowhere = 64;
    if (chaos_draw(chaos) % 2 == 0) abort();
    *(volatile uint64_t *)nowhere = 1;
}

static void hang(struct chaos *chaos) {
    if (chaos_draw(chaos) % 2 == 0) raise(SIGSTOP);
    for (;;) pause();
}

/* Never the beginning of a frame. */
static void babble(struct chaos *chaos, int socket) {
    uint64_t noise[GARBAGE_BYTES / sizeof(uint64_t)];
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++) noise[i] = chaos_draw(chaos) | 0x80;
    (void)send(socket, noise, sizeof noise, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void grow(uint64_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) memset(memory, 0x5a, bytes);
}

void chaos_before_ready(struct chaos *chaos) {
    if (chaos == NULL || chaos_on_load(chaos) != CHAOS_SLOW_LOAD) return;
    wait_for(chaos->options.faults[CHAOS_SLOW_LOAD].amount);
}

/* Said before it is done: whoever reads the log should not search for a fault of the plug-in. */
void chaos_before_request(struct chaos *chaos, int socket) {
    enum chaos_fault fault = chaos == NULL ? CHAOS_NONE : chaos_on_request(chaos);
    if (fault == CHAOS_NONE) return;
    if (fault != CHAOS_DELAY) fprintf(stderr, "chaos: %s\n", chaos_name(fault));
    switch (fault) {
    case CHAOS_CRASH: crash(chaos); break;
    case CHAOS_HANG: hang(chaos); break;
    case CHAOS_DELAY: wait_for(chaos->options.faults[CHAOS_DELAY].amount); break;
    case CHAOS_GARBAGE: babble(chaos, socket); break;
    case CHAOS_BALLOON: grow(chaos->options.faults[CHAOS_BALLOON].amount); break;
    case CHAOS_SLOW_LOAD:
    case CHAOS_NONE: break;
    }
}
