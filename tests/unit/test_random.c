/* pki/random: different bytes at every call, of any size; and what the library makes of them. */
#include "helper.h"
#include "pki/random.h"
#include "pki/wolfcrypt.h"

#include <string.h>
#include <wolfssl/wolfcrypt/curve25519.h>

static void never_the_same_bytes_twice(void **state)
{
    (void)state;
    enum { DRAWS = 200, SIZE = 16 };
    unsigned char drawn[DRAWS][SIZE];
    for (int i = 0; i < DRAWS; i++) {
        assert_int_equal(suitegate_random(drawn[i], SIZE), 0);
        for (int k = 0; k < i; k++) assert_memory_not_equal(drawn[i], drawn[k], SIZE);
    }
}

static void every_byte_of_every_size_is_filled(void **state)
{
    (void)state;
    enum { LARGEST = 600, TRIES = 8 };
    for (unsigned size = 0; size <= LARGEST; size += size < 70 ? 1 : 53) {
        unsigned char seen[LARGEST + 1] = {0};
        for (int t = 0; t < TRIES; t++) {
            unsigned char out[LARGEST + 1] = {0};
            assert_int_equal(suitegate_random(out, size), 0);
            assert_int_equal(out[size], 0);
            for (unsigned i = 0; i < size; i++) seen[i] |= out[i];
        }
        /* Eight zeros in a row at one place: once in 10^19. */
        for (unsigned i = 0; i < size; i++) assert_int_not_equal(seen[i], 0);
    }
}

/* As other vector code may leave the registers. */
static void soil_registers(void)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2")) return;
    __asm__ volatile("vpcmpeqd %%ymm9, %%ymm9, %%ymm9" ::: "xmm9");
#endif
}

static void x25519_keys_are_right_whatever_the_registers_hold(void **state)
{
    (void)state;
    WC_RNG *rng = random_thread();
    assert_non_null(rng);
    for (int i = 0; i < 50; i++) {
        curve25519_key a, b;
        unsigned char one[32], other[32];
        word32 n = sizeof one, m = sizeof other;
        wc_curve25519_init(&a);
        wc_curve25519_init(&b);
        soil_registers();
        assert_int_equal(wc_curve25519_make_key(rng, 32, &a), 0);
        assert_int_equal(wc_curve25519_make_key(rng, 32, &b), 0);
        assert_int_equal(wc_curve25519_shared_secret_ex(&a, &b, one, &n, EC25519_LITTLE_ENDIAN), 0);
        assert_int_equal(wc_curve25519_shared_secret_ex(&b, &a, other, &m, EC25519_LITTLE_ENDIAN),
                         0);
        assert_memory_equal(one, other, sizeof one);
        wc_curve25519_free(&a);
        wc_curve25519_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_the_same_bytes_twice),
        cmocka_unit_test(every_byte_of_every_size_is_filled),
        cmocka_unit_test(x25519_keys_are_right_whatever_the_registers_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
