/* A sink that does not keep up: its queue is bounded, refusals are dropped last, and what was
 * dropped is recorded. */
#include "helper.h"

#include "audit/mirror.h"

#include "../../src/audit/line.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ALARM_SECONDS = 60 };
static const int64_t second = 1000000000;

static char directory[] = "/tmp/suitegate-mirror-XXXXXX";
static char path[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t told;

static void count_dropped(void *context, const char *sink, uint64_t count)
{
    (void)context;
    (void)sink;
    pthread_mutex_lock(&lock);
    told += count;
    pthread_mutex_unlock(&lock);
}

static const struct mirror_report report = {count_dropped, NULL};

static uint64_t told_so_far(void)
{
    pthread_mutex_lock(&lock);
    uint64_t n = told;
    pthread_mutex_unlock(&lock);
    return n;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static _Atomic int64_t later; /* how much later the program's clock is */
int64_t __wrap_clock_steady_ns(void);
int64_t __real_clock_steady_ns(void);

int64_t __wrap_clock_steady_ns(void)
{
    return __real_clock_steady_ns() + later;
}

static void add(struct mirror *m, enum audit_action action, size_t size)
{
    static char filling[1 << 20];
    struct text text = {0};
    if (!filling[0]) memset(filling, 'x', sizeof filling);
    text_add(&text, action == AUDIT_CONNECTION_REFUSED ? "R" : "o");
    text_add_bytes(&text, filling, size - 2);
    text_add(&text, "\n");
    struct line *line = line_new((struct audit_stamp){.action = action}, &text);
    assert_non_null(line);
    mirror_add(m, line);
    line_release(line);
}

/* Reads until nothing comes; counts the lines that begin with each letter. */
static void drain(int fd, size_t *refused, size_t *opened)
{
    static char block[1 << 16];
    bool begins = true;
    *refused = *opened = 0;
    for (unsigned quiet = 0; quiet < 40;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n <= 0) {
            quiet++;
            pause_ms(10);
            continue;
        }
        quiet = 0;
        for (ssize_t i = 0; i < n; i++) {
            *refused += begins && block[i] == 'R';
            *opened += begins && block[i] == 'o';
            begins = block[i] == '\n';
        }
    }
}

/* A mirror of a pipe; only *fd reads it. */
static struct mirror *begin_with_pipe(int *fd)
{
    assert_int_equal(mkfifo(path, 0600), 0);
    *fd = open(path, O_RDWR | O_NONBLOCK);
    struct mirror *m = mirror_new(path, false, &report);
    assert_non_null(m);
    return m;
}

static void refusals_are_left_out_last(void **state)
{
    (void)state;
    size_t refused, opened;
    int fd;
    struct mirror *m = begin_with_pipe(&fd);
    for (unsigned i = 0; i < MIRROR_QUEUE_LIMIT; i++) add(m, AUDIT_CONNECTION_OPENED, 100);
    for (unsigned i = 0; i < MIRROR_QUEUE_LIMIT / 8; i++) add(m, AUDIT_CONNECTION_REFUSED, 100);
    drain(fd, &refused, &opened);
    assert_int_equal(refused, MIRROR_QUEUE_LIMIT / 8);
    assert_in_range(opened, MIRROR_QUEUE_LIMIT / 4 * 3 - 10, MIRROR_QUEUE_LIMIT / 8 * 7);
    for (unsigned turn = 0; told_so_far() == 0 && turn < 500; turn++) pause_ms(10);
    assert_int_equal(told_so_far(), MIRROR_QUEUE_LIMIT - opened);
    mirror_free(m);
    close(fd);
}

/* Long lines fill it by their bytes, each time after it was emptied. */
static void memory_is_bounded_too(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, MOST = MIRROR_QUEUE_BYTES / LONG };
    size_t refused, opened;
    int fd;
    struct mirror *m = begin_with_pipe(&fd);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < 100; i++) add(m, AUDIT_CONNECTION_OPENED, LONG);
        for (unsigned i = 0; i < 100; i++) add(m, AUDIT_CONNECTION_REFUSED, LONG);
        drain(fd, &refused, &opened);
        assert_in_range(opened, MOST / 4 * 3, MOST / 4 * 3 + 2);
        assert_in_range(opened + refused, MOST, MOST + 2);
    }
    mirror_free(m);
    close(fd);
}

/* 65,507 bytes are what a UDP datagram takes. */
static void too_large_for_a_datagram(void **state)
{
    (void)state;
    char name[64], got[256];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    snprintf(name, sizeof name, "udp:127.0.0.1:%u", ntohs(to.sin_port));
    struct mirror *m = mirror_new(name, true, &report);
    assert_non_null(m);
    add(m, AUDIT_CONNECTION_REFUSED, 100000);
    add(m, AUDIT_CONNECTION_REFUSED, 100);
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n > 100);
    got[n] = '\0';
    assert_non_null(strstr(got, " suitegate "));
    assert_non_null(strstr(got, " connection-refused - Rxx"));
    for (unsigned turn = 0; told_so_far() == 0 && turn < 500; turn++) pause_ms(10);
    assert_int_equal(told_so_far(), 1);
    mirror_free(m);
    close(fd);
}

/* A line that a full disk cut short continues where it stopped. */
static void a_full_disk(void **state)
{
    (void)state;
    enum { LINE = 1000, LINES = 10 };
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = LINE * 5 / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct mirror *m = mirror_new(path, false, &report);
    assert_non_null(m);
    for (unsigned i = 0; i < LINES; i++) add(m, AUDIT_CONNECTION_REFUSED, LINE);
    struct stat st = {0};
    for (unsigned turn = 0; st.st_size < (off_t)limit.rlim_cur && turn < 500; turn++) {
        pause_ms(10);
        if (stat(path, &st) != 0) st.st_size = 0;
    }
    pause_ms(100);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (unsigned turn = 0; st.st_size < LINE * LINES && turn < 500; turn++) {
        pause_ms(10);
        assert_int_equal(stat(path, &st), 0);
    }
    mirror_free(m);
    assert_int_equal(st.st_size, LINE * LINES);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char line[LINE + 2];
    for (unsigned i = 0; i < LINES; i++) {
        assert_non_null(fgets(line, sizeof line, f));
        assert_int_equal(strlen(line), LINE);
        assert_int_equal(line[0], 'R');
        assert_int_equal(line[LINE - 1], '\n');
    }
    fclose(f);
}

/* While the sink takes nothing: a minute after the first one that was dropped. */
static void what_was_dropped_is_reported_each_minute(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, MOST = MIRROR_QUEUE_BYTES / LONG, WAIT_MS = 1200 };
    int fd;
    struct mirror *m = begin_with_pipe(&fd);
    add(m, AUDIT_CONNECTION_REFUSED, 100000); /* a pipe takes 65,536 bytes of it */
    for (int i = 0; i < MOST; i++) add(m, AUDIT_CONNECTION_REFUSED, LONG);
    later = (MIRROR_REPORT_S - 10) * second;
    add(m, AUDIT_CONNECTION_REFUSED, LONG);
    pause_ms(WAIT_MS);
    assert_int_equal(told_so_far(), 0);
    later = (MIRROR_REPORT_S + 1) * second;
    for (unsigned turn = 0; told_so_far() == 0 && turn < 500; turn++) pause_ms(10);
    assert_int_equal(told_so_far(), 2);
    later = 0;
    mirror_free(m);
    close(fd);
}

/* Ends the mirror; the number of records that the operator is warned about. */
static size_t end_and_read_warning(struct mirror *m)
{
    char text[256] = "", file[] = "/tmp/suitegate-stderr-XXXXXX";
    size_t lost = 0;
    int before = dup(STDERR_FILENO), fd = mkstemp(file);
    assert_true(before >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    mirror_free(m);
    dup2(before, STDERR_FILENO);
    assert_true(pread(fd, text, sizeof text - 1, 0) >= 0);
    char *number = strstr(text, "did not get ");
    if (number) assert_int_equal(sscanf(number, "did not get %zu audit records", &lost), 1);
    close(before);
    close(fd);
    unlink(file);
    return lost;
}

/* The mirror's thread has filled the pipe: nothing more is written. */
static void wait_until_full(int fd)
{
    for (int before = -1, now = 0, same = 0; same < 5;) {
        pause_ms(20);
        assert_int_equal(ioctl(fd, FIONREAD, &now), 0);
        same = now == before && now > 0 ? same + 1 : 0;
        before = now;
    }
}

/* The warning counts what waited and what was dropped before. */
static void the_end_waits_for_nobody(void **state)
{
    (void)state;
    enum { LINES = MIRROR_QUEUE_LIMIT + 5000 };
    size_t refused, opened;
    int fd;
    struct mirror *m = begin_with_pipe(&fd);
    for (unsigned i = 0; i < LINES / 2; i++) add(m, AUDIT_CONNECTION_REFUSED, 100);
    wait_until_full(fd);
    for (unsigned i = LINES / 2; i < LINES; i++) add(m, AUDIT_CONNECTION_REFUSED, 100);
    size_t lost = end_and_read_warning(m);
    assert_int_equal(told_so_far(), lost);
    drain(fd, &refused, &opened);
    assert_true(lost > MIRROR_QUEUE_LIMIT);
    assert_in_range(lost + refused, LINES, LINES + 1); /* one may be half written */
    mirror_free(NULL);
    close(fd);
}

static void an_end_without_loss_is_silent(void **state)
{
    (void)state;
    size_t refused, opened;
    int fd;
    struct mirror *m = begin_with_pipe(&fd);
    for (unsigned i = 0; i < 10; i++) add(m, AUDIT_CONNECTION_REFUSED, 100);
    assert_int_equal(end_and_read_warning(m), 0);
    drain(fd, &refused, &opened);
    assert_int_equal(refused, 10);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return 1;
    snprintf(path, sizeof path, "%s/pipe", directory);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int each(void **state)
{
    (void)state;
    unlink(path);
    told = 0;
    alarm(ALARM_SECONDS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    alarm(0);
    unlink(path);
    return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup(name, each)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refusals_are_left_out_last),
        TEST(memory_is_bounded_too),
        TEST(too_large_for_a_datagram),
        TEST(a_full_disk),
        TEST(what_was_dropped_is_reported_each_minute),
        TEST(the_end_waits_for_nobody),
        TEST(an_end_without_loss_is_silent),
    };
    return cmocka_run_group_tests_name("mirror", tests, set_up, tear_down);
}
