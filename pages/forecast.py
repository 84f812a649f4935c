"""What the coming quarters may bring: revenue and commission, three ways, and how those ways did before."""

from app import auth, forecast_backtest_view, forecast_deals_view, forecast_view, widgets

actor = auth.require("forecast.view")

widgets.header(
    "Forecast", "Estimates from the pipeline, the past and the plans. Official figures come from runs alone."
)
view = forecast_view.choose_view()
if view == "deals":
    forecast_deals_view.show(actor)
elif view == "backtest":
    forecast_backtest_view.show_backtest(actor, widgets.team_filter(actor))
else:
    ahead = forecast_view.choose_ahead()
    forecast_view.show_outlook(actor, widgets.team_filter(actor), ahead)
