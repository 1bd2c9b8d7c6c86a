"""The built site loads nothing from the network: it can be read on a machine that has none.

Drawings become part of their page, so that they take its colours, light or dark.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DRAWING = re.compile(r'<p><img alt="([^"]*)" src="(?:[^"]*/)?([\w-]+\.svg)" ?/?></p>')
# What a browser fetches by itself, and the attribute that says from where.
LOADED = {
    "audio": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
ELSEWHERE = re.compile(r"^(https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Drawings of docs/ in the page itself."""

    def drawing(match: re.Match[str]) -> str:
        svg = (Path(config.docs_dir) / match[2]).read_text(encoding="utf-8")
        return f'<figure class="drawing" role="img" aria-label="{match[1]}">{svg}</figure>'

    return DRAWING.sub(drawing, html)


def on_post_build(config: MkDocsConfig) -> None:
    """End the build where a page or a style sheet would load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    if found := loaded_from_elsewhere(Path(config.site_dir)):
        raise PluginError("the site would load from the network:\n" + "\n".join(found))


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Each address that a browser would fetch from another machine, with the file that has it."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix not in (".html", ".css"):
            continue
        text = path.read_text(encoding="utf-8")
        addresses = IN_STYLES.findall(text)
        if path.suffix == ".html":
            parser = _Loaded()
            parser.feed(text)
            addresses += parser.addresses
        found += [f"{path.relative_to(site)}: {address}" for address in addresses]
    return found


class _Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev"):
            return  # says where things are, and loads nothing
        address = values.get(LOADED.get(tag, ""))
        if address and ELSEWHERE.match(address):
            self.addresses.append(address)
