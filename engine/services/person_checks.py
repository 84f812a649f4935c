"""What is asked of a person's name, e-mail address and role, however they come in."""

from engine.errors import Problem
from engine.services.access import ROLES


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.replace("\0", " ").split())


def person_problems(name: str, email: str, role: str) -> list[Problem]:
    """What is wrong with a person's name, e-mail address or role."""
    problems = []
    if not name:
        problems.append(Problem("name", "is missing.", "Write first and last name."))
    elif len(name) > 200:
        problems.append(Problem("name", f"has {len(name)} characters.", "Write at most 200."))
    local, _, domain = email.rpartition("@")
    if not email:
        problems.append(Problem("e-mail", "is missing.", "Write one such as ana@example.com."))
    elif not local or not domain or len(email) > 254 or any(sign.isspace() or sign == "\0" for sign in email):
        problems.append(Problem("e-mail", f'"{email}" is not an e-mail address.', "Write one such as ana@example.com."))
    if role not in ROLES:
        problems.append(
            Problem("role", f'"{role}" is not a role.' if role else "is missing.", f"Choose one of {', '.join(ROLES)}.")
        )
    return problems
