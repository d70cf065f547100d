#include "gateway/command/herald.h"

#include "core/base/clock.h"
#include "core/watchdog.h"
#include "gateway/probes.h"
#include "gateway/self_dial.h"

#define LOOK_NS (100 * CLOCK_MS)

void herald_open(struct herald *herald) {
    *herald = (struct herald){0};
    notify_open(&herald->notify);
}

void herald_begin(struct herald *herald, struct gate *gate) {
    herald->gate = gate;
    notify_say(&herald->notify, "STATUS=loading the pools' workers");
}

static bool has_started(struct gate *gate) {
    const struct snapshot *snapshot = gate_snapshot(gate);
    bool started = probe_started(snapshot).good;
    gate_snapshot_release(gate, snapshot);
    return started;
}

/* As /livez says. */
static bool is_alive(struct gate *gate, uint64_t now_ns) {
    const struct snapshot *snapshot = gate_snapshot(gate);
    bool alive = probe_live(snapshot, watchdog_stalled_ns(), self_dial_dead_port(), now_ns).good;
    gate_snapshot_release(gate, snapshot);
    return alive;
}

static bool awaits_start(const struct herald *herald) {
    return herald->notify.fd >= 0 && !herald->ready && !herald->stopping;
}

static uint64_t sooner(uint64_t a_ns, uint64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t herald_due_ns(const struct herald *herald) {
    return sooner(notify_due_ns(&herald->notify),
                  awaits_start(herald) ? herald->look_ns : CLOCK_NEVER);
}

static bool say_ready(const struct herald *herald) {
    return notify_say(&herald->notify, "READY=1\nSTATUS=serving");
}

void herald_attend(struct herald *herald, uint64_t now_ns) {
    if (herald_due_ns(herald) > now_ns) return;
    if (awaits_start(herald) && herald->look_ns <= now_ns) {
        herald->look_ns = now_ns + LOOK_NS;
        herald->ready = has_started(herald->gate) && say_ready(herald);
    }
    if (notify_due_ns(&herald->notify) <= now_ns)
        notify_feed(&herald->notify, is_alive(herald->gate, now_ns), now_ns);
}

/* Before the start is over there is no state to leave. */
void herald_reloading(struct herald *herald) {
    if (!herald->ready || herald->reloading) return;
    herald->reloading = true;
    notify_say(&herald->notify,
               "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading the configuration",
               (unsigned long long)(clock_now_ns() / CLOCK_US));
}

void herald_reloaded(struct herald *herald) {
    if (!herald->reloading) return;
    herald->reloading = false;
    say_ready(herald);
}

void herald_stopping(struct herald *herald) {
    herald->stopping = true;
    notify_say(&herald->notify, "STOPPING=1\nSTATUS=draining");
}

void herald_close(struct herald *herald) {
    notify_close(&herald->notify);
}
