/* A TCP connection with waiting calls: real sockets on the loopback address. */
#include "helper.h"

#include "base/clock.h"
#include "net/channel.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int listener = -1, peer = -1;
static struct addr address;
static struct channel channel = {-1};

static int64_t in_ms(int64_t ms)
{
    return clock_steady_ns() + ms * 1000000;
}

static void listen_with(int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listener, backlog), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &n), 0);
    address = addr_from_sockaddr((struct sockaddr *)&in, n);
}

static void stop_listening(void)
{
    if (listener >= 0) close(listener);
    listener = -1;
}

/* A connection and both its ends. */
static int connected(void **state)
{
    (void)state;
    listen_with(5);
    if (channel_open(&channel, &address, in_ms(5000)) != 0) return -1;
    peer = accept(listener, NULL, NULL);
    return peer < 0 ? -1 : 0;
}

static int ended(void **state)
{
    (void)state;
    channel_close(&channel);
    assert_int_equal(channel.fd, -1);
    channel_close(&channel); /* a second close does nothing */
    if (peer >= 0) close(peer);
    peer = -1;
    stop_listening();
    return 0;
}

/* Closes the peer's end with a reset. */
static void reset_peer(void)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(peer);
    peer = -1;
}

static enum channel_status receive(char *p, size_t room, size_t *got, int64_t ms)
{
    *got = 12345;
    return channel_receive(&channel, p, room, got, in_ms(ms));
}

static void both_ways(void **state)
{
    (void)state;
    char block[64];
    size_t got;
    assert_int_equal(channel_send(&channel, "ping", 4, in_ms(5000)), CHANNEL_OK);
    assert_int_equal(channel_send(&channel, NULL, 0, in_ms(5000)), CHANNEL_OK);
    assert_int_equal(recv(peer, block, sizeof block, 0), 4);
    assert_memory_equal(block, "ping", 4);
    assert_int_equal(send(peer, "pong!", 5, 0), 5);
    assert_int_equal(receive(block, 3, &got, 5000), CHANNEL_OK);
    assert_int_equal(got, 3);
    assert_int_equal(receive(block + 3, sizeof block - 3, &got, 5000), CHANNEL_OK);
    assert_int_equal(got, 2);
    assert_memory_equal(block, "pong!", 5);
}

/* Much data goes out as the peer takes it. */
static void large(void **state)
{
    (void)state;
    static uint8_t sent[8 << 20], got[sizeof sent];
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (uint8_t)(i * 31 >> 3);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        enum channel_status status = channel_send(&channel, sent, sizeof sent, in_ms(20000));
        _exit(status == CHANNEL_OK ? 0 : 1);
    }
    channel_close(&channel);
    size_t n = 0;
    for (ssize_t more; (more = recv(peer, got + n, sizeof got - n, 0)) > 0;) n += (size_t)more;
    assert_int_equal(n, sizeof sent);
    assert_memory_equal(got, sent, n);
}

static void receive_deadline(void **state)
{
    (void)state;
    char block[8];
    size_t got;
    int64_t before = clock_steady_ns();
    assert_int_equal(receive(block, sizeof block, &got, 100), CHANNEL_TIMEOUT);
    int64_t took = (clock_steady_ns() - before) / 1000000;
    assert_int_equal(got, 0);
    assert_in_range(took, 100, 2000);
    assert_int_equal(send(peer, "a", 1, 0), 1);
    assert_int_equal(receive(block, sizeof block, &got, 5000), CHANNEL_OK);
    assert_int_equal(got, 1);
}

/* An endless stream of bytes does not hold up the deadline. */
static void deadline_is_over(void **state)
{
    (void)state;
    char block[8];
    size_t got;
    assert_int_equal(send(peer, "a", 1, 0), 1);
    assert_int_equal(receive(block, sizeof block, &got, -1), CHANNEL_TIMEOUT);
    assert_int_equal(got, 0);
    assert_int_equal(receive(block, sizeof block, &got, 5000), CHANNEL_OK);
    assert_int_equal(got, 1);
}

/* A peer that reads nothing. */
static void send_deadline(void **state)
{
    (void)state;
    static const uint8_t much[64 << 20];
    int64_t before = clock_steady_ns();
    assert_int_equal(channel_send(&channel, much, sizeof much, in_ms(200)), CHANNEL_TIMEOUT);
    assert_in_range((clock_steady_ns() - before) / 1000000, 200, 5000);
}

static void end(void **state)
{
    (void)state;
    char block[8];
    size_t got;
    assert_int_equal(send(peer, "last", 4, 0), 4);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    assert_int_equal(receive(block, sizeof block, &got, 5000), CHANNEL_OK);
    assert_int_equal(got, 4);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(receive(block, sizeof block, &got, 5000), CHANNEL_END);
        assert_int_equal(got, 0);
    }
    /* The other direction still works. */
    assert_int_equal(channel_send(&channel, "more", 4, in_ms(5000)), CHANNEL_OK);
    assert_int_equal(recv(peer, block, sizeof block, 0), 4);
}

static void reset(void **state)
{
    (void)state;
    char block[8];
    size_t got;
    reset_peer();
    assert_int_equal(receive(block, sizeof block, &got, 5000), CHANNEL_RESET);
    assert_int_equal(got, 0);
    /* No SIGPIPE, and no success. */
    assert_int_equal(channel_send(&channel, "a", 1, in_ms(5000)), CHANNEL_RESET);
}

static void reset_while_sending(void **state)
{
    (void)state;
    static const uint8_t much[64 << 20];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(200000);
        reset_peer();
        _exit(0);
    }
    close(peer);
    peer = -1;
    assert_int_equal(channel_send(&channel, much, sizeof much, in_ms(20000)), CHANNEL_RESET);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Signals neither end a wait nor make it longer. */
static void signals(void **state)
{
    (void)state;
    struct sigaction old, on = {.sa_handler = on_alarm};
    struct itimerval often = {{.tv_usec = 5000}, {.tv_usec = 5000}}, never = {{0}, {0}};
    char block[8];
    size_t got;
    assert_int_equal(sigaction(SIGALRM, &on, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int64_t before = clock_steady_ns();
    enum channel_status status = receive(block, sizeof block, &got, 150);
    int64_t took = (clock_steady_ns() - before) / 1000000;
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(status, CHANNEL_TIMEOUT);
    assert_in_range(took, 150, 2000);
}

static void refused(void **state)
{
    (void)state;
    listen_with(5);
    stop_listening();
    channel.fd = 12345;
    assert_int_equal(channel_open(&channel, &address, in_ms(5000)), ECONNREFUSED);
    assert_int_equal(channel.fd, -1);
}

/* The listener's queue is full and it accepts nothing, so no answer comes. */
static void open_deadline(void **state)
{
    (void)state;
    struct channel waiting[8];
    int64_t took = 0;
    int fault = 0;
    listen_with(0);
    for (size_t i = 0; i < N_OF(waiting); i++) {
        int64_t before = clock_steady_ns();
        int one = channel_open(&waiting[i], &address, in_ms(150));
        if (one && !fault) took = (clock_steady_ns() - before) / 1000000;
        if (one && !fault) fault = one;
        assert_int_equal(waiting[i].fd >= 0, one == 0);
    }
    assert_int_equal(fault, ETIMEDOUT);
    assert_in_range(took, 150, 2000);
    for (size_t i = 0; i < N_OF(waiting); i++) channel_close(&waiting[i]);
}

static void no_such_family(void **state)
{
    (void)state;
    struct addr nowhere = {.length = sizeof(struct sockaddr_in)};
    nowhere.sa.sa_family = AF_MAX;
    assert_true(channel_open(&channel, &nowhere, in_ms(1000)) != 0);
    assert_int_equal(channel.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways, connected, ended),
        cmocka_unit_test_setup_teardown(large, connected, ended),
        cmocka_unit_test_setup_teardown(receive_deadline, connected, ended),
        cmocka_unit_test_setup_teardown(deadline_is_over, connected, ended),
        cmocka_unit_test_setup_teardown(send_deadline, connected, ended),
        cmocka_unit_test_setup_teardown(end, connected, ended),
        cmocka_unit_test_setup_teardown(reset, connected, ended),
        cmocka_unit_test_setup_teardown(reset_while_sending, connected, ended),
        cmocka_unit_test_setup_teardown(signals, connected, ended),
        cmocka_unit_test_teardown(refused, ended),
        cmocka_unit_test_teardown(open_deadline, ended),
        cmocka_unit_test_teardown(no_such_family, ended),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
