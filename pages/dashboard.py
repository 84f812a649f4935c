"""How the period goes: revenue, commission, attainment, pipeline, of everyone the viewer may see; and what waits."""

from app import auth, dashboard_view, first_steps_view, needs_view, state, widgets
from engine.periods import period_of
from engine.services.dashboard import dashboard
from engine.services.first_steps import first_steps
from engine.services.needs import needs

actor = auth.require("dashboard.view")
today = state.today()

widgets.header("Dashboard")
widgets.live(actor)
period = widgets.period_filter(default=period_of("quarter", today.toordinal()).name)
team = widgets.team_filter(actor)
first_steps_view.show(first_steps(state.database(), actor))
needs_view.show(actor, needs(state.database(), actor, today))
dashboard_view.show(actor, dashboard(state.database(), actor, period, team, today), team)
