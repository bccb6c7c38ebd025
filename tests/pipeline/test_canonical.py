"""The canonical notebook: what is taken out, and what must stay."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import nbformat
import pytest

from echobook.pipeline.canonical import canonical, comparable, dump
from echobook.pipeline.gate import find_fault, last_started


def notebook(*cells):
    found = nbformat.v4.new_notebook(cells=list(cells))
    found.metadata["papermill"] = {"start_time": "now", "input_path": "/x"}
    return found


def code(source="a", outputs=(), count=1, tags=(), **papermill):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count)
    cell.metadata.update(
        tags=list(tags), execution={"iopub": "now"}, papermill={"status": "completed", **papermill}
    )
    return cell


def data(**kinds):
    return nbformat.v4.new_output("display_data", data={k.replace("_", "/"): v for k, v in kinds.items()})


def test_printed_text_that_arrived_in_pieces_is_joined():
    def stream(text, name="stdout"):
        return nbformat.v4.new_output("stream", name=name, text=text)

    picture = data(text_plain="figure")
    pieces = [stream("pa"), stream("ss\n"), stream("careful", "stderr"), picture, stream("6"), stream("\n")]
    found = canonical(notebook(code(outputs=pieces)), Path("/r")).cells[0].outputs
    assert [output.get("text") for output in found] == ["pass\n", "careful", None, "6\n"]
    assert [output.get("name") for output in found] == ["stdout", "stderr", None, "stdout"]
    whole = [stream("pass\n"), stream("careful", "stderr"), data(text_plain="figure"), stream("6\n")]
    assert canonical(notebook(code(outputs=whole)), Path("/r")).cells[0].outputs == found


def test_times_paths_ids_and_addresses_go():
    noisy = notebook(
        code(outputs=[data(text_plain="<X at 0x7fAb12> /my/repo/a.py")]),
        code(outputs=[nbformat.v4.new_output("stream", text="/tmp/ipykernel_12/99.py:3: careful")]),
    )
    found = canonical(noisy, Path("/my/repo"))
    assert found.metadata == {}
    assert [cell["id"] for cell in found.cells] == ["cell-0000", "cell-0001"]
    assert found.cells[0].metadata == {"tags": []}
    assert found.cells[0].outputs[0].data["text/plain"] == "<X> a.py"
    assert found.cells[1].outputs[0].text == "<cell>:3: careful"


def test_the_values_of_a_run_are_folded_under_their_name():
    first, given = code(tags=["parameters"]), code(tags=["injected-parameters"])
    found = canonical(notebook(first, given), Path("/r"))
    assert found.cells[0].metadata["tags"] == ["parameters"]
    assert found.cells[1].metadata["tags"] == ["injected-parameters", "hide-input"]
    assert found.cells[1].metadata["mystnb"] == {"code_prompt_show": "Parameters of this run"}


def test_pictures_numbers_and_sources_stay():
    made = notebook(code("x = '0x12 at 0x12'", outputs=[data(image_png="at 0xAB", text_plain="0x12")]))
    found = canonical(made, Path("/"))
    assert found.cells[0].source == "x = '0x12 at 0x12'"
    assert found.cells[0].outputs[0].data == {"image/png": "at 0xAB", "text/plain": "0x12"}


def test_is_idempotent():
    once = dump(canonical(notebook(code(outputs=[data(text_plain="at 0x1")])), Path("/r")))
    again = dump(canonical(nbformat.reads(once, as_version=4), Path("/r")))
    assert once == again
    assert once.endswith("}\n")


@pytest.mark.parametrize("tag", ["data", "span"])
def test_comparable_drops_volatile_content_only(tag):
    def page(seconds: str, score: str) -> str:
        markup = f'<p>{score} <{tag} class="echobook-volatile" value="">{seconds}</{tag}></p>'
        return dump(canonical(notebook(code(outputs=[data(text_html=markup)])), Path("/r")))

    assert comparable(page("1 s", "0.5")) == comparable(page("2 s", "0.5"))
    assert comparable(page("1 s", "0.5")) != comparable(page("1 s", "0.6"))
    assert "0.5" in json.loads(comparable(page("1 s", "0.5")))["cells"][0]["outputs"][0]["data"]["text/html"]


def test_faults_are_numbered_as_in_the_tracked_notebook():
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    marker = nbformat.v4.new_markdown_cell("banner", metadata={"tags": ["papermill-error-cell-tag"]})
    cells = [marker, code(), code("p = 1", tags=["injected-parameters"]), code("# c\nbad()", outputs=[error])]
    fault = find_fault(notebook(*cells))
    assert (fault.cell, fault.line, fault.error) == (2, "bad()", "ValueError: no")
    assert find_fault(notebook(code(), nbformat.v4.new_markdown_cell("x"), code("", count=None))) is None
    allowed = code("bad()", outputs=[copy.deepcopy(error)], tags=["raises-exception"], exception=True)
    assert find_fault(notebook(allowed)) is None


@pytest.mark.parametrize(
    "cell", [code(count=None), code(status="running"), code(status="failed", exception=True)]
)
def test_an_unfinished_cell_is_a_fault(cell):
    assert find_fault(notebook(code(), cell)).error == "the cell did not finish"


def test_last_started_cell():
    started = notebook(code("a", start_time="t"), code("b", start_time="t"), code("c", start_time=None))
    assert (last_started(started).cell, last_started(started).line) == (2, "b")
    assert last_started(notebook(code("a", start_time=None))) is None


def test_a_long_first_line_is_cut():
    fault = find_fault(notebook(code("x" * 300, count=None)))
    assert (len(fault.line), fault.line[-3:]) == (100, "...")
