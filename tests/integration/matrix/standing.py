"""A company in which everything there is to see is there once for Ana, and its twin in which hers is different.

Ana is in Mia's team; Max and Bo are outside of her reach.  What somebody may not see cannot change what they are
given: so a service that answers Max or Bo differently in the twin has told something of Ana.
"""

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import pandas as pd
import sqlalchemy as sa

from engine.analytics import inputs
from engine.db.database import Database, Joined, Viewer
from engine.db.deals import DealFields
from engine.periods import parse_period
from engine.services import (
    activities,
    adjustments,
    api_tokens,
    batches,
    deal_edits,
    deal_upserts,
    deals,
    disputes,
    import_files,
    imports,
    payables,
    payouts,
    people,
    plans,
    quotas,
    run_outcome,
    runs,
    sign_in,
    stages,
    statements,
    whatif,
    whatif_scenarios,
)
from engine.services import company as company_settings
from engine.services.access import Actor
from engine.services.jobs import SentJobs
from engine.workers.pool import Pool
from tests.integration.paying import PLAN, Company, add_another_team
from tests.owner import owner

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WHO = {  # person -> role, and whether Ana is within reach
    "ada": ("admin", True),
    "fay": ("finance", True),
    "mia": ("manager", True),
    "max": ("manager", False),
    "ana": ("rep", True),
    "bo": ("rep", False),
}
EXPORT = (
    "Opportunity ID,Opportunity Name,Opportunity Owner,Stage,Amount,Close Date,Type\n"
    "F1,ana-file,Ana,Closed Won,600,2026-11-20,New\n"
    "F2,ana-refused,Ana,Closed Won,many,2026-11-20,New\n"
)

# Everything of Ana's that people see, changed; ids, days, stages, teams and plans stay.  What she earned is Mia's
# too, who is within reach.
_TWIN = """
    SET LOCAL session_replication_role = replica;
    UPDATE users SET name = 'Zoe', code = 'anz', email = 'zoe@test.example' WHERE id = :ana;
    UPDATE deals SET name = 'z' || name, account = 'Zed', amount = amount * 3
     WHERE owner_id = :ana;
    UPDATE quotas SET amount = amount * 3 WHERE user_id = :ana;
    UPDATE lines SET amount = amount * 3 WHERE user_id = :ana;
    UPDATE ledger SET amount = amount * 3 WHERE user_id = :ana;
    UPDATE run_people SET earned = earned * 3 WHERE user_id = :ana;
    UPDATE run_attainment SET credit = credit * 3, quota = quota * 2 WHERE user_id = :ana;
    UPDATE run_digests SET digest = sha256('other') WHERE user_id = :ana;
    UPDATE activities SET subject = 'other', details = 'other', account = 'Zed' WHERE user_id = :ana;
    UPDATE disputes SET about = 'other', settlement = 'other' WHERE user_id = :ana;
    UPDATE dispute_messages SET text = 'other' WHERE dispute_id IN (SELECT id FROM disputes WHERE user_id = :ana);
    UPDATE manual_adjustments SET amount = amount * 3, reason = 'other' WHERE user_id = :ana;
    UPDATE payout_items SET amount = amount * 3, paid = paid * 3 WHERE user_id = :ana;
    UPDATE deal_payments p SET amount = p.amount * 3 FROM deals d WHERE d.id = p.deal_id AND d.owner_id = :ana;
    ALTER TABLE statements DROP CONSTRAINT statements_check;
    UPDATE statements SET content = replace(content, '"Ana"', '"Zoe"') WHERE user_id = :ana;
    UPDATE statement_files f SET content = 'other' FROM statements s WHERE s.id = f.statement_id AND s.user_id = :ana;
    UPDATE audit SET detail = '{"other": 1}' WHERE action <> 'quotas.edit';
    UPDATE api_tokens SET name = 'other' WHERE user_id = :ana;
    UPDATE company SET data_version = data_version + 1;
"""


class OneWall(Joined):
    """The database within one transaction of the program's own: what keeps people apart here is the services alone."""

    def __init__(self, engine: sa.Engine, conn: sa.Connection) -> None:
        super().__init__(engine, conn, None)

    @contextmanager
    def _part(self, viewer: Viewer | None) -> Iterator[None]:
        yield

    @contextmanager
    def joined(self, viewer: Viewer | None = None) -> Iterator[Joined]:
        """The open transaction."""
        yield self


class TwoWalls(Joined):
    """The same with row-level security: each part of the transaction is for whom it says."""

    def __init__(self, engine: sa.Engine, conn: sa.Connection) -> None:
        super().__init__(engine, conn, None)

    @contextmanager
    def joined(self, viewer: Viewer | None = None) -> Iterator[Joined]:
        """The open transaction, for `viewer`."""
        with self._part(viewer):
            yield self


class Standing:
    """The company, and what the calls are about; `db` is set anew for each call, and what a call writes is undone."""

    def __init__(self, company: Company, pool: Pool) -> None:
        self.company, self.pool = company, pool
        self.db: Database = company.db
        self.users, self.actors, self.ada = company.users, company.actors, company.actors["ada"]
        self.ana = company.users["ana"]
        self._fill()

    @property
    def runner(self) -> SentJobs:
        """Takes jobs and does none of them."""
        return SentJobs(self.db, lambda _job: None)

    def _fill(self) -> None:
        company, db, ada = self.company, self.db, self.ada
        ana = company.actors["ana"]
        add_another_team(company)
        with db.write() as conn:  # for a part of the quarter
            conn.execute(
                sa.text("UPDATE plan_assignments SET start_date = '2026-01-15' WHERE user_id = :ana"),
                {"ana": ana.user_id},
            )
        self.actors = company.actors
        for number, (code, dollars) in enumerate((("ana", 1000), ("bo", 2000), ("oda", 3000))):
            for month in ("02", "03", "04", "10"):
                company.deal(f"{code}-{month}", code, f"2026-{month}-1{number}", dollars)
            company.deal(f"{code}-open", code, "2026-11-28", dollars * 2, stage="Proposal")
            company.deal(f"{code}-lost", code, "2026-10-10", dollars * 2, stage="Closed Lost")
        with db.write() as conn:
            conn.execute(sa.text("INSERT INTO deal_stage_entries SELECT id, stage_id, '2026-10-01' FROM deals"))
        self.won, self.open = self._id("ana-04"), self._id("ana-open")
        component = "new-business"
        for code in ("ana", "bo", "oda"):
            quarters = {(company.users[code], f"2026-Q{quarter}"): 5_000_000 for quarter in (2, 3, 4)}
            quotas.save_quotas(db, ada, quarters)
        quotas.save_quotas(db, ada, {(self.ana, "2027-Q1"): 6_000_000}, component)
        for period in ("2026-02", "2026-03", "2026-04"):
            runs.run_period(db, self.pool, ada, period)
            if period != "2026-04":
                payouts.approve_period(db, ada, period)
        payouts.mark_paid(db, ada, "2026-02")
        company.change(self.won, amount=110_000)
        runs.run_period(db, self.pool, ada, "2026-04")  # so that the run before is superseded
        company.change(self._id("oda-04"), amount=310_000)  # what is calculated is outdated, in the twin anyway
        statements.keep_period(db, ada, "2026-02")
        self.line = self._scalar("SELECT max(id) FROM lines WHERE period = '2026-04' AND user_id = :ana")
        closed = "SELECT id FROM lines WHERE period = '2026-03' AND user_id = :ana"
        self.closed_line = self._scalar(closed)
        self.dispute = disputes.flag_line(db, ana, self.line, "It was more")
        new = adjustments.NewAdjustment(str(uuid.uuid4()), self.ana, "bonus", 7_000, "for Ana")
        self.adjustment = adjustments.add_adjustment(db, ada, "2026-04", new)
        note = activities.ActivityFields(
            "task", "Anas task", NOW, due_on=TODAY, deal_id=self.open, account="Anas account"
        )
        self.activity = activities.log_activity(db, ana, note, NOW)
        payables.record_customer_payment(db, ada, self.won, str(uuid.uuid4()), date(2026, 5, 1), 5_000, TODAY)
        self.token = api_tokens.create_token(db, ana, "Anas token", frozenset({"read"}), 30, NOW).id
        preview = imports.preview_import(db, ada, imports.Upload(EXPORT.encode(), "deals.csv", "file", today=TODAY))
        self.imported = imports.import_deals(db, ada, preview, accept_refused=True).import_id
        edit = deal_edits.BulkEdit({"product": "Robot"}, (self.open,))
        seen = deal_edits.preview_edit(db, self.pool, ada, edit, TODAY).seen
        deal_edits.apply_edit(db, ada, edit, seen, TODAY)
        self.edit = deal_edits.list_edits(db, ada)[0].edit_id
        plans.create_plan(db, ada, "Draft", plans.templates()[0].name, date(2027, 1, 1))
        self.plan, self.draft = (
            self._scalar(f"SELECT id FROM plans WHERE name = '{name}'") for name in ("ae", "draft")
        )
        self.assignment = self._scalar("SELECT id FROM plan_assignments WHERE user_id = :ana")
        base = whatif.base(db, ada, TODAY)
        self.variant = whatif.begin(base, "ae", TODAY)
        self.scenario = whatif_scenarios.save_scenario(db, ada, "Dearer", "for Ana", self.variant, "12m")
        self.file = import_files.keep_file(db, ada, "deals.csv", io.BytesIO(EXPORT.encode()))
        self.quota_save = self._scalar("SELECT max(id) FROM audit WHERE action = 'quotas.edit'")
        self.team = self._scalar("SELECT id FROM teams WHERE name = 'East'")
        self.lost = self._id("ana-lost")
        self.code = self._scalar("SELECT encode(code, 'hex') FROM statements WHERE user_id = :ana")
        self.run_id = self._scalar("SELECT run_id FROM pay_periods WHERE period = '2026-04'")
        self.bulk = deal_edits.BulkEdit({"product": "Drone"}, (self.open,))
        self.bulk_seen = deal_edits.preview_edit(db, self.pool, ada, self.bulk, TODAY).seen
        self.template = plans.templates()[0].name
        self.ana_email = "ana@test.example"
        self.upload = imports.Upload(EXPORT.replace("F1", "F3").encode(), "more.csv", "file", today=TODAY)
        self.preview = imports.preview_import(db, ada, self.upload)
        sent = {"external_id": "S1", "name": "s", "owner": "Bo", "stage": "Proposal", "amount": 1, "currency": "USD"}
        self.sent = [sent | {"close_date": "2026-12-01"}]
        self.sent_preview = deal_upserts.check_deals(db, ada, "crm", self.sent, TODAY)
        self.settings = company_settings.company_settings(db, ada)[0]
        with db.read() as conn:
            wanted = parse_period("2026-04")
            before, loaded = run_outcome.before(conn, wanted), inputs.load(conn, wanted)
        self._to_keep = wanted, loaded, runs.calculated(db, self.pool, loaded, wanted), before
        self.part = payouts.Part(str(uuid.uuid4()), 0, payouts.payout_state(db, ada, "2026-03").open)
        self.team_row = next(each for each in people.list_team_rows(db, ada, TODAY) if each.team_id == self.team)
        self.tokens = {code: sign_in.open_session(db, company.users[code]).token for code in WHO}
        self.job = batches.start_undo(self.runner, ada, self.imported)

    def _scalar(self, query: str) -> Any:
        with self.company.db.read() as conn:
            return conn.scalar(sa.text(query), {"ana": self.ana} if ":ana" in query else {})

    def _id(self, name: str) -> int:
        return int(self._scalar(f"SELECT id FROM deals WHERE name = '{name}'"))

    # --- what calls are given, read as the admin within the call's own transaction -------------------------
    def fields(self, deal: int) -> DealFields:
        """The fields of a deal, as it is kept."""
        return deals.deal_detail(self.db, self.ada, deal, TODAY).deal.fields

    @property
    def outcome(self) -> run_outcome.Outcome:
        """What a run would keep; it is read once."""
        return run_outcome.Outcome(*self._to_keep, None)

    def without_quota(self) -> Database:
        """Ana has no quota, which her plan needs."""
        with self.db.write() as conn:
            conn.execute(sa.text("DELETE FROM quotas WHERE user_id = :ana"), {"ana": self.ana})
            conn.execute(sa.text("UPDATE company SET data_version = data_version + 1000"))
        return self.db

    def two_admins(self) -> Database:
        """Mia is an admin too."""
        people.edit_person(self.db, self.ada, self.users["mia"], "Mia", "mia@test.example", "admin", None)
        return self.db

    def run(self) -> None:
        """The admin runs the open month."""
        runs.run_period(self.db, self.pool, self.ada, "2026-04")

    def change_password(self, who: Actor) -> None:
        """Somebody whose password is known changes it."""
        with self.db.write() as conn:
            conn.execute(
                sa.text("UPDATE users SET password_hash = :hash WHERE id = :id"),
                {"hash": sign_in.hash_password("herring umbrella"), "id": who.user_id},
            )
        email = f"{who.name}@test.example"
        token = sign_in.open_session(self.db, who.user_id or 0).token
        sign_in.change_password(self.db, replace(who, email=email), token, "herring umbrella", *["pepper gondola"] * 2)

    @property
    def part_grid(self) -> quotas.QuotaGrid:
        """Everyone's quotas of the year, Ana's with a plan for a part of a quarter."""
        return quotas.quota_grid(self.db, self.ada, quotas.Scope("quarter", 2026, TODAY))

    @cached_property
    def other_stage(self) -> stages.Stage:
        """Another stage of open deals."""
        return next(each for each in stages.list_stages(self.company.db, self.ada) if each.name == "Negotiation")

    @cached_property
    def version(self) -> int:
        """The version of Ana's open deal."""
        return deals.deal_detail(self.company.db, self.ada, self.open, TODAY).deal.version

    @cached_property
    def stage(self) -> stages.Stage:
        """A stage of open deals."""
        return next(each for each in stages.list_stages(self.company.db, self.ada) if each.name == "Proposal")

    @cached_property
    def won_stage(self) -> stages.Stage:
        """The stage of won deals."""
        return next(each for each in stages.list_stages(self.company.db, self.ada) if each.name == "Closed Won")

    @cached_property
    def base(self) -> whatif.Base:
        """What a what-if begins with."""
        return whatif.base(self.company.db, self.ada, TODAY)

    @cached_property
    def document(self) -> str:
        """The draft plan's text."""
        found = plans.plan_detail(self.company.db, self.ada, self.draft, TODAY).draft
        assert found is not None
        return found.document

    @cached_property
    def plan_text(self) -> str:
        """A plan document that could be published."""
        return PLAN.replace('"ae"', '"draft"').replace("2026-01-01", "2027-01-01")


@contextmanager
def twins(cluster_url: str, pool: Pool) -> Iterator[tuple[Standing, Database]]:
    """The company, and its twin, each in a database of its own that is dropped after."""
    template = sa.make_url(cluster_url)
    names = [f"twin_{uuid.uuid4().hex}" for _ in range(2)]
    urls = [template.set(database=name).render_as_string(hide_password=False) for name in names]
    rounds, sign_in.ROUNDS = sign_in.ROUNDS, 4

    def on_server(statement: str) -> None:
        with owner(template.set(database="postgres"), autocommit=True) as conn:
            conn.execute(sa.text(statement))

    opened: list[Database] = []
    try:
        on_server(f"CREATE DATABASE {names[0]} TEMPLATE {template.database}")
        company = Company(urls[0])
        opened.append(company.db)
        found = Standing(company, pool)
        company.db.close()  # so that it can be copied; it opens itself again
        on_server(f"CREATE DATABASE {names[1]} TEMPLATE {names[0]}")
        opened.append(Database(urls[1]))
        with owner(urls[1]) as conn:
            for statement in _TWIN.split(";\n"):
                if statement.strip():
                    conn.execute(sa.text(statement), {"ana": found.ana} if ":ana" in statement else {})
        yield found, opened[1]
    finally:
        sign_in.ROUNDS = rounds
        for db in opened:
            db.close()
        for name in names:
            on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def flat(found: Any) -> str:
    """All that a service gave back, as text: frames with every row, records with every field, files by content."""
    if isinstance(found, pd.DataFrame):
        return str(found.to_csv(index=False))
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        return "{" + ", ".join(f"{flat(key)}: {flat(value)}" for key, value in found.items()) + "}"
    if is_dataclass(found) and not isinstance(found, type):
        return type(found).__name__ + "(" + ", ".join(flat(getattr(found, each.name)) for each in fields(found)) + ")"
    if isinstance(found, set | frozenset):
        return "{" + ", ".join(sorted(flat(each) for each in found)) + "}"
    if isinstance(found, Sequence) and not isinstance(found, bytes | bytearray):
        return "[" + ", ".join(flat(each) for each in found) + "]"
    if isinstance(found, Iterator):
        return flat(list(found))
    if hasattr(found, "tolist") and not isinstance(found, int | float):
        return str(found.tolist())
    return str(found)
