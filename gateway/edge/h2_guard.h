/* h2_guard - reads the frame headers of an HTTP/2 connection, both ways, and counts per kind of flood.
 * thread: pure; a struct belongs to one connection. The time comes in.
 * owns:   nothing.
 * fails:  a verdict; the first one is final. Nothing is allocated, no payload is kept.
 * source: RFC 9113; CVE-2023-44487, CVE-2023-33953, CVE-2024-27316, CVE-2025-8671 name the floods. */
#ifndef GATEWAY_EDGE_H2_GUARD_H
#define GATEWAY_EDGE_H2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One reason each: the label in the metrics is the lower-case name. */
/* clang-format off */
#define H2_VERDICTS(X) \
    X(CLEAN) X(PREFACE) X(FRAME_SIZE) X(RAPID_RESET) X(MADE_RESET) X(CONTINUATION) X(HEADER_BLOCK) \
    X(SETTINGS) X(PING) X(WINDOW_UPDATE) X(PRIORITY) X(EMPTY_DATA) X(STREAMS) X(UNKNOWN_FRAME)
/* clang-format on */
#define H2_VERDICT(name) H2_GUARD_##name,
enum h2_guard_verdict { H2_VERDICTS(H2_VERDICT) H2_GUARD_COUNT };
#undef H2_VERDICT

/* Streams that are told apart: ids so far from each other share a bit. */
#define H2_GUARD_STREAM_BITS 4096

enum h2_guard_side { H2_FROM_CLIENT, H2_FROM_SERVER };

/* A bucket of tokens: so many at once, so many a second after. */
struct h2_guard_budget {
    uint32_t left;
    uint64_t filled_ns;
};

struct h2_guard_reader {
    uint8_t header[9];
    uint8_t have;     /* of the header */
    uint32_t payload; /* bytes of the frame that are still to come */
};

struct h2_guard {
    enum h2_guard_verdict verdict;

    /* Its own. */
    uint8_t preface; /* bytes of it that have come */
    bool settled;    /* the client's first SETTINGS have come */
    bool acked;      /* it has acknowledged the server's */
    struct h2_guard_reader readers[2];
    struct h2_guard_budget budgets[H2_GUARD_COUNT];
    uint32_t block_stream, block_bytes,
        block_frames;                   /* of the header block that is open; 0: none */
    uint32_t last_stream, opened, open; /* the client's streams */
    uint32_t unacked_streams;           /* so many may be opened before it acknowledges */
    uint64_t open_streams[H2_GUARD_STREAM_BITS / 64]; /* by their number, modulo */
    uint32_t settings_unanswered, pings_unanswered;   /* the server's */
    uint32_t max_frame, max_streams;  /* the largest that the server has announced */
    uint8_t setting[6], setting_have; /* of what it announces */
    bool announces;                   /* the frame that it sends */
};

/* wary: an eighth of each budget at once, and of the streams before its acknowledgement; what comes with time and by work done is the same. */
void h2_guard_init(struct h2_guard *guard, bool wary, uint64_t now_ns);
/* How many of the leading bytes may pass on to the other side: all of them, or up to the frame that breaks the
 * rules, which does not pass. */
size_t h2_guard_see(struct h2_guard *guard, enum h2_guard_side side, const uint8_t *bytes,
                    size_t count, uint64_t now_ns);
/* No frame of this side has passed in part: another may be put in. */
bool h2_guard_between(const struct h2_guard *guard, enum h2_guard_side side);
const char *h2_guard_verdict_name(enum h2_guard_verdict verdict); /* "rapid_reset" */
/* GOAWAY with the error that the verdict calls for, whole; returns its length. */
size_t h2_guard_goodbye(enum h2_guard_verdict verdict, uint8_t out[17]);

#endif
