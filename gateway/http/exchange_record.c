#include "gateway/http/exchange_record.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#define CLIENT_BYTES 64 /* "[address]:port" */

static void write_address(const struct sockaddr *address, char out[CLIENT_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "";
    out[0] = '\0';
    if (address != NULL && address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(out, CLIENT_BYTES, "%s:%u", host, ntohs(four->sin_port));
    } else if (address != NULL && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(out, CLIENT_BYTES, "[%s]:%u", host, ntohs(six->sin6_port));
    }
}

static void write_client(const struct exchange *exchange, char out[CLIENT_BYTES]) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    write_address(info == NULL ? NULL : info->client_addr, out);
}

void exchange_record_ended(const struct exchange *exchange) {
    const struct observer *observer = exchange->front->observer;
    bool probe = exchange->handler != NULL && exchange->handler->probe;
    char client[CLIENT_BYTES] = "";
    if (observer_reads(observer, &exchange->course, probe)) write_client(exchange, client);
    const struct request_record record = {
        .frontend = FRONTEND_HTTP,
        .outcome = exchange_outcome(exchange),
        .probe = probe,
        .method = exchange->method,
        .route = exchange->match.path,
        .target = exchange->target,
        .request_id = exchange->live.id,
        .client = client,
        .arrived_ns = exchange->arrived_ns,
        .ended_ns = clock_now_ns(),
        .course = &exchange->course,
    };
    observer_ended(observer, &record);
}
