"""Refused rows as a file: the row as it came, and beside it why it was not taken and what to do."""

from collections.abc import Iterable

from engine.imports.deals import Refusal
from engine.imports.reading import Table
from engine.sheets import to_csv


def refusals_csv(table: Table, refusals: Iterable[Refusal]) -> bytes:
    """CSV with the columns of the file, after ``Line``, ``Reason`` and ``What to do``.

    Corrected, it can be uploaded again: the first three columns come in as extra fields.
    """
    headers = ("Line", "Reason", "What to do", *table.headers)
    return to_csv(
        headers,
        (
            (
                refusal.line,
                " ".join(
                    f"{reason.column}: {reason.reason}" if reason.column else reason.reason
                    for reason in refusal.reasons
                ),
                " ".join(dict.fromkeys(reason.remedy for reason in refusal.reasons)),
                *refusal.cells,
            )
            for refusal in refusals
        ),
    )
