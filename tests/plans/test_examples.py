"""The plan letter's own figures, inside the plan; and the commands that look at plans."""

import pytest

from engine.__main__ import main
from engine.plans.canonical import plan_hash, to_toml
from engine.plans.document import read_plan
from engine.plans.examples import example_problems, run_examples
from engine.plans.reader import load_toml

PLAN = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "quarter"
[clawback]
[[component]]
id = "nb"
kind = "quota"
cap = { amount = 100000 }
tiers = [ { from = "0%", rate = "8%" }, { from = "100%", rate = "12%" } ]
"""
LETTER = """
[[example]]
name = "Crosses quota"
quota = 100000
deal = [{ amount = 60000 }, { amount = 70000, close_date = 2026-02-11 }]
expect = { total = 11600, by_deal = { D1 = 4800, D2 = "6800.00" }, attainment = { "rep/nb/2026-Q1" = "130%" } }
"""


def paths(text):
    return [problem.path for problem in example_problems(PLAN + text)]


def test_the_figures_of_the_letter_come_out():
    (example,) = run_examples(PLAN + LETTER)
    assert (example.name, example.passes) == ("Crosses quota", True)
    assert "  60,000.00 up to 100% of quota x 8% = 4,800.00" in example.working


def test_a_figure_that_does_not_come_out_is_told_with_its_working():
    (problem,) = example_problems(PLAN + LETTER.replace("total = 11600", "total = 11700"))
    assert problem.path == "example[0].expect.total"
    assert problem.message == (
        "The example expects 11700.00, the plan gives 11600.00. The working: D1 60,000.00 up to 100% of quota x 8% = "
        "4,800.00; D2 40,000.00 up to 100% of quota x 8% = 3,200.00 + 30,000.00 above 100% of quota x 12% = 3,600.00."
    )


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("D1 = 4800", "D1 = 4800.01"), "example[0].expect.by_deal.D1"),
        (("130%", "131%"), "example[0].expect.attainment.rep/nb/2026-Q1"),
        (("quota = 100000", ""), "example[0].component[0].quota"),
        (("amount = 60000 }", "amount = 60000.001 }"), "example[0].deal[0].amount"),
        (("amount = 60000 }", 'owner = "bo", amount = 60000 }'), "example[0].deal[0].owner"),
        (("total = 11600", "sum = 11600"), "example[0].expect.sum"),
        (("close_date = 2026-02-11", "close_date = 20260211"), "example[0].deal[1].close_date"),
    ],
)
def test_what_is_wrong_with_an_example_has_its_path(change, path):
    assert path in paths(LETTER.replace(*change))


def test_a_line_that_is_missing_counts_as_0():
    text = '[[example]]\nquota = 1\ndeal = []\nexpect = { total = 0, by_component = { nb = "1.00" } }'
    (problem,) = example_problems(PLAN + text)
    assert problem.message == "The example expects 1.00, the plan gives 0.00. No line is part of it."


def test_the_working_of_a_component_is_that_of_its_lines():
    text = LETTER.replace("by_deal = { D1 = 4800, D2 =", "by_component = { nb =")
    (problem,) = example_problems(PLAN + text)
    assert problem.path == "example[0].expect.by_component.nb"
    assert "D2 40,000.00 up to 100% of quota x 8%" in problem.message


def test_every_word_of_a_case_may_be_used():
    text = """
    [[example]]
    name = "Mia manages Ana"
    source = "the plan letter, page 2"
    as_of = 2026-06-30
    plans = { ana = "ae" }
    person = [{ id = "ana", manager = "mia" }, { id = "mia" }]
    quota = [{ person = "ana", amount = 100000 }]
    deal = [{ credits = { ana = "50%", mia = "50%" }, amount = 1000 }]
    rate = []
    expect = { total = 40, by_person = { ana = 40, mia = 0 } }
    """
    assert paths(text) == []


def test_examples_do_not_change_the_hash_and_stay_in_the_text():
    document = load_toml(PLAN + LETTER)
    assert plan_hash(PLAN) == plan_hash(document)
    assert load_toml(to_toml(document)) == document
    assert run_examples(to_toml(document)) == run_examples(document)


def test_a_plan_without_examples_has_nothing_to_run():
    assert run_examples(PLAN) == ()


def test_an_example_must_expect_something_and_be_a_table():
    assert [each.path for each in read_plan(PLAN + "[[example]]\nname = 'x'\nwhy = 1")[1]] == [
        "example[0].why",
        "example[0].expect",
    ]
    assert [each.path for each in read_plan("example = 3\n" + PLAN)[1]] == ["example"]


def test_the_next_version_keeps_its_examples():
    assert paths(LETTER) == []
    later = PLAN.replace("2026-01-01", "2027-01-01")
    assert example_problems(later + LETTER) == []


# --- the commands ----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_lint_tells_warnings_and_examples(file, capsys):
    assert main(["lint", file("p.toml", PLAN + LETTER)]) == 0
    assert capsys.readouterr().out == "warnings: 0, figures of examples that failed: 0\n"
    wrong = (PLAN + LETTER).replace("cap = { amount = 100000 }", "").replace("total = 11600", "total = 1")
    assert main(["lint", file("w.toml", wrong)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("warning: component[0].cap: Pay has no limit")
    assert told[1].startswith("FAILED example[0].expect.total: The example expects 1.00, the plan gives 11600.00.")
    assert told[2] == "warnings: 1, figures of examples that failed: 1"


def test_diff_tells_each_change_in_a_row(file, capsys):
    old, new = file("old.toml", PLAN), file("new.toml", PLAN.replace("12%", "14%"))
    assert main(["diff", old, new]) == 0
    assert capsys.readouterr().out == "nb: accelerator above 100% of quota: 12% -> 14%\n"
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [["lint", "P"], ["diff", "P", "P"]])
def test_a_plan_with_problems_is_not_looked_at_further(file, capsys, command):
    path = file("p.toml", PLAN.replace("8%", "8 percent"))
    assert main([path if word == "P" else word for word in command]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "component[0].tiers[0].rate" in found.err


def test_a_file_that_is_not_there(capsys):
    assert main(["lint", "nowhere.toml"]) == 2
    assert "cannot be read" in capsys.readouterr().err
