"""Hostile texts through every text field of the pages: kept as text or refused in words, and drawn as text.

What a form keeps goes in by the service that the form calls (a dialog swallows a test's clicks), then every page is
drawn over it; what is only typed (searches, filters, figures) is typed on the page itself.  Where Streamlit reads
Markdown, a text must not stand as it was typed: there it would be a link, a picture, a formula or an icon.
"""

import ast
from collections.abc import Callable, Iterator
from datetime import date
from uuid import uuid4
from zlib import crc32

import pytest
import sqlalchemy as sa
from google.protobuf.message import Message  # type: ignore[import-untyped]
from streamlit.testing.v1 import AppTest

from app import auth, state
from app.navigation import CATALOG, ROOT
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.imports.people import read_roster
from engine.services import (
    activities,
    adjustments,
    api_tokens,
    company,
    deal_fields,
    deals,
    disputes,
    imports,
    payouts,
    people,
    people_import,
    plans,
    quota_tools,
    quotas,
    runs,
    setup,
    sign_in,
    stages,
    whatif_scenarios,
)
from engine.services.access import Actor
from engine.services.jobs import SentJobs
from engine.services.setup import FirstAdmin
from engine.workers.pool import Pool
from tests.integration.api.test_hostile import SEEDS, hostile
from tests.integration.matrix.standing import NOW, TODAY, Standing, twins
from tests.pages.test_matrix import SHOWN, VIEWS

# What would do something where Markdown is read; they are looked for in all that is drawn.
MARKED = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</textarea><svg/onload=alert(1)>",
    "[x](javascript:alert(1))", "**bold**", "$\\frac{1}{2}$", ":material/delete:", "| a | b |",
]  # fmt: skip
ALL = " ".join(MARKED)
TEXTS = [
    *MARKED,
    ALL,
    *SEEDS,
    *hostile()[len(SEEDS) : len(SEEDS) + 20],
    "x" * 1_000_000,
    "<" * 1_000_000,
    "\u202e" * 300_000,
]

# function that draws a text field -> the test below that puts hostile texts into it, or what it calls
STORED, TYPED, OUTSIDE = "test_what_is_kept", "test_what_is_typed", "test_at_the_door"
FIELDS = {
    "activity_view.log_form": STORED, "activity_view._where": STORED, "activity_view.activity_panel": STORED,
    "activity_view.filters": TYPED, "activity_view._more_filters": TYPED, "adjustment_view.add_body": STORED,
    "adjustment_view.override_body": STORED, "audit_view.filters": TYPED, "deal_drawer._share_rows": TYPED,
    "deal_edit_view._value": STORED, "deal_edit_view.edit_table": STORED, "deal_fields_view._field": STORED,
    "deal_form.deal_form": STORED, "deal_form._own_field": STORED, "deals_view.filters": TYPED,
    "deals_view._field_filter": TYPED, "dispute_view.flag_body": STORED, "dispute_view._answer": STORED,
    "dispute_view.missing_body": STORED, "entrance.new_password_fields": OUTSIDE, "entrance._first_admin": OUTSIDE,
    "forecast_deals_view._editor": TYPED, "payable_view.customer_payments": TYPED, "payment_view.release_body": STORED,
    "payment_view._part": TYPED, "payment_view.reverse_body": STORED, "people_import_view.import_form": STORED,
    "people_rows.people_rows": STORED, "people_view.people_list": TYPED, "person_view._details": STORED,
    "people_view.add_form": STORED, "plan_fields.text": STORED, "plan_fields._tiers": STORED,
    "plan_fields._filter": STORED, "plan_form._beside": STORED, "plan_form._try": TYPED, "plan_view.new_plan": STORED,
    "plan_view._edit_draft": STORED, "quota_tools_view.paste_form": STORED, "quota_tools_view.copy_form": STORED,
    "quota_tools_view.ramp_form": STORED, "quota_tools_view._keep_ramp": STORED, "quota_tools_view.split_form": STORED,
    "quota_view.edit_grid": TYPED, "quota_view._changes": TYPED, "review_view.changes": TYPED,
    "shell._change_password": OUTSIDE, "stage_view.stage_form": STORED, "statement_view._verify": TYPED,
    "team_view.team_form": STORED, "token_view._form": STORED, "upload_view.choose_file": STORED,
    "upload_view._source_and_columns": STORED, "whatif_keep.save_form": STORED, "whatif_keep._one": STORED,
    "whatif_search_view.goal_seek": TYPED, "settings.": STORED,
}  # fmt: skip
_WIDGETS = {"text_input", "text_area", "chat_input", "data_editor", "file_uploader"}


def text_fields() -> set[str]:
    """Every function of the pages that draws a field for any text."""
    found: set[str] = set()

    def walk(node: ast.AST, place: str, function: str) -> None:
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
                new = any(key.arg == "accept_new_options" for key in each.keywords)
                if new or each.func.attr in _WIDGETS:
                    found.add(f"{place}.{function}")
            walk(each, place, each.name if isinstance(each, ast.FunctionDef) else function)

    for path in [*(ROOT / "app").glob("*.py"), *(ROOT / "pages").glob("*.py")]:
        walk(ast.parse(path.read_text()), path.stem, "")
    return found


def test_every_text_field_is_tried() -> None:
    new, gone = sorted(text_fields() - FIELDS.keys()), sorted(FIELDS.keys() - text_fields())
    assert not new, f"{', '.join(new)} draw text fields: say in FIELDS which test gives them hostile texts."
    assert not gone, f"{', '.join(gone)} draw no text fields any more."
    assert {*FIELDS.values()} <= globals().keys()


# --- what is kept -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def facts(cluster_url: str) -> Iterator[Standing]:
    """The company of the matrix, in which Ana has everything once."""
    with Pool(1) as pool, twins(cluster_url, pool) as (found, _):
        yield found


YEAR = quotas.Scope("quarter", 2026, TODAY)
Keep = Callable[[Standing, Actor, str], object]
# what keeps a text -> the call that the form makes, and where the text is then
KEEPS: dict[str, tuple[Keep, str]] = {
    "deal": (
        lambda f, ada, text: deals.create_deal(
            f.db,
            ada,
            deals.DealFields(text, text, f.ana, f.stage.id, 5, "USD", date(2026, 12, 1), type=text, product=text),
            {"Note": text},
        ),
        "SELECT name FROM deals UNION SELECT account FROM deals UNION SELECT type FROM deals",
    ),
    "activity": (
        lambda f, ada, text: activities.log_activity(
            f.db, ada, activities.ActivityFields("call", text, NOW, account=text, details=text), NOW
        ),
        "SELECT subject FROM activities UNION SELECT account FROM activities UNION SELECT details FROM activities",
    ),
    "adjustment": (
        lambda f, ada, text: adjustments.add_adjustment(
            f.db, ada, "2026-04", adjustments.NewAdjustment(str(uuid4()), f.ana, "bonus", 5, text)
        ),
        "SELECT reason FROM manual_adjustments",
    ),
    "adjusted deal": (
        lambda f, ada, text: adjustments.add_adjustment(
            f.db, ada, "2026-04", adjustments.NewAdjustment(str(uuid4()), f.ana, "bonus", 5, "why", text)
        ),
        "",
    ),
    "override": (lambda f, ada, text: adjustments.override_line(f.db, ada, str(uuid4()), f.line, 5, text), ""),
    "dispute": (lambda f, ada, text: disputes.flag_missing(f.db, ada, f.ana, "2026-04", text, text), ""),
    "message": (
        lambda f, ada, text: disputes.reply(f.db, ada, f.dispute, text),
        "SELECT text FROM dispute_messages",
    ),
    "release": (
        lambda f, ada, text: payouts.release(f.db, ada, "2026-03", payouts.Part(str(uuid4()), 0, {}), text),
        "",
    ),
    "reversal": (lambda f, ada, text: payouts.reverse_payout(f.db, ada, "2026-01", text), ""),
    "person": (
        lambda f, ada, text: people.add_person(
            f.db, ada, text, f"{crc32(text.encode(errors='replace'))}@x.example", "rep"
        ),
        "SELECT name FROM users",
    ),
    "e-mail": (lambda f, ada, text: people.add_person(f.db, ada, "E. Mail", text, "rep"), ""),
    "people": (
        lambda f, ada, text: people.add_people(
            f.db,
            ada,
            [
                people.PersonRow(
                    text, f"b{crc32(text.encode(errors='replace'))}@x.example", text, text, date(2026, 1, 1)
                )
            ],
        ),
        "",
    ),
    "roster": (
        lambda f, ada, text: people_import.preview_people(
            f.db, ada, read_roster(f"Name,Email,Team\n{text},{text},{text}\n".encode(errors="replace")), TODAY
        ),
        "",
    ),
    "team": (
        lambda f, ada, text: people.create_team(f.db, ada, text, None, None, date(2026, 12, 1)),
        "SELECT name FROM teams",
    ),
    "plan": (
        lambda f, ada, text: plans.create_plan(f.db, ada, text, f.template, date(2027, 1, 1)),
        "SELECT title FROM plans",
    ),
    "plan text": (
        lambda f, ada, text: plans.review_draft(f.db, ada, "draft", f"{f.plan_text}\nlabel = '''{text}'''", ()),
        "",
    ),
    "plan text alone": (lambda f, ada, text: plans.review_draft(f.db, ada, "draft", text, ()), ""),
    "quotas": (
        lambda f, ada, text: quota_tools.propose_table(f.db, ada, YEAR, f"Person\t2026-Q4\n{text}\t{text}\n"),
        "",
    ),
    "quota file": (
        lambda f, ada, text: quota_tools.propose_table(
            f.db, ada, YEAR, (f"Person,2026-Q4\n{text},{text}\n".encode(errors="replace"), text)
        ),
        "",
    ),
    "growth": (lambda f, ada, text: quota_tools.propose_copy(f.db, ada, YEAR, "2027-Q1", text), ""),
    "ramp": (lambda f, ada, text: quota_tools.propose_ramp(f.db, ada, YEAR, f.ana, TODAY, text, text, "quarter"), ""),
    "kept ramp": (lambda f, ada, text: quota_tools.save_ramp(f.db, ada, text, "50"), "SELECT name FROM quota_ramps"),
    "split": (lambda f, ada, text: quota_tools.propose_split(f.db, ada, YEAR, [f.ana], text), ""),
    "stage": (
        lambda f, ada, text: stages.add_stage(f.db, ada, stages.StageFields(text, "open", 500_000, "blue")),
        "SELECT name FROM pipeline_stages",
    ),
    "token": (
        lambda f, ada, text: api_tokens.create_token(f.db, ada, text, frozenset({"read"}), 1, NOW),
        "SELECT name FROM api_tokens",
    ),
    "field": (
        lambda f, ada, text: deal_fields.define_field(f.db, ada, deal_fields.DealField(text, "choice", (text, "b"))),
        "SELECT name FROM deal_fields",
    ),
    "variant": (
        lambda f, ada, text: whatif_scenarios.save_scenario(f.db, ada, text, text, f.variant, "12m"),
        "SELECT name FROM scenarios UNION SELECT notes FROM scenarios",
    ),
    "company": (
        lambda f, ada, text: company.save_settings(
            f.db, ada, company.company_settings(f.db, ada)[0], company.Settings(text, text, 1)
        ),
        "",
    ),
    "company name": (
        lambda f, ada, text: company.save_settings(
            f.db, ada, company.company_settings(f.db, ada)[0], company.Settings(text, "USD", 1)
        ),
        "",
    ),
    "upload": (
        lambda f, ada, text: imports.preview_import(
            f.db,
            ada,
            imports.Upload(
                f"Deal ID,{text}\nOwner,{text}\n".encode(errors="replace"), text, text, {"name": text}, {text: 1}
            ),
        ),
        "",
    ),
}


def squeezed(text: str) -> str:
    """The text without what a form takes off: white space and unseen characters."""
    return "".join(sign for sign in text if sign.isprintable() and not sign.isspace())


@pytest.mark.parametrize("name", KEEPS)
def test_what_is_kept(facts: Standing, name: str) -> None:
    """Each text is kept as it is, or refused in a sentence that can be read; nothing else is raised."""
    call, where = KEEPS[name]
    if name == "deal":
        facts.db = facts.company.db
        deal_fields.define_field(facts.db, facts.ada, deal_fields.DealField("Note", "text"))
    kept = too_long = 0
    for text in TEXTS:
        with facts.company.db.joined(facts.ada) as joined:
            facts.db = joined
            with joined.write() as conn, conn.begin_nested() as savepoint:
                try:
                    call(facts, facts.ada, text)
                    kept += 1
                except QuotaPathError as refusal:
                    too_long += len(str(refusal)) > 10_000
                    savepoint.rollback()
    assert not too_long
    if where:
        assert kept > len(MARKED), name
        with facts.company.db.read() as conn:
            found = {squeezed(each) for each in conn.scalars(sa.text(where)) if each}
        assert {squeezed(text) for text in MARKED} <= found, (name, found)


# --- what is drawn ------------------------------------------------------------------------------------------
# Where Streamlit shows a text as it is: (message, field).
AS_TEXT = {
    ("Text", "body"), ("Selectbox", "options"), ("MultiSelect", "options"), ("TextInput", "default"),
    ("TextInput", "placeholder"), ("TextInput", "value"), ("TextArea", "default"), ("TextArea", "value"),
    ("Code", "code_text"), ("VegaLiteChart", "spec"), ("Dataframe", "columns"), ("Dataframe", "data"),
    ("Selectbox", "raw_value"),
}  # fmt: skip


def marked(message: Message, place: str = "") -> Iterator[tuple[str, str]]:
    """(message.field, text) of what is drawn with a marked text as it was typed, where that is more than text."""
    for field, value in message.ListFields():
        here = f"{message.DESCRIPTOR.name}.{field.name}"
        for each in value if field.is_repeated and not hasattr(value, "items") else [value]:
            if isinstance(each, Message):
                yield from marked(each, here)
            elif isinstance(each, str) and (message.DESCRIPTOR.name, field.name) not in AS_TEXT:
                yield from ((here, text) for text in MARKED if text in each)


def unsafe(screen: AppTest) -> set[tuple[str, str]]:
    return {found for node in screen._tree if getattr(node, "proto", None) is not None for found in marked(node.proto)}


@pytest.fixture
def shows(facts: Standing, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``shows("deals", period="2026-04")``: the page as Ada sees it."""
    monkeypatch.setenv("QUOTAPATH_TODAY", TODAY.isoformat())
    db = facts.company.db
    monkeypatch.setattr(state, "database", lambda: db)
    monkeypatch.setattr(state, "pool", lambda: facts.pool)
    monkeypatch.setattr(state, "jobs", lambda: SentJobs(db, lambda _job: None))
    monkeypatch.setattr(auth, "session_token", lambda: facts.tokens["ada"])

    def shown(page: str, **query: str) -> AppTest:
        screen = AppTest.from_file(ROOT / "pages" / f"{page}.py", default_timeout=60)
        for key, value in query.items():
            screen.query_params[key] = value
        return screen.run()

    return shown


def test_what_is_drawn(facts: Standing, shows: Callable[..., AppTest]) -> None:
    """Ana, her deals and her plan are called by hostile names; so is all that the test above has kept."""
    db = facts.db = facts.company.db
    people.edit_person(db, facts.ada, facts.ana, ALL, "ana@test.example", "rep", None)
    with db.write() as conn:
        for statement in (
            "UPDATE deals SET name = :all, account = :all, type = 'New', product = :all, external_id = :all || id",
            "UPDATE plans SET title = :all",
            "UPDATE teams SET name = :all || id WHERE name IN ('East', 'West')",
            "UPDATE disputes SET about = :all || id",
            "UPDATE imports SET filename = :all",
            "UPDATE jobs SET message = :all",
            "UPDATE company SET name = :all, data_version = data_version + 1",
        ):
            conn.execute(sa.text(statement), {"all": ALL} if ":all" in statement else {})
    runs.run_period(db, facts.pool, facts.ada, "2026-04")
    found: dict[str, set[tuple[str, str]]] = {}
    for page, view in [
        *SHOWN,
        ("deals", {"deal": str(facts.won)}),
        ("activities", {"activity": str(facts.activity)}),
        ("disputes", {"dispute": str(facts.dispute)}),
        ("people", {"view": "hierarchy"}),
        ("earnings", {"period": "2026-04", "person": str(facts.ana)}),
    ]:
        screen = shows(page, **view)
        assert not screen.exception, (page, view, [each.value for each in screen.exception])
        if bad := unsafe(screen):
            found[f"{page} {view}"] = bad
    assert not found


def test_what_is_typed(shows: Callable[..., AppTest]) -> None:
    """Every text field that a page shows at first gets hostile texts, several times, all fields at once."""
    typed: set[str] = set()
    texts = [
        text for text in TEXTS if not any("\ud800" <= sign <= "\udfff" for sign in text)
    ]  # no browser sends halves
    for entry in CATALOG:
        for view in VIEWS.get(entry.name, ({},)):
            screen = shows(entry.name, **view)
            fields = [*screen.text_input, *screen.text_area]
            for round_ in range(3 if fields else 0):
                for number, field in enumerate([*screen.text_input, *screen.text_area]):
                    typed.add(f"{entry.name}: {field.label}")
                    if not field.disabled:
                        field.set_value(texts[(7 * round_ + 31 * number) % len(texts)][: field.max_chars or None])
                screen.run()
                assert not screen.exception, (entry.name, view, [each.value for each in screen.exception])
                assert not unsafe(screen), (entry.name, view)
    assert {"deals: Search", "audit: Search", "people: Search"} <= typed


def test_at_the_door(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start, the sign-in form and the change of a password."""
    monkeypatch.setattr(sign_in, "ROUNDS", 4)
    db = Database(database_url)
    for text in TEXTS:
        for form in (
            FirstAdmin(text, "USD", text, text, text, text),
            FirstAdmin("x", text, "x", "x@x.io", "pepper gondola", "pepper gondola"),
        ):
            with pytest.raises(QuotaPathError) as refused:
                setup.create_first_admin(db, form)
            assert len(str(refused.value)) < 10_000
        with pytest.raises(sign_in.SignInRefused):
            sign_in.check_password(db, text, text, text)
        assert sign_in.session_actor(db, text) is None
        assert sign_in.link_person(db, text) is None
    db.close()
