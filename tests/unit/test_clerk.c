/* The clerk as a process, with real recorders and with senders that misbehave: what is acknowledged
 * is in the file once, whoever dies, and nothing else is. */
#include "helper.h"

#include "audit/clerk.h"
#include "audit/frame.h"
#include "audit/recorder.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/post.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/suitegate-clerk-XXXXXX", path[64];
static const struct audit_origin origin = {"gate", "2021", "digest"};
static const struct audit_origin no_origin = {"gate", "2021", ""};
static struct ev_loop *loop;
static struct recording *shared;
static struct recorder *recorder;
static pid_t clerk;
static int post = -1;

static const int64_t second_ns = 1000000000;

/* ---- the clerk ---- */

static void start_clerk(void)
{
    struct text errors = {0};
    int ends[2];
    assert_true(post_pair(ends));
    clerk = fork();
    if (clerk == 0) {
        close(ends[0]);
        _exit(clerk_run(ends[1]) ? 0 : 2);
    }
    close(ends[1]);
    post = ends[0];
    struct audit_config config = {.file = path, .sync = SYNC_NONE};
    bool alive;
    if (!clerk_open(post, &config, &origin, -1, &alive, &errors))
        fail_msg("%s", text_string(&errors));
}

static int add_sender(enum audit_sender role, const char *name)
{
    struct text errors = {0};
    int fd = -1;
    bool alive;
    if (!clerk_add_sender(post, role, name, &fd, &alive, &errors))
        fail_msg("%s", text_string(&errors));
    return fd;
}

static int await_clerk(void)
{
    int status = -1;
    assert_int_equal(waitpid(clerk, &status, 0), clerk);
    clerk = 0;
    return status;
}

static void kill_clerk(void)
{
    kill(clerk, SIGKILL);
    await_clerk();
    close(post);
    post = -1;
}

static void end_clerk(size_t expected)
{
    struct text errors = {0};
    size_t lost = 99;
    assert_true(clerk_end(post, &lost, NULL, &errors));
    assert_int_equal(lost, expected);
    assert_int_equal(WEXITSTATUS(await_clerk()), expected ? 2 : 0);
    close(post);
    post = -1;
}

/* ---- records ---- */

static unsigned yes;

static void count_answer(void *context, void *token, bool written)
{
    (void)context;
    (void)token;
    yes += written;
}

static struct audit_stamp render(const void *what, struct text *line)
{
    const unsigned number = *(const unsigned *)what;
    struct json j = json_of(line);
    json_put_object(&j, NULL);
    json_put_string(&j, "@timestamp", "2026-11-29T00:00:00.000Z");
    json_put_number(&j, "line", number);
    json_put_object(&j, "event");
    json_put_string(&j, "dataset", "suitegate.audit");
    json_put_string(&j, "action", "connection-closed");
    return (struct audit_stamp){.action = AUDIT_CONNECTION_CLOSED};
}

static void submit(unsigned number)
{
    struct recorder_reply reply = {count_answer, NULL, NULL};
    recorder_submit_line(recorder, render, &number, &reply);
}

static char content[4 << 20];

/* The file's text, of which every line is the next one of the chain. */
static const char *read_log(void)
{
    FILE *f = fopen(path, "r");
    struct chain_line line;
    char hash[CHAIN_HASH + 1], before[CHAIN_HASH + 1];
    assert_non_null(f);
    size_t n = fread(content, 1, sizeof content - 1, f);
    fclose(f);
    content[n] = '\0';
    memset(before, '0', CHAIN_HASH);
    uint64_t sequence = 0;
    for (const char *p = content; *p; p = strchr(p, '\n') + 1) {
        assert_non_null(strchr(p, '\n'));
        assert_true(chain_read(p, strcspn(p, "\n"), &line));
        assert_int_equal(line.sequence, ++sequence);
        assert_true(chain_hash(before, p, line.covered, hash));
        assert_memory_equal(hash, line.hash, CHAIN_HASH);
        memcpy(before, hash, CHAIN_HASH);
    }
    return content;
}

/* Lines 0 up to `count` are there, each once, with the receipts of this sender in order. */
static void check_lines(const char *sender, unsigned count)
{
    const char *p = read_log();
    for (unsigned i = 0; i < count; i++) {
        char key[32], id[128];
        snprintf(key, sizeof key, "\"line\":%u,", i);
        snprintf(id, sizeof id, "\"id\":\"%s-%u\"", sender, i + 1);
        p = strstr(p, key);
        if (!p) fail_msg("no line %u", i);
        const char *found = strstr(p, "\"id\":");
        if (!found || strncmp(found, id, strlen(id)) != 0) fail_msg("%s: %.80s", id, found);
    }
    assert_null(strstr(p + 1, "\"line\":"));
}

static void run_until(unsigned expected)
{
    int64_t until = clock_steady_ns() + 10 * second_ns;
    while (yes < expected) {
        if (clock_steady_ns() > until) fail_msg("%u of %u answers", yes, expected);
        ev_run(loop, EVRUN_NOWAIT);
        poll(NULL, 0, 1);
    }
}

/* ---- tests ---- */

static void records_are_written(void **state)
{
    (void)state;
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    for (unsigned i = 0; i < 500; i++) submit(i);
    run_until(500);
    check_lines("proxy-1", 500);
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(0);
    check_lines("proxy-1", 500);
    assert_non_null(strstr(content, "\"id\":\"clerk-"));
}

/* It is killed again and again while records come: each is in the file once. */
static void a_clerk_that_is_killed(void **state)
{
    (void)state;
    unsigned number = 0;
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 300; i++) submit(number++);
        for (unsigned i = 0; i < round; i++) {
            ev_run(loop, EVRUN_NOWAIT);
            usleep(300);
        }
        kill_clerk();
        start_clerk();
        recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    }
    assert_true(recorder_finish(recorder, clock_steady_ns() + 10 * second_ns));
    check_lines("proxy-1", number);
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(0);
}

/* Its keeper and all senders are gone: it writes what they sent, signs and ends. */
static void a_clerk_alone(void **state)
{
    (void)state;
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    submit(0);
    run_until(1);
    submit(1);
    ev_run(loop, EVRUN_NOWAIT);
    ev_run(loop, EVRUN_NOWAIT);
    close(post);
    post = -1;
    recorder_free(recorder);
    recorder = NULL;
    assert_int_equal(WEXITSTATUS(await_clerk()), 0);
    check_lines("proxy-1", 2);
    assert_non_null(strstr(content, "\"trigger\":\"stop\""));
}

/* ---- senders that misbehave ---- */

static void send_frame(int fd, uint64_t number, enum audit_action action, const char *line,
                       size_t n)
{
    uint8_t bytes[FRAME_LIMIT];
    struct frame f = {.number = number,
                      .stamp = {.action = action},
                      .urgent = true,
                      .line = {(const uint8_t *)line, n}};
    frame_put_header(&f, bytes);
    memcpy(bytes + FRAME_HEADER, line, n);
    assert_int_equal(send(fd, bytes, FRAME_HEADER + n, MSG_NOSIGNAL), FRAME_HEADER + n);
}

/* The clerk's answers up to this one; false when it has closed the socket. */
static bool await_answer(int fd, enum frame_answer expected)
{
    for (;;) {
        uint8_t bytes[FRAME_ANSWER];
        enum frame_answer what;
        uint64_t number;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) return false;
        assert_int_equal(n, sizeof bytes);
        assert_true(frame_read_answer(bytes, &what, &number));
        if (what == expected) return true;
    }
}

#define DATASET "\"dataset\":\"suitegate.audit\","
#define HEAD "{\"@timestamp\":\"2026-11-29T00:00:00.000Z\","
#define GOOD HEAD "\"event\":{" DATASET "\"action\":\"connection-closed\""

/* One record too much: nothing of it is in the log but that it came, and nobody else is harmed. */
static void what_is_no_record(void **state)
{
    (void)state;
    static const struct {
        uint64_t number;
        enum audit_action action;
        const char *line;
    } rows[] = {
        {1, AUDIT_CONNECTION_CLOSED, GOOD}, /* a number a second time */
        {3, AUDIT_CONNECTION_CLOSED, GOOD},
        {2, AUDIT_LOG_CHECKPOINT, HEAD "\"event\":{" DATASET "\"action\":\"log-checkpoint\""},
        {2, AUDIT_PROXY_STOPPED, HEAD "\"event\":{" DATASET "\"action\":\"proxy-stopped\""},
        {2, AUDIT_CONNECTION_OPENED, GOOD},
        {2, AUDIT_CONNECTION_CLOSED, HEAD "\"event\":{" DATASET "\"action\":\"log-checkpoint\""},
        {2, AUDIT_CONNECTION_CLOSED, GOOD ",\"sequence\":1"},
        {2, AUDIT_CONNECTION_CLOSED, GOOD ",\"created\":\"1970-01-01T00:00:00.000Z\""},
        {2, AUDIT_CONNECTION_CLOSED, GOOD ",\"id\":\"keeper-1-1\""},
        {2, AUDIT_CONNECTION_CLOSED, GOOD "}}\n" GOOD},
        {2, AUDIT_CONNECTION_CLOSED, GOOD ",\"x\":\"\n\""},
        {2, AUDIT_CONNECTION_CLOSED, "x"},
        {2, AUDIT_CONNECTION_CLOSED, GOOD ",\"x\":{" DATASET "\"action\":\"log-checkpoint\"}"},
    };
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    for (unsigned i = 0; i < N_OF(rows); i++) {
        char name[32];
        snprintf(name, sizeof name, "proxy-bad-%u", i);
        int fd = add_sender(AUDIT_BY_PROXY, name);
        (void)fcntl(fd, F_SETFL, 0);
        send_frame(fd, 1, AUDIT_CONNECTION_CLOSED, GOOD, sizeof GOOD - 1);
        assert_true(await_answer(fd, ANSWER_WRITTEN));
        send_frame(fd, rows[i].number, rows[i].action, rows[i].line, strlen(rows[i].line));
        if (await_answer(fd, ANSWER_WRITTEN)) fail_msg("row %u is taken", i);
        close(fd);
        submit(i);
        run_until(i + 1);
    }
    assert_true(recorder_finish(recorder, clock_steady_ns() + 10 * second_ns));
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(0);
    check_lines("proxy-1", N_OF(rows));
    unsigned rejected = 0;
    for (const char *p = content; (p = strstr(p, "\"action\":\"log-rejected\"")); p++) rejected++;
    assert_int_equal(rejected, N_OF(rows));
}

static void what_is_no_frame(void **state)
{
    (void)state;
    static const uint8_t garbage[64] = {0xff};
    start_clerk();
    int fd = add_sender(AUDIT_BY_PROXY, "proxy-bad");
    (void)fcntl(fd, F_SETFL, 0);
    assert_int_equal(send(fd, garbage, sizeof garbage, MSG_NOSIGNAL), sizeof garbage);
    assert_false(await_answer(fd, ANSWER_WRITTEN));
    close(fd);
    end_clerk(0);
    assert_non_null(strstr(read_log(), "proxy-bad: what it sent is no frame."));
}

/* Only the keeper's own records come from a keeper. */
static void the_keepers_records(void **state)
{
    (void)state;
    static const char line[] = HEAD "\"event\":{" DATASET "\"action\":\"proxy-started\"";
    start_clerk();
    int fd = add_sender(AUDIT_BY_KEEPER, "keeper-1");
    (void)fcntl(fd, F_SETFL, 0);
    send_frame(fd, 1, AUDIT_PROXY_STARTED, line, sizeof line - 1);
    assert_true(await_answer(fd, ANSWER_WRITTEN));
    send_frame(fd, 2, AUDIT_CONNECTION_CLOSED, GOOD, sizeof GOOD - 1);
    assert_false(await_answer(fd, ANSWER_WRITTEN));
    close(fd);
    end_clerk(0);
}

/* A second log with the same name, and a file that is none. */
static void orders_that_cannot_be_obeyed(void **state)
{
    (void)state;
    struct text errors = {0};
    struct audit_config config = {.file = directory, .sync = SYNC_NONE};
    start_clerk();
    bool alive;
    assert_false(clerk_open(post, &config, NULL, -1, &alive, &errors));
    assert_true(alive);
    assert_non_null(strstr(text_string(&errors), directory));
    text_fini(&errors);
    char *copies[] = {path};
    config = (struct audit_config){.file = path, .copies = {copies, 1}};
    assert_false(clerk_open(post, &config, &no_origin, -1, &alive, &errors));
    assert_non_null(strstr(text_string(&errors), "is written already"));
    text_fini(&errors);
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    static const char *const names[] = {"",         "proxy",   "keeper-2",      "proxy-x y",
                                        "proxy-\"", "clerk-1", "proxy-\xc3\xa9"};
    for (size_t i = 0; i < N_OF(names); i++) {
        int fd;
        if (clerk_add_sender(post, AUDIT_BY_PROXY, names[i], &fd, &alive, &errors))
            fail_msg("taken: %s", names[i]);
        text_fini(&errors);
    }
    submit(0);
    run_until(1);
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(0);
}

/* A sender that has lost its socket, or seems to have, gets another one: nothing is there twice. */
static void a_new_socket_for_a_sender(void **state)
{
    (void)state;
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1-0"));
    for (unsigned i = 0; i < 3; i++) submit(i);
    run_until(3);
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1-0"));
    for (unsigned i = 3; i < 6; i++) submit(i);
    run_until(6);
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(0);
    const char *log = read_log();
    for (unsigned i = 1; i <= 6; i++) {
        char id[32];
        snprintf(id, sizeof id, "\"id\":\"proxy-1-0-%u\"", i);
        const char *first = strstr(log, id);
        assert_non_null(first);
        assert_null(strstr(first + 1, id));
    }
}

static void put_opened(int fd, uint64_t number, enum audit_action action, const char *id)
{
    struct text line = {0};
    text_printf(&line,
                "{\"@timestamp\":\"2026-11-29T00:00:00.000Z\",\"suitegate\":{\"connection_id\":"
                "\"%s\"},\"event\":{\"dataset\":\"suitegate.audit\",\"action\":\"%s\"",
                id, audit_action_name(action));
    send_frame(fd, number, action, line.data, line.size);
    text_fini(&line);
}

/* What a process has opened on any of its sockets and not closed, once it has ended. */
static void connections_that_were_cut(void **state)
{
    (void)state;
    struct text errors = {0};
    bool alive;
    start_clerk();
    int first = add_sender(AUDIT_BY_PROXY, "proxy-1-1"),
        second = add_sender(AUDIT_BY_PROXY, "proxy-1-2");
    int other = add_sender(AUDIT_BY_PROXY, "proxy-2-1");
    (void)fcntl(first, F_SETFL, 0);
    (void)fcntl(second, F_SETFL, 0);
    (void)fcntl(other, F_SETFL, 0);
    put_opened(first, 1, AUDIT_CONNECTION_OPENED, "a-1");
    put_opened(first, 2, AUDIT_CONNECTION_OPENED, "a-2");
    put_opened(first, 3, AUDIT_CONNECTION_CLOSED, "a-1");
    put_opened(first, 4, AUDIT_CONNECTION_CLOSED, "a-9");
    put_opened(first, 5, AUDIT_CONNECTION_OPENED, "a-\\u0061");
    put_opened(second, 1, AUDIT_CONNECTION_OBSERVED, "b-1");
    put_opened(other, 1, AUDIT_CONNECTION_OPENED, "c-1");
    assert_true(await_answer(first, ANSWER_WRITTEN));
    assert_true(clerk_note_end(post, "proxy-1-0", "It died.", &alive, &errors));
    close(first); /* it may have had more to say than was read before the order */
    close(second);
    assert_true(await_answer(other, ANSWER_WRITTEN));
    assert_true(clerk_note_end(post, "proxy-2-0", "", &alive, &errors));
    close(other);
    assert_true(clerk_note_end(post, "proxy-3-0", "Nobody knew it.", &alive, &errors));
    end_clerk(0);
    const char *log = read_log(), *cut = strstr(log, "\"cut\":");
    static const char expected[] =
        "\"cut\":{\"connections\":2,\"complete\":true,\"ids\":[\"a-2\",\"b-1\"]}";
    assert_non_null(strstr(log, expected));
    assert_non_null(strstr(log, "\"cut\":{\"connections\":0,\"complete\":false,\"ids\":[]}"));
    assert_non_null(strstr(log, "It died. It had 2 connections open."));
    assert_non_null(strstr(log, "Nobody knew it. It had at least 0 connections open."));
    for (int i = 0; i < 2; i++) {
        assert_non_null(cut);
        cut = strstr(cut + 1, "\"cut\":");
    }
    assert_null(cut);
}

/* What cannot be written at the end is counted once. */
static void a_disk_that_stays_full(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/dev/full");
    start_clerk();
    recorder_connect(recorder, add_sender(AUDIT_BY_PROXY, "proxy-1"));
    for (unsigned i = 0; i < 50; i++) submit(i);
    assert_false(recorder_finish(recorder, clock_steady_ns() + 10 * second_ns));
    assert_int_equal(yes, 0);
    recorder_free(recorder);
    recorder = NULL;
    end_clerk(50);
    size_t lost = recording_free(shared);
    shared = NULL;
    assert_int_equal(lost, 0);
}

static int each(void **state)
{
    (void)state;
    alarm(60);
    yes = 0;
    snprintf(path, sizeof path, "%s/audit.jsonl", directory);
    loop = ev_loop_new(EVFLAG_AUTO);
    shared = recording_new();
    recorder = loop && shared ? recorder_new(shared, loop) : NULL;
    return recorder == NULL;
}

static int after(void **state)
{
    (void)state;
    static const char *const names[] = {"audit.jsonl", "audit.key", "audit.state"};
    recorder_free(recorder);
    recorder = NULL;
    recording_free(shared);
    ev_loop_destroy(loop);
    if (clerk > 0) kill_clerk();
    for (size_t i = 0; i < N_OF(names); i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/%s", directory, names[i]);
        unlink(name);
    }
    alarm(0);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, each, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_are_written),
        TEST(a_clerk_that_is_killed),
        TEST(a_clerk_alone),
        TEST(what_is_no_record),
        TEST(what_is_no_frame),
        TEST(the_keepers_records),
        TEST(orders_that_cannot_be_obeyed),
        TEST(a_new_socket_for_a_sender),
        TEST(connections_that_were_cut),
        TEST(a_disk_that_stays_full),
    };
    return cmocka_run_group_tests_name("clerk", tests, set_up, tear_down);
}
