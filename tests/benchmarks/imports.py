"""A million rows of a Salesforce export, taken in against a bare COPY of the same rows into the same table."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

SEED = 20261124
_HEADERS = (
    "Opportunity ID", "Opportunity Name", "Account Name", "Opportunity Owner", "Stage", "Amount Currency", "Amount",
    "Close Date", "Created Date", "Type", "Product Name", "Probability (%)", "Fiscal Period", "Lead Source",
)  # fmt: skip
_FIRST = ("Ana", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kavya", "Liam")
_LAST = ("Torres", "Okafor", "Jensen", "Volkov", "Rossi", "Haddad", "Kim", "Martin", "Pereira", "Weber", "Nair")
_WORDS = (
    "Harbor", "Birch", "Granite", "Summit", "Cedar", "Falcon", "Lumen", "Orchard", "Pioneer", "Quartz", "Raven",
    "Sierra", "Tundra", "Umber", "Vertex", "Willow", "Zephyr", "Anchor", "Beacon", "Copper",
)  # fmt: skip
_FIELDS = ("Health", "Media", "Labs", "Freight", "Foods", "Energy", "Retail", "Systems", "Capital", "Robotics")
_FORMS = ("Group", "Ltd", "LLC", "Inc.", "GmbH", "SA")
_PRODUCTS = ("Fleet OS", "Picker Arm", "Route Planner", "Yard Cam", "Dock Scheduler")
_KINDS = ("New", "Expansion", "Renewal")
_STAGES = (
    ("Prospecting", 10), ("Qualification", 25), ("Proposal", 50), ("Negotiation", 75), ("Closed Won", 100),
    ("Closed Won", 100), ("Closed Won", 100), ("Closed Lost", 0),
)  # fmt: skip
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEOPLE = tuple(f"{first} {last}" for first in _FIRST for last in _LAST)
_START = date(2023, 1, 1)


def export_lines(rows: int) -> Iterator[str]:
    """A Salesforce report of so many rows, the same on every machine: all quoted, ids of 18 characters, US dates."""
    dice = random.Random(SEED)  # noqa: S311 - made-up deals
    yield ",".join(f'"{name}"' for name in _HEADERS) + "\n"
    for row in range(rows):
        account = f"{dice.choice(_WORDS)} {dice.choice(_FIELDS)} {dice.choice(_FORMS)}"
        product = dice.choice(_PRODUCTS)
        kind = dice.choice(_KINDS)
        stage, probability = dice.choice(_STAGES)
        closes = _START + timedelta(days=dice.randrange(1400))
        created = closes - timedelta(days=dice.randrange(20, 200))
        cents = dice.randrange(50_000, 25_000_000)
        yield (
            f'"{_opportunity_id(row)}","{account} - {product} {kind} {row}","{account}","{dice.choice(PEOPLE)}",'
            f'"{stage}","USD","{cents // 100:,}.{cents % 100:02d}","{closes.month}/{closes.day}/{closes.year}",'
            f'"{created.month}/{created.day}/{created.year}","{kind}","{product}","{probability}%",'
            f'"Q{(closes.month + 2) // 3}-{closes.year}","{dice.choice(("Web", "Partner", "Referral", "Event"))}"\n'
        )


def write_export(path: Path, rows: int) -> None:
    """`export_lines` as a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(export_lines(rows))


def _opportunity_id(number: int) -> str:
    letters = ""
    for _ in range(7):
        number, rest = divmod(number, 62)
        letters = _LETTERS[rest] + letters
    first = f"0065g000{letters}"
    return first + "".join(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[
            sum(1 << at for at, letter in enumerate(first[part : part + 5]) if "A" <= letter <= "Z")
        ]
        for part in (0, 5, 10)
    )
