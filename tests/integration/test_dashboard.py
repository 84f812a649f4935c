"""The dashboard's figures on a real PostgreSQL: what counts, for whom, in which period, in which currency."""

from datetime import date

import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.periods import parse_period
from engine.services.access import Actor, Forbidden
from engine.services.dashboard import dashboard, open_counted

TODAY = date(2026, 11, 22)
ADMIN = Actor(1, "admin", "Ada")
VERA = Actor(2, "manager", "Vera")  # leads Sales, above all teams
MIA = Actor(3, "manager", "Mia")  # leads East
ANA = Actor(4, "rep", "Ana")  # in East; before October in West
BO = Actor(5, "rep", "Bo")  # in East
CY = Actor(6, "rep", "Cy")  # in West
SALES, EAST, WEST = 1, 2, 3
PROSPECTING, PROPOSAL, WON, LOST = 1, 3, 5, 6

COMPANY = """
    INSERT INTO company (name, currency) VALUES ('Acme', 'USD');
    INSERT INTO users (code, name, email, role) VALUES
        ('ada', 'Ada', 'ada@x.io', 'admin'), ('vera', 'Vera', 'vera@x.io', 'manager'),
        ('mia', 'Mia', 'mia@x.io', 'manager'), ('ana', 'Ana', 'ana@x.io', 'rep'), ('bo', 'Bo', 'bo@x.io', 'rep'),
        ('cy', 'Cy', 'cy@x.io', 'rep');
    INSERT INTO teams (name) VALUES ('Sales'), ('East'), ('West');
    INSERT INTO team_structure (team_id, parent_id, manager_id, start_date) VALUES
        (1, NULL, 2, '2025-01-01'), (2, 1, 3, '2025-01-01'), (3, 1, NULL, '2025-01-01');
    INSERT INTO team_members (team_id, user_id, start_date, end_date) VALUES
        (3, 4, '2025-01-01', '2026-10-01'), (2, 4, '2026-10-01', NULL),
        (2, 5, '2025-01-01', NULL), (3, 6, '2025-01-01', NULL);
    INSERT INTO plans (name, title) VALUES ('ae', 'AE');
    INSERT INTO plan_versions (plan_id, effective_from, document, hash, status, published_at)
        VALUES (1, '2025-01-01', '', '', 'published', now());
"""


class Acme:
    """The company, and short words for what is put into it; money is given in dollars."""

    def __init__(self, db):
        self.db = db
        self._number = 0

    def do(self, query, **values):
        with self.db.write() as conn:
            result = conn.execute(sa.text(query), values)
            return result.scalar_one() if result.returns_rows else None

    def deal(self, owner, close, dollars, stage=WON, currency="USD", **shares):
        self._number += 1
        deal_id = self.do(
            """INSERT INTO deals (source, external_id, name, owner_id, stage_id, amount, currency, close_date)
               VALUES ('test', :number, :name, :owner, :stage, :amount, :currency, :close) RETURNING id""",
            number=str(self._number),
            name=f"Deal {self._number}",
            owner=owner.user_id,
            stage=stage,
            amount=None if dollars is None else dollars * 100,
            currency=currency,
            close=date.fromisoformat(close),
        )
        for user_id, percent in shares.items():
            self.do(
                "INSERT INTO deal_credits VALUES (:deal, :user, :share)",
                deal=deal_id,
                user=int(user_id[1:]),
                share=percent * 10_000,
            )
        return deal_id

    def run(self, month, lines=(), attainment=(), status="open"):
        """A run that the month shows from now on: lines (person, dollars, kind, deal), attainment (person, credit,
        quota).
        """
        period = parse_period(month)
        self.do(
            """INSERT INTO pay_periods (period, kind, start_date, end_date) VALUES (:p, 'month', :start, :end)
               ON CONFLICT DO NOTHING""",
            p=month,
            start=period.first_day,
            end=date.fromordinal(period.end),
        )
        run_id = self.do(
            """INSERT INTO runs (period, ledger_seen, inputs_hash, lines_hash, engine_version, interpreter, deals,
                                 lines, created_by) VALUES (:p, 0, '', '', '0', 'test', 0, 0, 1) RETURNING id""",
            p=month,
        )
        for person, dollars, kind, deal_id in lines:
            self.do(
                """INSERT INTO lines (run_id, user_id, plan_version_id, component, deal_id, kind, period, origin_period,
                                      amount, currency, working)
                   VALUES (:run, :user, 1, 'nb', :deal, :kind, :p, :p, :amount, 'USD', '{}')""",
                run=run_id,
                user=person.user_id,
                deal=deal_id,
                kind=kind,
                p=month,
                amount=dollars * 100,
            )
        quarter = f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"
        for person, credit, quota in attainment:
            self.do(
                "INSERT INTO run_attainment VALUES (:run, :user, 'nb', :q, :credit, :quota)",
                run=run_id,
                user=person.user_id,
                q=quarter,
                credit=credit,
                quota=quota,
            )
        self.do("UPDATE pay_periods SET run_id = :run, status = :s WHERE period = :p", run=run_id, s=status, p=month)

    def board(self, period="2026-10", actor=ADMIN, team=None, today=TODAY):
        return dashboard(self.db, actor, parse_period(period), team, today)


@pytest.fixture
def acme(database_url):
    db = Database(database_url)
    with db.write() as conn:
        conn.execute(sa.text(COMPANY))
    yield Acme(db)
    db.close()


# --------------------------------------------------------------------------------------------- revenue


def test_an_empty_company_has_no_figures_and_no_faults(acme):
    for period in ("2026-10", "2026-Q4", "2026", "2024-01"):
        board = acme.board(period)
        assert (board.won.value, board.deals.value, board.average.value) == (0, 0, None)
        assert (board.commission.value, board.rate.value, board.attainment.value, board.pace) == (
            None,
            None,
            None,
            None,
        )
        assert board.won.change is None
        frames = (board.people, board.teams, board.stages, board.top_won, board.commission_months)
        assert all(frame.empty for frame in frames)


def test_revenue_is_what_was_won_in_the_period_less_refunds(acme):
    acme.deal(ANA, "2026-10-01", 1000)
    acme.deal(BO, "2026-10-31", 500)
    acme.deal(BO, "2026-10-20", -200)  # a refund
    acme.deal(BO, "2026-10-20", None)  # won, its amount unknown
    acme.deal(ANA, "2026-10-10", 9000, stage=LOST)
    acme.deal(ANA, "2026-10-10", 9000, stage=PROPOSAL)
    acme.deal(ANA, "2026-09-30", 800)
    acme.deal(ANA, "2026-11-01", 7000)
    board = acme.board("2026-10")
    assert (board.won.value, board.won.before) == (1300_00, 800_00)
    assert board.won.change == pytest.approx(0.625)
    assert (board.deals.value, board.deals.before) == (3, 1)
    assert board.average.value == pytest.approx(1300_00 / 3)
    assert board.won.trend[-2:] == (800_00, 1300_00)
    assert list(board.top_won["amount"]) == [1000_00, 500_00]
    quarter = acme.board("2026-Q4")
    assert quarter.won.value == 8300_00


def test_a_running_period_compares_with_the_same_days_of_the_one_before(acme):
    acme.deal(ANA, "2026-10-22", 100)
    acme.deal(ANA, "2026-10-23", 900)  # day 23: not yet
    acme.deal(ANA, "2026-11-22", 150)
    board = acme.board("2026-11")
    assert board.running
    assert board.compared_until == date(2026, 10, 22)
    assert (board.won.value, board.won.before) == (150_00, 100_00)
    cumulated = board.revenue[board.revenue["series"] == "2026-11"]
    assert len(cumulated) == 22
    assert cumulated["amount"].iloc[-1] == 150_00
    assert board.revenue[board.revenue["series"] == "2026-10"]["amount"].iloc[-1] == 1000_00


def test_a_shared_deal_counts_by_share_for_each_and_once_for_all(acme):
    acme.deal(ANA, "2026-10-05", 1000, u4=60, u6=40)
    assert acme.board(actor=ANA).won.value == 600_00
    assert acme.board(actor=CY).won.value == 400_00
    assert acme.board(actor=BO).won.value == 0
    for actor, team in ((ADMIN, None), (ADMIN, SALES), (VERA, None)):
        board = acme.board(actor=actor, team=team)
        assert (board.won.value, board.deals.value) == (1000_00, 1)
        assert len(board.top_won) == 1
    assert acme.board(team=EAST).won.value == 600_00
    assert list(acme.board(actor=CY).top_won["amount"]) == [1000_00]


# --------------------------------------------------------------------------------------------- reach, teams


def test_a_manager_sees_the_tree_below_and_a_rep_only_self(acme):
    for person, dollars in ((ANA, 1), (BO, 10), (CY, 100)):
        acme.deal(person, "2026-10-05", dollars)
    seen = {actor.name: acme.board(actor=actor).won.value for actor in (ADMIN, VERA, MIA, ANA, BO, CY)}
    assert seen == {"Ada": 111_00, "Vera": 111_00, "Mia": 11_00, "Ana": 1_00, "Bo": 10_00, "Cy": 100_00}
    assert acme.board(actor=MIA, team=WEST).won.value == 0
    assert acme.board(actor=ANA, team=EAST).won.value == 1_00
    with pytest.raises(Forbidden):
        acme.board(actor=Actor(1, "guest", "Gus"))


def test_a_team_is_who_was_in_it_on_the_day(acme):
    acme.deal(ANA, "2026-09-30", 1)  # still in West
    acme.deal(ANA, "2026-10-01", 10)  # in East
    acme.deal(MIA, "2026-10-01", 100)  # leads East
    year = {team: acme.board("2026", team=team).won.value for team in (SALES, EAST, WEST)}
    assert year == {SALES: 111_00, EAST: 110_00, WEST: 1_00}


# --------------------------------------------------------------------------------------------- currencies


def test_other_currencies_are_converted_at_the_rate_of_the_day_or_left_out(acme):
    acme.do("""INSERT INTO exchange_rates VALUES
        ('EUR', 'USD', '2026-10-01', 1.10), ('EUR', 'USD', '2026-10-10', 1.20), ('JPY', 'USD', '2026-01-01', 0.0065)""")
    acme.deal(ANA, "2026-10-09", 100, currency="EUR")  # at 1.10
    acme.deal(ANA, "2026-10-10", 100, currency="EUR")  # at 1.20
    acme.deal(ANA, "2026-10-11", 1000, currency="JPY")  # 100,000 yen, without cents: 650.00
    acme.deal(ANA, "2026-09-30", 100, currency="EUR")  # before the first rate
    acme.deal(ANA, "2026-11-30", 100, currency="GBP", stage=PROPOSAL)
    october = acme.board("2026-10")
    assert (october.won.value, october.unconverted) == (110_00 + 120_00 + 650_00, 0)
    assert october.won.before == 0
    september = acme.board("2026-09")
    assert (september.won.value, september.deals.value, september.unconverted) == (0, 1, 1)
    assert acme.board("2026-11").unconverted == 1


# --------------------------------------------------------------------------------------------- commission


def test_commission_is_the_lines_of_the_run_that_the_period_shows(acme):
    deal_id = acme.deal(ANA, "2026-10-05", 1000)
    acme.run("2026-10", [(ANA, 999, "earned", deal_id)])  # replaced by the next
    acme.run("2026-10", [(ANA, 80, "earned", deal_id), (ANA, -5, "adjusted", None), (CY, 7, "earned", None)])
    board = acme.board("2026-10")
    assert (board.commission.value, board.not_run) == (82_00, ())
    assert board.rate.value == pytest.approx(0.082)
    assert acme.board("2026-10", actor=ANA).commission.value == 75_00
    assert acme.board("2026-10", team=WEST).commission.value == 7_00
    assert acme.board("2026-10", actor=BO).commission.value == 0


def test_months_without_a_run_are_named_and_left_out_of_the_rate(acme):
    deal_id = acme.deal(ANA, "2026-10-05", 1000)
    acme.deal(ANA, "2026-11-05", 5000)
    acme.run("2026-10", [(ANA, 80, "earned", deal_id)])
    board = acme.board("2026-Q4")
    assert [month.name for month in board.not_run] == ["2026-11"]  # December has not begun
    assert board.commission.value == 80_00
    assert board.rate.value == pytest.approx(0.08)
    assert acme.board("2026-09").commission.value is None


def test_commission_of_a_running_period_compares_with_deals_of_the_same_days(acme):
    early, late = acme.deal(ANA, "2026-10-22", 1), acme.deal(ANA, "2026-10-23", 1)
    now = acme.deal(ANA, "2026-11-02", 1)
    acme.run("2026-10", [(ANA, 10, "earned", early), (ANA, 500, "earned", late)], status="paid")
    acme.run("2026-11", [(ANA, 15, "earned", now)])
    board = acme.board("2026-11")
    assert (board.commission.value, board.commission.before) == (15_00, 10_00)
    assert [tuple(row) for row in board.commission_months.itertuples(index=False)] == [
        (date(2026, 10, 1), "paid", 510_00),
        (date(2026, 11, 1), "open", 15_00),
    ]


# --------------------------------------------------------------------------------------------- attainment


def test_attainment_is_of_the_last_run_and_counts_nobody_twice(acme):
    acme.run("2026-10", attainment=[(ANA, 10, 100)])
    acme.run("2026-11", attainment=[(ANA, 30, 100), (BO, 60, 100), (CY, 90, 200), (MIA, 90, 150), (VERA, 180, 350)])
    board = acme.board("2026-Q4")
    assert board.attainment.value == pytest.approx(180 / 400)
    # 53 of the 92 days of the quarter have passed.
    assert board.pace == pytest.approx(53 / 92, abs=1e-3)
    assert list(board.people["name"]) == ["Bo", "Mia", "Vera", "Cy", "Ana"]
    assert set(board.people[board.people["leads"]]["name"]) == {"Mia", "Vera"}
    assert board.people.set_index("name").loc["Bo", "pace"] == pytest.approx(0.6 * 92 / 53, abs=2e-3)
    teams = board.teams.set_index("team")["attainment"]
    assert dict(teams) == {"East": pytest.approx(0.45), "West": pytest.approx(0.45)}
    assert acme.board("2026-10").attainment.value == pytest.approx(0.1)
    assert acme.board("2026-Q4", actor=MIA).attainment.value == pytest.approx(0.45)
    # Who leads and is alone in sight is shown for what it is.
    assert acme.board("2026-Q4", actor=Actor(3, "rep", "Mia")).attainment.value == pytest.approx(0.6)


def test_a_years_attainment_adds_up_its_quarters(acme):
    acme.run("2026-08", attainment=[(ANA, 1, 100)])
    acme.run("2026-09", attainment=[(ANA, 120, 100)])
    acme.run("2026-11", attainment=[(ANA, 40, 300)])
    board = acme.board("2026")
    assert board.attainment.value == pytest.approx(160 / 400)
    assert board.pace == pytest.approx((100 + 300 * 53 / 92) / 400, abs=1e-3)


# --------------------------------------------------------------------------------------------- pipeline


def test_pipeline_is_weighted_by_stage_and_late_deals_are_counted(acme):
    acme.deal(ANA, "2026-11-30", 1000, stage=PROSPECTING)  # 10%
    acme.deal(BO, "2026-12-15", 400, stage=PROPOSAL)  # 50%
    acme.deal(CY, "2027-01-15", 7000, stage=PROPOSAL)  # next quarter
    acme.deal(CY, "2026-11-21", 50, stage=PROPOSAL)  # should have closed yesterday
    board = acme.board("2026-Q4")
    assert [tuple(row) for row in board.stages.itertuples(index=False)] == [
        ("Prospecting", 1, 1000_00, 100_00),
        ("Proposal", 2, 450_00, 225_00),
    ]
    assert (board.pipeline.value, board.weighted.value, board.open_deals) == (1450_00, 325_00, 3)
    assert board.weighted.trend[:2] == (325_00, 3500_00)
    assert (board.overdue_deals, board.overdue_amount) == (1, 50_00)
    assert list(board.top_open["name"]) == ["Deal 1", "Deal 2", "Deal 4"]
    assert acme.board("2026-Q4", actor=MIA).pipeline.value == 1400_00


def test_it_is_worked_out_anew_for_other_viewers_and_after_a_change_and_a_frame_is_ones_own(acme):
    acme.deal(ANA, "2026-11-03", 100)
    acme.deal(CY, "2026-11-03", 1000)
    month = parse_period("2026-11")
    seen = dashboard(acme.db, ADMIN, month, None, TODAY)
    seen.top_won["more"] = 1
    again = dashboard(acme.db, ADMIN, month, None, TODAY)
    assert "more" not in again.top_won
    assert [dashboard(acme.db, who, month, None, TODAY).won.value for who in (ADMIN, ANA, CY)] == [
        110000,
        10000,
        100000,
    ]
    acme.deal(ANA, "2026-11-04", 5)
    assert dashboard(acme.db, ADMIN, month, None, TODAY).won.value == 110000  # nothing was said of a change
    acme.do("UPDATE company SET data_version = data_version + 1")
    assert dashboard(acme.db, ADMIN, month, None, TODAY).won.value == 110500


def test_the_landing_goes_on_at_the_speed_so_far(acme):
    acme.run("2026-11", attainment=[(ANA, 60, 100), (BO, 30, 100), (MIA, 90, 200)])  # who leads is not counted again
    reached = acme.board("2026-Q4").reached
    assert (reached.credit, reached.quota) == (90_00, 200_00)
    assert reached.landing == pytest.approx(90 / (200 * 53 / 92), abs=1e-3)  # 53 of the quarter's 92 days are over
    assert acme.board("2026-Q4", today=date(2027, 1, 5)).reached.landing == pytest.approx(
        90 / (200 * 61 / 92), abs=1e-3
    )
    assert acme.board("2026-Q3").reached is None


def test_the_list_behind_a_bar_is_told_what_the_bar_counts(acme):
    acme.deal(ANA, "2026-11-30", 1000, stage=PROPOSAL, u4=60, u6=40)  # Cy is in West
    acme.deal(BO, "2026-11-30", 300, stage=PROPOSAL)
    acme.deal(BO, "2026-11-10", 50, stage=PROPOSAL)  # late
    gone = acme.deal(BO, "2026-11-10", 8000, stage=PROPOSAL)
    acme.do("UPDATE deals SET cancelled_on = close_date WHERE id = :id", id=gone)
    acme.deal(BO, "2027-01-10", 700, stage=PROPOSAL)
    quarter = (date(2026, 10, 1), date(2027, 1, 1))
    for actor, team in ((ADMIN, None), (ADMIN, EAST), (ADMIN, WEST), (MIA, None), (ANA, None), (CY, None)):
        board = acme.board("2026-Q4", actor, team)
        for row in board.stages.itertuples():
            said = open_counted(acme.db, actor, team, TODAY, quarter, [row.stage])
            assert said == (row.deals, row.amount)
        late = open_counted(acme.db, actor, team, TODAY, None, ())
        assert late == (board.overdue_deals, board.overdue_amount)
    assert open_counted(acme.db, ADMIN, EAST, TODAY, quarter, ["Proposal"]) == (3, 950_00)
    assert open_counted(acme.db, CY, None, TODAY, quarter, ["Proposal"]) == (1, 400_00)
