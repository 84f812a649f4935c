"""What runs without a page's first lines asks again who is there: every fragment and every dialog.

Streamlit runs these without the entry script and without the page, so that a session that has ended, or a role that
was taken away, is noticed only by who looks.  What is called counts, too, as far as it is in the app.
"""

import ast
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "app"
ASKS = {"auth.require", "auth.current"}
NEED_NOT = {
    "searching._watch",  # shows how far a search of the page is, and stops it
    "widgets.watch",  # reads the number of the data's version; asking would keep an idle session alive for ever
}


def test_every_fragment_and_dialog_asks_who_is_there() -> None:
    functions: dict[str, ast.FunctionDef] = {}
    begins: set[str] = set()
    for path in APP.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                name = f"{path.stem}.{node.name}"
                functions[name] = node
                decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
                if "st.fragment" in decorators or "st.dialog" in decorators:
                    begins.add(name)
    assert len(begins) > 30

    def asks(name: str, seen: set[str]) -> bool:
        seen.add(name)
        module = name.partition(".")[0]
        for each in ast.walk(functions[name]):
            if isinstance(each, ast.Call):
                called = ast.unparse(each.func)
                if called in ASKS:
                    return True
                inner = called if called in functions else f"{module}.{called}"
                if inner in functions and inner not in seen and asks(inner, seen):
                    return True
        return False

    silent = {name for name in begins if not asks(name, set())}
    assert silent - NEED_NOT == set(), "they act for somebody who may have been signed out: call auth.require in them"
    assert begins >= NEED_NOT
