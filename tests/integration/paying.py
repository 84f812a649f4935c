"""A small company that is paid by plan, and how to fill it, for the tests of money."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

from engine.db.database import Database
from engine.services import earnings
from engine.services.access import Actor

PLAN = """
plan = "ae"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "new-business"
kind = "quota"
quota_period = "quarter"
when = { type = ["New", "Expansion"] }
tiers = [{ from = "0%", rate = "8%" }, { from = "100%", rate = "12%" }]
"""
MANAGER_PLAN = """
plan = "manager"
effective_from = 2026-01-01
currency = "USD"
pay_period = "month"

[[component]]
id = "override"
kind = "percentage"
credit_from = "direct_reports"
rate = "1%"
"""


QUOTA = 100_000  # dollars of each of them in a quarter


class PaperDeal(NamedTuple):
    """A won deal as the paper has it; days as text (2026-01-31)."""

    owner: str
    day: str
    dollars: int
    cancelled: str = ""


def earned_on_paper(deals: Mapping[str, PaperDeal], clawback: bool = False) -> dict[tuple[str, str, str], int]:
    """(month, person, deal) -> cents that every deal comes to, as one would write it down.

    With `clawback` what was earned on a cancelled deal is taken back, all of it, in the month of the cancellation.
    """
    found: dict[tuple[str, str, str], int] = {}
    sold: Counter[tuple[str, str]] = Counter()
    for deal, name in sorted(((deal, name) for name, deal in deals.items()), key=lambda each: (each[0].day, each[1])):
        quarter = deal.owner, f"{deal.day[:4]} {(int(deal.day[5:7]) + 2) // 3}"
        below = max(0, min(deal.dollars, QUOTA - sold[quarter]))
        sold[quarter] += deal.dollars
        for person, cents in ((deal.owner, below * 8 + (deal.dollars - below) * 12), ("mia", deal.dollars)):
            found[deal.day[:7], person, name] = cents
            if clawback and deal.cancelled and cents > 0:
                month = deal.cancelled[:7]
                found[month, person, name] = found.get((month, person, name), 0) - cents
    return found


# What is written past the services counts, too, for what is remembered.
_RAISE = sa.text("UPDATE company SET data_version = data_version + 1")


class Company:
    """Ana and Bo sell in a team that Mia leads; Ada is the admin.  Money is given in dollars."""

    def __init__(self, url: str, plan: str = PLAN, terms: str = "") -> None:
        """`terms` are added to both plans: a clawback, say."""
        self.db = Database(url)
        with self.db.write() as conn:
            conn.execute(sa.text("INSERT INTO company (name, currency) VALUES ('Test', 'USD')"))
            people = {"ada": "admin", "ana": "rep", "bo": "rep", "mia": "manager", "fay": "finance"}
            self.users = {
                code: conn.scalar(
                    sa.text(
                        "INSERT INTO users (code, name, email, role) "
                        "VALUES (:c, :n, :c || '@test.example', :r) RETURNING id"
                    ),
                    {"c": code, "n": code.capitalize(), "r": role},
                )
                for code, role in people.items()
            }
            self.actors = {code: Actor(self.users[code], role, code) for code, role in people.items()}
            team = conn.scalar(sa.text("INSERT INTO teams (name) VALUES ('East') RETURNING id"))
            conn.execute(
                sa.text("INSERT INTO team_structure (team_id, manager_id, start_date) VALUES (:t, :m, '2025-01-01')"),
                {"t": team, "m": self.users["mia"]},
            )
            for code in ("ana", "bo"):
                conn.execute(
                    sa.text("INSERT INTO team_members (team_id, user_id, start_date) VALUES (:t, :u, '2025-01-01')"),
                    {"t": team, "u": self.users[code]},
                )
                conn.execute(
                    sa.text("""
                        INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                        VALUES (:u, '2026-Q1', '2026-01-01', '2026-04-01', 10000000, 'USD')
                    """),
                    {"u": self.users[code]},
                )
            self._publish(conn, "ae", plan + terms, ("ana", "bo"))
            self._publish(conn, "manager", MANAGER_PLAN + terms, ("mia",))

    def _publish(self, conn: sa.Connection, name: str, document: str, people: tuple[str, ...]) -> None:
        plan = conn.scalar(sa.text("INSERT INTO plans (name, title) VALUES (:n, :n) RETURNING id"), {"n": name})
        conn.execute(
            sa.text("""
                INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
                VALUES (:p, '2026-01-01', :d, '', 'published', now())
            """),
            {"p": plan, "d": document},
        )
        for code in people:
            conn.execute(
                sa.text("INSERT INTO plan_assignments (user_id, plan_id, start_date) VALUES (:u, :p, '2026-01-01')"),
                {"u": self.users[code], "p": plan},
            )

    def deal(
        self, name: str, owner: str, day: str, dollars: int, stage: str = "Closed Won", source: str = "crm"
    ) -> int:
        with self.db.write() as conn:
            conn.execute(_RAISE)
            return conn.execute(
                sa.text("""
                    INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency,
                                       close_date, type)
                    SELECT :source, :name, :name, :owner, id, :cents, 'USD', :day, 'New'
                      FROM pipeline_stages WHERE name = :stage RETURNING id
                """),
                {
                    "source": source,
                    "name": name,
                    "owner": self.users[owner],
                    "cents": dollars * 100,
                    "day": day,
                    "stage": stage,
                },
            ).scalar_one()

    def change(self, deal: int, **values: object) -> None:
        with self.db.write() as conn:
            conn.execute(_RAISE)
            for column, value in values.items():
                conn.execute(sa.text(f"UPDATE deals SET {column} = :v WHERE id = :d"), {"v": value, "d": deal})

    def earned(self, who: str, period: str) -> int:
        found = earnings.earned(self.db, self.actors["ada"], self.users[who], period)
        return 0 if found is None else int(found.totals["earned"] or 0)

    def balance(self, who: str) -> int:
        with self.db.read() as conn:
            query = sa.text(
                "SELECT coalesce(sum(amount), 0)::bigint FROM ledger WHERE user_id = :u".replace("::", "\\:\\:")
            )
            return conn.scalar(query, {"u": self.users[who]}) or 0


def add_another_team(company: Company) -> None:
    """Max leads West with Oda, who is paid by the plan of Ana and Bo."""
    with company.db.write() as conn:
        for code, role in (("max", "manager"), ("oda", "rep")):
            company.users[code] = conn.execute(
                sa.text(
                    "INSERT INTO users (code, name, email, role)"
                    " VALUES (:c, initcap(:c), :c || '@test.example', :r) RETURNING id"
                ),
                {"c": code, "r": role},
            ).scalar_one()
            company.actors[code] = Actor(company.users[code], role, code)
        conn.execute(
            sa.text("""
                INSERT INTO teams (name) VALUES ('West');
                INSERT INTO team_structure (team_id, manager_id, start_date)
                    SELECT t.id, u.id, '2025-01-01' FROM teams t, users u WHERE t.name = 'West' AND u.code = 'max';
                INSERT INTO team_members (team_id, user_id, start_date)
                    SELECT t.id, u.id, '2025-01-01' FROM teams t, users u WHERE t.name = 'West' AND u.code = 'oda';
                INSERT INTO plan_assignments (user_id, plan_id, start_date)
                    SELECT u.id, p.id, '2026-01-01' FROM users u, plans p WHERE u.code = 'oda' AND p.name = 'ae';
                INSERT INTO quotas (user_id, period, start_date, end_date, amount, currency)
                    SELECT id, '2026-Q1', '2026-01-01', '2026-04-01', 10000000, 'USD' FROM users WHERE code = 'oda';
            """)
        )
