/* conn/relay with a scripted source and sink on each leg: back-pressure, shares, half-close,
 * truncation, and each way a relay ends. This file replaces sessions and sockets (the Makefile
 * wraps their calls), so the script decides each step. */
#include "helper.h"

#include "conn/conn_impl.h"

enum { CLIENT, UPSTREAM, LEGS };
enum { ENDLESS = 1 << 30, RECORD = 16384, HIGH = 47 * 1024, SHARE = 64 * 1024 };

/* What a leg's peer does. */
struct script {
    size_t has;              /* bytes that it will send */
    size_t record;           /* bytes at a time; 0: RECORD */
    enum session_status end; /* what is read after them */
    size_t takes;            /* bytes that its socket takes in the next flush */
    bool renegotiates;
    enum reason fault;
    size_t sent, taken; /* so far */
    unsigned notifies;  /* close_notify to it */
    bool ended;         /* our side of its TCP connection is shut down */
};

static struct script scripts[LEGS];
static struct worker worker;
static const struct listen_config listen_config;
static struct runtime_listener listener = {.config = &listen_config};
static struct conn c;
static unsigned opened, closed;

static struct leg *leg_at(int i)
{
    return i == CLIENT ? &c.client : &c.upstream;
}

/* A session has no content here: its address is that of its script. */
static struct script *script_of(const struct session *s)
{
    return (struct script *)(uintptr_t)s;
}

static struct script *script_of_leg(const struct leg *l)
{
    return script_of(l->tls);
}

enum session_status __wrap_session_read(struct session *s, void *p, size_t n, size_t *got);
bool __wrap_session_write(struct session *s, const void *p, size_t n);
void __wrap_session_close_notify(struct session *s);
bool __wrap_session_renegotiation_asked(const struct session *s);
enum reason __wrap_session_fault(const struct session *s);
int __wrap_session_alert_sent(const struct session *s);
int __wrap_session_alert_received(const struct session *s);
void __wrap_session_handshake_done(struct session *s);
size_t __wrap_leg_fill(struct leg *l);
void __wrap_leg_flush(struct leg *l);
void __wrap_leg_end(struct leg *l);
void __wrap_evidence_opened(struct conn *conn);
void __wrap_evidence_closed(struct conn *conn);
void __wrap_conn_uncount(struct conn *conn);
void __wrap_conn_set_state(struct conn *conn, enum conn_state state);

enum session_status __wrap_session_read(struct session *s, void *p, size_t n, size_t *got)
{
    struct script *t = script_of(s);
    size_t most = t->record ? t->record : RECORD;
    *got = t->has < most ? t->has : most;
    if (*got > n) *got = n;
    if (*got == 0) return t->end;
    memset(p, (int)(t->sent / RECORD), *got);
    t->has -= *got;
    t->sent += *got;
    return SESSION_OK;
}

bool __wrap_session_write(struct session *s, const void *p, size_t n)
{
    struct leg *l = script_of(s) == &scripts[CLIENT] ? &c.client : &c.upstream;
    return buf_append(&l->stream.out, p, n);
}

void __wrap_session_close_notify(struct session *s)
{
    script_of(s)->notifies++;
}

bool __wrap_session_renegotiation_asked(const struct session *s)
{
    return script_of(s)->renegotiates;
}

enum reason __wrap_session_fault(const struct session *s)
{
    return script_of(s)->fault;
}

int __wrap_session_alert_sent(const struct session *s)
{
    (void)s;
    return -1;
}

int __wrap_session_alert_received(const struct session *s)
{
    (void)s;
    return -1;
}

void __wrap_session_handshake_done(struct session *s)
{
    (void)s;
}

size_t __wrap_leg_fill(struct leg *l)
{
    (void)l;
    return 0;
}

void __wrap_leg_flush(struct leg *l)
{
    struct script *t = script_of_leg(l);
    size_t n = buf_size(&l->stream.out);
    if (n > t->takes) n = t->takes;
    buf_consume(&l->stream.out, n);
    t->taken += n;
    t->takes -= n;
}

void __wrap_leg_end(struct leg *l)
{
    assert_int_equal(buf_size(&l->stream.out), 0);
    script_of_leg(l)->ended = true;
}

void __wrap_evidence_opened(struct conn *conn)
{
    (void)conn;
    opened++;
}

void __wrap_evidence_closed(struct conn *conn)
{
    (void)conn;
    closed++;
}

void __wrap_conn_uncount(struct conn *conn)
{
    (void)conn;
}

void __wrap_conn_set_state(struct conn *conn, enum conn_state state)
{
    conn->state = state;
}

static int begin(void **state)
{
    (void)state;
    memset(&c, 0, sizeof c);
    memset(scripts, 0, sizeof scripts);
    opened = closed = 0;
    c.worker = &worker;
    c.listener = &listener;
    for (int i = 0; i < LEGS; i++) {
        scripts[i] = (struct script){.end = SESSION_WANT_BYTES, .takes = ENDLESS};
        leg_at(i)->tls = (struct session *)&scripts[i];
    }
    relay_begin(&c);
    assert_int_equal(opened, 1);
    assert_int_equal(c.state, CONN_RELAY);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < LEGS; i++) stream_fini(&leg_at(i)->stream);
    return 0;
}

static bool reads(int from)
{
    return relay_events(&c, leg_at(from)) == EV_READ;
}

/* A receiver that takes nothing stops its source, and only that one. */
static void a_blocked_receiver_stops_its_source(void **state)
{
    (void)state;
    scripts[CLIENT].has = ENDLESS;
    scripts[UPSTREAM].takes = 0;
    for (int i = 0; i < 10; i++) assert_int_equal(relay_step(&c), STEP_WAIT);
    assert_in_range(scripts[CLIENT].sent, HIGH, HIGH + RECORD - 1);
    assert_int_equal(buf_size(&c.upstream.stream.out), scripts[CLIENT].sent);
    assert_false(reads(CLIENT));
    assert_true(reads(UPSTREAM));
    assert_false(c.rerun);
    /* One byte below the mark is room for one more record; at the mark there is no room. */
    size_t before = scripts[CLIENT].sent;
    scripts[UPSTREAM].takes = buf_size(&c.upstream.stream.out) - HIGH;
    __wrap_leg_flush(&c.upstream);
    assert_false(reads(CLIENT));
    relay_step(&c);
    assert_int_equal(scripts[CLIENT].sent, before);
    scripts[UPSTREAM].takes = 1;
    __wrap_leg_flush(&c.upstream);
    assert_true(reads(CLIENT));
    relay_step(&c);
    assert_int_equal(scripts[CLIENT].sent, before + RECORD);
}

static void a_step_moves_a_share_each_way(void **state)
{
    (void)state;
    for (int i = 0; i < LEGS; i++) scripts[i].has = ENDLESS;
    for (unsigned i = 1; i <= 5; i++) {
        size_t before = scripts[CLIENT].sent;
        assert_int_equal(relay_step(&c), STEP_WAIT);
        assert_in_range(scripts[CLIENT].sent - before, 1, SHARE);
        assert_int_equal(scripts[CLIENT].sent, scripts[UPSTREAM].sent);
        assert_int_equal(scripts[UPSTREAM].taken, scripts[CLIENT].sent);
        assert_true(c.rerun); /* no socket event will come for the rest */
    }
    assert_int_equal(c.to_upstream.bytes, scripts[CLIENT].sent);
    assert_int_equal(c.to_client.bytes, scripts[UPSTREAM].sent);
    scripts[CLIENT].has = scripts[UPSTREAM].has = 0;
    relay_step(&c);
    assert_false(c.rerun);
}

/* A record counts as its payload and 512 bytes, so that small ones cannot keep a worker. */
static void small_records_use_up_a_share_too(void **state)
{
    static const size_t sizes[] = {1, 259, 511, 512, 1536, 15872};
    for (size_t i = 0; i < N_OF(sizes); i++) {
        begin(state);
        scripts[CLIENT].has = ENDLESS;
        scripts[CLIENT].record = sizes[i];
        size_t records = (SHARE + sizes[i] + 511) / (sizes[i] + 512);
        for (size_t run = 1; run <= 3; run++) {
            relay_step(&c);
            assert_int_equal(scripts[CLIENT].sent, run * records * sizes[i]);
            assert_true(c.rerun);
        }
        end(state);
    }
    begin(state);
}

/* What a receiver can no longer take is dropped; what it has sent is still read. */
static void a_receiver_that_failed_ends_its_direction(void **state)
{
    (void)state;
    scripts[UPSTREAM].has = 1;
    scripts[CLIENT].takes = 0;
    relay_step(&c);
    assert_int_equal(buf_size(&c.client.stream.out), 1);
    c.client.write_failed = true;
    scripts[CLIENT].has = 7;
    assert_int_equal(relay_step(&c), STEP_WAIT);
    assert_int_equal(c.to_client.state, DIRECTION_CLOSED);
    assert_int_equal(scripts[UPSTREAM].taken, 7);
    scripts[CLIENT].end = SESSION_CLOSE_NOTIFY;
    assert_int_equal(relay_step(&c), STEP_AGAIN);
    assert_int_equal(closed, 1);
}

static void each_direction_ends_by_itself(void **state)
{
    (void)state;
    for (int first = 0; first < LEGS; first++) {
        begin(state);
        int second = 1 - first;
        scripts[first].has = 100;
        scripts[first].end = SESSION_CLOSE_NOTIFY;
        scripts[second].takes = 99;
        assert_int_equal(relay_step(&c), STEP_WAIT);
        assert_int_equal(scripts[second].notifies, 1);
        assert_false(scripts[second].ended); /* a byte of the payload is still here */
        assert_false(reads(first));
        scripts[second].takes = scripts[second].has = 1;
        scripts[second].end = SESSION_WANT_BYTES;
        assert_int_equal(relay_step(&c), STEP_WAIT);
        assert_true(scripts[second].ended);
        assert_int_equal(scripts[second].notifies, 1);
        assert_int_equal(scripts[first].taken, 1); /* the other direction continues */
        scripts[second].has = 5;
        scripts[second].end = SESSION_CLOSE_NOTIFY;
        assert_int_equal(relay_step(&c), STEP_AGAIN);
        assert_int_equal(scripts[first].taken, 6);
        assert_true(scripts[first].ended);
        assert_int_equal(c.state, CONN_LINGER);
        assert_int_equal(closed, 1);
        assert_int_equal(c.reason, REASON_OK);
        assert_string_equal(c.closed_by, first == CLIENT ? "client" : "upstream");
        end(state);
    }
    begin(state);
}

static void who_ends_without_close_notify(void **state)
{
    (void)state;
    static const struct {
        int first;                 /* ends without close_notify */
        enum session_status other; /* what is read from the other one then */
        bool other_failed;         /* it takes no more bytes */
        enum reason code;
    } rows[] = {
        {UPSTREAM, SESSION_WANT_BYTES, false, REASON_UPSTREAM_TRUNCATED},
        {UPSTREAM, SESSION_CLOSE_NOTIFY, false, REASON_OK}, /* its end lay unread in the socket */
        {UPSTREAM, SESSION_TRUNCATED, false, REASON_OK},
        {UPSTREAM, SESSION_WANT_BYTES, true, REASON_OK},
        {CLIENT, SESSION_WANT_BYTES, false, REASON_OK},
        {CLIENT, SESSION_TRUNCATED, false, REASON_OK},
    };
    for (size_t i = 0; i < N_OF(rows); i++) {
        begin(state);
        int other = 1 - rows[i].first;
        scripts[rows[i].first].end = SESSION_TRUNCATED;
        scripts[other].end = rows[i].other;
        leg_at(other)->write_failed = rows[i].other_failed;
        relay_step(&c);
        if (c.reason != rows[i].code) fail_msg("row %zu: %s", i, reason_row(c.reason)->code);
        /* Truncated data is not passed on with a proper end. */
        assert_int_equal(scripts[other].notifies, 0);
        end(state);
    }
    begin(state);
}

static void an_upstream_that_renegotiates_is_left(void **state)
{
    (void)state;
    scripts[UPSTREAM].renegotiates = true;
    assert_int_equal(relay_step(&c), STEP_AGAIN);
    assert_int_equal(c.reason, REASON_UPSTREAM_RENEGOTIATION);
    assert_int_equal(scripts[CLIENT].notifies, 0);
    assert_int_equal(closed, 1);
}

static void a_fault_of_ours_has_its_code(void **state)
{
    (void)state;
    scripts[UPSTREAM].end = SESSION_FAILED;
    scripts[UPSTREAM].fault = REASON_INTERNAL_ERROR;
    assert_int_equal(relay_step(&c), STEP_AGAIN);
    assert_int_equal(c.reason, REASON_INTERNAL_ERROR);
    assert_non_null(c.detail);
}

static void an_end_by_the_proxy_waits_for_nobody(void **state)
{
    (void)state;
    void (*const ways[])(struct conn *) = {relay_idle, relay_shut_down};
    for (size_t i = 0; i < N_OF(ways); i++) {
        begin(state);
        scripts[UPSTREAM].has = RECORD;
        scripts[CLIENT].takes = 0; /* a reader that is blocked */
        relay_step(&c);
        ways[i](&c);
        assert_int_equal(c.state, CONN_RELAY_ENDING);
        assert_int_equal(relay_step(&c), STEP_WAIT);
        assert_int_equal(closed, 0);
        relay_give_up(&c);
        assert_int_equal(relay_step(&c), STEP_AGAIN);
        assert_int_equal(c.state, CONN_DONE);
        assert_int_equal(closed, 1);
        assert_int_equal(c.reason, ways[i] == relay_shut_down ? REASON_SHUTTING_DOWN : REASON_OK);
        assert_int_equal(scripts[CLIENT].notifies + scripts[UPSTREAM].notifies, 0);
        end(state);
    }
    begin(state);
}

static void only_what_goes_out_is_activity(void **state)
{
    (void)state;
    c.active_ns = 1;
    scripts[UPSTREAM].has = ENDLESS;
    scripts[CLIENT].takes = 0;
    relay_step(&c);
    assert_int_equal(c.active_ns, 1); /* bytes came, and none were passed on */
    scripts[CLIENT].takes = 1;
    relay_step(&c);
    assert_true(c.active_ns > 1);
}

#define RELAY_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELAY_TEST(a_blocked_receiver_stops_its_source),
        RELAY_TEST(a_step_moves_a_share_each_way),
        RELAY_TEST(small_records_use_up_a_share_too),
        RELAY_TEST(a_receiver_that_failed_ends_its_direction),
        RELAY_TEST(each_direction_ends_by_itself),
        RELAY_TEST(who_ends_without_close_notify),
        RELAY_TEST(an_upstream_that_renegotiates_is_left),
        RELAY_TEST(a_fault_of_ours_has_its_code),
        RELAY_TEST(an_end_by_the_proxy_waits_for_nobody),
        RELAY_TEST(only_what_goes_out_is_activity),
    };
    return cmocka_run_group_tests_name("relay_steps", tests, NULL, NULL);
}
