"""Pages of the site that lie elsewhere in the repository, and links that are right in both places.

A link in Markdown is that of the file in the repository, where people also read it: from
`docs/development.md` to `../CONTRIBUTING.md`. In the site these are pages beside each other.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
BUNDLED = "l3ac_jax/weights/bundled"

# What the site calls it, and where it lies.
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "models/index.md": f"{BUNDLED}/README.md",
    **{
        f"models/{card.name}": f"{BUNDLED}/{card.name}"
        for card in sorted((ROOT / BUNDLED).glob("*.md"))
        if card.name != "README.md"
    },
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE",
}

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere."""
    from mkdocs.structure.files import File

    for name, source in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links as the site has them."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, page: str) -> str:
    """Links to files of the repository, as the page `page` of the site has to write them.

    What is no file of the site stays as it is: a strict build refuses it.
    """
    pages = {source: name for name, source in ELSEWHERE.items()}
    source_folder = posixpath.dirname(ELSEWHERE.get(page, f"docs/{page}"))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(source_folder, match[1]))
        in_site = pages.get(target) or target.removeprefix("docs/")
        if in_site == target:  # neither
            return match[1]
        return posixpath.relpath(in_site, posixpath.dirname(page) or ".")

    return LINK.sub(link, markdown)
