#!/usr/bin/env python3
"""The differential test of path validation, as a report: each verdict, and which judges differ.

Usage: chain_report.py [--json] [FOLDER]     SUITEGATE names the program to judge
"""

import collections
import json
import pathlib
import sys
import tempfile

import certs
import chain_judges
import chain_scope  # noqa: F401 (fills RULES, as the modules it builds on)
import chain_shapes  # noqa: F401 (fills RULES)
from chain_plan import RULES, Plan, pairs
from chain_table import ACCEPT, CLIENT, REFUSE, SERVER, TABLE, rows

SEED = "chains 1"
PAIRS = {SERVER: 450, CLIENT: 150}
JUDGES = ("openssl", "gnutls", "go")


class Case:
    """One plan and its verdicts: {judge: "" or a reason}."""

    def __init__(self, plan, verdicts):
        self.plan, self.verdicts = plan, verdicts
        self.tags, self.purpose = plan.tags, plan.purpose

    def says(self, who):
        return REFUSE if self.verdicts[who] else ACCEPT

    @property
    def consensus(self):
        """The verdict that all three share, or None."""
        said = {self.says(judge) for judge in JUDGES}
        return said.pop() if len(said) == 1 else None

    def __str__(self):
        said = ", ".join(f"{who}: {text or 'accepts'}" for who, text in self.verdicts.items())
        return f"[{self.plan.number}] {self.purpose}, {' + '.join(self.tags)}: {said}"


def expected(case, alone):
    """(verdict, rows that explain it); None if nothing does. alone: (purpose, tag) -> its own
    Case."""
    found = rows(case.tags, case.purpose)
    if any(row.gate == REFUSE for row in found):
        return REFUSE, found
    if case.consensus == ACCEPT:
        return ACCEPT, []
    if len(case.tags) == 1:
        if case.consensus:
            return case.consensus, []
        return (ACCEPT, found) if found else (None, [])
    # Two rules that one judge each refuses may be refused by all three together.
    if REFUSE in [expected(alone[case.purpose, tag], alone)[0] for tag in case.tags]:
        return REFUSE, []
    if found:
        return ACCEPT, found
    return case.consensus, []


def make():
    """Every rule alone, then pairs of them, of servers and of clients."""
    ring = certs.Ring(SEED)
    chosen = [(tags, purpose) for purpose, count in PAIRS.items()
              for tags in (*((tag,) for tag in RULES), *pairs(count, f"{SEED} {purpose}"))]
    return [Plan(ring, number, *one) for number, one in enumerate(chosen)]


def judge(plans, folder):
    """A Case per plan."""
    said = {judge: getattr(chain_judges, judge)(plans, folder) for judge in JUDGES}
    gate = chain_judges.start_gate(plans, folder)
    try:
        with chain_judges.Server(plans) as server:
            said["gate"] = chain_judges.gate_verdicts(gate, server, plans)
    finally:
        gate.stop()
    return [Case(plan, {who: said[who][i] for who in said}) for i, plan in enumerate(plans)]


def settle(cases):
    """(cases with a wrong verdict of the gate, unexplained cases, unused rows)."""
    alone = {(case.purpose, case.tags[0]): case for case in cases if len(case.tags) == 1}
    wrong, unexplained, used = [], [], set()
    for case in cases:
        verdict, found = expected(case, alone)
        if verdict is None:
            unexplained.append(case)
        elif verdict != case.says("gate"):
            wrong.append((verdict, case))
        used.update(id(row) for row in found
                    if case.consensus != verdict or row.patterns[0].count("+"))
    return wrong, unexplained, [row for row in TABLE if id(row) not in used]


def summary(cases):
    """Counts, and for each judge the rules on which it differs from the gate."""
    differs = {judge: collections.defaultdict(list) for judge in JUDGES}
    for case in cases:
        for judge in JUDGES:
            if case.says(judge) != case.says("gate") and len(case.tags) == 1:
                differs[judge][f"{case.says(judge)}s, the gate does not"].append(case.tags[0])
    return {
        "cases": len(cases), "rules": len(RULES),
        "all three agree": sum(case.consensus is not None for case in cases),
        "accepted by": {who: sum(case.says(who) == ACCEPT for case in cases)
                        for who in (*JUDGES, "gate")},
        "differ from the gate": {judge: sum(case.says(judge) != case.says("gate")
                                            for case in cases) for judge in JUDGES},
        "the gate differs from all three": sum(
            case.consensus not in (None, case.says("gate")) for case in cases),
        "rules on which they differ": differs,
    }


def text_of(counts):
    lines = [f"{key}: {value}" for key, value in counts.items() if not key.startswith("rules on")]
    for judge, found in counts["rules on which they differ"].items():
        for how, tags in found.items():
            lines.append(f"\n{judge} {how} ({len(tags)}):")
            lines += [f"  {tag}" for tag in tags]
    return lines


def text(counts, cases):
    lines = []
    for purpose, of_purpose in counts.items():
        lines += [f"{purpose}:", *text_of(of_purpose), ""]
    wrong, unexplained, unused = settle(cases)
    lines.append(f"the gate should otherwise: {len(wrong)}")
    lines += [f"  should {verdict}: {case}" for verdict, case in wrong]
    lines.append(f"nobody explains: {len(unexplained)}")
    lines += [f"  {case}" for case in unexplained]
    lines.append(f"rows that explain nothing: {len(unused)}")
    lines += [f"  {row}" for row in unused]
    return "\n".join(lines)


def main(arguments):
    as_json = "--json" in arguments
    where = [a for a in arguments if a != "--json"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(where[0] if where else temporary)
        cases = judge(make(), folder)
    counts = {purpose: summary([case for case in cases if case.purpose == purpose])
              for purpose in PAIRS}
    print(json.dumps(counts, indent=1) if as_json else text(counts, cases))


if __name__ == "__main__":
    main(sys.argv[1:])
