"""An upstream's certificates: the code of each fault, what is allowed, what is revoked."""

import pytest

import wire
from gate import free_port
from pki import DAY, Leaf
from scene import at, check_blame, check_page, how, scene, sent_alert  # noqa: F401 (fixtures)
from upstreams import Scripted, TlsPeer, page


# ---- certificates ------------------------------------------------------------------------------

CERTIFICATES = {
    "expired": ("upstream_certificate_expired", 45, "no"),
    "expired_inter": ("upstream_certificate_expired", 45, "no"),
    "not_yet_valid": ("upstream_certificate_not_yet_valid", 45, "no"),
    "unknown_ca": ("upstream_certificate_untrusted", 48, "no"),
    "self_signed": ("upstream_certificate_untrusted", 48, "no"),
    "truncated_chain": ("upstream_certificate_untrusted", 48, "no"),
    "wrong_name": ("upstream_certificate_name_mismatch", 42, "no"),
    "rsa1024": ("upstream_certificate_weak", 42, "yes"),
    "sha1_leaf": ("upstream_certificate_weak", 42, "yes"),
    "sha1_inter": ("upstream_certificate_weak", 42, "yes"),
    "no_server_auth": ("upstream_certificate_invalid", 42, "no"),
    "too_deep": ("upstream_certificate_invalid", 42, "no"),
    "issuer_may_not_sign": ("upstream_certificate_invalid", 42, "no"),
    "outside_name_constraints": ("upstream_certificate_invalid", 42, "no"),
    "unknown_critical_extension": ("upstream_certificate_invalid", 42, "no"),
    "key_may_not_sign": ("upstream_certificate_invalid", 42, "no"),
    "ca_without_constraints": ("upstream_certificate_invalid", 42, "no"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_each_certificate_failure_has_its_code(scene, how, pki, name):
    code, alert, downgrade = CERTIFICATES[name]
    with TlsPeer(wire.server_context(getattr(pki, name)), page()) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), code, 502, "tls_certificate_error")
        assert upstream.alerts()[0] == (2, alert)
    record = s.only_refusal(code)
    check_blame(record, "upstream", downgrade)
    assert sent_alert(record) == alert


def test_sha1_by_pss_is_weak(scene, pki):
    root = pki.ca("rsa-root", key="rsa2048")
    leaf = pki.leaf("sha1-pss-leaf", issuer=root, digest="sha1", padding="padding_mode:pss")
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"trust": root.cert})
        check_page(s.get("forward"), "upstream_certificate_weak")
        assert upstream.alerts()[0] == (2, 42)
    s.only_refusal("upstream_certificate_weak")


def test_an_elliptic_key_below_256_bits_is_weak(scene, how, pki):
    """No server negotiates this curve with us, so the certificate is sent by hand."""
    flight = wire.server_hello() + wire.certificate_message(pki.p224.der)
    with Scripted(flight) as upstream:
        s = scene(upstream.port)
        check_page(s.get(how), "upstream_certificate_weak", 502, "tls_certificate_error")
        assert upstream.alerts()[0] == (2, 42)
    s.only_refusal("upstream_certificate_weak")


def test_a_sha1_signature_on_the_trust_anchor_itself_is_no_matter(scene, how, pki):
    leaf = pki.sha1_root
    with TlsPeer(wire.server_context(leaf), page("sound")) as upstream:
        s = scene(upstream.port, upstream_leg={"trust": pki.ca("sha1-root", digest="sha1").cert})
        assert s.get(how).body == "sound"
    s.opened_closed()


@pytest.mark.parametrize("count", [0, 33])
def test_a_certificate_message_out_of_bounds(scene, pki, count):
    """None at all, and more than the limit."""
    ders = [pki.ec.der, *[Leaf("", pki.inter.cert, "", "").der] * 32][:count]
    with Scripted(wire.server_hello() + wire.certificate_message(*ders)) as upstream:
        s = scene(upstream.port)
        check_page(s.get("fixed"), "upstream_certificate_invalid", 502, "tls_certificate_error")
        assert upstream.alerts()[0] == (2, 42)
    assert sent_alert(s.only_refusal("upstream_certificate_invalid")) == 42


def pss_inter(p, salt):
    return p.ca(f"pss-{salt}-inter", issuer=p.ca("rsa-root", key="rsa2048"), twin=p.inter,
                padding=f"padding_mode:pss pss_saltlen:{salt}")


def crossed(p):
    return p.ca("crossed-inter", issuer=p.ca("strange-root"), twin=p.inter)


def old_root(p):
    return p.ca("old-root", twin=p.root, start=-10 * DAY, end=-DAY)


# What an upstream sends, and the trust if it is not the usual root
SOUND_CHAINS = {
    "with the root": (lambda p: p.with_chain(p.ec, "and-root", p.inter.cert, p.root.cert), None),
    "the root in between": (
        lambda p: p.with_chain(p.ec, "root-between", p.root.cert, p.inter.cert), None),
    "with a stranger": (
        lambda p: p.with_chain(p.ec, "and-stranger", p.inter.cert, p.ca("strange-root").cert),
        None),
    "with one that has expired": (
        lambda p: p.with_chain(p.ec, "and-expired", p.inter.cert,
                               p.ca("expired-root", start=-10 * DAY, end=-DAY).cert), None),
    "p521 and sha512": (lambda p: p.leaf("p521", key="ec521", digest="sha512"), None),
    "signed with pss": (
        lambda p: p.leaf("pss", issuer=p.ca("rsa-root", key="rsa2048"),
                         padding="padding_mode:pss"),
        lambda p: p.ca("rsa-root", key="rsa2048").cert),
    "an intermediate signed with pss and a short salt": (
        lambda p: p.with_chain(p.ec, "pss-20", pss_inter(p, 20).cert),
        lambda p: p.ca("rsa-root", key="rsa2048").cert),
    "an intermediate signed with pss and a long salt": (
        lambda p: p.with_chain(p.ec, "pss-222", pss_inter(p, 222).cert),
        lambda p: p.ca("rsa-root", key="rsa2048").cert),
    "cross-signed by a stranger first": (
        lambda p: p.with_chain(p.ec, "cross-first", crossed(p).cert, p.inter.cert), None),
    "cross-signed by a stranger last": (
        lambda p: p.with_chain(p.ec, "cross-last", p.inter.cert, crossed(p).cert), None),
    "with its old intermediate": (
        lambda p: p.with_chain(p.ec, "and-old", p.inter.cert,
                               p.ca("old-inter", issuer=p.root, twin=p.inter, start=-10 * DAY,
                                    end=-DAY).cert), None),
    "with the root cross-signed by one that has expired": (
        lambda p: p.with_chain(p.ec, "and-old-cross", p.inter.cert,
                               p.ca("old-cross", issuer=p.ca("strange-root"), twin=p.root,
                                    start=-10 * DAY, end=-DAY).cert),
        lambda p: p.bundle("root-and-strange", p.root.cert, p.ca("strange-root").cert)),
    "with its old root": (
        lambda p: p.with_chain(p.ec, "and-old-root", p.inter.cert, old_root(p).cert), None),
    "an old root beside its renewed twin": (
        lambda p: p.ec, lambda p: p.bundle("old-and-new", old_root(p).cert, p.root.cert)),
    "the intermediate is trusted": (lambda p: p.ec, lambda p: p.inter.cert),
    "self-signed and trusted": (lambda p: p.self_signed, lambda p: p.self_signed.cert),
}


@pytest.mark.parametrize("name", SOUND_CHAINS)
def test_a_chain_that_leads_to_an_anchor_is_allowed(scene, pki, name):
    chain, trust = SOUND_CHAINS[name]
    with TlsPeer(wire.server_context(chain(pki)), page("sound")) as upstream:
        s = scene(upstream.port, upstream_leg={"trust": trust(pki)} if trust else {})
        assert s.get("forward").body == "sound"
    s.opened_closed()


@pytest.mark.parametrize("sent", [False, True])
def test_a_trust_anchor_that_has_expired_vouches_for_nothing(scene, pki, sent):
    chain = pki.with_chain(pki.ec, "sent-old-root", pki.inter.cert, old_root(pki).cert)
    with TlsPeer(wire.server_context(chain if sent else pki.ec), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"trust": old_root(pki).cert})
        check_page(s.get("forward"), "upstream_certificate_expired")
        assert upstream.alerts()[0] == (2, 45)
    s.only_refusal("upstream_certificate_expired")


def test_one_upstreams_intermediate_does_not_complete_anothers_chain(scene, pki):
    port = free_port()
    s = scene(port, upstream_leg={"resume": "no"})
    with TlsPeer(wire.server_context(pki.ec), page("sound"), port=port):
        assert s.get("forward").body == "sound"
    with TlsPeer(wire.server_context(pki.truncated_chain), page(), port=port):
        check_page(s.get("forward"), "upstream_certificate_untrusted")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_connect_host_is_what_is_verified(scene, pki, name):
    only = pki.leaf(f"only-{name}", san=(f"DNS:{name}" if name == "localhost" else f"IP:{name}",))
    with TlsPeer(wire.server_context(only), page("mine")) as upstream:
        s = scene(upstream.port)
        sock, answer = wire.connect(s.forward, f"{name}:{upstream.port}")
        assert answer.status == 200
        context = s.context("forward")
        context.check_hostname = name == "localhost"
        # No SNI towards an address: then the identity is the address itself.
        tls = wire.Tls(sock, context, name="localhost" if name == "localhost" else None)
        with tls.handshake():
            assert wire.get(tls).body == "mine"
            tls.close_notify()
        assert upstream.hello().server_name == ("localhost" if name == "localhost" else None)
    opened, _ = s.opened_closed()[0]
    assert at(opened, "suitegate.identity") == name


def test_a_name_in_the_subject_only_is_no_match(scene, pki):
    """RFC 9525 section 2: the common name is never used."""
    leaf = pki.leaf("common-name-only", san=(), subject="/CN=localhost")
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port)
        check_page(s.get("forward"), "upstream_certificate_name_mismatch")
    s.only_refusal("upstream_certificate_name_mismatch")


def test_minimum_rsa_bits(scene, how, pki):
    with TlsPeer(wire.server_context(pki.rsa), page()) as upstream:
        s = scene(upstream.port, policy={"minimum_rsa_bits": 3072})
        check_page(s.get(how), "upstream_certificate_weak", 502, "tls_certificate_error")
    check_blame(s.only_refusal("upstream_certificate_weak"), "upstream", "yes")


def test_minimum_rsa_bits_lets_longer_keys_pass(scene, pki):
    with TlsPeer(wire.server_context(pki.leaf("rsa3072", key="rsa3072")), page()) as upstream:
        s = scene(upstream.port, policy={"minimum_rsa_bits": 3072})
        assert s.get("forward").status == 200
    s.opened_closed()


# ---- revocation --------------------------------------------------------------------------------

def test_a_revoked_certificate(scene, how, pki):
    leaf, crl = pki.revoked, pki.crl("revoking")
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"crl": crl})
        check_page(s.get(how), "upstream_certificate_revoked", 502, "tls_certificate_error")
        assert upstream.alerts()[0] == (2, 44)
    check_blame(s.only_refusal("upstream_certificate_revoked"), "upstream", "no")


def test_a_revoked_intermediate(scene, pki):
    leaf = pki.revoked_inter
    crl = pki.crl("root-revoking", issuer=pki.root)
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"crl": crl})
        check_page(s.get("forward"), "upstream_certificate_revoked")
        assert upstream.alerts()[0] == (2, 44)
    s.only_refusal("upstream_certificate_revoked")


def test_a_forged_twin_does_not_hide_a_revoked_intermediate(scene, pki):
    """The library skips what it cannot verify; the other path must not be accepted."""
    leaf = pki.forged_twin
    trust = pki.bundle("root-and-bare", pki.root.cert, pki.bare_root.cert)
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port, upstream_leg={
            "trust": trust, "crl": pki.crl("root-revoking-twin", issuer=pki.root)})
        check_page(s.get("forward"), "upstream_certificate_revoked")
        assert upstream.alerts()[0] == (2, 44)
    s.only_refusal("upstream_certificate_revoked")


@pytest.mark.parametrize("name,options", [
    ("stale", {"last": -10 * DAY, "following": -DAY}), ("broken", {"broken": True}),
    ("delta", {"extension": "2.5.29.27 = critical,DER:020105"})])
def test_a_crl_that_proves_nothing(scene, how, pki, name, options):
    crl = pki.crl(name, **options)
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"crl": crl})
        check_page(s.get(how), "upstream_revocation_unknown", 502, "tls_certificate_error")
        assert upstream.alerts()[0] == (2, 42)
    check_blame(s.only_refusal("upstream_revocation_unknown"), "operator", "no")


def test_a_good_crl_lets_the_others_pass(scene, how, pki):
    crl = pki.bundle("both-crls", pki.crl("of-inter"), pki.crl("of-root", issuer=pki.root))
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"crl": crl})
        assert s.get(how).status == 200
    s.opened_closed()


def test_an_issuer_without_a_crl_passes_while_another_has_one(scene, pki):
    other = pki.ca("other-inter", issuer=pki.root)
    leaf = pki.leaf("under-other-inter", issuer=other)
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"crl": pki.crl("not-of-other")})
        assert s.get("forward").status == 200
    s.opened_closed()


def test_a_reload_with_a_crl_stops_a_resumable_session(scene, pki):
    leaf = pki.leaf("revoked-later", issuer=pki.ca("late-inter", issuer=pki.root))
    inter = pki.ca("late-inter", issuer=pki.root)
    with TlsPeer(wire.server_context(leaf), page()) as upstream:
        s = scene(upstream.port)
        assert s.get("forward").status == 200
        pki.revoke(inter, leaf.cert)
        s.sections["upstream"]["crl"] = pki.crl("late", issuer=inter)
        s.rewrite()
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        check_page(s.get("forward"), "upstream_certificate_revoked")
    s.gate.wait_record(code="upstream_certificate_revoked")
