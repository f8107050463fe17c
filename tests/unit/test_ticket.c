/* tls/ticket: opens what it sealed, under the same binding, while the key lives. */
#include "helper.h"
#include "tls/ticket.h"

#include <limits.h>
#include <string.h>

enum { SIZE = 123 };
static const uint32_t SEALED = 0xfffffff0; /* the counter of seconds may overflow */

/* The linker leads all calls here (the Makefile says so). */
bool __real_random_bytes(void *out, size_t n);
bool __wrap_random_bytes(void *out, size_t n);

static unsigned draws_left = UINT_MAX; /* then the kernel has no more */

bool __wrap_random_bytes(void *out, size_t n)
{
    if (draws_left == 0) return false;
    draws_left--;
    return __real_random_bytes(out, n);
}

struct sealed {
    uint8_t name[TICKET_NAME], iv[TICKET_IV], tag[TICKET_TAG], bytes[SIZE];
};

static const uint8_t generation[16] = {1, 2, 3};

static struct ticket_scope scope_of(const struct ticket_keys *keys, const char *listener,
                                    const char *identity)
{
    struct ticket_scope scope;
    assert_true(ticket_scope_init(&scope, keys, (struct span){generation, sizeof generation},
                                  listener, identity, "SUITE"));
    return scope;
}

static void plaintext(uint8_t out[SIZE])
{
    for (int i = 0; i < SIZE; i++) out[i] = (uint8_t)(7 * i);
}

static struct sealed seal(const struct ticket_scope *scope)
{
    struct sealed s = {0};
    uint8_t before[SIZE];
    plaintext(before);
    plaintext(s.bytes);
    assert_true(ticket_seal(scope, SEALED, s.name, s.iv, s.tag, s.bytes, SIZE));
    assert_memory_not_equal(s.bytes, before, SIZE);
    return s;
}

static bool opened_at(const struct ticket_scope *scope, uint32_t now, struct sealed s)
{
    uint8_t before[SIZE];
    plaintext(before);
    bool ok = ticket_open(scope, now, s.name, s.iv, s.tag, s.bytes, SIZE);
    if (ok) assert_memory_equal(s.bytes, before, SIZE);
    return ok;
}

static bool opened(const struct ticket_scope *scope, struct sealed s)
{
    return opened_at(scope, SEALED + 1, s);
}

static void new_key(struct ticket_keys *keys)
{
    struct ticket_key key;
    assert_true(ticket_key_generate(&key));
    ticket_keys_rotate(keys, &key);
}

static struct ticket_keys first_keys(void)
{
    struct ticket_keys keys = {0};
    assert_true(ticket_key_generate(&keys.current));
    return keys;
}

static void opens_what_it_sealed(void **state)
{
    (void)state;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    struct sealed one = seal(&scope), two = seal(&scope);
    assert_true(opened(&scope, one));
    assert_true(opened(&scope, two));
    assert_memory_not_equal(one.iv, two.iv, TICKET_IV);
    assert_memory_not_equal(one.bytes, two.bytes, SIZE);
}

static void every_bit_counts(void **state)
{
    (void)state;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    struct sealed s = seal(&scope);
    uint8_t *raw = (uint8_t *)&s;
    for (size_t i = 0; i < sizeof s; i++) {
        raw[i] ^= 0x10;
        assert_false(opened(&scope, s));
        raw[i] ^= 0x10;
    }
    assert_true(opened(&scope, s));
}

static void bound_to_listener_identity_and_generation(void **state)
{
    (void)state;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test"), other;
    struct sealed s = seal(&scope);
    other = scope_of(&keys, "back", "a.test");
    assert_false(opened(&other, s));
    other = scope_of(&keys, "front", "b.test");
    assert_false(opened(&other, s));
    other = scope_of(&keys, "fronta", ".test");
    assert_false(opened(&other, s));
    uint8_t next[16] = {9};
    assert_true(ticket_scope_init(&other, &keys, (struct span){next, sizeof next}, "front",
                                  "a.test", "SUITE"));
    assert_false(opened(&other, s));
    assert_true(ticket_scope_init(&other, &keys, (struct span){generation, sizeof generation},
                                  "front", "a.test", "OTHER"));
    assert_false(opened(&other, s));
}

static void a_key_lives_for_two_rotations(void **state)
{
    (void)state;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    struct sealed s = seal(&scope);
    new_key(&keys);
    assert_true(opened(&scope, s));
    struct sealed later = seal(&scope);
    assert_true(opened(&scope, later));
    new_key(&keys);
    assert_false(opened(&scope, s));
    assert_true(opened(&scope, later));
}

static void lives_for_an_hour(void **state)
{
    (void)state;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    struct sealed s = seal(&scope);
    assert_true(opened_at(&scope, SEALED, s));
    assert_true(opened_at(&scope, SEALED + TICKET_LIFETIME_S - 1, s));
    assert_false(opened_at(&scope, SEALED + TICKET_LIFETIME_S, s));
    assert_false(opened_at(&scope, SEALED - 1, s)); /* not from the future */
}

/* Before the first rotation there is no previous key: one of zeros must not open anything. */
static void no_key_of_zeros(void **state)
{
    (void)state;
    struct ticket_keys zeros = {0}, keys = first_keys();
    struct ticket_scope forger = scope_of(&zeros, "front", "a.test");
    struct sealed s = seal(&forger);
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    assert_false(opened(&scope, s));
}

/* No ticket without a nonce of its own, and no key of half its bytes. */
static void nothing_without_randomness(void **state)
{
    (void)state;
    struct ticket_key key;
    struct ticket_keys keys = first_keys();
    struct ticket_scope scope = scope_of(&keys, "front", "a.test");
    struct sealed s = {0};
    draws_left = 0;
    assert_false(ticket_seal(&scope, SEALED, s.name, s.iv, s.tag, s.bytes, SIZE));
    assert_false(ticket_key_generate(&key));
    draws_left = 1;
    assert_false(ticket_key_generate(&key));
    draws_left = UINT_MAX;
    (void)seal(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_it_sealed),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(bound_to_listener_identity_and_generation),
        cmocka_unit_test(a_key_lives_for_two_rotations),
        cmocka_unit_test(lives_for_an_hour),
        cmocka_unit_test(no_key_of_zeros),
        cmocka_unit_test(nothing_without_randomness),
    };
    return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
