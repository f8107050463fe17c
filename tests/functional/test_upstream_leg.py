"""What a non-compliant upstream gets, what its client gets, and the one record of it. Certificates
are in test_upstream_certificates.py."""

import os
import socket
import ssl
import time

import pytest

import wire
from names import unshare
from scene import (at, check_blame, check_page, how, received_alert, scene,  # noqa: F401
                   sent_alert)
from upstreams import (Blackhole, Peer, Scripted, Tap, TlsPeer, gnutls_serv, nginx, page,
                       s_server)
from gate import free_port

DOWNGRADED_BELOW_12 = bytes(24) + b"DOWNGRD\0"
DOWNGRADED_TO_12 = bytes(24) + b"DOWNGRD\1"
HEARTBEAT = wire.extension(15, b"\1")
REFUSAL = wire.alert(40)


# ---- before TLS: names and addresses -------------------------------------------------------

def test_closed_port_is_unreachable_before_the_200(scene):
    s = scene(free_port())
    _, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
    check_page(answer, "upstream_unreachable", 502, "connection_refused")
    record = s.only_refusal("upstream_unreachable")
    check_blame(record, "upstream", "no")
    assert at(record, "destination.ip") == "127.0.0.1"
    assert at(record, "destination.port") == s.upstream


def test_closed_port_is_unreachable_in_the_session(scene):
    s = scene(free_port())
    check_page(s.get("fixed"), "upstream_unreachable", 502, "connection_refused")
    check_blame(s.only_refusal("upstream_unreachable"), "upstream", "no")


def test_no_route_is_unroutable(scene):
    """The kernel refuses TCP to the broadcast address without sending anything."""
    s = scene(free_port())
    _, answer = wire.connect(s.forward, "255.255.255.255:443")
    check_page(answer, "upstream_unreachable", 502, "destination_ip_unroutable")
    s.only_refusal("upstream_unreachable")


def test_connect_timeout_before_the_200(scene):
    with Blackhole() as hole:
        s = scene(hole.port, proxy={"connect_timeout": "300ms"})
        _, answer = wire.connect(s.forward, f"127.0.0.1:{hole.port}")
        check_page(answer, "upstream_timeout", 504, "connection_timeout")
    check_blame(s.only_refusal("upstream_timeout"), "upstream", "no")


def test_connect_timeout_in_the_session(scene):
    with Blackhole() as hole:
        s = scene(hole.port, proxy={"connect_timeout": "300ms"})
        check_page(s.get("fixed"), "upstream_timeout", 504, "connection_timeout")
    check_blame(s.only_refusal("upstream_timeout"), "upstream", "no")


def test_a_name_that_does_not_exist(scene):
    """The resolver library refuses .onion itself (RFC 7686), so nothing leaves the machine."""
    s = scene(free_port())
    _, answer = wire.connect(s.forward, "nosuch.onion:443")
    check_page(answer, "upstream_name_not_found", 502, "dns_error")
    record = s.only_refusal("upstream_name_not_found")
    check_blame(record, "upstream", "no")
    assert at(record, "destination.domain") == "nosuch.onion"
    assert at(record, "suitegate.identity") == "nosuch.onion"


def test_a_name_server_that_is_not_there(scene, tmp_path):
    """Own mount namespace: a resolv.conf whose name server is a closed loopback port."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.77\noptions timeout:1 attempts:1\n")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    wrapper = [*unshare(*user, "--mount"), "sh", "-c",
               f'mount --bind "{conf}" /etc/resolv.conf && exec "$@"', "sh"]
    s = scene(free_port(), proxy={"connect_timeout": "2s"}, options={"wrapper": wrapper})
    _, answer = wire.connect(s.forward, "www.suitegate.example:443")
    check_page(answer, "resolver_unavailable", 504, "dns_timeout")
    check_blame(s.only_refusal("resolver_unavailable"), "operator", "no")


# ---- before the ServerHello is accepted ------------------------------------------------------

ANY = "any"  # a peer that has sent a fatal alert reads no other one

# answer, how it ends, code, alert that must come back, Proxy-Status error, downgrade
HANDSHAKES = {
    "http": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "read",
             "upstream_not_tls", None, "tls_protocol_error", "yes"),
    "text": (b"-ERR hello\r\n", "read", "upstream_not_tls", None, "tls_protocol_error", "yes"),
    "close": (b"", "close", "upstream_closed_handshake", None, "connection_terminated", "unknown"),
    "reset": (b"", "reset", "upstream_closed_handshake", None, "connection_terminated", "unknown"),
    "alert 40": (wire.alert(40), "read", "upstream_no_approved_suite", None,
                 "tls_alert_received", "yes"),
    "alert 71": (wire.alert(71), "close", "upstream_no_approved_suite", None,
                 "tls_alert_received", "yes"),
    "alert 70": (wire.alert(70), "read", "upstream_protocol_refused", None,
                 "tls_alert_received", "no"),
    "alert 80": (wire.alert(80), "read", "upstream_handshake_failed", None,
                 "tls_alert_received", "no"),
    "alert 40 in 1.0": (wire.alert(40, version=0x0301), "read", "upstream_protocol_too_old", ANY,
                        "tls_protocol_error", "yes"),
    "alert 70 in 1.1": (wire.alert(70, version=0x0302), "read", "upstream_protocol_too_old", ANY,
                        "tls_protocol_error", "yes"),
    "alert 80 in 1.0": (wire.alert(80, version=0x0301), "read", "upstream_protocol_too_old", ANY,
                        "tls_protocol_error", "yes"),
    "hello 1.1": (wire.server_hello(version=0x0302, record_version=0x0302), "read",
                  "upstream_protocol_too_old", 70, "tls_protocol_error", "yes"),
    "hello 1.0": (wire.server_hello(version=0x0301, record_version=0x0301), "read",
                  "upstream_protocol_too_old", 70, "tls_protocol_error", "yes"),
    "hello ssl3": (wire.server_hello(version=0x0300, record_version=0x0300), "read",
                   "upstream_protocol_too_old", 70, "tls_protocol_error", "yes"),
    "static rsa": (wire.server_hello(suite=0x003C), "read", "upstream_suite_not_offered", 47,
                   "tls_protocol_error", "yes"),
    "1.3 suite": (wire.server_hello(suite=0x1301), "read", "upstream_suite_not_offered", 47,
                  "tls_protocol_error", "yes"),
    "version 1.3": (wire.server_hello(version=0x0304), "read", "upstream_suite_not_offered", 70,
                    "tls_protocol_error", "yes"),
    "extension": (wire.server_hello(extensions=wire.RENEGOTIATION_INFO + HEARTBEAT), "read",
                  "upstream_suite_not_offered", 110, "tls_protocol_error", "yes"),
    "alpn": (wire.server_hello(extensions=wire.RENEGOTIATION_INFO + wire.extension(
        16, b"\0\5\4spdy")), "read", "upstream_suite_not_offered", 110, "tls_protocol_error",
        "yes"),
    "downgrade 00": (wire.server_hello(random=DOWNGRADED_BELOW_12), "read",
                     "upstream_downgrade_marker", 47, "tls_protocol_error", "yes"),
    "no reneg info": (wire.server_hello(extensions=b""), "read",
                      "upstream_no_secure_renegotiation", 40, "tls_protocol_error", "yes"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_the_first_flight_is_judged(scene, how, name):
    answer, end, code, alert, error, downgrade = HANDSHAKES[name]
    with Scripted(answer, end=end) as upstream:
        s = scene(upstream.port)
        answer = s.get(how)
        check_page(answer, code, 502, error)
        assert f"\nDestination:  127.0.0.1:{upstream.port}\n" in answer.body
        # A peer that has closed reads nothing; only one that reads can check what came.
        if end == "read" and alert is not ANY:
            fatal = [a for a in upstream.alerts() if a[0] == 2]
            assert fatal == ([] if alert is None else [(2, alert)])
    assert upstream.count == 1
    record = s.only_refusal(code)
    check_blame(record, "upstream", downgrade)
    if alert not in (None, ANY):
        assert sent_alert(record) == alert
    if name.startswith("alert"):
        assert received_alert(record) == int(name.split()[1])


def test_a_banner_before_the_hello_is_not_tls(scene, how):
    def banner(sock, _):
        sock.sendall(b"220 mail.example ESMTP\r\n")
        wire.read_to_end(sock)

    with Peer(banner) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_not_tls", 502, "tls_protocol_error")
    check_blame(s.only_refusal("upstream_not_tls"), "upstream", "yes")


def test_silence_in_the_handshake_is_a_timeout(scene, how):
    with Scripted(b"") as upstream:
        s = scene(upstream.port, proxy={"handshake_timeout": "1s"})
        check_page(s.get(how), "upstream_timeout", 504, "connection_read_timeout")
    check_blame(s.only_refusal("upstream_timeout"), "upstream", "no")


def test_an_end_in_mid_flight_is_a_closed_handshake(scene, how):
    with Scripted(wire.server_hello(), end="close") as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_closed_handshake", 502, "connection_terminated")
    check_blame(s.only_refusal("upstream_closed_handshake"), "upstream", "unknown")


def test_a_malformed_server_hello_is_a_failed_handshake(scene, how):
    broken = wire.record(22, wire.handshake_message(2, b"\3\3" + bytes(10)))
    with Scripted(broken) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_handshake_failed", 502)
        assert [level for level, _ in upstream.alerts()] == [2]
    check_blame(s.only_refusal("upstream_handshake_failed"), "upstream", "no")


def test_an_alert_after_the_server_hello_is_no_suite_verdict(scene, how):
    with Scripted(wire.server_hello() + wire.alert(40)) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_handshake_failed", 502, "tls_alert_received")
    record = s.only_refusal("upstream_handshake_failed")
    assert received_alert(record) == 40


def test_a_suite_that_the_operator_took_out_is_not_offered(scene, how):
    with Scripted(wire.server_hello(suite=0xC02C)) as upstream:
        s = scene(upstream.port, policy={"suite": ["ECDHE-ECDSA-AES128-GCM-SHA256",
                                                   "ECDHE-RSA-AES128-GCM-SHA256"]})
        check_page(s.get(how), "upstream_suite_not_offered", 502, "tls_protocol_error")
        assert [v for v in wire.Hello(upstream.hellos[0]).suites if v != 0xFF] == [0xC02B, 0xC02F]
    s.only_refusal("upstream_suite_not_offered")


# ---- real servers that are not compliant -----------------------------------------------------

REAL = {
    "tls 1.0": ("upstream_protocol_too_old", "yes", ["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
    "tls 1.1": ("upstream_protocol_too_old", "yes", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
    "tls 1.3 only": ("upstream_protocol_refused", "no", ["-tls1_3"]),
    "static rsa": ("upstream_no_approved_suite", "yes", ["-tls1_2", "-cipher", "AES128-SHA256"]),
    "dhe": ("upstream_no_approved_suite", "yes",
            ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"]),
    "chacha": ("upstream_no_approved_suite", "yes",
               ["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"]),
    "ecdhe with sha1": ("upstream_no_approved_suite", "yes",
                        ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"]),
}


@pytest.mark.parametrize("name", REAL)
def test_openssl_servers_outside_the_policy(scene, how, pki, tmp_path, name):
    code, downgrade, options = REAL[name]
    with s_server(tmp_path, pki.rsa, *options) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), code)
    check_blame(s.only_refusal(code), "upstream", downgrade)


@pytest.mark.parametrize("priority,code", [
    ("LEGACY:-VERS-ALL:+VERS-TLS1.0", "upstream_protocol_too_old"),
    # GnuTLS sends handshake_failure, not protocol_version, so its version is unknown.
    ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "upstream_no_approved_suite"),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", "upstream_no_approved_suite"),
])
def test_gnutls_servers_outside_the_policy(scene, pki, tmp_path, priority, code):
    with gnutls_serv(tmp_path, pki.rsa, priority) as upstream:
        s = scene(upstream.port)
        check_page(s.get("forward"), code)
    s.only_refusal(code)


def test_a_compliant_gnutls_server_is_allowed(scene, how, pki, tmp_path):
    with gnutls_serv(tmp_path, pki.ec, "NORMAL:-VERS-ALL:+VERS-TLS1.2") as upstream:
        s = scene(upstream.port)
        assert "GnuTLS" in s.get(how).body
    opened, _ = s.opened_closed()[0]
    assert at(opened, "suitegate.upstream.tls.version") == "1.2"


def test_a_server_that_could_do_tls_1_3_is_allowed(scene, how, pki, tmp_path):
    """Its ServerHello.random ends in DOWNGRD 01, which is normal for TLS 1.2."""
    with s_server(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        assert s.get(how).status == 200
    opened, _ = s.opened_closed()[0]
    assert at(opened, "suitegate.upstream.speaks_tls13") is True


@pytest.mark.parametrize("suite", wire.EIGHT)
def test_each_suite_on_the_upstream_leg(scene, how, pki, tmp_path, suite):
    leaf = pki.ec if "ECDSA" in suite else pki.rsa
    with s_server(tmp_path, leaf, "-tls1_2", "-cipher", suite) as upstream:
        s = scene(upstream.port)
        assert f"Cipher is {suite}\n" in s.get(how).body
    opened, _ = s.opened_closed()[0]
    assert at(opened, "suitegate.upstream.tls.cipher") == wire.EIGHT[suite]


def test_an_upstream_that_requires_a_client_certificate(scene, how, pki, tmp_path):
    with s_server(tmp_path, pki.ec, "-tls1_2", "-Verify", "1") as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_wants_client_certificate", 502, "tls_alert_received")
    check_blame(s.only_refusal("upstream_wants_client_certificate"), "operator", "no")


def test_an_upstream_that_would_like_a_client_certificate(scene, how, pki, tmp_path):
    with s_server(tmp_path, pki.ec, "-tls1_2", "-verify", "1") as upstream:
        s = scene(upstream.port)
        assert s.get(how).status == 200
    s.opened_closed()


def test_an_upstream_that_renegotiates(scene, how, pki, tmp_path):
    with s_server(tmp_path, pki.ec, "-tls1_2", "-msg", www=False, stdin=True) as upstream, \
            Tap(upstream.port) as tap:
        s = scene(tap.port)
        with s.client(how) as tls:
            tls.send(b"are you there\n")
            upstream.wait_output("are you there")
            upstream.send("R\n")
            assert tls.ending() != "close_notify"
        upstream.wait_output("no_renegotiation")
        s.gate.wait_record(action="connection-closed")
    # OpenSSL reads nothing after the warning: only its record shows the second alert.
    assert [kind for kind, _, _ in wire.records(tap.sent[0])][-2:] == [21, 21]
    _, closed = s.opened_closed()[0]
    assert at(closed, "event.code") == "upstream_renegotiation"
    check_blame(closed, "upstream", "yes")


# ---- the error that the client gets ------------------------------------------------------------

def test_the_page_is_html_for_those_who_take_it(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        answer = s.get(how, headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "<html" in answer.body.lower() and "upstream_no_approved_suite" in answer.body
    s.only_refusal("upstream_no_approved_suite")


def test_the_page_is_text_for_all_others(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        answer = s.get(how, headers={"Accept": "application/json"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert "<" not in answer.body and "upstream_no_approved_suite" in answer.body
    s.only_refusal("upstream_no_approved_suite")


def test_the_page_ends_with_close_notify(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            wire.get(tls)
            assert tls.ending() == "close_notify"
    s.only_refusal("upstream_no_approved_suite")


def test_a_head_request_gets_no_body(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head, _, body = tls.recv_to_end().partition(b"\r\n\r\n")
    assert wire.parse_head(head)[0] == 502 and body == b""
    s.only_refusal("upstream_no_approved_suite")


def test_a_request_in_single_bytes_gets_the_page(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":
                tls.send(bytes([byte]))
            check_page(wire.read_answer(tls.recv), "upstream_no_approved_suite")
    s.only_refusal("upstream_no_approved_suite")


def test_a_client_with_http_1_1_in_its_alpn_gets_the_page(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        with s.client(how, alpn=["h2", "http/1.1"]) as tls:
            assert tls.tls.selected_alpn_protocol() == "http/1.1"
            check_page(wire.get(tls), "upstream_no_approved_suite")
    s.only_refusal("upstream_no_approved_suite")


@pytest.mark.parametrize("alpn", [["h2"], ["h2", "http/1.1"], ["imap"]])
def test_a_refusal_of_the_clients_protocols_is_passed_on(scene, how, alpn):
    """Alert 120 (RFC 7301), as the client would get it without the gate."""
    with Scripted(wire.alert(120)) as upstream:
        s = scene(upstream.port)
        tls = wire.Tls(s.tunnel(how), s.context(how, alpn=alpn), name="localhost")
        with tls, pytest.raises(ssl.SSLError) as caught:
            tls.handshake()
        assert "no application protocol" in str(caught.value)
        record = s.only_refusal("upstream_handshake_failed")
    assert received_alert(record) == 120
    assert "application protocols" in at(record, "suitegate.detail")


@pytest.mark.parametrize("alpn", [["h2"], ["imap", "pop3"]])
def test_a_client_without_http_1_1_gets_alert_80_in_its_handshake(scene, how, alpn):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        tls = wire.Tls(s.tunnel(how), s.context(how, alpn=alpn), name="localhost")
        with tls, pytest.raises(ssl.SSLError) as failed:
            tls.handshake()
        assert failed.value.reason == "TLSV1_ALERT_INTERNAL_ERROR"
        assert wire.plain_alerts(tls.received) == [(2, 80)]
    s.only_refusal("upstream_no_approved_suite")


def test_a_client_that_does_not_speak_http_gets_alert_80_in_its_session(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"\0\1\2 what is this\r\n\r\n")
            assert tls.ending() == "TLSV1_ALERT_INTERNAL_ERROR"
    s.only_refusal("upstream_no_approved_suite")


def test_a_client_that_says_nothing_gets_alert_80_in_its_session(scene, how):
    with Scripted(REFUSAL) as upstream:
        s = scene(upstream.port, proxy={"hello_timeout": "1s"})
        with s.client(how) as tls:
            assert tls.ending() == "TLSV1_ALERT_INTERNAL_ERROR"
    s.only_refusal("upstream_no_approved_suite")


# ---- ALPN --------------------------------------------------------------------------------------

def offered(scene, how, pki, alpn, ciphers=None):
    """The ALPN names that an upstream sees."""
    with TlsPeer(wire.server_context(pki.ec, pki.rsa), page()) as upstream:
        s = scene(upstream.port)
        s.get(how, alpn=alpn, ciphers=ciphers)
        return upstream.hello().alpn


def test_h2_is_offered_with_gcm(scene, how, pki):
    assert offered(scene, how, pki, ["h2", "http/1.1"]) == ["h2", "http/1.1"]


def test_h2_is_not_offered_with_cbc_alone(scene, how, pki):
    assert offered(scene, how, pki, ["h2", "http/1.1"],
                   "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256") == ["http/1.1"]


def test_no_alpn_stays_no_alpn(scene, how, pki):
    assert offered(scene, how, pki, None) == []


def test_the_upstreams_choice_is_the_clients(scene, how, pki):
    context = wire.server_context(pki.ec, alpn=["imap"])
    with TlsPeer(context) as upstream:
        s = scene(upstream.port)
        with s.client(how, alpn=["pop3", "imap"]) as tls:
            assert tls.tls.selected_alpn_protocol() == "imap"
            tls.close_notify()
    opened, _ = s.opened_closed()[0]
    assert at(opened, "tls.next_protocol") == "imap"
    assert at(opened, "suitegate.upstream.tls.next_protocol") == "imap"


def test_cbc_with_h2_is_dialled_once_more_without_h2(scene, how, pki):
    """RFC 9113 section 9.2.2 forbids the CBC suites with h2."""
    context = wire.server_context(pki.ec, ciphers="ECDHE-ECDSA-AES256-SHA384",
                                  alpn=["h2", "http/1.1"])
    with TlsPeer(context, page("after all")) as upstream:
        s = scene(upstream.port)
        with s.client(how, alpn=["h2", "http/1.1"]) as tls:
            assert tls.tls.selected_alpn_protocol() == "http/1.1"
            assert wire.get(tls).body == "after all"
            tls.close_notify()
        assert upstream.hello(0).alpn == ["h2", "http/1.1"]
        assert upstream.hello(1).alpn == ["http/1.1"]
        assert upstream.count == 2
    opened, _ = s.opened_closed()[0]
    assert at(opened, "suitegate.upstream.tls.cipher") == "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"


# ---- resumption --------------------------------------------------------------------------------

def resumptions(s, how="forward", count=2):
    """Whether each of some successive connections was resumed upstream, by the records."""
    before = len(s.gate.matching(action="connection-opened"))
    for _ in range(count):
        assert s.get(how, "/facts").status == 200
    s.gate.wait_record(action="connection-closed", count=before + count)
    opened = s.gate.matching(action="connection-opened")[before:]
    return [at(r, "suitegate.upstream.tls.resumed") for r in opened], opened


def test_the_second_connection_is_resumed_with_all_facts(scene, how, pki, tmp_path):
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        resumed, opened = resumptions(s, how)
        assert resumed == [False, True]
        first, second = (at(r, "suitegate.upstream.tls.server") for r in opened)
        assert first == second
        assert s.get(how, "/facts").body.startswith("r ")
    s.opened_closed(3)


def test_resume_can_be_turned_off(scene, how, pki, tmp_path):
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port, upstream_leg={"resume": "no"})
        assert resumptions(s, how)[0] == [False, False]


def test_a_reload_drops_the_sessions(scene, how, pki, tmp_path):
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        assert resumptions(s, how)[0] == [False, True]
        s.gate.reload()
        assert resumptions(s, how)[0] == [False, True]


def test_listeners_do_not_share_sessions(scene, pki, tmp_path):
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        assert resumptions(s, "forward", 1)[0] == [False]
        assert resumptions(s, "fixed", 1)[0] == [False]


def test_identities_do_not_share_sessions(scene, pki, tmp_path):
    leaf = pki.leaf("two-names", san=("DNS:localhost", "DNS:other.localhost"))
    with nginx(tmp_path, leaf) as upstream:
        s = scene(upstream.port)
        assert resumptions(s, "forward", 1)[0] == [False]
        tls = wire.Tls(s.tunnel("forward"), s.context("forward"), name="other.localhost")
        with tls.handshake():
            assert wire.get(tls, "/facts").body.startswith(". ")
            tls.close_notify()


def test_an_upstream_that_forgot_its_tickets(scene, how, pki, tmp_path):
    """It answers the ticket with a full handshake and a session ID of its own."""
    port = free_port()
    with s_server(tmp_path, pki.ec, "-tls1_2", port=port):
        s = scene(port)
        assert resumptions(s, how, 1)[0] == [False]
    with s_server(tmp_path, pki.ec, "-tls1_2", "-no_ticket", port=port):
        assert resumptions(s, how, 1)[0] == [False]
    s.opened_closed(2)


def test_an_upstream_that_breaks_off_at_a_ticket(scene, how, pki):
    """The proxy dials once more without it, and the client notices nothing."""
    context, tickets = wire.server_context(pki.ec), []

    def script(sock, number):
        tickets.append(wire.Hello(sock.recv(65536, socket.MSG_PEEK)).extensions[35])
        if tickets[-1]:
            wire.reset(sock)
            return
        page("as ever")(wire.Tls(sock, context, server_side=True).handshake(), number)

    with Peer(script) as upstream:
        s = scene(upstream.port)
        assert [s.get(how).body for _ in range(2)] == ["as ever", "as ever"]
    assert [bool(t) for t in tickets] == [False, True, False]
    assert [at(o, "suitegate.upstream.tls.resumed") for o, _ in s.opened_closed(2)] == [False] * 2


def test_a_session_that_the_library_gave_up_is_no_failure(scene, pki, tmp_path):
    """The server's own hint is shorter than the time that the gate keeps sessions."""
    with nginx(tmp_path, pki.ec, extra="ssl_session_timeout 2s;") as upstream:
        s = scene(upstream.port)
        assert resumptions(s)[0] == [False, True]
        time.sleep(3.1)
        assert resumptions(s)[0] == [False, True]
    s.opened_closed(4)


def test_a_session_ends_with_the_crl(scene, pki, tmp_path):
    """A CRL's result holds while the CRL is current, also with resumption."""
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        ends = int(time.time()) + 5
        s.sections["upstream"]["crl"] = pki.crl("short-lived", following=ends - time.time())
        s.rewrite()
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        assert resumptions(s)[0] == [False, True]
        time.sleep(ends + 1.1 - time.time())
        check_page(s.get("forward", "/facts"), "upstream_revocation_unknown")


def test_a_session_ends_with_the_certificate(scene, pki, tmp_path):
    """The upstream would resume it: only the gate knows that its certificate has expired."""
    port = free_port()
    s = scene(port)
    ends = int(time.time()) + 6
    with nginx(tmp_path, pki.leaf("short-lived", end=ends - time.time()), port=port):
        assert resumptions(s)[0] == [False, True]
        time.sleep(ends + 2 - time.time())
        check_page(s.get("forward", "/facts"), "upstream_certificate_expired")


def test_a_narrower_policy_ends_the_sessions(scene, pki, tmp_path):
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        resumed, opened = resumptions(s)
        assert resumed == [False, True]
        left = "ECDHE-ECDSA-AES256-SHA384"
        assert at(opened[1], "suitegate.upstream.tls.cipher") != wire.EIGHT[left]
        s.sections["policy"] = {"suite": left}
        s.rewrite()
        s.gate.reload()
        resumed, opened = resumptions(s)
        assert resumed == [False, True]
        assert {at(r, "suitegate.upstream.tls.cipher") for r in opened} == {wire.EIGHT[left]}


def test_a_session_of_a_suite_that_the_client_lacks_is_no_trouble(scene, how, pki, tmp_path):
    with nginx(tmp_path, pki.ec, pki.rsa) as upstream:
        s = scene(upstream.port)
        for ciphers in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA256",
                        "ECDHE-ECDSA-AES128-GCM-SHA256"):
            assert s.get(how, "/facts", ciphers=ciphers).status == 200
    s.opened_closed(3)
