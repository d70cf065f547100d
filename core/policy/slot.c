#include "core/policy/slot.h"

#include "core/base/clock.h"

#include <assert.h>
#include <stdlib.h>

static uint32_t buckets_for(uint32_t places) {
    uint32_t count = 4;
    while (count < places) count *= 2;
    return count;
}

enum outcome slot_init(struct slot *slot, const struct slot_options *options,
                       struct worker_census *census, uint64_t now_ns) {
    uint32_t batch_max = options->batch_max > 1 ? options->batch_max : 1;
    *slot = (struct slot){.index = options->index, .capacity = options->inflight};
    slot->places = options->inflight * batch_max + options->staged;
    slot->buckets_count = buckets_for(slot->places);
    slot->assignments = calloc(slot->places, sizeof *slot->assignments);
    slot->buckets = calloc(slot->buckets_count, sizeof *slot->buckets);
    slot->runs = calloc(1, sizeof *slot->runs);
    worker_state_init(&slot->record, census, now_ns);
    if (slot->assignments == NULL || slot->buckets == NULL || slot->runs == NULL) {
        slot_free(slot);
        return MEMORY_EXHAUSTED;
    }
    slot_reset(slot);
    slot->respawn_ns = 0;
    return OK;
}

void slot_free(struct slot *slot) {
    free(slot->assignments);
    free(slot->buckets);
    free(slot->runs);
    slot->assignments = NULL;
    slot->buckets = NULL;
    slot->runs = NULL;
}

static void clear_places(struct slot *slot) {
    for (uint32_t i = 0; i < slot->places; i++)
        slot->assignments[i] =
            (struct assignment){.next = i + 1 < slot->places ? i + 1 : SLOT_NO_PLACE};
    for (uint32_t i = 0; i < slot->buckets_count; i++) slot->buckets[i] = SLOT_NO_PLACE;
    slot->free = slot->newest = 0;
    list_init(&slot->ahead);
}

void slot_reset(struct slot *slot) {
    clear_places(slot);
    slot->units = slot->inflight = slot->staged = slot->given_up = 0;
    slot->solo = slot->checks = slot->checking = slot->retiring = slot->full = false;
    slot->max_batch = 1;
    slot->pid = 0;
    slot->run_requests = 0;
    slot->resident_bytes = 0;
    slot->ready_ns = 0;
    slot->respawn_ns = CLOCK_NEVER;
    slot->load_deadline_ns = slot->quiet_ns = slot->ping_ns = slot->pong_deadline_ns = CLOCK_NEVER;
    slot->stable_ns = slot->term_ns = slot->kill_ns = slot->measure_ns = CLOCK_NEVER;
    slot->check_ns = slot->check_deadline_ns = CLOCK_NEVER;
    slot->pings_missed = 0;
    slot->pong_ns = slot->ping_rtt_ns = slot->busy_ns = slot->deep_ns = 0;
}

uint32_t slot_room(const struct slot *slot, bool solo) {
    if (!worker_state_can_serve(slot->record.state) || slot->solo) return 0;
    if (slot->checking || slot->retiring || slot->full) return 0;
    if (solo) return slot_vacant(slot) ? 1 : 0;
    /* What was staged is begun before anything that is sent now. */
    return slot->staged > 0 || slot->units >= slot->capacity ? 0 : slot->capacity - slot->units;
}

bool slot_vacant(const struct slot *slot) {
    return slot->inflight == 0 && slot->staged == 0;
}

static uint32_t place_among(const struct slot *slot, const struct assignment *assignment) {
    return (uint32_t)(assignment - slot->assignments);
}

static uint32_t *chain_of(const struct slot *slot, uint64_t id) {
    return &slot->buckets[id & (slot->buckets_count - 1)];
}

struct assignment *slot_find(struct slot *slot, uint64_t id) {
    uint32_t place = *chain_of(slot, id);
    while (place != SLOT_NO_PLACE && slot->assignments[place].id != id)
        place = slot->assignments[place].next;
    return place != SLOT_NO_PLACE ? &slot->assignments[place] : NULL;
}

struct assignment *slot_find_request(struct slot *slot, const struct request *request) {
    uint32_t place = request->place;
    if (place >= slot->places || slot->assignments[place].request != request) return NULL;
    return &slot->assignments[place];
}

void slot_hand_on(struct slot *slot, struct assignment *assignment, struct request *heir) {
    assignment->request = heir;
    heir->place = place_among(slot, assignment);
}

uint64_t slot_open_unit(struct slot *slot, bool staged) {
    if (!staged) slot->units++;
    return ++slot->handed;
}

/* Those of one unit are assigned one after the other. */
static void join_unit(struct slot *slot, uint32_t place) {
    struct assignment *all = slot->assignments, *last = &all[slot->newest];
    all[place].before = all[place].after = place;
    if (last->id != 0 && last->unit == all[place].unit) {
        all[place].before = slot->newest;
        all[place].after = last->after;
        all[last->after].before = place;
        last->after = place;
    }
    slot->newest = place;
}

/* True: it was the last of its unit. */
static bool leave_unit(struct slot *slot, const struct assignment *assignment) {
    struct assignment *all = slot->assignments;
    all[assignment->before].after = assignment->after;
    all[assignment->after].before = assignment->before;
    return assignment->after == place_among(slot, assignment);
}

static void leave_bucket(struct slot *slot, const struct assignment *assignment) {
    uint32_t *link = chain_of(slot, assignment->id), place = place_among(slot, assignment);
    while (*link != place) link = &slot->assignments[*link].next;
    *link = assignment->next;
}

struct assignment *slot_assign(struct slot *slot, struct request *request, uint64_t unit,
                               bool staged, uint64_t now_ns) {
    uint32_t place = slot->free, *bucket = chain_of(slot, request->id);
    assert(place != SLOT_NO_PLACE && request->id != 0);
    struct assignment *assignment = &slot->assignments[place];
    slot->free = assignment->next;
    *assignment = (struct assignment){.id = request->id,
                                      .request = request,
                                      .staged = staged,
                                      .unit = unit,
                                      .began_ns = now_ns,
                                      .stop_ns = CLOCK_NEVER,
                                      .next = *bucket};
    *bucket = request->place = place;
    join_unit(slot, place);
    if (staged) {
        list_push_back(&slot->ahead, &assignment->node);
        slot->staged++;
        return assignment;
    }
    slot->inflight++;
    slot->solo = request->solo;
    slot->last_used_ns = now_ns;
    return assignment;
}

struct assignment *slot_next_staged(struct slot *slot) {
    if (list_empty(&slot->ahead)) return NULL;
    return LIST_ENTRY(slot->ahead.next, struct assignment, node);
}

void slot_begin(struct slot *slot, struct assignment *assignment, uint64_t now_ns) {
    assert(assignment->staged && slot->staged > 0);
    assignment->staged = false;
    list_remove(&assignment->node);
    assignment->began_ns = now_ns;
    slot->staged--;
    slot->units++;
    slot->inflight++;
    slot->last_used_ns = now_ns;
}

void slot_give_up(struct slot *slot, struct assignment *assignment, enum reason why,
                  uint64_t stop_ns, uint64_t now_ns) {
    assert(!assignment->staged && assignment->request != NULL);
    assignment->request = NULL;
    assignment->given_up_ns = now_ns > 0 ? now_ns : 1;
    assignment->stop_ns = stop_ns;
    assignment->stop_why = why;
    slot->given_up++;
}

void slot_unassign(struct slot *slot, struct assignment *assignment) {
    assert(assignment->id != 0);
    bool staged = assignment->staged, last = leave_unit(slot, assignment);
    if (assignment->given_up_ns > 0) slot->given_up--;
    leave_bucket(slot, assignment);
    if (staged) list_remove(&assignment->node);
    *assignment = (struct assignment){.next = slot->free};
    slot->free = place_among(slot, assignment);
    if (staged) {
        assert(slot->staged > 0);
        slot->staged--;
        return;
    }
    assert(slot->inflight > 0 && slot->units > 0);
    slot->inflight--;
    if (last) slot->units--;
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
    next_ns = earlier(next_ns, earlier(slot->check_ns, slot->check_deadline_ns));
    for (uint32_t i = 0; slot->given_up > 0 && i < slot->places; i++)
        if (slot->assignments[i].id != 0) next_ns = earlier(next_ns, slot->assignments[i].stop_ns);
    return next_ns;
}
