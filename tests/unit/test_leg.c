/* conn/leg: bytes between a socket and its queues, and each way this ends. */
#include "helper.h"

#include "conn/leg.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool no_memory;
void *__wrap_malloc(size_t n);
void *__real_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
    return no_memory ? NULL : __real_malloc(n);
}

/* A leg and the other end of its socket. */
struct scene {
    struct leg leg;
    int peer;
    struct ev_loop *loop;
    unsigned reads, writes; /* events seen */
};

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct scene *s = io->data;
    (void)loop;
    s->reads += (events & EV_READ) != 0;
    s->writes += (events & EV_WRITE) != 0;
}

static void begin(struct scene *s, bool expects_bytes)
{
    int fds[2];
    *s = (struct scene){.loop = ev_loop_new(EVFLAG_AUTO)};
    assert_non_null(s->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    s->peer = fds[1];
    leg_open(&s->leg, fds[0], on_event, s, expects_bytes);
}

static void hang_up(struct scene *s)
{
    close(s->peer);
    s->peer = -1;
}

static void end(struct scene *s)
{
    leg_close(&s->leg, s->loop);
    assert_int_equal(s->leg.fd, -1);
    if (s->peer >= 0) close(s->peer);
    ev_loop_destroy(s->loop);
    buf_thread_fini();
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

/* Sends what the peer's kernel takes of a long row of bytes that begins at `first`. */
static size_t peer_sends(struct scene *s, size_t first, size_t n)
{
    uint8_t block[4096];
    size_t sent = 0;
    while (sent < n) {
        size_t size = n - sent < sizeof block ? n - sent : sizeof block;
        for (size_t i = 0; i < size; i++) block[i] = pattern(first + sent + i);
        ssize_t taken = send(s->peer, block, size, MSG_NOSIGNAL);
        if (taken <= 0) break;
        sent += (size_t)taken;
    }
    return sent;
}

/* All that has arrived at the peer; checks that it continues at `first`. */
static size_t peer_takes(struct scene *s, size_t first)
{
    uint8_t block[4096];
    size_t got = 0;
    ssize_t n;
    while ((n = recv(s->peer, block, sizeof block, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(block[i], pattern(first + got + (size_t)i));
        got += (size_t)n;
    }
    return got;
}

static bool peer_sees_the_end(struct scene *s)
{
    uint8_t byte;
    return recv(s->peer, &byte, 1, 0) == 0;
}

static void queue(struct scene *s, size_t n)
{
    uint8_t *place = buf_reserve(&s->leg.stream.out, n);
    assert_non_null(place);
    for (size_t i = 0; i < n; i++) place[i] = pattern(i);
    buf_commit(&s->leg.stream.out, n);
}

/* Never more than a share and one read at once; the rest comes in the next runs, in order. */
static void a_run_takes_no_more_than_its_share(void **state)
{
    (void)state;
    struct scene s;
    size_t sent = 0, got = 0, runs = 0;
    begin(&s, true);
    int large = 400000;
    setsockopt(s.peer, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    sent = peer_sends(&s, 0, 200000);
    assert_true(sent > 2 * LEG_SHARE);
    while (got < sent) {
        size_t n, in_run = 0;
        s.leg.taken = 0;
        s.leg.readable = true;
        while ((n = leg_fill(&s.leg)) > 0) in_run += n;
        assert_int_equal(s.leg.taken, in_run);
        assert_true(in_run > 0 && in_run < 2 * LEG_SHARE);
        if (got + in_run < sent) assert_true(in_run >= LEG_SHARE);
        got += in_run;
        runs++;
    }
    assert_true(runs > 1);
    assert_int_equal(buf_size(&s.leg.stream.in), sent);
    for (size_t i = 0; i < sent; i++)
        if (buf_head(&s.leg.stream.in)[i] != pattern(i)) fail_msg("byte %zu", i);
    end(&s);
}

/* A used-up share does not hide further bytes. */
static void a_used_up_share_stays_readable(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    s.leg.taken = LEG_SHARE;
    assert_int_equal(leg_fill(&s.leg), 0);
    assert_true(s.leg.readable);
    s.leg.taken = LEG_SHARE - 1;
    assert_int_equal(leg_fill(&s.leg), 10);
    end(&s);
}

static void who_said_nothing_is_not_asked_twice(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, false);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    assert_int_equal(leg_fill(&s.leg), 0); /* the socket was not reported readable */
    assert_int_equal(s.leg.taken, 0);
    s.leg.readable = true;
    assert_int_equal(leg_fill(&s.leg), 10);
    assert_false(s.leg.readable);
    assert_int_equal(peer_sends(&s, 10, 10), 10);
    assert_int_equal(leg_fill(&s.leg), 0);
    assert_int_equal(buf_size(&s.leg.stream.in), 10);
    end(&s);
}

static void an_empty_socket_costs_no_memory(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(leg_fill(&s.leg), 0);
    assert_false(s.leg.readable || s.leg.stream.end_of_data || s.leg.broken);
    assert_null(s.leg.stream.in.data);
    end(&s);
}

static void the_end_comes_after_the_bytes(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    shutdown(s.peer, SHUT_WR);
    assert_int_equal(leg_fill(&s.leg), 10);
    assert_false(s.leg.stream.end_of_data);
    s.leg.readable = true;
    assert_int_equal(leg_fill(&s.leg), 0);
    assert_true(s.leg.stream.end_of_data);
    assert_false(s.leg.broken);
    assert_int_equal(buf_size(&s.leg.stream.in), 10);
    /* Writing still works. */
    queue(&s, 5);
    leg_flush(&s.leg);
    assert_int_equal(peer_takes(&s, 0), 5);
    end(&s);
}

/* A peer that closes with bytes unread resets. */
static void a_reset_breaks_both_directions(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    queue(&s, 5);
    leg_flush(&s.leg);
    hang_up(&s);
    assert_int_equal(leg_fill(&s.leg), 0);
    assert_true(s.leg.broken);
    assert_true(s.leg.stream.end_of_data);
    queue(&s, 5);
    leg_flush(&s.leg);
    assert_int_equal(buf_size(&s.leg.stream.out), 0);
    leg_end(&s.leg);
    assert_false(s.leg.ended);
    end(&s);
}

static void a_full_socket_keeps_the_rest_queued(void **state)
{
    (void)state;
    enum { SIZE = 1000000 };
    struct scene s;
    begin(&s, false);
    queue(&s, SIZE);
    leg_flush(&s.leg);
    size_t left = buf_size(&s.leg.stream.out), got = 0;
    assert_true(left > 0 && left < SIZE);
    leg_flush(&s.leg);
    assert_int_equal(buf_size(&s.leg.stream.out), left);
    assert_false(s.leg.write_failed || s.leg.broken);
    while (buf_size(&s.leg.stream.out) > 0) {
        got += peer_takes(&s, got);
        leg_flush(&s.leg);
    }
    got += peer_takes(&s, got);
    assert_int_equal(got, SIZE);
    end(&s);
}

/* The peer takes nothing any more; what it has sent is still read. */
static void a_deaf_peer_is_still_read(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    shutdown(s.peer, SHUT_RD);
    queue(&s, 5);
    leg_flush(&s.leg);
    assert_true(s.leg.write_failed);
    assert_false(s.leg.broken);
    assert_int_equal(buf_size(&s.leg.stream.out), 0);
    queue(&s, 5);
    leg_flush(&s.leg);
    assert_int_equal(buf_size(&s.leg.stream.out), 0);
    assert_int_equal(leg_fill(&s.leg), 10);
    end(&s);
}

static void our_end_follows_the_last_byte(void **state)
{
    (void)state;
    enum { SIZE = 1000000 };
    struct scene s;
    begin(&s, true);
    queue(&s, SIZE);
    leg_flush(&s.leg);
    leg_end(&s.leg);
    assert_false(s.leg.ended);
    size_t got = peer_takes(&s, 0);
    assert_false(peer_sees_the_end(&s));
    while (buf_size(&s.leg.stream.out) > 0) {
        leg_flush(&s.leg);
        leg_end(&s.leg);
        got += peer_takes(&s, got);
    }
    assert_int_equal(got, SIZE);
    assert_true(s.leg.ended);
    assert_true(peer_sees_the_end(&s));
    leg_end(&s.leg);
    /* The other direction still works. */
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    assert_int_equal(leg_fill(&s.leg), 10);
    end(&s);
}

static int armed(const struct scene *s)
{
    return ev_is_active(&s->leg.io) ? s->leg.io.events & (EV_READ | EV_WRITE) : 0;
}

static void poll_for(struct scene *s, int events)
{
    leg_poll(&s->leg, s->loop, events);
    ev_run(s->loop, EVRUN_NOWAIT);
}

static void the_watcher_waits_for_what_it_was_told(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, false);
    assert_int_equal(armed(&s), 0);
    poll_for(&s, EV_READ);
    assert_int_equal(armed(&s), EV_READ);
    assert_int_equal(s.reads + s.writes, 0);
    poll_for(&s, EV_READ | EV_WRITE);
    assert_int_equal(armed(&s), EV_READ | EV_WRITE);
    assert_int_equal(s.writes, 1);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    poll_for(&s, EV_READ);
    assert_int_equal(armed(&s), EV_READ);
    assert_int_equal(s.reads, 1);
    assert_int_equal(s.writes, 1);
    end(&s);
}

/* Reading stays armed while nothing comes, and no longer. */
static void reading_stays_armed_while_nothing_comes(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, false);
    poll_for(&s, 0);
    assert_int_equal(armed(&s), 0); /* it was never armed */
    poll_for(&s, EV_READ);
    poll_for(&s, 0);
    assert_int_equal(armed(&s), EV_READ);
    poll_for(&s, EV_WRITE);
    assert_int_equal(armed(&s), EV_READ | EV_WRITE);
    s.leg.readable = true;
    poll_for(&s, EV_WRITE);
    assert_int_equal(armed(&s), EV_WRITE);
    poll_for(&s, 0);
    assert_int_equal(armed(&s), 0);
    s.leg.readable = false;
    poll_for(&s, EV_READ);
    s.leg.stream.end_of_data = true;
    poll_for(&s, 0);
    assert_int_equal(armed(&s), 0);
    end(&s);
}

static void a_leg_without_a_socket_does_nothing(void **state)
{
    (void)state;
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct leg leg = {.fd = -1, .readable = true};
    assert_int_equal(leg_fill(&leg), 0);
    leg_flush(&leg);
    leg_end(&leg);
    assert_false(leg.ended);
    leg_poll(&leg, loop, EV_READ);
    assert_false(ev_is_active(&leg.io));
    leg_close(&leg, loop);
    ev_loop_destroy(loop);
}

/* Our shortage is not the peer's end of data. */
static void without_memory_it_is_broken(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    no_memory = true;
    assert_int_equal(leg_fill(&s.leg), 0);
    no_memory = false;
    assert_true(s.leg.broken);
    assert_false(s.leg.stream.end_of_data);
    assert_int_equal(leg_fill(&s.leg), 0);
    end(&s);
}

static void closing_ends_the_watcher_and_frees_the_queues(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, true);
    assert_int_equal(peer_sends(&s, 0, 10), 10);
    assert_int_equal(leg_fill(&s.leg), 10);
    queue(&s, 5);
    poll_for(&s, EV_READ);
    int fd = s.leg.fd;
    leg_close(&s.leg, s.loop);
    assert_int_equal(armed(&s), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    assert_null(s.leg.stream.in.data);
    assert_null(s.leg.stream.out.data);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_takes_no_more_than_its_share),
        cmocka_unit_test(a_used_up_share_stays_readable),
        cmocka_unit_test(who_said_nothing_is_not_asked_twice),
        cmocka_unit_test(an_empty_socket_costs_no_memory),
        cmocka_unit_test(the_end_comes_after_the_bytes),
        cmocka_unit_test(a_reset_breaks_both_directions),
        cmocka_unit_test(a_full_socket_keeps_the_rest_queued),
        cmocka_unit_test(a_deaf_peer_is_still_read),
        cmocka_unit_test(our_end_follows_the_last_byte),
        cmocka_unit_test(the_watcher_waits_for_what_it_was_told),
        cmocka_unit_test(reading_stays_armed_while_nothing_comes),
        cmocka_unit_test(a_leg_without_a_socket_does_nothing),
        cmocka_unit_test(without_memory_it_is_broken),
        cmocka_unit_test(closing_ends_the_watcher_and_frees_the_queues),
    };
    return cmocka_run_group_tests_name("leg", tests, NULL, NULL);
}
