"""Lengths of functions, from the line of their name to their closing brace, and of files.
usage: lengths.py   (fails beyond the limits)"""

import pathlib
import re
import statistics
import sys

MEDIAN, P90, LONGEST, FILE = 12, 30, 60, 500
START = re.compile(r"^[A-Za-z_].*\(")

functions, faults = [], []
files = sorted([*pathlib.Path("src").glob("*/*.[ch]"), *pathlib.Path("include").glob("*/*.h")])
for path in files:
    lines = path.read_text().splitlines()
    if len(lines) > FILE:
        faults.append(f"{path} has {len(lines)} lines, more than {FILE}")
    start = None
    for number, line in enumerate(lines):
        if START.match(line) and not line.endswith(";"):
            start = number
        if line.startswith("}") and start is not None:
            if line == "}":
                functions.append((number - start + 1, f"{path}:{start + 1}"))
            start = None

lengths = sorted(n for n, _ in functions)
median, p90 = statistics.median(lengths), lengths[len(lengths) * 9 // 10]
longest = max(functions)
most = max((len(p.read_text().splitlines()), str(p)) for p in files)
print(f"lengths: {len(functions)} functions: median {median:.0f}, 90% at most {p90}, longest "
      f"{longest[0]} ({longest[1]}); {len(files)} files, longest {most[0]} ({most[1]})")
if median > MEDIAN or p90 > P90:
    faults.append(f"median above {MEDIAN} or 90% above {P90} lines")
faults += [f"{where}: {n} lines, more than {LONGEST}" for n, where in functions if n > LONGEST]
for fault in faults:
    print(f"lengths: {fault}", file=sys.stderr)
sys.exit(bool(faults))
