/* spawn_fails - preloaded into the gateway: the first SPAWN_FAILS calls of posix_spawn fail, in turn with EAGAIN,
 * ENOENT and ENOMEM, as they do when processes, the program or memory are missing. */
#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *,
                     const posix_spawnattr_t *, char *const[], char *const[]);

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const words[],
                char *const environment[]) {
    static const int errors[] = {EAGAIN, ENOENT, ENOMEM};
    static atomic_int calls;
    const char *most = getenv("SPAWN_FAILS");
    int call = atomic_fetch_add(&calls, 1);
    if (most != NULL && call < strtol(most, NULL, 10)) return errors[call % 3];
    spawn_fn *real;
    *(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
    return real(pid, path, actions, attributes, words, environment);
}
