"""Names for machines, made from names for people."""

import re
import unicodedata

_OTHER = re.compile(r"[^a-z0-9]+")


def slug(text: str, separator: str) -> str:
    """Small letters and digits joined by `separator`: ``"Zoë O'Neill"`` is ``"zoe.o.neill"``; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub(separator, plain).strip(separator)[:60].strip(separator)
