#include "gateway/process/privileges.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct identity {
    uid_t user;
    gid_t group;
    const char *name; /* NULL: it is a number, and in no further group */
};

bool privileges_are_roots(void) {
    return geteuid() == 0;
}

static bool is_public(const struct listen_address *listen) {
    return listen->text != NULL && *listen->text != '\0' && !listen->loopback;
}

static bool refuse_public(const char *key, const struct listen_address *listen, FILE *errors) {
    if (!is_public(listen)) return false;
    fprintf(errors,
            "poolgate: %s: %s can be reached from other machines and this is root, allowed is "
            "process.user: NAME, a loopback address, or process.allow_root: true\n",
            key, listen->text);
    return true;
}

bool privileges_allow(const struct config *config, FILE *errors) {
    bool named = config->process.user != NULL;
    if (!privileges_are_roots() || named || config->process.allow_root) return true;
    bool refused = refuse_public("http.listen", &config->http.listen, errors);
    refused |= refuse_public("grpc.listen", &config->grpc.listen, errors);
    refused |= refuse_public("admin.listen", &config->admin.listen, errors);
    return !refused;
}

static bool parse_id(const char *text, char end, unsigned *out, const char **rest) {
    char *stop;
    errno = 0;
    unsigned long number = strtoul(text, &stop, 10);
    if (*text < '0' || *text > '9' || errno != 0 || *stop != end || number >= UINT32_MAX)
        return false;
    *out = (unsigned)number;
    *rest = stop + 1;
    return true;
}

/* "65532:65532" needs no entry in any table of users. */
static bool find_identity(struct identity *out, const char *text, FILE *errors) {
    const char *rest = text;
    *out = (struct identity){0};
    if (parse_id(rest, ':', &out->user, &rest) && parse_id(rest, '\0', &out->group, &rest))
        return true;
    errno = 0;
    const struct passwd *entry = getpwnam(text);
    if (entry == NULL) {
        fprintf(
            errors,
            "poolgate: process.user: there is no user %s%s%s, allowed is a user of this machine or "
            "UID:GID\n",
            text, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
        return false;
    }
    *out = (struct identity){.user = entry->pw_uid, .group = entry->pw_gid, .name = text};
    return true;
}

/* The kernel says EINVAL behind its last capability. */
static void empty_bounding_set(void) {
    for (unsigned long capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;
}

static bool become(const struct identity *identity, FILE *errors) {
    empty_bounding_set();
    bool done = identity->name != NULL ? initgroups(identity->name, identity->group) == 0
                                       : setgroups(0, NULL) == 0;
    done = done && setresgid(identity->group, identity->group, identity->group) == 0 &&
           setresuid(identity->user, identity->user, identity->user) == 0;
    if (!done)
        fprintf(errors, "poolgate: process.user: cannot become user %u, group %u: %s\n",
                identity->user, identity->group, strerror(errno));
    assert(!done || setuid(0) != 0);
    return done;
}

/* What a service manager or the file's own capabilities gave us for binding. A filter of system calls may
 * refuse it: who runs us under one has not given us any. */
static void empty_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    (void)syscall(SYS_capset, &header, none);
}

/* Who is that user already has nothing to do. */
static bool take_on(const struct config *config, FILE *errors) {
    struct identity identity;
    const char *user = config->process.user;
    if (!find_identity(&identity, user, errors)) return false;
    if (identity.user == 0 && !config->process.allow_root) {
        fprintf(errors,
                "poolgate: process.user: %s is root, allowed is another user, or "
                "process.allow_root: true\n",
                user);
        return false;
    }
    if (identity.user == geteuid()) return true;
    if (privileges_are_roots()) return become(&identity, errors);
    fprintf(errors,
            "poolgate: process.user: only root can become %s, allowed is nothing or the user that "
            "starts it\n",
            user);
    return false;
}

bool privileges_drop(const struct config *config, FILE *errors) {
    if (config->process.user != NULL && !take_on(config, errors)) return false;
    if (!privileges_are_roots()) empty_capabilities();
    return true;
}
