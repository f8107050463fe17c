"""[tickets] key_file: keys of session tickets that several instances share. A client resumes at any of
them, as long as they have the same policy; and suitegate tickets rotate, which makes the keys."""

import os
import re
import subprocess
import sys
import time

import pytest

from clock_shim import clock  # noqa: F401 (fixture)
from gate import AS_ROOT, ini, run
from scene import Scene, at, how, wait_until  # noqa: F401 (how is a fixture)
from test_tickets import upstream, visit  # noqa: F401 (upstream is a fixture)
from upgradable import Upgradable

DAY = 86400
SOON = 15  # seconds: files are looked at every second


def stamp(offset):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


def key(offset):
    return f"{stamp(offset)} {os.urandom(32).hex()}\n"


def write(path, *lines):
    following = path.with_suffix(".next")
    following.write_text("".join(lines))
    following.chmod(0o600)
    following.rename(path)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "tickets.keys"
    write(path, key(-60))
    return path


@pytest.fixture
def instances(make_gate, pki, ca_folder, upstream, key_file, tmp_path):
    """instances(environments..., **sections of all) -> scenes with the same listeners and keys."""

    class Instance(Scene):
        tickets = {"key_file": key_file}

        def ini(self):
            return ini({**self.sections, "tickets": self.tickets})

    def make(*envs, **sections):
        made = []
        for i, env in enumerate(envs or (None, None)):
            folder = tmp_path / f"instance{i}"
            folder.mkdir()
            made.append(Instance(make_gate, pki, ca_folder, upstream,
                                 options={"folder": folder, "env": env}, **sections))
        return made

    return make


def test_a_client_resumes_at_any_instance(instances, how):
    one, two = instances(proxy={"workers": 2})
    context = one.context(how)
    resumed, session = visit(one, how, context)
    assert not resumed
    # Back and forth: the kernel chooses each one's worker.
    for s in (two, one, two, two, one, one, two):
        resumed, session = visit(s, how, context, session)
        assert resumed
    for s, resumptions in ((one, [False] + 3 * [True]), (two, 4 * [True])):
        opened = [o for o, _ in s.opened_closed(4)]
        assert sorted(at(o, "tls.resumed") for o in opened) == resumptions


def test_not_without_the_same_keys(instances, key_file):
    one, two = instances()
    context = one.context("fixed")
    _, session = visit(one, "fixed", context)
    two.tickets = {"key_file": key_file.with_name("others.keys")}
    write(two.tickets["key_file"], key(-60))
    for tickets in (two.tickets, {}):
        two.tickets = tickets
        two.rewrite()
        assert two.gate.reload()["event"]["action"] == "configuration-loaded"
        assert not visit(two, "fixed", context, session)[0]


def test_not_with_another_policy(instances):
    one, two = instances()
    context = one.context("fixed")
    _, session = visit(one, "fixed", context)
    two.sections["policy"]["minimum_rsa_bits"] = 3072
    two.rewrite()
    assert two.gate.reload()["event"]["action"] == "configuration-loaded"
    assert not visit(two, "fixed", context, session)[0]
    assert visit(one, "fixed", context, session)[0]


def test_a_reload_and_a_restart_keep_them(instances, make_gate):
    one, _ = instances()
    context = one.context("fixed")
    _, session = visit(one, "fixed", context)
    assert one.gate.reload()["event"]["action"] == "configuration-loaded"
    assert visit(one, "fixed", context, session)[0]
    assert one.gate.stop() == 0
    make_gate(one.ini(), folder=one.gate.folder)
    assert visit(one, "fixed", context, session)[0]


def test_an_upgrade_keeps_them(pki, ca_folder, upstream, key_file, tmp_path):
    def make(config, **options):
        return Upgradable(tmp_path, config, **options)

    class Instance(Scene):
        def ini(self):
            return ini({**self.sections, "tickets": {"key_file": key_file}})

    s = Instance(make, pki, ca_folder, upstream)
    try:
        context = s.context("fixed")
        _, session = visit(s, "fixed", context)
        s.gate.upgrade()
        assert visit(s, "fixed", context, session)[0]
        assert s.gate.stop() == 0
    finally:
        Upgradable.started.clear()


def test_keys_come_and_go_while_it_runs(instances, key_file):
    one, two = instances()
    context = one.context("fixed")
    first, second = key_file.read_text(), key(-30)
    _, old = visit(one, "fixed", context)

    def change(number, *lines):
        write(key_file, *lines)
        for s in (one, two):
            s.gate.wait_record(action="configuration-loaded", count=number, timeout=SOON)

    change(1, first, second, key(+3600))
    assert visit(two, "fixed", context, old)[0]
    _, new = visit(one, "fixed", context)
    change(2, second)
    assert not visit(two, "fixed", context, old)[0], "its key is gone"
    assert visit(two, "fixed", context, new)[0], "the newest key that had begun sealed it"


def test_a_faulty_file_is_rejected(instances, key_file):
    one, _ = instances()
    context = one.context("fixed")
    _, session = visit(one, "fixed", context)
    write(key_file, "nonsense\n")
    one.gate.wait_record(action="configuration-rejected", timeout=SOON)
    assert "tickets.keys:1: not a time" in one.gate.stderr
    assert visit(one, "fixed", context, session)[0]


def test_without_the_file_a_start_says_how_to_make_it(tmp_path):
    path = tmp_path / "suitegate.ini"
    path.write_text(AS_ROOT * (os.geteuid() == 0) + ini({
        "tickets": {"key_file": "tickets.keys"},
        "listen own": {"type": "publish", "address": "127.0.0.1:0"}}))
    done = run("run", "-c", path)
    assert done.returncode == 2
    assert "tickets.keys: No such file" in done.stderr and "suitegate tickets rotate" in done.stderr


def test_a_key_file_that_others_can_read_is_refused(instances, key_file):
    one, _ = instances()
    key_file.chmod(0o640)
    assert one.gate.reload()["event"]["action"] == "configuration-rejected"
    assert "chmod 600" in one.gate.stderr


def test_a_key_that_nobody_replaces_is_warned_of_and_seals_no_more(instances, key_file):
    one, two = instances()
    context = one.context("fixed")
    for age, resumes in ((3, True), (8, False)):
        write(key_file, key(-age * DAY))
        for s in (one, two):
            assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        _, session = visit(one, "fixed", context)
        assert visit(two, "fixed", context, session)[0] is resumes
        assert visit(one, "fixed", context, session)[0], "with its own key"
        assert re.search(r"The newest ticket key in \S+tickets\.keys "
                         + ("expires soon" if resumes else "expired"), one.gate.stderr)


@pytest.mark.parametrize("ahead, resumes", [(30, True), (7200, False)])
def test_clocks_may_differ_a_little(instances, clock, ahead, resumes):
    env, set_clock = clock
    one, two = instances(None, env)
    context = one.context("fixed")
    set_clock(ahead)
    _, session = visit(one, "fixed", context)
    assert visit(two, "fixed", context, session)[0] is resumes
    _, session = visit(two, "fixed", context)
    assert visit(one, "fixed", context, session)[0] is resumes


# ---- suitegate tickets rotate --------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "suitegate.ini"
    path.write_text(ini({"tickets": {"key_file": "tickets.keys"},
                         "listen own": {"type": "test", "address": "127.0.0.1:0"}}))
    return path


def rotate(config):
    return run("tickets", "rotate", "-c", config)


def lines(path):
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_rotate_makes_the_file_then_adds(config, tmp_path):
    path = tmp_path / "tickets.keys"
    done = rotate(config)
    assert done.returncode == 0 and done.stdout.startswith(f"Made {path}: "), done
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"\S+Z [0-9a-f]{64}", lines(path)[0])
    assert abs(time.time() - time.mktime(time.strptime(
        lines(path)[0].split()[0], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    before = path.read_text()
    done = rotate(config)
    assert done.returncode == 0 and done.stdout.startswith("Added a key to "), done
    assert done.stderr == ""
    assert path.read_text().startswith(before) and len(lines(path)) == 2
    before = path.read_text()
    done = rotate(config)
    assert done.returncode == 0 and done.stdout.startswith("Nothing to do: "), done
    assert path.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["suitegate.ini", "tickets.keys"]


def test_rotate_takes_out_what_nobody_needs(config, tmp_path):
    path = tmp_path / "tickets.keys"
    gone, kept, newest = key(-3 * DAY), key(-2 * DAY), key(-3600)
    write(path, gone, kept, newest)
    assert rotate(config).returncode == 0
    assert lines(path)[:2] == [kept.strip(), newest.strip()] and len(lines(path)) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_rotate_by_root_leaves_the_file_to_its_owner(config, tmp_path):
    os.chown(tmp_path, 1234, 1235)
    path = tmp_path / "tickets.keys"
    assert rotate(config).returncode == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235), "that of the folder"
    os.chown(path, 1236, 1237)
    assert rotate(config).returncode == 0 and len(lines(path)) == 2
    assert (path.stat().st_uid, path.stat().st_gid) == (1236, 1237)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_rotate_by_root_gives_away_no_other_file(config, tmp_path):
    """Whoever owns the folder puts a link to another file where the new one is being made."""
    theirs = tmp_path / "folder"
    theirs.mkdir()
    theirs.chmod(0o755)
    os.chown(theirs, 65534, 65534)
    config.write_text(config.read_text().replace("tickets.keys", "folder/tickets.keys"))
    precious = tmp_path / "precious"
    precious.write_text("root's\n")
    precious.chmod(0o600)
    swap = ("import os,sys\nfolder,target=sys.argv[1:]\nos.chdir(folder)\nos.setgid(65534)\nos.setuid(65534)\n"
            "print('ready',flush=True)\n"
            "while True:\n"
            "    try:\n        os.symlink(target,'link')\n    except FileExistsError:\n        pass\n"
            "    while not os.path.lexists('tickets.keys.new'):\n        pass\n"
            "    try:\n        os.rename('link','tickets.keys.new')\n    except OSError:\n        pass\n")
    with subprocess.Popen([sys.executable, "-c", swap, theirs, precious],
                          stdout=subprocess.PIPE) as swapper:
        try:
            assert swapper.stdout.readline() == b"ready\n"
            for _ in range(8):
                rotate(config)
                assert precious.stat().st_uid == 0 and precious.read_text() == "root's\n"
                (theirs / "tickets.keys").unlink(missing_ok=True)
        finally:
            swapper.kill()


def test_rotate_through_a_link_changes_the_file_itself(config, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "tickets.keys").symlink_to("shared/real.keys")
    write(tmp_path / "shared/real.keys", key(-60))
    done = rotate(config)
    assert done.returncode == 0 and done.stderr == "", done
    assert (tmp_path / "tickets.keys").is_symlink()
    assert len(lines(tmp_path / "shared/real.keys")) == 2


FAULTS = {
    "faulty": (lambda p: write(p, key(0), "x\n"), "tickets.keys:2: not a time"),
    "future": (lambda p: write(p, key(DAY)), "is this machine's clock right?"),
    "readable": (lambda p: (write(p, key(-60)), p.chmod(0o644)), "chmod 600"),
    "folder": (lambda p: p.mkdir(), "Is a directory"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rotate_leaves_alone_what_it_cannot_read(config, tmp_path, fault):
    make, why = FAULTS[fault]
    path = tmp_path / "tickets.keys"
    make(path)
    before = path.read_text() if path.is_file() else None
    done = rotate(config)
    assert done.returncode == 2 and why in done.stderr and done.stdout == "", done
    assert before is None or path.read_text() == before


def test_rotate_without_a_key_file(tmp_path):
    path = tmp_path / "suitegate.ini"
    path.write_text(ini({"listen own": {"type": "test", "address": "127.0.0.1:0"}}))
    done = rotate(path)
    assert done.returncode == 2 and "has no [tickets] key_file" in done.stderr
    path.write_text(ini({"tickets": {"key_file": "nowhere/tickets.keys"},
                         "listen own": {"type": "test", "address": "127.0.0.1:0"}}))
    done = rotate(path)
    assert done.returncode == 2 and "No such file" in done.stderr
    assert run("tickets").returncode == 64 and run("tickets", "rotate", "x").returncode == 64


def test_the_proxy_takes_what_rotate_made(instances, key_file):
    one, two = instances()
    key_file.unlink()
    assert run("tickets", "rotate", "-c", one.gate.config_path).returncode == 0
    for s in (one, two):
        wait_until(lambda s=s: s.gate.matching(action="configuration-loaded"))
    context = one.context("fixed")
    _, session = visit(one, "fixed", context)
    assert visit(two, "fixed", context, session)[0]
