"""Path validation as RFC 5280 section 6.1 has it: generated chains, each judged by OpenSSL, GnuTLS
and Go as well. Where all three agree the gate agrees; where they differ, chain_table.py says what
it does and why."""

import pytest

import chain_report
from chain_table import TABLE


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return chain_report.judge(chain_report.make(), tmp_path_factory.mktemp("chains"))


@pytest.mark.alarm(900)
def test_the_gate_judges_as_it_should(cases):
    assert len(cases) >= 800
    wrong, unexplained, _ = chain_report.settle(cases)
    report = "\n".join([*(f"should {verdict}: {case}" for verdict, case in wrong),
                        *(f"nobody explains: {case}" for case in unexplained)])
    assert not report, f"{len(wrong)} wrong, {len(unexplained)} unexplained:\n{report}"


@pytest.mark.alarm(900)
def test_every_row_explains_something(cases):
    assert len(TABLE) > 0
    _, _, unused = chain_report.settle(cases)
    assert not unused, "\n".join(map(str, unused))
