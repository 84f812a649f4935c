"""What the plans page says beside a draft: warnings, examples, changes, payout curves."""

from datetime import date

import pytest

from engine.services import plans

TODAY = date(2026, 11, 22)
NEW_YEAR = date(2026, 1, 1)
EXAMPLE = '\n[[example]]\nname = "The letter"\nquota = 100000\ndeal = [{ amount = 1000 }]\nexpect = { total = TOTAL }\n'


@pytest.fixture
def plan(company):
    return plans.create_plan(company.db, company.actor("ada"), "AE 2026", "quota", NEW_YEAR)


def saved(company, plan):
    return plans.plan_detail(company.db, company.actor("ada"), plan, TODAY)


def rewrite(company, plan, change):
    seen = saved(company, plan).draft.document
    plans.save_draft(company.db, company.actor("ada"), plan, change(seen), seen)


def words(screen):
    assert not screen.exception, screen.exception
    found = (*screen.markdown, *screen.caption, *screen.error, *screen.success)
    return " ".join(each.value for each in found).replace("\\", "")  # markdown's escapes


def expanders(screen):
    return [expander.label for expander in screen.expander]


def publish_disabled(screen):
    return next(button for button in screen.button if button.label == "Publish").disabled


def test_a_draft_shows_what_to_look_at_and_can_be_published_all_the_same(open_page, plan):
    screen = open_page("plans", plan="ae-2026")
    assert "2 things to look at" in expanders(screen)
    found = words(screen)
    assert 'Component 1 "Quota attainment": cap' in found
    assert "it is 20,000.00 at 100% of quota" in found
    assert "takes nothing back" in found
    assert not publish_disabled(screen)


def test_a_draft_without_warnings_shows_none(open_page, company, plan):
    def calm(text):
        return text.replace("quota = 250000", "quota = 250000\ncap = { amount = 900000 }") + "\n[clawback]\n"

    rewrite(company, plan, calm)
    assert not any("look at" in label for label in expanders(open_page("plans", plan="ae-2026")))


@pytest.mark.parametrize(("total", "label"), [("80", "Examples · 1 passed"), ("90", "Examples · 1 of 1 failed")])
def test_examples_say_whether_they_come_out(open_page, company, plan, total, label):
    rewrite(company, plan, lambda text: text + EXAMPLE.replace("TOTAL", total))
    screen = open_page("plans", plan="ae-2026")
    assert label in expanders(screen)
    assert "The letter" in words(screen)
    assert any("1,000.00 up to 100% of quota" in code.value for code in screen.code)
    assert publish_disabled(screen) is (total == "90")
    assert ("example[0].expect.total" in words(screen)) is (total == "90")


def test_an_example_that_cannot_be_read_is_a_problem_like_any_other(open_page, company, plan):
    rewrite(company, plan, lambda text: text + EXAMPLE.replace("expect = { total = TOTAL }", "expects = 1"))
    screen = open_page("plans", plan="ae-2026")
    assert "expects" in words(screen)
    assert publish_disabled(screen)
    assert not screen.metric


def test_the_form_keeps_the_examples(open_page, company, plan):
    rewrite(company, plan, lambda text: text + EXAMPLE.replace("TOTAL", "80"))
    screen = open_page("plans", plan="ae-2026")
    next(field for field in screen.text_input if field.label == "Name").set_value("Quota of the quarter").run()
    text = next(area for area in screen.text_area if area.label == "The plan as text (TOML)").value
    assert 'label = "Quota of the quarter"' in text
    assert "[[example]]" in text
    assert "Examples · 1 passed" in expanders(screen)


def test_the_second_version_shows_what_changes(open_page, company, plan):
    ada = company.actor("ada")
    plans.publish_plan(company.db, ada, plan, saved(company, plan).draft.document)
    assert not any("Changes since" in label for label in expanders(open_page("plans", plan="ae-2026")))
    plans.new_draft(company.db, ada, plan, date(2026, 7, 1))
    rewrite(company, plan, lambda text: text.replace('rate = "2x"', 'rate = "2.5x"'))
    screen = open_page("plans", plan="ae-2026")
    assert "Changes since the version of 2026-01-01 · 2" in expanders(screen)
    assert "Accelerator above 150% of quota: 2x → **2.5x**" in words(screen)
    plans.publish_plan(company.db, ada, plan, saved(company, plan).draft.document)
    published = words(open_page("plans", plan="ae-2026"))
    assert "What changed from the version of 2026-01-01" in published
    assert "2x → **2.5x**" in published


def test_readers_see_what_a_component_pays(open_page, company, plan):
    ada = company.actor("ada")
    plans.publish_plan(company.db, ada, plan, saved(company, plan).draft.document)
    screen = open_page("plans", "mia", plan="ae-2026")
    assert "What it pays" in words(screen)
    assert "With a quota of 250,000.00." in words(screen)
    table = next(frame.value for frame in screen.dataframe if "at" in frame.value.columns)
    assert dict(zip(table["at"], table["cents"], strict=True))["100%"] == 20_000.00


COMPONENTS = {
    "flat": "amount = 500",
    "percentage": 'rate = "5%"',
    "tiered": 'tiers = [{ from = 0, rate = "5%" }, { from = 10000, rate = "7%" }]',
    "curve": 'measure = "seats"\nquota = 10\npoints = [{ at = "0%", pays = 0 }, { at = "100%", pays = 900 }]',
    "bonus": 'measure = "count"\nsteps = [{ at = "100%", pays = 900 }]\ngate = { component = "flat", at_least = "0%" }',
}
CAPTIONS = {
    "flat": "Each deal matches",
    "percentage": "Each deal matches",
    "tiered": "Each deal matches",
    "curve": "With a quota of 10, 100.00 a unit.",
    "bonus": "With a quota of 100, for the sake of the picture, flat at its gate.",
}


def test_every_kind_has_a_curve(open_page, company, plan):
    parts = [f'[[component]]\nid = "{kind}"\nkind = "{kind}"\n{text}\n' for kind, text in COMPONENTS.items()]
    rewrite(company, plan, lambda text: text.partition("[[component]]")[0] + "\n".join(parts))
    screen = open_page("plans", plan="ae-2026")
    chosen = next(each for each in screen.selectbox if each.label == "Component")
    assert chosen.options == list(COMPONENTS)
    for kind in COMPONENTS:
        next(each for each in screen.selectbox if each.label == "Component").set_value(kind).run()
        assert CAPTIONS[kind] in words(screen)
