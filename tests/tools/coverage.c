/* Records which edges of the program a process has run, for tests/tools/covered.py. Built with
 * clang's -fsanitize-coverage=trace-pc-guard. A process reads COVERAGE_FILE at its start; at its
 * end it appends one bit per edge to that file. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EDGES = 1 << 17 };

static uint8_t seen[EDGES];
static uint32_t count;
static char path[4096];

void __sanitizer_cov_trace_pc_guard_init(uint32_t *first, uint32_t *end)
{
    if (first == end || *first) return;
    for (uint32_t *guard = first; guard < end; guard++) *guard = ++count;
}

void __sanitizer_cov_trace_pc_guard(const uint32_t *guard)
{
    if (*guard < EDGES) seen[*guard] = 1;
}

static void save(void)
{
    static uint8_t bits[EDGES / 8];
    int fd = path[0] ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd < 0) return;
    for (uint32_t i = 1; i <= count && i < EDGES; i++)
        if (seen[i]) bits[i / 8] |= (uint8_t)(1 << i % 8);
    if (write(fd, bits, (count + 8) / 8) < 0) perror(path);
    close(fd);
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("COVERAGE_FILE");
    if (name) snprintf(path, sizeof path, "%s", name);
    atexit(save);
}

/* Linked with --wrap=_exit. */
void __real__exit(int status);
void __wrap__exit(int status)
{
    save();
    __real__exit(status);
}
