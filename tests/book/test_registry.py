"""The repository's own registry, contents and README; the readers of them on bad input; the downloads."""

import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from sphinx.application import Sphinx

from echobook.sphinx import chapters, downloads, executed, readme
from echobook.sphinx.chapters import RegistryError, contents_faults, read_chapters

from .conftest import REPOSITORY, Checkout
from .conftest import executed as notebook_text


def test_slugs_and_their_order_are_stable() -> None:
    assert [chapter.slug for chapter in read_chapters(REPOSITORY)] == [
        "advin", "incremental-user-embedding", "ckgat", "joke-skill",
        "ma-dst", "masked-hierarchical-transformer", "just-ask", "self-learning",
        "mmm-reading", "tanda", "kd-internal",
        "convrnn-t", "cca-transformer", "separator-transducer-segmenter", "contextual-asr", "context-store",
        "geographic-ewc", "cohort-fairness", "adversarial-reweighting", "dp-sgd-nlu", "federated-nlu",
    ]  # fmt: skip


def test_contents_agree_with_the_registry() -> None:
    assert contents_faults(REPOSITORY) == []


def test_each_paper_has_one_bibtex_entry() -> None:
    text = (REPOSITORY / "book" / "references.bib").read_text(encoding="utf-8")
    for chapter in read_chapters(REPOSITORY):
        entry = downloads.bibtex_entry(text, chapter.paper)
        assert entry is not None, chapter.slug
        assert entry.startswith("@")
        assert entry.count("{") == entry.count("}")
        assert text.count("{" + chapter.paper + ",") == 1
    assert downloads.bibtex_entry(text, "nobody1999nothing") is None


def test_readme_table_is_the_one_the_records_give() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.chapters_table(REPOSITORY)
    assert readme.with_table(text, table) == text, "run python -m echobook.sphinx.readme"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the line '<!-- chapters"):
        readme.with_table("# Title\n", "| a |")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("part", "cooking", "part: expected understanding or"),
        ("status", "done", "status: expected published or planned, found 'done'"),
        ("notebook", "notebooks/x.py", "notebook: expected notebooks/understanding/advin.py"),
        ("colour", "red", "expected the fields slug, part"),
        ("slug", "incremental-user-embedding", "notebook: expected"),
    ],
)
def test_a_bad_registry_is_refused(checkout: Checkout, field: str, value: str, message: str) -> None:
    path = checkout.root / "book" / "chapters.yml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw[0][field] = value
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(RegistryError, match=message) as caught:
        read_chapters(checkout.root)
    assert "chapters.yml: entry 1" in str(caught.value)


def test_twins_and_strays_are_named(checkout: Checkout) -> None:
    path = checkout.root / "book" / "chapters.yml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    checkout.write(
        "_toc.yml", "root: index\nchapters:\n- file: notebooks/x/y\n- file: notebooks/understanding/advin\n"
    )
    assert contents_faults(checkout.root) == ["_toc.yml: notebooks/x/y is not in book/chapters.yml"]
    path.write_text(yaml.safe_dump([raw[0], raw[0]]), encoding="utf-8")
    with pytest.raises(RegistryError, match="advin appears 2 times"):
        read_chapters(checkout.root)
    path.unlink()
    with pytest.raises(RegistryError, match="not found"):
        read_chapters(checkout.root)


def test_a_kernel_page_stands_in_the_contents_once(checkout: Checkout) -> None:
    checkout.write("notebooks/kernels/lattice.py", "# %% [markdown]\n# # Lattice\n")
    assert chapters.kernel_pages(checkout.root) == ["notebooks/kernels/lattice"]
    assert contents_faults(checkout.root) == [
        "_toc.yml: kernel page notebooks/kernels/lattice listed 0 times, expected once"
    ]
    toc = checkout.root / "_toc.yml"
    toc.write_text(toc.read_text(encoding="utf-8") + "- file: notebooks/kernels/lattice\n", encoding="utf-8")
    assert contents_faults(checkout.root) == []
    (checkout.root / "notebooks/kernels/lattice.py").unlink()
    assert contents_faults(checkout.root) == [
        "_toc.yml: notebooks/kernels/lattice is not in book/chapters.yml"
    ]


def test_the_three_notebooks(tmp_path: Path) -> None:
    source = tmp_path / "in.ipynb"
    source.write_text(notebook_text(), encoding="utf-8")
    made = downloads.write_notebooks(source, tmp_path / "out" / "advin.ipynb")
    assert [path.name for _, path, _ in made] == ["advin.ipynb", "advin.clean.ipynb", "advin.exercise.ipynb"]
    whole, clean, exercise = (nbformat.read(path, as_version=4) for _, path, _ in made)
    assert sum(len(cell.get("outputs", [])) for cell in whole.cells) == 1
    assert sum(len(cell.get("outputs", [])) for cell in clean.cells) == 0
    assert "answer = 42" in [cell.source for cell in clean.cells]
    assert "answer = 42" not in [cell.source for cell in exercise.cells]
    assert all(cell.get("execution_count") is None for cell in exercise.cells)


def test_profile_of_an_executed_notebook() -> None:
    plain = json.loads(notebook_text("default"))
    assert executed.profile_of(json.dumps(plain)) == "default"
    plain["cells"][2]["metadata"]["tags"] = ["injected-parameters"]
    plain["cells"][2]["source"] = ['profile = "public"\n', "seed = 3"]
    assert executed.profile_of(json.dumps(plain)) == "public"
    plain["metadata"]["papermill"] = {"parameters": {"profile": "paper"}}
    assert executed.profile_of(json.dumps(plain)) == "paper"
    assert executed.profile_of("no notebook") is None


def test_reads_takes_both_forms() -> None:
    assert executed.reads(notebook_text()).cells[0].source.startswith("# Advin")
    assert executed.reads("# %% [markdown]\n# # Advin\n").cells[0].source == "# Advin"


def test_colab_and_thebe_are_mended() -> None:
    colab = "https://colab.research.google.com/github/o/r/blob/main/notebooks/p/c.py"
    edit = "https://github.com/o/r/edit/main/notebooks/p/c.py"
    context = {"header_buttons": [{"buttons": [{"url": colab}, {"url": edit}, {"url": None}]}]}
    executed.fix_colab(Sphinx.__new__(Sphinx), "notebooks/p/c", "", context, None)
    urls = [button["url"] for button in context["header_buttons"][0]["buttons"]]
    assert urls == [colab.replace("/main/", "/gh-pages/_sources/").replace(".py", ".ipynb"), edit, None]
    ours = SimpleNamespace(filename="a11y.js", attributes={})
    theirs = [
        SimpleNamespace(filename="", attributes={"body": "const THEBE_JS_URL = 1"}),
        SimpleNamespace(filename="_static/sphinx-thebe.js", attributes={}),
    ]
    scripts = {"script_files": [ours, *theirs], "css_files": ["_static/thebe.css", "_static/custom.css"]}
    executed.drop_thebe(Sphinx.__new__(Sphinx), "", "", scripts, None)
    assert scripts == {"script_files": [ours], "css_files": ["_static/custom.css"]}


def test_mathjax_comes_from_the_installed_package() -> None:
    for name in downloads.MATHJAX:
        assert (downloads.mathjax_folder() / name).exists()


def test_parts_are_those_of_the_registry() -> None:
    assert list(dict.fromkeys(chapter.part for chapter in read_chapters(REPOSITORY))) == list(chapters.PARTS)
