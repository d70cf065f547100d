#include "core/transport/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct jobs {
    struct spawn_job *first, **last;
};

struct spawner {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    struct jobs starts, looks, results; /* under the lock */
    bool closing;
    uv_async_t finished;
};

/* --- its thread -------------------------------------------------------------------------------------- */

static int prepare_files(posix_spawn_file_actions_t *actions, const struct spawn_job *job) {
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, job->log, 1);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, job->log, 2);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, job->socket, 3);
    if (error == 0 && job->rings >= 0)
        error = posix_spawn_file_actions_adddup2(actions, job->rings, 4);
    if (error == 0 && job->bell >= 0)
        error = posix_spawn_file_actions_adddup2(actions, job->bell, 5);
    return error;
}

static int prepare_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0) error = posix_spawnattr_setpgroup(attributes, 0);
    if (error == 0) error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(attributes, &all);
    return error;
}

static void start(struct spawn_job *job) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    job->pidfd = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    job->error = prepare_files(&actions, job);
    if (job->error == 0) job->error = prepare_attributes(&attributes);
    if (job->error == 0)
        job->error = posix_spawn(&job->pid, job->program, &actions, &attributes, job->arguments,
                                 job->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (job->error != 0) return;
    job->pidfd = pidfd_open(job->pid, 0); /* close-on-exec by itself */
    if (job->pidfd >= 0) return;
    job->error = errno;
    kill(-job->pid, SIGKILL);
    while (waitpid(job->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* This process's own share would cost its loops the time that mapping memory waits for the count. */
static void weigh(struct spawn_job *job) {
    machine_memory_read(&job->machine, "");
    job->resident_bytes = machine_memory_resident(getpid(), "");
}

static void run(struct spawn_job *job) {
    switch (job->kind) {
    case SPAWN_START: start(job); break;
    case SPAWN_MEASURE: job->resident_bytes = machine_memory_of(job->pid, ""); break;
    case SPAWN_WEIGH: weigh(job); break;
    }
}

static void jobs_add(struct jobs *jobs, struct spawn_job *job) {
    job->next = NULL;
    *jobs->last = job;
    jobs->last = &job->next;
}

static struct spawn_job *jobs_take(struct jobs *jobs) {
    struct spawn_job *job = jobs->first;
    if (job == NULL) return NULL;
    jobs->first = job->next;
    if (jobs->first == NULL) jobs->last = &jobs->first;
    return job;
}

static struct spawn_job *next_job(struct spawner *spawner) {
    pthread_mutex_lock(&spawner->lock);
    while (spawner->starts.first == NULL && spawner->looks.first == NULL && !spawner->closing)
        pthread_cond_wait(&spawner->arrived, &spawner->lock);
    struct spawn_job *job = jobs_take(&spawner->starts);
    if (job == NULL) job = jobs_take(&spawner->looks);
    pthread_mutex_unlock(&spawner->lock);
    return job;
}

static void *work(void *argument) {
    struct spawner *spawner = argument;
    struct spawn_job *job;
    while ((job = next_job(spawner)) != NULL) {
        run(job);
        pthread_mutex_lock(&spawner->lock);
        jobs_add(&spawner->results, job);
        uv_async_send(&spawner->finished);
        pthread_mutex_unlock(&spawner->lock);
    }
    return NULL;
}

/* --- the loop's side ------------------------------------------------------------------------------- */

static void deliver(struct spawner *spawner) {
    struct spawn_job *job;
    do {
        pthread_mutex_lock(&spawner->lock);
        job = jobs_take(&spawner->results);
        pthread_mutex_unlock(&spawner->lock);
        if (job != NULL) job->done(job);
    } while (job != NULL);
}

static void on_finished(uv_async_t *finished) {
    deliver(finished->data);
}

static void on_closed(uv_handle_t *finished) {
    struct spawner *spawner = finished->data;
    pthread_cond_destroy(&spawner->arrived);
    pthread_mutex_destroy(&spawner->lock);
    free(spawner);
}

enum outcome spawner_open(struct spawner **out, uv_loop_t *loop) {
    *out = NULL;
    struct spawner *spawner = calloc(1, sizeof *spawner);
    if (spawner == NULL) return MEMORY_EXHAUSTED;
    pthread_mutex_init(&spawner->lock, NULL);
    pthread_cond_init(&spawner->arrived, NULL);
    spawner->starts.last = &spawner->starts.first;
    spawner->looks.last = &spawner->looks.first;
    spawner->results.last = &spawner->results.first;
    spawner->finished.data = spawner;
    if (uv_async_init(loop, &spawner->finished, on_finished) != 0) {
        on_closed((uv_handle_t *)&spawner->finished);
        return MEMORY_EXHAUSTED;
    }
    if (pthread_create(&spawner->thread, NULL, work, spawner) != 0) {
        uv_close((uv_handle_t *)&spawner->finished, on_closed);
        return MEMORY_EXHAUSTED;
    }
    *out = spawner;
    return OK;
}

void spawner_submit(struct spawner *spawner, struct spawn_job *job) {
    struct jobs *jobs = job->kind == SPAWN_START ? &spawner->starts : &spawner->looks;
    pthread_mutex_lock(&spawner->lock);
    jobs_add(jobs, job);
    pthread_cond_signal(&spawner->arrived);
    pthread_mutex_unlock(&spawner->lock);
}

void spawner_close(struct spawner *spawner) {
    pthread_mutex_lock(&spawner->lock);
    spawner->closing = true;
    pthread_cond_signal(&spawner->arrived);
    pthread_mutex_unlock(&spawner->lock);
    pthread_join(spawner->thread, NULL);
    deliver(spawner);
    uv_close((uv_handle_t *)&spawner->finished, on_closed);
}
