(() => {
  "use strict";

  function sortBy(table, heads, column) {
    const head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const compare = head.classList.contains("number")
      ? (one, other) => Number(value(one)) - Number(value(other))
      : (one, other) => value(one).localeCompare(value(other), "en", { numeric: true });
    const rows = [...table.tBodies[0].rows];
    const told = rows.filter((row) => value(row) !== "").sort((one, other) => (down ? -1 : 1) * compare(one, other));
    table.tBodies[0].append(...told, ...rows.filter((row) => value(row) === ""));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sortBy(table, heads, column)));
  }

  const buttons = [...document.querySelectorAll(".views button")];
  function show(view) {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    for (const plot of document.querySelectorAll("[data-plot]")) plot.hidden = plot.dataset.plot !== view;
    hide();
  }
  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.view));

  const box = document.getElementById("told");
  const rowOf = (entry) => document.querySelector(`tr[data-entry="${entry}"]`);
  function hide() {
    if (box) box.hidden = true;
    for (const row of document.querySelectorAll("tr.lit")) row.classList.remove("lit");
  }
  function tell(point) {
    hide();
    box.replaceChildren(...document.getElementById(`entry-${point.dataset.entry}`).cloneNode(true).childNodes);
    box.hidden = false;
    rowOf(point.dataset.entry).classList.add("lit");
    const at = point.getBoundingClientRect();
    const room = document.documentElement.clientWidth - box.offsetWidth - 8;
    const above = at.top - box.offsetHeight - 10;
    box.style.left = `${window.scrollX + Math.max(8, Math.min(at.left + 14, room))}px`;
    box.style.top = `${window.scrollY + (above > 0 ? above : at.bottom + 10)}px`;
  }
  for (const point of document.querySelectorAll(".point")) {
    point.querySelector("title").remove();
    point.addEventListener("mouseenter", () => tell(point));
    point.addEventListener("focus", () => tell(point));
    point.addEventListener("mouseleave", hide);
    point.addEventListener("blur", hide);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
