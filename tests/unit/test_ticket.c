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

static struct ticket_binding binding_of(const char *listener, const char *identity)
{
    return (struct ticket_binding){{generation, sizeof generation}, listener, identity, "SUITE"};
}

static struct ticket_scope shared_scope(const struct ticket_keys *own,
                                        const struct ticket_keys *shared, time_t now,
                                        const char *listener, const char *identity)
{
    struct ticket_scope scope;
    const struct ticket_binding binding = binding_of(listener, identity);
    assert_true(ticket_scope_init(&scope, own, shared, now, &binding));
    return scope;
}

static struct ticket_scope scope_of(const struct ticket_keys *keys, const char *listener,
                                    const char *identity)
{
    return shared_scope(keys, NULL, 0, listener, identity);
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
    new_key(&keys);
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
    struct ticket_binding binding = binding_of("front", "a.test");
    binding.generation.p = next;
    assert_true(ticket_scope_init(&other, &keys, NULL, 0, &binding));
    assert_false(opened(&other, s));
    binding = binding_of("front", "a.test");
    binding.suite = "OTHER";
    assert_true(ticket_scope_init(&other, &keys, NULL, 0, &binding));
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
    scope = scope_of(&keys, "front", "a.test");
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
    /* Another instance's clock may be ahead, but not by much. */
    assert_true(opened_at(&scope, SEALED - TICKET_SKEW_S, s));
    assert_false(opened_at(&scope, SEALED - TICKET_SKEW_S - 1, s));
}

/* Before the first rotation there is no previous key: one of zeros must not open anything. */
static void no_key_of_zeros(void **state)
{
    (void)state;
    struct ticket_keys zeros = {.n = 1}, keys = first_keys();
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

static const time_t noon = 1800000000;

/* Keys that begin at noon, an hour and two hours later. */
static struct ticket_keys shared_keys(void)
{
    struct ticket_keys keys = {.n = 3};
    for (size_t i = 0; i < keys.n; i++) {
        memset(keys.items[i].key, (int)i + 1, sizeof keys.items[i].key);
        assert_true(ticket_key_name(&keys.items[i]));
        keys.items[i].from = noon + (time_t)(3600 * i);
    }
    return keys;
}

static void the_newest_that_has_begun_seals(void **state)
{
    (void)state;
    struct ticket_keys keys = shared_keys();
    const struct {
        time_t now;
        const struct ticket_key *seals;
    } rows[] = {
        {noon - 1, NULL},
        {noon, &keys.items[0]},
        {noon + 3599, &keys.items[0]},
        {noon + 3600, &keys.items[1]},
        {noon + 7200, &keys.items[2]},
        {noon + 7200 + TICKET_KEY_LIFETIME_S - 1, &keys.items[2]},
        {noon + 7200 + TICKET_KEY_LIFETIME_S, NULL},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        assert_ptr_equal(ticket_keys_sealing(&keys, rows[i].now), rows[i].seals);
        struct ticket_keys own = first_keys();
        struct ticket_scope scope = shared_scope(&own, &keys, rows[i].now, "front", "a.test");
        assert_ptr_equal(scope.seals, rows[i].seals ? rows[i].seals : &own.items[0]);
    }
}

/* Two instances: each opens what the other sealed with any key of the set, and not what it sealed
 * with its own. */
static void shared_keys_open_everywhere(void **state)
{
    (void)state;
    struct ticket_keys here = first_keys(), there = first_keys();
    const struct ticket_keys keys = shared_keys(), same = shared_keys();
    struct ticket_scope opener = shared_scope(&there, &same, noon, "front", "a.test");
    for (time_t now = noon; now < noon + 3 * 3600; now += 3600) {
        struct ticket_scope sealer = shared_scope(&here, &keys, now, "front", "a.test");
        assert_true(opened(&opener, seal(&sealer)));
    }
    struct ticket_scope early = shared_scope(&here, &keys, noon - 1, "front", "a.test");
    assert_false(opened(&opener, seal(&early)));
    assert_true(opened(&early, seal(&early)));
}

/* A worker that has no key would have to fail a handshake. */
static void none_without_a_key(void **state)
{
    (void)state;
    struct ticket_keys none = {.n = 0};
    struct ticket_scope scope;
    const struct ticket_binding binding = binding_of("front", "a.test");
    assert_false(ticket_scope_init(&scope, &none, NULL, 0, &binding));
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
        cmocka_unit_test(the_newest_that_has_begun_seals),
        cmocka_unit_test(shared_keys_open_everywhere),
        cmocka_unit_test(none_without_a_key),
    };
    return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
