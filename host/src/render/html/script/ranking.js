// The ranking: sorted by a click on a head, filtered by name. The timeline and the heat map have the
// same rows in the same order.

const ranking = (() => {
  const table = el("sources");
  // Before somebody asks for all of them.
  const FIRST = 20;
  let all = false;

  if (!table) return { find() {} };
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const names = data.labels.map((label) => label.toLowerCase());
  const row = (tr) => Number(tr.dataset.row);

  /** The value of a row that a column sorts by: the name, or the number behind the cell. */
  const value = (tr, column) => column === 1 ? names[row(tr)] : Number(tr.cells[column].dataset.v);

  function sort(column) {
    const now = heads[column].getAttribute("aria-sort");
    // Numbers start with the largest; the report's own order and names with the first.
    const first = column < 2 ? "ascending" : "descending";
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return x === y ? row(a) - row(b) : x < y ? -sign : sign;
    });
    body.append(...rows);
    show();
  }

  function show() {
    const wanted = el("filter").value.trim().toLowerCase();
    const idle = el("idle").checked;
    const fits = rows.filter((tr) =>
      names[row(tr)].includes(wanted) && (idle || wanted !== "" || !tr.classList.contains("idle")));
    const some = all || wanted !== "" ? fits : fits.slice(0, FIRST);
    for (const tr of rows) tr.hidden = true;
    for (const tr of some) tr.hidden = false;
    // A long table scrolls in itself, so that the timeline with its rows stays near.
    table.parentElement.classList.toggle("long", some.length > 2 * FIRST);
    el("count").textContent = `${some.length} of ${count(rows.length, "source")}`;
    el("more").hidden = wanted !== "" || fits.length <= FIRST;
    el("more").textContent = all ? `Only the first ${FIRST}` : `Show all ${fits.length}`;
    shownRows.set(some.map(row));
  }

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
  el("filter").addEventListener("input", show);
  el("idle").addEventListener("change", show);
  el("more").addEventListener("click", () => {
    all = !all;
    show();
  });
  body.addEventListener("click", (event) => {
    const tr = event.target.closest("tr");
    // Selecting a name to copy it is not a click.
    if (tr && getSelection().isCollapsed) picked.set(picked.get() === row(tr) ? null : row(tr));
  });
  picked.listen((which) => {
    for (const tr of rows) {
      const is = row(tr) === which;
      tr.classList.toggle("picked", is);
      tr.querySelector(".pick").setAttribute("aria-pressed", String(is));
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      el("filter").focus();
    } else if (event.key === "Escape" && event.target === el("filter")) {
      el("filter").value = "";
      show();
    }
  });
  show();
  return {
    /** Shows the sources with `name` in theirs, and picks the one of row `which`. */
    find(name, which) {
      el("filter").value = name;
      show();
      picked.set(which);
      el("ranking").scrollIntoView({ block: "start" });
    },
  };
})();
