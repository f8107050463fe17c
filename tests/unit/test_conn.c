/* A connection at moments that no peer brings about at will: a handshake that ended outside the
 * policy, a refusal that could not be recorded, a shutdown while a record is pending. */
#include "helper.h"

#include "conn/conn_impl.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The linker leads the calls of other files here (the Makefile says so). */
static struct agreed agreed;
static enum reason refused;
static unsigned begun;
static enum conn_state state_set;
static enum lookup_status lookup_status;
static struct poll {
    const struct leg *leg;
    int events;
} polled[2];
static unsigned polls;

enum session_status __wrap_session_handshake(struct session *s);
struct agreed __wrap_session_agreed(const struct session *s);
enum step __wrap_conn_refuse(struct conn *c, enum reason reason);
enum step __wrap_client_start_handshake(struct conn *c, const char *alpn);
void __wrap_conn_set_state(struct conn *c, enum conn_state state);
void __wrap_conn_run(struct conn *c);
void __real_conn_run(struct conn *c);
enum lookup_status __wrap_lookup_overdue(const struct lookup *l);
void __wrap_leg_poll(struct leg *l, struct ev_loop *loop, int events);

enum session_status __wrap_session_handshake(struct session *s)
{
    (void)s;
    return SESSION_OK;
}

struct agreed __wrap_session_agreed(const struct session *s)
{
    (void)s;
    return agreed;
}

enum step __wrap_conn_refuse(struct conn *c, enum reason reason)
{
    (void)c;
    refused = reason;
    return STEP_WAIT;
}

enum step __wrap_client_start_handshake(struct conn *c, const char *alpn)
{
    (void)c;
    (void)alpn;
    begun++;
    return STEP_WAIT;
}

void __wrap_conn_set_state(struct conn *c, enum conn_state state)
{
    (void)c;
    state_set = state;
}

void __wrap_conn_run(struct conn *c)
{
    (void)c;
}

enum lookup_status __wrap_lookup_overdue(const struct lookup *l)
{
    (void)l;
    return lookup_status;
}

void __wrap_leg_poll(struct leg *l, struct ev_loop *loop, int events)
{
    (void)loop;
    if (polls < N_OF(polled)) polled[polls] = (struct poll){l, events};
    polls++;
}

static void go_on(struct conn *c)
{
    (void)c;
    begun++;
}

/* ---- a connection that has what these moments need ---- */

static const struct front front = {.handshake_done = go_on};
static struct config config;
static struct loaded_config loaded = {.config = &config};
static const struct listen_config listen_config;
static struct runtime_listener plain_listener = {.config = &listen_config};
static struct runtime runtime = {.loaded = &loaded, .listeners = &plain_listener};
static struct worker_shared shared;
static struct worker worker = {.shared = &shared};
static struct setup setup;

static const struct route route; /* directly */

static struct conn new_conn(enum conn_state state)
{
    config.policy.allowed = policy_profile_suites(PROFILE_2021);
    setup = (struct setup){.without_h2 = true};
    refused = REASON_OK;
    begun = polls = 0;
    state_set = CONN_STATES;
    return (struct conn){.worker = &worker,
                         .runtime = &runtime,
                         .listener = &plain_listener,
                         .front = &front,
                         .route = &route,
                         .setup = &setup,
                         .state = state,
                         .client = {.fd = -1},
                         .upstream = {.fd = -1},
                         .alert_sent = -1,
                         .alert_received = -1};
}

/* ---- the check after each handshake ---- */

enum { ECDSA_GCM = 0xc02b, RSA_CBC = 0xc027, RSA_KEY_EXCHANGE = 0x009c, P224 = 21, X25519 = 29 };

static const struct {
    const char *what;
    struct agreed agreed;
    bool allowed;
} ends[] = {
    {"as it should be", {.version = TLS_1_2, .suite = ECDSA_GCM, .group = X25519}, true},
    {"resumed", {.version = TLS_1_2, .suite = ECDSA_GCM, .resumed = true}, true},
    {"an older version", {.version = TLS_1_1, .suite = ECDSA_GCM, .group = X25519}, false},
    {"another suite", {.version = TLS_1_2, .suite = RSA_KEY_EXCHANGE, .group = X25519}, false},
    {"another group", {.version = TLS_1_2, .suite = ECDSA_GCM, .group = P224}, false},
    {"HTTP/2 with CBC",
     {.version = TLS_1_2, .suite = RSA_CBC, .group = X25519, .alpn = "h2"},
     false},
};

static void expect_end(const char *what, bool allowed)
{
    if (begun != allowed || refused != (allowed ? REASON_OK : REASON_INTERNAL_ERROR))
        fail_msg("%s: %u, %d", what, begun, (int)refused);
}

static void what_the_client_agreed_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(ends); i++) {
        struct conn c = new_conn(CONN_CLIENT_HANDSHAKE);
        agreed = ends[i].agreed;
        setup.verdict.suite = suite_by_id(agreed.suite);
        if (!setup.verdict.suite) setup.verdict.suite = &suites[0];
        (void)client_handshake_step(&c);
        expect_end(ends[i].what, ends[i].allowed);
    }
}

static void what_the_upstream_agreed_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(ends); i++) {
        for (unsigned proved = 0; proved < 2; proved++) {
            struct conn c = new_conn(CONN_UPSTREAM_HANDSHAKE);
            agreed = ends[i].agreed;
            setup.check.verified = proved && !agreed.resumed;
            setup.resuming = proved && agreed.resumed;
            (void)upstream_handshake_step(&c);
            expect_end(ends[i].what, ends[i].allowed && proved);
        }
    }
}

/* ---- a refusal that could not be recorded ---- */

static const char said[] = "what the library had to say";

static struct conn refused_conn(bool client_tls)
{
    struct conn c = new_conn(CONN_AUDIT);
    c.expects_tls = true;
    c.reason = REASON_CLIENT_HANDSHAKE_FAILED;
    c.client.tls = client_tls ? (struct session *)&c.client.stream.out : NULL;
    setup.form = FORM_CLOSE;
    assert_true(buf_append(&c.client.stream.out, said, sizeof said));
    assert_true(buf_append(&c.upstream.stream.out, said, sizeof said));
    return c;
}

static void no_outcome_is_told_that_is_not_on_record(void **state)
{
    (void)state;
    for (unsigned written = 0; written < 2; written++) {
        for (unsigned tls = 0; tls < 2; tls++) {
            struct conn c = refused_conn(tls);
            c.waiting_for_audit = true;
            conn_audit_answered(&c, written);
            bool told = written || !tls; /* before TLS: the answer to a CONNECT */
            assert_int_equal(buf_size(&c.client.stream.out), told ? sizeof said : 0);
            assert_int_equal(buf_size(&c.upstream.stream.out), written ? sizeof said : 0);
            assert_int_equal(c.reason,
                             written ? REASON_CLIENT_HANDSHAKE_FAILED : REASON_AUDIT_UNAVAILABLE);
            assert_false(c.waiting_for_audit);
            assert_int_equal(state_set, CONN_FLUSH);
            stream_fini(&c.client.stream);
            stream_fini(&c.upstream.stream);
        }
    }
}

/* Nobody is told an outcome in TLS; who speaks plain HTTP is told that nothing can be recorded. */
static void what_is_told_instead(void **state)
{
    (void)state;
    static const enum refusal_form forms[] = {FORM_ALERT, FORM_PAGE, FORM_HTTP};
    for (size_t i = 0; i < N_OF(forms); i++) {
        struct conn c = new_conn(CONN_AUDIT);
        c.expects_tls = true;
        c.reason = REASON_CLIENT_NO_APPROVED_SUITE;
        setup.form = forms[i];
        setup.form_alert = ALERT_INTERNAL_ERROR;
        conn_audit_answered(&c, false);
        struct buf *out = &c.client.stream.out;
        if (forms[i] == FORM_HTTP)
            assert_non_null(memmem(buf_head(out), buf_size(out), "audit_unavailable", 17));
        else
            assert_int_equal(buf_size(out), 0);
        assert_int_equal(begun, 0);
        assert_int_equal(state_set, CONN_FLUSH);
        stream_fini(&c.client.stream);
    }
}

/* A shutdown, and the end, of a connection whose record is on its way: it is there when the
 * writer answers. */
static void a_record_on_its_way_keeps_its_connection(void **state)
{
    (void)state;
    struct conn c = new_conn(CONN_AUDIT);
    c.waiting_for_audit = true;
    conn_shut_down(&c);
    assert_int_equal(c.state, CONN_AUDIT);
    assert_int_equal(c.reason, REASON_OK);
    c.state = CONN_DONE;
    __real_conn_run(&c); /* would free what is not on the heap */
    assert_true(c.waiting_for_audit);
}

/* A page needs a handshake: after a shutdown there is no time for it. */
static void no_page_follows_a_shutdown(void **state)
{
    (void)state;
    for (unsigned shut_down = 0; shut_down < 2; shut_down++) {
        struct conn c = new_conn(CONN_AUDIT);
        c.waiting_for_audit = c.expects_tls = true;
        c.reason = REASON_UPSTREAM_CERTIFICATE_EXPIRED;
        setup.form = FORM_PAGE;
        if (shut_down) conn_shut_down(&c);
        conn_audit_answered(&c, true);
        assert_int_equal(begun, shut_down ? 0 : 1);
        if (shut_down) assert_int_equal(state_set, CONN_FLUSH);
        stream_fini(&c.client.stream);
    }
}

/* ---- what is waited for ---- */

static void a_name_that_is_overdue(void **state)
{
    (void)state;
    static const struct {
        enum lookup_status status;
        enum reason reason;
    } rows[] = {
        {LOOKUP_UNANSWERED, REASON_RESOLVER_UNAVAILABLE},
        {LOOKUP_FAILED, REASON_UPSTREAM_NAME_LOOKUP_FAILED},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        struct conn c = new_conn(CONN_RESOLVING);
        lookup_status = rows[i].status;
        reach_lookup_overdue(&c);
        assert_int_equal(refused, rows[i].reason);
    }
}

/* A socket is asked for bytes only where somebody takes them, or the loop would turn for nothing;
 * and none goes out while a record is on its way. */
static void only_what_is_wanted_is_polled(void **state)
{
    (void)state;
    static const struct {
        enum conn_state state;
        bool writes;
    } rows[] = {
        {CONN_RESOLVING, true},
        {CONN_DIALLING, true},
        {CONN_AUDIT, false},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        for (unsigned queued = 0; queued < 2; queued++) {
            for (unsigned ended = 0; ended < 2; ended++) {
                int pair[2];
                struct conn c = new_conn(rows[i].state);
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
                while (send(pair[0], said, sizeof said, MSG_NOSIGNAL) > 0)
                    ;
                c.client.fd = pair[0];
                c.client.stream.end_of_data = ended;
                if (queued) assert_true(buf_append(&c.client.stream.out, said, sizeof said));
                __real_conn_run(&c);
                int wanted = rows[i].writes && queued ? EV_WRITE : 0;
                assert_int_equal(polls, 2);
                assert_ptr_equal(polled[0].leg, &c.client);
                if (polled[0].events != wanted)
                    fail_msg("row %zu: %d, not %d", i, polled[0].events, wanted);
                stream_fini(&c.client.stream);
                close(pair[0]);
                close(pair[1]);
            }
        }
    }
}

/* Without memory for its bytes a leg brings nothing more. A deadline would blame its peer. */
static void a_leg_without_memory(void **state)
{
    (void)state;
    static const enum conn_state states[] = {CONN_RESOLVING, CONN_DIALLING};
    for (size_t i = 0; i < N_OF(states); i++) {
        for (unsigned upstream = 0; upstream < 2; upstream++) {
            for (unsigned reset = 0; reset < 2; reset++) { /* by the peer */
                struct conn c = new_conn(states[i]);
                struct leg *l = upstream ? &c.upstream : &c.client;
                l->broken = true;
                l->stream.end_of_data = reset;
                __real_conn_run(&c);
                assert_int_equal(refused, reset ? REASON_OK : REASON_INTERNAL_ERROR);
            }
        }
    }
}

/* ---- the end ---- */

/* Who takes what is queued in the kernel, however slowly, is waited for; a refusal is not. */
static void how_long_the_end_lasts(void **state)
{
    (void)state;
    enum { HOUR_MS = 3600000 };
    static const struct {
        enum conn_state state;
        uint64_t idle_timeout;
        bool queued, progress, goes_on;
    } rows[] = {
        {CONN_LINGER, HOUR_MS, true, true, true},  {CONN_LINGER, HOUR_MS, false, true, false},
        {CONN_LINGER, 1, true, false, false},      {CONN_FLUSH, HOUR_MS, true, true, false},
        {CONN_FLUSH, HOUR_MS, false, true, false},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        int pair[2], unsent = 0;
        struct listen_config listen = {.idle_timeout = rows[i].idle_timeout};
        struct runtime_listener listener = {.config = &listen};
        struct conn c = new_conn(rows[i].state);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        c.listener = &listener;
        c.client.fd = pair[0];
        if (rows[i].queued) assert_int_equal(write(pair[0], said, sizeof said), sizeof said);
        assert_int_equal(ioctl(pair[0], SIOCOUTQ, &unsent), 0);
        assert_int_equal(unsent > 0, rows[i].queued);
        c.unsent = rows[i].progress ? unsent + 1 : unsent;
        linger_overdue(&c);
        assert_int_equal(state_set, rows[i].goes_on ? rows[i].state : CONN_DONE);
        assert_int_equal(c.unsent, unsent);
        close(pair[0]);
        close(pair[1]);
    }
}

int main(void)
{
    shared.own_hellos = own_hellos_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_client_agreed_to),
        cmocka_unit_test(what_the_upstream_agreed_to),
        cmocka_unit_test(no_outcome_is_told_that_is_not_on_record),
        cmocka_unit_test(what_is_told_instead),
        cmocka_unit_test(a_record_on_its_way_keeps_its_connection),
        cmocka_unit_test(no_page_follows_a_shutdown),
        cmocka_unit_test(a_name_that_is_overdue),
        cmocka_unit_test(only_what_is_wanted_is_polled),
        cmocka_unit_test(a_leg_without_memory),
        cmocka_unit_test(how_long_the_end_lasts),
    };
    int failed = cmocka_run_group_tests_name("conn", tests, NULL, NULL);
    own_hellos_free(shared.own_hellos);
    return failed;
}
