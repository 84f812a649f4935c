"""What holds for every company: the real rules agree with the second opinion, and lines behave as they should."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from random import Random
from shutil import which

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.calc.calculate import Desk, calculate, combine
from engine.calc.explain import explain
from engine.calc.model import Component, Deal, Number, Plan, Point, Step
from engine.calc.result import Result
from engine.money import split_largest_remainder
from engine.periods import period_of
from engine.workers.pool import Pool
from tests.properties.agree import compare, figures_of_result
from tests.properties.conftest import FUZZ
from tests.properties.naive import rounded
from tests.properties.strategies import CENTS, Rows, companies, smallest

PPM = 1_000_000
some = settings(max_examples=FUZZ // 10 or 200)


def test_the_second_opinion_agrees() -> None:
    """To the cent: lines, attainment, pay, draws, payments."""

    @given(companies(faulty=True))
    def agrees(rows: Rows) -> None:
        if compare(rows.model, calculate(rows.book)):
            rows = smallest(rows, lambda fewer: bool(compare(fewer.model, calculate(fewer.book))))
            found = "\n".join(compare(rows.model, calculate(rows.book)))
            pytest.fail(f"{found}\n{rows!r}", pytrace=False)

    agrees()


# --- lines add up ----------------------------------------------------------------------------------


def changed(rows: Rows, change: Callable[[Component], Component]) -> Rows:
    """The company with its components changed."""
    plans = {
        name: tuple(replace(plan, components=tuple(map(change, plan.components))) for plan in versions)
        for name, versions in rows.plans.items()
    }
    return replace(rows, plans=plans)


def unlimited(rule: Component) -> Component:
    return replace(rule, per_deal_min=None, per_deal_max=None, cap=None)


def earned(result: Result) -> Iterator[tuple[tuple[str, str, str, str], str, int]]:
    """((person, plan, component, quota period), deal, cents) of the earned lines."""
    for line in result.lines():
        if line.kind == "earned":
            rule = next(each for each in result.plan(line).components if each.id == line.component)
            period = period_of(rule.quota_period, line.day).name
            yield (line.person, line.plan, line.component, period), line.deal, line.cents


@some
@given(companies())
def test_lines_add_up_to_the_rounded_running_total(rows: Rows) -> None:
    rows = replace(changed(rows, unlimited), plans=_one_rounding(changed(rows, unlimited)))
    sums: dict[tuple[str, str, str, str], int] = {}
    for key, _, cents in earned(calculate(rows.book)):
        sums[key] = sums.get(key, 0) + cents
    for key, total in rows.model.outcome().totals.items():
        assert sums.get(key, 0) == rounded(total, rows.plans[key[1]][0].rounding), key


def _one_rounding(rows: Rows) -> dict[str, tuple[Plan, ...]]:
    return {
        name: tuple(replace(plan, rounding=versions[0].rounding) for plan in versions)
        for name, versions in rows.plans.items()
    }


# --- refunds ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.lists(st.integers(0, PPM), min_size=1, max_size=5))
def test_a_refund_is_split_like_the_sale(cents: int, shares: list[int]) -> None:
    assert split_largest_remainder(-cents, shares) == [-part for part in split_largest_remainder(cents, shares)]
    assert sum(split_largest_remainder(cents, shares)) == rounded(Fraction(cents * sum(shares), PPM))


def _blind(rule: Component) -> Component:
    """Takes every deal, sees no difference between a sale and its refund, and pays nothing for nothing."""
    return replace(
        rule,
        when=(),
        multipliers=(),
        per_deal_min=None,
        per_deal_max=None,
        points=tuple(Point(point.at, point.pays if point.at else 0) for point in rule.points),
        steps=tuple(Step(step.at or 1, step.pays) for step in rule.steps),
    )


@some
@given(companies(), st.data())
def test_a_full_refund_reverses_every_share(rows: Rows, data: st.DataObject) -> None:
    rows = changed(rows, _blind)
    if any(len(versions) > 1 for versions in rows.plans.values()):
        rows = changed(rows, unlimited)  # the first deal of a version with a lower cap gives back what is above it
    sold = replace(data.draw(st.sampled_from(rows.deals)), id="D3 sold", cancelled=None, currency=None)
    turned = {name: Number(-value.micro) if isinstance(value, Number) else value for name, value in sold.fields.items()}
    refund = replace(sold, id="D3 taken back", amount=-(sold.amount or 0), margin=-(sold.margin or 0), fields=turned)
    assume(sold.amount)  # a deal of 0 has no sign that a refund could turn

    before = calculate(rows.book)
    after = calculate(replace(rows, deals=(*rows.deals, sold, refund)).book)
    sums: dict[tuple[str, ...], int] = {}
    for line in after.lines():
        key = (line.person, line.plan, line.component)
        if line.deal in (sold.id, refund.id):
            sums[key] = sums.get(key, 0) + line.cents
    assert set(sums.values()) <= {0}
    untouched = {
        key: cents for key, cents in figures_of_result(after).lines.items() if key[3] not in (sold.id, refund.id)
    }
    assert untouched == figures_of_result(before).lines


# --- more sales ------------------------------------------------------------------------------------


def _slices(rule: Component) -> Component:
    return replace(rule, tiers=tuple(replace(tier, applies="slice") for tier in rule.tiers))


@some
@given(companies(), st.data())
def test_selling_more_never_pays_less_under_slices(rows: Rows, data: st.DataObject) -> None:
    """In one version, without clawbacks: the next version, or what is taken back, may pay a slice at another rate."""
    plan = changed(rows, _slices).plans["rep"][0]
    rules = tuple(rule for rule in plan.components if rule.kind == "quota" and rule.measure == rule.pays_on == "amount")
    assume(rules)
    known = {rule.id for rule in rules}
    rules = tuple(
        rule if rule.gate is None or rule.gate.component in known else replace(rule, gate=None) for rule in rules
    )
    rows = replace(
        rows,
        plans={name: (replace(plan, name=name, components=rules, clawback=None),) for name in rows.plans},
    )
    sold = data.draw(st.sampled_from(rows.deals))
    more = replace(sold, id="D3 more", amount=data.draw(st.sampled_from(CENTS)), cancelled=None)
    with_more = calculate(replace(rows, deals=(*rows.deals, more)).book)
    before, after = by_person(calculate(rows.book)), by_person(with_more)
    for person, cents in before.items():
        assert after.get(person, 0) >= cents, person


def by_person(result: Result) -> dict[str, int]:
    totals: dict[str, int] = {}
    for line in result.lines():
        totals[line.person] = totals.get(line.person, 0) + line.cents
    return totals


# --- the way in and out ----------------------------------------------------------------------------


@some
@given(companies(), st.randoms(use_true_random=True))
def test_the_order_of_rows_does_not_matter(rows: Rows, random: Random) -> None:
    def shuffled(values: tuple) -> tuple:
        return tuple(random.sample(values, len(values)))

    mixed = replace(
        rows,
        plans={name: shuffled(rows.plans[name]) for name in shuffled(tuple(rows.plans))},
        deals=tuple(_mixed(deal, shuffled) for deal in shuffled(rows.deals)),
        assignments=shuffled(rows.assignments),
        quotas=shuffled(rows.quotas),
        rates=shuffled(rows.rates),
    )
    assert figures_of_result(calculate(mixed.book)) == figures_of_result(calculate(rows.book))


def _mixed(deal: Deal, shuffled: Callable[[tuple], tuple]) -> Deal:
    return replace(deal, credits=shuffled(deal.credits), invoices=shuffled(deal.invoices))


@some
@given(companies(), st.data())
def test_people_may_be_calculated_apart(rows: Rows, data: st.DataObject) -> None:
    book = rows.book
    people = range(len(book.people))
    cuts = sorted(data.draw(st.sets(st.sampled_from(people))) | {0, len(people)})
    desk = Desk(book) if data.draw(st.booleans()) else None
    shards = [range(start, end) for start, end in pairwise(cuts)]
    parts = {shard: (desk or Desk(book)).run(shard) for shard in data.draw(st.permutations(shards))}
    apart = combine(book, [parts[shard] for shard in shards])
    whole = calculate(book)
    assert figures_of_result(apart) == figures_of_result(whole)
    assert [line.facts for line in apart.lines()] == [line.facts for line in whole.lines()]


@some
@given(companies())
def test_the_explanation_adds_up_to_the_line(rows: Rows) -> None:
    result = calculate(rows.book)
    for line in result.lines():
        parts = explain(line, result.plan(line)).parts
        assert sum(part.cents or 0 for part in parts) == line.cents, line


@pytest.mark.skipif(which("pypy3") is None, reason="pypy3 is not installed (apt install pypy3)")
def test_pypy_reaches_the_same_cents() -> None:
    with Pool(size=1, interpreter="pypy") as pool:

        @some
        @given(companies())
        def same(rows: Rows) -> None:
            here, there = calculate(rows.book), pool.calculate(rows.book)
            assert figures_of_result(there) == figures_of_result(here)
            assert [line.facts for line in there.lines()] == [line.facts for line in here.lines()]

        same()
        assert {status.interpreter for status in pool.status()} == {"pypy"}
