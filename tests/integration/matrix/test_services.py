"""Who may call what, about whom: every public service, held against one table and against the permission table.

Each call is made by six people, about Ana: by those whose role or team reaches her, and by Max and Bo, whose do not.
Each read is made twice, in a company and in its twin in which what is Ana's is different: who is outside must be
answered the same.  Only the services stand between them and her here: the transactions are the program's own.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import NotFound, QuotaPathError
from engine.services import access
from engine.services.access import Forbidden, Reach
from engine.workers.pool import Pool
from tests.integration.matrix import rows_company, rows_pay, rows_sales
from tests.integration.matrix.rows import Row
from tests.integration.matrix.standing import WHO, OneWall, Standing, TwoWalls, flat, twins

ROOT = Path(__file__).resolve().parents[3]
ROWS: dict[str, Row] = rows_sales.ROWS | rows_pay.ROWS | rows_company.ROWS

# These take no actor.  The first are the way in: whoever calls them is nobody yet, or proves who it is by a secret.
DOORS = {
    "sign_in.check_password", "sign_in.open_ticket", "sign_in.redeem_ticket", "sign_in.open_session",
    "sign_in.session_actor", "sign_in.end_session", "sign_in.link_person", "sign_in.choose_password",
    "api_tokens.token_actor", "setup.is_empty", "setup.company", "setup.demo_accounts", "setup.create_first_admin",
    "demo.load_demo", "health.readiness", "health.counts",
}  # fmt: skip
# The others are parts of services that have asked before; no page and no endpoint may call them.
PARTS = {
    "demo.load_records", "forecast_report.demo_backtest", "freshness.examine", "impact.rehearsed", "impact.trial",
    "runs.calculated",
    # These take the caller's connection, and so its transaction.
    "access.visible_people", "access.require_person", "approvals.approval_blocked", "approvals.payment_blocked",
    "forecast.scope_of", "leaving.last_admin", "leaving.leave_problems", "quotas.read_grid",
}  # fmt: skip
# They decide who may, and read nothing.
DECIDE = {
    "access.user_of",
    "access.reach",
    "access.may",
    "access.require",
    "activities.may_change",
    "people_effect.leaving",
}


def services() -> set[str]:
    """Every public function of the services that is given a database or somebody who acts."""
    found = set()
    for path in (ROOT / "engine" / "services").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                given = {each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
                if given & {"db", "actor"}:
                    found.add(f"{path.stem}.{node.name}")
    return found


def test_every_service_is_in_the_table() -> None:
    known = {name.split()[0] for name in ROWS}
    missing = sorted(services() - known - DOORS - PARTS - DECIDE)
    assert not missing, (
        f"Say who may call {', '.join(missing)}, about whom: give each a Row in tests/integration/matrix/rows_*.py, "
        "with its action of the permission table, six letters and a call about Ana."
    )
    gone = sorted((known | DOORS | PARTS | DECIDE) - services())
    assert not gone, f"Take out the rows of what is there no more: {', '.join(gone)}."
    assert {row.action for row in ROWS.values()} - {""} <= set(access.PERMISSIONS)


def test_no_page_and_no_endpoint_calls_what_does_not_ask() -> None:
    for path in [*(ROOT / "pages").glob("*.py"), *(ROOT / "app").rglob("*.py")]:
        text = path.read_text()
        for name in PARTS:
            assert not re.search(rf"\b{re.escape(name)}\(", text), f"{path.name} calls {name}, which asks nobody"


@pytest.fixture(scope="module")
def standing(cluster_url: str, pool: Pool) -> Iterator[tuple[Standing, Database]]:
    """The company, and the open twin of it."""
    with twins(cluster_url, pool) as found:
        yield found


def test_who_may_call_what_about_whom(
    standing: tuple[Standing, Database], record_property: Callable[[str, Any], None]
) -> None:
    facts, twin = standing
    found: dict[str, str] = {}
    leaks = []
    for name, row in ROWS.items():
        found[name] = "".join(_letter(row, who, facts, twin) for who in WHO)
        leaks += [f"{name}: {who}" for who, letter in zip(WHO, found[name], strict=True) if _leaks(row, who, letter)]
    record_property("matrix", ("services", len({name.split()[0] for name in ROWS}), len(ROWS) * len(WHO), len(leaks)))
    different = [
        f"{name}: {letters}, the table says {ROWS[name].letters}"
        for name, letters in found.items()
        if letters != ROWS[name].letters
    ]
    assert not leaks
    assert not different, f"found for {' '.join(WHO)}:\n" + "\n".join(different)


# Services that say less with row-level security than without, and what.
SAYS_LESS = {
    "deals.deal_choices": "products of deals that are out of sight are not offered",
    "disputes.of_line": "a line that is out of sight has no dispute",
}


def test_the_second_wall_takes_nothing_away(standing: tuple[Standing, Database]) -> None:
    """With row-level security each service says what it says without: nothing that one may see is missing from it,
    no sum is smaller for it.  What is out of reach may be "not there" instead of "not yours"."""
    facts, _ = standing
    different = []
    for name, row in ROWS.items():
        for who in WHO:
            if not facts.actors[who].sees_everyone and name not in SAYS_LESS:
                one, two = (_called(row, who, facts, facts.company.db, walls) for walls in (OneWall, TwoWalls))
                refused = one[0] in "NHR" and two[0] in "NHR"
                wrote = one[0] == two[0] and one[2]  # what is new has another number each time
                if not (refused or wrote or one[:2] == two[:2]):
                    different.append((name, who, one[:2], two[:2]))
    assert not different, "\n".join(map(_difference, different))


def _difference(found: tuple[str, str, tuple[str, str], tuple[str, str]]) -> str:
    """Where two answers part, in a line."""
    name, who, (letter, one), (again, two) = found
    place = next((at for at, pair in enumerate(zip(one, two, strict=False)) if len(set(pair)) > 1), 0)
    start = max(0, place - 60)
    return (
        f"{name} as {who}: {letter} {one[start : place + 120]!r}, with both walls {again} {two[start : place + 120]!r}"
    )


def _letter(row: Row, who: str, facts: Standing, twin: Database) -> str:
    letter, answer, wrote = _called(row, who, facts, facts.company.db)
    if letter == "N" or row.own or (wrote and not row.action.endswith(".view")):
        return letter
    again, other, _ = _called(row, who, facts, twin)
    differs = again != letter or answer != other
    if letter == "Y":
        return "Y" if differs else "E"
    return "!" if differs else letter


def _called(
    row: Row, who: str, facts: Standing, db: Database, walls: type[OneWall | TwoWalls] = OneWall
) -> tuple[str, str, bool]:
    """The letter of the call, what was answered, and whether something was written; it is all undone."""
    try:
        with db.trial() as conn:
            facts.db = walls(db.engine, conn)
            answer = flat(row.call(facts, facts.actors[who]))
            return "Y", answer, conn.scalar(sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL"))
    except Forbidden as error:
        return "N", str(error), False
    except NotFound as error:
        return "H", str(error), False
    except QuotaPathError as error:
        return "R", str(error), False
    except sa.exc.ProgrammingError as error:  # the database has refused it
        return "!", str(error), False


def _leaks(row: Row, who: str, letter: str) -> bool:
    """Whether the letter is more than the permission table gives this person."""
    role, inside = WHO[who]
    if not row.action or letter in "NHR":
        return False
    found = access.PERMISSIONS[row.action][role]
    if found is Reach.NONE:
        return True
    return letter == "Y" and found is not Reach.ALL and not inside and not row.own
