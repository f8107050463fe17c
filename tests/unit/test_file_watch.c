/* Files of the configuration that change: reported once, when they are quiet. A test looks itself,
 * in place of the timer. */
#include "helper.h"

#include "serve/file_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/suitegate-test-XXXXXX";
static char one[64], two[64];
static struct file_watch watch;
static unsigned changes;

static void on_changed(void *arg, const char *path)
{
    (void)arg;
    assert_true(strcmp(path, one) == 0 || strcmp(path, two) == 0);
    changes++;
}

/* Of the same size, within the same second. */
static void write_file(const char *path)
{
    static long times;
    const struct timespec when[2] = {{1700000000, 0}, {1700000000, ++times}};
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "127.0.0.1\n", 10), 10);
    assert_int_equal(futimens(fd, when), 0);
    close(fd);
}

static void use(const char *path)
{
    char text[80], *items[] = {text};
    struct listen_config listener = {.allow_clients.texts = {items, path ? 1 : 0}};
    struct config config = {.listeners = &listener, .listener_count = 1};
    snprintf(text, sizeof text, "file:%s", path ? path : "");
    assert_true(file_watch_use(&watch, &config));
}

static void use_both(void)
{
    char texts[2][80], *first[] = {texts[0]}, *second[] = {texts[1]};
    struct listen_config listener = {.allow_clients.texts = {first, 1},
                                     .allow_upstreams.texts = {second, 1}};
    struct config config = {.listeners = &listener, .listener_count = 1};
    snprintf(texts[0], sizeof texts[0], "file:%s", one);
    snprintf(texts[1], sizeof texts[1], "file:%s", two);
    assert_true(file_watch_use(&watch, &config));
}

static unsigned looked(unsigned times)
{
    while (times-- > 0) ev_invoke(watch.loop, &watch.timer, EV_TIMER);
    return changes;
}

static int begin(void **state)
{
    (void)state;
    changes = 0;
    write_file(one);
    write_file(two);
    file_watch_init(&watch, ev_loop_new(EVFLAG_AUTO), on_changed, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    struct ev_loop *loop = watch.loop;
    file_watch_fini(&watch);
    ev_loop_destroy(loop);
    return 0;
}

static void reported_once_when_it_is_quiet(void **state)
{
    (void)state;
    use(one);
    assert_int_equal(looked(3), 0);
    for (int i = 0; i < 3; i++) {
        write_file(one);
        assert_int_equal(looked(1), 0);
    }
    assert_int_equal(looked(1), 1);
    assert_int_equal(looked(3), 1);
    write_file(one);
    assert_int_equal(looked(2), 2);
}

static void one_that_goes_and_comes_back(void **state)
{
    (void)state;
    use(one);
    unlink(one);
    assert_int_equal(looked(2), 1);
    assert_int_equal(looked(3), 1);
    write_file(one);
    assert_int_equal(looked(2), 2);
}

static void each_of_several(void **state)
{
    (void)state;
    use_both();
    write_file(one);
    assert_int_equal(looked(3), 1);
    write_file(two);
    assert_int_equal(looked(3), 2);
    write_file(one);
    write_file(two);
    assert_int_equal(looked(3), 3); /* one reload for both */
}

/* One that never is quiet does not hold the other one for ever. */
static void among_one_that_always_changes(void **state)
{
    (void)state;
    use_both();
    write_file(two);
    for (int i = 0; i < 9; i++) {
        write_file(one);
        assert_int_equal(looked(1), 0);
    }
    write_file(one);
    assert_int_equal(looked(1), 1);
    assert_int_equal(looked(2), 2); /* the first one, once it is quiet */
    assert_int_equal(looked(3), 2);
}

static void only_those_of_the_configuration(void **state)
{
    (void)state;
    use_both();
    use(two);
    write_file(one);
    assert_int_equal(looked(3), 0);
    write_file(two);
    use(two); /* what changed before is not missed */
    assert_int_equal(looked(3), 1);
    assert_true(ev_is_active(&watch.timer));
    use(NULL);
    assert_false(ev_is_active(&watch.timer));
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(one, sizeof one, "%s/one", folder);
    snprintf(two, sizeof two, "%s/two", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(one);
    unlink(two);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reported_once_when_it_is_quiet, begin, end),
        cmocka_unit_test_setup_teardown(one_that_goes_and_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(each_of_several, begin, end),
        cmocka_unit_test_setup_teardown(among_one_that_always_changes, begin, end),
        cmocka_unit_test_setup_teardown(only_those_of_the_configuration, begin, end),
    };
    return cmocka_run_group_tests_name("file_watch", tests, make_folder, remove_folder);
}
