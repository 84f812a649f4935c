"""The pipeline analysed: stages, conversion, velocity, ageing and slippage of the deals that the viewer may see."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from engine.analytics import deals
from engine.analytics import pipeline as reads
from engine.analytics.pipeline import AGES, CYCLES, GROUPS, MOVES, View
from engine.db import company
from engine.db.database import Database
from engine.periods import Period
from engine.services import access
from engine.services.access import Actor

__all__ = ["AGES", "CYCLES", "GROUPS", "MOVES", "Pipeline", "pipeline"]


@dataclass(frozen=True)
class Pipeline:
    """What the page shows, of one moment.  Money is in minor units of `currency`; frames as in `analytics.pipeline`.

    `usual`: median days in a stage, by its id.  `stages`: id, name, outcome, probability_ppm, in order.  `names`: what
    the groups of the frames are called, by `grp`.
    """

    currency: str
    stages: pd.DataFrame
    usual: dict[int, int]
    names: dict[str, str]
    open: pd.DataFrame
    decided: pd.DataFrame
    passages: pd.DataFrame
    moved: pd.DataFrame
    slipped: pd.DataFrame

    @property
    def unconverted(self) -> int:
        """Open and decided deals with an amount in a currency without an exchange rate."""
        return int(self.open["unconverted"].sum() + self.decided["unconverted"].sum())

    @property
    def foreign(self) -> int:
        """Open and decided deals in another currency."""
        return int(self.open["foreign_deals"].sum() + self.decided["foreign_deals"].sum())

    @property
    def is_empty(self) -> bool:
        """Whether there is no deal to say anything about."""
        return all(frame.empty for frame in (self.open, self.decided, self.passages, self.moved, self.slipped))


def pipeline(db: Database, actor: Actor, period: Period, team: int | None, by: str, today: date) -> Pipeline:
    """The pipeline as of `today` and what happened in it in `period`, in groups by one of `GROUPS`.

    Of the people whom `actor` may see, or of those who are in `team` today.  Needs "pipeline.view".
    """
    with db.read(actor) as conn:
        reach = access.visible_people(conn, actor, "pipeline.view", today)
        if team is not None:
            inside = deals.people_in_team(conn, team, today)
            reach = inside if reach is None else reach & inside
        view = View(None if reach is None else tuple(sorted(reach)), by, today, company.currency(conn))
        usual = reads.usual_days(conn, view)
        return Pipeline(
            view.currency,
            deals.stages(conn),
            usual,
            reads.group_names(conn, by),
            reads.open_deals(conn, view, usual),
            reads.decided(conn, view, period),
            reads.passages(conn, view, period),
            reads.moved(conn, view, period),
            reads.slipped(conn, view, period),
        )
