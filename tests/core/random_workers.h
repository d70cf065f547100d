/* random_workers - what workers do at random: load, work, fail, end, by the dice of the round.
 * thread: the test's own. owns: nothing. Included where the dice are. fails: never by itself. */
#ifndef TESTS_CORE_RANDOM_WORKERS_H
#define TESTS_CORE_RANDOM_WORKERS_H

static void random_exit(struct actor *actor) {
    static const enum exit_kind kinds[] = {EXIT_STATUS, EXIT_CRASH_SIGNAL, EXIT_OTHER_SIGNAL};
    bool abandoned = chance_below(&dice, 1000) < abandon_ills;
    leave(actor, abandoned ? EXIT_ABANDONED : kinds[chance_below(&dice, 3)], (int)some(1, 30));
}

static bool is_ill(uint32_t ills) {
    return chance_below(&dice, 1000) < ills;
}

static void step_start(struct actor *actor) {
    if (is_ill(load_ills))
        leave(actor, EXIT_NEVER_STARTED, 0);
    else
        come(actor);
}

static void step_load(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (is_ill(load_ills))
        fail_to_load(actor, "cannot load");
    else if (is_ill(load_ills))
        random_exit(actor);
    else if (is_ill(load_ills / 2))
        break_protocol(actor);
    else if (!actor->greeted && roll < 90)
        greet(actor);
    else
        become_ready(actor);
}

/* One that it has begun; a slow one may have to begin first. */
static uint64_t random_begun(struct actor *actor) {
    if (count_begun(actor) == 0) begin(actor);
    uint32_t i = chance_below(&dice, actor->has_count);
    while (!actor->has[i].begun) i = (i + 1) % actor->has_count;
    return actor->has[i].id;
}

static void step_work(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 1000);
    if (actor->slow && roll < 350) { /* at times before its reply to the last is seen */
        begin(actor);
        return;
    }
    uint64_t id = random_begun(actor);
    if (is_ill(work_ills))
        say_error(actor, id, (enum transport_error)chance_below(&dice, 4), "an error");
    else if (is_ill(work_ills / 2))
        random_exit(actor);
    else if (is_ill(work_ills / 10))
        break_protocol(actor);
    else if (is_ill(work_ills / 20))
        reply(actor, id + STAGE_REQUESTS); /* which nobody ever had */
    else if (roll < 900)
        reply(actor, id);
    else
        pong(actor); /* the right answer, or one too many */
}

/* Condemned or told to end: it may still have something to say, and it may take its time. */
static void step_end(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 10)
        reply(actor, actor->has_count > 0 ? actor->has[0].id : 1);
    else if (roll < 15)
        say_error(actor, 1, WORKER_SAID_FAILED, "too late");
    else if (roll < 20)
        break_protocol(actor);
    else if (roll < 25)
        become_ready(actor);
    else if (roll < 30)
        say_checked(actor, "too late");
    else if (actor->killed)
        die(actor);
    else if (actor->termed ? roll < 60 : actor->shut_down && roll < 80)
        leave(actor, EXIT_STATUS, 0);
}

static void step_check(struct actor *actor) {
    uint32_t roll = chance_below(&dice, 100);
    if (roll < 10)
        say_checked(actor, "it is unsound");
    else if (roll < 90)
        say_checked(actor, "");
    else if (roll < 92)
        random_exit(actor);
    else
        pong(actor);
}

static void step_actor(struct actor *actor) {
    bool ending = !worker_state_can_serve(state_of(actor)) && state_of(actor) != WORKER_SPAWNING &&
                  state_of(actor) != WORKER_LOADING;
    if (ending)
        step_end(actor);
    else if (!actor->came && !actor->ready)
        step_start(actor);
    else if (!actor->ready)
        step_load(actor);
    else if (actor->checking)
        step_check(actor);
    else if (actor->has_count > 0)
        step_work(actor);
    else if (chance_percent(&dice, 10))
        say_measured(actor, some_ns(0, 3 * WORKER_BYTES));
    else if (is_ill(work_ills))
        random_exit(actor);
    else
        pong(actor);
}

/* One that runs; NULL: none does. */
static struct actor *some_actor(void) {
    uint32_t pool = chance_below(&dice, STAGE_PLACES), slot = chance_below(&dice, STAGE_SLOTS);
    for (uint32_t i = 0; i < stage.pools_count * STAGE_SLOTS; i++) {
        struct actor *actor = &stage.actors[pool][slot];
        if (actor->running) return actor;
        slot = (slot + 1) % STAGE_SLOTS;
        if (slot == 0) pool = (pool + 1) % stage.pools_count;
    }
    return NULL;
}

static void random_actor(void) {
    struct actor *actor = some_actor();
    if (actor == NULL) return;
    actor->start_outcome = is_ill(load_ills / 4) ? MEMORY_EXHAUSTED : OK;
    actor->send_outcome = chance_percent(&dice, 2) ? MEMORY_EXHAUSTED : OK;
    actor->full = chance_percent(&dice, 5);
    actor->stuffed = chance_percent(&dice, 2);
    step_actor(actor);
    events++;
    seen.staged += stage_pool(actor->pool)->staged > 0;
    seen.kept += count_kept(actor) > 0;
}

#endif
