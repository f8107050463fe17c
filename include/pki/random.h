/* The one source of randomness, the TLS library's included: the kernel's generator. The library is
 * built to call it (CUSTOM_RAND_GENERATE_BLOCK in .make/wolfssl.sh), instead of seeding and
 * self-testing a generator for each session. Thread-safe. Includes nothing, because the library's
 * build includes it, in assembly files too. */
#ifndef PKI_RANDOM_H
#define PKI_RANDOM_H

#ifndef __ASSEMBLER__
/* Fills `out`. 0, or -1 when the kernel fails. */
int suitegate_random(unsigned char *out, unsigned int size);
#endif

#endif
