/* Clean vector registers. wolfSSL 5.9.2's code for ECC leaves the upper halves of AVX registers
 * as they were used: its SHA-256, whose instructions are the older kind, is a hundred times
 * slower from then on in the same thread, and fe_cmov_table_avx2() goes wrong (pki/random.c).
 * One instruction. */
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
