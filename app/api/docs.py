"""The page /api/docs: the OpenAPI description as plain HTML, without a script."""

from html import escape
from typing import Any

from app.api.errors import KINDS

_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
article { border: 1px solid #8884; border-radius: .75rem; padding: 1rem 1.25rem; margin: 1rem 0 }
h2 { font-size: 1.05rem; margin: 0 }
b { display: inline-block; min-width: 3.2rem; color: #0d9488 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem .75rem .3rem 0; border-top: 1px solid #8883; vertical-align: top }
code { font-size: .92em; overflow-wrap: anywhere }
"""


def docs_page(openapi: dict[str, Any]) -> str:
    """The whole page for an OpenAPI document."""
    info = openapi["info"]
    operations = [
        _operation(openapi, path, method, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}"
        '<p>For tools: <a href="/api/openapi.json">openapi.json</a>' + "".join(operations) + _problems() + "</html>"
    )


def _problems() -> str:
    """The kinds of problems; the `type` of each is the address of its line here."""
    lines = "".join(
        f'<tr id="{kind.type.partition("#")[2]}"><td>{kind.status}<td>{escape(kind.title)}<td>{escape(kind.meaning)}'
        for kind in KINDS
    )
    return f"<article><h2>Problems</h2><table><tr><th>Status<th>Title<th>What to do{lines}</table></article>"


def _operation(openapi: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    inputs: list[tuple[str, ...]] = [
        (each["name"], f"in the {each['in']}", _kind(each["schema"]), each["schema"].get("description", ""))
        for each in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        inputs += [
            (name, "in the JSON body", _kind(value), value.get("description", ""))
            for name, value in _named(openapi, schema)["properties"].items()
        ]
    answers: list[tuple[str, ...]] = []
    for status, response in operation["responses"].items():
        schema = next((each["schema"] for each in response.get("content", {}).values()), {})
        fields = ", ".join(_named(openapi, schema)["properties"]) if "$ref" in schema else ""
        answers.append((status, response["description"], fields))
    return (
        f"<article><h2><b>{method.upper()}</b> <code>/api{escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description') or operation['summary'])}</p>"
        + (_table(("Give", "Where", "Kind", ""), inputs) if inputs else "")
        + _table(("Answer", "", "Fields"), answers)
        + "</article>"
    )


def _named(openapi: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The component that a reference names."""
    found: dict[str, Any] = openapi["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return {"properties": {}} | found


def _kind(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf", [schema])
    kinds = [
        " or ".join(map(repr, each["enum"])) if "enum" in each else each.get("format") or each.get("type", "")
        for each in options
    ]
    return " or ".join(kind for kind in kinds if kind != "null")


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{heading}</th>" for heading in headings) + f"</tr>{lines}</table>"
