"""Figures of a period as the API says them."""

from pydantic import BaseModel

from app import state
from engine.periods import Period, parse_period, period_of
from engine.services import dashboard


class Figure(BaseModel):
    """A number now, in the period before (null: there is none), and over the last periods, the oldest first."""

    value: float | None
    before: float | None
    trend: list[float]


def figure(found: dashboard.Figure) -> Figure:
    """The same, as it is sent."""
    return Figure(value=found.value, before=found.before, trend=list(found.trend))


def span(name: str | None) -> Period:
    """The period of that name; without one this month.  Raises QuotaPathError."""
    return parse_period(name) if name else period_of("month", state.today().toordinal())
