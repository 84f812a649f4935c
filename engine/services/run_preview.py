"""What a run would change and why, before it is kept: everything is calculated, and nothing written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from engine.analytics import inputs, run_changes
from engine.analytics.run_changes import Pair, Said
from engine.db import pay, people
from engine.db import runs as kept_runs
from engine.db.database import Database
from engine.periods import parse_period
from engine.services import run_outcome, runs
from engine.services.access import Actor, require
from engine.services.run_outcome import NOTHING, Outcome, Part
from engine.services.run_scope import EVERYONE, Scope, resolve
from engine.workers.pool import Pool

MOST_LINES = 100_000  # more changed lines than anyone reads are counted, and not held
DRAW, WORKING = "Draw or payable later", "Working alone"


@dataclass(frozen=True)
class Preview:
    """What a run of a period for some people or everyone (`words` "") would come to.

    ``people``, those for whom anything differs, the largest difference first: user_id, code, name, currency, Int64
    cents: was, now, difference; lines (how many differ), cause.  ``lines`` as `engine.analytics.run_changes`
    describes them, with code and name; ``left_off`` more are not in it.  ``same`` counts the people of the run for whom
    nothing differs.  ``first``: the period has shown no run so far.  ``token`` is for `runs.run_period`.
    """

    period: str
    words: str
    token: str
    first: bool
    same: int
    people: pd.DataFrame
    lines: pd.DataFrame
    left_off: int = 0


def preview_run(db: Database, pool: Pool, actor: Actor, period: str, scope: Scope = EVERYONE) -> Preview:
    """What `runs.run_period` would keep, beside what the period shows.  Needs "runs.start".  Raises as it does."""
    require(actor, "runs.start")
    wanted = parse_period(period)
    with db.read(actor) as conn:  # one moment of the data throughout
        found = pay.pay_period(conn, wanted.name)
        runs.refuse_closed(found)
        chosen = resolve(conn, scope, wanted)
        loaded = inputs.load(conn, wanted)
        result = runs.calculated(db, pool, loaded, wanted)
        outcome = Outcome(wanted, loaded, result, run_outcome.before(conn, wanted), chosen.people)
        shown = None if found is None or found.run_id is None else pay.run(conn, found.run_id)
        was = {} if shown is None else kept_runs.digests(conn, shown.id)
        before = {} if shown is None else kept_runs.figures(conn, shown.id)
        digests: dict[str, bytes] = {}
        now: dict[int, bytes] = {}
        after: dict[tuple[int, str], tuple[int, ...]] = {}
        changed: list[Pair] = []
        left_off = 0
        for part in _everyone(outcome, was):
            if part.lines or part.figures:
                digests[part.code] = part.digest
            now[part.user_id] = part.digest
            after.update({(user, currency): tuple(cents) for user, currency, *cents in part.figures})
            if part.digest != was.get(part.user_id, NOTHING) or (shown is not None and not was):
                stored = [] if shown is None else list(run_changes.stored(conn, shown.id, part.user_id))
                differing = run_changes.pairs(stored, map(_said, [part.user_id] * len(part.lines), part.lines))
                room = max(0, MOST_LINES - len(changed))
                changed += differing[:room]
                left_off += len(differing) - len(differing[:room])
        since = shown.created_at if shown is not None else None
        lines = run_changes.described(conn, changed, since or pd.Timestamp.max.to_pydatetime())
        if shown is None:
            lines["cause"] = "Calculated for the first time"
        names = people.names(conn)
    code_of = {user: code for code, user in zip(loaded.book.people, loaded.user_ids.tolist(), strict=True)}
    lines = lines.assign(name=lines["user_id"].map(names), code=lines["user_id"].map(code_of))
    differing_users = [user for user, digest in now.items() if digest != was.get(user, NOTHING)]
    causes = lines.groupby("user_id")["cause"].agg(
        lambda texts: sorted({one for text in texts for one in text.split("; ")})
    )
    counts = lines.groupby("user_id").size()
    keys: dict[int, list[tuple[int, str]]] = {}
    for key in dict.fromkeys([*before, *after]):
        keys.setdefault(key[0], []).append(key)
    rows = []
    for user in differing_users:
        for key in keys.get(user) or [(user, "")]:
            then, this = before.get(key, (0, 0, 0, 0)), after.get(key, (0, 0, 0, 0))
            cause = "; ".join(causes.get(user) or [DRAW if then[1:] != this[1:] else WORKING])
            about = user, code_of[user], names[user], key[1], then[0], this[0], this[0] - then[0]
            rows.append((*about, counts.get(user, 0), cause))
    rows.sort(key=lambda row: (-abs(row[6]), row[2]))
    columns = ("user_id", "code", "name", "currency", "was", "now", "difference", "lines", "cause")
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(("was", "now", "difference"), "Int64"))
    return Preview(
        wanted.name,
        chosen.words,
        runs.token(None if shown is None else shown.id, digests),
        shown is None,
        len(now) - len(differing_users),
        frame,
        lines,
        left_off,
    )


def _everyone(outcome: Outcome, was: dict[int, bytes]) -> Iterator[Part]:
    """The parts of an outcome, and an empty one for everybody in scope who had one and has none now."""
    seen = set()
    for part in outcome.parts():
        seen.add(part.user_id)
        yield part
    for code, user_id in outcome.users.items():
        if user_id in was and user_id not in seen and outcome.wants(user_id):
            yield Part(user_id, code, (), (), ())


def _said(user_id: int, line: str) -> Said:
    """A line as it would be stored, to compare."""
    version_id, component, deal, kind, _, origin, cents, currency, working = line.split("\t")
    told = json.loads(working.replace("\\\\", "\\"))
    facts = told.get("facts")
    if facts is None:
        facts = told["lines"][0]["facts"] if told["lines"] else {}
    deal_id = None if deal == run_outcome.NULL else int(deal)
    return Said(user_id, component, deal_id, kind, origin, currency, int(cents), int(version_id), facts)
