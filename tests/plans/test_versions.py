import datetime as dt

import pytest

from engine.errors import ProblemsError, QuotaPathError
from engine.plans.versions import load_versions, read_versions, version_at


def document(start, rate="5%", more="", component="", name="ae"):
    return (
        f'plan = "{name}"\neffective_from = {start}\ncurrency = "USD"\npay_period = "month"\n{more}\n'
        f'[[component]]\nid = "a"\nkind = "percentage"\nrate = "{rate}"\n{component}'
    )


def day(text):
    return dt.date.fromisoformat(text).toordinal()


def test_version_in_force():
    versions = load_versions([document("2026-07-01", "6%"), document("2026-01-01")])
    assert [version.effective_from for version in versions] == [day("2026-01-01"), day("2026-07-01")]
    assert version_at(versions, day("2026-01-01")) is versions[0]
    assert version_at(versions, day("2026-06-30")) is versions[0]
    assert version_at(versions, day("2026-07-01")) is versions[1]


def test_no_version_before_the_first():
    versions = load_versions([document("2026-01-01")])
    with pytest.raises(QuotaPathError, match='"ae" starts on 2026-01-01; on 2025-12-31 no version'):
        version_at(versions, day("2025-12-31"))


@pytest.mark.parametrize(
    ("second", "paths"),
    [
        (document("2026-01-01"), "plan[1].effective_from"),
        (document("2026-02-01").replace("month", "quarter"), "plan[1].component[0].quota_period plan[1].pay_period"),
        (document("2026-02-01", component='quota_period = "quarter"'), "plan[1].component[0].quota_period"),
        (document("2026-02-01", component='measure = "seats"'), "plan[1].component[0].measure"),
        (document("2026-02-01").replace("USD", "EUR"), "plan[1].currency"),
        (document("2026-02-01", name="am"), "plan[1].plan"),
        (document("2026-02-01", "500%"), "plan[1].component[0].rate"),
        (document("2025-02-01", "500%"), "plan[1].component[0].rate"),  # counted as given, not by date
    ],
)
def test_what_versions_may_not_change(second, paths):
    with pytest.raises(ProblemsError) as caught:
        load_versions([document("2026-01-01"), second])
    assert [problem.path for problem in caught.value.problems] == paths.split()


def test_other_components_have_their_own_period():
    other = document("2026-02-01", component='quota_period = "quarter"').replace('id = "a"', 'id = "b"')
    assert len(load_versions([document("2026-01-01"), other])) == 2


def test_paths_start_as_asked():
    _, problems = read_versions([("plans_doc.ae.", document("2026-01-01", "500%"))])
    assert [problem.path for problem in problems] == ["plans_doc.ae.component[0].rate"]
