"""Reading the PDFs that the product writes."""

import base64
import re
import zlib

_STREAM = re.compile(rb"/ASCII85Decode /FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", re.DOTALL)


def pdf_text(content: bytes) -> str:
    """What our PDFs say, page after page: the texts that their streams show (ASCII stands for itself in them)."""
    pages = []
    for stream in _STREAM.findall(content):
        page = zlib.decompress(base64.a85decode(stream.strip().removesuffix(b"~>"))).decode("latin-1")
        pages.append(" ".join(re.findall(r"\((.*?)\) Tj", page)))
    return "\n".join(pages)
