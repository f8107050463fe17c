"""The local CA's key in a PKCS #11 token (softhsm2): it signs there, and whatever the token does, the
rest goes on."""

import glob
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

import cas
import memory
import wire
from client_programs import command
from gate import StartError, as_whoever, free_port, run, sanitized
from logs import intact
from scene import wait_until
from upgradable import Upgradable

PIN, TOKEN = "4321", "suitegate test"
[MODULE] = glob.glob("/usr/lib/softhsm/libsofthsm2.so") or [None]
SHIM = pathlib.Path(__file__).parent / "clients" / "token.c"
KINDS = {"ecdsa": "ec256", "rsa": "rsa3072"}


class Token:
    """folder: with ca.pem and the PIN's file; the key is only in the token, by this name."""

    def __init__(self, folder, pki, kind):
        self.folder, self.root = folder, pki.ca(f"token-{kind}", issuer=None, key=KINDS[kind])
        self.uri_path = f"pkcs11:token={TOKEN.replace(' ', '%20')};object=ca"
        shutil.copy(self.root.cert, folder / "ca.pem")
        self.pin = folder / "pin"
        self.pin.touch(0o600)
        self.pin.write_text(PIN + "\n")
        self.module = MODULE
        self.put("ca", "01", self.root.key)

    def put(self, label, number, key):
        pkcs8 = self.folder / "pkcs8"
        assert command("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key, "-out",
                       pkcs8).returncode == 0
        done = command("softhsm2-util", "--import", pkcs8, "--token", TOKEN, "--label", label, "--id",
                       number, "--pin", PIN)
        assert done.returncode == 0, done.stderr
        pkcs8.unlink()

    def uri(self, path=None, **query):
        asked = {"module-path": self.module, "pin-source": f"file:{self.pin}", **query}
        return f"{path or self.uri_path}?" + "&".join(
            f"{name}={value}" for name, value in asked.items() if value is not None)

    def configuration(self, port=None, uri=None, **sections):
        key = self.in_file(uri or self.uri())
        return cas.configuration(self.folder, port, ca={"key": key}, proxy={"workers": 1}, **sections)

    def in_file(self, uri):
        """A file with it if it is too long for a line."""
        if len(str(uri)) < 190:
            return uri
        path = self.folder / "ca.uri"
        path.touch(0o600)
        path.write_text(f"{uri}\n")
        return path

    def written(self, uri=None):
        path = self.folder / "suitegate.ini"
        path.write_text(as_whoever(self.configuration(uri=uri)))
        return path

    def asks(self, what):
        """Of the module that is compiled here."""
        return self.folder / what

    def logins(self):
        return len(self.asks("logins").read_text().splitlines())


@pytest.fixture
def token(tmp_path, pki, monkeypatch):
    """token(kind) -> Token"""
    def make(kind="ecdsa"):
        if sanitized():  # the module's libraries leak
            monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        (tmp_path / "tokens").mkdir()
        (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
        done = command("softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin",
                       "12345678", "--pin", PIN)
        assert done.returncode == 0, done.stderr
        return Token(tmp_path, pki, kind)
    return make


@pytest.fixture
def moody(token, monkeypatch):
    """A token whose module does what the test asks for."""
    made = token()
    made.module = made.folder / "token.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-I/usr/include/p11-kit-1", "-o", made.module, SHIM],
                   check=True)
    monkeypatch.setenv("TOKEN_FOLDER", str(made.folder))
    monkeypatch.setenv("TOKEN_MODULE", MODULE)
    return made


def served(token, port, name=cas.HOST):
    """A client of each kind gets a good leaf of this CA."""
    for key in cas.KEYS:
        chain = cas.served(port, key, name)
        assert cas.verifies(token.folder, chain, token.folder / "ca.pem", "-verify_hostname",
                            name) is True


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_are_signed_in_the_token(token, make_gate, kind):
    made, port = token(kind), free_port()
    gate = make_gate(made.configuration(port))
    served(made, port)
    served(made, port, "b.corp.example")
    for part, pid in gate.parts().items() if not sanitized() else ():  # whose memory is huge
        assert memory.found_in(pid, made.root.key) == set(), part
    assert gate.stop() == 0
    assert intact(gate.audit_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_use_it(token, kind):
    made = token(kind)
    config = made.written()
    done = run("ca", "crl", "-c", config)
    assert (done.returncode, done.stderr) == (0, ""), done
    shown = command("openssl", "crl", "-inform", "DER", "-in", made.folder / "ca.crl", "-CAfile",
                    made.folder / "ca.pem", "-noout")
    assert b"verify OK" in shown.stderr
    assert str(made.in_file(made.uri())) in run("ca", "show", "-c", config).stdout
    assert run("config", "-c", config).returncode == 0


def test_a_root_in_a_token_issues_cas_below_it(token, make_gate, pki):
    made, port = token(), free_port()
    below = pki.ca("below-token", issuer=made.root, key="ec256", start=-300 * cas.DAY,
                   end=65 * cas.DAY, constraints="critical,CA:TRUE,pathlen:0")
    cas.put_key_file(made.folder / "issuing-ecdsa.pem", below.cert, below.key)
    done = run("ca", "renew", "-c", made.written())
    assert done.returncode == 0 and "issuing-ecdsa.pem" in done.stdout, done
    make_gate(made.configuration(port))
    chain = cas.served(port)
    assert len(chain) == 2 and chain[1] != pathlib.Path(below.cert).read_bytes()
    assert cas.verifies(made.folder, chain, made.folder / "ca.pem") is True


FAULTS = {
    "a wrong PIN": ({"pin": "9999"}, "the token refuses the PIN: The password or PIN is incorrect"),
    "an empty PIN file": ({"pin": ""}, "the token refuses the PIN"),
    "no PIN": ({"pin-source": None}, "the token wants a PIN: give pin-source=file:/PATH"),
    "another source": ({"pin-source": "|/bin/true"}, "pin-source must be file:/PATH"),
    "a relative file": ({"pin-source": "file:pin"}, "pin-source must be file:/PATH"),
    "no such PIN file": ({"pin-source": "file:/nowhere/pin"}, "/nowhere/pin: No such file"),
    "a PIN in the URI": ({"pin-value": PIN}, "pin-value is not allowed"),
    "no such module": ({"module-path": "/nowhere.so"}, "the module /nowhere.so cannot be loaded"),
    "no such token": ({"path": "pkcs11:token=none;object=ca"}, "it names no token that is here"),
    "no such key": ({"path": "pkcs11:object=none"}, "it names no private key of the token"),
    "no private key": ({"path": "pkcs11:object=ca;type=cert"}, "its type must be private"),
    "no URI": ({"path": "pkcs11:object"}, "URI"),
    "a slot that is not there": ({"path": "pkcs11:object=ca;slot-id=4711"}, "it names no token that is here"),
    "another slot": ({"path": "pkcs11:object=ca;slot-description=x"}, "it names no token that is here"),
    "a module's name": ({"module-path": None, "module-name": "x"}, "module-name is not supported"),
    "a long PIN": ({"pin": "1" * 300}, "the PIN is too long"),
    "an unknown attribute": ({"path": "pkcs11:object=ca;colour=red"}, "an attribute that is not known"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(token, fault):
    made = token()
    options, says = FAULTS[fault]
    options = dict(options)
    if "pin" in options:
        made.pin.write_text(options.pop("pin"))
    done = run("config", "-c", made.written(made.uri(options.pop("path", None), **options)))
    assert done.returncode == 1 and says in done.stderr, done
    assert "ca init" not in done.stderr
    assert PIN not in done.stderr + done.stdout


def test_two_keys_of_a_name(token):
    made = token()
    made.put("ca", "02", made.root.key)
    done = run("config", "-c", made.written())
    assert done.returncode == 1 and "it names more than one private key" in done.stderr
    assert run("config", "-c", made.written(made.uri(f"{made.uri_path};id=%02"))).returncode == 0


def test_a_key_that_is_not_the_certificates(token, pki):
    made = token()
    for other in (pki.ca("token-other", issuer=None, key="ec256"),
                  pki.ca("token-rsa", issuer=None, key="rsa3072")):
        shutil.copy(other.cert, made.folder / "ca.pem")
        done = run("config", "-c", made.written())
        assert done.returncode == 1 and "do not belong together" in done.stderr, done


def test_a_pin_that_others_may_read(token):
    made = token()
    made.pin.chmod(0o644)
    done = run("config", "-c", made.written())
    assert done.returncode == 1 and f"{made.pin} can be read or changed by others" in done.stderr, done


def test_a_pin_in_a_uri_is_on_no_record(token, make_gate):
    made, port = token(), free_port()
    gate = make_gate(made.configuration(port))
    gate.write_config(made.configuration(port, uri=made.uri(**{"pin-source": None, "pin-value": PIN})))
    assert "pin-value is not allowed" in gate.reload()["message"]
    assert f"pin-value={PIN}" not in gate.stderr + gate.audit_path.read_text()


# ---- a token that does not do as it should ---------------------------------------------------

def test_a_wrong_pin_is_tried_once(moody):
    moody.pin.write_text("9999")
    done = run("run", "-c", moody.written())
    assert done.returncode == 2 and "the token refuses the PIN" in done.stderr
    assert moody.logins() == 1


def test_a_wrong_pin_is_tried_once_whatever_names_it(moody, make_gate):
    port = free_port()
    shutil.copy(moody.root.key, moody.folder / "ca.key")
    (moody.folder / "ca.key").chmod(0o600)
    gate = make_gate(moody.configuration(port, uri=moody.folder / "ca.key"))
    for number in range(6):
        wrong = moody.folder / f"wrong{number % 2}"
        wrong.touch(0o600)
        wrong.write_text("9999")
        gate.write_config(moody.configuration(port, uri=moody.uri(**{"pin-source": f"file:{wrong}"})))
        assert gate.reload()["event"]["action"] == "configuration-rejected"
    assert moody.logins() == 1
    gate.write_config(moody.configuration(port))  # the right one
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    served(moody, port, "right.corp.example")
    assert gate.stop() == 0


@pytest.mark.parametrize("reloads", [0, 2])
def test_a_module_that_has_to_begin_anew(moody, make_gate, reloads):
    """Former configurations use it, too."""
    port = free_port()
    gate = make_gate(moody.configuration(port))
    for number in range(reloads):
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        served(moody, port, f"{number}.corp.example")
    moody.asks("break").touch()
    for number in range(5):
        served(moody, port, f"after-{number}.corp.example")
    assert gate.stderr.count("was logged into again") == 1
    assert gate.stop() == 0


def test_a_token_that_is_lost_is_logged_into_again(moody, make_gate):
    port = free_port()
    gate = make_gate(moody.configuration(port))
    served(moody, port)
    moody.asks("lose").touch()
    assert b"BEGIN CERTIFICATE" not in cas.ask(port, name="b.corp.example").stdout
    record = gate.wait_record(code="internal_error")
    assert record["suitegate"]["blame"] == "operator"
    assert "does not sign: it names no token that is here" in gate.stderr
    served(moody, port)  # known
    moody.asks("lose").unlink()
    wait_until(lambda: b"BEGIN CERT" in cas.ask(port, name="c.corp.example").stdout)
    assert "was logged into again" in gate.stderr
    assert gate.stop() == 0


def test_a_pin_that_was_changed_is_not_tried_again(moody, make_gate):
    port = free_port()
    gate = make_gate(moody.configuration(port))
    served(moody, port)
    before = moody.logins()
    moody.asks("lose").touch()
    cas.ask(port, name="b.corp.example")
    assert command("softhsm2-util", "--init-token", "--token", TOKEN, "--label", TOKEN, "--so-pin",
                   "12345678", "--pin", "9876").returncode == 0
    moody.asks("lose").unlink()
    for name in "cdefgh":
        cas.ask(port, name=f"{name}.corp.example")
        time.sleep(0.4)
    assert moody.logins() == before + 1
    assert gate.reload()["event"]["action"] == "configuration-rejected"
    assert "the token has refused this PIN, which is not tried again" in gate.stderr
    assert moody.logins() == before + 1
    assert gate.stop() == 0


def test_a_token_that_hangs_keeps_nobody_else_waiting(moody, make_gate, echoing, pki):
    port, own = free_port(), free_port()
    gate = make_gate(moody.configuration(port, upstream={"trust": pki.trust}, **{
        "listen own": {"type": "fixed", "address": f"127.0.0.1:{own}", "certificate": pki.ec.chain,
                       "key": pki.ec.key, "upstream": f"127.0.0.1:{echoing.port}",
                       "upstream_name": "localhost"}}))
    served(moody, port)
    moody.asks("hang").touch()
    waits = threading.Thread(target=cas.ask, args=(port, "ecdsa", "b.corp.example"))
    waits.start()
    served(moody, port)  # known
    begun = time.monotonic()
    context = wire.client_context(pki.trust)
    tls = wire.Tls(wire.dial(own), context, name="localhost").handshake()  # the keeper's other keys
    assert time.monotonic() - begun < 20
    tls.close()
    waits.join()
    assert gate.wait_record(code="internal_error")["suitegate"]["blame"] == "operator"
    assert "its token does not answer" in gate.stderr
    moody.asks("hang").unlink()
    wait_until(lambda: b"BEGIN CERT" in cas.ask(port, name="c.corp.example").stdout)
    assert gate.stop() == 0


def test_a_gate_whose_token_hangs_can_be_stopped(moody, make_gate):
    port = free_port()
    gate = make_gate(moody.configuration(port))
    moody.asks("hang").touch()
    cas.ask(port)
    assert gate.stop() == 0
    assert intact(gate.audit_path)


@pytest.mark.parametrize("what", ["hang", "hang-slots"])
def test_the_proxy_is_started_again_while_the_token_hangs(moody, make_gate, what):
    port = free_port()
    gate = make_gate(moody.configuration(port))
    served(moody, port)
    moody.asks(what).touch()
    if what == "hang":
        cas.ask(port, name="hangs.corp.example")
    else:
        os.kill(gate.pid, signal.SIGHUP)
        time.sleep(0.2)
    former = gate.parts()["proxy"]
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: gate.parts().get("proxy", former) != former)
    if what == "hang-slots":
        gate.wait_record(action="configuration-rejected")
    moody.asks(what).unlink()
    wait_until(lambda: b"BEGIN CERT" in cas.ask(port).stdout)
    assert gate.stop() == 0


def open_files(pid):
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


def test_what_the_module_holds_open_is_the_keepers_alone(moody, make_gate):
    port = free_port()
    gate = make_gate(moody.configuration(port))
    for part in ("proxy", "clerk"):  # the first ones may have begun before the module
        former = gate.parts()[part]
        os.kill(former, signal.SIGKILL)
        wait_until(lambda p=part, f=former: gate.parts().get(p, f) != f)
    wait_until(lambda: b"BEGIN CERT" in cas.ask(port).stdout)
    held = str(moody.asks("logins"))
    assert open_files(gate.pid).count(held) == 1
    assert not any(held in open_files(pid) for pid in gate.parts().values())
    assert gate.stop() == 0


def test_an_upgrade_keeps_the_key(moody):
    port = free_port()
    gate = Upgradable(moody.folder, as_whoever(moody.configuration(port)))
    try:
        served(moody, port)
        for n in range(3):
            gate.upgrade()
            served(moody, port, f"after-{n}.corp.example")
            assert open_files(gate.pid).count(str(moody.asks("logins"))) == 1  # not that of the one before
    finally:
        gate.finish()
    assert intact(gate.audit_path)


def test_a_reload_to_a_token_and_back(token, make_gate):
    made, port = token(), free_port()
    shutil.copy(made.root.key, made.folder / "ca.key")
    (made.folder / "ca.key").chmod(0o600)
    gate = make_gate(made.configuration(port, uri=made.folder / "ca.key"))
    served(made, port)
    for n in range(3):
        for uri in (made.uri(), made.folder / "ca.key"):
            gate.write_config(made.configuration(port, uri=uri))
            assert gate.reload()["event"]["action"] == "configuration-loaded"
            served(made, port, f"{n}.corp.example")
    gate.write_config(made.configuration(port, uri=made.uri("pkcs11:object=none")))
    assert gate.reload()["event"]["action"] == "configuration-rejected"
    served(made, port, "still.corp.example")
    assert gate.stop() == 0
