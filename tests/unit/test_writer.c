/* The audit file's writer: order, answers, and that no line is lost, torn or doubled if the file
 * cannot be written for a while, is reopened, or is a pipe without a reader. */
#include "helper.h"

#include "../../src/audit/output.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1000, ALARM_SECONDS = 10 };

static char directory[] = "/tmp/suitegate-writer-XXXXXX";
static char path[64], other[64], third[64];

/* ---- the callers that wait for records ---- */

static unsigned yes, no;
static struct ev_loop *loop;

/* Only the first answer counts. */
static void count_answer(void *context, uint64_t number, bool written)
{
    unsigned *times = context, before = times[number]++;
    if (before == 0)
        written ? yes++ : no++;
    else
        assert_true(written && before == 1);
}

static bool answered(unsigned expected_yes, unsigned expected_no)
{
    return yes == expected_yes && no == expected_no;
}

/* The writer's loop runs for some ms. */
static void pump_ms(long ms)
{
    int64_t until = clock_steady_ns() + ms * 1000000;
    ev_run(loop, EVRUN_NOWAIT);
    while (clock_steady_ns() < until) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        ev_run(loop, EVRUN_NOWAIT);
    }
}

#define WAIT_FOR(condition)                                   \
    for (unsigned turn_ = 0; !(condition); turn_++) {         \
        if (turn_ > 2000) fail_msg("waited for " #condition); \
        pump_ms(turn_ ? 5 : 0);                               \
    }

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);

static atomic_uint bad_syncs; /* so many fail */
static atomic_bool append_only;
static char synced[128]; /* the path of what fsync() was called for last */

int __wrap_fdatasync(int fd)
{
    if (atomic_load(&bad_syncs) == 0) return __real_fdatasync(fd);
    atomic_fetch_sub(&bad_syncs, 1);
    errno = EIO;
    return -1;
}

int __wrap_fsync(int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, synced, sizeof synced - 1);
    synced[n > 0 ? n : 0] = '\0';
    return __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t size)
{
    if (!atomic_load(&append_only)) return __real_ftruncate(fd, size);
    errno = EPERM;
    return -1;
}

static unsigned told[200];

/* A line that begins with its number, and so long that half of it is many bytes. */
static void submit(struct writer *w, unsigned number)
{
    struct text line = {0};
    text_printf(&line, "{\"number\":%010u,\"filler\":\"", number);
    while (line.size < LINE_SIZE - 200) text_add(&line, "x");
    text_add(&line, "\",\"event\":{\"a\":1");
    told[number] = 0;
    writer_submit(w, (struct audit_stamp){.action = AUDIT_CONNECTION_REFUSED}, &line,
                  &(struct writer_reply){count_answer, told, number});
}

/* The content of n bytes of a log: whole lines of one chain. */
struct found {
    unsigned first, last; /* numbered lines, first up to last, without a gap */
    unsigned checkpoints, repairs;
    struct chain chain; /* the last one's */
};

static void look_at_line(struct found *f, const char *line, size_t n)
{
    struct chain_line sealed;
    char hash[CHAIN_HASH + 1];
    unsigned number;
    assert_true(chain_read(line, n, &sealed));
    if (f->chain.sequence) {
        assert_int_equal(sealed.sequence, f->chain.sequence + 1);
        assert_true(chain_hash(f->chain.hash, line, sealed.covered, hash));
        assert_memory_equal(hash, sealed.hash, CHAIN_HASH);
    }
    f->chain.sequence = sealed.sequence;
    memcpy(f->chain.hash, sealed.hash, CHAIN_HASH);
    f->checkpoints += memmem(line, n, "\"log-checkpoint\"", 16) != NULL;
    f->repairs += memmem(line, n, "\"log-repaired\"", 14) != NULL;
    if (sscanf(line, "{\"number\":%u", &number) != 1) return;
    if (f->last == f->first) f->first = f->last = number;
    assert_int_equal(number, f->last);
    f->last++;
}

static struct found look_at(const char *p, size_t n)
{
    struct found f = {0};
    const char *end = p + n;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        assert_non_null(newline);
        look_at_line(&f, p, (size_t)(newline - p));
        p = newline + 1;
    }
    return f;
}

static size_t read_file(const char *name, char *out, size_t size)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

static char content[20 * N_OF(told) * LINE_SIZE];

static struct found look_at_file(const char *name)
{
    return look_at(content, read_file(name, content, sizeof content));
}

/* The file has exactly these numbered lines. */
static struct found check_file(const char *name, unsigned first, unsigned last)
{
    struct found f = look_at_file(name);
    assert_int_equal(f.first, first);
    assert_int_equal(f.last, last);
    return f;
}

static size_t size_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? (size_t)st.st_size : 0;
}

static char key_path[80], state_path[80];
static const struct audit_origin origin = {"gate", "2021", "digest"};

static struct audit_config config_of(const char *name)
{
    return (struct audit_config){.file = (char *)name, .sync = SYNC_INTERVAL};
}

static struct writer *begin(const char *name)
{
    struct text errors = {0};
    struct audit_config config = config_of(name);
    struct writer *w = writer_new(loop, &config, &origin, "clerk", NULL, &errors);
    if (!w) fail_msg("%s", text_string(&errors));
    yes = no = 0;
    return w;
}

static void reopen(struct writer *w, const char *name)
{
    struct text errors = {0};
    struct audit_config config = config_of(name);
    if (!writer_reopen(w, &config, NULL, &errors)) fail_msg("%s", text_string(&errors));
    text_fini(&errors);
}

/* Line 0 and the checkpoint after it are in the file; no other comes by itself so soon. */
static struct writer *begin_with_first(void)
{
    struct writer *w = begin(path);
    submit(w, 0);
    WAIT_FOR(answered(1, 0));
    WAIT_FOR(look_at_file(path).checkpoints == 1);
    return w;
}

/* No file of this process can grow beyond size; RLIM_INFINITY removes the limit. */
static void limit_files(rlim_t size)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = size == RLIM_INFINITY ? l.rlim_max : size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static int each(void **state);

/* ---- tests ---- */

static void in_order(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    assert_string_equal(synced, directory); /* a new file outlasts a power failure */
    for (unsigned i = 0; i < 150; i++) submit(w, i);
    WAIT_FOR(answered(150, 0));
    check_file(path, 0, 150); /* all answered lines are in the file */
    assert_true(!writer_is_failing(w) && writer_has_room(w));
    for (unsigned i = 150; i < 160; i++) submit(w, i);
    assert_int_equal(writer_free(w), 0);
    assert_true(answered(160, 0));
    struct found f = check_file(path, 0, 160);
    assert_int_equal(f.checkpoints, 2);
    assert_int_equal(f.chain.sequence, 162);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
    assert_int_equal(stat(key_path, &st), 0);
    assert_int_equal(st.st_mode & 0077, 0);
}

static void assert_cannot_open(const char *name, const char *says)
{
    struct text errors = {0};
    struct audit_config config = config_of(name);
    assert_null(writer_new(loop, &config, &origin, "clerk", NULL, &errors));
    assert_non_null(strstr(text_string(&errors), says));
    text_fini(&errors);
}

static void no_file(void **state)
{
    (void)state;
    struct text errors = {0};
    struct audit_config config = config_of(directory);
    assert_cannot_open(directory, directory);
    struct writer *w = begin(path);
    assert_false(writer_reopen(w, &config, NULL, &errors));
    assert_non_null(strstr(text_string(&errors), directory));
    text_fini(&errors);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 1);
}

/* One log, one process, and one writer within it. */
static void only_one_writer(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    assert_cannot_open(path, "another process is writing this log");
    unlink(state_path); /* the file itself is locked too */
    assert_cannot_open(path, "another process is writing this log");
    assert_int_equal(writer_free(w), 0);
    w = begin(path);
    assert_int_equal(writer_free(w), 0);
}

/* A new file of the same name does not help: the state is the first writer's. */
static void only_one_writer_of_a_state(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    assert_int_equal(rename(path, other), 0);
    char says[160];
    snprintf(says, sizeof says, "audit state %s: another process is writing this log", state_path);
    assert_cannot_open(path, says);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(writer_free(w), 0);
}

static void a_key_for_others_is_none(void **state)
{
    (void)state;
    assert_int_equal(writer_free(begin(path)), 0);
    chmod(key_path, 0640);
    assert_cannot_open(path, "chmod 600");
    chmod(key_path, 0600);
    assert_int_equal(truncate(key_path, 10), 0);
    assert_cannot_open(path, "no ECDSA P-256 private key");
}

static void the_chain_goes_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct writer *w = begin(path);
        submit(w, i);
        assert_int_equal(writer_free(w), 0);
    }
    struct found f = check_file(path, 0, 4);
    assert_int_equal(f.repairs, 0);
    /* Rotated while no proxy ran: the state file shows it. */
    assert_int_equal(rename(path, other), 0);
    struct writer *w = begin(path);
    submit(w, 4);
    assert_int_equal(writer_free(w), 0);
    struct found next = check_file(path, 4, 5);
    assert_int_equal(next.repairs, 0);
    assert_int_equal(next.chain.sequence - f.chain.sequence, next.checkpoints + 1);
}

static void append_to(const char *name, const char *s)
{
    FILE *f = fopen(name, "a");
    assert_non_null(f);
    fputs(s, f);
    fclose(f);
}

/* A kill in the middle of a line: the part is removed, and a record keeps it. */
static void half_a_line_from_before(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    append_to(path, "{\"@timestamp\":\"2026-");
    w = begin(path);
    submit(w, 1);
    assert_int_equal(writer_free(w), 0);
    assert_int_equal(check_file(path, 0, 2).repairs, 1);
    size_t n = read_file(path, content, sizeof content);
    assert_non_null(memmem(content, n, "\"torn\":\"{\\\"@timestamp\\\":\\\"2026-\"", 32));
}

/* Of a file that may only be appended to, half a line cannot be taken out: it gets an end. */
static void half_a_line_that_stays(void **state)
{
    (void)state;
    static const char half[] = "{\"@timestamp\":\"2026-";
    struct writer *w = begin(path);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    size_t before = size_of(path);
    append_to(path, half);
    atomic_store(&append_only, true);
    w = begin(path);
    atomic_store(&append_only, false);
    submit(w, 1);
    assert_int_equal(writer_free(w), 0);
    size_t n = read_file(path, content, sizeof content), behind = before + strlen(half);
    assert_memory_equal(content + before, half, strlen(half));
    assert_memory_equal(content + behind, "\n{", 2);
    struct found f = look_at(content + behind + 1, n - behind - 1);
    assert_int_equal(f.repairs, 1);
    assert_int_equal(f.first, 1);
    assert_int_equal(f.last, 2);
    assert_non_null(memmem(content, n, "cannot be taken out", 19));
}

/* What a disk has refused may be lost: the log says so once it is there again. */
static void a_disk_with_an_error(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    reopen(w, path); /* a checkpoint, and a sync with it */
    for (unsigned i = 1; i < 4; i++) {
        atomic_store(&bad_syncs, 1);
        submit(w, i);
        assert_true(rename(path, other) == 0);
        reopen(w, path);
        WAIT_FOR(size_of(path) > 0);
        WAIT_FOR(atomic_load(&bad_syncs) == 0);
        WAIT_FOR(!writer_is_failing(w));
    }
    assert_int_equal(writer_free(w), 0);
    size_t n = read_file(path, content, sizeof content);
    assert_non_null(memmem(content, n, "The disk had an error", 21));
}

/* Foreign content is not removed. */
static void half_a_line_of_others(void **state)
{
    (void)state;
    append_to(path, "{\"half\":");
    struct writer *w = begin(path);
    submit(w, 0);
    assert_int_equal(writer_free(w), 0);
    size_t n = read_file(path, content, sizeof content);
    assert_memory_equal(content, "{\"half\":\n", 9);
    struct found f = look_at(content + 9, n - 9);
    assert_int_equal(f.repairs, 1);
}

/* The end of the log was cut off while no proxy ran: the chain shows the gap. */
static void a_cut_end(void **state)
{
    (void)state;
    struct writer *w = begin(path);
    for (unsigned i = 0; i < 10; i++) submit(w, i);
    assert_int_equal(writer_free(w), 0);
    size_t n = read_file(path, content, sizeof content);
    char missing[64];
    snprintf(missing, sizeof missing, "\"missing_from\":4,\"missing_to\":%u}",
             (unsigned)look_at(content, n).chain.sequence);
    char *cut = content;
    for (unsigned i = 0; i < 3; i++) cut = memchr(cut, '\n', n) + 1;
    assert_int_equal(truncate(path, cut - content), 0);
    w = begin(path);
    submit(w, 10);
    assert_int_equal(writer_free(w), 0);
    size_t m = read_file(path, content, sizeof content);
    struct found f = look_at(cut, m - (size_t)(cut - content));
    assert_int_equal(f.repairs, 1);
    assert_int_equal(f.first, 10);
    assert_non_null(memmem(cut, 4096, missing, strlen(missing)));
}

/* room: what the file still takes; nothing, half a line, a line and a half. */
static void a_full_disk(void **state)
{
    (void)state;
    static const unsigned rooms[] = {0, LINE_SIZE / 2, LINE_SIZE * 3 / 2};
    for (size_t i = 0; i < N_OF(rooms); i++) {
        unlink(path);
        unlink(state_path);
        unsigned whole = rooms[i] / LINE_SIZE;
        struct writer *w = begin_with_first();
        limit_files(size_of(path) + rooms[i]);
        for (unsigned k = 1; k < 6; k++) submit(w, k);
        WAIT_FOR(answered(1 + whole, 5 - whole));
        assert_true(writer_is_failing(w));
        assert_true(writer_has_room(w));
        submit(w, 6); /* later callers are answered, too */
        WAIT_FOR(answered(1 + whole, 6 - whole));
        limit_files(RLIM_INFINITY);
        WAIT_FOR(!writer_is_failing(w));
        submit(w, 7);
        WAIT_FOR(answered(2 + whole, 6 - whole));
        assert_int_equal(writer_free(w), 0);
        check_file(path, 0, 8);
    }
}

/* A reload that keeps the name while half a line is in the file. */
static void the_same_file_again(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    limit_files(size_of(path) + LINE_SIZE * 3 / 2);
    for (unsigned i = 1; i < 5; i++) submit(w, i);
    WAIT_FOR(answered(2, 3));
    reopen(w, path);
    limit_files(RLIM_INFINITY);
    reopen(w, path);
    WAIT_FOR(!writer_is_failing(w));
    for (unsigned i = 5; i < 100; i++) {
        submit(w, i);
        if (i % 5 == 0) reopen(w, path);
    }
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 100);
}

/* Rotation: the cut line goes whole into the new file and is removed from the old one. */
static void a_rotation(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    limit_files(size_of(path) + LINE_SIZE * 3 / 2);
    for (unsigned i = 1; i < 3; i++) submit(w, i);
    WAIT_FOR(answered(2, 1));
    assert_int_equal(rename(path, other), 0);
    reopen(w, path);
    WAIT_FOR(!writer_is_failing(w));
    limit_files(RLIM_INFINITY);
    submit(w, 3);
    assert_int_equal(writer_free(w), 0);
    struct found old = check_file(other, 0, 2), new = check_file(path, 2, 4);
    unsigned lines = new.last - new.first + new.checkpoints;
    assert_int_equal(new.chain.sequence, old.chain.sequence + lines);
}

/* Each file begins and ends with a checkpoint, so it can be verified alone. */
static void checkpoints_around_a_rotation(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    submit(w, 1);
    WAIT_FOR(answered(2, 0));
    assert_int_equal(rename(path, other), 0);
    reopen(w, path);
    WAIT_FOR(size_of(path) > 0);
    assert_int_equal(look_at_file(path).checkpoints, 1);
    submit(w, 2);
    assert_int_equal(writer_free(w), 0);
    assert_int_equal(check_file(other, 0, 2).checkpoints, 2);
    assert_int_equal(check_file(path, 2, 3).checkpoints, 2);
}

/* Another path is another log: waiting records go into its chain. */
static void another_log(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    limit_files(size_of(path) + LINE_SIZE * 3 / 2);
    for (unsigned i = 1; i < 3; i++) submit(w, i);
    WAIT_FOR(answered(2, 1));
    reopen(w, other);
    WAIT_FOR(!writer_is_failing(w));
    limit_files(RLIM_INFINITY);
    assert_int_equal(writer_free(begin(path)), 0); /* released, so another writer can take it */
    submit(w, 3);
    assert_int_equal(writer_free(w), 0);
    check_file(path, 0, 2);
    struct found f = check_file(other, 2, 4);
    assert_int_equal(f.chain.sequence, 2 + f.checkpoints);
}

static size_t descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

/* Reloads without a record between them: the last one counts, and no descriptor is left. */
static void reloads_in_a_row(void **state)
{
    (void)state;
    static const struct {
        const char *paths[4];
        const char *last;
    } rows[] = {
        {{other, other}, other}, {{other, other, other}, other},
        {{path, path}, path},    {{path, other, other}, other},
        {{other, third}, third}, {{other, third, third}, third},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        each(state);
        size_t open_before = descriptors();
        struct writer *w = begin_with_first();
        submit(w, 1);
        WAIT_FOR(answered(2, 0));
        for (size_t k = 0; rows[i].paths[k]; k++) reopen(w, rows[i].paths[k]);
        submit(w, 2);
        assert_int_equal(writer_free(w), 0);
        assert_int_equal(descriptors(), open_before);
        bool stays = rows[i].last == path;
        struct found old = check_file(path, 0, stays ? 3 : 2);
        if (stays) continue;
        struct found new = check_file(rows[i].last, 2, 3);
        assert_int_equal(new.chain.sequence, 1 + new.checkpoints);
        assert_int_equal(old.chain.sequence, 2 + old.checkpoints);
    }
}

static void a_deleted_file(void **state)
{
    (void)state;
    struct writer *w = begin_with_first();
    unlink(path);
    submit(w, 1);
    WAIT_FOR(answered(2, 0));
    struct found f = check_file(path, 1, 2);
    assert_int_equal(writer_free(w), 0);
    f = check_file(path, 1, 2);
    assert_int_equal(f.repairs, 1);
}

static void a_checkpoint_after_many(void **state)
{
    (void)state;
    static char many[WRITER_CHECKPOINT_RECORDS * 3 * 200];
    struct writer *w = begin(path);
    for (unsigned i = 0; i < WRITER_CHECKPOINT_RECORDS * 5 / 2; i++) {
        struct text line = {0};
        text_add(&line, "{\"event\":{\"a\":1");
        writer_submit(w, (struct audit_stamp){.action = AUDIT_CONNECTION_CLOSED}, &line, NULL);
        if (i % 100 == 99) pump_ms(1);
    }
    assert_int_equal(writer_free(w), 0);
    struct found f = look_at(many, read_file(path, many, sizeof many));
    assert_in_range(f.checkpoints, 3, 6);
}

/* It counts as a file that cannot be written; a later reader gets all of it. */
static void a_pipe_that_nobody_reads(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    struct writer *w = begin(path);
    for (unsigned i = 0; i < 150; i++) submit(w, i);
    WAIT_FOR(writer_is_failing(w));
    WAIT_FOR(yes + no == 150);
    assert_true(yes > 0 && no > 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    /* A page is free: the next attempt is cut in the middle of a line. */
    ssize_t page = read(fd, content, 4096);
    assert_int_equal(page, 4096);
    size_t n = (size_t)page;
    pump_ms(500);
    /* This rotates nothing: the line continues where it stopped. */
    reopen(w, path);
    pump_ms(300);
    for (struct found f = {0}; f.last < 150;) {
        ssize_t got = read(fd, content + n, sizeof content - n);
        if (got > 0) n += (size_t)got;
        if (got <= 0) pump_ms(1);
        if (content[n - 1] == '\n') f = look_at(content, n);
    }
    WAIT_FOR(!writer_is_failing(w));
    assert_int_equal(writer_free(w), 0);
    close(fd);
}

/* What waits for a further sink goes on waiting over a reload that keeps it. */
static void a_reload_keeps_what_waits_for_a_copy(void **state)
{
    (void)state;
    enum { LINES = 20, PIPE = 4096 };
    char *copies[] = {other};
    struct text errors = {0};
    struct audit_config config = config_of(path);
    config.copies.items = copies;
    config.copies.n = 1;
    assert_int_equal(mkfifo(other, 0600), 0);
    int fd = open(other, O_RDWR | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETPIPE_SZ, PIPE), PIPE);
    struct writer *w = writer_new(loop, &config, &origin, "clerk", NULL, &errors);
    assert_non_null(w);
    yes = no = 0;
    for (unsigned i = 0; i < LINES; i++) submit(w, i);
    WAIT_FOR(answered(LINES, 0));
    assert_true(writer_reopen(w, &config, NULL, &errors));
    size_t n = 0;
    struct found f = {0};
    for (unsigned turn = 0; f.last < LINES; turn++) {
        ssize_t got = read(fd, content + n, sizeof content - n);
        n += got > 0 ? (size_t)got : 0;
        if (n > 0 && content[n - 1] == '\n') f = look_at(content, n);
        if (turn > 1000) fail_msg("the copy has %u lines", f.last);
        pump_ms(5);
    }
    assert_int_equal(f.first, 0);
    assert_int_equal(writer_free(w), 0);
    close(fd);
}

/* Nothing delays the end of the process, and what was not written is counted. */
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
    struct writer *w = begin("/dev/full");
    for (unsigned i = 0; i < WRITER_QUEUE_LIMIT; i++) {
        assert_true(writer_has_room(w));
        struct text line = {0};
        text_add(&line, "{\"event\":{\"a\":1");
        writer_submit(w, (struct audit_stamp){.action = AUDIT_CONNECTION_REFUSED}, &line, NULL);
    }
    assert_false(writer_has_room(w));
    assert_int_equal(writer_free(w), WRITER_QUEUE_LIMIT);
}

/* Long records fill it by their bytes. */
static void a_bounded_queue_of_bytes(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, MOST = WRITER_QUEUE_BYTES / LONG };
    struct writer *w = begin("/dev/full");
    for (unsigned i = 0; i < MOST; i++) {
        assert_true(writer_has_room(w));
        struct text line = {0};
        text_add(&line, "{\"filler\":\"");
        char *filler = text_extend(&line, LONG);
        assert_non_null(filler);
        memset(filler, 'x', LONG);
        text_add(&line, "\",\"event\":{\"a\":1");
        writer_submit(w, (struct audit_stamp){.action = AUDIT_CONNECTION_REFUSED}, &line, NULL);
    }
    assert_false(writer_has_room(w));
    assert_int_equal(writer_free(w), MOST);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return 1;
    snprintf(path, sizeof path, "%s/audit", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    snprintf(third, sizeof third, "%s/third", directory);
    snprintf(key_path, sizeof key_path, "%s.key", path);
    snprintf(state_path, sizeof state_path, "%s.state", path);
    signal(SIGXFSZ, SIG_IGN);
    loop = ev_loop_new(EVFLAG_AUTO);
    if (!loop) return 1;
    return 0;
}

/* A call that never ends is a failure like any other. */
static int each(void **state)
{
    (void)state;
    static const char *const names[] = {path, other, third}, *const ends[] = {"", ".key", ".state"};
    for (size_t i = 0; i < N_OF(names) * N_OF(ends); i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", names[i / N_OF(ends)], ends[i % N_OF(ends)]);
        unlink(name);
    }
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
    ev_loop_destroy(loop);
    return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_order),
        TEST(no_file),
        TEST(only_one_writer),
        TEST(only_one_writer_of_a_state),
        TEST(a_key_for_others_is_none),
        TEST(the_chain_goes_on),
        TEST(half_a_line_from_before),
        TEST(half_a_line_that_stays),
        TEST(half_a_line_of_others),
        TEST(a_cut_end),
        TEST(a_full_disk),
        TEST(a_disk_with_an_error),
        TEST(the_same_file_again),
        TEST(a_rotation),
        TEST(checkpoints_around_a_rotation),
        TEST(another_log),
        TEST(reloads_in_a_row),
        TEST(a_deleted_file),
        TEST(a_checkpoint_after_many),
        TEST(a_pipe_that_nobody_reads),
        TEST(a_reload_keeps_what_waits_for_a_copy),
        TEST(the_end_beside_a_full_pipe),
        TEST(a_bounded_queue),
        TEST(a_bounded_queue_of_bytes),
    };
    return cmocka_run_group_tests_name("writer", tests, set_up, tear_down);
}
