from pathlib import Path

import pytest

from engine.plans.document import parse_plan

TEMPLATES = sorted((Path(__file__).parents[2] / "data" / "plan_templates").glob("*.toml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_a_plan_with_a_title(path):
    text = path.read_text(encoding="utf-8")
    parse_plan(text)
    assert text.startswith("# ")
    assert text.splitlines()[1].startswith("# ")


def test_the_four_seed_kinds_are_there():
    kinds = [parse_plan(path.read_text(encoding="utf-8")).components[0].kind for path in TEMPLATES]
    assert kinds == ["flat", "percentage", "tiered", "quota"]
