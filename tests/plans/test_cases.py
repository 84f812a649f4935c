"""Running cases: comparing, telling, JSON; and the command line around it."""

import io
import json
import shutil

import pytest

from engine.__main__ import main
from engine.calc.calculate import CalculationError, calculate
from engine.errors import QuotaPathError
from engine.plans.cases import as_json, find_cases, run_case, tell

CASE = """
name = "two reps"
person = [{ id = "ana" }, { id = "bo" }]
deal = [
  { id = "D1", owner = "ana", close_date = 2026-01-20, amount = "1000" },
  { id = "D2", owner = "ana", close_date = 2026-02-20, amount = "2000" },
  { id = "D3", owner = "bo", close_date = 2026-02-20, amount = "500" },
]
[plan]
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"
[[plan.component]]
id = "nb"
kind = "quota"
quota = 3000
tiers = [ { from = "0%", rate = "10%" } ]
[plan.draw]
kind = "recoverable"
amount = 150
[expect]
"""


@pytest.fixture
def case(tmp_path):
    def write(expect, text=CASE, name="case.toml"):
        path = tmp_path / name
        path.write_text(text + expect, encoding="utf-8")
        return path

    return write


def run(path):
    return run_case(path, calculate)


def differences(path):
    return [str(each) for each in run(path).differences]


@pytest.mark.parametrize(
    "expect",
    [
        "",
        'total = "350.00"',
        "total = 350",
        'by_person = { ana = "300.00", bo = "50.00", cy = "0.00" }',
        'by_component = { nb = "350" }\nby_deal = { D1 = "100", D2 = "200" }',
        'by_period = { "ana/2026-01" = "100.00", "ana/2026-02" = "200.00", "ana/2026-03" = "0.00" }',
        'paid = { "ana/2026-01" = "150.00", "ana/2026-02" = "150.00" }',
        'draw_balance = { "ana/2026-01" = "50.00", "ana/2026-02" = "0.00" }',
        'payments = { "ana/2026-01" = "100.00" }',
        'attainment = { "ana/nb/2026-01" = "33.33%", "ana/nb/2026-02" = "66.67%", "ana/nb/2026-03" = "0%" }',
        "problems = []",
    ],
)
def test_what_comes_out_as_expected(case, expect):
    assert differences(case(expect)) == []


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ('total = "350.01"', "total: expected 350.01, found 350.00"),
        ('by_person = { ana = "1.00" }', "by_person ana: expected 1.00, found 300.00"),
        ('by_person = { cy = "1.00" }', "by_person cy: expected 1.00, found 0.00"),
        ('by_deal = { D3 = "0.00" }', "by_deal D3: expected 0.00, found 50.00"),
        ('by_period = { "ana/2026-01" = "0.00" }', "by_period ana/2026-01: expected 0.00, found 100.00"),
        ('paid = { "bo/2026-02" = "0.00" }', "paid bo/2026-02: expected 0.00, found 150.00"),
        ('attainment = { "ana/nb/2026-02" = "66.66%" }', "attainment ana/nb/2026-02: expected 66.66%, found 66.67%"),
        ('problems = ["component"]', "problems: expected component, found none"),
        ('total = "x"', "problems: expected none, found expect.total: "),
    ],
)
def test_what_comes_out_otherwise(case, expect, told):
    (difference,) = differences(case(expect))
    assert difference.startswith(told)


def test_problems_that_were_expected(case):
    wrong = CASE.replace('"10%"', '"500%"').replace("bo", "zed", 1).replace('"zed"', '"ana"')
    assert differences(case('problems = ["component[0].tiers[0].rate", "person[1].id"]', wrong)) == []
    (difference,) = differences(case('problems = ["component"]', wrong))
    assert difference.startswith("problems: expected component, found component[0].tiers[0].rate, person[1].id")
    assert len(differences(case('total = "350.00"', wrong))) == 3  # rate, id, unknown owner


def test_problems_of_the_calculation_have_the_paths_of_the_case(case):
    text = CASE.replace("quota = 3000\n", "").replace(
        "[plan]", 'plans = { bo = "x", ana = "plan" }\n[plans_doc.x]\n' + _PLAIN + "[plans_doc.plan]"
    )
    text = text.replace("[[plan.", "[[plans_doc.plan.").replace("[plan.", "[plans_doc.plan.")
    assert differences(case('problems = ["plans_doc.plan.component[0].quota"]', text)) == []


_PLAIN = """
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"
[[plans_doc.x.component]]
id = "nb"
kind = "percentage"
rate = 0
"""


def test_versions_are_counted_as_written(case):
    newest_first = """
    name = "no quota in the older version, which is listed second"
    person = [{ id = "ana" }]
    deal = [{ id = "D1", owner = "ana", close_date = 2026-01-20, amount = "1000" }]
    [[plan]]
    effective_from = 2026-06-01
    currency = "USD"
    pay_period = "month"
    [[plan.component]]
    id = "nb"
    kind = "percentage"
    rate = 0
    [[plan]]
    effective_from = 2026-01-01
    currency = "USD"
    pay_period = "month"
    [[plan.component]]
    id = "nb"
    kind = "quota"
    tiers = [ { from = "0%", rate = "10%" } ]
    [expect]
    problems = ["plan[1].component[0].quota"]
    """
    assert differences(case("", newest_first)) == []


def test_a_calculation_that_fails_is_a_failed_case(case):
    def fails(book):
        raise CalculationError("The rules failed on ana, nb.")

    (difference,) = run_case(case('total = "1.00"'), fails).differences
    assert "The rules failed on ana, nb." in difference.found


def test_a_bug_is_a_failed_case_too(case):
    def breaks(book):
        raise IndexError("out of range")

    (difference,) = run_case(case('problems = ["component"]'), breaks).differences
    assert "IndexError: out of range" in difference.found
    assert "IndexError: out of range" in str(run_case(case(""), breaks).differences[0])


def test_a_failed_case_is_told_with_the_working_of_its_lines(case):
    out = io.StringIO()
    outcome = run(case('by_deal = { D2 = "1.00" }'))
    tell(outcome, out)
    text = out.getvalue()
    assert text.startswith(f"FAILED {outcome.path}: two reps\n  by_deal D2: expected 1.00, found 200.00\n")
    assert "ana nb D2 2026-02: 200.00" in text
    assert "2,000.00 up to 100% of quota x 10% = 200.00" in text or "x 10% = 200.00" in text
    assert "D1" not in text


def test_a_passed_case_is_told_only_when_explained(case):
    outcome = run(case(""))
    for explained in (False, True):
        out = io.StringIO()
        tell(outcome, out, explained)
        assert ("ana nb D1 2026-01: 100.00" in out.getvalue()) is explained
        assert "FAILED" not in out.getvalue()


def test_json(case):
    shown = json.loads(as_json(run(case(""))))
    assert list(shown) == [
        "name", "total", "by_person", "by_component", "by_deal", "by_period", "paid", "draw_balance",
        "attainment", "payments", "problems", "lines",
    ]  # fmt: skip
    assert (shown["name"], shown["total"], shown["problems"]) == ("two reps", "350.00", [])
    assert shown["by_deal"] == {"D1": "100.00", "D2": "200.00", "D3": "50.00"}
    assert shown["attainment"]["ana/nb/2026-02"] == "66.67%"
    assert shown["draw_balance"]["ana/2026-01"] == "50.00"
    assert shown["lines"][0] == {"person": "ana", "component": "nb", "deal": "D1", "period": "2026-01", "cents": 10000}


def test_json_of_problems(case):
    shown = json.loads(as_json(run(case("", CASE.replace('"10%"', '"500%"')))))
    assert shown.pop("name") == "two reps"
    assert shown.pop("total") is None
    assert shown.pop("problems") == ["component[0].tiers[0].rate"]
    assert not any(shown.values())


def test_files_of_folders_in_order(tmp_path):
    for name in ("b.toml", "a/z.toml", "a/y.toml", "a/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = find_cases([tmp_path / "b.toml", tmp_path])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.toml", "a/y.toml", "a/z.toml", "b.toml"]
    with pytest.raises(QuotaPathError, match="does not exist"):
        find_cases([tmp_path / "c.toml"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(QuotaPathError, match="holds no case"):
        find_cases([tmp_path / "empty"])


# --- the command line ---------------------------------------------------------------------------------


def test_command_cases(case, capsys):
    good, bad = case("", name="a.toml"), case('total = "1.00"', name="b.toml")
    assert main(["cases", str(good), "--workers", "cpython"]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"
    assert main(["cases", str(good.parent), "--workers", "cpython"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert out.endswith("1 passed, 1 failed\n")
    assert str(bad) in out


@pytest.mark.skipif(not shutil.which("pypy3"), reason="pypy3 is not on the PATH")
def test_command_cases_as_json_is_the_same_on_both_interpreters(case, capsys):
    path = str(case('total = "1.00"'))
    shown = []
    for workers in ("pypy", "cpython"):
        assert main(["cases", path, path, "--json", "--workers", workers]) == 1
        output = capsys.readouterr()
        assert output.err.endswith("0 passed, 2 failed\n")
        shown.append(output.out)
    assert shown[0] == shown[1]
    assert [json.loads(line)["total"] for line in shown[0].splitlines()] == ["350.00", "350.00"]


def test_command_cases_of_nothing(tmp_path, capsys):
    assert main(["cases", str(tmp_path / "nope.toml")]) == 2
    assert "nope.toml does not exist. Name a case file" in capsys.readouterr().err


def test_command_that_is_not_there(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["casses"])
    assert stopped.value.code == 2


@pytest.fixture
def files(tmp_path):
    (tmp_path / "p.toml").write_text(
        'plan = "ae"\neffective_from = 2026-01-01\ncurrency = "USD"\npay_period = "month"\n[[component]]\n'
        'id = "nb"\nkind = "quota"\nwhen = { type = "New" }\n'
        'tiers = [ { from = "0%", rate = "10%" }, { from = "100%", rate = 0.2 } ]\n'
    )
    (tmp_path / "d.csv").write_text(
        "\ufeffid,owner,credits,close_date,amount,type\r\n"
        'D1,ana,,2026-01-20,"1,000.00",New\r\n'
        "=D2,,ana: 50%; bo: 50%,2026-01-21,2000,new\r\n"
        "D3,bo,,2026-01-22,500,Renewal\r\n",
        encoding="utf-8",
    )
    (tmp_path / "people.csv").write_text("id,manager,start,quota\nana,mia,2026-01-01,1000\nbo,mia,,\nmia,,,\n")
    (tmp_path / "q.csv").write_text("person,component,period,amount\nbo,nb,2026-01,500\nmia,,,99\n")

    def calc(*more):
        names = {"--plan": "p.toml", "--deals": "d.csv", "--out": "lines.csv"}
        arguments = [text for option, name in names.items() for text in (option, str(tmp_path / name))]
        return main(["calc", *arguments, "--workers", "cpython", *map(str, more)])

    return tmp_path, calc


def test_command_calc(files, capsys):
    folder, calc = files
    assert calc("--people", folder / "people.csv", "--quotas", folder / "q.csv") == 0
    # ana: 1,000 x 10%, then 1,000 above quota x 20%; bo: 500 x 10% + 500 x 20%; an id like a formula is made harmless
    assert (folder / "lines.csv").read_text().splitlines() == [
        "person,component,deal,period,cents,amount,currency",
        "ana,nb,D1,2026-01,10000,100.00,USD",
        "ana,nb,'=D2,2026-01,20000,200.00,USD",
        "bo,nb,'=D2,2026-01,15000,150.00,USD",
    ]
    assert capsys.readouterr().err == ""


def test_command_calc_with_the_people_of_the_deals(files):
    folder, calc = files
    plan = folder / "p.toml"
    plan.write_text(plan.read_text().replace('kind = "quota"', 'kind = "quota"\nquota = 1000'))
    assert calc() == 0
    assert "bo,nb,'=D2,2026-01,10000,100.00,USD" in (folder / "lines.csv").read_text()


def test_command_calc_with_problems_writes_nothing(files, capsys):
    folder, calc = files
    assert calc() == 1
    error = capsys.readouterr().err
    assert "component[0].quota" in error
    assert "nothing was calculated" in error
    assert not (folder / "lines.csv").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.toml", "plan = ", "The text is not TOML"),
        ("d.csv", "id,owner\nD1,ana,x\n", "line 2: there are more cells than columns"),
        ("d.csv", b"id\n\xff\n", "d.csv cannot be read"),
        ("people.csv", None, "people.csv cannot be read"),
    ],
)
def test_command_calc_with_files_that_are_none(files, capsys, name, text, told):
    folder, calc = files
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert calc("--people", folder / "people.csv") == 2
    assert told in capsys.readouterr().err


def test_command_calc_with_credits_that_are_none(files, capsys):
    folder, calc = files
    (folder / "d.csv").write_text("id,credits,close_date,amount\nD1,ana 50%,2026-01-20,5\n")
    assert calc() == 1
    assert "deal[0].credits" in capsys.readouterr().err
