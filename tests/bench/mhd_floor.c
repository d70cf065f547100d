/* mhd_floor PORT direct|resumed - what the HTTP library alone can do: 16 bytes for any request, either
 * at once, or as a gateway must, by suspending the connection until another thread resumes it.
 *
 * thread: libmicrohttpd's own, and for `resumed` one that stands for the pool.
 * owns:   a stay per request, from its first line to its completion.
 * fails:  exits with 1 when the port cannot be had. */
#define _GNU_SOURCE
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024

struct stay {
    struct MHD_Connection *connection;
    struct stay *next;
    int is_resumed;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct stay *first;
} waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static struct MHD_Response *answer;

static void *resume_forever(void *unused) {
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&waiting.lock);
        while (waiting.first == NULL) pthread_cond_wait(&waiting.filled, &waiting.lock);
        struct stay *batch = waiting.first;
        waiting.first = NULL;
        pthread_mutex_unlock(&waiting.lock);
        while (batch != NULL) {
            struct stay *stay = batch;
            batch = stay->next; /* once resumed, the stay is the daemon's again */
            stay->is_resumed = 1;
            MHD_resume_connection(stay->connection);
        }
    }
    return NULL;
}

static void wait_for_the_other(struct stay *stay) {
    MHD_suspend_connection(stay->connection);
    pthread_mutex_lock(&waiting.lock);
    int was_empty = waiting.first == NULL;
    stay->next = waiting.first;
    waiting.first = stay;
    pthread_mutex_unlock(&waiting.lock);
    if (was_empty) pthread_cond_signal(&waiting.filled);
}

static enum MHD_Result handle(void *must_wait, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_bytes, void **per_request) {
    (void)url, (void)method, (void)version, (void)data;
    struct stay *stay = *per_request;
    if (stay == NULL) {
        *per_request = stay = calloc(1, sizeof *stay);
        if (stay == NULL) return MHD_NO;
        stay->connection = connection;
        return MHD_YES;
    }
    if (*data_bytes > 0) {
        *data_bytes = 0;
        return MHD_YES;
    }
    if (must_wait == NULL || stay->is_resumed)
        return MHD_queue_response(connection, MHD_HTTP_OK, answer);
    wait_for_the_other(stay);
    return MHD_YES;
}

static void completed(void *unused, struct MHD_Connection *connection, void **per_request,
                      enum MHD_RequestTerminationCode how) {
    (void)unused, (void)connection, (void)how;
    free(*per_request);
    *per_request = NULL;
}

int main(int argc, char **argv) {
    if (argc != 3 || (strcmp(argv[2], "direct") != 0 && strcmp(argv[2], "resumed") != 0)) {
        fprintf(stderr, "usage: mhd_floor PORT direct|resumed\n");
        return 2;
    }
    int resumed = strcmp(argv[2], "resumed") == 0;
    static char text[] = "0123456789abcdef";
    pthread_t other;
    answer = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    if (answer == NULL || (resumed && pthread_create(&other, NULL, resume_forever, NULL) != 0))
        return 1;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
        (uint16_t)strtoul(argv[1], NULL, 10), NULL, NULL, handle, resumed ? &waiting : NULL,
        MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_END);
    if (daemon == NULL) return 1;
    for (;;) pause();
}
