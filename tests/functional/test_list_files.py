"""allow_clients and allow_upstreams from files, also those that Microsoft publishes."""

import json
import os

import pytest

import hellos
from gate import StartError, ini, run

TAGS = {"changeNumber": 100, "cloud": "Public", "values": [
    {"name": "AzureCloud.westeurope", "id": "AzureCloud.westeurope", "properties": {
        "changeNumber": 1, "region": "westeurope", "regionId": 18, "platform": "Azure",
        "systemService": "", "addressPrefixes": ["13.69.0.0/17", "127.0.0.8/31", "2603:1020:200::/46"],
        "networkFeatures": ["API", "NSG"]}},
    {"name": "AzureCloud.northeurope", "id": "AzureCloud.northeurope", "properties": {
        "addressPrefixes": ["127.0.0.20/32"]}}]}


def status(gate, source=None, target="localhost:1"):
    with hellos.connect(gate.port, source=source) as sock:
        sock.sendall(hellos.connect_request(target))
        return hellos.Response(hellos.read_all(sock)).status


def accepted(gate, sources):
    return [status(gate, source) != 403 for source in sources]


SOURCES = ["127.0.0.8", "127.0.0.9", "127.0.0.10", "127.0.0.20"]


@pytest.mark.parametrize("content, expected", [
    ("127.0.0.8\n127.0.0.9/32\n", [True, True, False, False]),
    ("# who\n\n  127.0.0.8/31  # two\r\n; none\n2001:db8::/32\t; IPv6\n", [True, True, False, False]),
    ("\ufeff127.0.0.10\n", [False, False, True, False]),
    ("", [False] * 4),
    ("# nobody\n", [False] * 4),
])
def test_clients_of_a_file(make_forward, tmp_path, content, expected):
    (tmp_path / "clients.txt").write_text(content)
    gate = make_forward(listen={"allow_clients": "file:clients.txt"})
    assert accepted(gate, SOURCES) == expected


@pytest.mark.parametrize("content, expected", [
    ("127.0.0.8\n", [True, False, False, False]), ("# nobody\n", [False] * 4)])
def test_senders_of_a_file(make_forward, tmp_path, content, expected):
    """Nobody else may send a PROXY header."""
    (tmp_path / "senders.txt").write_text(content)
    gate = make_forward(listen={"proxy_protocol_from": "file:senders.txt",
                                "allow_clients": "127.0.0.0/8"})
    answers = []
    for source in SOURCES:
        with hellos.connect(gate.port, source=source) as sock:
            sock.sendall(b"PROXY UNKNOWN\r\n" + hellos.connect_request("localhost:1"))
            answers.append(hellos.read_all(sock) != b"")
    assert answers == expected


def test_a_file_and_lines_together(make_forward, tmp_path):
    (tmp_path / "clients.txt").write_text("127.0.0.8\n")
    gate = make_forward(listen={"allow_clients": ["file:clients.txt", "127.0.0.10"]})
    assert accepted(gate, SOURCES) == [True, False, True, False]


@pytest.mark.parametrize("tag, expected", [
    ("AzureCloud.westeurope", [True, True, False, False]),
    ("AzureCloud.northeurope", [False, False, False, True])])
def test_service_tags(make_forward, tmp_path, tag, expected):
    (tmp_path / "tags.json").write_text(json.dumps(TAGS))
    gate = make_forward(listen={"allow_clients": f"file:tags.json#{tag}"})
    assert accepted(gate, SOURCES) == expected


TARGETS = {"localhost:1": True, "localhost:2": False, "app.example.test:443": True,
           "example.test:443": False, "127.0.0.8:5": True, "127.0.0.20:5": False,
           "10.1.2.3:8443": True, "10.1.2.3:8444": False}


def test_upstreams_of_files(make_forward, tmp_path):
    (tmp_path / "up.txt").write_text("localhost:1\n*.example.test:443 # all of them\n10.0.0.0/8:8443\n")
    (tmp_path / "tags.json").write_text(json.dumps(TAGS))
    gate = make_forward(listen={
        "allow_upstreams": ["file:up.txt", "file:tags.json#AzureCloud.westeurope"]},
        proxy={"connect_timeout": "100ms"})
    assert {t: status(gate, target=t) != 403 for t in TARGETS} == TARGETS


def test_an_empty_file_allows_no_upstream(make_forward, tmp_path):
    (tmp_path / "up.txt").write_text("# none yet\n")
    gate = make_forward(listen={"allow_upstreams": "file:up.txt"})
    assert status(gate) == 403


def test_a_hundred_thousand(make_forward, tmp_path):
    """Every one of them is found, and nothing else."""
    lines = [f"10.{i >> 14}.{i >> 6 & 255}.{(i & 63) * 4}/31" for i in range(100000)]
    (tmp_path / "clients.txt").write_text("\n".join([*lines, "127.0.0.9", ""]))
    (tmp_path / "up.txt").write_text("".join(f"host{i}.example.test:443\n" for i in range(100000)))
    gate = make_forward(listen={"allow_clients": "file:clients.txt",
                                "allow_upstreams": "file:up.txt"})
    assert status(gate, "127.0.0.8") == 403
    assert status(gate, "127.0.0.9", "host99999.example.test:443") == 502
    assert status(gate, "127.0.0.9", "host100000.example.test:443") == 403
    assert gate.wait_record(code="destination_denied")


FAULTS = {
    "no file": (None, "No such file"),
    "a name": ("127.0.0.1\nlocalhost\n", ":2: not an address"),
    "a bad range": ("10.0.0.0/33\n", ":1: not an address"),
    "half a line": ("10.0.0.0/8\n10.0.0.0/1", "its last line has no end"),
    "binary": ("\0\0\0\n", "a line is too long or has a NUL"),
    "long": ("1" * 600 + "\n", "a line is too long"),
    "many": ("x\n" * 50, "and more"),
    "JSON": (json.dumps(TAGS), "name one of its service tags"),
    "broken JSON": ('{"values": [', "JSON that cannot be read"),
}


@pytest.mark.parametrize("how", FAULTS)
def test_faults(make_forward, tmp_path, how):
    content, message = FAULTS[how]
    if content is not None:
        (tmp_path / "clients.txt").write_text(content)
    with pytest.raises(StartError) as failed:
        make_forward(listen={"allow_clients": "file:clients.txt"})
    assert message in str(failed.value)
    assert len(str(failed.value)) < 2000


@pytest.mark.parametrize("content, message", [
    (TAGS, "no such service tag"), ({"values": [{"name": "X"}]}, "no such service tag"),
    ({"values": [{"name": "X", "properties": {"addressPrefixes": ["localhost"]}}]}, "that is none"),
    ({"values": {}}, "no such service tag"), ([1], "no JSON|no end")])
def test_faults_of_service_tags(make_forward, tmp_path, content, message):
    (tmp_path / "tags.json").write_text(json.dumps(content))
    with pytest.raises(StartError, match=message):
        make_forward(listen={"allow_clients": "file:tags.json#X"})


# ---- changes --------------------------------------------------------------------------------

def wait_for(gate, action, count):
    return gate.wait_record(action=action, count=count)


@pytest.mark.parametrize("how", ["in place", "renamed"])
def test_a_change_is_read_by_itself(make_forward, tmp_path, how):
    path = tmp_path / "clients.txt"
    path.write_text("127.0.0.8\n")
    gate = make_forward(listen={"allow_clients": "file:clients.txt"})
    assert accepted(gate, SOURCES) == [True, False, False, False]
    for number in (1, 2):
        content = "127.0.0.9\n" if number == 1 else "127.0.0.10\n"
        if how == "renamed":
            (tmp_path / "new").write_text(content)
            os.replace(tmp_path / "new", path)
        else:
            path.write_text(content)
        wait_for(gate, "configuration-loaded", number)
        assert accepted(gate, SOURCES)[number] and accepted(gate, SOURCES).count(True) == 1
    # The configuration file itself is not read for that.
    gate.config_path.write_text("nonsense")
    path.write_text("127.0.0.20\n")
    wait_for(gate, "configuration-loaded", 3)
    assert accepted(gate, SOURCES) == [False, False, False, True]
    gate.write_config(gate.config)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reaches other users' folders")
def test_a_change_in_a_folder_of_another_user(make_forward, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    path = folder / "clients.txt"
    path.write_text("127.0.0.8\n")
    os.chown(folder, 65534, 65534)
    gate = make_forward(listen={"allow_clients": f"file:{path}"})
    path.write_text("127.0.0.9\n")
    wait_for(gate, "configuration-loaded", 1)
    assert accepted(gate, SOURCES) == [False, True, False, False]


def test_a_broken_change_is_rejected_as_a_whole(make_forward, tmp_path):
    path = tmp_path / "clients.txt"
    path.write_text("127.0.0.8\n")
    gate = make_forward(listen={"allow_clients": "file:clients.txt"})
    path.write_text("127.0.0.9\n10.0.0.0/99\n")
    rejected = wait_for(gate, "configuration-rejected", 1)
    assert "clients.txt:2: not an address" in rejected["message"]
    assert accepted(gate, SOURCES) == [True, False, False, False]
    path.write_text("127.0.0.9\n")
    wait_for(gate, "configuration-loaded", 1)
    assert accepted(gate, SOURCES) == [False, True, False, False]


def test_sighup_reads_it_and_follows_other_names(make_forward, tmp_path):
    (tmp_path / "one.txt").write_text("127.0.0.8\n")
    (tmp_path / "two.txt").write_text("127.0.0.9\n")
    gate = make_forward(listen={"allow_clients": "file:one.txt"})
    gate.write_config(gate.config.replace("one.txt", "two.txt"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert accepted(gate, SOURCES) == [False, True, False, False]
    (tmp_path / "two.txt").write_text("127.0.0.10\n")
    wait_for(gate, "configuration-loaded", 2)
    assert accepted(gate, SOURCES) == [False, False, True, False]


def test_the_configuration_shows_the_file(tmp_path, ca_folder):
    (tmp_path / "clients.txt").write_text("127.0.0.8\n")
    (tmp_path / "s.ini").write_text(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "listen forward": {"type": "forward", "address": "127.0.0.1:1",
                           "allow_clients": "file:clients.txt"}}))
    done = run("config", "-c", tmp_path / "s.ini")
    assert f"allow_clients = file:{tmp_path}/clients.txt\n" in done.stdout, done.stderr
    (tmp_path / "clients.txt").write_text("nobody\n")
    done = run("config", "-c", tmp_path / "s.ini")
    assert done.returncode == 1 and "clients.txt:1: not an address" in done.stderr
