"""What the documentation site is made of: its hooks, and the pages in the repository."""

from __future__ import annotations

import importlib.util
import posixpath
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import l3ac_jax
from l3ac_jax.config import BUNDLED

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def hook(name: str) -> ModuleType:
    """docs/hooks/NAME.py, as mkdocs loads it."""
    full_name = f"l3ac_jax_docs_{name}"
    if full_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(full_name, ROOT / f"docs/hooks/{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[full_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full_name])
    return sys.modules[full_name]


@pytest.mark.parametrize("kind", ["experiment", "language"])
def test_every_key_of_a_configuration_is_described_where_it_is_defined(kind):
    configuration = hook("configuration")
    assert configuration.undescribed(configuration.FILES[kind]) == []


def test_a_key_that_its_table_does_not_describe_is_noticed():
    from l3ac_jax.config.tables import Table

    class Inner(Table, frozen=True):
        """Only `known`."""

        known: int
        forgotten: int

    class File(Table, frozen=True):
        """A file."""

        part: Inner

    assert hook("configuration").undescribed(File) == ["part.forgotten"]


def test_the_page_of_keys_has_each_key_with_its_values_and_default():
    page = hook("configuration").on_page_markdown("<!-- keys: experiment -->", None, None, None)
    for line in (
        '| `position` | `"dynamic_bias"`, `"rotary"` | `"dynamic_bias"` |',
        "| `encoder_kernels` | a list of integers above 0 up to 16384 | `[1, 5, 11, 21, 45]` |",
        "| `noise_rate` | number from 0 up to 1 | `0.5` |",
        "| `gain_db` | [number, number] | `[0.0, 0.0]` |",
        "| `window_size` | integer above 0 up to 16384 | *needed* |",
        "| `optimizer` | a table as `[training.optimizer]` |"
        " `weight_decay = 1e-05`, `clip_norm = 10.0` |",
    ):
        assert line in page.splitlines()
    headings = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert {"[model]", "[[data.corpora]]", "[[training.stages]]"} <= set(headings)
    assert len(headings) == len(set(headings))


def test_a_public_name_without_a_docstring_is_noticed():
    module = ModuleType("l3ac_jax.made_up", "A module.")

    class Base:
        """A base."""

        def told(self) -> None:
            """What it does."""

    class Public(Base):
        """A class."""

        def told(self) -> None: ...
        def untold(self) -> None: ...
        def _private(self) -> None: ...
        @property
        def size(self) -> int: ...

    def function() -> None: ...

    Public.__module__ = function.__module__ = module.__name__
    vars(module).update(
        Public=Public, function=function, __all__=["Public", "function", "np"], np=1
    )
    found = hook("public_names").undocumented(module)
    assert found == [
        f"l3ac_jax.made_up.{name}" for name in ("Public.untold", "Public.size", "function")
    ]
    assert hook("public_names").undocumented(l3ac_jax) == []


def test_the_interface_page_has_every_public_name():
    page = (ROOT / "docs/api.md").read_text()
    shown = set(re.findall(r"^::: l3ac_jax\.(\w+)$", page, re.MULTILINE))
    assert shown - {"errors"} == set(l3ac_jax.__all__) - {"__version__"}
    assert "`l3ac_jax.__version__`" in page


LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_are_right_in_the_repository(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("page", "written", "in_the_site"),
    [
        ("index.md", "docs/gpu.md", "gpu.md"),
        ("index.md", "l3ac_jax/weights/bundled/README.md", "models/index.md"),
        ("models/index.md", "base.md", "base.md"),
        ("development.md", "../CONTRIBUTING.md", "contributing.md"),
        ("tutorials/train.md", "../configuration.md", "../configuration.md"),
        ("tutorials/train.md", "https://arxiv.org/abs/2504.04949", None),
        ("index.md", "nowhere.md", None),
    ],
)
def test_links_become_those_of_the_site(page, written, in_the_site):
    link = f"[text]({written})"
    expected = link if in_the_site is None else f"[text]({in_the_site})"
    assert hook("pages").relinked(link, page) == expected


def test_every_bundled_model_has_its_card_in_the_site():
    assert {f"models/{name}.md" for name in BUNDLED} <= set(hook("pages").ELSEWHERE)


def test_what_a_page_would_load_from_elsewhere_is_noticed(tmp_path):
    (tmp_path / "page.html").write_text(
        '<link rel="canonical" href="https://here/page.html"><a href="https://arxiv.org">paper</a>'
        '<script src="https://cdn/x.js"></script><link rel="stylesheet" href="//fonts/x.css">'
        '<img src="picture.png"><style>@import "http://styles/x.css";</style>'
    )
    (tmp_path / "style.css").write_text("a { background: url('https://pictures/x.png') }")
    assert sorted(hook("offline").loaded_from_elsewhere(tmp_path)) == [
        "page.html: //fonts/x.css",
        "page.html: http://styles/x.css",
        "page.html: https://cdn/x.js",
        "style.css: https://pictures/x.png",
    ]


def test_a_drawing_becomes_part_of_its_page():
    class Config:
        docs_dir = str(ROOT / "docs")

    html = '<p><img alt="A drawing" src="architecture.svg" /></p>'
    page = hook("offline").on_page_content(html, None, Config, None)
    assert page.startswith('<figure class="drawing" role="img" aria-label="A drawing"><svg')


def test_the_readme_is_short():
    """One screen and a half: what is more belongs into docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 80


def test_the_navigation_leads_to_pages():
    """Without mkdocs, which also looks for pages that it does not lead to."""
    nav = (ROOT / "mkdocs.yml").read_text().split("nav:")[1].split("theme:")[0]
    pages = re.findall(r"^ +- (?:.*: )?(\S+\.md)$", nav, re.MULTILINE)
    elsewhere = hook("pages").ELSEWHERE
    assert len(pages) > 30
    for page in pages:
        assert page in elsewhere or (ROOT / "docs" / posixpath.normpath(page)).is_file(), page
