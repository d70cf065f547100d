/* key_file - the file of keys on the disk: read with suspicion, replaced as a whole.
 * thread: any; it waits for the disk, so never on a loop.
 * owns:   a lock is held until key_file_unlock.
 * fails:  INVALID_REQUEST, and `error` says what was wrong and what is allowed; NOT_FOUND: there is no such file;
 *         MEMORY_EXHAUSTED.
 *
 * Written: a new file beside it with mode 0600, fsync, rename, fsync of the folder. Two writers take turns by
 * a lock (flock) on the folder, which outlives every rename and leaves no file behind. */
#ifndef GATEWAY_KEYS_KEY_FILE_H
#define GATEWAY_KEYS_KEY_FILE_H

#include "gateway/keys/key_text.h"

/* What changes when somebody writes the file; all zero: there is none. */
struct key_file_mark {
    uint64_t device, node, bytes;
    int64_t modified_s, modified_ns, changed_s, changed_ns;
};
struct key_file_mark key_file_mark(const char *path);

/* A file that others than its owner may read or write is refused, and so is one of another user. */
enum outcome key_file_read(struct keys **out, const char *path, char error[KEY_ERROR_BYTES]);

struct key_file_lock {
    int folder;
};
enum outcome key_file_lock(struct key_file_lock *lock, const char *path,
                           char error[KEY_ERROR_BYTES]);
void key_file_unlock(struct key_file_lock *lock);
/* Under the lock. */
enum outcome key_file_write(const struct keys *keys, const char *path,
                            const struct key_file_lock *lock, char error[KEY_ERROR_BYTES]);

#endif
