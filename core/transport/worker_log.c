#include "core/transport/worker_log.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <stdio.h>
#include <string.h>

void worker_log_init(struct worker_log *log, const char *slot) {
    memset(log, 0, sizeof *log);
    snprintf(log->slot, sizeof log->slot, "%s", slot);
}

static void report_dropped(struct worker_log *log) {
    if (log->dropped > 0)
        log_event(LOG_WARN, "worker_log_dropped", LOG_STR("slot", log->slot),
                  LOG_INT("pid", log->pid), LOG_UINT("lines", log->dropped));
    log->dropped = 0;
}

static void end_line(struct worker_log *log, uint64_t now_ns) {
    if (log->line_bytes == 0) return;
    log->line[log->line_bytes] = '\0';
    size_t kept = log->line_bytes < sizeof log->last ? log->line_bytes : sizeof log->last - 1;
    memcpy(log->last, log->line, kept);
    log->last[kept] = '\0';
    log->line_bytes = 0;
    if (now_ns - log->second_ns >= CLOCK_S) {
        report_dropped(log);
        log->second_ns = now_ns;
        log->lines = 0;
    }
    if (log->lines >= WORKER_LOG_LINES) {
        log->dropped++;
        return;
    }
    log->lines++;
    log_event(LOG_INFO, "worker", LOG_STR("slot", log->slot), LOG_INT("pid", log->pid),
              LOG_STR("text", log->line));
}

void worker_log_feed(struct worker_log *log, const char *bytes, size_t count, uint64_t now_ns) {
    while (count > 0) {
        const char *newline = memchr(bytes, '\n', count);
        size_t part = newline != NULL ? (size_t)(newline - bytes) : count;
        size_t room = WORKER_LOG_LINE_BYTES - log->line_bytes;
        size_t kept = part < room ? part : room;
        memcpy(log->line + log->line_bytes, bytes, kept);
        log->line_bytes += kept;
        if (newline == NULL) return;
        end_line(log, now_ns);
        bytes += part + 1;
        count -= part + 1;
    }
}

void worker_log_end(struct worker_log *log, uint64_t now_ns) {
    end_line(log, now_ns);
    report_dropped(log);
}
