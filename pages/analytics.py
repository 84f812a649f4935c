"""Commission over time: what it comes to, what it costs, and who gets it for what."""

from app import auth, commission_view, state, widgets
from engine.services.commission import commission

actor = auth.require("analytics.view")

widgets.header("Analytics", "What commission comes to, what it costs, and who gets it for what.")
first, last = commission_view.span()
team = widgets.team_filter(actor)
found = commission(state.database(), actor, first.first_day, commission_view.until(last), team, state.today())
if found.trend.empty:
    widgets.empty(
        f"No commission from {first.first_day:%B %Y} to {last.first_day:%B %Y}",
        "The figures appear here as soon as a pay period has been calculated.",
        page="runs",
        link="Open runs",
        icon=":material/query_stats:",
    )
else:
    view = commission_view.View(found, first, last, widgets.team_name(actor, team) if team else "")
    commission_view.show(view)
