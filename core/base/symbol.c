#include "core/base/symbol.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An executable's file as it lies on the disk. */
struct image {
    const unsigned char *bytes;
    size_t size;
};

static struct image image_open(const char *path) {
    struct image image = {0};
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return image;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) image = (struct image){bytes, (size_t)status.st_size};
    }
    close(fd);
    return image;
}

static void image_close(struct image *image) {
    if (image->bytes != NULL) munmap((void *)(uintptr_t)image->bytes, image->size);
}

static const void *part(const struct image *image, size_t offset, size_t bytes) {
    if (offset > image->size || bytes > image->size - offset) return NULL;
    return image->bytes + offset;
}

static const ElfW(Shdr) *
    section(const struct image *image, const ElfW(Ehdr) * header, size_t index) {
    if (index >= header->e_shnum) return NULL;
    return part(image, header->e_shoff + index * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr)));
}

static bool describe(const struct image *image, const ElfW(Shdr) * names, const ElfW(Sym) * symbol,
                     uintptr_t place, char text[SYMBOL_BYTES]) {
    size_t offset = names->sh_offset + symbol->st_name;
    const char *name = part(image, offset, 1);
    if (name == NULL || memchr(name, '\0', image->size - offset) == NULL) return false;
    snprintf(text, SYMBOL_BYTES, "%.72s+0x%zx", name, (size_t)(place - symbol->st_value));
    return true;
}

/* Looks through the table that only debuggers read; a stripped file has none. */
static bool search(const struct image *image, uintptr_t place, char text[SYMBOL_BYTES]) {
    const ElfW(Ehdr) *header = part(image, 0, sizeof *header);
    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
    for (size_t i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *table = section(image, header, i), *names;
        if (table == NULL || table->sh_type != SHT_SYMTAB) continue;
        const ElfW(Sym) *symbols = part(image, table->sh_offset, table->sh_size);
        if ((names = section(image, header, table->sh_link)) == NULL || symbols == NULL) continue;
        for (size_t j = 0; j < table->sh_size / sizeof *symbols; j++) {
            const ElfW(Sym) *symbol = &symbols[j];
            if ((symbol->st_info & 0xf) != STT_FUNC || symbol->st_shndx == SHN_UNDEF) continue;
            if (place < symbol->st_value || place - symbol->st_value >= symbol->st_size) continue;
            return describe(image, names, symbol, place, text);
        }
    }
    return false;
}

/* This code is part of the program itself, whose file may have been started by a relative path. */
static bool is_program(const Dl_info *info) {
    Dl_info own;
    return dladdr((const void *)(uintptr_t)symbol_text, &own) != 0 &&
           own.dli_fbase == info->dli_fbase;
}

void symbol_text(const void *address, char text[SYMBOL_BYTES]) {
    Dl_info info;
    snprintf(text, SYMBOL_BYTES, "%p", address);
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) return;
    uintptr_t place = (uintptr_t)address - (uintptr_t)info.dli_fbase;
    if (info.dli_sname != NULL) {
        size_t into = (size_t)((uintptr_t)address - (uintptr_t)info.dli_saddr);
        snprintf(text, SYMBOL_BYTES, "%.72s+0x%zx", info.dli_sname, into);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(text, SYMBOL_BYTES, "%.72s+0x%zx", slash != NULL ? slash + 1 : info.dli_fname,
             (size_t)place);
    struct image image = image_open(is_program(&info) ? "/proc/self/exe" : info.dli_fname);
    search(&image, place, text);
    image_close(&image);
}
