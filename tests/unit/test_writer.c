/* The audit file's writer: order, answers, and that no line is lost, torn or doubled when the
 * file cannot be written for a while, is opened anew, or is a pipe that nobody reads. */
#include "helper.h"

#include "audit/writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1000, ALARM_SECONDS = 10 };

static char directory[] = "/tmp/suitegate-writer-XXXXXX";
static char path[64], other[64];

/* ---- who waits for records ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned yes, no;

static void count_answer(void *context, void *token, bool written)
{
    (void)context;
    pthread_mutex_lock(&lock);
    if ((*(unsigned *)token)++) abort(); /* told once; an assertion belongs to the main thread */
    written ? yes++ : no++;
    pthread_mutex_unlock(&lock);
}

static bool answered(unsigned expected_yes, unsigned expected_no)
{
    pthread_mutex_lock(&lock);
    bool so = yes == expected_yes && no == expected_no;
    pthread_mutex_unlock(&lock);
    return so;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

#define WAIT_FOR(condition)                                   \
    for (unsigned turn_ = 0; !(condition); turn_++) {         \
        if (turn_ > 2000) fail_msg("waited for " #condition); \
        pause_ms(5);                                          \
    }

static unsigned told[200];

static void submit(struct writer *w, unsigned number)
{
    char *line = malloc(LINE_SIZE + 1);
    assert_non_null(line);
    memset(line, 'x', LINE_SIZE);
    snprintf(line, 12, "%010u", number);
    line[10] = ' ';
    line[LINE_SIZE - 1] = '\n';
    line[LINE_SIZE] = '\0';
    told[number] = 0;
    writer_submit(w, line, NULL, &(struct writer_reply){count_answer, NULL, &told[number]});
}

/* Lines first up to last are what is in p, all of them whole and in order. */
static void check_lines(const char *p, size_t n, unsigned first, unsigned last)
{
    assert_int_equal(n, (size_t)(last - first) * LINE_SIZE);
    for (unsigned i = first; i < last; i++, p += LINE_SIZE) {
        assert_int_equal(strtoul(p, NULL, 10), i);
        assert_int_equal(p[LINE_SIZE - 1], '\n');
        assert_ptr_equal(memchr(p, '\n', LINE_SIZE), p + LINE_SIZE - 1);
    }
}

static size_t read_file(const char *name, char *out, size_t size)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

static void check_file(const char *name, unsigned first, unsigned last)
{
    static char content[N_OF(told) * LINE_SIZE + 1];
    check_lines(content, read_file(name, content, sizeof content), first, last);
}

static struct writer *begin(const char *name)
{
    struct text errors = {0};
    struct writer *w = writer_new(name, &errors);
    if (!w) fail_msg("%s", text_string(&errors));
    yes = no = 0;
    return w;
}

static void reopen(struct writer *w, const char *name)
{
    struct text errors = {0};
    assert_true(writer_reopen(w, name, &errors));
    text_fini(&errors);
}

/* No file of this process may grow beyond size; RLIM_INFINITY lifts that. */
static void limit_files(rlim_t size)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = size == RLIM_INFINITY ? l.rlim_max : size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* ---- tests ---- */

static void in_order(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    for (unsigned i = 0; i < 150; i++) submit(w, i);
    WAIT_FOR(answered(150, 0));
    check_file(path, 0, 150); /* who was told finds it there */
    assert_true(writer_available(w) && writer_has_room(w));
    for (unsigned i = 150; i < 160; i++) submit(w, i);
    assert_int_equal(writer_free(w), 0);
    assert_true(answered(160, 0));
    check_file(path, 0, 160);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
}

static void no_file(void **state)
{
    (void)state;
    struct text errors = {0};
    assert_null(writer_new(directory, &errors));
    assert_non_null(strstr(text_string(&errors), directory));
    text_fini(&errors);
    struct writer *w = begin(path);
    assert_false(writer_reopen(w, directory, &errors));
    assert_non_null(strstr(text_string(&errors), directory));
    text_fini(&errors);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 1);
}

static void half_a_line_from_before(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"half\":", f);
    fclose(f);
    struct writer *w = begin(path);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    char content[2 * LINE_SIZE];
    size_t n = read_file(path, content, sizeof content);
    assert_memory_equal(content, "{\"half\":\n", 9);
    check_lines(content + 9, n - 9, 0, 1);
}

/* room: what the file still takes; nothing, half a line, a line and a half. */
static void a_full_disk(void **state)
{
    (void)state;
    static const unsigned rooms[] = {0, LINE_SIZE / 2, LINE_SIZE * 3 / 2};
    for (size_t i = 0; i < N_OF(rooms); i++) {
        unlink(path);
        unsigned whole = rooms[i] / LINE_SIZE;
        struct writer *w = begin(path);
        limit_files(rooms[i]);
        for (unsigned k = 0; k < 5; k++) submit(w, k);
        WAIT_FOR(answered(whole, 5 - whole));
        assert_false(writer_available(w));
        assert_true(writer_has_room(w));
        submit(w, 5); /* who comes later is told as well */
        WAIT_FOR(answered(whole, 6 - whole));
        limit_files(RLIM_INFINITY);
        WAIT_FOR(writer_available(w));
        submit(w, 6);
        WAIT_FOR(answered(whole + 1, 6 - whole));
        assert_int_equal(writer_free(w), 0);
        check_file(path, 0, 7);
    }
}

/* A reload that keeps the name, in the moment when half a line is in the file. */
static void the_same_file_again(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    limit_files(LINE_SIZE * 3 / 2);
    for (unsigned i = 0; i < 4; i++) submit(w, i);
    WAIT_FOR(answered(1, 3));
    reopen(w, path);
    limit_files(RLIM_INFINITY);
    reopen(w, path);
    WAIT_FOR(writer_available(w));
    for (unsigned i = 4; i < 100; i++) {
        submit(w, i);
        if (i % 5 == 0) reopen(w, path);
    }
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 100);
}

/* Rotation: the line that was cut goes whole into the new file and out of the old one. */
static void another_file(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    limit_files(LINE_SIZE * 3 / 2);
    for (unsigned i = 0; i < 2; i++) submit(w, i);
    WAIT_FOR(answered(1, 1));
    reopen(w, other);
    WAIT_FOR(writer_available(w));
    limit_files(RLIM_INFINITY);
    submit(w, 2);
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 1);
    check_file(other, 1, 3);
}

/* It counts as a file that cannot be written; a reader that comes gets all of it. */
static void a_pipe_that_nobody_reads(void **state)
{
    (void)state;
    static char content[N_OF(told) * LINE_SIZE];
    assert_int_equal(mkfifo(path, 0600), 0);
    struct writer *w = begin(path);
    for (unsigned i = 0; i < 150; i++) submit(w, i);
    WAIT_FOR(!writer_available(w));
    WAIT_FOR(yes + no == 150);
    assert_true(yes > 0 && no > 0);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    size_t n = 0;
    while (n < (size_t)150 * LINE_SIZE) {
        ssize_t got = read(fd, content + n, sizeof content - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    check_lines(content, n, 0, 150);
    WAIT_FOR(writer_available(w));
    assert_int_equal(writer_free(w), 0);
    close(fd);
}

/* Nothing holds the end of the process, and what did not get out is counted. */
static void the_end_beside_a_full_pipe(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    struct writer *w = begin(path);
    for (unsigned i = 0; i < 150; i++) submit(w, i);
    size_t left = writer_free(w);
    assert_true(left > 0 && left < 150);
    assert_true(answered((unsigned)(150 - left), (unsigned)left));
}

static void a_bounded_queue(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/full", path), 0);
    struct writer *w = begin(path);
    for (unsigned i = 0; i < WRITER_QUEUE_LIMIT; i++) {
        assert_true(writer_has_room(w));
        char *line = strdup("{}\n");
        assert_non_null(line);
        writer_submit(w, line, NULL, NULL);
    }
    assert_false(writer_available(w));
    assert_false(writer_has_room(w));
    assert_false(writer_has_room(w));
    assert_int_equal(writer_free(w), WRITER_QUEUE_LIMIT + 2);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return 1;
    snprintf(path, sizeof path, "%s/audit", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

/* A thread that never ends is a failure like any other. */
static int each(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    alarm(ALARM_SECONDS);
    return 0;
}

static int after(void **state)
{
    (void)state;
    alarm(0);
    limit_files(RLIM_INFINITY);
    return 0;
}

static int tear_down(void **state)
{
    each(state);
    alarm(0);
    return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_order),
        TEST(no_file),
        TEST(half_a_line_from_before),
        TEST(a_full_disk),
        TEST(the_same_file_again),
        TEST(another_file),
        TEST(a_pipe_that_nobody_reads),
        TEST(the_end_beside_a_full_pipe),
        TEST(a_bounded_queue),
    };
    return cmocka_run_group_tests_name("writer", tests, set_up, tear_down);
}
