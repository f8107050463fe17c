#include "base/input.h"

#include <zlib.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 << 10, MAGIC = 6, GZIP_ONLY = 16 };

struct input {
    int fd;
    bool begun, packed, ended; /* ended: nothing more can be read */
    bool in_member;            /* a member of the gzip file has begun and not yet ended */
    z_stream z;                /* its next_in: read, not yet returned */
    unsigned char block[BLOCK];
    char fault[96];
};

struct input *input_open(const char *path, struct text *errors)
{
    struct input *in = calloc(1, sizeof *in);
    if (!in) {
        text_add(errors, "out of memory\n");
        return NULL;
    }
    bool standard = strcmp(path, "-") == 0;
    in->fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in->fd >= 0) return in;
    text_printf(errors, "%s: %s\n", path, strerror(errno));
    free(in);
    return NULL;
}

void input_close(struct input *in)
{
    if (!in) return;
    if (in->packed) inflateEnd(&in->z);
    close(in->fd);
    free(in);
}

const char *input_fault(const struct input *in)
{
    return in->fault;
}

static ssize_t fail(struct input *in, const char *why)
{
    snprintf(in->fault, sizeof in->fault, "%s", why);
    return -1;
}

/* Appends to the unread bytes. False when reading failed. */
static bool fill(struct input *in)
{
    ssize_t n;
    if (in->z.avail_in > 0) memmove(in->block, in->z.next_in, in->z.avail_in);
    in->z.next_in = in->block;
    do n = read(in->fd, in->block + in->z.avail_in, sizeof in->block - in->z.avail_in);
    while (n < 0 && errno == EINTR);
    if (n < 0) fail(in, strerror(errno));
    if (n > 0) in->z.avail_in += (unsigned)n;
    in->ended = n == 0;
    return n >= 0;
}

/* The fault of a file in another compression format, recognized by its first bytes. */
static const char *foreign(const struct input *in)
{
    static const struct {
        const char *magic, *fault;
    } forms[] = {
        {"\xfd"
         "7zXZ",
         "it is packed with xz: unpack it first (xz -dc FILE | ... -)"},
        {"\x28\xb5\x2f\xfd", "it is packed with zstd: unpack it first (zstd -dc FILE | ... -)"},
        {"BZh", "it is packed with bzip2: unpack it first (bzip2 -dc FILE | ... -)"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t n = strlen(forms[i].magic);
        if (in->z.avail_in >= n && memcmp(in->z.next_in, forms[i].magic, n) == 0)
            return forms[i].fault;
    }
    return NULL;
}

static bool begin(struct input *in)
{
    while (in->z.avail_in < MAGIC && !in->ended)
        if (!fill(in)) return false;
    in->begun = true;
    const char *fault = foreign(in);
    if (fault) return fail(in, fault) == 0;
    in->packed = in->z.avail_in >= 2 && in->z.next_in[0] == 0x1f && in->z.next_in[1] == 0x8b;
    if (!in->packed) return true;
    if (inflateInit2(&in->z, MAX_WBITS + GZIP_ONLY) == Z_OK) return true;
    in->packed = false;
    return fail(in, "out of memory") == 0;
}

static ssize_t give(struct input *in, char *out, size_t room)
{
    size_t n = in->z.avail_in < room ? in->z.avail_in : room;
    memcpy(out, in->z.next_in, n);
    in->z.next_in += n;
    in->z.avail_in -= (unsigned)n;
    return (ssize_t)n;
}

/* One step of decompression: the number of bytes, 0 for none yet, or -1. */
static ssize_t unpack(struct input *in, char *out, size_t room)
{
    if (!in->in_member && inflateReset(&in->z) != Z_OK) return fail(in, "out of memory");
    in->in_member = true;
    unsigned most = room < BLOCK ? (unsigned)room : BLOCK;
    in->z.next_out = (unsigned char *)out;
    in->z.avail_out = most;
    switch (inflate(&in->z, Z_NO_FLUSH)) {
    case Z_STREAM_END:
        in->in_member = false;
        break;
    case Z_OK:
    case Z_BUF_ERROR:
        break;
    case Z_MEM_ERROR:
        return fail(in, "out of memory");
    default:
        /* Return what came before the damage; the next call fails again. */
        if (in->z.avail_out < most) break;
        return fail(in, "it is damaged: what gzip has packed cannot be unpacked");
    }
    return (ssize_t)(most - in->z.avail_out);
}

ssize_t input_read(struct input *in, char *out, size_t room)
{
    if (in->fault[0] || (!in->begun && !begin(in))) return -1;
    for (;;) {
        if (in->z.avail_in == 0 && !in->ended && !fill(in)) return -1;
        if (!in->packed) return give(in, out, room);
        if (in->z.avail_in == 0 && !in->in_member) return 0;
        ssize_t n = unpack(in, out, room);
        if (n != 0) return n;
        if (in->z.avail_in == 0 && in->ended && in->in_member)
            return fail(in, "it is cut off: what gzip has packed ends in the middle");
    }
}
