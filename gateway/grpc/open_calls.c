#include "gateway/grpc/open_calls.h"

#include "core/base/clock.h"

#include <assert.h>
#include <string.h>
#include <time.h>

void open_calls_open(struct open_calls *calls, struct live_requests *live) {
    *calls = (struct open_calls){.live = live};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&calls->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&calls->lock, NULL);
}

void open_calls_close(struct open_calls *calls) {
    assert(calls->created == calls->released);
    pthread_cond_destroy(&calls->changed);
    pthread_mutex_destroy(&calls->lock);
}

void open_calls_enter(struct open_calls *calls) {
    pthread_mutex_lock(&calls->lock);
    calls->created++;
    pthread_mutex_unlock(&calls->lock);
}

void open_calls_name(struct open_calls *calls, struct live_request *entry, const char *wanted,
                     char id[CALL_ID_BYTES]) {
    size_t bytes = strlen(wanted);
    bool usable = request_id_usable(wanted, bytes);
    if (usable) memcpy(id, wanted, bytes + 1);
    pthread_mutex_lock(&calls->lock);
    if (!usable || !live_requests_add(calls->live, entry, id)) {
        do request_id_fresh(&calls->ids, id);
        while (!live_requests_add(calls->live, entry, id));
    }
    pthread_mutex_unlock(&calls->lock);
}

void open_calls_leave(struct open_calls *calls, struct live_request *entry) {
    pthread_mutex_lock(&calls->lock);
    if (entry->id != NULL) live_requests_remove(calls->live, entry);
    calls->released++;
    if (calls->created == calls->released) pthread_cond_broadcast(&calls->changed);
    pthread_mutex_unlock(&calls->lock);
}

void open_calls_server_down(struct open_calls *calls) {
    pthread_mutex_lock(&calls->lock);
    calls->server_down = true;
    pthread_cond_broadcast(&calls->changed);
    pthread_mutex_unlock(&calls->lock);
}

bool open_calls_wait(struct open_calls *calls, enum open_calls_end end, uint64_t until_ns) {
    struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_S),
                             .tv_nsec = (long)(until_ns % CLOCK_S)};
    bool ended, late = false;
    pthread_mutex_lock(&calls->lock);
    for (;;) {
        ended = calls->created == calls->released && (end == END_OF_CALLS || calls->server_down);
        if (ended || late) break;
        late = pthread_cond_timedwait(&calls->changed, &calls->lock, &until) != 0;
    }
    pthread_mutex_unlock(&calls->lock);
    return ended;
}
