// The heat map: sources by the attempts that they concern. Its columns are the attempts of the
// timeline's range, several in one where there are more than fit.

(() => {
  const box = el("cells");
  const ROW = 16, AXIS = 20, SIGHT = 24, NARROWEST = 4, WIDEST = 28;
  const rows = rowsBox(box, ROW, SIGHT);
  const pinnedCanvas = box.querySelector(".pinned canvas");
  const { attempts } = data;
  const MODES = {
    aborts: { color: "o-aborted", words: "kept from sleeping by", single: "kept the attempt from sleeping", none: "No source kept an attempt of this range from sleeping." },
    wakes: { color: "o-slept", words: "woken by", single: "ended its sleep", none: "No sleep of this range was ended by a known source or interrupt." },
    held: { color: "held", words: "started while held:", single: "was held when it started", none: "No source was held when an attempt of this range started." },
  };
  let mode = "aborts";
  let width = 0, left = 0;
  let cursor = null;
  // The drawing: rows with a count for each column, and the largest part of a column's attempts.
  let map = { rows: [], columns: 0, from: 0, to: 0, peak: 1 };

  const n = () => map.to - map.from;
  /** The first attempt of a column. */
  const begin = (column) => map.from + Math.floor(column * n() / map.columns);
  /** The column of an attempt. */
  const column = (i) => Math.floor(((i - map.from + 1) * map.columns - 1) / n());
  /** A round number that is not below `least`. */
  const round = (least) => {
    const power = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, least))));
    return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= least) ?? 10 * power;
  };

  /** Calls `hit(source, attempt)` for each that the mode counts. */
  function each(from, to, hit) {
    if (mode === "held") {
      data.sources.forEach(({ start, end }, source) => {
        // Both are sorted: one walk along both.
        let k = above(end, attempts.start[from] ?? 0);
        for (let i = from; i < to && k < start.length; i++) {
          while (k < start.length && end[k] <= attempts.start[i]) k++;
          if (k < start.length && start[k] <= attempts.start[i]) hit(source, i);
        }
      });
      return;
    }
    for (let i = from; i < to; i++) {
      if (mode === "aborts") {
        // Two instances of one name are one row: the attempt counts once.
        for (const label of new Set(attempts.causes(i).map((cause) => cause.label))) hit(label, i);
      } else {
        const wake = attempts.wake(i);
        if (wake && wake.charged >= 0) hit(wake.charged, i);
      }
    }
  }

  function build() {
    const { from, to } = range.get();
    map.from = above(attempts.end, from);
    map.to = Math.max(map.from, above(attempts.start, to));
    map.columns = Math.min(n(), Math.floor((width - left) / NARROWEST));
    const counts = new Map();
    if (map.columns > 0) {
      each(map.from, map.to, (source, i) => {
        let row = counts.get(source);
        if (!row) counts.set(source, row = new Uint32Array(map.columns));
        row[column(i)]++;
      });
    }
    map.rows = shownRows.get().filter((source) => counts.has(source)).map((source) => ({ source, counts: counts.get(source) }));
    map.peak = 0;
    for (const { counts } of map.rows) {
      counts.forEach((hits, c) => map.peak = Math.max(map.peak, hits / (begin(c + 1) - begin(c))));
    }
  }

  const cell = () => Math.min(WIDEST, (width - left) / Math.max(1, map.columns));

  function draw() {
    width = box.clientWidth;
    left = gutter(width);
    build();
    const head = prepare(pinnedCanvas, width, AXIS);
    const size = cell();
    head.fillStyle = color("faint");
    head.fillText("attempt", left - 49, 9);
    const every = round(n() / Math.max(1, size * map.columns / 70));
    for (let i = Math.ceil(map.from / every) * every; i < map.to; i += every) {
      head.fillText(i.toLocaleString("en-GB"), left + column(i) * size + 1, 9);
    }

    const { sight, first, offset } = rows.fit(Math.max(1, map.rows.length));
    const context = prepare(rows.canvas, width, sight);
    if (map.rows.length === 0) {
      context.fillStyle = color("dim");
      const why = attempts.n === 0 ? "This trace has no suspend attempt." : map.columns === 0 ? "No attempt is in this range." : MODES[mode].none;
      context.fillText(why, left, ROW / 2);
    }
    for (let i = first, y = offset; i < map.rows.length && y < sight; i++, y += ROW) {
      const { source, counts } = map.rows[i];
      if (source === picked.get()) {
        context.fillStyle = color("pick");
        context.fillRect(0, y, width, ROW);
      }
      context.globalAlpha = 1;
      context.fillStyle = color(source === picked.get() ? "text" : "dim");
      context.fillText(fitted(context, data.labels[source], left - 14), 4, y + ROW / 2 + 0.5);
      context.fillStyle = color("ground");
      context.fillRect(left, y + 1, size * map.columns, ROW - 2);
      context.fillStyle = color(MODES[mode].color);
      const gap = size > 8 ? 1 : 0;
      for (let c = 0; c < map.columns; c++) {
        if (counts[c] === 0) continue;
        context.globalAlpha = shade(counts[c] / (begin(c + 1) - begin(c)));
        context.fillRect(left + c * size, y + 1, size - gap, ROW - 2);
      }
      context.globalAlpha = 1;
    }
    if (cursor && document.activeElement === box) {
      const y = (cursor.row - first) * ROW + offset;
      context.strokeStyle = color("accent");
      context.lineWidth = 2;
      context.strokeRect(left + cursor.column * size - 1, y, size + 2, ROW);
    }
    const each = n() > map.columns && map.columns > 0 ? ` · about ${Math.round(n() / map.columns)} to a column` : "";
    el("heat-range").textContent = `${count(n(), "attempt")}${each} · ${count(map.rows.length, "source")}`;
  }

  /** The strength of a part of a column's attempts: rare is still to be seen. */
  function shade(part) {
    return 0.2 + 0.8 * part / map.peak;
  }

  function legend() {
    const swatch = (part, words) => {
      const box = make("i");
      box.style.background = color(MODES[mode].color);
      box.style.opacity = shade(part);
      return make("li", {}, box, words);
    };
    const single = n() === map.columns;
    const parts = single ? [swatch(map.peak, MODES[mode].single)] : [
      make("li", {}, "of the attempts in a column:"),
      ...[0.25, 0.5, 1].map((part) => swatch(part * map.peak, percent(part * map.peak, 1))),
    ];
    el("heat-legend").replaceChildren(make("ul", { class: "legend" }, ...(map.rows.length > 0 ? parts : [])));
  }

  const redraw = framed(() => {
    draw();
    legend();
  });

  function details(row, at) {
    const { source, counts } = map.rows[row];
    const [from, to] = [begin(at), begin(at + 1)];
    const size = to - from;
    const which = size === 1 ? `Attempt ${from}: ${data.outcomes[attempts.outcome[from]]}` : `Attempts ${from} to ${to - 1}`;
    const pairs = [["at", `${elapsed(attempts.start[from])} · ${wall(attempts.start[from])} UTC`]];
    pairs.push([MODES[mode].words, data.labels[source]]);
    if (size > 1) pairs.push(["of them", `${counts[at]} of ${size} (${percent(counts[at], size)})`]);
    else if (counts[at] === 0) pairs.push(["", "not this one"]);
    if (mode === "aborts" && size === 1) {
      const cause = attempts.causes(from).find((c) => c.label === source);
      if (cause) pairs.push(["that is", cause.proven ? "proven" : "likely"]);
    }
    return { title: which, pairs };
  }

  function place(event) {
    const body = rows.scroller.getBoundingClientRect();
    const row = Math.floor((event.clientY - body.top + rows.scroller.scrollTop) / ROW);
    const at = Math.floor((event.clientX - body.left - left) / cell());
    return event.clientY >= body.top && map.rows[row] && at >= 0 && at < map.columns ? { row, column: at } : null;
  }

  box.addEventListener("pointermove", (event) => {
    const where = place(event);
    if (where) tip.show(event.clientX, event.clientY, details(where.row, where.column)); else tip.hide();
  });
  box.addEventListener("pointerleave", () => tip.hide());
  box.addEventListener("click", (event) => {
    const where = place(event);
    if (!where) return;
    cursor = where;
    picked.set(map.rows[where.row].source);
  });
  box.addEventListener("dblclick", () => go());

  function go() {
    if (!cursor || !map.rows[cursor.row]) return;
    const [from, to] = [begin(cursor.column), begin(cursor.column + 1)];
    range.frame(attempts.start[from], attempts.end[to - 1]);
    el("timeline").scrollIntoView({ block: "nearest" });
  }

  const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return go();
    if (event.key === "Escape") return tip.hide();
    const by = MOVES[event.key];
    if (!by || map.rows.length === 0) return;
    event.preventDefault();
    const clamp = (n, most) => Math.min(most, Math.max(0, n));
    cursor = cursor
      ? { row: clamp(cursor.row + by[0], map.rows.length - 1), column: clamp(cursor.column + by[1], map.columns - 1) }
      : { row: 0, column: 0 };
    rows.reveal(cursor.row);
    draw();
    const item = details(cursor.row, cursor.column);
    el("cells-said").textContent = spoken(item);
    const body = rows.scroller.getBoundingClientRect();
    tip.show(body.left + left + (cursor.column + 0.5) * cell(), body.top + (cursor.row + 0.5) * ROW - rows.scroller.scrollTop, item);
  });
  box.addEventListener("focus", redraw);
  box.addEventListener("blur", () => {
    tip.hide();
    redraw();
  });

  for (const button of document.querySelectorAll("#heat [data-mode]")) {
    button.addEventListener("click", () => {
      mode = button.dataset.mode;
      for (const other of document.querySelectorAll("#heat [data-mode]")) other.setAttribute("aria-pressed", String(other === button));
      cursor = null;
      redraw();
    });
  }

  rows.scroller.addEventListener("scroll", redraw);
  const reset = () => {
    cursor = null;
    redraw();
  };
  range.listen(reset);
  shownRows.listen(reset);
  picked.listen(redraw);
  new ResizeObserver(redraw).observe(box);
})();
