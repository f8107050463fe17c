"""Path validation by RFC 5280 section 6.1: generated chains of servers and of clients, each also
judged by OpenSSL, GnuTLS and Go. Where all three agree the gate agrees; where they differ,
chain_table.py has the gate's verdict and the reason."""

import collections
import random

import pytest

import chain_judges
import chain_report
import checks
from chain_table import CLIENT, SERVER, TABLE, may_be_called

# Under sanitizers, fuzz_cert and the unit tests run the same code over mutated certificates.
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return chain_report.judge(chain_report.make(), tmp_path_factory.mktemp("chains"))


@pytest.mark.alarm(900)
def test_the_gate_judges_as_it_should(cases):
    counts = collections.Counter(case.purpose for case in cases)
    assert counts[SERVER] >= 800 and counts[CLIENT] >= 800
    wrong, unexplained, _ = chain_report.settle(cases)
    report = "\n".join([*(f"should {verdict}: {case}" for verdict, case in wrong),
                        *(f"nobody explains: {case}" for case in unexplained)])
    assert not report, f"{len(wrong)} wrong, {len(unexplained)} unexplained:\n{report}"


@pytest.mark.alarm(900)
def test_a_refusal_is_called_what_it_is(cases):
    refused = [case for case in cases if case.verdicts["gate"]]
    wrong = [f"not a name for it: {case}" for case in refused
             if not may_be_called(case.verdicts["gate"], case.tags, case.purpose)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.alarm(900)
def test_every_row_explains_something(cases):
    assert len(TABLE) > 0
    _, _, unused = chain_report.settle(cases)
    assert not unused, "\n".join(map(str, unused))


@pytest.mark.alarm(900)
def test_check_judges_as_the_gate(cases, tmp_path):
    """A sample of rules without CRLs, which check ignores."""
    suitable = [c for c in cases
                if c.purpose == SERVER and len(c.tags) == 1 and not c.plan.lists]
    sample = random.Random(chain_report.SEED).sample(suitable, 50)
    plans = [case.plan for case in sample]
    trust, _ = chain_judges.trust_files(plans, tmp_path)
    with chain_judges.Server(plans) as server:
        hosts = checks.judge_all("--ca", trust, "--timeout", "300s", *map(server.target, plans),
                                 wrapper=chain_judges.hosts_wrapper(plans, tmp_path), timeout=600)
    differ = []
    for case, host in zip(sample, hosts):
        # No handshake gets far enough to show such a key; check also asks in other ways.
        if case.verdicts["gate"] == "upstream_no_approved_suite":
            assert "certificate_key" in host.codes("problems"), case
            continue
        said = ({c.get("code", "") for c in host.certificates}
                if "certificates" in host.addresses[0] else host.codes("problems"))
        if said != {case.verdicts["gate"]}:
            differ.append(f"check: {said or 'nothing'}: {case}")
    assert not differ, "\n".join(differ)
