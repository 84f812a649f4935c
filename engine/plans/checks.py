"""Checks of rows against plans that the calculation cannot make, because it would not notice."""

from collections.abc import Iterable, Mapping, Sequence

from engine.calc.model import MICRO, MONEY_MEASURES, Component, Plan, QuotaRow
from engine.errors import Problem, QuotaPathError
from engine.money import currency_digits
from engine.periods import parse_period


def check_quotas(plans: Mapping[str, Sequence[Plan]], quotas: Iterable[tuple[str, QuotaRow]]) -> list[Problem]:
    """What is wrong with quota rows, each with its path: a component or period that no plan has, a quota
    of 0 or less, one finer than the currency, the same one twice.

    Paths are those of rows (``quota[0]``, with ``.amount`` and so on inside) or of single figures
    (``person[0].quota.nb``).
    """
    problems: list[Problem] = []
    components: dict[str, list[tuple[Component, str]]] = {}
    for versions in plans.values():
        for plan in versions:
            for component in plan.components:
                components.setdefault(component.id, []).append((component, plan.currency))
    every = [entry for entries in components.values() for entry in entries]
    seen: set[tuple[str, str | None, str | None]] = set()
    for path, row in quotas:
        a_row = path.startswith("quota[")
        amount_path = f"{path}.amount" if a_row else path
        if row.amount <= 0:
            problems.append(Problem(amount_path, "A quota of 0 or less is none.", "Write a quota above 0."))
        applies_to = every if row.component is None else components.get(row.component, [])
        if not applies_to:
            if row.component is not None:
                problems.append(
                    Problem(
                        f"{path}.component" if a_row else path,
                        f'No plan has a component "{row.component}".',
                        f"Write one of: {', '.join(sorted(components))}.",
                    )
                )
            continue
        for component, currency in applies_to:
            if component.measure in MONEY_MEASURES and row.amount % (MICRO // 10 ** currency_digits(currency)):
                problems.append(
                    Problem(amount_path, f"The quota is finer than {currency} has.", "Round it to the currency's unit.")
                )
                break
        if row.period is not None:
            problems += _check_period(path, row.period, [component for component, _ in applies_to])
        key = (row.person, row.component, row.period)
        if key in seen:
            problems.append(
                Problem(path, f"{row.person} has this quota twice.", "Keep one row for a person, component and period.")
            )
        seen.add(key)
    return problems


def _check_period(path: str, name: str, components: Sequence[Component]) -> list[Problem]:
    try:
        kind = parse_period(name).kind
    except QuotaPathError as error:
        return [Problem(f"{path}.period", str(error))]
    kinds = sorted({component.quota_period for component in components})
    if kind in kinds:
        return []
    return [
        Problem(
            f"{path}.period",
            f"{name} is a {kind}; the quota is set for each {' or '.join(kinds)}.",
            f"Name a {' or '.join(kinds)}.",
        )
    ]


def check_one_currency(plans: Mapping[str, Sequence[Plan]]) -> list[Problem]:
    """Plans whose currency is not the first plan's; paths are ``plans_doc.<name>.currency``."""
    first = next((versions[0].currency for versions in plans.values() if versions), "")
    return [
        Problem(
            f"plans_doc.{name}.currency",
            f"The plan pays in {versions[0].currency}, the first one in {first}.",
            f'Write currency = "{first}"; people paid in another currency are calculated apart.',
        )
        for name, versions in plans.items()
        if versions and versions[0].currency != first
    ]
