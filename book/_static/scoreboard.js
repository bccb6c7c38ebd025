// Filters the scoreboard by part, verdict and origin, and sorts it, in the page, without a server. The choice
// is kept in the address (#part=...&order=...), so that a view can be linked.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("scoreboard-filter");
  const table = document.querySelector("table#scoreboard-table");
  if (!form || !table) return;
  const names = ["part", "verdict", "origin", "order"];
  const selects = Object.fromEntries(names.map((name) => [name, form.querySelector(`#scoreboard-${name}`)]));
  const count = form.querySelector("#scoreboard-count");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const verdicts = [...selects.verdict.options].map((option) => option.value);
  const keys = {
    verdict: (row) => verdicts.findIndex((name) => name && row.classList.contains(name)),
    ratio: (row) => {
      const value = row.querySelector("data.ratio").value;
      return value === "" ? Infinity : -Number(value);
    },
  };
  const show = () => {
    const wanted = [selects.part, selects.verdict, selects.origin].map((select) => select.value).filter(Boolean);
    for (const row of rows) row.hidden = !wanted.every((name) => row.classList.contains(name));
    const key = keys[selects.order.value];
    const place = new Map(rows.map((row, number) => [row, [key ? key(row) : 0, number]]));
    const before = (a, b) => (place.get(a)[0] > place.get(b)[0]) - (place.get(a)[0] < place.get(b)[0]);
    body.append(...[...rows].sort((a, b) => before(a, b) || place.get(a)[1] - place.get(b)[1]));
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows shown`;
  };
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const [name, select] of Object.entries(selects)) {
    const value = asked.get(name);
    if (value && [...select.options].some((option) => option.value === value)) select.value = value;
    select.addEventListener("change", () => {
      const chosen = new URLSearchParams();
      for (const [key, other] of Object.entries(selects)) if (other.value) chosen.set(key, other.value);
      history.replaceState(null, "", "#" + chosen);
      show();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
});
