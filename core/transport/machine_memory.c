#include "core/transport/machine_memory.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Above this a number is the word for "no limit" of cgroups version 1, or nonsense. */
#define MOST_BYTES (UINT64_C(1) << 56)

/* --- files of numbers ---------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static FILE *open_file(const char *format, ...) {
    char path[PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return length > 0 && length < PATH_MAX ? fopen(path, "re") : NULL;
}

/* Digits after blanks, in units of so many bytes. scanf would take a sign, and overflow. */
static bool parse_bytes(const char *text, uint64_t unit, uint64_t *out) {
    uint64_t number = 0;
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (uint64_t)(*text - '0');
        if (number > MOST_BYTES / unit) return false;
    }
    *out = number * unit;
    return true;
}

static uint64_t fewer(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The value of the line that begins with the key, which ends with its separator. Closes the file. */
static bool find_field(FILE *file, const char *key, uint64_t unit, uint64_t *out) {
    char *line = NULL;
    size_t room = 0, length = strlen(key);
    bool found = false;
    if (file == NULL) return false;
    while (!found && getline(&line, &room, file) > 0)
        found = strncmp(line, key, length) == 0 && parse_bytes(line + length, unit, out);
    free(line);
    fclose(file);
    return found;
}

/* A file of one number. */
static bool read_bytes(FILE *file, uint64_t *out) {
    return find_field(file, "", 1, out);
}

/* --- where this process's cgroup is --------------------------------------------------------------- */

enum version { CGROUP_1, CGROUP_2 };

/* The cgroup as a folder, and how much of that is where the hierarchy is mounted; the folders between
 * are the cgroups above it. */
struct cgroup {
    char folder[PATH_MAX];
    size_t mounted;
};

static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

/* "4:memory:/path", "0::/path". */
static bool find_path(enum version version, char out[PATH_MAX], const char *root) {
    FILE *file = open_file("%s/proc/self/cgroup", root);
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    if (file == NULL) return false;
    while (!found && getline(&line, &room, file) > 0) {
        char *rest = line, *number = strsep(&rest, ":"), *controllers = strsep(&rest, ":");
        if (rest == NULL || rest[0] != '/') continue;
        found = version == CGROUP_2 ? strcmp(number, "0") == 0 && controllers[0] == '\0'
                                    : has_word(controllers, "memory");
        rest[strcspn(rest, "\n")] = '\0';
        if (found) found = snprintf(out, PATH_MAX, "%s", rest) < PATH_MAX;
    }
    free(line);
    fclose(file);
    return found;
}

/* mountinfo writes blanks, line ends and backslashes as three octal digits. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                       from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        *to =
            escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += escaped ? 4 : 1;
    }
    *to = '\0';
}

struct mount {
    char *top, *point; /* the cgroup that is mounted, and where; in the line */
};

/* "36 35 98:0 /top /point rw,noatime master:1 - cgroup2 source rw,memory": any number of fields stands
 * before the dash. */
static bool parse_mount(char *line, enum version version, struct mount *out) {
    char *rest = strstr(line, " - "), *fields = line;
    if (rest == NULL) return false;
    *rest = '\0';
    rest += 3;
    rest[strcspn(rest, "\n")] = '\0';
    for (int i = 0; i < 3; i++) strsep(&fields, " ");
    out->top = strsep(&fields, " ");
    out->point = strsep(&fields, " ");
    char *type = strsep(&rest, " ");
    strsep(&rest, " ");
    if (out->point == NULL || rest == NULL) return false;
    unescape(out->top);
    unescape(out->point);
    if (version == CGROUP_2) return strcmp(type, "cgroup2") == 0;
    return strcmp(type, "cgroup") == 0 && has_word(rest, "memory");
}

/* What of a cgroup's path lies below a mount; NULL when it cannot be seen there. */
static const char *below(const struct mount *mount, const char *path) {
    size_t length = strcmp(mount->top, "/") == 0 ? 0 : strlen(mount->top);
    bool inside = strncmp(path, mount->top, length) == 0 &&
                  (path[length] == '/' || path[length] == '\0') && strstr(path, "/..") == NULL;
    return inside ? path + length : NULL;
}

static bool put_cgroup(struct cgroup *out, const char *root, const char *point, const char *path) {
    int mounted = snprintf(out->folder, sizeof out->folder, "%s%s", root, point);
    if (mounted < 0 || mounted >= PATH_MAX) return false;
    out->mounted = (size_t)mounted;
    size_t room = sizeof out->folder - out->mounted;
    return snprintf(out->folder + mounted, room, "%s", path) < (int)room;
}

/* In a container the path may be the host's, and the mount all that can be seen: then it is the cgroup.
 * Of several mounts the first that shows the path is taken, else the first. */
static bool find_cgroup(enum version version, struct cgroup *out, const char *root) {
    char path[PATH_MAX];
    if (!find_path(version, path, root)) return false;
    FILE *file = open_file("%s/proc/self/mountinfo", root);
    if (file == NULL) return false;
    char *line = NULL;
    size_t room = 0;
    bool found = false, seen = false;
    while (!seen && getline(&line, &room, file) > 0) {
        struct mount mount;
        if (!parse_mount(line, version, &mount)) continue;
        const char *rest = below(&mount, path);
        seen = rest != NULL;
        if (seen || !found) found = put_cgroup(out, root, mount.point, seen ? rest : "");
        seen = seen && found;
    }
    free(line);
    fclose(file);
    return found;
}

/* The cgroup above; false at the top of what is mounted. */
static bool climb(struct cgroup *cgroup) {
    char *last = strrchr(cgroup->folder + cgroup->mounted, '/');
    if (last == NULL) return false;
    *last = '\0';
    return true;
}

/* --- what it says --------------------------------------------------------------------------------- */

/* Pages of files that nobody has touched lately are counted as used, and are given back at once. */
static uint64_t used_in(const char *folder, const char *usage, const char *inactive) {
    uint64_t used = 0, cached = 0;
    if (!read_bytes(open_file("%s/%s", folder, usage), &used)) return 0;
    find_field(open_file("%s/memory.stat", folder), inactive, 1, &cached);
    return used - fewer(used, cached);
}

/* Of equal limits the one with more in it binds. */
static void take_if_smaller(struct machine_memory *memory, uint64_t limit, uint64_t used) {
    bool same = limit == memory->limit_bytes;
    if (limit == 0 || (memory->limit_bytes != 0 && limit > memory->limit_bytes)) return;
    if (!same || used > memory->used_bytes) memory->used_bytes = used;
    memory->limit_bytes = limit;
}

static void look_into_2(struct machine_memory *memory, const char *folder) {
    uint64_t limit = 0;
    read_bytes(open_file("%s/memory.max", folder), &limit);
    take_if_smaller(memory, limit, used_in(folder, "memory.current", "inactive_file "));
}

/* The statistics know the smallest limit above, even of cgroups that cannot be seen from here. */
static void look_into_1(struct machine_memory *memory, const char *folder) {
    uint64_t limit = MOST_BYTES, above = MOST_BYTES;
    read_bytes(open_file("%s/memory.limit_in_bytes", folder), &limit);
    find_field(open_file("%s/memory.stat", folder), "hierarchical_memory_limit ", 1, &above);
    limit = fewer(limit, above);
    if (limit < MOST_BYTES)
        take_if_smaller(memory, limit,
                        used_in(folder, "memory.usage_in_bytes", "total_inactive_file "));
}

static void read_machine(struct machine_memory *memory, const char *root) {
    uint64_t available = 0;
    find_field(open_file("%s/proc/meminfo", root), "MemTotal:", 1024, &memory->limit_bytes);
    if (find_field(open_file("%s/proc/meminfo", root), "MemAvailable:", 1024, &available))
        memory->used_bytes = memory->limit_bytes - fewer(memory->limit_bytes, available);
}

/* "some avg10=1.23 avg60=…". By hand, since the point of a float is the locale's. */
static double read_stall(FILE *file) {
    unsigned whole = 0, hundredths = 0;
    if (file == NULL) return -1;
    int fields = fscanf(file, "some avg10=%3u.%2u", &whole, &hundredths);
    fclose(file);
    if (fields != 2 || whole > 100 || hundredths > 99) return -1;
    return whole + hundredths / 100.0;
}

void machine_memory_read(struct machine_memory *out, const char *root) {
    struct cgroup cgroup;
    *out = (struct machine_memory){.stall_percent = -1};
    read_machine(out, root);
    if (find_cgroup(CGROUP_1, &cgroup, root)) {
        do look_into_1(out, cgroup.folder);
        while (climb(&cgroup));
    }
    if (find_cgroup(CGROUP_2, &cgroup, root)) {
        do {
            look_into_2(out, cgroup.folder);
            if (out->stall_percent < 0)
                out->stall_percent = read_stall(open_file("%s/memory.pressure", cgroup.folder));
        } while (climb(&cgroup));
    }
    if (out->stall_percent < 0)
        out->stall_percent = read_stall(open_file("%s/proc/pressure/memory", root));
}

uint64_t machine_memory_of(pid_t pid, const char *root) {
    uint64_t bytes = 0;
    if (find_field(open_file("%s/proc/%d/smaps_rollup", root, (int)pid), "Pss:", 1024, &bytes))
        return bytes;
    return machine_memory_resident(pid, root);
}

uint64_t machine_memory_resident(pid_t pid, const char *root) {
    FILE *file = open_file("%s/proc/%d/statm", root, (int)pid);
    char text[128];
    uint64_t bytes = 0;
    if (file == NULL) return 0;
    const char *pages = fgets(text, sizeof text, file) != NULL ? strchr(text, ' ') : NULL;
    fclose(file);
    if (pages == NULL || !parse_bytes(pages, (uint64_t)sysconf(_SC_PAGESIZE), &bytes)) return 0;
    return bytes;
}
