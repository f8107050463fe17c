/* The recorder, against a clerk that the test plays: order, answers, what is sent again, bounds,
 * and counted refusals. */
#include "helper.h"

#include "audit/frame.h"
#include "audit/recorder.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *loop;
static struct recording *shared;
static struct recorder *recorder;
static int clerk = -1; /* its end of the socket */
static const struct audit_origin origin = {"gate", "2021", "digest"};

/* The linker leads all calls here (the Makefile says so). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool no_memory;

void *__wrap_malloc(size_t n)
{
    return no_memory ? NULL : __real_malloc(n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return no_memory ? NULL : __real_realloc(p, n);
}

/* ---- callers ---- */

static unsigned yes, no;

static void count_answer(void *context, void *token, bool written)
{
    (void)context;
    assert_int_equal((*(unsigned *)token)++, 0); /* once */
    written ? yes++ : no++;
}

static unsigned told[64];

static struct audit_stamp render(const void *what, struct text *out)
{
    text_printf(out, "{\"line\":%u", *(const unsigned *)what);
    return (struct audit_stamp){.action = AUDIT_CONNECTION_CLOSED, .level = AUDIT_WARNING};
}

static void submit(unsigned number, bool waits)
{
    struct recorder_reply reply = {count_answer, NULL, &told[number % N_OF(told)]};
    told[number % N_OF(told)] = 0;
    recorder_submit_line(recorder, render, &number, waits ? &reply : NULL);
}

/* ---- the clerk ---- */

static void run(void)
{
    for (int i = 0; i < 4; i++) ev_run(loop, EVRUN_NOWAIT);
}

static void run_ms(int ms)
{
    for (int i = 0; i < ms; i++) {
        run();
        poll(NULL, 0, 1);
    }
}

static void say(enum frame_answer what, uint64_t number)
{
    uint8_t bytes[FRAME_ANSWER];
    frame_put_answer(what, number, bytes);
    assert_int_equal(write(clerk, bytes, sizeof bytes), sizeof bytes);
    run();
}

static void connect_clerk(uint64_t known)
{
    int ends[2];
    if (clerk >= 0) close(clerk);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    clerk = ends[1];
    recorder_connect(recorder, ends[0]);
    say(ANSWER_KNOWN, known);
}

static uint8_t received[1 << 22];
static size_t have, used; /* used: by the last frame */

/* The next frame; false when there is none. */
static bool next_frame(struct frame *f)
{
    have -= used;
    memmove(received, received + used, have);
    used = 0;
    for (;;) {
        struct span bytes = {received, have};
        enum frame_result result = frame_read(bytes, f, &used);
        assert_int_not_equal(result, FRAME_BAD);
        if (result == FRAME_WHOLE) return true;
        used = 0;
        ssize_t n = read(clerk, received + have, sizeof received - have);
        if (n <= 0) return false;
        have += (size_t)n;
        run();
    }
}

static void expect_lines(unsigned first, unsigned last, uint64_t number)
{
    struct frame f;
    for (unsigned i = first; i < last; i++, number++) {
        char line[32];
        snprintf(line, sizeof line, "{\"line\":%u", i);
        if (!next_frame(&f)) fail_msg("no line %u", i);
        assert_int_equal(f.number, number);
        assert_int_equal(f.line.n, strlen(line));
        assert_memory_equal(f.line.p, line, f.line.n);
        assert_int_equal(f.stamp.action, AUDIT_CONNECTION_CLOSED);
        assert_int_equal(f.stamp.level, AUDIT_WARNING);
    }
    assert_false(next_frame(&f));
}

/* ---- tests ---- */

static void records_arrive_in_order(void **state)
{
    (void)state;
    assert_false(recording_available(shared)); /* no clerk yet */
    connect_clerk(0);
    assert_true(recording_available(shared));
    for (unsigned i = 0; i < 40; i++) submit(i, false);
    run();
    struct frame f;
    assert_false(next_frame(&f)); /* they are gathered */
    submit(40, true);
    run();
    expect_lines(0, 41, 1);
    say(ANSWER_WRITTEN, 40);
    assert_int_equal(yes, 0);
    say(ANSWER_WRITTEN, 41);
    assert_int_equal(yes, 1);
    submit(41, false);
    run_ms(20);
    expect_lines(41, 42, 42);
}

static void a_file_that_cannot_be_written(void **state)
{
    (void)state;
    connect_clerk(0);
    for (unsigned i = 0; i < 3; i++) submit(i, true);
    run();
    say(ANSWER_WRITTEN, 1);
    say(ANSWER_FAILING, 3);
    assert_false(recording_available(shared));
    assert_true(recording_has_room(shared));
    assert_int_equal(yes, 1);
    assert_int_equal(no, 2);
    submit(3, true); /* at once: no caller waits for a disk */
    assert_int_equal(no, 3);
    run();
    expect_lines(0, 4, 1); /* all the same, it is sent */
    say(ANSWER_WRITTEN, 4);
    assert_true(recording_available(shared));
    assert_int_equal(yes, 1);
}

/* What the next clerk does not know is sent again, nothing twice. */
static void another_clerk(void **state)
{
    (void)state;
    connect_clerk(0);
    for (unsigned i = 0; i < 6; i++) submit(i, true);
    run();
    expect_lines(0, 6, 1);
    say(ANSWER_WRITTEN, 2);
    close(clerk);
    clerk = -1;
    run();
    submit(6, true); /* callers wait for the next one */
    run();
    assert_int_equal(yes, 2);
    assert_int_equal(no, 0);
    assert_true(recording_available(shared));
    have = used = 0;
    connect_clerk(4); /* the former one had written two more */
    run();
    assert_int_equal(yes, 4);
    expect_lines(4, 7, 5);
    say(ANSWER_WRITTEN, 7);
    assert_int_equal(yes, 7);
    assert_int_equal(no, 0);
    assert_true(recorder_finish(recorder, 0));
}

/* Clerks that die again and again do not keep callers waiting. */
static void no_clerk_for_long(void **state)
{
    (void)state;
    connect_clerk(0);
    submit(0, true);
    run();
    for (int i = 0; i < 4; i++) {
        close(clerk);
        run_ms(RECORDING_WAIT_S * 1000 / 5);
        have = used = 0;
        connect_clerk(0);
    }
    close(clerk);
    clerk = -1;
    run_ms(RECORDING_WAIT_S * 1000 / 2);
    assert_int_equal(no, 1);
    assert_int_equal(yes, 0);
    assert_false(recording_available(shared));
    submit(1, true);
    assert_int_equal(no, 2);
    have = used = 0;
    connect_clerk(0);
    run();
    expect_lines(0, 2, 1);
    assert_true(recording_available(shared));
}

static struct audit_stamp render_copy(const void *what, struct text *out)
{
    const struct text *line = what;
    text_add_bytes(out, line->data, line->size);
    return (struct audit_stamp){0};
}

/* A frame that was sent in part is sent as a whole to the next clerk. */
static void half_a_frame(void **state)
{
    (void)state;
    connect_clerk(0);
    enum { LONG = 1 << 20 };
    struct text line = {0};
    char *filler = text_extend(&line, AUDIT_RECORD_LIMIT - 10);
    assert_non_null(filler);
    memset(filler, 'x', line.size);
    for (size_t sent = 0; sent < LONG; sent += line.size) {
        recorder_submit_line(recorder, render_copy, &line, NULL);
    }
    run_ms(20); /* the socket is full now */
    have = used = 0;
    connect_clerk(0);
    run();
    struct frame f;
    unsigned found = 0;
    while (next_frame(&f)) {
        assert_int_equal(f.number, ++found);
        assert_int_equal(f.line.n, line.size);
        assert_memory_equal(f.line.p, line.data, line.size);
        run();
    }
    assert_int_equal(found, (LONG + line.size - 1) / line.size);
    text_fini(&line);
}

static void the_end_waits_for_the_clerk(void **state)
{
    (void)state;
    connect_clerk(0);
    submit(0, false);
    assert_false(recorder_finish(recorder, clock_steady_ns() + 20000000));
    expect_lines(0, 1, 1);
    say(ANSWER_FAILING, 1);
    assert_false(recorder_finish(recorder, INT64_MAX)); /* at once */
    say(ANSWER_WRITTEN, 1);
    assert_true(recorder_finish(recorder, INT64_MAX));
}

static void a_bounded_queue(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RECORDING_LIMIT; i++) {
        assert_true(recording_has_room(shared));
        submit(i, false);
    }
    assert_false(recording_has_room(shared));
    recorder_free(recorder);
    recorder = NULL;
    assert_int_equal(recording_free(shared), RECORDING_LIMIT); /* none is with a clerk */
    shared = NULL;
}

/* ---- counted refusals ---- */

/* The counts in the frames that are there. */
static unsigned counts_sent(const char *expected)
{
    static const char key[] = "\"repeated\":{\"count\":";
    unsigned sum = 0;
    struct frame f;
    recorder_submit_counts(recorder, &origin, INT64_MAX);
    for (run(); next_frame(&f); run()) {
        char text[AUDIT_RECORD_LIMIT + 1];
        memcpy(text, f.line.p, f.line.n);
        text[f.line.n] = '\0';
        assert_int_equal(f.stamp.action, AUDIT_CONNECTION_REFUSED_REPEATED);
        const char *p = strstr(text, key);
        assert_non_null(p);
        if (expected) assert_non_null(strstr(text, expected));
        sum += (unsigned)strtoul(p + sizeof key - 1, NULL, 10);
    }
    return sum;
}

static bool refuse(const char *ip, const struct recorder_reply *reply)
{
    struct addr source;
    assert_true(addr_from_ip(ip, 1234, &source));
    return recorder_count_refusal(recorder, &source, "front", "", REASON_CLIENT_NOT_TLS, &origin,
                                  reply);
}

/* A source that is refused without end gets some records and counts. */
static void counted_refusals(void **state)
{
    (void)state;
    enum { REFUSALS = 1000, LEAST = 200, MOST = 500 };
    unsigned counted = 0;
    connect_clerk(0);
    for (unsigned i = 0; i < REFUSALS; i++) {
        unsigned token = 0;
        bool one = refuse("192.0.2.1", &(struct recorder_reply){count_answer, NULL, &token});
        assert_int_equal(token, one); /* answered at once, or not at all */
        counted += one;
    }
    assert_in_range(counted, REFUSALS - MOST, REFUSALS - LEAST);
    assert_int_equal(yes, counted);
    assert_int_equal(counts_sent(NULL), counted);
}

/* Without a record of the process's own: the count comes by itself. */
static void a_count_comes_by_itself(void **state)
{
    (void)state;
    struct frame f;
    unsigned counted = 0;
    connect_clerk(0);
    for (unsigned i = 0; i < 300; i++) counted += refuse("192.0.2.1", NULL);
    assert_true(counted > 0);
    for (unsigned turn = 0; !next_frame(&f); turn++) {
        if (turn > 2000) fail_msg("no count");
        run_ms(10);
    }
    assert_int_equal(f.stamp.action, AUDIT_CONNECTION_REFUSED_REPEATED);
}

/* Of IPv6 all of a /64 is one source, and its count names the first address of it. */
static void counted_refusals_of_a_network(void **state)
{
    (void)state;
    unsigned counted = 0;
    connect_clerk(0);
    for (unsigned i = 0; i < 1000; i++) {
        char ip[48];
        snprintf(ip, sizeof ip, "2001:db8:1:2:%x:%x:%x:%x", i, 3 * i, 5 * i, i + 1);
        counted += refuse(ip, NULL);
    }
    assert_true(counted > 0);
    assert_int_equal(counts_sent("\"ip\":\"2001:db8:1:2::\""), counted);
}

/* More sources than places: the count that makes way is recorded, too. */
static void displaced_counts(void **state)
{
    (void)state;
    enum { SOURCES = 2200, EACH = 260 };
    unsigned counted = 0;
    connect_clerk(0);
    for (unsigned i = 0; i < SOURCES; i++) {
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.%u.%u", i >> 8, i & 255);
        for (unsigned k = 0; k < EACH; k++) counted += refuse(ip, NULL);
    }
    assert_int_equal(counts_sent(NULL), counted);
}

/* Nobody gets an answer for a record that cannot be written. */
static void no_count_while_the_file_fails(void **state)
{
    (void)state;
    connect_clerk(0);
    say(ANSWER_FAILING, 0);
    for (unsigned i = 0; i < 500; i++) {
        unsigned token = 0;
        (void)!refuse("2001:db8::1", &(struct recorder_reply){count_answer, NULL, &token});
    }
    assert_int_equal(yes, 0);
    assert_true(no > 1);
}

/* ---- frames ---- */

static void bad_frames(void **state)
{
    (void)state;
    uint8_t whole[FRAME_HEADER + 3];
    struct frame f = {.number = 7, .line = {(const uint8_t *)"abc", 3}}, out;
    frame_put_header(&f, whole);
    memcpy(whole + FRAME_HEADER, "abc", 3);
    assert_int_equal(frame_read((struct span){whole, sizeof whole}, &out, &used), FRAME_WHOLE);
    assert_int_equal(used, sizeof whole);
    for (size_t n = 0; n < sizeof whole; n++)
        assert_int_equal(frame_read((struct span){whole, n}, &out, &used), FRAME_PART);
    static const struct {
        size_t at;
        uint8_t byte;
    } rows[] = {{0, 1}, {20, 0xff}, {28, 0xff}, {30, 3}, {31, 2}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        uint8_t bad[sizeof whole];
        memcpy(bad, whole, sizeof whole);
        bad[rows[i].at] = rows[i].byte;
        assert_int_equal(frame_read((struct span){bad, sizeof bad}, &out, &used), FRAME_BAD);
    }
    f.line.n = 0;
    frame_put_header(&f, whole);
    assert_int_equal(frame_read((struct span){whole, sizeof whole}, &out, &used), FRAME_BAD);
    used = 0;
}

/* ---- without memory ---- */

static void submit_without_memory(unsigned number, bool waits)
{
    no_memory = true;
    submit(number, waits);
    no_memory = false;
}

/* They are sent in order and answered like all others; meanwhile no connection is accepted. */
static void records_have_memory_of_their_own(void **state)
{
    (void)state;
    connect_clerk(0);
    for (unsigned i = 0; i < 12; i++) {
        if (i % 3)
            submit_without_memory(i, true);
        else
            submit(i, true);
        assert_int_equal(recording_has_room(shared), i == 0);
    }
    run();
    expect_lines(0, 12, 1);
    say(ANSWER_WRITTEN, 11);
    assert_false(recording_has_room(shared));
    say(ANSWER_WRITTEN, 12);
    assert_true(recording_has_room(shared));
    assert_int_equal(yes, 12);
    assert_int_equal(no, 0);
}

static void that_memory_goes_round(void **state)
{
    (void)state;
    enum { AT_ONCE = 37, ROUNDS = 3000 }; /* some 10 MB */
    unsigned number = 0, written = 0;
    connect_clerk(0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < AT_ONCE; i++) submit_without_memory(number++, false);
        submit_without_memory(number++, true);
        run();
        expect_lines(written, number, written + 1);
        written = number;
        say(ANSWER_WRITTEN, number - 1 - round % AT_ONCE); /* the clerk is behind: it never ends */
        assert_false(recording_has_room(shared));
    }
    say(ANSWER_WRITTEN, number);
    assert_true(recording_has_room(shared));
    assert_int_equal(no, 0);
}

/* What is sent to the next clerk is still there. */
static void another_clerk_without_memory(void **state)
{
    (void)state;
    connect_clerk(0);
    for (unsigned i = 0; i < 6; i++) submit_without_memory(i, true);
    run();
    expect_lines(0, 6, 1);
    close(clerk);
    clerk = -1;
    run();
    have = used = 0;
    connect_clerk(2);
    run();
    expect_lines(2, 6, 3);
    say(ANSWER_WRITTEN, 6);
    assert_int_equal(yes, 6);
}

static void note_failure(void *context, void *token, bool written)
{
    (void)context;
    *(bool *)token = !written;
}

/* It ends, too: then a record is lost, and that is told. */
static void no_memory_at_all(void **state)
{
    (void)state;
    connect_clerk(0);
    struct text line = {0};
    char *filler = text_extend(&line, AUDIT_RECORD_LIMIT - 10);
    assert_non_null(filler);
    memset(filler, 'x', line.size);
    bool failed = false;
    struct recorder_reply reply = {note_failure, NULL, &failed};
    unsigned n = 0;
    no_memory = true;
    for (; !failed && n < 10000; n++) recorder_submit_line(recorder, render_copy, &line, &reply);
    no_memory = false;
    while (have < 1 << 20) { /* the clerk reads on */
        struct frame f;
        if (!next_frame(&f)) break;
    }
    text_fini(&line);
    assert_in_range(n, 200, 300); /* of 4 MiB */
}

static int each(void **state)
{
    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    shared = recording_new();
    recorder = loop && shared ? recorder_new(shared, loop) : NULL;
    yes = no = 0;
    have = used = 0;
    return recorder == NULL;
}

static int after(void **state)
{
    (void)state;
    recorder_free(recorder);
    recording_free(shared);
    ev_loop_destroy(loop);
    if (clerk >= 0) close(clerk);
    clerk = -1;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_arrive_in_order),
        TEST(a_file_that_cannot_be_written),
        TEST(another_clerk),
        TEST(no_clerk_for_long),
        TEST(half_a_frame),
        TEST(the_end_waits_for_the_clerk),
        TEST(a_bounded_queue),
        TEST(counted_refusals),
        TEST(a_count_comes_by_itself),
        TEST(counted_refusals_of_a_network),
        TEST(displaced_counts),
        TEST(no_count_while_the_file_fails),
        TEST(bad_frames),
        TEST(records_have_memory_of_their_own),
        TEST(that_memory_goes_round),
        TEST(another_clerk_without_memory),
        TEST(no_memory_at_all),
    };
    return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
