/* What the gateway sends to a worker's host: its link, and the calls that become of it. */
/* Before anything that has a macro of a name in it. */
#include "workers/host/call.h"

#include "tests/fuzz/fuzz.h"
#include "workers/host/link.h"

#include <sys/socket.h>
#include <unistd.h>

static void use(struct call *call) {
    const struct poolgate_request *request = &call->request;
    size_t sum = strlen(request->request_id) + strlen(request->content_type) +
                 strlen(request->operation) + strlen(request->traceparent);
    for (size_t i = 0; i < request->metadata_count; i++)
        sum += strlen(request->metadata[i].name) + strlen(request->metadata[i].value);
    for (size_t i = 0; i < request->body_bytes; i++) sum += ((const uint8_t *)request->body)[i];
    must(call->id != 0 && sum < SIZE_MAX);
}

static void take(struct link_frame *frame) {
    struct call *call = NULL;
    uint64_t id;
    if (frame->type != WIRE_REQUEST) return;
    if (call_create(&call, frame, &id) == OK) use(call);
    call_free(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int ends[2];
    struct link link;
    struct link_frame frame;
    if (size > 65536) return 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    must(size == 0 || write(ends[0], data, size) == (ssize_t)size);
    close(ends[0]);
    link_open(&link, ends[1]);
    /* A worker believes its gateway about lengths; here nobody has the memory for that. */
    link.reader.max_payload_bytes = 1 << 20;
    enum link_event event;
    while ((event = link_receive(&link, &frame)) == LINK_FRAME || event == LINK_NOTHING) {
        if (event == LINK_NOTHING) continue; /* the rest of what was written, then the end */
        take(&frame);
        link_frame_free(&frame);
    }
    if (event == LINK_BROKEN) must(link.why != NULL);
    link_release(&link);
    close(ends[1]);
    return 0;
}
