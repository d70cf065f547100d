#include "core/transport/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NODE_FOLDER "/sys/devices/system/node"
#define PATH_BYTES  256
#define LIST_BYTES  4096 /* the kernel's own bound for such a file */

static struct machine the_machine;
static pthread_once_t read_once = PTHREAD_ONCE_INIT;

static ssize_t read_again(int fd, char *out, size_t bytes) {
    ssize_t got;
    do got = read(fd, out, bytes);
    while (got < 0 && errno == EINTR);
    return got;
}

/* A file with one list, which may be empty. */
static struct cpus read_list(const char *path) {
    char text[LIST_BYTES];
    struct cpus list = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return list;
    ssize_t got = read_again(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return list;
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)cpus_parse(&list, text);
    return list;
}

static void read_node(struct machine *machine, const char *node_folder, uint32_t node) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/node%u/cpulist", node_folder, node);
    struct cpus cpus = read_list(path);
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++)
        if (cpus_has(&cpus, cpu)) machine->node_of[cpu] = (int16_t)node;
}

void topology_read(struct machine *out, const char *node_folder) {
    char path[PATH_BYTES];
    (void)cpus_read_own(&out->usable);
    for (uint32_t cpu = 0; cpu < CPUS_MOST; cpu++) out->node_of[cpu] = NODE_UNKNOWN;
    /* Nodes are numbered like processors. One without memory is no place for any. */
    snprintf(path, sizeof path, "%s/has_memory", node_folder);
    struct cpus nodes = read_list(path);
    for (uint32_t node = 0; node < CPUS_MOST; node++)
        if (cpus_has(&nodes, node)) read_node(out, node_folder, node);
}

static void read_machine(void) {
    topology_read(&the_machine, NODE_FOLDER);
}

const struct machine *topology_machine(void) {
    pthread_once(&read_once, read_machine);
    return &the_machine;
}

enum outcome topology_place(struct placement *out, const struct pool_options *pool, uint32_t slot) {
    struct affinity affinity;
    *out = (struct placement){.cpu = -1, .node = NODE_UNKNOWN};
    enum outcome outcome = affinity_parse(&affinity, pool->cpus != NULL ? pool->cpus : "any");
    if (outcome != OK || affinity.kind == AFFINITY_ANY) return outcome;
    *out = affinity_place(&affinity, topology_machine(), slot, pool->slots_max);
    return OK;
}
