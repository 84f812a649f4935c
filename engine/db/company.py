"""The company: its name and the currency its screens and quotas are in."""

import sqlalchemy as sa


def currency(conn: sa.Connection) -> str:
    """The company's currency, such as ``"USD"``."""
    return str(conn.execute(sa.text("SELECT currency FROM company")).scalar_one())
