"""Session tickets for our own clients: they resume, and only where it is allowed."""

import ssl

import pytest

import wire
from gate import free_port
from scene import Scene, at, check_record, how, scene  # noqa: F401 (fixtures)
from strace import settled, traced
from upstreams import nginx

NO_EXTENDED_MASTER_SECRET = 1  # OpenSSL's SSL_OP_NO_EXTENDED_MASTER_SECRET


@pytest.fixture(scope="module")
def upstream(pki, tmp_path_factory):
    leaf = pki.leaf("tickets", san=("DNS:localhost", "DNS:other.test"))
    with nginx(tmp_path_factory.mktemp("origin"), leaf) as server:
        yield server.port


def visit(s, how, context, session=None, name="localhost", port=None):
    """One request; -> (was the session resumed?, the session to resume next)."""
    sock = wire.dial(port) if port else s.tunnel(how)
    with wire.Tls(sock, context, name=name, session=session) as tls:
        tls.handshake()
        assert wire.get(tls, "/facts").status == 200
        kept = tls.tls.session
        tls.close_notify()
        return tls.tls.session_reused, kept


def test_a_client_resumes(scene, upstream, how):
    s = scene(upstream)
    context = s.context(how)
    resumed, session = visit(s, how, context)
    assert not resumed and session.has_ticket
    # The same ticket again, and the result.
    for _ in range(3):
        resumed, session = visit(s, how, context, session)
        assert resumed
    records = [opened for opened, _ in s.opened_closed(4)]
    assert [at(r, "tls.resumed") for r in records] == [False, True, True, True]
    assert at(records[0], "tls.curve") and not at(records[1], "tls.curve")
    assert len({at(r, "tls.cipher") for r in records}) == 1
    # A resumed client's upstream was verified all the same.
    assert len({at(r, "suitegate.upstream.tls.server.hash.sha256") for r in records}) == 1


def test_who_resumes_is_acknowledged_at_once(scene, upstream, tmp_path):
    """In a resumed handshake the client speaks last. With Nagle's algorithm it sends its request
    only when that is acknowledged: not 40 ms later, with the kernel's delayed acknowledgement."""
    log = tmp_path / "calls"
    s = scene(upstream, options=traced(log, "setsockopt"))
    context = s.context("fixed")
    _, session = visit(s, "fixed", context)
    for _ in range(2):
        resumed, session = visit(s, "fixed", context, session)
        assert resumed
    s.opened_closed(3)
    assert s.gate.stop() == 0
    settled(log)
    assert log.read_text().count("TCP_QUICKACK, [1]") == 2


def test_every_worker_opens_every_workers_tickets(scene, upstream):
    s = scene(upstream, proxy={"workers": 2})
    context = s.context("fixed")
    _, session = visit(s, "fixed", context)
    # The kernel chooses the worker of a connection: it is always the same one once in 2**24.
    for _ in range(24):
        assert visit(s, "fixed", context, session)[0]


def test_a_ticket_is_of_one_listener(make_gate, pki, ca_folder, upstream):
    twin = free_port()

    class Twins(Scene):
        def ini(self):
            front = [(k, f"127.0.0.1:{twin}" if k == "address" else v)
                     for k, v in self.sections["listen front"]]
            self.sections["listen twin"] = front
            return super().ini()

    s = Twins(make_gate, pki, ca_folder, upstream)
    context = s.context("fixed")
    _, session = visit(s, "fixed", context)
    assert not visit(s, "fixed", context, session, port=twin)[0]
    assert visit(s, "fixed", context, session)[0]


def test_a_ticket_is_of_one_identity(scene, upstream):
    s = scene(upstream)
    context = s.context("forward")
    context.check_hostname = False
    _, session = visit(s, "forward", context)
    assert not visit(s, "forward", context, session, name="other.test")[0]
    assert visit(s, "forward", context, session)[0]


def test_a_ticket_is_of_one_suite(scene, upstream):
    """That on which a new handshake with the same hello would agree."""
    s = scene(upstream)
    context = s.context("fixed")
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    _, session = visit(s, "fixed", context)
    assert visit(s, "fixed", context, session)[0]
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384")
    assert not visit(s, "fixed", context, session)[0]


def test_a_reload_ends_all_tickets(scene, upstream, how):
    s = scene(upstream)
    context = s.context(how)
    _, session = visit(s, how, context)
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    resumed, session = visit(s, how, context, session)
    assert not resumed
    assert visit(s, how, context, session)[0]


def test_a_policy_that_lost_the_suite_gives_another_one(scene, upstream):
    s = scene(upstream)
    context = s.context("fixed")
    _, session = visit(s, "fixed", context)
    s.sections["policy"]["suite"] = "ECDHE-ECDSA-AES256-SHA384"
    s.rewrite()
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    assert not visit(s, "fixed", context, session)[0]
    last = s.gate.wait_record(action="connection-opened", count=2)
    assert at(last, "tls.cipher") == "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"


def test_no_ticket_without_extended_master_secret(scene, upstream, how):
    """RFC 7627 section 5.3: such a session must not be resumed."""
    s = scene(upstream)
    context = s.context(how)
    context.options |= ssl.Options(NO_EXTENDED_MASTER_SECRET)
    resumed, session = visit(s, how, context)
    assert not resumed and not session.has_ticket
    record = s.gate.wait_record(action="connection-opened")
    check_record(record)
    assert at(record, "tls.extended_master_secret") is False


def test_a_client_without_tickets_is_given_none(scene, upstream, how):
    s = scene(upstream)
    context = s.context(how)
    context.options |= ssl.OP_NO_TICKET
    resumed, session = visit(s, how, context)
    assert not resumed and not session.has_ticket
