/* What a datagram socket cannot carry arrives shortened. */
#include "helper.h"

#include "../../src/audit/sink.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TOO_LONG = 12000, SMALL_BUFFER = 4608 };

static char directory[] = "/tmp/suitegate-sink-XXXXXX";
static char path[64], name[80];
static int server;

static const struct audit_stamp stamp = {
    .action = AUDIT_CONNECTION_REFUSED, .level = AUDIT_WARNING, .at = {.tv_sec = 1767225600}};

static struct line *record(const char *filling)
{
    struct text text = {0};
    text_printf(&text,
                "{\"@timestamp\":\"2026-01-01T00:00:00.000Z\",\"log\":{\"level\":\"warning\"},"
                "\"message\":\"Refused.\",\"source\":{\"ip\":\"192.0.2.1\"},"
                "\"tls\":{\"client\":{\"server_name\":\"%s\"}},"
                "\"suitegate\":{\"policy\":{\"digest\":\"d\"},\"client\":{\"grease\":true}},"
                "\"event\":{\"code\":\"client_not_tls\",\"sequence\":7,\"hash\":\"h\"}}\n",
                filling);
    struct line *line = line_new(stamp, &text);
    assert_non_null(line);
    return line;
}

static const char *received(void)
{
    static char message[1 << 17];
    ssize_t n = recv(server, message, sizeof message - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    message[n] = '\0';
    return strchr(message, '{');
}

static void shortened(void **state)
{
    (void)state;
    static char filling[TOO_LONG + 1];
    struct sink s;
    memset(filling, 'x', TOO_LONG);
    assert_true(sink_init(&s, name, true));
    struct line *small = record("a"), *large = record(filling);
    assert_int_equal(sink_write(&s, small), SINK_DONE);
    assert_non_null(strstr(received(), "\"tls\""));
    int size = SMALL_BUFFER;
    assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(sink_write(&s, large), SINK_DONE);
    assert_string_equal(
        received(), "{\"@timestamp\":\"2026-01-01T00:00:00.000Z\",\"log\":{\"level\":\"warning\"},"
                    "\"message\":\"Refused.\",\"source\":{\"ip\":\"192.0.2.1\"},"
                    "\"suitegate\":{\"policy\":{\"digest\":\"d\"},\"shortened\":true},"
                    "\"event\":{\"code\":\"client_not_tls\",\"sequence\":7,\"hash\":\"h\"}}");
    /* The next record is whole again. */
    assert_int_equal(sink_write(&s, small), SINK_DONE);
    assert_non_null(strstr(received(), "\"tls\""));
    line_release(small);
    line_release(large);
    sink_fini(&s);
}

/* Text that is not a record cannot be shortened. */
static void impossible(void **state)
{
    (void)state;
    struct sink s;
    struct text text = {0};
    while (text.size < TOO_LONG) text_add(&text, "x");
    text_add(&text, "\n");
    struct line *large = line_new(stamp, &text), *small = record("a");
    assert_true(sink_init(&s, name, true));
    assert_int_equal(sink_write(&s, small), SINK_DONE);
    assert_non_null(received());
    int size = SMALL_BUFFER;
    assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(sink_write(&s, large), SINK_IMPOSSIBLE);
    assert_int_equal(sink_write(&s, small), SINK_DONE);
    line_release(large);
    line_release(small);
    sink_fini(&s);
}

/* Nothing is sent on a connection that the daemon has closed, where it would be lost. */
static void a_daemon_that_is_gone(void **state)
{
    (void)state;
    struct sink s;
    char tcp[64];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &size), 0);
    snprintf(tcp, sizeof tcp, "tcp:127.0.0.1:%u", ntohs(to.sin_port));
    struct line *line = record("a");
    assert_true(sink_init(&s, tcp, true));
    assert_int_equal(sink_write(&s, line), SINK_DONE);
    int first = accept(listener, NULL, NULL);
    assert_int_equal(shutdown(first, SHUT_WR), 0);
    assert_int_equal(sink_write(&s, line), SINK_DONE);
    int second = accept(listener, NULL, NULL);
    assert_true(second >= 0);
    char got[4096];
    assert_true(recv(second, got, sizeof got, MSG_DONTWAIT) > 0);
    assert_true(recv(first, got, sizeof got, MSG_DONTWAIT) > 0);
    assert_int_equal(recv(first, got, sizeof got, MSG_DONTWAIT), 0);
    line_release(line);
    sink_fini(&s);
    close(first);
    close(second);
    close(listener);
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/log", directory);
    snprintf(name, sizeof name, "unix:%s", path);
    memcpy(address.sun_path, path, strlen(path));
    server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(server, (struct sockaddr *)&address, sizeof address);
}

static int tear_down(void **state)
{
    (void)state;
    close(server);
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shortened), cmocka_unit_test(impossible),
                                       cmocka_unit_test(a_daemon_that_is_gone)};
    return cmocka_run_group_tests_name("sink", tests, set_up, tear_down);
}
