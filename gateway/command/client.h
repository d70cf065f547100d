/* client - one HTTP request from a command to a running gateway.
 * thread: main.
 * owns:   the captured text until client_free.
 * fails:  client_send: false, with one line on stderr, when there was no answer at all. */
#ifndef GATEWAY_COMMAND_CLIENT_H
#define GATEWAY_COMMAND_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* PEM files. NULL: whom the machine trusts; no certificate of our own. */
struct client_tls {
    const char *ca, *cert, *key;
};

struct client {
    const char *url; /* of the gateway; NULL: POOLGATE_URL, else http://127.0.0.1:8080 */
    char path[512];
    struct client_tls tls;      /* for an https:// URL */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    FILE *body;                 /* sent as it is read; NULL: a GET */
    int64_t body_bytes;         /* -1: not known before it ends */
    FILE *out;                  /* gets the body of a 200; NULL: it is captured */
    FILE *timing;               /* gets the headers that tell how it went; may be NULL */

    /* The answer. */
    long status;
    char *text; /* what was captured; ends with a NUL; NULL: nothing */
    size_t text_bytes;
};

/* The options that fill it, by these letters; and their lines of a usage text. */
#define CLIENT_TLS_OPTIONS                                                                         \
    {"ca", required_argument, NULL, 'A'}, {"cert", required_argument, NULL, 'C'}, {                \
        "key", required_argument, NULL, 'K'                                                        \
    }
#define CLIENT_TLS_USAGE                                                                           \
    "  --ca FILE          with https://: whom to trust instead of the machine's authorities\n"     \
    "  --cert FILE        the certificate to show, and --key FILE its private key\n"
void client_tls_option(struct client_tls *tls, int option, const char *value);
/* What POOLGATE_KEY says, never the command line, which everybody on the machine can read; or NULL. */
const char *client_key(void);
bool client_send(struct client *client);
/* Writes what a problem document says, or the text itself, as one line. */
void client_explain(const struct client *client, FILE *out);
void client_free(struct client *client);

#endif
