// Filters the scoreboard by part and verdict, in the page, without a server. The choice is kept in the address
// (#part=...&verdict=...), so that a filtered view can be linked.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("scoreboard-filter");
  const table = document.querySelector("table.scoreboard");
  if (!form || !table) return;
  const selects = { part: form.querySelector("#scoreboard-part"), verdict: form.querySelector("#scoreboard-verdict") };
  const count = form.querySelector("#scoreboard-count");
  const rows = [...table.querySelectorAll("tbody tr")];
  const show = () => {
    const wanted = Object.values(selects).map((select) => select.value).filter(Boolean);
    for (const row of rows) row.hidden = !wanted.every((name) => row.classList.contains(name));
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
