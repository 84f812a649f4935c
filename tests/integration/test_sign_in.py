"""Passwords, the lock-out, tickets, sessions and the first start, on a real database."""

import re
import threading
from collections.abc import Iterator

import bcrypt
import pytest
import sqlalchemy as sa

from engine.db.database import Database
from engine.errors import ProblemsError
from engine.services import setup, sign_in
from engine.services.setup import AlreadySetUp, FirstAdmin
from engine.services.sign_in import SignInRefused

EMAIL, PASSWORD = "ann@example.com", "correct horse"
FORM = FirstAdmin("Acme", "USD", "Ann Admin", EMAIL, PASSWORD, PASSWORD)


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sign_in, "ROUNDS", 9)
    sign_in._nobodys_hash.cache_clear()
    yield
    sign_in._nobodys_hash.cache_clear()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def ann(db: Database) -> int:
    return setup.create_first_admin(db, FORM)


def change(db: Database, statement: str, **values: object) -> None:
    with db.write() as conn:
        conn.execute(sa.text(statement), values)


def refusal(db: Database, email: str, password: str = "wrong password") -> SignInRefused:
    with pytest.raises(SignInRefused) as caught:
        sign_in.check_password(db, email, password)
    return caught.value


# ---------------------------------------------------------------- passwords
@pytest.mark.parametrize("email", [EMAIL, "  ANN@Example.com "])
def test_right_password(db: Database, ann: int, email: str) -> None:
    assert sign_in.check_password(db, email, PASSWORD) == ann
    assert sign_in.check_password(db, email, f" {PASSWORD} ") == ann  # the form strips, so everyone does


@pytest.mark.parametrize(
    ("password", "wrong"),
    [
        ("short", "5 characters"),
        (" " * 20, "0 characters"),
        ("x" * 73, "73 bytes"),
        ("é" * 37, "74 bytes"),
        ("correct\0horse", "cannot be typed"),
    ],
)
def test_new_password_that_cannot_be_used(password: str, wrong: str) -> None:
    assert wrong in str(sign_in.password_problems(password)[0])


@pytest.mark.parametrize("password", ["kiwi-tuba-9", "anvil kiosk " * 6, "übergröße çédille " * 3])
def test_new_password_at_the_limits(password: str) -> None:
    assert sign_in.password_problems(password) == []
    assert sign_in.hash_password(password).startswith("$2b$")


@pytest.mark.parametrize(
    ("password", "about"),
    [
        ("password123", ()),
        ("1234567890", ()),
        ("qwertyuiop", ()),
        ("aaaaaaaaaaaa", ()),
        ("quotapath1", ()),
        ("torres2026", ("Ana Torres", "ana@acme.test")),
        ("ana@acme.test", ("Ana Torres", "ana@acme.test")),
    ],
)
def test_new_password_that_is_easy_to_guess(password: str, about: tuple[str, ...]) -> None:
    (problem,) = sign_in.password_problems(password, about)
    assert "easy to guess" in problem.message


def test_an_overlong_or_odd_password_is_only_wrong(db: Database, ann: int) -> None:
    for password in (PASSWORD + "x" * 80, "\0" + PASSWORD, "\ud800"):
        refusal(db, EMAIL, password)


def test_disabled_person_is_refused_like_a_stranger(db: Database, ann: int) -> None:
    change(db, "UPDATE users SET is_active = false")
    assert str(refusal(db, EMAIL, PASSWORD)) == str(refusal(db, "nobody@example.com", PASSWORD))


def test_person_without_a_password_is_refused(db: Database, ann: int) -> None:
    change(db, "UPDATE users SET password_hash = NULL")
    refusal(db, EMAIL, "")


# ---------------------------------------------------------------- lock-out
def test_lock_out_and_its_growth(db: Database, ann: int) -> None:
    for left in (4, 3, 2, 1):
        assert f"{left} more" in str(refusal(db, EMAIL))
    pauses = []
    for _ in range(6):
        refused = refusal(db, EMAIL)
        pauses.append(refused.retry_after)
        # While it lasts, even the right password is refused, and does not count.
        assert "Too many wrong passwords" in str(refusal(db, EMAIL, PASSWORD))
        change(db, "UPDATE sign_in_failures SET locked_until = now() - interval '1 second'")
    assert pauses == [60, 120, 240, 480, 900, 900]
    assert sign_in.check_password(db, EMAIL, PASSWORD) == ann
    assert "4 more" in str(refusal(db, EMAIL))  # the count began anew


def test_wrong_passwords_are_forgotten_after_a_day(db: Database, ann: int) -> None:
    for _ in range(4):
        refusal(db, EMAIL)
    change(db, "UPDATE sign_in_failures SET last_at = now() - interval '25 hours'")
    assert "4 more" in str(refusal(db, EMAIL))


def test_guesses_in_parallel_count_one_by_one(db: Database, ann: int) -> None:
    texts = []

    def guess() -> None:
        texts.append(str(refusal(db, EMAIL)))

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("not right" in text for text in texts) == 5
    assert sum("Too many" in text for text in texts) == 7


def test_many_wrong_passwords_from_one_address(db: Database, ann: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many e-mails tried from one place: it has to wait, others do not; and a right password is no guess."""
    monkeypatch.setattr(sign_in, "BY_ADDRESS", sign_in.BY_ADDRESS._replace(allowed=4))
    for number in range(2):
        with pytest.raises(SignInRefused, match="not right"):
            sign_in.check_password(db, f"{number}@example.com", "wrong password", "192.0.2.1")
        assert sign_in.check_password(db, EMAIL, PASSWORD, "192.0.2.1") == ann
    for number in range(2, 4):
        with pytest.raises(SignInRefused, match="not right"):
            sign_in.check_password(db, f"{number}@example.com", "wrong password", "192.0.2.1")
    with pytest.raises(SignInRefused, match="from your network") as caught:
        sign_in.check_password(db, EMAIL, PASSWORD, "192.0.2.1")
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    assert sign_in.check_password(db, EMAIL, PASSWORD, "192.0.2.2") == ann
    change(db, "UPDATE sign_in_failures SET locked_until = NULL, last_at = now() - interval '61 minutes'")
    assert sign_in.check_password(db, EMAIL, PASSWORD, "192.0.2.1") == ann


# ---------------------------------------------------------------- links and one's own password
def link(db: Database, user_id: int) -> str:
    with db.write() as conn:
        return sign_in.give_link(conn, user_id)


def test_a_link_is_good_once_and_ends_all_sessions(db: Database, ann: int) -> None:
    before = sign_in.open_session(db, ann).token
    first, second = link(db, ann), link(db, ann)
    assert sign_in.link_person(db, first) is None  # the second took its place
    person = sign_in.link_person(db, second)
    assert person is not None
    assert person.user_id == ann
    for poor, again, path in (("short", "short", "password"), (PASSWORD, "other", "password again")):
        with pytest.raises(ProblemsError) as caught:
            sign_in.choose_password(db, second, poor, again)
        assert [problem.path for problem in caught.value.problems][-1] == path
    refusal(db, EMAIL)
    assert sign_in.choose_password(db, second, "herring umbrella", "herring umbrella") == ann
    assert sign_in.session_actor(db, before) is None
    with pytest.raises(SignInRefused, match="used already"):
        sign_in.choose_password(db, second, "walnut telescope", "walnut telescope")
    assert sign_in.check_password(db, EMAIL, "herring umbrella") == ann


@pytest.mark.parametrize(
    "late",
    [
        "UPDATE sign_in_links SET expires_at = now()",
        "UPDATE users SET is_active = false",
        "UPDATE users SET left_on = current_date",
        "DELETE FROM sign_in_links",
    ],
)
def test_a_link_that_is_worth_nothing(db: Database, ann: int, late: str) -> None:
    secret = link(db, ann)
    change(db, late)
    assert sign_in.link_person(db, secret) is None
    with pytest.raises(SignInRefused):
        sign_in.choose_password(db, secret, "herring umbrella", "herring umbrella")
    change(db, "UPDATE users SET is_active = true, left_on = NULL")
    assert sign_in.check_password(db, EMAIL, PASSWORD) == ann


def test_two_use_one_link_at_once(db: Database, ann: int) -> None:
    secret, won = link(db, ann), []

    def choose(password: str) -> None:
        try:
            sign_in.choose_password(db, secret, password, password)
            won.append(password)
        except SignInRefused:
            pass

    chosen = ["herring umbrella", "walnut telescope", "pepper gondola"]
    threads = [threading.Thread(target=choose, args=(password,)) for password in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert sign_in.check_password(db, EMAIL, won[0]) == ann


def test_changing_ones_own_password(db: Database, ann: int) -> None:
    here, elsewhere = sign_in.open_session(db, ann).token, sign_in.open_session(db, ann).token
    actor = sign_in.session_actor(db, here)
    assert actor is not None
    with pytest.raises(SignInRefused, match="4 more"):  # it counts: an open browser is no place for guesses
        sign_in.change_password(db, actor, here, "wrong password", "herring umbrella", "herring umbrella")
    with pytest.raises(ProblemsError, match="easy to guess"):
        sign_in.change_password(db, actor, here, PASSWORD, "ann@example.com", "ann@example.com")
    sign_in.change_password(db, actor, here, PASSWORD, "herring umbrella", "herring umbrella")
    assert sign_in.session_actor(db, here) == actor
    assert sign_in.session_actor(db, elsewhere) is None
    assert sign_in.check_password(db, EMAIL, "herring umbrella") == ann


def test_stranger_gets_the_same_answers(db: Database, ann: int) -> None:
    def answers(email: str) -> list[str]:
        # How many seconds are left depends on how long the answers before took.
        return [re.sub(r"\d+ seconds", "some seconds", str(refusal(db, email))) for _ in range(6)]

    assert answers(EMAIL) == answers("nobody@example.com")


def test_stranger_costs_the_same_work(db: Database, ann: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bcrypt check of the same cost, whether or not anyone has the e-mail."""
    checked: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        checked.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    refusal(db, EMAIL)
    refusal(db, "nobody@example.com")
    known, unknown = checked
    assert known != unknown
    assert known[:7] == unknown[:7] == b"$2b$%02d$" % sign_in.ROUNDS


# ---------------------------------------------------------------- tickets and sessions
def test_ticket_is_good_once(db: Database, ann: int) -> None:
    ticket = sign_in.open_ticket(db, ann)
    session = sign_in.redeem_ticket(db, ticket)
    actor = sign_in.session_actor(db, session.token)
    assert actor is not None
    assert (actor.user_id, actor.role, actor.name, actor.email) == (ann, "admin", "Ann Admin", EMAIL)
    with pytest.raises(SignInRefused):
        sign_in.redeem_ticket(db, ticket)


def test_old_or_invented_ticket(db: Database, ann: int) -> None:
    ticket = sign_in.open_ticket(db, ann)
    change(db, "UPDATE sign_in_tickets SET expires_at = now() - interval '1 second'")
    for each in (ticket, "invented", ""):
        with pytest.raises(SignInRefused):
            sign_in.redeem_ticket(db, each)


def test_secrets_are_not_in_the_database(db: Database, ann: int) -> None:
    secrets = [sign_in.open_ticket(db, ann), sign_in.open_session(db, ann).token, PASSWORD]
    with db.read() as conn:
        for table in ("users", "user_sessions", "sign_in_tickets", "audit"):
            kept = str(conn.execute(sa.text(f"SELECT t::text FROM {table} t")).all())
            assert not [secret for secret in secrets if secret in kept]


def test_signed_out_token_is_worthless_wherever_it_is(db: Database, ann: int) -> None:
    stolen = sign_in.open_session(db, ann).token
    other = sign_in.open_session(db, ann).token
    sign_in.end_session(db, stolen)
    assert sign_in.session_actor(db, stolen) is None
    assert sign_in.session_actor(db, other) is not None  # another browser stays


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE user_sessions SET created_at = now() - interval '9 days', expires_at = now() - interval '1 second'",
        "UPDATE user_sessions SET seen_at = now() - interval '12 hours 1 second'",
        "UPDATE users SET is_active = false",
        "DELETE FROM user_sessions",
    ],
)
def test_session_ends(db: Database, ann: int, statement: str) -> None:
    token = sign_in.open_session(db, ann).token
    assert sign_in.session_actor(db, token) is not None
    change(db, statement)
    assert sign_in.session_actor(db, token) is None


@pytest.mark.parametrize("token", [None, "", "invented", "\0", "é"])
def test_no_session(db: Database, token: str | None) -> None:
    assert sign_in.session_actor(db, token) is None


def test_use_keeps_a_session_alive(db: Database, ann: int) -> None:
    token = sign_in.open_session(db, ann).token
    change(db, "UPDATE user_sessions SET seen_at = now() - interval '11 hours'")
    assert sign_in.session_actor(db, token) is not None
    change(db, "UPDATE user_sessions SET seen_at = seen_at - interval '11 hours'")
    assert sign_in.session_actor(db, token) is not None


def test_end_sessions_ends_all_of_a_person_and_says_why(db: Database, ann: int) -> None:
    tokens = [sign_in.open_session(db, ann).token for _ in range(2)]
    ticket = sign_in.open_ticket(db, ann)
    with db.write() as conn:
        assert sign_in.end_sessions(conn, ann, "role changed") == 2
    assert [sign_in.session_actor(db, token) for token in tokens] == [None, None]
    with pytest.raises(SignInRefused):
        sign_in.redeem_ticket(db, ticket)
    with db.read() as conn:
        assert set(conn.scalars(sa.text("SELECT ended_because FROM user_sessions"))) == {"role changed"}


def test_role_is_the_one_of_now(db: Database, ann: int) -> None:
    token = sign_in.open_session(db, ann).token
    change(db, "UPDATE users SET role = 'rep'")
    actor = sign_in.session_actor(db, token)
    assert actor is not None
    assert actor.role == "rep"


# ---------------------------------------------------------------- first start
def test_first_start(db: Database) -> None:
    assert setup.is_empty(db)
    assert setup.company(db) is None
    setup.create_first_admin(db, FORM)
    assert not setup.is_empty(db)
    assert setup.company(db) == ("Acme", "USD", False)
    assert setup.demo_accounts(db) == []
    with pytest.raises(AlreadySetUp):
        setup.create_first_admin(db, FORM)


def test_two_first_starts_at_once_one_wins(db: Database) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(4)

    def start(number: int) -> None:
        form = FirstAdmin(f"Acme {number}", "USD", "Ann", f"ann{number}@example.com", PASSWORD, PASSWORD)
        together.wait()
        try:
            setup.create_first_admin(db, form)
            outcomes.append("won")
        except AlreadySetUp:
            outcomes.append("late")

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["late", "late", "late", "won"]
    with db.read() as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM users")) == 1


def test_every_problem_of_the_form_at_once(db: Database) -> None:
    with pytest.raises(ProblemsError) as caught:
        setup.create_first_admin(db, FirstAdmin(" ", "dollars", "", "ann", "short", "other"))
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["company name", "your name", "currency", "e-mail", "password", "password again"]
    assert setup.is_empty(db)
