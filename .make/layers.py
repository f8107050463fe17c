"""The include graph: what each room may include, edge by edge; no circle of files; which rooms may
include the TLS library; policy/ is pure. --edges prints the edges in use.
usage: layers.py [--edges]"""

import pathlib
import re
import sys

# room: the rooms it may include besides itself.
EDGES = {
    "base": "",
    "policy": "base",
    "config": "base policy",
    "net": "base",
    "pki": "base policy",
    "tls": "base pki policy",
    "audit": "base config pki policy",
    "ledger": "audit base",
    "check": "base net pki policy tls",
    "page": "base policy tls",
    "runtime": "audit base config net page pki policy tls",
    "conn": "audit base net page pki policy runtime tls",
    "front": "config conn net page policy",
    "route": "base conn policy",
    "operate": "audit base conn page runtime",
    "serve": "audit base config conn front net operate page pki policy route runtime",
    "cli": "audit base check config ledger pki policy runtime serve tls",
}
# Headers without a source file of the same name: inline only, tables, or shared by a room.
WITHOUT_SOURCE = {
    "base/attr.h", "base/reader.h", "base/stream.h", "pki/wolfcrypt.h", "pki/registers.h",
    "policy/wire.h", "runtime/sign_order.h", "serve/control_order.h",
    "conn/conn_impl.h", "conn/conn_state.h",
    "conn/front.h", "conn/route.h",
}
LIBRARY = re.compile(r'#include (<wolfssl|"pki/wolfcrypt\.h")')
IMPURE = re.compile(r"#include <(sys/socket|fcntl|unistd|ev|ares)")
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)

faults = []
graph = {}  # file: the files it includes
used = {}   # (room, room): number of includes
for path in sorted([*pathlib.Path("src").glob("*/*"), *pathlib.Path("include").glob("*/*")]):
    room, text = path.parts[1], path.read_text()
    if room not in EDGES:
        faults.append(f"{path}: {room}/ is no room of .make/layers.py")
        continue
    for name in INCLUDE.findall(text):
        included = pathlib.Path("include", name) if "/" in name else path.parent / name
        graph.setdefault(path, set()).add(included)
        other = included.parts[1]
        if other == room:
            continue
        used[room, other] = used.get((room, other), 0) + 1
        if other not in EDGES[room].split():
            faults.append(f"{path} includes {name}: {room}/ may not include {other}/")
    if LIBRARY.search(text) and room not in ("pki", "tls"):
        faults.append(f"{path} includes wolfSSL outside pki/ and tls/")
    if IMPURE.search(text) and room == "policy":
        faults.append(f"{path}: policy/ is pure")
    if path.suffix == ".h" and path.parts[0] == "include":
        short = "/".join(path.parts[1:])
        has_source = pathlib.Path("src", short).with_suffix(".c").exists()
        if has_source and short in WITHOUT_SOURCE:
            faults.append(f"{path} has a source file: take it out of WITHOUT_SOURCE")
        if not has_source and short not in WITHOUT_SOURCE:
            faults.append(f"{path} has no source file")

for room, edges in EDGES.items():
    for other in edges.split():
        if (room, other) not in used:
            faults.append(f"the edge {room} -> {other} is not used: take it out")
        if room in EDGES[other].split():
            faults.append(f"{room} and {other} include each other")

done, under_way = set(), []


def visit(path):
    """Depth first; a file still in progress closes a circle."""
    if path in under_way:
        circle = under_way[under_way.index(path):] + [path]
        faults.append("circle: " + " -> ".join(map(str, circle)))
    elif path not in done:
        under_way.append(path)
        for included in sorted(graph.get(path, ())):
            visit(included)
        under_way.pop()
        done.add(path)


for start in sorted(graph):
    visit(start)
if "--edges" in sys.argv:
    for room in EDGES:
        ends = [f"{other} {n}" for (a, other), n in sorted(used.items()) if a == room]
        print(f"{room}: {', '.join(ends) or '-'}")
print(f"layers: {len(EDGES)} rooms, {len(used)} edges, {len(graph)} files")
for fault in faults:
    print(f"layers: {fault}", file=sys.stderr)
sys.exit(bool(faults))
