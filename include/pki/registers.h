/* Clears the upper halves of the AVX registers, with one instruction. wolfSSL 5.9.2's ECC code
 * leaves them in use: the thread's SHA-256, which uses SSE instructions, is then a hundred times
 * slower, and fe_cmov_table_avx2() computes wrong results (pki/random.c). */
#ifndef PKI_REGISTERS_H
#define PKI_REGISTERS_H

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx"))) static inline void registers_clear_upper_halves(void)
{
    _mm256_zeroupper();
}

static inline void registers_clean(void)
{
    if (__builtin_cpu_supports("avx")) registers_clear_upper_halves();
}
#else
static inline void registers_clean(void)
{
}
#endif

#endif
