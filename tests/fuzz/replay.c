/* Gives every file of the folders to the target: one test each. A finding ends the process. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>

static void replay(const char *path) {
    fprintf(stderr, "%s\n", path);
    FILE *file = fopen(path, "rb");
    must(file != NULL);
    must(fseek(file, 0, SEEK_END) == 0);
    const long end = ftell(file);
    must(end >= 0 && fseek(file, 0, SEEK_SET) == 0);
    uint8_t *data = malloc((size_t)end + (end == 0)); /* its very size: a step outside is seen */
    must(data != NULL && fread(data, 1, (size_t)end, file) == (size_t)end);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)end);
    free(data);
}

static int replay_folder(const char *folder) {
    struct dirent **entries;
    int passed = 0;
    const int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) fprintf(stderr, "%s: %s\n", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            replay(path);
            passed++;
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return passed;
}

int main(int count, char **folders) {
    int passed = 0;
    for (int i = 1; i < count; i++) passed += replay_folder(folders[i]);
#ifdef FUZZ_CORPUS
    if (count == 1) passed = replay_folder(FUZZ_CORPUS);
#endif
    printf("%d passed, %d failed\n", passed, passed == 0);
    return passed == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
