#include "core/policy/slot.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>

enum outcome slot_init(struct slot *slot, uint32_t index, uint32_t capacity,
                       struct worker_census *census, uint64_t now_ns) {
    *slot = (struct slot){.index = index, .capacity = capacity};
    slot->assignments = calloc(capacity, sizeof *slot->assignments);
    if (slot->assignments == NULL) return MEMORY_EXHAUSTED;
    worker_state_init(&slot->record, census, now_ns);
    slot_reset(slot);
    slot->respawn_ns = 0;
    return OK;
}

void slot_free(struct slot *slot) {
    free(slot->assignments);
    slot->assignments = NULL;
}

void slot_reset(struct slot *slot) {
    for (uint32_t i = 0; i < slot->capacity; i++) slot->assignments[i] = (struct assignment){0};
    slot->inflight = 0;
    slot->solo = false;
    slot->pid = 0;
    slot->resident_bytes = 0;
    slot->ready_ns = 0;
    slot->respawn_ns = CLOCK_NEVER;
    slot->load_deadline_ns = slot->quiet_ns = slot->ping_ns = slot->pong_deadline_ns = CLOCK_NEVER;
    slot->stable_ns = slot->term_ns = slot->kill_ns = slot->measure_ns = CLOCK_NEVER;
    slot->pings_missed = 0;
}

uint32_t slot_room(const struct slot *slot, bool solo) {
    if (!worker_state_can_serve(slot->record.state) || slot->solo) return 0;
    if (solo) return slot->inflight == 0 ? 1 : 0;
    return slot->capacity - slot->inflight;
}

struct assignment *slot_find(struct slot *slot, uint64_t id) {
    for (uint32_t i = 0; i < slot->capacity; i++)
        if (slot->assignments[i].id == id) return &slot->assignments[i];
    return NULL;
}

struct assignment *slot_assign(struct slot *slot, struct request *request, uint64_t now_ns) {
    struct assignment *assignment = slot_find(slot, 0);
    assert(assignment != NULL && request->id != 0);
    *assignment = (struct assignment){
        .id = request->id, .request = request, .began_ns = now_ns, .stop_ns = CLOCK_NEVER};
    slot->inflight++;
    slot->solo = request->solo;
    slot->last_used_ns = now_ns;
    return assignment;
}

void slot_unassign(struct slot *slot, struct assignment *assignment) {
    assert(assignment->id != 0 && slot->inflight > 0);
    *assignment = (struct assignment){0};
    slot->inflight--;
    slot->solo = false;
}

void slot_blame(struct slot *slot, const char *text) {
    size_t i = 0;
    for (; text[i] != '\0' && i < SLOT_ERROR_BYTES - 1; i++) {
        unsigned char c = (unsigned char)text[i];
        slot->last_error[i] = c < 0x20 || c >= 0x7f ? ' ' : (char)c;
    }
    slot->last_error[i] = '\0';
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

uint64_t slot_next_ns(const struct slot *slot) {
    uint64_t next_ns = earlier(slot->load_deadline_ns, slot->quiet_ns);
    next_ns = earlier(next_ns, earlier(slot->ping_ns, slot->pong_deadline_ns));
    next_ns = earlier(next_ns, earlier(slot->stable_ns, slot->measure_ns));
    next_ns = earlier(next_ns, earlier(slot->term_ns, slot->kill_ns));
    for (uint32_t i = 0; slot->inflight > 0 && i < slot->capacity; i++)
        if (slot->assignments[i].id != 0) next_ns = earlier(next_ns, slot->assignments[i].stop_ns);
    return next_ns;
}
