"""Who and what a file is read against: the people, the stages, and what was answered before."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from engine.imports.values import CACHED, clean, one_line


@dataclass(frozen=True)
class Person:
    """Someone who can own deals."""

    id: int
    name: str
    email: str


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline; ``outcome`` is ``"open"``, ``"won"`` or ``"lost"``."""

    id: int
    name: str
    outcome: str


@dataclass(frozen=True)
class Context:
    """What a file is read against.

    ``owner_aliases`` and ``stage_aliases`` are what a person once answered: text of the file (any case and
    spacing; ``""`` for an empty owner) -> id.  ``answers`` are answers to questions: key -> chosen value.
    ``today``: a deal won after it is noted.
    """

    currency: str  # of amounts that name none
    people: tuple[Person, ...]
    stages: tuple[Stage, ...]
    owner_aliases: Mapping[str, int] = field(default_factory=dict)
    stage_aliases: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    today: date = date.max


def owner_key(text: str) -> str:
    """The form in which owners are compared: ``Torres,  ANA`` and ``Ana Torres`` are the same."""
    plain = one_line(text).casefold()
    last, comma, first = plain.partition(",")
    return f"{first.strip()} {last.strip()}" if comma and "," not in first else plain


def stage_key(text: str) -> str:
    """The form in which stages are compared: ``Closed Won``, ``closed_won`` and ``closedwon`` are the same."""
    return "".join(letter for letter in clean(text).casefold() if letter.isalnum())


_DEFAULT_STAGES = {
    "won": {
        "closedwon", "won", "dealwon", "geschlossenundgewonnen", "geschlossengewonnen", "gewonnen",
        "abgeschlossenundgewonnen", "ferméegagnée", "fermégagné", "clôturéegagnée", "gagné", "gagnée", "cerradaganada",
        "cerradoganado", "ganado", "ganada", "cierreganado",
    },
    "lost": {
        "closedlost", "lost", "deallost", "geschlossenundverloren", "geschlossenverloren", "verloren",
        "abgeschlossenundverloren", "ferméeperdue", "ferméperdu", "clôturéeperdue", "perdu", "perdue", "cerradaperdida",
        "cerradoperdido", "perdido", "perdida", "cierreperdido",
    },
}  # fmt: skip


_LONGEST = 300  # characters of a name that are looked at
_EMAIL = re.compile(r"[^\s<>(),;]+@[^\s<>(),;]+")
_TRAILING = re.compile(r"\s*\([^()]*\)$")  # "Ana Torres (Deactivated User)", "Closed won (Sales Pipeline)"


def owner_finder(context: Context) -> Callable[[str], "int | str"]:
    """A function from a cell to a person's id, or to the reason why it is nobody's."""
    emails = {person.email.casefold(): person.id for person in context.people}
    names: dict[str, list[int]] = {}
    for person in context.people:
        names.setdefault(owner_key(person.name), []).append(person.id)
    aliases = {owner_key(text): person for text, person in context.owner_aliases.items()}

    @lru_cache(CACHED)
    def find(cell: str) -> int | str:
        text = one_line(cell)[:_LONGEST]
        keys = (owner_key(text), owner_key(_TRAILING.sub("", text)))
        for key in keys:
            if key in aliases:
                return aliases[key]
        if not text:
            return "The owner is empty."
        email = _EMAIL.search(text)
        if email and email[0].casefold() in emails:
            return emails[email[0].casefold()]
        for key in keys:
            if len(names.get(key, ())) > 1:
                return f'More than one person is called "{text}".'
            if key in names:
                return names[key][0]
        return f'Nobody here is known as "{text[:100]}".'

    return find


def stage_finder(context: Context) -> Callable[[str], "Stage | str"]:
    """A function from a cell to a stage, or to the reason why there is none."""
    by_id = {stage.id: stage for stage in context.stages}
    known = {stage_key(stage.name): stage for stage in context.stages}
    known |= {stage_key(text): by_id[stage] for text, stage in context.stage_aliases.items() if stage in by_id}
    for outcome, spellings in _DEFAULT_STAGES.items():
        # With several won stages it would be a guess which one a plain "won" is.
        ending = [stage for stage in context.stages if stage.outcome == outcome]
        if len(ending) == 1:
            known = dict.fromkeys(spellings, ending[0]) | known

    @lru_cache(CACHED)
    def find(cell: str) -> Stage | str:
        text = one_line(cell)[:_LONGEST]
        if not text:
            return "The stage is empty."
        for key in (stage_key(text), stage_key(_TRAILING.sub("", text))):
            if key in known:
                return known[key]
        return f'No stage of the pipeline is called "{text[:100]}".'

    return find
