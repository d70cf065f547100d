/* echo - a worker that answers with what it was sent, and misbehaves when asked to. For tests and
 * benchmarks only: some of what follows ends the process it runs in.
 *
 * thread: one state per slot, no globals.
 * owns:   its state; a `size` reply is handed over without a copy.
 * fails:  as it is told to. Waiting asks poolgate_cancelled every half millisecond, except where stated.
 *
 * Arguments (worker.args), all optional:
 *   delay_ms    how long each piece of an answer takes; a plain answer is one piece
 *   chunks      answer in so many pieces (never more than the body has bytes)
 *   fail_rate   0 to 1: the share of requests that end in an error
 *   crash_rate  0 to 1: the share of requests that abort the process
 *   hang_rate   0 to 1: the share of requests that never return
 *   load_ms     how long load takes
 *   load_fail   1: load reports an error
 *   exit_on     the number of a request, 1 is the slot's first: at it the process exits with 3
 *   check_fail  1: the check reports an error
 *   log         a file: each request that begins appends a line to it, in one write: its id, the slot,
 *               when (nanoseconds of CLOCK_MONOTONIC) and the nanoseconds that it has left
 *
 * A batch is answered in order, each of its requests as if it had come alone; the metadata Batch of each
 * says how many were in it.
 *
 * The operation (Poolgate-Operation) chooses for a single request, in place of the three rates:
 *   delay:MS     as if delay_ms were MS        hang        never returns, never asks
 *   chunks:N     as if chunks were N           crash       abort
 *   stubborn:MS  sleeps without asking         exit:N      exit with status N
 *   fail         an error of the worker        invalid     an error of the client
 *   stderr:KIB   so much to stderr, then echo  size:BYTES  byte i of the reply is i modulo 251
 *   meta         metadata echo-slot, the slot's number, and echo-traceparent if there is one, then echo
 *   garbage      random bytes into the control socket (needs a process of its own), then echo
 */
#include "poolgate/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_SOCKET 3
#define EXIT_ON_STATUS 3
#define STEP_NS        UINT64_C(500000)
#define NS_PER_MS      UINT64_C(1000000)
#define NS_PER_SECOND  UINT64_C(1000000000)
#define DAY_MS         UINT64_C(86400000)
#define MAX_CHUNKS     UINT64_C(1000000)
#define MAX_SIZE_BYTES (UINT64_C(1) << 30)
#define MAX_STDERR_KIB (UINT64_C(1) << 20)
#define PATTERN_PERIOD 251
#define MESSAGE_BYTES  512
#define RATE_TEXT      "a number from 0 to 1"
#define ARGUMENTS                                                                                  \
    "delay_ms, chunks, fail_rate, crash_rate, hang_rate, load_ms, load_fail, exit_on, "            \
    "check_fail, log"

struct slot {
    uint32_t number;
    uint64_t random, requests;
    uint64_t delay_ms, chunks, load_ms, load_fail, exit_on, check_fail;
    double fail_rate, crash_rate, hang_rate;
    int log; /* -1: none */
};

struct call {
    struct slot *slot;
    const struct poolgate_request *request;
    struct poolgate_reply *reply;
};

/* ---- time and chance ---- */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void sleep_ns(uint64_t ns) {
    struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_SECOND),
                            .tv_nsec = (long)(ns % NS_PER_SECOND)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

/* Returns false as soon as nobody waits for the reply any more. */
static bool wait_ms(const struct poolgate_reply *reply, uint64_t ms) {
    uint64_t end = now_ns() + ms * NS_PER_MS;
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        if (poolgate_cancelled(reply)) return false;
        sleep_ns(end - now < STEP_NS ? end - now : STEP_NS);
    }
    return !poolgate_cancelled(reply);
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(struct slot *slot) {
    slot->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = slot->random;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static bool happens(struct slot *slot, double rate) {
    return rate > 0 && (double)(next_random(slot) >> 11) * 0x1p-53 < rate;
}

/* ---- answers ---- */

static void fail(const struct call *call, enum poolgate_error error, const char *message) {
    poolgate_reply_fail(call->reply, error, message);
}

static void echo(const struct call *call, uint64_t delay_ms, uint64_t chunks) {
    const char *type = call->request->content_type;
    const char *body = call->request->body;
    size_t bytes = call->request->body_bytes;
    size_t pieces = chunks < bytes ? (size_t)chunks : bytes > 0 ? bytes : 1;
    size_t each = bytes / pieces, longer = bytes % pieces; /* the first few have one byte more */

    for (size_t i = 0, sent = 0; i < pieces; i++) {
        size_t piece = each + (i < longer);
        if (delay_ms > 0 && !wait_ms(call->reply, delay_ms)) {
            fail(call, POOLGATE_FAILED, "cancelled");
            return;
        }
        if (pieces == 1) {
            poolgate_reply_send(call->reply, type, body, bytes);
        } else if (poolgate_reply_chunk(call->reply, type, body + sent, piece) < 0) {
            return;
        }
        sent += piece;
    }
}

static void echo_as_configured(const struct call *call) {
    echo(call, call->slot->delay_ms, call->slot->chunks);
}

_Noreturn static void hang(void) {
    for (;;) pause();
}

/* ---- operations ---- */

static void operate_delay(const struct call *call, uint64_t ms) {
    echo(call, ms, call->slot->chunks);
}

static void operate_chunks(const struct call *call, uint64_t count) {
    echo(call, call->slot->delay_ms, count);
}

static void operate_stubborn(const struct call *call, uint64_t ms) {
    sleep_ns(ms * NS_PER_MS);
    echo_as_configured(call);
}

static void operate_hang(const struct call *call, uint64_t none) {
    (void)call, (void)none;
    hang();
}

static void operate_crash(const struct call *call, uint64_t none) {
    (void)call, (void)none;
    abort();
}

static void operate_exit(const struct call *call, uint64_t status) {
    (void)call;
    exit((int)status);
}

static void operate_fail(const struct call *call, uint64_t none) {
    (void)none;
    fail(call, POOLGATE_FAILED, "failed as asked");
}

static void operate_invalid(const struct call *call, uint64_t none) {
    (void)none;
    fail(call, POOLGATE_INVALID_INPUT, "called invalid as asked");
}

/* On a thread of the gateway, descriptor 3 may be anything: only the worker host's is fair game. */
static bool has_control_socket(void) {
    int domain = 0;
    socklen_t bytes = sizeof domain;
    return strcmp(program_invocation_short_name, "poolgate-worker") == 0 &&
           getsockopt(CONTROL_SOCKET, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
           domain == AF_UNIX;
}

static void operate_garbage(const struct call *call, uint64_t none) {
    (void)none;
    if (!has_control_socket()) {
        fail(call, POOLGATE_UNSUPPORTED, "operation: garbage needs isolation: process");
        return;
    }
    unsigned char noise[4096];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)next_random(call->slot);
    noise[0] = 0xff; /* no frame begins so */
    if (send(CONTROL_SOCKET, noise, sizeof noise, MSG_NOSIGNAL) < 0) {
        fail(call, POOLGATE_FAILED, "the control socket takes nothing");
        return;
    }
    echo_as_configured(call);
}

static void operate_stderr(const struct call *call, uint64_t kib) {
    for (uint64_t i = 0; i < kib * 16 && !poolgate_cancelled(call->reply); i++)
        fprintf(stderr, "echo: line %022" PRIu64 " of a flood that was asked for\n", i);
    echo_as_configured(call);
}

static void release(void *data, void *owner) {
    (void)owner;
    free(data);
}

static void operate_size(const struct call *call, uint64_t bytes) {
    unsigned char *pattern = malloc(bytes > 0 ? bytes : 1);
    if (pattern == NULL) {
        fail(call, POOLGATE_FAILED, "out of memory");
        return;
    }
    for (size_t i = 0; i < bytes; i++) pattern[i] = (unsigned char)(i % PATTERN_PERIOD);
    poolgate_reply_take(call->reply, "application/octet-stream", pattern, bytes, release, NULL);
}

static void operate_meta(const struct call *call, uint64_t none) {
    (void)none;
    char number[16];
    snprintf(number, sizeof number, "%" PRIu32, call->slot->number);
    poolgate_reply_meta(call->reply, "echo-slot", number);
    if (call->request->traceparent[0] != '\0')
        poolgate_reply_meta(call->reply, "echo-traceparent", call->request->traceparent);
    echo_as_configured(call);
}

/* number_max 0: the verb stands alone. */
static const struct operation {
    const char *verb, *number_name;
    uint64_t number_min, number_max;
    void (*operate)(const struct call *call, uint64_t number);
} operations[] = {
    {"delay", "MS", 0, DAY_MS, operate_delay},
    {"stubborn", "MS", 0, DAY_MS, operate_stubborn},
    {"hang", NULL, 0, 0, operate_hang},
    {"crash", NULL, 0, 0, operate_crash},
    {"exit", "STATUS", 0, 255, operate_exit},
    {"fail", NULL, 0, 0, operate_fail},
    {"invalid", NULL, 0, 0, operate_invalid},
    {"garbage", NULL, 0, 0, operate_garbage},
    {"stderr", "KIB", 0, MAX_STDERR_KIB, operate_stderr},
    {"chunks", "N", 1, MAX_CHUNKS, operate_chunks},
    {"size", "BYTES", 0, MAX_SIZE_BYTES, operate_size},
    {"meta", NULL, 0, 0, operate_meta},
};
#define OPERATIONS_COUNT (sizeof operations / sizeof operations[0])

/* Decimal digits and nothing else, within min and max. */
static bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    *out = 0;
    if (*text == '\0') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (*out > (UINT64_MAX - 9) / 10) return false;
        *out = *out * 10 + (uint64_t)(*text - '0');
    }
    return *text == '\0' && *out >= min && *out <= max;
}

static const struct operation *find_operation(const char *text, uint64_t *number) {
    *number = 0;
    size_t verb_bytes = strcspn(text, ":");
    for (size_t i = 0; i < OPERATIONS_COUNT; i++) {
        const struct operation *candidate = &operations[i];
        if (strlen(candidate->verb) != verb_bytes ||
            strncmp(candidate->verb, text, verb_bytes) != 0)
            continue;
        if (candidate->number_name == NULL) return text[verb_bytes] == '\0' ? candidate : NULL;
        if (text[verb_bytes] == '\0') return NULL;
        return read_number(text + verb_bytes + 1, candidate->number_min, candidate->number_max,
                           number)
                   ? candidate
                   : NULL;
    }
    return NULL;
}

static void refuse_operation(const struct call *call) {
    char message[MESSAGE_BYTES];
    size_t used = (size_t)snprintf(message, sizeof message, "operation: not known; allowed:");
    for (size_t i = 0; i < OPERATIONS_COUNT && used < sizeof message; i++) {
        const struct operation *known = &operations[i];
        const char *comma = i == 0 ? "" : ",";
        size_t room = sizeof message - used;
        used += (size_t)(known->number_name == NULL
                             ? snprintf(message + used, room, "%s %s", comma, known->verb)
                             : snprintf(message + used, room,
                                        "%s %s:%s (%" PRIu64 " to %" PRIu64 ")", comma, known->verb,
                                        known->number_name, known->number_min, known->number_max));
    }
    fail(call, POOLGATE_UNSUPPORTED, message);
}

static void handle_plain(const struct call *call) {
    struct slot *slot = call->slot;
    if (happens(slot, slot->crash_rate)) abort();
    if (happens(slot, slot->hang_rate)) hang();
    if (happens(slot, slot->fail_rate)) {
        fail(call, POOLGATE_FAILED, "failed by chance (fail_rate)");
        return;
    }
    echo_as_configured(call);
}

static void log_beginning(const struct slot *slot, const struct poolgate_request *request) {
    char line[MESSAGE_BYTES];
    if (slot->log < 0) return;
    int bytes = snprintf(line, sizeof line, "%.200s %" PRIu32 " %" PRIu64 " %" PRIu64 "\n",
                         request->request_id, slot->number, now_ns(), request->timeout_ns);
    if (write(slot->log, line, (size_t)bytes) != bytes) abort(); /* a ledger has no gaps */
}

static void handle(void *state, const struct poolgate_request *request,
                   struct poolgate_reply *reply) {
    struct call call = {.slot = state, .request = request, .reply = reply};
    call.slot->requests++;
    log_beginning(call.slot, request);
    if (call.slot->requests == call.slot->exit_on) exit(EXIT_ON_STATUS);
    if (request->operation[0] == '\0') {
        handle_plain(&call);
        return;
    }
    uint64_t number;
    const struct operation *operation = find_operation(request->operation, &number);
    if (operation == NULL) {
        refuse_operation(&call);
    } else {
        operation->operate(&call, number);
    }
}

static void handle_batch(void *state, const struct poolgate_request *requests,
                         struct poolgate_reply *replies, size_t count) {
    char number[24];
    snprintf(number, sizeof number, "%zu", count);
    for (size_t i = 0; i < count; i++) {
        poolgate_reply_meta(&replies[i], "Batch", number);
        handle(state, &requests[i], &replies[i]);
    }
}

/* ---- life ---- */

static bool read_rate(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= 0 && *out <= 1;
}

static int open_log(struct slot *slot, const char *path, char *error) {
    slot->log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (slot->log >= 0) return 0;
    snprintf(error, POOLGATE_ERROR_BYTES, "log: cannot open %.100s: %s", path, strerror(errno));
    return -1;
}

static int set_argument(struct slot *slot, const struct poolgate_pair *pair, char *error) {
    const struct {
        const char *name;
        double *rate; /* or: */
        uint64_t *number, number_min, number_max;
    } arguments[] = {
        {"fail_rate", &slot->fail_rate, NULL, 0, 0},
        {"crash_rate", &slot->crash_rate, NULL, 0, 0},
        {"hang_rate", &slot->hang_rate, NULL, 0, 0},
        {"delay_ms", NULL, &slot->delay_ms, 0, DAY_MS},
        {"chunks", NULL, &slot->chunks, 1, MAX_CHUNKS},
        {"load_ms", NULL, &slot->load_ms, 0, DAY_MS},
        {"load_fail", NULL, &slot->load_fail, 0, 1},
        {"exit_on", NULL, &slot->exit_on, 0, INT64_MAX},
        {"check_fail", NULL, &slot->check_fail, 0, 1},
    };
    if (strcmp(pair->name, "log") == 0) return open_log(slot, pair->value, error);
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        if (strcmp(arguments[i].name, pair->name) != 0) continue;
        if (arguments[i].rate != NULL) {
            if (read_rate(pair->value, arguments[i].rate)) return 0;
            snprintf(error, POOLGATE_ERROR_BYTES, "%s: not allowed; allowed: " RATE_TEXT,
                     pair->name);
            return -1;
        }
        if (read_number(pair->value, arguments[i].number_min, arguments[i].number_max,
                        arguments[i].number))
            return 0;
        snprintf(error, POOLGATE_ERROR_BYTES,
                 "%s: not allowed; allowed: a whole number from %" PRIu64 " to %" PRIu64,
                 pair->name, arguments[i].number_min, arguments[i].number_max);
        return -1;
    }
    snprintf(error, POOLGATE_ERROR_BYTES, "%.64s: no such argument; allowed: " ARGUMENTS,
             pair->name);
    return -1;
}

static int load(const struct poolgate_args *args, void **state, char error[POOLGATE_ERROR_BYTES]) {
    *state = NULL;
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL) {
        snprintf(error, POOLGATE_ERROR_BYTES, "out of memory");
        return -1;
    }
    slot->number = args->slot;
    slot->random = now_ns() ^ ((uint64_t)args->slot << 48);
    slot->chunks = 1;
    slot->log = -1;
    for (size_t i = 0; i < args->pairs_count; i++)
        if (set_argument(slot, &args->pairs[i], error) != 0) goto failed;
    sleep_ns(slot->load_ms * NS_PER_MS);
    if (slot->load_fail) {
        snprintf(error, POOLGATE_ERROR_BYTES, "load_fail: failed as asked");
        goto failed;
    }
    *state = slot;
    return 0;
failed:
    if (slot->log >= 0) close(slot->log);
    free(slot);
    return -1;
}

static int check(void *state, char error[POOLGATE_ERROR_BYTES]) {
    const struct slot *slot = state;
    if (slot->check_fail == 0) return 0;
    snprintf(error, POOLGATE_ERROR_BYTES, "check_fail: failed as asked");
    return -1;
}

static void unload(void *state) {
    struct slot *slot = state;
    if (slot->log >= 0) close(slot->log);
    free(slot);
}

static const struct poolgate_worker worker = {
    .abi = POOLGATE_WORKER_ABI,
    .struct_bytes = sizeof(struct poolgate_worker),
    .name = "echo",
    .version = POOLGATE_VERSION,
    .load = load,
    .handle = handle,
    .handle_batch = handle_batch,
    .check = check,
    .unload = unload,
};

const struct poolgate_worker *poolgate_worker_entry(void) {
    return &worker;
}
