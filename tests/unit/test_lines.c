/* The lines of a log of any length, and what is freed with them (sanitizers). */
#include "helper.h"

#include "ledger/lines.h"

#include <unistd.h>

static bool no_memory;
void *__wrap_realloc(void *p, size_t n);
void *__real_realloc(void *p, size_t n);

void *__wrap_realloc(void *p, size_t n)
{
    return no_memory ? NULL : __real_realloc(p, n);
}

static char path[] = "/tmp/suitegate-lines-XXXXXX";
static struct text written;

static void add(size_t n, char filling, const char *end)
{
    for (size_t i = 0; i < n; i++) text_add(&written, (const char[]){filling, '\0'});
    text_add(&written, end);
}

static struct lines *begin(void)
{
    struct text errors = {0};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text_string(&written), 1, written.size, f), written.size);
    assert_int_equal(fclose(f), 0);
    text_fini(&written);
    struct lines *lines = lines_open(path, &errors);
    assert_non_null(lines);
    return lines;
}

static void assert_next(struct lines *lines, size_t n, char filling, bool ended)
{
    struct line_view line;
    assert_true(lines_next(lines, &line));
    assert_int_equal(line.n, n);
    assert_int_equal(line.ended, ended);
    for (size_t i = 0; i < n; i++) assert_int_equal(line.p[i], filling);
    assert_int_equal(line.p[n], '\0');
}

/* 256 KiB are read at once; longer lines are whole all the same. */
static void around_the_buffers_size(void **state)
{
    (void)state;
    enum { SIZE = 256 << 10 };
    struct line_view line;
    for (size_t n = SIZE - 2; n <= SIZE + 2; n++) {
        add(n, 'a', "\n");
        add(0, 'b', "\n");
        add(3 * n, 'c', "\n");
        add(5, 'd', "");
        struct lines *lines = begin();
        assert_next(lines, n, 'a', true);
        assert_next(lines, 0, 'b', true);
        assert_next(lines, 3 * n, 'c', true);
        assert_int_equal(lines_number(lines), 3);
        assert_next(lines, 5, 'd', false);
        assert_false(lines_next(lines, &line));
        assert_false(lines_failed(lines));
        lines_close(lines);
    }
}

static void a_line_over_the_limit_is_cut(void **state)
{
    (void)state;
    struct line_view line;
    add(LINES_LIMIT + 100, 'a', "\n");
    add(3, 'b', "\n");
    struct lines *lines = begin();
    assert_true(lines_next(lines, &line));
    assert_true(line.n >= LINES_LIMIT && !line.ended);
    assert_next(lines, 3, 'b', true);
    lines_close(lines);
}

/* A reader without memory fails; it does not pass off a part as the line. */
static void no_memory_for_a_long_line(void **state)
{
    (void)state;
    struct line_view line;
    add(5, 'a', "\n");
    add(300 << 10, 'b', "\n");
    struct lines *lines = begin();
    assert_next(lines, 5, 'a', true);
    no_memory = true;
    assert_false(lines_next(lines, &line));
    no_memory = false;
    assert_true(lines_failed(lines));
    lines_close(lines);
}

static void no_file(void **state)
{
    (void)state;
    struct text errors = {0};
    assert_null(lines_open("/nonexistent/log", &errors));
    assert_non_null(strstr(text_string(&errors), "/nonexistent/log"));
    text_fini(&errors);
    lines_close(NULL);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(around_the_buffers_size),
        cmocka_unit_test(a_line_over_the_limit_is_cut),
        cmocka_unit_test(no_memory_for_a_long_line),
        cmocka_unit_test(no_file),
    };
    return cmocka_run_group_tests_name("lines", tests, set_up, tear_down);
}
