"""The book in headless Chromium: loads, stays on its site, searches, filters, fits a phone, is accessible."""

import functools
import http.server
import importlib.util
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import REPOSITORY

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
BOOK = REPOSITORY / "_build" / "default" / "html"
SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# The name of the theme's own mode switch repeats its tooltip; the rest of the page must have no finding.
KNOWN_AXE = {"label-content-name-mismatch"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="no Chromium"),
    pytest.mark.skipif(not (BOOK / "index.html").is_file(), reason="no built book; run make book first"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server without log lines."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BOOK)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    webdriver = pytest.importorskip("selenium.webdriver")
    profile = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in [*SWITCHES.split(), f"--user-data-dir={profile}"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_script_timeout(240)  # axe reads the longest pages for a minute on a busy machine
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


def pages() -> list[str]:
    """Return the pages that readers reach, relative to the site."""
    found = BOOK.rglob("*.html") if BOOK.is_dir() else []
    names = sorted(path.relative_to(BOOK).as_posix() for path in found)
    return [name for name in names if name.split("/")[0] in ("book", "notebooks")]


def resize(browser, width: int) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def wait(browser, script: str, seconds: float = 15.0) -> object:
    """Return the first true value of a script, or its last value when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = browser.execute_script("return " + script)
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


def test_every_page_loads_without_error_or_outside_request(site: str, browser) -> None:
    resize(browser, 1300)
    assert "book/index.html" in pages()
    for name in pages():
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(site + name)
        assert wait(browser, "document.readyState === 'complete'"), name
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert errors == [], name
        addresses = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        outside = [address for address in addresses if not address.startswith((site, "data:", "blob:"))]
        assert outside == [], name


def test_formulas_are_set(site: str, browser) -> None:
    browser.get(site + "book/notation.html")
    assert wait(browser, "document.querySelectorAll('mjx-container').length > 10")
    assert "\\operatorname" not in browser.execute_script(
        "return document.querySelector('article').innerText"
    )


def test_search_finds_the_chapter(site: str, browser) -> None:
    browser.get(site + "search.html?q=intents")
    found = wait(browser, "[...document.querySelectorAll('#search-results a')].map(a => a.href).join(' ')")
    assert "notebooks/understanding/advin.html" in str(found)


CHOOSE = (
    "const s = document.getElementById(arguments[0]); s.value = arguments[1]; "
    "s.dispatchEvent(new Event('change'));"
)
ROWS = "[...document.querySelectorAll('#scoreboard-table tbody tr')].filter(r => r.offsetParent)"


def test_the_scoreboard_filters(site: str, browser) -> None:
    browser.get(site + "book/scoreboard.html")
    shown = f"{ROWS}.length"
    everything = wait(browser, shown)
    browser.execute_script(CHOOSE, "scoreboard-part", "part-speech")
    some = browser.execute_script("return " + shown)
    assert 0 < some < everything
    browser.execute_script(CHOOSE, "scoreboard-verdict", "verdict-reproduced")
    count = browser.execute_script("return document.getElementById('scoreboard-count').textContent")
    assert count.endswith("rows shown")
    browser.execute_script(CHOOSE, "scoreboard-verdict", "")
    browser.execute_script(CHOOSE, "scoreboard-origin", "origin-ours")
    assert browser.execute_script(f"return {ROWS}.every(r => r.classList.contains('origin-ours'))")
    browser.execute_script(CHOOSE, "scoreboard-origin", "")
    browser.execute_script(CHOOSE, "scoreboard-part", "")
    assert browser.execute_script("return " + shown) == everything


def test_the_scoreboard_sorts_and_keeps_the_choice_in_the_address(site: str, browser) -> None:
    browser.get(site + "book/scoreboard.html")
    words = f"return {ROWS}.map(r => r.cells[1].textContent)"
    book = wait(browser, f"{ROWS}.length") and browser.execute_script(words)
    browser.execute_script(CHOOSE, "scoreboard-order", "ratio")
    values = browser.execute_script(f"return {ROWS}.map(r => r.querySelector('data.ratio').value)")
    known = [float(value) for value in values if value]
    assert known == sorted(known, reverse=True)
    assert values == [str(value) for value in values if value] + [""] * (len(values) - len(known))
    assert browser.execute_script("return location.hash") == "#order=ratio"
    browser.execute_script(CHOOSE, "scoreboard-order", "verdict")
    classes = browser.execute_script(f"return {ROWS}.map(r => r.className.match(/verdict-\\w+/)[0])")
    assert len([1 for k in range(1, len(classes)) if classes[k] != classes[k - 1]]) == len(set(classes)) - 1
    browser.execute_script(CHOOSE, "scoreboard-order", "")
    assert browser.execute_script(words) == book


def test_the_overview_page_is_small() -> None:
    assert (BOOK / "book" / "overview.html").stat().st_size <= 300_000


@pytest.mark.parametrize("width", [390, 1300])
def test_bars_keep_their_marks_in_sight(site: str, browser, width: int) -> None:
    resize(browser, width)
    browser.get(site + "book/overview.html")
    outside = """
    return [...document.querySelectorAll('svg.bar:not(.axis)')].filter(bar => {
      const frame = bar.getBoundingClientRect();
      return frame.width < 100 || [...bar.querySelectorAll('.dot')].some(dot => {
        const box = dot.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1;
      });
    }).length"""
    assert wait(browser, "document.querySelectorAll('svg.bar').length > 1")
    assert browser.execute_script(outside) == 0
    resize(browser, 1300)


def test_a_phone_needs_no_sideways_scroll(site: str, browser) -> None:
    resize(browser, 390)
    for name in pages():
        browser.get(site + name)
        assert wait(browser, "document.readyState === 'complete'"), name
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, name
    resize(browser, 1300)


def set_mode(site: str, browser, mode: str) -> None:
    browser.get(site + "book/index.html")
    browser.execute_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_axe_finds_nothing_of_ours(site: str, browser, mode: str) -> None:
    spec = importlib.util.find_spec("axe_core_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("axe-core-python is not installed")
    axe = Path(spec.submodule_search_locations[0], "axe.min.js").read_text(encoding="utf-8")
    set_mode(site, browser, mode)
    findings = []
    for name in pages():
        browser.get(site + name)
        browser.execute_script(axe)
        run = (
            "const done = arguments[0]; axe.run({resultTypes: ['violations']})"
            ".then(r => done(r.violations), e => done([{id: String(e)}]))"
        )
        for finding in browser.execute_async_script(run):
            if finding["id"] not in KNOWN_AXE:
                places = [node["target"] for node in finding.get("nodes", [])][:3]
                findings.append((name, finding["id"], places))
    assert findings == []


# Contrast as WCAG 2.2 counts it: the colour of the text against the nearest ground that is not transparent.
CONTRAST = """
const channels = c => (c.match(/[\\d.]+/g) || []).map(Number);
const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
const ground = e => {
  for (; e; e = e.parentElement) {
    const c = channels(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
    if (c[3] > 0) throw new Error('half transparent ground: ' + e.className);
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll(arguments[0])].filter(e => e.innerText.trim()).map(e => {
  const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
  return [(e.className || e.tagName) + ': ' + e.innerText.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
});
"""
OWN_BOXES = ", ".join(
    f"{box}, {box} :not(svg, svg *)"
    for box in (".echobook-verdict-box", ".echobook-stamp", ".echobook-forest")
)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_verdicts_and_stamps_can_be_read(site: str, browser, mode: str) -> None:
    """axe passes over elements whose ground it cannot settle; these boxes once were light on light."""
    set_mode(site, browser, mode)
    looked_at, faint = 0, []
    for name in [name for name in pages() if name.startswith("notebooks/")]:
        browser.get(site + name)
        assert wait(browser, f"document.documentElement.dataset.theme === '{mode}'"), name
        found = browser.execute_script(CONTRAST, OWN_BOXES)
        looked_at += len(found)
        faint += [(name, text, round(ratio, 2)) for text, ratio in found if ratio < 4.5]
    assert looked_at > 0
    assert faint == []


def chapters() -> list[str]:
    """Return the pages of chapters and kernels."""
    return [name for name in pages() if name.startswith("notebooks/")]


# The widest line of each block of code that is wider than its box; folded code has no box until it is opened.
OVERFLOW = """
return [...document.querySelectorAll('div.cell :is(div.cell_input, div[class*="highlight-python"]) pre')]
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth)
  .map(e => e.innerText.split(String.fromCharCode(10)).reduce((a, b) => a.length > b.length ? a : b));
"""


def choose(browser, value: str) -> None:
    """Choose what the switch of a chapter shows."""
    browser.execute_script(f"document.querySelector('input[name=echobook-code][value={value}]').click()")


def test_no_code_is_cut_off_on_a_common_screen(site: str, browser) -> None:
    resize(browser, 1400)
    for name in chapters():
        browser.get(site + name)
        assert wait(browser, "document.readyState === 'complete'"), name
        assert browser.execute_script(OVERFLOW) == [], name
        if "kernels" not in name:
            choose(browser, "all")
            assert browser.execute_script(OVERFLOW) == [], name
    resize(browser, 1300)


SEEN = """
const seen = e => e.checkVisibility();
const inputs = [...document.querySelectorAll('div.cell:not(.tag_solution) div.cell_input')];
const sources = [...document.querySelectorAll('div.cell_output div[class*="highlight-python"]')];
const answers = [...document.querySelectorAll('div.cell.tag_solution div.cell_input')];
return [inputs, sources, answers].map(part => [part.filter(seen).length, part.length]);
"""


def test_the_switch_shows_and_hides_all_code(site: str, browser) -> None:
    for name in [name for name in chapters() if "kernels" not in name]:
        browser.get(site + name)
        assert wait(browser, "document.querySelector('.echobook-code-switch') !== null"), name
        at_first = browser.execute_script(SEEN)
        (inputs, all_inputs), (sources, all_sources), (answers, _) = at_first
        assert (0 < inputs < all_inputs, 0 < sources == all_sources, answers) == (True, True, 0), name
        choose(browser, "none")
        assert [seen for seen, _ in browser.execute_script(SEEN)] == [0, 0, 0], name
        choose(browser, "all")
        (inputs, _), (sources, _), (answers, _) = browser.execute_script(SEEN)
        assert inputs == all_inputs - all_sources, name  # the calls that only show a source stay away
        assert (sources, answers) == (all_sources, 0), name
        choose(browser, "chosen")
        assert browser.execute_script(SEEN) == at_first, name


def test_the_switch_works_by_keyboard_and_keeps_nothing(site: str, browser) -> None:
    from selenium.webdriver.common.keys import Keys

    name = chapters()[0]
    browser.get(site + name)
    assert wait(browser, "document.querySelector('.echobook-code-switch') !== null")
    stored = browser.execute_script("return [JSON.stringify(localStorage), document.cookie]")
    radio = browser.find_element("css selector", "input[name=echobook-code]:checked")
    radio.send_keys(Keys.ARROW_RIGHT)
    chosen = "return document.querySelector('input[name=echobook-code]:checked').value"
    assert browser.execute_script(chosen) == "all"
    assert (
        browser.execute_script("return document.querySelectorAll('div.cell details.hide[open]').length") > 5
    )
    assert browser.execute_script("return [JSON.stringify(localStorage), document.cookie]") == stored
    browser.get(site + name)
    assert wait(browser, "document.querySelector('.echobook-code-switch') !== null")
    assert browser.execute_script(chosen) == "chosen"


def test_the_verdicts_are_the_first_thing_seen(site: str, browser) -> None:
    """Title, one paragraph, the box: no code, folded or not, stands above it."""
    above = """
    const box = document.querySelector('.echobook-verdict-box');
    const before = e => box.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_PRECEDING;
    return [...document.querySelectorAll('article p, article pre, article details')]
      .filter(e => e.checkVisibility() && before(e) && !e.contains(box)).map(e => e.tagName);
    """
    for name in [name for name in chapters() if "kernels" not in name]:
        browser.get(site + name)
        assert browser.execute_script(above) == ["P"], name
