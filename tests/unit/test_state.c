/* The audit state: what another process may be writing while it is read, and a digest that fails.
 * Calls of the system and of pki are replaced. */
#include "helper.h"

#include "audit/checkpoint.h"
#include "audit/state.h"

#include <unistd.h>

enum { MOST = 20 }; /* times that it is read again */

static unsigned reads, changes;
static bool digest_fails;

ssize_t __wrap_pread(int fd, void *to, size_t size, off_t at);
bool __wrap_digest_sha256(const void *p, size_t n, uint8_t out[32]);
bool __real_digest_sha256(const void *p, size_t n, uint8_t out[32]);

/* Each of the first `changes` reads shows something new. */
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t at)
{
    (void)fd;
    unsigned sequence = reads < changes ? reads : changes;
    reads++;
    assert_int_equal(at, 0);
    return snprintf(to, size,
                    "{\"sequence\":%u,\"hash\":\"%064u\",\"pid\":1,\"inode\":7,\"file\":\"log\"}",
                    sequence + 100, sequence);
}

bool __wrap_digest_sha256(const void *p, size_t n, uint8_t out[32])
{
    return !digest_fails && __real_digest_sha256(p, n, out);
}

static bool read_with(unsigned n, struct state *out)
{
    reads = 0;
    changes = n;
    return state_read(0, "log", out);
}

static void read_until_it_is_at_rest(void **state)
{
    (void)state;
    struct state s;
    for (unsigned n = 0; n < MOST; n++) {
        assert_true(read_with(n, &s));
        assert_int_equal(reads, n + 2);
        assert_int_equal(s.last.sequence, n + 100);
        assert_int_equal(s.inode, 7);
    }
    assert_false(read_with(MOST, &s));
    assert_int_equal(reads, MOST + 1);
    assert_false(state_read(0, "another log", &s));
}

static void a_key_has_no_name_without_its_digest(void **state)
{
    (void)state;
    static const uint8_t spki[91] = {0x30};
    char id[LOG_KEY_ID + 1];
    assert_true(log_key_id((struct span){spki, sizeof spki}, id));
    assert_int_equal(strlen(id), LOG_KEY_ID);
    digest_fails = true;
    assert_false(log_key_id((struct span){spki, sizeof spki}, id));
    digest_fails = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_until_it_is_at_rest),
        cmocka_unit_test(a_key_has_no_name_without_its_digest),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
