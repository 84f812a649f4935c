"""What a run would post for closed periods: approved then, earned now, and what the data says is the cause."""

import pandas as pd
import sqlalchemy as sa

# Each adjusted line of a run, beside the line that was last posted for the same person, component and deal.  Causes
# are what has changed between the two runs: edits of the deal are found in its history, everything else by comparing
# what the two lines keep of their working.
_CHANGES = sa.text("""
    WITH now AS MATERIALIZED (
        SELECT l.*, coalesce(l.deal_id, 0) AS deal_key, l.working #> '{lines,0,facts}' AS facts, r.created_at AS at
          FROM lines l JOIN runs r ON r.id = l.run_id WHERE l.run_id = :run AND l.kind = 'adjusted'
    ),
    posted AS (
        SELECT DISTINCT ON (now.id) now.id, l.plan_version_id, r.created_at AS at,
               coalesce(l.working -> 'facts', l.working #> '{lines,0,facts}') AS facts
          FROM now
          JOIN pay_periods p ON p.kind = (SELECT kind FROM pay_periods WHERE period = :period) AND p.status <> 'open'
          JOIN lines l ON l.run_id = p.run_id AND l.run_id < :run AND l.user_id = now.user_id
               AND l.component = now.component AND l.origin_period = now.origin_period
               AND coalesce(l.deal_id, 0) = now.deal_key
          JOIN runs r ON r.id = l.run_id
         ORDER BY now.id, l.id DESC
    ),
    since AS (
        SELECT now.id, coalesce(posted.at, r.created_at) AS at FROM now
          LEFT JOIN posted ON posted.id = now.id
          JOIN pay_periods o ON o.period = now.origin_period
          JOIN runs r ON r.id = o.run_id
    ),
    edits AS (
        SELECT now.id, array_agg(DISTINCT field.key ORDER BY field.key) AS fields,
               string_agg(DISTINCT coalesce(u.name, 'The program'), ', ') AS who, max(c.at) AS at
          FROM now JOIN since ON since.id = now.id
          JOIN deal_changes c ON c.deal_id = now.deal_id AND c.at > since.at AND c.at <= now.at
         CROSS JOIN LATERAL jsonb_object_keys(c.changes) AS field (key)
          LEFT JOIN users u ON u.id = c.user_id
         GROUP BY now.id
    )
    SELECT now.id AS line_id, now.user_id, u.code, u.name, t.name AS team, now.component, now.origin_period,
           now.deal_id, d.external_id, d.name AS deal, CAST(now.working ->> 'was' AS bigint) AS approved,
           CAST(now.working ->> 'now' AS bigint) AS earned, now.amount AS difference, now.currency,
           d.created_at > since.at AS is_late, edits.fields, edits.who, edits.at AS edited_at,
           posted.plan_version_id <> now.plan_version_id AS other_plan,
           posted.facts -> 'quota' <> now.facts -> 'quota' AS other_quota,
           posted.facts -> 'exchange' <> now.facts -> 'exchange' AS other_rate,
           posted.facts -> 'credit' <> now.facts -> 'credit' AS other_credit
      FROM now
      JOIN since ON since.id = now.id
      JOIN users u ON u.id = now.user_id
      LEFT JOIN posted ON posted.id = now.id
      LEFT JOIN edits ON edits.id = now.id
      LEFT JOIN deals d ON d.id = now.deal_id
      LEFT JOIN pay_periods o ON o.period = now.origin_period
      LEFT JOIN LATERAL (
          SELECT teams.name FROM team_members m JOIN teams ON teams.id = m.team_id
           WHERE m.user_id = now.user_id AND m.start_date < o.end_date
             AND (m.end_date IS NULL OR m.end_date >= o.end_date)
           LIMIT 1) t ON true
     ORDER BY abs(now.amount) DESC, now.id
""")

LATE, CANCELLED, EDITED = "Late deal", "Cancelled deal", "Edited deal"
QUOTA, PLAN, RATE = "Quota", "Plan version", "Exchange rate"
KNOCK_ON, CREDITED = "Other deals moved the attainment", "Team, assignment or filter"

_FLAGS = ("is_late", "other_plan", "other_quota", "other_rate", "other_credit")


def changes(conn: sa.Connection, run_id: int, period: str) -> pd.DataFrame:
    """What a run posts for closed periods, line by line, the largest first.

    Columns: line_id, user_id, code, name, team (on the closed period's last day), component, origin_period, deal_id,
    external_id, deal, Int64 cents: approved (what was posted for the line so far), earned (what it comes to now),
    difference; currency; cause (one of this module's, several joined by "; "), detail (fields edited, by whom),
    edited_at.  A kept run never changes, and so neither does its answer, unless a deal's history is deleted with it.
    """
    frame = pd.read_sql(_CHANGES, conn, params={"run": run_id, "period": period}, coerce_float=False)
    frame = frame.astype({"approved": "Int64", "earned": "Int64", "difference": "Int64", "deal_id": "Int64"})
    frame = frame.astype(dict.fromkeys(_FLAGS, "boolean")).fillna(dict.fromkeys(_FLAGS, False))
    edits = [set(fields) if isinstance(fields, list) else set() for fields in frame["fields"]]
    rows = zip(edits, *(frame[name] for name in _FLAGS), frame["approved"], frame["earned"], strict=True)
    return frame.assign(
        cause=["; ".join(causes_of(*row)) for row in rows],
        detail=[edited(fields, who) for fields, who in zip(edits, frame["who"], strict=True)],
    ).drop(columns=["fields", "who", *_FLAGS])


def causes_of(
    fields: set[str], late: bool, plan: bool, quota: bool, rate: bool, credit: bool, approved: int, earned: int
) -> list[str]:
    """Everything that the data tells of why a line has changed; what moved on its own account first."""
    cancelled = "cancelled_on" in fields
    found = [
        (LATE, late),
        (CANCELLED, cancelled and not late),
        (EDITED, bool(fields - {"created", "cancelled_on"}) and not late),
        (QUOTA, quota),
        (PLAN, plan),
        (RATE, rate),
    ]
    named = [cause for cause, holds in found if holds]
    if named:
        return named
    # Nothing about the line itself has changed: either it is credited anew, or no longer, or its place has moved.
    return [KNOCK_ON if credit or (approved and earned) else CREDITED]


def edited(fields: set[str], who: str | None) -> str:
    """Which fields of a deal were edited by whom; "" when it was only created."""
    return f"{', '.join(_field(name) for name in sorted(fields))} by {who}" if fields - {"created"} else ""


def _field(column: str) -> str:
    """``close_date`` as people call it: "close date"."""
    return {"owner_id": "owner", "stage_id": "stage", "cancelled_on": "cancellation"}.get(
        column, column.replace("_", " ")
    )


# What was posted in all for a person and closed period: by approval, and by adjustments since.
_APPROVED = sa.text("""
    SELECT l.user_id, l.origin_period, l.currency, CAST(sum(g.amount) AS bigint) AS approved
      FROM ledger g JOIN lines l ON l.id = g.line_id
     WHERE l.run_id < :run AND (l.user_id, l.origin_period) IN (SELECT user_id, origin_period FROM lines
                                             WHERE run_id = :run AND kind = 'adjusted')
     GROUP BY l.user_id, l.origin_period, l.currency
""")


def people(conn: sa.Connection, run_id: int, changed: pd.DataFrame) -> pd.DataFrame:
    """Whom the changes of a run affect: a row for each person and closed period, the largest difference first.

    Columns: user_id, code, name, team, origin_period, currency, Int64 cents: approved (all that was posted for the
    period before), earned (what it comes to now), difference; lines (how many changed), cause.
    """
    keys = ["user_id", "origin_period", "currency"]
    found = (
        changed.groupby(keys, as_index=False, sort=False)
        .agg(
            code=("code", "first"),
            name=("name", "first"),
            team=("team", "first"),
            difference=("difference", "sum"),
            lines=("line_id", "count"),
            cause=("cause", lambda causes: "; ".join(sorted({each for cause in causes for each in cause.split("; ")}))),
        )
        .merge(pd.read_sql(_APPROVED, conn, params={"run": run_id}), on=keys, how="left")
    )
    approved = found["approved"].astype("Int64").fillna(0)
    found = found.assign(approved=approved, earned=approved + found["difference"])
    return found.sort_values("difference", key=lambda cents: cents.abs(), ascending=False, ignore_index=True)
