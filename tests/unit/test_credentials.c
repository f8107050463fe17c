/* Files of user names and passwords. */
#include "helper.h"

#include "runtime/credentials.h"

static bool matches(const struct credentials *c, const char *user, const char *password)
{
    return credentials_match(c, (struct span){(const uint8_t *)user, strlen(user)},
                             (struct span){(const uint8_t *)password, strlen(password)});
}

static bool read_file(const char *content, size_t n, struct credentials *out, struct text *errors)
{
    struct text file = {0};
    text_add_bytes(&file, content, n);
    bool ok = credentials_read(&file, "logins", out, errors);
    text_fini(&file);
    return ok;
}

static void logins(void **state)
{
    (void)state;
    static const char file[] = "# who\n\nada:one\r\nbob:two:three\nada:four\ncarl:#x";
    struct credentials c;
    struct text errors = {0};
    assert_true(read_file(file, sizeof file - 1, &c, &errors));
    assert_int_equal(c.n, 4);
    assert_true(matches(&c, "ada", "one"));
    assert_true(matches(&c, "ada", "four"));
    assert_true(matches(&c, "bob", "two:three"));
    assert_true(matches(&c, "carl", "#x"));
    static const char *const wrong[][2] = {
        {"ada", "two:three"}, {"ada", "on"}, {"ada", "onee"}, {"ad", "one"},  {"", ""},
        {"ada", ""},          {"", "one"},   {"ADA", "one"},  {"bob", "two"}, {"ada:one", "one"},
    };
    for (size_t i = 0; i < N_OF(wrong); i++) assert_false(matches(&c, wrong[i][0], wrong[i][1]));
    static uint8_t padded[255] = "one";
    assert_false(
        credentials_match(&c, (struct span){(const uint8_t *)"ada", 3}, (struct span){padded, 4}));
    assert_false(credentials_match(&c, (struct span){(const uint8_t *)"ada", 3},
                                   (struct span){padded, 255}));
    credentials_fini(&c);
    assert_int_equal(errors.size, 0);
}

static void longest(void **state)
{
    (void)state;
    char line[514];
    memset(line, 'a', sizeof line);
    line[255] = ':';
    struct credentials c;
    struct text errors = {0};
    assert_true(read_file(line, 511, &c, &errors));
    assert_int_equal(strlen(c.items[0].user), 255);
    assert_int_equal(strlen(c.items[0].password), 255);
    credentials_fini(&c);
    assert_false(read_file(line, 512, &c, &errors));
    text_fini(&errors);
}

static void faults(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        size_t n;
        const char *message;
    } rows[] = {
        {"", 0, "logins has no line user:password"},
        {"# only\n\n", 8, "logins has no line user:password"},
        {"ada\n", 4, "logins:1: not user:password"},
        {"ada:x\n:y\n", 9, "logins:2: not user:password"},
        {"ada:\n", 5, "logins:1: not user:password"},
        {"a\0a:x\n", 6, "logins:1: not user:password"},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct credentials c;
        struct text errors = {0};
        assert_false(read_file(rows[i].content, rows[i].n, &c, &errors));
        assert_null(c.items);
        assert_non_null(strstr(text_string(&errors), rows[i].message));
        text_fini(&errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins),
        cmocka_unit_test(longest),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
