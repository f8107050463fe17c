"""suitegate reload and suitegate stop: commands that wait for what they ask for."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import time

import pytest

from gate import BINARY, free_port, run
from logs import intact
from refusals import refuse
from scene import scene, talk, wait_until  # noqa: F401 (fixtures)
from upgradable import is_running


def ask(gate, command):
    return run(command, "-c", gate.config_path, timeout=120)


def test_a_reload_is_in_use_when_the_command_ends(make_forward):
    gate = make_forward()
    good = gate.config
    for number in range(10):
        port = free_port()
        gate.write_config(good + f"[listen more]\ntype = forward\naddress = 127.0.0.1:{port}\n")
        done = ask(gate, "reload")
        assert (done.returncode, done.stdout, done.stderr) == (
            0, "suitegate: the configuration is in use\n", "")
        assert refuse(port)[0] == 403
        gate.wait_record(action="configuration-loaded", count=number + 1)
    assert gate.stop() == 0


def test_a_rejected_reload_says_why(make_forward):
    gate = make_forward()
    good = gate.config
    gate.config_path.write_text(good + "colour = red\n")
    done = ask(gate, "reload")
    assert done.returncode == 1 and done.stdout == ""
    assert "configuration rejected, the old one goes on" in done.stderr and "colour" in done.stderr
    gate.wait_record(action="configuration-rejected")
    gate.write_config(good)
    assert ask(gate, "reload").returncode == 0
    assert refuse(gate.port)[0] == 403


def test_many_at_once_each_get_their_answer(make_forward):
    """Of a reload that began after they had asked, so that what they had written is what is judged."""
    gate = make_forward()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(gate, "reload").returncode, range(24)))
        assert answers == [0] * 24
        asked = pool.submit(ask, gate, "reload")
        good = gate.config
        gate.config_path.write_text("nonsense")
        assert ask(gate, "reload").returncode == 1
        gate.write_config(good)
        assert ask(gate, "reload").returncode == 0
        assert asked.result().returncode in (0, 1)


@pytest.mark.parametrize("command", ["reload", "stop"])
def test_nobody_is_there(tmp_path, command):
    (tmp_path / "suitegate.ini").write_text("")
    done = run(command, "-c", tmp_path / "suitegate.ini")
    assert done.returncode == 2 and "no suitegate run with" in done.stderr


@pytest.mark.parametrize("command", ["reload", "stop"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_not_heard(make_forward, command):
    gate = make_forward()
    done = subprocess.run([BINARY, command, "-c", str(gate.config_path)], user=65534, group=65534,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr
    assert refuse(gate.port)[0] == 403
    assert not gate.matching(action="configuration-loaded")


def test_a_stop_waits_for_the_process(make_forward):
    gate = make_forward()
    done = ask(gate, "stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not is_running(gate.pid)
    assert gate.wait() == 0
    intact(gate.audit_path)


def test_a_stop_waits_for_connections_and_a_second_one_does_not(scene, echoing):
    s = scene(echoing.port, proxy={"drain_timeout": "60s"})
    with s.client("fixed") as tunnel:
        talk(tunnel)
        first = subprocess.Popen([BINARY, "stop", "-c", str(s.gate.config_path)])
        wait_until(lambda: "stopping: open connections" in s.gate.stderr)
        talk(tunnel)
        assert first.poll() is None
        assert ask(s.gate, "reload").returncode == 1
        assert ask(s.gate, "stop").returncode == 0
        assert first.wait(60) == 0
    assert s.gate.wait() == 0


def told(manager):
    """What systemd is told by now, in order."""
    messages = []
    manager.settimeout(0.5)
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except TimeoutError:
            return messages


def test_what_the_service_manager_is_told(make_forward, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        gate = make_forward()
        assert told(manager) == ["READY=1\nSTATUS=Serving."]
        begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert ask(gate, "reload").returncode == 0
        first, second = told(manager)
        state, since = first.split("\n")
        assert state == "RELOADING=1" and int(since.removeprefix("MONOTONIC_USEC=")) >= begun
        assert second == "READY=1\nSTATUS=Serving."
        good = gate.config
        gate.config_path.write_text("nonsense")
        os.kill(gate.pid, signal.SIGHUP)
        gate.wait_record(action="configuration-rejected")
        assert told(manager)[1] == "READY=1\nSTATUS=Serving. The last configuration was rejected."
        gate.write_config(good)
        assert ask(gate, "stop").returncode == 0
        assert told(manager) == ["STOPPING=1"]
        assert gate.wait() == 0
