#include "pki/random.h"

#include "pki/registers.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* A record's nonce is 8 bytes: one call of the kernel serves many requests. Each byte is used once
 * and wiped. Up to 256 bytes come without interruption (getrandom(2)). A child of fork() must not
 * use this: it would repeat its parent's bytes. */
enum { POOL = 256 };

static _Thread_local unsigned char pool[POOL];
static _Thread_local unsigned int left;

static int from_kernel(unsigned char *out, unsigned int size)
{
    while (size > 0) {
        ssize_t n = getrandom(out, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        out += n;
        size -= (unsigned int)n;
    }
    return 0;
}

static int fill(unsigned char *out, unsigned int size)
{
    if (size > POOL / 4) return from_kernel(out, size);
    if (size > left) {
        left = 0;
        if (from_kernel(pool, POOL) != 0) return -1;
        left = POOL;
    }
    unsigned char *next = pool + POOL - left;
    memcpy(out, next, size);
    explicit_bzero(next, size);
    left -= size;
    return 0;
}

/* wolfSSL 5.9.2's fe_cmov_table_avx2() loads a constant with an instruction that keeps the upper
 * half of its register, and then uses all of it: after an ECDSA verification, which leaves data
 * there, every second X25519 public key was wrong. The library's own generator hides that, because
 * its hash clears the registers. A key is generated right after a call of this function, so it
 * clears them too (test_random.c shows it). */
int suitegate_random(unsigned char *out, unsigned int size)
{
    int result = fill(out, size);
    registers_clean();
    return result;
}
