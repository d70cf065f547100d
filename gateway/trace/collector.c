#include "gateway/trace/collector.h"

#include "core/base/clock.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 2000L
#define TIMEOUT_MS 5000L
#define LOOK_MS    50 /* how often a send looks whether it is hurried */

struct collector {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    _Atomic uint64_t until_ns;
    char url[2048];
};

/* Nothing of its answer is of use. */
static size_t on_reply(char *data, size_t size, size_t count, void *owner) {
    (void)data, (void)owner;
    return size * count;
}

static void write_url(struct collector *collector, const char *address) {
    size_t bytes = strlen(address), path = strlen(COLLECTOR_PATH);
    while (bytes > 0 && address[bytes - 1] == '/') bytes--;
    bool whole = bytes > path && strncmp(address + bytes - path, COLLECTOR_PATH, path) == 0;
    snprintf(collector->url, sizeof collector->url, "%.*s%s", (int)bytes, address,
             whole ? "" : COLLECTOR_PATH);
}

static void set_options(struct collector *collector) {
    CURL *easy = collector->easy;
    curl_easy_setopt(easy, CURLOPT_URL, collector->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, collector->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "poolgate/" POOLGATE_VERSION);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a name that is still being looked up */
}

enum outcome collector_open(struct collector **out, const char *address) {
    *out = NULL;
    struct collector *collector = calloc(1, sizeof *collector);
    if (collector == NULL) return MEMORY_EXHAUSTED;
    collector->until_ns = CLOCK_NEVER;
    write_url(collector, address);
    collector->multi = curl_multi_init();
    collector->easy = curl_easy_init();
    collector->headers = curl_slist_append(NULL, "Content-Type: application/json");
    /* Without this a body of more than a mebibyte waits for a 100 that few collectors send. */
    struct curl_slist *more = curl_slist_append(collector->headers, "Expect:");
    if (collector->multi == NULL || collector->easy == NULL || more == NULL) {
        collector_close(collector);
        return MEMORY_EXHAUSTED;
    }
    set_options(collector);
    *out = collector;
    return OK;
}

void collector_close(struct collector *collector) {
    if (collector == NULL) return;
    curl_easy_cleanup(collector->easy);
    curl_multi_cleanup(collector->multi);
    curl_slist_free_all(collector->headers);
    free(collector);
}

void collector_hurry(struct collector *collector, uint64_t until_ns) {
    atomic_store(&collector->until_ns, until_ns);
}

/* False: it was hurried, or the library would not. *code: how the transfer ended. */
static bool perform(struct collector *collector, CURLcode *code) {
    int running = 1, left;
    do {
        if (curl_multi_perform(collector->multi, &running) != CURLM_OK) return false;
        if (running == 0) break;
        if (clock_now_ns() >= atomic_load(&collector->until_ns)) return false;
    } while (curl_multi_poll(collector->multi, NULL, 0, LOOK_MS, NULL) == CURLM_OK);
    const CURLMsg *message = curl_multi_info_read(collector->multi, &left);
    if (message == NULL) return false;
    *code = message->data.result;
    return true;
}

static enum delivery delivery_of(long status) {
    if (status >= 200 && status < 300) return DELIVERY_TAKEN;
    bool later = status == 429 || status == 502 || status == 503 || status == 504;
    return later ? DELIVERY_LATER : DELIVERY_REFUSED;
}

enum delivery collector_send(struct collector *collector, const char *body, size_t bytes,
                             char reason[COLLECTOR_REASON_BYTES]) {
    CURL *easy = collector->easy;
    CURLcode code = CURLE_OK;
    long status = 0;
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    curl_multi_add_handle(collector->multi, easy);
    bool ended = perform(collector, &code);
    if (ended && code == CURLE_OK) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(collector->multi, easy);
    if (status != 0) {
        snprintf(reason, COLLECTOR_REASON_BYTES, "HTTP %ld", status);
        return delivery_of(status);
    }
    snprintf(reason, COLLECTOR_REASON_BYTES, "%s",
             ended ? curl_easy_strerror(code) : "there was no time left");
    return DELIVERY_LATER;
}
