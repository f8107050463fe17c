/* The TLS library's P-256 on x86-64 with values from the prime up to 2^256 - 1, which a
 * multiplication makes about once in 2^32: see .make/wolfssl.sed. The build itself checks the other
 * half of it. */
#include "helper.h"

#include "pki/wolfcrypt.h"

/* r = 3a modulo the prime, or that plus the prime; four limbs. Absent where there is no such
 * assembly. */
extern void sp_256_mont_tpl_4(uint64_t *r, const uint64_t *a, const uint64_t *m)
    __attribute__((weak));

static const uint64_t prime[4] = {UINT64_MAX, 0xffffffff, 0, 0xffffffff00000001};

static void add(uint64_t r[4], const uint64_t a[4], const uint64_t b[4])
{
    unsigned __int128 sum = 0;
    for (size_t i = 0; i < 4; i++) {
        sum += (unsigned __int128)a[i] + b[i];
        r[i] = (uint64_t)sum;
        sum >>= 64;
    }
}

static void three_times_more_than_the_prime(void **state)
{
    (void)state;
    for (uint64_t more = 0; sp_256_mont_tpl_4 && more < 256; more++) {
        /* Up to 2^256 - 1 - prime. */
        uint64_t small[4] = {UINT64_MAX - more, 0xfffffffeffffffff, UINT64_MAX, 0xfffffffd};
        uint64_t value[4], r[4], smallest[4], other[4];
        add(value, prime, small);
        sp_256_mont_tpl_4(r, value, prime);
        add(smallest, small, small);
        add(smallest, smallest, small);
        add(other, smallest, prime);
        assert_true(memcmp(r, smallest, sizeof r) == 0 || memcmp(r, other, sizeof r) == 0);
    }
}

/* Links the library's curves. */
static void the_curve_is_there(void **state)
{
    ecc_key key;
    (void)state;
    assert_int_equal(wc_ecc_init(&key), 0);
    assert_int_equal(wc_ecc_set_curve(&key, 32, ECC_SECP256R1), 0);
    assert_int_equal(wc_ecc_check_key(&key) != 0, 1);
    wc_ecc_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_times_more_than_the_prime),
        cmocka_unit_test(the_curve_is_there),
    };
    return cmocka_run_group_tests_name("carries", tests, NULL, NULL);
}
