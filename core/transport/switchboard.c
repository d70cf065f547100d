#include "core/transport/switchboard.h"

#include <assert.h>
#include <stdlib.h>

struct switchboard {
    struct list_node hot;
    uv_check_t after_sleep;
    uv_prepare_t before_sleep;
    uv_idle_t no_sleep; /* active while something waits: the loop must not block */
    int open_handles;
};

static void take_all(struct list_node *from, struct list_node *to) {
    list_init(to);
    if (list_empty(from)) return;
    *to = *from;
    to->next->previous = to->previous->next = to;
    list_init(from);
}

/* Each member once, also when some leave meanwhile or others become hot. */
static void on_after_sleep(uv_check_t *check) {
    struct switchboard *switchboard = check->data;
    struct list_node round;
    take_all(&switchboard->hot, &round);
    while (!list_empty(&round)) {
        struct list_node *node = round.next;
        list_remove(node);
        list_push_back(&switchboard->hot, node);
        struct switchboard_member *member = LIST_ENTRY(node, struct switchboard_member, node);
        member->calls->collect(member);
    }
}

static void on_no_sleep(uv_idle_t *idle) {
    (void)idle;
}

void switchboard_wake(struct switchboard *switchboard) {
    const struct list_node *head = &switchboard->hot;
    for (struct list_node *at = head->next; at != head; at = at->next) {
        struct switchboard_member *member = LIST_ENTRY(at, struct switchboard_member, node);
        member->calls->wake(member);
    }
}

static void on_before_sleep(uv_prepare_t *prepare) {
    struct switchboard *switchboard = prepare->data;
    struct list_node *head = &switchboard->hot;
    switchboard_wake(switchboard);
    for (struct list_node *at = head->next, *next; at != head; at = next) {
        next = at->next;
        struct switchboard_member *member = LIST_ENTRY(at, struct switchboard_member, node);
        if (member->calls->rest(member)) switchboard_leave(member);
    }
    if (list_empty(head))
        uv_idle_stop(&switchboard->no_sleep);
    else
        uv_idle_start(&switchboard->no_sleep, on_no_sleep);
}

enum outcome switchboard_open(struct switchboard **out, uv_loop_t *loop) {
    *out = NULL;
    struct switchboard *switchboard = calloc(1, sizeof *switchboard);
    if (switchboard == NULL) return MEMORY_EXHAUSTED;
    list_init(&switchboard->hot);
    uv_check_init(loop, &switchboard->after_sleep);
    uv_prepare_init(loop, &switchboard->before_sleep);
    uv_idle_init(loop, &switchboard->no_sleep);
    switchboard->after_sleep.data = switchboard->before_sleep.data = switchboard->no_sleep.data =
        switchboard;
    switchboard->open_handles = 3;
    uv_check_start(&switchboard->after_sleep, on_after_sleep);
    uv_prepare_start(&switchboard->before_sleep, on_before_sleep);
    uv_unref((uv_handle_t *)&switchboard->after_sleep);
    uv_unref((uv_handle_t *)&switchboard->before_sleep);
    uv_unref((uv_handle_t *)&switchboard->no_sleep);
    *out = switchboard;
    return OK;
}

static void handle_closed(uv_handle_t *handle) {
    struct switchboard *switchboard = handle->data;
    if (--switchboard->open_handles == 0) free(switchboard);
}

void switchboard_close(struct switchboard *switchboard) {
    if (switchboard == NULL) return;
    assert(list_empty(&switchboard->hot));
    uv_close((uv_handle_t *)&switchboard->after_sleep, handle_closed);
    uv_close((uv_handle_t *)&switchboard->before_sleep, handle_closed);
    uv_close((uv_handle_t *)&switchboard->no_sleep, handle_closed);
}

void switchboard_heat(struct switchboard *switchboard, struct switchboard_member *member) {
    if (member->hot) return;
    member->hot = true;
    list_push_back(&switchboard->hot, &member->node);
}

void switchboard_leave(struct switchboard_member *member) {
    if (!member->hot) return;
    member->hot = false;
    list_remove(&member->node);
}
