#include "spare.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* Some 1,500 records: as many as connections may have under way when there is no memory, before
 * they are written. */
enum { RING = 4 << 20, ALIGN = _Alignof(max_align_t) };

struct block {
    _Alignas(max_align_t) size_t size; /* with this */
};

bool spare_init(struct spare *s)
{
    void *p = mmap(NULL, RING + SPARE_SCRATCH, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *s = (struct spare){.memory = p == MAP_FAILED ? NULL : p, .limit = RING};
    return s->memory != NULL;
}

void spare_fini(struct spare *s)
{
    if (s->memory) munmap(s->memory, RING + SPARE_SCRATCH);
    s->memory = NULL;
}

static void *take_at(struct spare *s, size_t at, size_t n)
{
    struct block *b = (struct block *)(s->memory + at);
    b->size = n;
    s->end = at + n;
    return b + 1;
}

/* A ring that is full would look like an empty one: one byte at least stays free. */
void *spare_take(struct spare *s, size_t n)
{
    if (n > RING / 2) return NULL;
    n = (n + sizeof(struct block) + ALIGN - 1) / ALIGN * ALIGN;
    if (s->end < s->start) return n < s->start - s->end ? take_at(s, s->end, n) : NULL;
    if (n <= RING - s->end) return take_at(s, s->end, n);
    if (n >= s->start) return NULL;
    s->limit = s->end;
    return take_at(s, 0, n);
}

bool spare_owns(const struct spare *s, const void *p)
{
    uintptr_t at = (uintptr_t)p, from = (uintptr_t)s->memory;
    return s->memory && at >= from && at < from + RING;
}

void spare_give_back(struct spare *s, void *p)
{
    struct block *b = (struct block *)p - 1;
    assert((char *)b == s->memory + s->start);
    s->start += b->size;
    if (s->start == s->limit && s->end < s->start) {
        s->start = 0;
        s->limit = RING;
    }
    if (s->start != s->end) return;
    s->start = s->end = 0;
    s->limit = RING;
    (void)!madvise(s->memory, RING, MADV_DONTNEED);
}

bool spare_is_empty(const struct spare *s)
{
    return s->start == s->end;
}

char *spare_scratch(const struct spare *s)
{
    return s->memory + RING;
}

void spare_scratch_over(const struct spare *s)
{
    (void)!madvise(spare_scratch(s), SPARE_SCRATCH, MADV_DONTNEED);
}
