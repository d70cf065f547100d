#include "gateway/command/client.h"
#include "gateway/command/command.h"

#include "core/base/request.h"
#include "gateway/grpc/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const char invoke_usage[] =
    "usage: poolgate invoke POOL [FILE|-] [OPTION]...\n\n"
    "Sends FILE (or stdin) to POOL and prints the answer; a problem goes to stderr, exit status "
    "1.\n\n"
    "  --type TYPE        content type; without it guessed from the name of FILE\n"
    "  --priority P       critical, high, normal, low or batch\n"
    "  --timeout MS       deadline in milliseconds\n"
    "  --operation OP     what the worker is to do, where it can do several things\n"
    "  --grpc             over gRPC instead of HTTP\n"
    "  --url URL          the gateway; without it POOLGATE_URL, else http://127.0.0.1:8080;\n"
    "                     with --grpc HOST:PORT or https://HOST:PORT, without it "
    "127.0.0.1:8081\n" CLIENT_TLS_USAGE "  -v, --verbose      the times and the slot, on stderr\n\n"
    "A key is taken from the environment: POOLGATE_KEY.\n";

#define DEFAULT_GRPC_ADDRESS "127.0.0.1:8081"

struct invocation {
    const char *pool, *file, *type, *priority, *timeout, *operation, *url;
    struct client_tls tls;
    bool verbose, grpc;
};

enum { OPTION_STREAM = 1000, OPTION_GRPC };

static const struct option options[] = {{"type", required_argument, NULL, 't'},
                                        {"priority", required_argument, NULL, 'p'},
                                        {"timeout", required_argument, NULL, 'm'},
                                        {"operation", required_argument, NULL, 'o'},
                                        {"url", required_argument, NULL, 'u'},
                                        {"verbose", no_argument, NULL, 'v'},
                                        CLIENT_TLS_OPTIONS,
                                        {"stream", no_argument, NULL, OPTION_STREAM},
                                        {"grpc", no_argument, NULL, OPTION_GRPC},
                                        {"help", no_argument, NULL, OPTION_HELP},
                                        {0}};

static int read_options(struct invocation *invocation, int argc, char **argv) {
    int status = -1, option;
    while ((option = command_option(argc, argv, ":hv", options, invoke_usage, &status)) != -1) {
        switch (option) {
        case 't': invocation->type = optarg; break;
        case 'p': invocation->priority = optarg; break;
        case 'm': invocation->timeout = optarg; break;
        case 'o': invocation->operation = optarg; break;
        case 'u': invocation->url = optarg; break;
        case 'v': invocation->verbose = true; break;
        case OPTION_GRPC: invocation->grpc = true; break;
        case OPTION_STREAM:
            return command_misuse("invoke", "%s is not available in this version",
                                  argv[optind - 1]);
        default: client_tls_option(&invocation->tls, option, optarg); break;
        }
    }
    if (status >= 0) return status;
    if (optind == argc) return command_misuse("invoke", "the name of a pool is missing");
    invocation->pool = argv[optind++];
    if (optind < argc) invocation->file = argv[optind++];
    if (optind < argc) return command_misuse("invoke", "unexpected argument %s", argv[optind]);
    return -1;
}

static const char *guess_type(const char *file) {
    static const struct {
        const char *suffix, *type;
    } types[] = {{".png", "image/png"},
                 {".jpg", "image/jpeg"},
                 {".jpeg", "image/jpeg"},
                 {".tif", "image/tiff"},
                 {".tiff", "image/tiff"},
                 {".json", "application/json"},
                 {".txt", "text/plain; charset=utf-8"}};
    const char *suffix = file == NULL ? NULL : strrchr(file, '.');
    for (size_t i = 0; suffix != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(suffix, types[i].suffix) == 0) return types[i].type;
    return "application/octet-stream";
}

static bool open_body(struct client *client, const char *file) {
    client->body = file == NULL || strcmp(file, "-") == 0 ? stdin : fopen(file, "rbe");
    client->body_bytes = -1;
    if (client->body == NULL) {
        fprintf(stderr, "poolgate: ");
        perror(file);
        return false;
    }
    struct stat info;
    bool known = fstat(fileno(client->body), &info) == 0 && S_ISREG(info.st_mode);
    if (known) client->body_bytes = (int64_t)info.st_size - (int64_t)ftell(client->body);
    return true;
}

static int send_invocation(const struct invocation *invocation, struct client *client) {
    char lines[4][256];
    const char *headers[6] = {0};
    const char *const values[][2] = {
        {"Content-Type",
         invocation->type != NULL ? invocation->type : guess_type(invocation->file)},
        {"Poolgate-Priority", invocation->priority},
        {"Poolgate-Timeout-Ms", invocation->timeout},
        {"Poolgate-Operation", invocation->operation},
    };
    size_t count = 0;
    for (size_t i = 0; i < 4; i++) {
        if (values[i][1] == NULL) continue;
        int bytes = snprintf(lines[count], sizeof lines[0], "%s: %s", values[i][0], values[i][1]);
        if (bytes >= (int)sizeof lines[0] || strpbrk(values[i][1], "\r\n") != NULL)
            return command_misuse("invoke", "%s cannot be %s", values[i][0], values[i][1]);
        headers[count] = lines[count];
        count++;
    }
    client->headers = headers;
    bool answered = client_send(client);
    client->headers = NULL;
    if (!answered) return EXIT_FAILURE;
    if (client->status == 200) return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    client_explain(client, stderr);
    return EXIT_FAILURE;
}

/* --- over gRPC --- */

static bool read_timeout(const char *text, uint64_t *timeout_ms) {
    char *end;
    *timeout_ms = text == NULL ? 0 : strtoull(text, &end, 10);
    return text == NULL || (text[0] >= '1' && text[0] <= '9' && *end == '\0');
}

/* The protocol counts from 1; 0 is not given. */
static bool read_priority(const char *text, unsigned *priority) {
    *priority = text == NULL ? 0 : (unsigned)priority_from_name(text) + 1;
    return *priority <= PRIORITY_COUNT;
}

static int invoke_over_grpc(const struct invocation *invocation, FILE *body) {
    struct rpc_client client = {
        .address = invocation->url != NULL ? invocation->url : DEFAULT_GRPC_ADDRESS,
        .tls_ca = invocation->tls.ca,
        .tls_cert = invocation->tls.cert,
        .tls_key = invocation->tls.key,
        .key = client_key(),
        .pool = invocation->pool,
        .content_type = invocation->type != NULL ? invocation->type : guess_type(invocation->file),
        .operation = invocation->operation,
        .body = body,
        .out = stdout,
        .timing = invocation->verbose ? stderr : NULL,
    };
    if (!read_timeout(invocation->timeout, &client.timeout_ms))
        return command_misuse("invoke", "%s is not a number of milliseconds", invocation->timeout);
    if (!read_priority(invocation->priority, &client.priority))
        return command_misuse("invoke", "%s is not a priority", invocation->priority);
    bool answered = rpc_client_invoke(&client);
    bool well = answered && client.status == 0 && fflush(stdout) == 0;
    if (answered && client.status != 0) rpc_client_explain(&client, stderr);
    rpc_client_free(&client);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int command_invoke(int argc, char **argv) {
    struct invocation invocation = {0};
    int status = read_options(&invocation, argc, argv);
    if (status >= 0) return status;
    struct client client = {.url = invocation.url, .tls = invocation.tls, .out = stdout};
    if (invocation.verbose) client.timing = stderr;
    assert(invocation.pool != NULL); /* read_options has refused a call without one */
    bool plain =
        strspn(invocation.pool, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(invocation.pool);
    if (!plain || strlen(invocation.pool) > 63)
        return command_misuse("invoke", "%s is not the name of a pool", invocation.pool);
    snprintf(client.path, sizeof client.path, "/v1/pools/%s/invoke", invocation.pool);
    if (!open_body(&client, invocation.file)) return EXIT_FAILURE;
    status = invocation.grpc ? invoke_over_grpc(&invocation, client.body)
                             : send_invocation(&invocation, &client);
    client_free(&client);
    if (client.body != stdin) fclose(client.body);
    return status;
}
