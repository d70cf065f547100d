#include "gateway/keys/key_file.h"

#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_NS (5 * CLOCK_S)
#define LOCK_STEP_NS (20 * CLOCK_MS)

static enum outcome refuse(char error[KEY_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum outcome refuse(char error[KEY_ERROR_BYTES], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, KEY_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return INVALID_REQUEST;
}

struct key_file_mark key_file_mark(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return (struct key_file_mark){.node = 0};
    return (struct key_file_mark){
        .device = info.st_dev,
        .node = info.st_ino,
        .bytes = (uint64_t)info.st_size,
        .modified_s = info.st_mtim.tv_sec,
        .modified_ns = info.st_mtim.tv_nsec,
        .changed_s = info.st_ctim.tv_sec,
        .changed_ns = info.st_ctim.tv_nsec,
    };
}

/* --- reading --- */

/* Root may have placed it for us. */
static enum outcome check_file(const struct stat *info, char error[KEY_ERROR_BYTES]) {
    if (!S_ISREG(info->st_mode)) return refuse(error, "is not a regular file");
    if ((info->st_mode & 077) != 0)
        return refuse(error,
                      "others than its owner may use it (mode %04o), allowed is 0600 or 0400",
                      (unsigned)info->st_mode & 07777);
    if (info->st_uid != geteuid() && info->st_uid != 0)
        return refuse(error, "belongs to user %u, allowed is %u", (unsigned)info->st_uid,
                      (unsigned)geteuid());
    if ((uint64_t)info->st_size > KEY_TEXT_MOST) return refuse(error, "is larger than 8 MiB");
    return OK;
}

static enum outcome read_all(int fd, char *text, size_t room, size_t *bytes,
                             char error[KEY_ERROR_BYTES]) {
    for (*bytes = 0; *bytes < room;) {
        ssize_t got = read(fd, text + *bytes, room - *bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return refuse(error, "cannot be read: %s", strerror(errno));
        if (got == 0) return OK;
        *bytes += (size_t)got;
    }
    return OK;
}

static enum outcome read_open(struct keys **out, int fd, char error[KEY_ERROR_BYTES]) {
    struct stat info;
    size_t bytes;
    if (fstat(fd, &info) != 0) return refuse(error, "cannot be read: %s", strerror(errno));
    enum outcome outcome = check_file(&info, error);
    if (outcome != OK) return outcome;
    size_t room = (size_t)info.st_size + 1;
    char *text = malloc(room);
    if (text == NULL) return MEMORY_EXHAUSTED;
    outcome = read_all(fd, text, room, &bytes, error);
    if (outcome == OK && bytes == room) outcome = refuse(error, "grew while it was read");
    if (outcome == OK) outcome = key_text_read(out, text, bytes, error);
    explicit_bzero(text, room);
    free(text);
    return outcome;
}

enum outcome key_file_read(struct keys **out, const char *path, char error[KEY_ERROR_BYTES]) {
    *out = NULL;
    error[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int failure = errno;
        refuse(error, "cannot be read: %s", strerror(failure));
        return failure == ENOENT ? NOT_FOUND : INVALID_REQUEST;
    }
    enum outcome outcome = read_open(out, fd, error);
    close(fd);
    return outcome;
}

/* --- writing --- */

enum outcome key_file_lock(struct key_file_lock *lock, const char *path,
                           char error[KEY_ERROR_BYTES]) {
    char copy[PATH_MAX];
    uint64_t until_ns = clock_now_ns() + LOCK_WAIT_NS;
    const struct timespec step = {.tv_nsec = LOCK_STEP_NS};
    error[0] = '\0';
    lock->folder = -1;
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return refuse(error, "its path is too long");
    lock->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock->folder < 0) return refuse(error, "its folder: %s", strerror(errno));
    while (flock(lock->folder, LOCK_EX | LOCK_NB) != 0) {
        if (clock_now_ns() >= until_ns) {
            key_file_unlock(lock);
            return refuse(error, "somebody else has been writing it for five seconds");
        }
        nanosleep(&step, NULL);
    }
    return OK;
}

void key_file_unlock(struct key_file_lock *lock) {
    if (lock->folder >= 0) close(lock->folder);
    lock->folder = -1;
}

static bool write_all(int fd, const char *text, size_t bytes) {
    for (size_t sent = 0; sent < bytes;) {
        ssize_t put = write(fd, text + sent, bytes - sent);
        if (put < 0 && errno != EINTR) return false;
        if (put > 0) sent += (size_t)put;
    }
    return fsync(fd) == 0;
}

static enum outcome replace(const char *path, const struct key_file_lock *lock, const char *text,
                            size_t bytes, char error[KEY_ERROR_BYTES]) {
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= (int)sizeof fresh)
        return refuse(error, "its path is too long");
    int fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) return refuse(error, "cannot be written: %s", strerror(errno));
    bool written = write_all(fd, text, bytes);
    int failure = errno;
    close(fd);
    if (written && rename(fresh, path) == 0 && fsync(lock->folder) == 0) return OK;
    if (written) failure = errno;
    unlink(fresh);
    return refuse(error, "cannot be written: %s", strerror(failure));
}

enum outcome key_file_write(const struct keys *keys, const char *path,
                            const struct key_file_lock *lock, char error[KEY_ERROR_BYTES]) {
    size_t bytes;
    error[0] = '\0';
    char *text = key_text_write(keys, &bytes);
    if (text == NULL) return MEMORY_EXHAUSTED;
    enum outcome outcome = replace(path, lock, text, bytes, error);
    explicit_bzero(text, bytes);
    free(text);
    return outcome;
}
