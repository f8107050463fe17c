/* A log that may be compressed. First byte: how the rest is split, into the pipe and out of the
 * reader. The result must not depend on the splits, except that damage may cost some of the bytes
 * before it. */
#include "fuzz.h"

#include "base/input.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum {
    INPUT_MOST = 1 << 16,
    OUTPUT_MOST = 1 << 17, /* the limit for a decompression bomb */
    ROOM = 10000,
    PIPE_SIZE = 1 << 20,
    PIECES = 200, /* a pipe of this size has 256 pages, one per piece */
    PIPE_PIECE = 4096
};

/* What was read up to the end, a fault or OUTPUT_MOST. */
struct seen {
    uint8_t p[OUTPUT_MOST];
    size_t n;
    bool more;
    char fault[128];
};

static void keep(struct seen *s, const char *p, size_t n)
{
    size_t take = n < OUTPUT_MOST - s->n ? n : OUTPUT_MOST - s->n;
    memcpy(s->p + s->n, p, take);
    s->n += take;
    s->more = s->n == OUTPUT_MOST;
}

static void read_all(struct input *in, struct seen *s, uint32_t *seed)
{
    ssize_t n = 1;
    s->n = 0;
    s->more = false;
    while (n > 0 && !s->more) {
        size_t room = seed ? fuzz_piece(seed, ROOM) : ROOM;
        char *place = malloc(room);
        CHECK(place);
        n = input_read(in, place, room);
        CHECK(n <= (ssize_t)room);
        if (n > 0) keep(s, place, (size_t)n);
        free(place);
    }
    snprintf(s->fault, sizeof s->fault, "%s", input_fault(in));
    CHECK((n < 0) == (s->fault[0] != 0));
    char again;
    if (n <= 0) CHECK(input_read(in, &again, 1) == n);
    input_close(in);
}

static struct input *open_fd(int fd)
{
    char path[64];
    struct text errors = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct input *in = input_open(path, &errors);
    CHECK(in && errors.size == 0);
    return in;
}

static void read_file(struct seen *s, const uint8_t *p, size_t n)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    read_all(open_fd(fd), s, NULL);
    close(fd);
}

/* One read(2) returns one piece. */
static void read_pipe(struct seen *s, const uint8_t *p, size_t n, uint32_t *seed)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC | O_DIRECT) == 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE) == PIPE_SIZE);
    for (size_t i = 0, piece, count = 0; i < n; i += piece) {
        size_t left = n - i < PIPE_PIECE ? n - i : PIPE_PIECE;
        piece = count++ < PIECES ? fuzz_piece(seed, left) : left;
        CHECK(write(ends[1], p + i, piece) == (ssize_t)piece);
    }
    struct input *in = open_fd(ends[0]);
    close(ends[1]);
    read_all(in, s, seed);
    close(ends[0]);
}

static bool begins(const uint8_t *p, size_t n, const char *magic)
{
    return n >= strlen(magic) && memcmp(p, magic, strlen(magic)) == 0;
}

static void check_unpacked(const struct seen *s, const uint8_t *p, size_t n)
{
    static const char *const foreign[] = {"\xfd"
                                          "7zXZ",
                                          "\x28\xb5\x2f\xfd", "BZh"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (begins(p, n, foreign[i])) {
            CHECK(s->n == 0 && strstr(s->fault, "unpack it first"));
            return;
        }
    CHECK(!s->fault[0] && s->n == n && memcmp(s->p, p, n) == 0);
}

/* Compares with the library's result in one step. */
static void check_packed(const struct seen *s, const uint8_t *p, size_t n)
{
    static uint8_t out[OUTPUT_MOST + 1];
    z_stream z = {.next_in = (Bytef *)p, .avail_in = (unsigned)n};
    CHECK(inflateInit2(&z, MAX_WBITS + 16) == Z_OK);
    z.next_out = out;
    z.avail_out = sizeof out;
    int result;
    while ((result = inflate(&z, Z_NO_FLUSH)) == Z_STREAM_END && z.avail_in > 0)
        CHECK(inflateReset(&z) == Z_OK);
    size_t made = sizeof out - z.avail_out;
    CHECK(s->n <= made && memcmp(s->p, out, s->n) == 0);
    if (result == Z_STREAM_END)
        CHECK(!s->fault[0] && s->n == made);
    else if (z.avail_out > 0)
        CHECK(strstr(s->fault, result == Z_DATA_ERROR ? "damaged" : "cut off"));
    inflateEnd(&z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, cut;
    if (size < 1 || size > INPUT_MOST) return 0;
    uint32_t seed = data[0];
    read_file(&whole, data + 1, size - 1);
    read_pipe(&cut, data + 1, size - 1, &seed);
    CHECK(memcmp(whole.p, cut.p, whole.n < cut.n ? whole.n : cut.n) == 0);
    if (whole.more || cut.more) return 0;
    CHECK(strcmp(whole.fault, cut.fault) == 0);
    CHECK(whole.fault[0] || whole.n == cut.n);
    bool packed = begins(data + 1, size - 1, "\x1f\x8b");
    (packed ? check_packed : check_unpacked)(&whole, data + 1, size - 1);
    return 0;
}
