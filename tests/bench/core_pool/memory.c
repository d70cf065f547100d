/* memory - what the process grows by for each request that waits behind busy slots. */
#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"
#include "tests/bench/core_pool/plan.h"
#include "tests/bench/core_pool/subject.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WITHIN_NS (30 * CLOCK_S)

struct footprint {
    double resident, allocated;
};

static struct footprint footprint_now(void) {
    char text[128];
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) invalid("no /proc/self/statm");
    fclose(file);
    char *resident = strchr(text, ' ');
    if (resident == NULL) invalid("/proc/self/statm reads %s", text);
    struct mallinfo2 heap = mallinfo2();
    return (struct footprint){.resident = (double)strtoull(resident, NULL, 10) *
                                          (double)sysconf(_SC_PAGESIZE),
                              .allocated = (double)(heap.uordblks + heap.hblkhd)};
}

static void submit_all(struct gate *gate, struct call *calls, uint32_t count, const char *operation,
                       enum priority priority) {
    for (uint32_t i = 0; i < count; i++) {
        uint64_t now_ns = clock_now_ns();
        const struct call_options options = {.gate = gate,
                                             .priority = priority,
                                             .tenant = "tenant",
                                             .operation = operation,
                                             .arrived_ns = now_ns,
                                             .deadline_ns = now_ns + 3600 * CLOCK_S};
        enum outcome outcome = call_submit(&calls[i], &options);
        if (outcome != OK) invalid("a request was refused: %s", outcome_code(outcome));
    }
}

/* What is staged may count as waiting or not. */
static void until_waiting(struct subject *subject, uint32_t least) {
    uint64_t until_ns = clock_now_ns() + WITHIN_NS;
    while (subject_waiting(subject) < least) {
        if (clock_now_ns() > until_ns)
            invalid("%u requests wait, not %u", subject_waiting(subject), least);
        pause_ns(5 * CLOCK_MS);
    }
    pause_ns(50 * CLOCK_MS);
}

static void collect(struct mailbox *mailbox, uint32_t expected) {
    for (uint32_t seen = 0; seen < expected;) {
        struct call *call = mailbox_take(mailbox, clock_now_ns() + WITHIN_NS), *next;
        if (call == NULL) invalid("%u requests of %u were answered", seen, expected);
        for (; call != NULL; call = next, seen++) {
            next = call->next;
            if (call_end(call) != SHUTTING_DOWN) invalid("a waiting request was answered");
        }
    }
}

void measure_memory(const struct plan *plan) {
    struct subject subject;
    struct mailbox mailbox = {0};
    uint32_t busy = plan->slots * (1 + plan->staged), count = busy + plan->waiting;
    struct call *calls = malloc(count * sizeof *calls);
    if (calls == NULL) invalid("out of memory");
    for (uint32_t i = 0; i < count; i++) calls[i] = (struct call){.home = &mailbox, .number = i};
    subject_open(&subject, plan, count);
    submit_all(subject.gate, calls, busy, "delay:3600000", PRIORITY_CRITICAL);
    pause_ns(200 * CLOCK_MS);

    struct footprint before = footprint_now();
    submit_all(subject.gate, calls + busy, plan->waiting, NULL, PRIORITY_NORMAL);
    until_waiting(&subject, plan->waiting);
    struct footprint after = footprint_now();
    subject_drain(&subject);
    collect(&mailbox, count);
    subject_close(&subject);
    free(calls);

    double each = plan->waiting;
    double resident = (after.resident - before.resident) / each - CALL_BODY_BYTES;
    double allocated = (after.allocated - before.allocated) / each - CALL_BODY_BYTES;
    if (plan->json)
        printf("{\"measure\": \"memory\", \"waiting\": %u, \"resident_bytes\": %.1f, "
               "\"allocated_bytes\": %.1f, \"request_struct_bytes\": %zu}\n",
               plan->waiting, resident, allocated, sizeof(struct request));
    else
        printf("%u requests wait: %.0f resident bytes each beyond the body, %.0f of them allocated "
               "(struct request: %zu)\n",
               plan->waiting, resident, allocated, sizeof(struct request));
}
