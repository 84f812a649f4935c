"""The catalogue of pages, and who may open which.  Page names are file names in pages/ and URL paths."""

from pathlib import Path
from typing import NamedTuple

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]


class Entry(NamedTuple):
    section: str
    name: str
    title: str
    icon: str
    action: str


CATALOG = (
    Entry("Overview", "dashboard", "Dashboard", ":material/space_dashboard:", "dashboard.view"),
    Entry("Overview", "analytics", "Analytics", ":material/query_stats:", "analytics.view"),
    Entry("Overview", "forecast", "Forecast", ":material/trending_up:", "forecast.view"),
    Entry("Sales", "pipeline", "Pipeline", ":material/filter_alt:", "pipeline.view"),
    Entry("Sales", "deals", "Deals", ":material/handshake:", "deals.view"),
    Entry("Sales", "activities", "Activities", ":material/event_note:", "activities.view"),
    Entry("Sales", "stages", "Pipeline stages", ":material/view_kanban:", "stages.view"),
    Entry("Sales", "upload", "Upload deals", ":material/upload_file:", "deals.import"),
    Entry("Compensation", "plans", "Plans", ":material/account_tree:", "plans.view"),
    Entry("Compensation", "whatif", "What if", ":material/tune:", "whatif.use"),
    Entry("Compensation", "people", "People", ":material/groups:", "people.view"),
    Entry("Compensation", "quotas", "Quotas", ":material/flag:", "quotas.view"),
    Entry("Pay", "earnings", "Earnings", ":material/payments:", "earnings.view"),
    Entry("Pay", "disputes", "Disputes", ":material/forum:", "disputes.view"),
    Entry("Pay", "runs", "Runs", ":material/calculate:", "runs.view"),
    Entry("Pay", "payouts", "Payouts", ":material/account_balance:", "payouts.view"),
    Entry("System", "status", "Status", ":material/monitor_heart:", "status.view"),
    Entry("System", "audit", "Audit log", ":material/manage_search:", "audit.view"),
    Entry("System", "tokens", "API tokens", ":material/key:", "tokens.edit"),
    Entry("System", "settings", "Settings", ":material/settings:", "settings.view"),
)
HOME = CATALOG[0].name


def link(name: str, label: str = "", query: dict[str, str] | None = None) -> None:
    """A link to another page, by its name; draws nothing for a page that the viewer may not open."""
    page = st.session_state.get("pages", {}).get(name)
    if page is not None:
        st.page_link(page, label=label or page.title, icon=":material/arrow_forward:", query_params=query)


def open_page(name: str, query: dict[str, str]) -> None:
    """Go to another page, by its name; stays for a page that the viewer may not open."""
    page = st.session_state.get("pages", {}).get(name)
    if page is not None:
        st.switch_page(page, query_params=query)
