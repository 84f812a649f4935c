"""How the period goes: revenue, commission, attainment, pipeline, of everyone the viewer may see."""

from app import auth, dashboard_view, state, widgets
from engine.periods import period_of
from engine.services.dashboard import dashboard

actor = auth.require("dashboard.view")
today = state.today()

widgets.header("Dashboard")
period = widgets.period_filter(default=period_of("quarter", today.toordinal()).name)
team = widgets.team_filter(actor)
dashboard_view.show(actor, dashboard(state.database(), actor, period, team, today))
