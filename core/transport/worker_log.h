/* worker_log - what a worker writes to stdout and stderr: line by line into the log, bounded.
 * thread: the pool loop.
 * owns:   nothing outside its struct.
 * fails:  never: lines beyond WORKER_LOG_LINES a second are counted and dropped. */
#ifndef CORE_TRANSPORT_WORKER_LOG_H
#define CORE_TRANSPORT_WORKER_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKER_LOG_LINES      100 /* a second, for each slot */
#define WORKER_LOG_LINE_BYTES 512 /* the rest of a longer line is cut */

struct worker_log {
    char slot[96];
    pid_t pid;
    char line[WORKER_LOG_LINE_BYTES + 1]; /* being filled */
    size_t line_bytes;
    char last[160];     /* the last line that was not empty: the worker's last words */
    uint64_t second_ns; /* when the current second began */
    uint32_t lines;     /* logged in it */
    uint64_t dropped;   /* not logged in it */
};

void worker_log_init(struct worker_log *log, const char *slot);
void worker_log_feed(struct worker_log *log, const char *bytes, size_t count, uint64_t now_ns);
/* No more will come: the unfinished line, and how many were dropped. */
void worker_log_end(struct worker_log *log, uint64_t now_ns);

#endif
