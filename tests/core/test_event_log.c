#include "core/base/log.h"
#include "core/event_log.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES ((size_t)1024 * 1024)

/* A stream with the listener under test, and a log that goes to a file. */
struct scene {
    FILE *file;
    struct event_stream *stream;
    struct event_log *log;
    char *text; /* what was written, without the times */
};

static struct scene scene_open(enum log_level level) {
    struct scene scene = {.file = tmpfile()};
    ck_assert_ptr_nonnull(scene.file);
    ck_assert_int_eq(log_open(fileno(scene.file), level, LOG_TEXT), OK);
    ck_assert_int_eq(event_stream_open(&scene.stream), OK);
    ck_assert_int_eq(event_log_open(&scene.log, scene.stream), OK);
    return scene;
}

/* Ends the listener and reads what it has written. */
static void read_lines(struct scene *scene) {
    event_log_close(scene->log);
    event_stream_close(scene->stream);
    log_close();
    scene->text = calloc(1, TEXT_BYTES);
    char line[4096], *end = scene->text;
    rewind(scene->file);
    while (fgets(line, sizeof line, scene->file) != NULL) {
        const char *rest = strchr(line, ' ') + 1; /* behind time=… */
        size_t bytes = strlen(rest);
        ck_assert_uint_lt((size_t)(end - scene->text) + bytes, TEXT_BYTES);
        memcpy(end, rest, bytes);
        end += bytes;
    }
    fclose(scene->file);
}

static struct happening transition(const char *from, const char *to, const char *why) {
    struct happening happening = {.kind = HAPPENING_SLOT,
                                  .slot = 2,
                                  .number = 77,
                                  .from = from,
                                  .to = to,
                                  .pool = "ocr",
                                  .error = "what the worker said"};
    snprintf(happening.why, sizeof happening.why, "%s", why);
    return happening;
}

START_TEST(a_transition_is_the_line_that_it_always_was) {
    struct scene scene = scene_open(LOG_DEBUG);
    struct happening ready = transition("loading", "ready", "loaded");
    struct happening failed = transition("processing", "failed", "crashed");
    struct happening idle = transition("ready", "idle", "quiet");
    event_stream_emit(scene.stream, &ready);
    event_stream_emit(scene.stream, &failed);
    event_stream_emit(scene.stream, &idle);
    struct happening again = transition("idle", "ready", "request");
    event_stream_emit(scene.stream, &again);
    struct happening broken = transition("idle", "failed", "ping_missed");
    event_stream_emit(scene.stream, &broken);
    struct happening gone = transition("idle", "evicting", "scale_down");
    event_stream_emit(scene.stream, &gone);
    read_lines(&scene);
    ck_assert_str_eq(scene.text,
                     "level=info msg=slot slot=ocr/2 state=ready why=loaded pid=77\n"
                     "level=warn msg=slot slot=ocr/2 state=failed why=crashed pid=77 "
                     "error=\"what the worker said\"\n"
                     "level=debug msg=slot slot=ocr/2 state=idle why=quiet pid=77\n"
                     "level=debug msg=slot slot=ocr/2 state=ready why=request pid=77\n"
                     "level=warn msg=slot slot=ocr/2 state=failed why=ping_missed pid=77 "
                     "error=\"what the worker said\"\n"
                     "level=info msg=slot slot=ocr/2 state=evicting why=scale_down pid=77\n");
    free(scene.text);
}
END_TEST

START_TEST(what_else_happens_is_a_line_with_what_its_kind_has) {
    struct scene scene = scene_open(LOG_INFO);
    struct happening happenings[] = {
        {.kind = HAPPENING_EVICTION,
         .slot = 0,
         .pool = "a",
         .why = "ocr needs room",
         .number = 4096},
        {.kind = HAPPENING_BREAKER,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .from = "closed",
         .to = "open",
         .why = "5 failures in a row"},
        {.kind = HAPPENING_BREAKER,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .from = "half_open",
         .to = "closed"},
        {.kind = HAPPENING_PRESSURE,
         .slot = HAPPENING_NO_SLOT,
         .from = "high",
         .to = "critical",
         .number = 99},
        {.kind = HAPPENING_SCALE,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .number = 3,
         .why = "work waits"},
        {.kind = HAPPENING_QUARANTINE,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .request = "r1",
         .from = "",
         .to = "buried",
         .why = "crashed 2 workers"},
        {.kind = HAPPENING_QUARANTINE,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .request = "r2",
         .from = "buried",
         .to = "kicked",
         .why = "r1"},
        {.kind = HAPPENING_QUARANTINE,
         .slot = HAPPENING_NO_SLOT,
         .pool = "a",
         .request = "r2",
         .from = "kicked",
         .to = "quarantined",
         .why = "again"},
        {.kind = HAPPENING_ALARM, .slot = 1, .pool = "a", .why = "free beside work"},
        {.kind = HAPPENING_REQUEST_STARTED, .slot = 1, .pool = "a", .request = "r1"},
    };
    for (size_t i = 0; i < sizeof happenings / sizeof happenings[0]; i++)
        event_stream_emit(scene.stream, &happenings[i]);
    read_lines(&scene);
    ck_assert_str_eq(
        scene.text,
        "level=info msg=eviction slot=a/0 why=\"ocr needs room\" bytes=4096\n"
        "level=warn msg=breaker pool=a from=closed to=open why=\"5 failures in a row\"\n"
        "level=info msg=breaker pool=a from=half_open to=closed\n"
        "level=warn msg=pressure from=high to=critical used_bytes=99\n"
        "level=info msg=scale pool=a why=\"work waits\" wanted=3\n"
        "level=warn msg=quarantine pool=a request=r1 to=buried why=\"crashed 2 workers\"\n"
        "level=info msg=quarantine pool=a request=r2 from=buried to=kicked why=r1\n"
        "level=warn msg=quarantine pool=a request=r2 from=kicked to=quarantined why=again\n"
        "level=alert msg=alarm slot=a/1 why=\"free beside work\"\n");
    free(scene.text);
}
END_TEST

START_TEST(single_requests_are_not_wanted) {
    struct scene scene = scene_open(LOG_INFO);
    ck_assert(event_stream_wants(scene.stream, HAPPENING_SLOT));
    ck_assert(!event_stream_wants(scene.stream, HAPPENING_TURN));
    ck_assert(!event_stream_wants(scene.stream, HAPPENING_REQUEST_STARTED));
    ck_assert(!event_stream_wants(scene.stream, HAPPENING_REQUEST_COMPLETED));
    ck_assert(!event_stream_wants(scene.stream, HAPPENING_REQUEST_FAILED));
    read_lines(&scene);
    ck_assert_str_eq(scene.text, "");
    free(scene.text);
}
END_TEST

/* The number behind the last `count=` of each line about losses, added up; and the other lines. */
static void add_up(const char *text, uint64_t *lost, uint64_t *lines) {
    *lost = *lines = 0;
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *said = "level=warn msg=\"events lost\" count=";
        if (strncmp(line, said, strlen(said)) == 0)
            *lost += strtoull(line + strlen(said), NULL, 10);
        else
            (*lines)++;
    }
}

START_TEST(what_the_listener_loses_is_written_down) {
    enum { EVENTS = 200000 };
    struct scene scene = scene_open(LOG_INFO);
    struct happening ready = transition("loading", "ready", "loaded");
    struct happening idle = transition("ready", "idle", "quiet"); /* no line at this level */
    for (int i = 0; i < EVENTS; i++) event_stream_emit(scene.stream, i < 100 ? &ready : &idle);
    uint64_t emitted_lost = event_stream_lost(scene.stream), lost, lines;
    read_lines(&scene);
    add_up(scene.text, &lost, &lines);
    ck_assert_uint_eq(lost, emitted_lost);
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_eq(lines, 100);
    free(scene.text);
}
END_TEST

SUITE("core/event_log", 30, a_transition_is_the_line_that_it_always_was,
      what_else_happens_is_a_line_with_what_its_kind_has, single_requests_are_not_wanted,
      what_the_listener_loses_is_written_down)
