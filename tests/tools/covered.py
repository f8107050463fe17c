"""Which functional tests run no code of their own: `make covered`.

Sanitizer runs leave those out (tests/functional/conftest.py): they test what other programs make of
our bytes, or texts and settings. A test of load, time or hostile bytes is kept whatever it covers:
there, the same code with other bytes is another test. As a pytest plugin this file records the
edges of each test; as a program it writes the list.
"""

import collections
import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

LIST = pathlib.Path(__file__).parents[1] / "functional" / "covered.txt"
KEPT = {"test_relay", "test_fairness", "test_sources", "test_operations", "test_deadlines",
        "test_repeats", "test_connect", "test_wire_judged", "test_records", "test_check_hostile",
        "test_check_mail", "test_check_names", "test_log", "test_log_tampered", "test_log_repairs",
        "test_log_disk", "test_tickets", "test_publish", "test_client_flights_judged"}
FOLDER = pathlib.Path(os.environ.get("COVERED_FOLDER", "build/coverage"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Gives this test's processes the file to which they append their edges."""
    name = item.nodeid.split("[")[0].rsplit("/", 1)[-1]
    path = FOLDER / hashlib.sha256(name.encode()).hexdigest()
    os.environ["COVERAGE_FILE"] = str(path.absolute())
    before = sum(os.times()[:4])
    yield
    with open(FOLDER / "tests", "a", encoding="utf-8") as tests:
        tests.write(f"{path.name} {sum(os.times()[:4]) - before:.2f} {name}\n")


def measured():
    """{test function: [its edges as the bits of a number, its seconds]}"""
    size = (FOLDER / hashlib.sha256(b"size").hexdigest()).stat().st_size
    found = collections.defaultdict(lambda: [0, 0.01])
    for line in (FOLDER / "tests").read_text(encoding="utf-8").splitlines():
        file, seconds, name = line.split(" ", 2)
        found[name][1] += float(seconds)
        path = FOLDER / file
        raw = path.read_bytes() if path.exists() and not found[name][0] else b""
        for at in range(0, len(raw), size):
            found[name][0] |= int.from_bytes(raw[at:at + size], "little")
    return found


def needed(found):
    """The cheapest functions, chosen one after the other, that together run all the code."""
    left = 0
    for edges, _ in found.values():
        left |= edges
    kept = [name for name in found if name.split(".")[0] in KEPT]
    for name in kept:
        left &= ~found[name][0]
    while left:
        best = max(found, key=lambda n: (found[n][0] & left).bit_count() / found[n][1])
        kept.append(best)
        left &= ~found[best][0]
    return set(kept)


def main():
    binary, *functional = sys.argv[1:]
    subprocess.run([binary, "policy"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ,
                        "COVERAGE_FILE": str(FOLDER / hashlib.sha256(b"size").hexdigest())})
    status = subprocess.run(
        functional, check=False,
        env={**os.environ, "SUITEGATE": binary, "COVERED_FOLDER": str(FOLDER.absolute()),
             "PYTHONPATH": str(pathlib.Path(__file__).parent),
             "PYTEST_ADDOPTS": "-p covered -m 'not once'"}).returncode
    if status:
        return status
    found = measured()
    left_out = sorted(set(found) - needed(found))
    seconds = sum(found[name][1] for name in left_out)
    LIST.write_text("".join(f"{name}\n" for name in left_out), encoding="utf-8")
    print(f"covered: {len(left_out)} of {len(found)} test functions, {seconds:.0f} of "
          f"{sum(t for _, t in found.values()):.0f} processor seconds; see {LIST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
