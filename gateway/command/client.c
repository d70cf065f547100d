#include "gateway/command/client.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_URL        "http://127.0.0.1:8080"
#define CAPTURE_MOST_BYTES ((size_t)64 * 1024 * 1024)

struct transfer {
    struct client *client;
    CURL *curl;
};

static size_t capture(struct client *client, const char *data, size_t bytes) {
    if (bytes > CAPTURE_MOST_BYTES - client->text_bytes) return 0;
    char *text = realloc(client->text, client->text_bytes + bytes + 1);
    if (text == NULL) return 0;
    memcpy(text + client->text_bytes, data, bytes);
    client->text = text;
    client->text_bytes += bytes;
    text[client->text_bytes] = '\0';
    return bytes;
}

static size_t on_reply(char *data, size_t size, size_t count, void *owner) {
    struct transfer *transfer = owner;
    struct client *client = transfer->client;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &client->status);
    if (client->status != 200 || client->out == NULL) return capture(client, data, size * count);
    return fwrite(data, 1, size * count, client->out);
}

static size_t on_header(char *line, size_t size, size_t count, void *owner) {
    static const char *const shown[] = {"X-Request-Id:", "Poolgate-",
                                        "Server-Timing:", "Retry-After:"};
    const struct client *client = ((struct transfer *)owner)->client;
    for (size_t i = 0; client->timing != NULL && i < sizeof shown / sizeof shown[0]; i++)
        if (size * count > strlen(shown[i]) && strncasecmp(line, shown[i], strlen(shown[i])) == 0)
            fprintf(client->timing, "%.*s\n", (int)strcspn(line, "\r\n"), line);
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *owner) {
    struct transfer *transfer = owner;
    size_t bytes = fread(data, 1, size * count, transfer->client->body);
    return bytes == 0 && ferror(transfer->client->body) ? CURL_READFUNC_ABORT : bytes;
}

static const char *gateway_url(const struct client *client) {
    const char *url = client->url != NULL ? client->url : getenv("POOLGATE_URL");
    return url != NULL && url[0] != '\0' ? url : DEFAULT_URL;
}

void client_tls_option(struct client_tls *tls, int option, const char *value) {
    switch (option) {
    case 'A': tls->ca = value; break;
    case 'C': tls->cert = value; break;
    case 'K': tls->key = value; break;
    default: break;
    }
}

static void set_tls(CURL *curl, const struct client_tls *tls) {
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->ca != NULL) curl_easy_setopt(curl, CURLOPT_CAINFO, tls->ca);
    if (tls->cert != NULL) curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->cert);
    if (tls->key != NULL) curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->key);
}

static CURLcode perform(struct transfer *transfer, const char *url, struct curl_slist *headers) {
    CURL *curl = transfer->curl;
    const struct client *client = transfer->client;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    set_tls(curl, &client->tls);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "poolgate/" POOLGATE_VERSION);
    if (client->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)client->body_bytes);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer->client->status);
    return code;
}

const char *client_key(void) {
    const char *key = getenv("POOLGATE_KEY");
    return key != NULL && key[0] != '\0' && strpbrk(key, "\r\n") == NULL ? key : NULL;
}

static struct curl_slist *append_key(struct curl_slist *headers) {
    char line[256];
    const char *key = client_key();
    if (key == NULL) return headers;
    int bytes = snprintf(line, sizeof line, "Authorization: Bearer %s", key);
    if (bytes < (int)sizeof line) headers = curl_slist_append(headers, line);
    explicit_bzero(line, sizeof line);
    return headers;
}

bool client_send(struct client *client) {
    const char *base = gateway_url(client);
    size_t base_bytes = strlen(base);
    while (base_bytes > 0 && base[base_bytes - 1] == '/') base_bytes--;
    char url[2048];
    int bytes = snprintf(url, sizeof url, "%.*s%s", (int)base_bytes, base, client->path);
    if (bytes >= (int)sizeof url) {
        fprintf(stderr, "poolgate: the URL is too long\n");
        return false;
    }
    struct transfer transfer = {.client = client, .curl = curl_easy_init()};
    struct curl_slist *headers = NULL;
    for (const char *const *h = client->headers; h != NULL && *h != NULL; h++)
        headers = curl_slist_append(headers, *h);
    headers = append_key(headers);
    CURLcode code = transfer.curl == NULL ? CURLE_FAILED_INIT : perform(&transfer, url, headers);
    curl_slist_free_all(headers);
    curl_easy_cleanup(transfer.curl);
    /* An early refusal may cut our sending short: the answer counts. */
    if (code == CURLE_OK || (client->status >= 400 && client->text != NULL)) return true;
    fprintf(stderr, "poolgate: %.*s: %s\n", (int)base_bytes, base, curl_easy_strerror(code));
    return false;
}

void client_explain(const struct client *client, FILE *out) {
    const char *text = client->text != NULL ? client->text : "";
    json_t *problem = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *code = json_string_value(json_object_get(problem, "code"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    json_t *retry = json_object_get(problem, "retry_after_ms");
    if (code == NULL || detail == NULL) {
        fprintf(out, "poolgate: HTTP %ld: %s\n", client->status, text);
    } else {
        fprintf(out, "poolgate: %s: %s (HTTP %ld", code, detail, client->status);
        if (json_is_integer(retry))
            fprintf(out, ", retry in %lld ms", (long long)json_integer_value(retry));
        fprintf(out, ")\n");
    }
    json_decref(problem);
}

void client_free(struct client *client) {
    free(client->text);
    client->text = NULL;
}
