#include "core/answers.h"

#include <assert.h>

void answers_keep(struct answers *answers, struct request *request) {
    assert(request->state == REQUEST_DONE && request->next_by_id == NULL);
    if (answers->last != NULL)
        answers->last->next_by_id = request;
    else
        answers->first = request;
    answers->last = request;
    if (++answers->count == ANSWERS_MOST) answers_hand_back(answers);
}

/* Chained through `next`, the last to itself: NULL is who is to be woken by nobody. */
static void wake(struct request_home *home) {
    for (struct request_home *next; home != NULL; home = next) {
        next = home->next != home ? home->next : NULL;
        home->next = NULL;
        home->wake(home);
        atomic_fetch_sub(&home->hands, 1);
    }
}

void answers_hand_back(struct answers *answers) {
    struct request *request = answers->first, *next;
    struct request_home *homes = NULL;
    *answers = (struct answers){0};
    for (; request != NULL; request = next) {
        struct request_home *home = request->home; /* with its done the request is gone */
        next = request->next_by_id;
        request->next_by_id = NULL;
        if (home != NULL && home->next == NULL) {
            atomic_fetch_add(&home->hands, 1);
            home->next = homes != NULL ? homes : home;
            homes = home;
        }
        request->done(request);
    }
    wake(homes);
}

void answers_hand_back_one(struct request *request) {
    struct answers answers = {0};
    answers_keep(&answers, request);
    answers_hand_back(&answers);
}
