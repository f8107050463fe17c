/* Small files: which may hold a private key, and which symbolic links are followed. */
#include "helper.h"

#include "base/file.h"

#include <errno.h>
#include <unistd.h>

static void keys_are_private(void **state)
{
    (void)state;
    static const struct {
        bool mine, roots, any_owner;
        mode_t mode, others;
        bool ok;
        const char *says;
    } cases[] = {
        {true, false, false, 0600, 077, true, ""},
        {false, true, false, 0400, 077, true, ""},
        {false, true, false, 0640, 007, true, ""},
        {true, false, false, 0640, 077, false, "chmod 600"},
        {true, false, false, 0604, 007, false, "chmod 600"},
        {false, false, false, 0600, 077, false, "chown it to root"},
        {false, false, true, 0600, 077, true, ""},
        {false, false, true, 0620, 077, false, "chmod 600"},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct text errors = {0};
        struct stat st = {.st_mode = S_IFREG | cases[i].mode,
                          .st_uid = cases[i].mine    ? geteuid()
                                    : cases[i].roots ? 0
                                                     : geteuid() + 77777};
        bool ok = file_is_private("/k.pem", &st, cases[i].others, cases[i].any_owner, &errors);
        assert_int_equal(ok, cases[i].ok);
        assert_int_equal(ok, errors.size == 0);
        assert_non_null(strstr(text_string(&errors), cases[i].says));
        assert_non_null(strstr(text_string(&errors), ok ? "" : "/k.pem "));
        text_fini(&errors);
    }
}

static void links(void **state)
{
    (void)state;
    char folder[] = "/tmp/suitegate-file-XXXXXX", file[64], link[64];
    struct text out = {0}, words = {0}, others = {0};
    struct stat st;
    text_add(&words, "words");
    text_add(&others, "others");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(file_create(file, 0600, &words), 0);
    assert_int_equal(file_create(file, 0600, &others), EEXIST);
    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(file_read(link, 100, &out, &st), 0);
    assert_string_equal(text_string(&out), "words");
    assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
    text_fini(&out);
    assert_int_equal(file_read_own(link, 100, &out, NULL), ELOOP);
    assert_int_equal(file_read_own(file, 100, &out, NULL), 0);
    text_fini(&out);
    assert_int_equal(file_read(file, 4, &out, NULL), EFBIG);
    text_fini(&out);
    assert_int_equal(file_read(folder, 100, &out, NULL), EISDIR);
    /* A dangling link does not create a file either. */
    assert_int_equal(unlink(file), 0);
    assert_int_equal(file_create(link, 0600, &words), EEXIST);
    assert_int_equal(access(file, F_OK), -1);
    unlink(link);
    /* Replaced as a whole, whatever an earlier run has left. */
    snprintf(link, sizeof link, "%s/file.new", folder);
    assert_int_equal(file_create(link, 0644, &others), 0);
    for (unsigned twice = 0; twice < 2; twice++) {
        assert_int_equal(file_replace(file, 0600, twice ? &words : &others), 0);
        assert_int_equal(file_read(file, 100, &out, &st), 0);
        assert_string_equal(text_string(&out), twice ? "words" : "others");
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(access(link, F_OK), -1);
        text_fini(&out);
    }
    assert_int_equal(file_replace("/nowhere/file", 0600, &words), ENOENT);
    unlink(file);
    rmdir(folder);
    text_fini(&words);
    text_fini(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_private), cmocka_unit_test(links)};
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
