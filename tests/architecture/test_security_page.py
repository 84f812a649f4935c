"""docs/security.md says who may do what as the program does."""

from pathlib import Path

from engine.services.access import PERMISSIONS, ROLES, SCOPES, Reach

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
WORDS = {Reach.NONE: "", Reach.SELF: "own", Reach.TEAM: "team", Reach.ALL: "all"}


def table() -> str:
    """The permission table as the page shows it."""
    lines = [f"| action | {' | '.join(ROLES)} | API scope |", f"|---|{'---|' * len(ROLES)}---|"]
    for action, row in PERMISSIONS.items():
        scopes = [f"`{scope}`" for scope, actions in SCOPES.items() if action in actions]
        lines.append(f"| `{action}` | {' | '.join(WORDS[row[role]] for role in ROLES)} | {', '.join(scopes)} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_permission_table() -> None:
    assert table() in PAGE.read_text(), f"put this table into {PAGE.name}:\n\n{table()}"
