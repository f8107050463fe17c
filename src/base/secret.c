#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

void *secret_new(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    (void)madvise(p, n, MADV_DONTDUMP);
    (void)madvise(p, n, MADV_WIPEONFORK);
    (void)mlock(p, n);
    return p;
}

void secret_free(void *p, size_t n)
{
    if (!p) return;
    explicit_bzero(p, n);
    munmap(p, n);
}
