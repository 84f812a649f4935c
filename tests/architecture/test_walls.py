"""Each transaction says for whom it is: a service hands its actor to the database, which then shows no more than that
person may see.  Transactions of the program itself see everyone; each stands here with its reason.
"""

import ast
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[2] / "engine"
OPENS = ("read", "write", "joined", "trial")

# Transactions that are the program's own, by "module.function".
OURS = {
    # Nobody has signed in yet, or is about to.
    "api_tokens.token_actor", "setup.is_empty", "setup.company", "setup.demo_accounts", "setup.create_first_admin",
    "sign_in.check_password", "sign_in.open_ticket", "sign_in.redeem_ticket", "sign_in.open_session",
    "sign_in.session_actor", "sign_in.end_session", "sign_in.link_person", "sign_in.choose_password",
    "sign_in.change_password",
    # An empty company is filled.
    "demo.load_demo", "demo.load_records", "forecast_report.demo_backtest",
    # Jobs, workers and what watches them; the body of a job acts as the person who started it.
    "jobs.resume", "import_files._check_job", "import_files._import_job", "tasks.serve",
    "tasks._machines", "tasks._look", "tasks._begin_anew", "health.readiness", "health.counts",
    # Calculating what somebody earns needs whatever the plan counts; what is shown of it was checked before.
    "impact.rehearsed", "freshness.examine", "recalculation._shown", "runs._named", "statements._provisional",
    "statements._kept",
    # Win rates are the whole company's, and so is what people are paid on.
    "forecast.outlook", "forecast_backtest.backtest", "forecast_backtest._job",
    "forecast_simulation.simulated", "forecast_deals.open_deals",
    "forecast_deals.if_these_close",
    # What is kept of a statement is the same for everyone who may ask for it.
    "statements.statement_file",
    # A missing deal may be anybody's: the dispute says that it is missing here.
    "disputes.flag_missing",
    # A part of the audit log that is about people within reach.
    "quotas.quota_changes", "quotas.part_periods",
    # How many people are on a plan is no secret.
    "plans.list_plans",
}  # fmt: skip


def _opened() -> dict[str, list[ast.Call]]:
    """Every call that opens a transaction, by "module.function"."""
    found: dict[str, list[ast.Call]] = {}

    def walk(node: ast.AST, module: str, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = f"{module}.{child.name}" if isinstance(child, ast.FunctionDef) and not function else function
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in OPENS:
                of = ast.unparse(child.func.value).split(".")[-1]
                if of in ("db", "_db", "joined"):
                    found.setdefault(inside, []).append(child)
            walk(child, module, inside)

    for path in [*(ENGINE / "services").glob("*.py"), ENGINE / "tasks.py"]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                walk(node, path.stem, "")
            else:
                walk(ast.Module([node], []), path.stem, "")
    return found


def test_each_transaction_says_for_whom_it_is() -> None:
    opened = _opened()
    assert sum(map(len, opened.values())) > 200
    ours = {name for name, calls in opened.items() if not all(call.args for call in calls)}
    assert ours - OURS == set(), (
        "hand the actor to db.read and db.write; if the program must see everyone here, say why"
    )
    assert OURS - ours == set(), "these say for whom they are by now, or are gone: take them off the list"
