/* The chain's definition, compared with hashes by another program, and its reader. */
#include "helper.h"

#include "audit/chain.h"
#include "audit/checkpoint.h"

#include <unistd.h>

/* printf '%064d%s' 0 '{"event":{"a":1,"sequence":1,"hash":"' | sha256sum, and so on. */
static const char *const sealed_lines[] = {
    "{\"event\":{\"a\":1,\"sequence\":1,\"hash\":"
    "\"36d2c4067f044a879b2d42278a5b47eaf6faa2844fd54419e85efe22c56efd73\"}}\n",
    "{\"event\":{\"a\":2,\"sequence\":2,\"hash\":"
    "\"c0dabacfc260de56aac59eb9f1400479cf24c157270eb29921a3ce8e44617477\"}}\n",
};

static void seals(void **state)
{
    (void)state;
    struct chain c;
    chain_begin(&c);
    for (unsigned i = 0; i < N_OF(sealed_lines); i++) {
        struct text line = {0};
        text_printf(&line, "{\"event\":{\"a\":%u", i + 1);
        assert_true(chain_seal(&c, &line));
        assert_string_equal(text_string(&line), sealed_lines[i]);
        assert_int_equal(c.sequence, i + 1);
        text_fini(&line);
    }
}

static void reads_what_it_seals(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 9, 99, 18446744073709, 999999999999999998};
    for (size_t i = 0; i < N_OF(numbers); i++) {
        struct chain c;
        struct chain_line line;
        struct text text = {0};
        char hash[CHAIN_HASH + 1], previous[CHAIN_HASH + 1];
        chain_begin(&c);
        c.sequence = numbers[i];
        memcpy(previous, c.hash, sizeof previous);
        text_add(&text, "{\"x\":\",\\\"sequence\\\":7\",\"event\":{");
        assert_true(chain_seal(&c, &text));
        assert_true(chain_read(text.data, text.size - 1, &line));
        assert_int_equal(line.sequence, numbers[i] + 1);
        assert_memory_equal(line.hash, c.hash, CHAIN_HASH);
        assert_true(chain_hash(previous, text.data, line.covered, hash));
        assert_string_equal(hash, c.hash);
        text_fini(&text);
    }
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void reads_nothing_else(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "\"}}",
        ZEROS "\"}}",
        ",\"hash\":\"" ZEROS "\"}}",
        "1,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":0,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":01,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":-1,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":12345678901234567890,\"hash\":\"" ZEROS "\"}}",
        ",\"sequence\":1,\"hash\":\"" ZEROS "\"}} ",
        ",\"sequence\":1,\"hash\":\"A" ZEROS "\"}}",
        ",\"sequence\":1 ,\"hash\":\"" ZEROS "\"}}",
    };
    struct chain_line line;
    for (size_t i = 0; i < N_OF(bad); i++)
        if (chain_read(bad[i], strlen(bad[i]), &line)) fail_msg("taken: %s", bad[i]);
    const char *good = ",\"sequence\":1,\"hash\":\"" ZEROS "\"}}";
    assert_true(chain_read(good, strlen(good), &line));
    assert_int_equal(line.sequence, 1);
}

static void checkpoints(void **state)
{
    (void)state;
    char folder[] = "/tmp/suitegate-key-XXXXXX", path[64];
    struct log_key key, again;
    struct text errors = {0}, signature = {0};
    struct chain head = {.sequence = 17}, none = {0}, before = {.sequence = 5};
    memset(head.hash, 'a', CHAIN_HASH);
    memset(before.hash, 'c', CHAIN_HASH);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log.key", folder);
    assert_false(log_key_load(path, false, &key, &errors));
    assert_non_null(strstr(text_string(&errors), path));
    assert_true(log_key_load(path, true, &key, &errors));
    assert_true(log_key_load(path, true, &again, &errors));
    assert_string_equal(key.id, again.id);
    assert_true(checkpoint_sign(
        &key, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL},
        &signature));
    struct span spki = key_spki(&again.key);
    const char *s = text_string(&signature);
    assert_true(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL}, s));
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.001Z", &head, &none, NULL}, s));
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL},
        "AAAA"));
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL},
        "no base 64!"));
    /* The link to the run before cannot be added, removed or changed. */
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &before, NULL}, s));
    struct text linked = {0};
    assert_true(checkpoint_sign(
        &key, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &before, NULL},
        &linked));
    const char *l = text_string(&linked);
    assert_true(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &before, NULL}, l));
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL}, l));
    before.sequence++;
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &before, NULL}, l));
    text_fini(&linked);
    head.sequence++;
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL}, s));
    head.sequence--;
    head.hash[63] = 'b';
    assert_false(checkpoint_valid(
        spki, &(struct checkpoint_content){"2026-01-01T00:00:00.000Z", &head, &none, NULL}, s));
    log_key_fini(&key);
    log_key_fini(&again);
    text_fini(&errors);
    text_fini(&signature);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals),
        cmocka_unit_test(reads_what_it_seals),
        cmocka_unit_test(reads_nothing_else),
        cmocka_unit_test(checkpoints),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
