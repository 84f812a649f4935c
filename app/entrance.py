"""What one sees before being signed in: the first start, and the sign-in form."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import streamlit as st
from streamlit_authenticator import Authenticate
from streamlit_authenticator.controllers import AuthenticationController

from app import state, widgets
from app.navigation import ROOT
from engine.db.database import Database
from engine.errors import QuotaPathError
from engine.services import demo, setup, sign_in
from engine.services.setup import FirstAdmin
from engine.services.sign_in import SignInRefused

LINK = "welcome"  # the query parameter of a link to choose a password
CURRENCIES = ("USD", "EUR", "GBP", "CAD", "AUD", "NZD", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "INR", "SGD", "JPY")


def draw() -> None:
    """The form that fits: first start while there is no user, a password over a link, else sign-in."""
    _, middle, _ = st.columns([1, 1.2, 1])
    with middle:
        st.space("medium")
        st.image(str(ROOT / "app" / "static" / "logo.svg"), width=220)
        if setup.is_empty(state.database()):
            _first_start(state.database())
        elif secret := st.query_params.get(LINK):
            _choose_password(state.database(), secret)
        else:
            _sign_in(state.database())


def _let_in(user_id: int) -> None:
    """Send the browser through the route that sets the session cookie; it comes back to the same page."""
    ticket = sign_in.open_ticket(state.database(), user_id)
    st.html(f'<script src="/assets/session.js" data-ticket="{ticket}"></script>', unsafe_allow_javascript=True)


# ---------------------------------------------------------------- sign-in
class _NoCookie:
    """streamlit-authenticator's own cookie, switched off: a script could read it, and no one could revoke it."""

    def get_cookie(self) -> None:
        """There is never one."""

    def set_cookie(self) -> None:
        """Nothing is set."""


class _Form(Authenticate):
    """streamlit-authenticator's form; the password is checked by our service, with its lock-out."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.attrs = {"login_sleep_time": 0}
        self.path = None
        self.cookie_controller = _NoCookie()
        self.authentication_controller = AuthenticationController({"usernames": {}}, auto_hash=False)
        self.authentication_controller.authentication_model.check_credentials = self._check
        self.refusal: str | None = None
        self.user_id: int | None = None

    def _check(self, email: str, password: str) -> bool:
        try:
            self.user_id = sign_in.check_password(self._db, email, password, st.context.ip_address)
        except SignInRefused as refusal:
            self.refusal = str(refusal)
            return False
        # What the library wants to know of a user who may enter.
        users: dict[str, Any] = self.authentication_controller.authentication_model.credentials["usernames"]
        users[email] = {"email": email, "name": email}
        return True


def _sign_in(db: Database) -> None:
    # Its memory of an earlier sign-in is not ours: only the cookie says who is there.
    st.session_state["authentication_status"] = None
    company = setup.company(db)
    if company is not None:
        st.markdown(f"#### {widgets.plain(company.name)}")
    form = _Form(db)
    with st.container(key="sign_in_card"):
        form.login(
            fields={"Form name": "Sign in", "Username": "E-mail", "Password": "Password", "Login": "Sign in"},
            key="sign_in",
        )
    if form.user_id is not None:
        _let_in(form.user_id)
    elif form.refusal:
        st.error(form.refusal, icon=":material/lock:")
    elif st.session_state.get("FormSubmitter:sign_in-Sign in"):  # the library says nothing of an empty form
        st.error("Give both your e-mail and your password.", icon=":material/lock:")
    _demo_accounts(db)


def _choose_password(db: Database, secret: str) -> None:
    """For a new person, or one who forgot: whoever has the link chooses the password, once."""
    person = sign_in.link_person(db, secret)
    if person is None:
        st.subheader("This link is worth nothing any more", anchor=False)
        st.markdown("It was used, a newer one took its place, or it is too old. Ask an admin for a new one.")
        st.link_button("Sign in", "/")
        return
    st.subheader(f"Welcome, {widgets.plain(person.name)}", anchor=False)
    st.markdown(f"Choose the password for {widgets.plain(person.email)}.")
    with st.form("choose_password"):
        password, again = new_password_fields()
        sent = st.form_submit_button("Save and sign in", type="primary", width="stretch")
    if sent:
        try:
            _let_in(sign_in.choose_password(db, secret, password, again))
        except QuotaPathError as error:
            widgets.show_problems(error)


def new_password_fields() -> tuple[str, str]:
    """The two fields of a new password."""
    help_text = f"At least {sign_in.SHORTEST} characters that are not easy to guess. A few unrelated words are best."
    password = st.text_input("New password", type="password", autocomplete="new-password", help=help_text)
    return password, st.text_input("New password again", type="password", autocomplete="new-password")


# ---------------------------------------------------------------- first start
def _first_start(db: Database) -> None:
    st.subheader("Welcome. Let us set up your company", anchor=False)
    own, demo = st.tabs(["Start with my company", "Look at a demo company"])
    with own:
        _first_admin(db)
    with demo:
        _demo(db)


def _first_admin(db: Database) -> None:
    with st.form("first_admin", border=False):
        left, right = st.columns([3, 1])
        company = left.text_input("Company name", max_chars=200)
        currency = right.selectbox("Currency", CURRENCIES, accept_new_options=True)
        name = st.text_input("Your name", max_chars=200)
        email = st.text_input("E-mail", max_chars=254)
        first, second = st.columns(2)
        password = first.text_input("Password", type="password", help="At least 10 characters.")
        again = second.text_input("Password again", type="password")
        sent = st.form_submit_button("Create the company", type="primary", width="stretch")
    if sent:
        try:
            _let_in(
                setup.create_first_admin(
                    db, FirstAdmin(company, (currency or "").upper(), name, email, password, again)
                )
            )
        except QuotaPathError as error:
            widgets.show_problems(error)


def _demo(db: Database) -> None:
    st.markdown(
        "Four teams, 24 reps, 18 months of deals with plans, quotas and a paid quarter. "
        "It is made up, and stays on this machine."
    )
    if not st.button("Load the demo company", type="primary", width="stretch"):
        return
    bar = st.progress(0.0, "Starting")
    now = (0, 1, "Starting")

    def report(done: int, total: int, message: str) -> None:
        nonlocal now
        now = (done, total, message)

    # In a thread of its own: a visitor who leaves must not leave half a company behind.
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(demo.load_demo, db, state.pool(), state.today(), report)
        while not loading.done():
            done, total, message = now
            bar.progress(done / total, message)
            time.sleep(0.2)
    try:
        loading.result()
    except QuotaPathError as error:
        widgets.show_problems(error)
    else:
        st.rerun()


def _demo_accounts(db: Database) -> None:
    accounts = setup.demo_accounts(db)
    if not accounts:
        return
    with st.container(border=True):
        st.markdown(f"**This is the demo company.** Everyone's password is `{demo.PASSWORD}`. Look around as")
        for (role, name, email), place in zip(accounts, st.columns(len(accounts)), strict=True):
            if place.button(role.capitalize(), help=f"{name}, {email}", width="stretch", key=f"demo_{role}"):
                try:
                    _let_in(sign_in.check_password(db, email, demo.PASSWORD))
                except SignInRefused as refusal:
                    st.error(str(refusal), icon=":material/lock:")
