#include "tests/bench/core_pool/mailbox.h"

#include "core/base/clock.h"
#include "tests/bench/core_pool/call.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wake(struct mailbox *mailbox) {
    if (atomic_load(&mailbox->asleep) == 0 || atomic_exchange(&mailbox->asleep, 0) == 0) return;
    syscall(SYS_futex, &mailbox->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake_home(struct request_home *home) {
    wake(LIST_ENTRY(home, struct mailbox, home));
}

void mailbox_gather(struct mailbox *mailbox) {
    mailbox->home.wake = wake_home;
}

void mailbox_post(struct mailbox *mailbox, struct call *call) {
    struct call *top = atomic_load_explicit(&mailbox->top, memory_order_relaxed);
    do call->next = top;
    while (!atomic_compare_exchange_weak(&mailbox->top, &top, call));
    if (top == NULL && mailbox->home.wake == NULL) wake(mailbox);
}

static void sleep_until(struct mailbox *mailbox, uint64_t until_ns) {
    struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_S),
                             .tv_nsec = (long)(until_ns % CLOCK_S)};
    /* The bitset's time is absolute and monotonic. */
    syscall(SYS_futex, &mailbox->asleep, FUTEX_WAIT_BITSET_PRIVATE, 1,
            until_ns == CLOCK_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

struct call *mailbox_take(struct mailbox *mailbox, uint64_t until_ns) {
    struct call *calls;
    while ((calls = atomic_exchange(&mailbox->top, NULL)) == NULL) {
        atomic_store(&mailbox->asleep, 1);
        if (atomic_load(&mailbox->top) == NULL) sleep_until(mailbox, until_ns);
        atomic_store(&mailbox->asleep, 0);
        calls = atomic_exchange(&mailbox->top, NULL);
        if (calls != NULL || (until_ns != CLOCK_NEVER && clock_now_ns() >= until_ns)) break;
    }
    return calls;
}
