/* One whole connection when the machine fails: CONNECT, dial, both handshakes, a new certificate,
 * payload both ways and the end. Each memory request of the worker's thread fails once, then each
 * request for randomness, then the new certificate. The connection ends, what is relayed is what
 * was sent, and no record blames a peer for our lack of memory. */
#include "tls_pair.h"

#include "audit/clerk.h"
#include "base/post.h"
#include "conn/conn_impl.h"
#include "front/fronts.h"
#include "ledger/entry.h"
#include "ledger/lines.h"
#include "net/listener.h"
#include "route/routes.h"
#include "serve/signers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char ping[] = "ping", pong[] = "pong";

/* ---- what fails: in the worker's thread only ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
int __real_suitegate_random(unsigned char *out, unsigned size);
int __wrap_suitegate_random(unsigned char *out, unsigned size);
bool __real_ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
                    const struct private_key *key, time_t now, struct text *chain,
                    struct lifetime *lifetime);
bool __wrap_ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
                    const struct private_key *key, time_t now, struct text *chain,
                    struct lifetime *lifetime);

struct gauge {
    const char *what;
    size_t count, fails; /* the request with this number fails; 0: none */
};

static struct gauge memory = {.what = "memory"}, randomness = {.what = "randomness"},
                    minting = {.what = "a certificate"};
static _Thread_local bool is_worker;

static bool refused(struct gauge *g)
{
    return is_worker && ++g->count == g->fails;
}

void *__wrap_malloc(size_t n)
{
    return refused(&memory) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return refused(&memory) ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refused(&memory) ? NULL : __real_realloc(p, n);
}

int __wrap_suitegate_random(unsigned char *out, unsigned size)
{
    return refused(&randomness) ? -1 : __real_suitegate_random(out, size);
}

bool __wrap_ca_mint(struct ca *ca, const char *identity, bool is_ip, const char *also,
                    const struct private_key *key, time_t now, struct text *chain,
                    struct lifetime *lifetime)
{
    bool fails = ++minting.count == minting.fails; /* on the signers' thread */
    return !fails && __real_ca_mint(ca, identity, is_ip, also, key, now, chain, lifetime);
}

/* ---- the proxy, without its process ---- */

static struct proxy {
    char folder[64];
    struct loaded_config *loaded;
    struct signers *signers;
    struct leaf_keys keys;
    struct worker_shared shared;
    pid_t clerk;
    int clerk_post;
    struct counts counts;
    int upstream; /* listens */
    uint16_t port;
    pthread_t upstream_thread;
    struct text upstream_chain;
    struct trust *trust; /* the CA's, for the client */
    const char *preface; /* what the upstream answers to hello[] before TLS; NULL: it gets none */
    size_t preface_size;
    size_t proved; /* records before randomness failed: the library does not report that */
} proxy;

static void put_file(const char *name, mode_t mode, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", proxy.folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* ---- a peer: a session over a socket, run to its end ---- */

struct peer {
    int fd;
    struct side side;
    struct hello_reader reader;
    const struct tls_context *context; /* of a server */
    struct text got;
    bool client, over;
};

static bool send_all(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool peer_flush(struct peer *p)
{
    struct buf *out = &p->side.stream.out;
    bool ok = send_all(p->fd, buf_head(out), buf_size(out));
    buf_consume(out, buf_size(out));
    return ok;
}

static void peer_begin_server(struct peer *p)
{
    struct buf *in = &p->side.stream.in, *message = &p->reader.message;
    size_t used;
    if (p->side.tls) return;
    enum hello_status status = hello_reader_feed(&p->reader, buf_head(in), buf_size(in), &used);
    buf_consume(in, used);
    p->over = status != HELLO_COMPLETE && status != HELLO_MORE;
    if (status != HELLO_COMPLETE) return;
    p->side.tls = session_server(p->context, &p->side.stream, "", NULL);
    p->over = !p->side.tls ||
              !session_hello(p->side.tls, (struct span){buf_head(message), buf_size(message)});
}

/* The client sends ping when it can and closes at pong; the server answers ping with pong. */
static void peer_talk(struct peer *p)
{
    char block[512];
    size_t n;
    if (!p->side.tls) return;
    if (p->side.status == SESSION_WANT_BYTES) {
        p->side.status = session_handshake(p->side.tls);
        if (p->side.status == SESSION_OK && p->client)
            p->over = !session_write(p->side.tls, ping, strlen(ping));
    }
    if (p->side.status == SESSION_FAILED) p->over = true;
    if (p->side.status != SESSION_OK) return;
    enum session_status status;
    while ((status = session_read(p->side.tls, block, sizeof block, &n)) == SESSION_OK)
        text_add_bytes(&p->got, block, n);
    const char *wanted = p->client ? pong : ping;
    if (status == SESSION_WANT_BYTES && strcmp(text_string(&p->got), wanted) != 0) return;
    if (!p->client && status == SESSION_WANT_BYTES)
        p->over = !session_write(p->side.tls, pong, strlen(pong));
    else
        p->over = true;
    session_close_notify(p->side.tls);
}

static void peer_run(struct peer *p)
{
    char block[8192];
    int alert;
    bool told = false; /* the server has answered and waits for the client's end */
    if (p->client) peer_talk(p);
    while (peer_flush(p) && !p->over) {
        ssize_t n = recv(p->fd, block, sizeof block, 0);
        if (n <= 0) break;
        if (told) continue;
        assert_true(buf_append(&p->side.stream.in, block, (size_t)n));
        if (!p->client) peer_begin_server(p);
        if (p->client && session_received(p->side.tls, (size_t)n, &alert) != REASON_OK) break;
        if (!p->over) peer_talk(p);
        told = !p->client && p->got.size > 0;
    }
    peer_flush(p);
}

static void peer_end(struct peer *p)
{
    session_free(p->side.tls);
    stream_fini(&p->side.stream);
    hello_reader_fini(&p->reader);
    text_fini(&p->got);
    close(p->fd);
}

static const struct policy policy = {
    .profile = PROFILE_2021, .allowed = 0xff, .minimum_rsa_bits = POLICY_RSA_BITS_FLOOR};

static const char hello[] = "hello, hop\n";

/* False: the peer leaves. */
static bool exchange_preface(int fd)
{
    char got[sizeof hello] = "";
    if (!proxy.preface) return true;
    for (size_t n = 0; n < strlen(hello);) {
        ssize_t more = recv(fd, got + n, strlen(hello) - n, 0);
        if (more <= 0) return false;
        n += (size_t)more;
    }
    assert_string_equal(got, hello);
    return send_all(fd, proxy.preface, proxy.preface_size);
}

static void *serve(void *arg)
{
    (void)arg;
    struct tls_context *context =
        tls_context_server(&policy, &proxy.upstream_chain, &proxy.keys.keys[KEY_ECDSA], false);
    assert_non_null(context);
    for (int fd; (fd = accept(proxy.upstream, NULL, NULL)) >= 0;) {
        struct peer p = {
            .fd = fd, .side.status = SESSION_WANT_BYTES, .reader.limit = 16384, .context = context};
        if (exchange_preface(fd)) peer_run(&p);
        assert_true(p.got.size <= strlen(ping));
        assert_memory_equal(text_string(&p.got), ping, p.got.size);
        peer_end(&p);
    }
    tls_context_free(context);
    buf_thread_fini();
    random_thread_fini();
    return NULL;
}

/* True when the client got pong from a server that it trusts. */
static bool ask(int fd)
{
    char head[128], answer[512] = "";
    struct flight_offer offer = {.suites = 0xff};
    struct peer_check check = {.trust = proxy.trust, .identity = "127.0.0.1", .is_ip = true};
    snprintf(head, sizeof head, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
             proxy.port, proxy.port);
    size_t have = 0;
    ssize_t n = 1;
    if (!send_all(fd, head, strlen(head))) n = 0;
    while (n > 0 && !strstr(answer, "\r\n\r\n") && have < sizeof answer - 1)
        if ((n = recv(fd, answer + have, 1, 0)) > 0) have += (size_t)n;
    struct peer p = {.fd = fd, .client = true, .side.status = SESSION_WANT_BYTES};
    struct tls_context *context = tls_context_client(&policy, false);
    if (strncmp(answer, "HTTP/1.1 200 ", 13) == 0) {
        p.side.tls = session_client(context, &p.side.stream, NULL, "", &offer, &check, NULL);
        peer_run(&p);
    }
    bool whole = strcmp(text_string(&p.got), pong) == 0;
    assert_true(p.got.size <= strlen(pong));
    assert_memory_equal(text_string(&p.got), pong, p.got.size);
    assert_true(p.got.size == 0 || check.verified);
    peer_end(&p);
    cert_facts_fini(&check.facts);
    tls_context_free(context);
    return whole;
}

/* ---- one connection ---- */

struct round {
    struct leaf_keys keys;
    int fd;
    struct worker worker;
    struct runtime *runtime;
};

static void *work(void *arg)
{
    struct round *r = arg;
    struct worker *w = &r->worker;
    enum source_verdict verdict;
    struct arrival a = {.fd = r->fd, .refuse = REASON_OK};
    struct source_limits limits = {0};
    assert_true(addr_from_ip("127.0.0.1", 40000, &a.peer));
    a.source = sources_enter(proxy.shared.sources, &a.peer, &limits, 1, &verdict);
    w->shared->active = 1;
    w->count = 1;
    w->draining = true; /* the loop ends with the connection */
    is_worker = true;
    while (!conn_prepare(w)) continue;
    conn_start(w, &r->runtime->listeners[0], &a);
    if (w->count > 0) ev_run(w->loop, 0);
    is_worker = false;
    recorder_submit_counts(w->recorder, &proxy.loaded->origin, INT64_MAX);
    if (!recorder_finish(w->recorder, INT64_MAX)) abort();
    counts_sum(&proxy.counts, &w->counts);
    signer_free(w->signer);
    w->signer = NULL;
    runtime_release(r->runtime);
    worker_fini(w);
    buf_thread_fini();
    random_thread_fini();
    return NULL;
}

static void connect_clerk(struct recorder *recorder)
{
    static unsigned number;
    struct text errors = {0};
    char name[32];
    int fd;
    snprintf(name, sizeof name, "proxy-%u", number++);
    bool alive;
    if (!clerk_add_sender(proxy.clerk_post, AUDIT_BY_PROXY, name, &fd, &alive, &errors))
        fail_msg("%s", text_string(&errors));
    recorder_connect(recorder, fd);
}

static bool connect_once(void)
{
    static struct round r;
    struct text errors = {0};
    pthread_t thread;
    int ends[2];
    memset(&r, 0, sizeof r);
    memory.count = randomness.count = minting.count = 0;
    assert_true(worker_init(&r.worker, 0, &proxy.shared));
    r.worker.ticket_keys.n = 1;
    assert_true(ticket_key_generate(&r.worker.ticket_keys.items[0]));
    connect_clerk(r.worker.recorder);
    r.worker.signer = signer_new(r.worker.loop, signers_start(proxy.signers));
    assert_non_null(r.worker.signer);
    leaf_keys_init(&r.keys); /* so that each connection has one to make */
    int listening = listener_open(&proxy.loaded->listener_addresses[0]);
    r.runtime = runtime_new(proxy.loaded, &r.keys, r.worker.loop, &listening, &errors);
    if (!r.runtime) fail_msg("%s", text_string(&errors));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    r.fd = ends[0];
    int flags = fcntl(r.fd, F_GETFL);
    assert_int_equal(fcntl(r.fd, F_SETFL, flags | O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, work, &r), 0);
    bool whole = ask(ends[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    leaf_keys_fini(&r.keys);
    signers_stop(proxy.signers);
    return whole;
}

/* The code that has blamed a peer since then; REASON_OK: none. */
static enum reason accused(const struct counts *before)
{
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++) {
        unsigned long n = proxy.counts.refused[r] + proxy.counts.closed[r];
        if (n > before->refused[r] + before->closed[r] &&
            reason_row((enum reason)r)->blame != BLAME_OPERATOR)
            return (enum reason)r;
    }
    return REASON_OK;
}

static void refuse_each(struct gauge *g)
{
    g->fails = 0;
    assert_true(connect_once());
    size_t all = g->count, whole = 0;
    assert_true(all > 0);
    for (size_t at = 1; at <= all; at++) {
        struct counts before = proxy.counts;
        g->fails = at;
        whole += connect_once();
        /* The library does not report that it got no randomness. */
        enum reason code = g == &randomness ? REASON_OK : accused(&before);
        if (code != REASON_OK)
            fail_msg("request %zu for %s: %s", at, g->what, reason_row(code)->code);
    }
    g->fails = 0;
    assert_true(connect_once());
    print_message("%zu requests for %s, %zu can be done without\n", all, g->what, whole);
    assert_true(whole < all);
}

static void each_request_for_memory(void **state)
{
    (void)state;
    refuse_each(&memory);
}

static size_t records_expected(void)
{
    size_t n = proxy.counts.opened;
    for (int r = 0; r < REASON_COUNT; r++) n += proxy.counts.refused[r] + proxy.counts.closed[r];
    return n;
}

static void each_request_for_randomness(void **state)
{
    (void)state;
    refuse_each(&randomness);
}

static void the_new_certificate(void **state)
{
    (void)state;
    refuse_each(&minting);
    assert_true(proxy.counts.refused[REASON_INTERNAL_ERROR] > 0);
}

/* ---- a route with an exchange before TLS ---- */

static bool always(const struct conn *c)
{
    (void)c;
    return true;
}

static const struct target *straight(const struct conn *c)
{
    return &c->target;
}

static bool never(const struct conn *c, const struct addr *a)
{
    (void)c;
    (void)a;
    return false;
}

/* Sends hello[] once, and continues after a line that begins with +. */
static enum step exchange(struct conn *c)
{
    struct buf *in = &c->upstream.stream.in;
    if (c->setup->exchanged++ == 0)
        assert_true(buf_append(&c->upstream.stream.out, hello, strlen(hello)));
    size_t got = leg_fill(&c->upstream);
    const uint8_t *p = buf_head(in), *end = buf_size(in) ? memchr(p, '\n', buf_size(in)) : NULL;
    if (!end && got == 0 && c->upstream.stream.end_of_data)
        return conn_refuse(c, REASON_UPSTREAM_UNREACHABLE);
    if (!end) return STEP_WAIT;
    if (p[0] != '+') return conn_refuse(c, REASON_UPSTREAM_UNREACHABLE);
    buf_consume(in, (size_t)(end - p) + 1);
    return reach_done(c);
}

static const struct route *polite_route(const struct conn *c)
{
    static const struct route route = {
        .applies = always, .next_hop = straight, .is_forbidden = never, .exchange = exchange};
    (void)c;
    return &route;
}

static void a_route_exchanges_before_tls(void **state)
{
    (void)state;
    static const struct {
        const char *preface;
        size_t size;
        bool whole;
        enum reason code; /* REASON_OK: it is served */
    } rows[] = {
#define PREFACE(text) (text), sizeof(text) - 1
        {PREFACE("+ go on\n"), true, REASON_OK},
        {PREFACE("- go away\n"), false, REASON_UPSTREAM_UNREACHABLE},
        {PREFACE(""), false, REASON_UPSTREAM_TIMEOUT}, /* connect_timeout is for this, too */
        /* What follows the answer is read as TLS: a fatal alert. */
        {PREFACE("+ go on\n\x15\x03\x03\x00\x02\x02\x46"), false, REASON_UPSTREAM_PROTOCOL_REFUSED},
#undef PREFACE
    };
    proxy.shared.route_of = polite_route;
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct counts before = proxy.counts;
        proxy.preface = rows[i].preface;
        proxy.preface_size = rows[i].size;
        if (connect_once() != rows[i].whole) fail_msg("row %zu", i);
        if (rows[i].code != REASON_OK)
            assert_int_equal(proxy.counts.refused[rows[i].code], before.refused[rows[i].code] + 1);
        assert_int_equal(proxy.counts.opened, before.opened + rows[i].whole);
    }
    proxy.preface = NULL;
    proxy.shared.route_of = route_of;
}

/* ---- the log of all connections ---- */

static void no_record_is_missing(void **state)
{
    (void)state;
    char path[128];
    struct text errors = {0};
    struct line_view line;
    size_t found = 0, expected = records_expected(), unwritten = 0;
    size_t lost = recording_free(proxy.shared.recording);
    proxy.shared.recording = NULL;
    assert_true(clerk_end(proxy.clerk_post, &unwritten, NULL, &errors));
    assert_in_range(unwritten, 0, lost); /* it knows of those that another record follows */
    snprintf(path, sizeof path, "%s/audit.jsonl", proxy.folder);
    struct lines *lines = lines_open(path, &errors);
    assert_non_null(lines);
    while (lines_next(lines, &line)) {
        struct log_entry e;
        assert_true(entry_read(&line, &e));
        if (strncmp(e.action, "connection-", 11) == 0) found += e.count;
        entry_fini(&e);
    }
    lines_close(lines);
    print_message("%zu of %zu records, %zu lost for want of memory\n", found, expected, lost);
    assert_int_equal(found, expected);
    assert_int_equal(lost, 0);
}

/* ---- once ---- */

static int begin(void **state)
{
    struct text certificate = {0}, key = {0}, errors = {0};
    struct lifetime lifetime;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char ini[128];
    (void)state;
    assert_true(tls_library_init(&errors));
    snprintf(proxy.folder, sizeof proxy.folder, "/tmp/suitegate-faults.XXXXXX");
    assert_non_null(mkdtemp(proxy.folder));
    assert_true(ca_create(KEY_ECDSA, 0, -1, (struct span){0}, time(NULL), &certificate, &key));
    put_file("ca.pem", 0644, text_string(&certificate));
    put_file("ca.key", 0600, text_string(&key));
    put_file("suitegate.ini", 0644,
             "[proxy]\nhello_timeout = 2s\nconnect_timeout = 2s\nhandshake_timeout = 2s\n"
             "[ca]\ncertificate = ca.pem\nkey = ca.key\n[upstream]\ntrust = ca.pem\n"
             "[audit]\nfile = audit.jsonl\nsync = none\n"
             "[listen forward]\ntype = forward\naddress = 127.0.0.1:0\nidle_timeout = 2s\n");
    snprintf(ini, sizeof ini, "%s/suitegate.ini", proxy.folder);
    proxy.loaded = loaded_config_read(ini, false, NULL, &errors);
    if (!proxy.loaded) fail_msg("%s", text_string(&errors));
    proxy.signers = signers_new();
    assert_non_null(proxy.signers);
    signers_add(proxy.signers, proxy.loaded);
    leaf_keys_init(&proxy.keys);
    assert_non_null(leaf_keys_get(&proxy.keys, KEY_ECDSA));
    struct ca *ca = ca_new(&certificate, (struct ca_key){&key, NULL}, &(struct ca_urls){NULL, NULL},
                           "ca.pem", &errors);
    assert_non_null(ca);
    assert_true(ca_mint(ca, "127.0.0.1", true, NULL, &proxy.keys.keys[KEY_ECDSA], time(NULL),
                        &proxy.upstream_chain, &lifetime));
    ca_free(ca);
    text_fini(&key);
    proxy.trust = trust_in(&certificate);
    proxy.shared = (struct worker_shared){.own_hellos = own_hellos_new(),
                                          .recent = recent_new(),
                                          .sources = sources_new(1),
                                          .recording = recording_new(),
                                          .front_of = front_of,
                                          .route_of = route_of};
    assert_non_null(proxy.shared.recording);
    int ends[2];
    assert_true(post_pair(ends));
    proxy.clerk = fork();
    if (proxy.clerk == 0) {
        close(ends[0]);
        _exit(clerk_run(ends[1]) ? 0 : 2);
    }
    close(ends[1]);
    proxy.clerk_post = ends[0];
    bool alive;
    if (!clerk_open(proxy.clerk_post, &proxy.loaded->config->audit, &proxy.loaded->origin, -1,
                    &alive, &errors))
        fail_msg("%s", text_string(&errors));
    proxy.upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(proxy.upstream, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(proxy.upstream, 16), 0);
    assert_int_equal(getsockname(proxy.upstream, (struct sockaddr *)&at, &size), 0);
    proxy.port = ntohs(at.sin_port);
    return pthread_create(&proxy.upstream_thread, NULL, serve, NULL);
}

static int end(void **state)
{
    (void)state;
    char command[128];
    shutdown(proxy.upstream, SHUT_RDWR);
    pthread_join(proxy.upstream_thread, NULL);
    close(proxy.upstream);
    leaf_keys_fini(&proxy.keys);
    text_fini(&proxy.upstream_chain);
    trust_free(proxy.trust);
    recording_free(proxy.shared.recording);
    close(proxy.clerk_post);
    waitpid(proxy.clerk, NULL, 0);
    recent_free(proxy.shared.recent);
    sources_free(proxy.shared.sources);
    own_hellos_free(proxy.shared.own_hellos);
    signers_free(proxy.signers);
    loaded_config_release(proxy.loaded);
    buf_thread_fini();
    random_thread_fini();
    tls_library_fini();
    snprintf(command, sizeof command, "rm -rf '%s'", proxy.folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_for_memory),
        cmocka_unit_test(the_new_certificate),
        cmocka_unit_test(each_request_for_randomness),
        cmocka_unit_test(a_route_exchanges_before_tls),
        cmocka_unit_test(no_record_is_missing),
    };
    return cmocka_run_group_tests_name("connection_faults", tests, begin, end);
}
