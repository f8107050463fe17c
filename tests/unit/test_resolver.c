/* net/resolver against a name server in the same loop. Whatever memory its library lacks, that is
 * not said to be the name's fault, or the name server's. */
#include "helper.h"

#include "net/names.h"
#include "net/resolver.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

/* The linker leads all calls here (the Makefile says so). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

static size_t fails; /* the request that gets no memory; 0: none */
static size_t requests;

void *__wrap_malloc(size_t n)
{
    return ++requests == fails ? NULL : __real_malloc(n);
}

static struct ev_loop *loop;
static int server = -1;

/* A has 192.0.2.7, for an hour; AAAA has none (RFC 1035 section 4.1). */
static void on_question(struct ev_loop *l, ev_io *io, int events)
{
    static const uint8_t answer[] =
        "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x07";
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    uint8_t p[512];
    (void)l;
    (void)events;
    ssize_t got = recvfrom(io->fd, p, sizeof p, 0, (struct sockaddr *)&from, &size);
    if (got < 16) return;
    size_t n = 12;
    while (n < (size_t)got && p[n]) n += 1u + p[n];
    n += 5; /* the last label, type and class; what follows is left out */
    bool v4 = p[n - 3] == 1;
    p[2] = 0x81;
    p[3] = 0x80;
    p[7] = v4;
    p[11] = 0;
    memcpy(p + n, answer, v4 ? sizeof answer - 1 : 0);
    n += v4 ? sizeof answer - 1 : 0;
    (void)!sendto(io->fd, p, n, 0, (struct sockaddr *)&from, size);
}

struct result {
    bool known;
    enum lookup_status status;
    size_t n;
};

static void on_answer(void *arg, enum lookup_status status, const struct addr *addresses, size_t n)
{
    (void)addresses;
    *(struct result *)arg = (struct result){true, status, n};
    ev_break(loop, EVBREAK_ALL);
}

static struct result ask(const char *servers)
{
    struct result result = {false, LOOKUP_FOUND, 0};
    struct resolver *r = resolver_new(loop, servers);
    if (!r) return (struct result){true, LOOKUP_NO_MEMORY, 0};
    if (!resolver_start(r, "one.test", 443, on_answer, &result))
        result = (struct result){true, LOOKUP_NO_MEMORY, 0};
    if (!result.known) ev_run(loop, 0);
    assert_true(result.known);
    resolver_free(r);
    return result;
}

static void a_shortage_is_nobody_else_s_fault(void **state)
{
    (void)state;
    char servers[32];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    ev_io io;
    loop = ev_loop_new(EVFLAG_NOENV);
    server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&at, &size), 0);
    ev_io_init(&io, on_question, server, EV_READ);
    ev_io_start(loop, &io);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(at.sin_port));
    struct result whole = ask(servers);
    assert_int_equal(whole.status, LOOKUP_FOUND);
    assert_int_equal(whole.n, 1);
    requests = 0;
    (void)ask(servers);
    size_t all = requests, without = 0;
    assert_true(all > 5);
    for (size_t at_request = 1; at_request <= all; at_request++) {
        requests = 0;
        fails = at_request;
        struct result r = ask(servers);
        fails = 0;
        if (r.status != LOOKUP_FOUND && r.status != LOOKUP_NO_MEMORY)
            fail_msg("request %zu of %zu: status %d", at_request, all, (int)r.status);
        without += r.status == LOOKUP_NO_MEMORY;
    }
    assert_true(without > 0);
    ev_io_stop(loop, &io);
    close(server);
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_shortage_is_nobody_else_s_fault)};
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
