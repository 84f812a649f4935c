"""Who and what the small files are read against."""

import pytest

from engine.imports.known import Context, Person, Stage

PEOPLE = (
    Person(1, "Ana Torres", "ana.torres@northwind.example"),
    Person(2, "Ben Okafor", "ben.okafor@northwind.example"),
    Person(3, "Jürgen Groß", "juergen.gross@northwind.example"),
    Person(4, "Sam Lee", "sam.lee@northwind.example"),
    Person(5, "Sam Lee", "sam.lee.2@northwind.example"),
)
STAGES = (
    Stage(1, "Prospecting", "open"),
    Stage(2, "Qualification", "open"),
    Stage(3, "Proposal", "open"),
    Stage(4, "Negotiation", "open"),
    Stage(5, "Closed Won", "won"),
    Stage(6, "Closed Lost", "lost"),
)


@pytest.fixture
def context():
    return Context("USD", PEOPLE, STAGES)
