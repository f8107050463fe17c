"""Small faults in copies of the program, and whether a test notices: `make mutants`.

usage: mutants.py [SEED [COUNT]]   (with what the Makefile puts into the environment)

Picks COUNT places in the rooms below at random, each with one operator, and tries each in a copy
of the tree: unit programs first, then the functional tests of that file. A mutant that does not
compile, or whose object code is another's, is replaced by the next one. One seed and one tree
always give the same mutants. The table of survivors is build/mutants/table.txt.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import queue
import random
import re
import shlex
import shutil
import subprocess
import sys

ROOMS = ("policy", "pki", "tls", "audit", "ledger", "page", "runtime", "conn", "front", "route")
WORK = pathlib.Path("build/mutants").absolute()
SLOTS = 2  # mutants at once
LAST = ("test_jobs", "test_ca", "test_mirror")  # slow unit programs, if nothing faster notices

# Which functional tests run a file: the first row that its name begins with.
FUNCTIONAL = {
    "policy/hello": "client_leg wire_judged ordinary", "policy/target": "connect forward",
    "policy/client_flight": "records wire_judged", "policy/flight": "upstream_leg wire_judged",
    "policy/assess": "test_listener schema", "policy/offer": "check check_hostile",
    "policy/reply": "check check_hostile", "policy/": "ordinary client_leg upstream_leg check cli",
    "pki/ca": "cli key_files ordinary", "pki/keys": "key_files cli upstream_leg",
    "pki/pkcs12": "key_files", "pki/random": "ordinary", "pki/": "upstream_leg chains",
    "tls/": "tickets records relay client_leg upstream_leg",
    "audit/repeats": "repeats sources", "audit/fallback": "fallback", "audit/mirror": "sinks",
    "audit/sink": "sinks", "audit/record": "schema repeats log",
    "audit/": "log evidence sinks runs repeats",
    "ledger/report": "report", "ledger/": "report runs log packed",
    "page/refusal": "forward schema upstream_leg", "page/": "test_listener",
    "runtime/": "sources fairness operations tickets forward upstream_leg",
    "conn/relay": "relay operations deadlines fairness",
    "conn/refusal": "evidence forward upstream_leg operations client_leg",
    "conn/client": "client_leg deadlines tickets sources ordinary",
    "conn/upstream": "upstream_leg deadlines forward", "conn/reach": "resolved forward deadlines",
    "conn/evidence": "evidence schema fallback test_listener",
    "conn/": "relay operations deadlines sources fairness evidence",
    "front/test": "test_listener", "": "forward connect client_leg",
}

SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
         "&&": "||", "||": "&&", "+": "-", "-": "+"}
MASKED = re.compile(r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' |
                        ^[ ]*\#(?:[^\n]*\\\n)*[^\n]* | \b(?:static_)?assert\([^;]*; |
                        \bdiag_(?!due)\w+\([^;]*;""", re.X | re.S | re.M)
BINARY = re.compile(r"(?<=[ ])(<=|>=|==|!=|<|>|&&|\|\||\+|-)(?=[ \n])")
CONSTANT = re.compile(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)[uUlL]*(?![\w.\"])")
STATEMENT = re.compile(r"(?:\(void\))?!?[*\w][\w.>*\[\]-]*"
                       r"(?:\([^;{}]*\)|(?:\+\+|--)| [-+|&^]?=(?!=)[^;{}]*);")
LEADS = re.compile(r"^ +(?=[\w*(])", re.M)
WORDS = re.compile(r"(?:return|if|for|while|switch|case|default|goto|do|else|sizeof)\b")


def masked(text):
    """The text with what is no code blanked, at the same places."""
    return MASKED.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def closing(code, at):
    """The place of the parenthesis that ends the one at `at`."""
    depth = 0
    for place in range(at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return place
    raise ValueError("a parenthesis is open at the end")


def statements(code):
    """Where a statement may begin: on a line of its own, or behind a condition."""
    starts = [m.end() for m in LEADS.finditer(code)]
    for m in re.finditer(r"\b(?:if|while|for) \(", code):
        end = closing(code, m.end() - 1)
        starts += [end + 2] if code[end + 1:end + 2] == " " else []
    starts += [m.end() for m in re.finditer(r"\belse (?=[\w*(])", code)]
    return sorted(set(starts))


def places(text):
    """(place, old, new) of each mutant of one file."""
    code = masked(text)
    for m in BINARY.finditer(code):
        yield m.start(), m[0], SWAPS[m[0]]
    for m in re.finditer(r"\b(?:if|while) \(", code):
        end = closing(code, m.end() - 1) + 1
        yield m.end() - 1, text[m.end() - 1:end], f"(!{text[m.end() - 1:end]})"
    for m in CONSTANT.finditer(code):
        yield m.start(), m[0], f"({m[0]} + 1)"
    for m in re.finditer(r"\breturn (true|false);", code):
        yield m.start(1), m[1], "false" if m[1] == "true" else "true"
    for m in re.finditer(r"\b(?:break|continue);", code):
        yield m.start(), m[0], ";"
    for start in statements(code):
        m = STATEMENT.match(code, start)
        if m and not WORDS.match(code, start) and not re.match(r"break|continue", m[0]):
            old = text[start:m.end()]
            yield start, old, ";" + "\n" * old.count("\n")


def candidates(seed):
    """All mutants as (file, place, old, new), in the order of this seed."""
    found = []
    for room in ROOMS:
        for path in sorted(pathlib.Path("src", room).glob("*.c")):
            found += [(str(path), *one) for one in sorted(set(places(path.read_text())))]
    random.Random(seed).shuffle(found)
    return found


def words(name):
    return shlex.split(os.environ[name])


def run(command, folder, **environment):
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, env={**os.environ, **environment})


def must(command, folder):
    done = run(command, folder)
    if done.returncode:
        sys.exit(f"mutants: {shlex.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def object_of(source):
    return "build/" + source[4:-2] + ".o"


def compiled(folder, source):
    """The object code of one file, or None."""
    out = object_of(source)
    (folder / out).parent.mkdir(parents=True, exist_ok=True)
    done = run([*words("MUTANTS_CC"), "-c", source, "-o", out], folder)
    return None if done.returncode else (folder / out).read_bytes()


class Base:
    """The unchanged program in WORK/0 and its unit programs, as objects: to link one statically
    takes a tenth of a second. The copies WORK/1 and so on have a mutant at a time."""

    def __init__(self, pool):
        self.folder, self.slots = WORK / "0", queue.Queue()
        shutil.rmtree(WORK, ignore_errors=True)
        for name in ("src", "include", "tests", "conf", ".make"):
            shutil.copytree(name, self.folder / name)
        for name in ("Makefile", "README.md"):
            shutil.copy(name, self.folder)
        (self.folder / "build/unit").mkdir(parents=True)
        (self.folder / "build/wolfssl").symlink_to(pathlib.Path(os.environ["WOLFSSL"]).absolute())
        sources = sorted(str(p) for p in pathlib.Path("src").glob("*/*.c"))
        self.code = dict(zip(sources, pool.map(lambda s: compiled(self.folder, s), sources)))
        self.objects = [object_of(s) for s in sources]
        core = [o for o in self.objects if o != object_of("src/cli/main.c")]
        must(["ar", "rcs", "build/libcore.a", *core], self.folder)
        names = sorted(p.stem for p in pathlib.Path("tests/unit").glob("test_*.c"))
        self.uses = dict(zip(names, pool.map(self.compile_unit, names)))
        red = list(pool.map(lambda name: noticed_by_unit(self, self.folder, [name]), names))
        if any(red):
            sys.exit(f"mutants: these fail without a mutant: {', '.join(filter(None, red))}")
        for slot in range(1, SLOTS + 1):
            shutil.copytree(self.folder, WORK / str(slot), symlinks=True)
            self.slots.put(slot)

    def compile_unit(self, name):
        """The program's files that this unit program reaches."""
        must([*words("MUTANTS_CC"), "-c", f"tests/unit/{name}.c", "-o", f"build/unit/{name}.o"],
             self.folder)
        return set(re.findall(r"\w+\.o\b", self.link(name, self.folder)))

    def link(self, name, folder, *changed):
        wrapped = [pair.split(":") for pair in words("MUTANTS_WRAPPED")]
        wrap = [f"-Wl,--wrap={call}" for program, call in wrapped if program == name]
        return must(["cc", *wrap, "-Wl,-t,-t", f"build/unit/{name}.o", *changed, "build/libcore.a",
                     *words("MUTANTS_LIBS"), "build/libcore.a", "-lcmocka", "-o",
                     f"build/unit/{name}"], folder)

    def programs_for(self, source):
        """Those that can notice a change in this file, the likeliest first."""
        file = pathlib.Path(source)
        names = [n for n, used in self.uses.items() if file.with_suffix(".o").name in used]
        return sorted(names, key=lambda n: (n in LAST, file.stem not in n, n))

    @contextlib.contextmanager
    def copy(self, mutant):
        """A copy of the tree with this mutant in its text: its number and its folder."""
        slot = self.slots.get()
        folder, (source, at, old, new) = WORK / str(slot), mutant
        text = (folder / source).read_text()
        (folder / source).write_text(text[:at] + new + text[at + len(old):])
        try:
            yield slot, folder
        finally:
            (folder / source).write_text(text)
            (folder / object_of(source)).write_bytes(self.code[source])
            self.slots.put(slot)


def noticed_by_unit(base, folder, names, *changed):
    """The first program that fails or hangs, or None."""
    for name in names:
        base.link(name, folder, *changed)
        if run(["timeout", "60", f"build/unit/{name}"], folder).returncode:
            return name
    return None


def noticed_by_functional(folder, slot, source):
    """The functional test that fails first, or the file that takes too long, or None."""
    names = next(row for start, row in FUNCTIONAL.items() if source[4:].startswith(start)).split()
    for name in names:
        done = run(["timeout", "--signal=INT", "600", "/usr/bin/python3", "-B", "-m", "pytest",
                    "-q", "-x", "-p", "no:cacheprovider", "--tb=no",
                    f"--basetemp={folder}/build/tmp", f"tests/functional/test_{name}.py"], folder,
                   SUITEGATE=str(folder / "build/suitegate"), SUITEGATE_TEST_SLOT=str(slot))
        if done.returncode not in (0, 5):
            found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\S+)", done.stdout, re.M)
            return found[1] if found else f"test_{name}"
    return None


def attempt(base, mutant, code, functional):
    """What notices this mutant, or None."""
    source = mutant[0]
    with base.copy(mutant) as (slot, folder):
        (folder / object_of(source)).write_bytes(code)
        if not functional:
            return noticed_by_unit(base, folder, base.programs_for(source), object_of(source))
        must(["cc", *base.objects, *words("MUTANTS_LIBS"), "-o", "build/suitegate"], folder)
        return noticed_by_functional(folder, slot, source)


def attempts(base, pool, chosen, functional):
    """Those that nothing notices; says what notices the others."""
    kind, left = "functional" if functional else "unit", []
    running = [(pool.submit(attempt, base, *one, functional), one) for one in chosen]
    for number, (result, one) in enumerate(running, 1):
        name = result.result()
        left += [] if name else [one]
        print(f"{kind} {number}/{len(chosen)} {name or 'survives'} {row(one[0])}", flush=True)
    return left


def choose(base, pool, seed, count):
    """[(mutant, its object code)] and how many were skipped."""
    def code_of(mutant):
        with base.copy(mutant) as (_, folder):
            return compiled(folder, mutant[0])

    chosen, seen, skipped = [], set(base.code.values()), {"not compiled": 0, "same code": 0}
    order = candidates(seed)
    for start in range(0, len(order), SLOTS):
        some = order[start:start + SLOTS]
        for mutant, code in zip(some, pool.map(code_of, some)):
            if len(chosen) == count:
                return chosen, skipped
            if code is None or code in seen:
                skipped["same code" if code else "not compiled"] += 1
            else:
                chosen.append((mutant, code))
            seen.add(code)
    return chosen, skipped


def row(mutant):
    """file:line, then the old line and the new one."""
    source, at, old, new = mutant
    text = pathlib.Path(source).read_text()
    first = text.count("\n", 0, at)
    versions = [("  - ", text), ("  + ", text[:at] + new + text[at + len(old):])]
    lines = [mark + line.strip() for mark, version in versions
             for line in version.split("\n")[first:first + old.count("\n") + 1] if line.strip()]
    return "\n".join([f"{source}:{first + 1}", *lines])


def main():
    seed, count = map(int, (sys.argv[1:] + ["1", "150"][len(sys.argv) - 1:]))
    with concurrent.futures.ThreadPoolExecutor(SLOTS) as pool:
        base = Base(pool)
        chosen, skipped = choose(base, pool, seed, count)
        print(f"seed {seed}: {len(chosen)} mutants; skipped {skipped}", flush=True)
        unnoticed = attempts(base, pool, chosen, False)
        survivors = attempts(base, pool, unnoticed, True)
    summary = (f"seed {seed}: {len(chosen)} tried, skipped {skipped}, noticed by unit tests "
               f"{len(chosen) - len(unnoticed)}, by functional tests "
               f"{len(unnoticed) - len(survivors)}, survived {len(survivors)}")
    table = "\n".join([*(row(mutant) for mutant, _ in survivors), summary])
    (WORK / "table.txt").write_text(table + "\n")
    print(f"{table}\nsee {WORK / 'table.txt'}")


if __name__ == "__main__":
    main()
