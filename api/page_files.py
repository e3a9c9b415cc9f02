"""The files of the pages in `api/web`, as they are sent.

They are read once. Their addresses name all of their contents, so that a browser may keep them for good and never mixes
those of two versions.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

_FOLDER = Path(__file__).parent / "web"
# What the pages are made of; Swagger UI has addresses of its own.
_PARTS = ("base", "chat", "ops", "styles", "vendor")
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
ASSETS = "/assets"
# Stands in the HTML for where the files are.
_PLACE = "{assets}"


@dataclass(frozen=True)
class PageFile:
    """One file: its bytes, what they are, and a tag that changes with them."""

    content: bytes
    media_type: str

    @cached_property
    def tag(self) -> str:
        """For `ETag`: weak, since it is the same however the content is encoded."""
        return f'W/"{_digest(self.content)}"'

    @cached_property
    def compressed(self) -> bytes:
        """The same, as gzip."""
        return gzip.compress(self.content, mtime=0)


@cache
def assets() -> dict[str, PageFile]:
    """Scripts and styles by their path, such as `chat/main.js`."""
    return {
        path.relative_to(_FOLDER).as_posix(): PageFile(path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for part in _PARTS
        for path in sorted((_FOLDER / part).rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }


@cache
def version() -> str:
    """Names the contents of all assets."""
    return _digest(b"\n".join(f"{path} {file.tag}".encode() for path, file in assets().items()))


@cache
def page(name: str) -> PageFile:
    """A page's HTML, such as `chat.html`."""
    text = (_FOLDER / name).read_text(encoding="utf-8").replace(_PLACE, f"{ASSETS}/{version()}")
    return PageFile(text.encode(), "text/html; charset=utf-8")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=10).hexdigest()
