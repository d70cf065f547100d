#include "gateway/http/openapi.h"

#include "gateway/http/exchange.h"
#include "gateway/http/handlers.h"
#include "gateway/http/reply.h"

#include <string.h>

#define ETAG "\"" OPENAPI_TAG "\"" /* OPENAPI_FILE and OPENAPI_TAG: gateway/CMakeLists.txt */

/* The assembler takes the file in: no generated source, and nothing to find at run time. */
__asm__(".pushsection .rodata\n"
        ".global openapi_text\n"
        ".hidden openapi_text\n"
        "openapi_text:\n"
        ".incbin \"" OPENAPI_FILE "\"\n"
        ".hidden openapi_end\n"
        "openapi_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char openapi_end[];

size_t openapi_bytes(void) {
    return (size_t)(openapi_end - openapi_text);
}

bool openapi_tag_matches(const char *field, const char *etag) {
    static const char between[] = " \t,";
    size_t etag_bytes = strlen(etag);
    while (field != NULL && *(field += strspn(field, between)) != '\0') {
        if (*field == '*') return true;
        if (strncmp(field, "W/", 2) == 0) field += 2;
        if (strncmp(field, etag, etag_bytes) == 0) return true;
        if (*field != '"') return false;
        field = strchr(field + 1, '"'); /* a tag has no escapes */
        if (field != NULL) field++;
    }
    return false;
}

static enum MHD_Result on_openapi(struct exchange *exchange) {
    const char *known =
        MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "If-None-Match");
    bool same = openapi_tag_matches(known, ETAG);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        same ? 0 : openapi_bytes(), (char *)openapi_text, MHD_RESPMEM_PERSISTENT);
    if (response != NULL) {
        if (!same) MHD_add_response_header(response, "Content-Type", "application/yaml");
        MHD_add_response_header(response, "ETag", ETAG);
        MHD_add_response_header(response, "Cache-Control", "no-cache");
    }
    return reply_queue(exchange, same ? 304 : 200, response);
}

const struct handler handler_openapi = {.complete = on_openapi};
