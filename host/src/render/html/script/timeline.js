// The timeline: rows of items (attempts by outcome, waits, the charger, then each source) over one
// range of time. The mouse and the keys do the same things, and a live region reads out the item in focus.

(() => {
  const box = el("lanes");
  const ROW = 18, AXIS = 36, SIGHT = 24;
  const rows = rowsBox(box, ROW, SIGHT);
  const pinnedCanvas = box.querySelector(".pinned canvas");
  const { attempts, waits } = data;
  let width = 0, left = 0;
  // The item in focus: its row's index and its own.
  let focus = null;

  // Rows: a label, sorted items, their colour, and the details of one.

  const CLASSES = ["o-slept", "o-no-sleep", "o-aborted", "o-failed", "o-unknown"];
  const pinned = [];
  data.outcomes.forEach((outcome, index) => {
    const which = [];
    for (let i = 0; i < attempts.n; i++) if (attempts.outcome[i] === index) which.push(i);
    if (which.length === 0) return;
    pinned.push({
      label: `${outcome} · ${which.length.toLocaleString("en-GB")}`,
      start: which.map((i) => attempts.start[i]),
      end: which.map((i) => attempts.end[i]),
      color: CLASSES[index],
      brief: index > 0,
      details: (k) => describe.attempt(which[k]),
    });
  });
  if (waits.n > 0) {
    pinned.push({ label: `waits · ${waits.n.toLocaleString("en-GB")}`, start: waits.start, end: waits.end, color: "l-blocked", details: describe.wait });
  }
  if (data.charger.start.length > 0) {
    const { start, end } = data.charger;
    pinned.push({ label: "on a charger", start, end, color: "charger", details: (k) => describe.span("On a charger", start[k], end[k]) });
  }
  const sources = data.sources.map(({ start, end, duty }, index) => ({
    label: data.labels[index],
    source: index,
    start,
    end,
    duty,
    color: "held",
    details: (k) => describe.hold(data.labels[index], start[k], end[k], duty),
  }));
  let lanes = [];
  const all = () => [...pinned, ...lanes];

  // Sleeps, for the bands behind the sources.
  const sleeps = { start: [], end: [] };
  for (let i = 0; i < attempts.n; i++) {
    if (attempts.outcome[i] !== 0) continue;
    const step = attempts.steps(i).filter((s) => s.name === "machine_suspend");
    const begin = step.length ? step[0].start : attempts.start[i];
    const last = step.length ? step[step.length - 1].end : null;
    sleeps.start.push(begin);
    sleeps.end.push(last ?? attempts.end[i]);
  }

  // Drawing.

  // Where a time is drawn, and which time is drawn at a place.
  const x = (at) => {
    const { from, to } = range.get();
    return left + (at - from) / (to - from) * (width - left);
  };
  const at = (px) => {
    const { from, to } = range.get();
    return from + (px - left) / (width - left) * (to - from);
  };

  /**
   * The items of a row. Each pixel is as strong as the part of it that items cover, less the gaps
   * within them (`duty`), so that a dense row shows where it is denser; what covers next to nothing
   * is still to be seen. Rows of moments (`brief`) go by how many fall into a pixel.
   */
  function items(context, { start, end, brief, duty = 1 }, y, height, { from, to } = range.get()) {
    const pixels = Math.max(1, Math.ceil(width - left));
    const scale = pixels / (to - from);
    const covered = new Float32Array(pixels + 1);
    const hits = brief ? new Uint16Array(pixels + 1) : null;
    // Ends are sorted like starts: items of a row do not overlap.
    for (let i = above(end, from); i < start.length && start[i] < to; i++) {
      const a = Math.max(0, (start[i] - from) * scale), b = Math.min(pixels, (end[i] - from) * scale);
      const first = Math.floor(a), last = Math.floor(b);
      if (hits && hits[first] < 65535) hits[first]++;
      if (first === last) {
        covered[first] += Math.max(b - a, 1e-6);
      } else {
        covered[first] += first + 1 - a;
        covered.fill(1, first + 1, last);
        covered[last] += b - last;
      }
    }
    const peak = hits ? hits.reduce((a, b) => Math.max(a, b), 1) : 1;
    // In sixteen strengths, so that neighbours mostly are one box.
    const strength = (p) => {
      if (covered[p] === 0) return 0;
      const least = hits ? 0.35 + 0.65 * Math.max(1, hits[p]) / peak : 0.35;
      return Math.round(Math.min(1, Math.max(covered[p] * duty, least)) * 16);
    };
    for (let p = 0, begin = 0, now = strength(0); p < pixels; ) {
      const next = ++p < pixels ? strength(p) : -1;
      if (next === now) continue;
      if (now > 0) {
        context.globalAlpha = now / 16;
        context.fillRect(left + begin, y, p - begin, height);
      }
      begin = p;
      now = next;
    }
    context.globalAlpha = 1;
  }

  function lane(context, row, index, y) {
    const focused = focus && focus.row === index && document.activeElement === box;
    if (row.source !== undefined && row.source === picked.get()) {
      context.fillStyle = color("pick");
      context.fillRect(0, y, width, ROW);
    }
    context.fillStyle = color(row.source === undefined ? "text" : "dim");
    if (row.source !== undefined && row.source === picked.get()) context.fillStyle = color("text");
    context.fillText(fitted(context, row.label, left - 14), 4, y + ROW / 2 + 0.5);
    context.fillStyle = color(row.color);
    items(context, row, y + 4, ROW - 8);
    if (focused) {
      const a = Math.max(left, x(row.start[focus.item])), b = Math.min(width, x(row.end[focus.item]));
      context.strokeStyle = color("accent");
      context.lineWidth = 2;
      context.strokeRect(a - 2, y + 2, Math.max(2, b - a) + 4, ROW - 4);
    }
  }

  function axis(context) {
    if (data.empty) return;
    const { from, to } = range.get();
    const every = step(to - from, (width - left) / 92);
    const places = digits(every);
    context.strokeStyle = color("rule");
    context.lineWidth = 1;
    context.textAlign = "left";
    context.fillStyle = color("faint");
    context.fillText("UTC", left - 30, 9);
    context.fillText("session", left - 49, 23);
    for (let mark = Math.ceil(from / every) * every; mark <= to; mark += every) {
      const px = Math.round(x(mark)) + 0.5;
      context.beginPath();
      context.moveTo(px, 2);
      context.lineTo(px, AXIS);
      context.stroke();
      if (px > width - 52) continue;
      context.fillStyle = color("dim");
      context.fillText(wall(mark, places), px + 4, 9);
      context.fillStyle = color("faint");
      context.fillText(elapsed(mark, places), px + 4, 23);
    }
  }

  function grid(context, height, bands) {
    const { from, to } = range.get();
    if (bands) {
      context.fillStyle = color("asleep-band");
      items(context, sleeps, 0, height);
    }
    const every = step(to - from, (width - left) / 92);
    context.strokeStyle = color("rule");
    context.lineWidth = 1;
    context.beginPath();
    for (let mark = Math.ceil(from / every) * every; mark <= to; mark += every) {
      const px = Math.round(x(mark)) + 0.5;
      context.moveTo(px, 0);
      context.lineTo(px, height);
    }
    context.stroke();
  }

  function draw() {
    width = box.clientWidth;
    left = gutter(width);
    const height = AXIS + pinned.length * ROW + 4;
    const head = prepare(pinnedCanvas, width, height);
    axis(head);
    head.save();
    head.translate(0, AXIS);
    grid(head, pinned.length * ROW + 4, false);
    pinned.forEach((row, index) => lane(head, row, index, index * ROW));
    head.restore();

    const { sight, first, offset } = rows.fit(lanes.length);
    const context = prepare(rows.canvas, width, sight);
    grid(context, sight, true);
    for (let i = first, y = offset; i < lanes.length && y < sight; i++, y += ROW) {
      lane(context, lanes[i], pinned.length + i, y);
    }
    overview();
    const { from, to } = range.get();
    box.dataset.from = from;
    box.dataset.to = to;
    const places = digits((to - from) / 100);
    const part = to - from < data.took ? `${time(to - from)} of ${time(data.took)}` : `all of ${time(data.took)}`;
    if (data.empty) {
      el("range").textContent = "no time passed";
      return;
    }
    const date = day(from) === day(to) ? day(from) : `${day(from)} to ${day(to)}`;
    el("range").textContent = `${elapsed(from, places)} – ${elapsed(to, places)} · ${part} · ${date}`;
  }

  // The whole session, and which part of it is shown.

  const strip = el("overview");
  function overview() {
    const canvas = strip.querySelector("canvas");
    const whole = strip.clientWidth, height = 26;
    const context = prepare(canvas, whole, height);
    const scale = (whole - left) / data.took;
    context.fillStyle = color("ground");
    context.fillRect(left, 0, whole - left, height);
    for (const row of pinned) {
      if (row.color === "charger") continue;
      context.fillStyle = color(row.color);
      const [list, y, h] = row.color === "o-slept" ? [sleeps, 2, 9] : row.color === "l-blocked" ? [row, 19, 5] : [row, 12, 5];
      items(context, list, y, h, { from: 0, to: data.took });
    }
    const { from, to } = range.get();
    const [a, b] = [left + from * scale, Math.max(left + from * scale + 2, left + to * scale)];
    context.fillStyle = color("veil");
    context.fillRect(left, 0, a - left, height);
    context.fillRect(b, 0, whole - b, height);
    context.strokeStyle = color("accent");
    context.lineWidth = 1;
    context.strokeRect(a + 0.5, 0.5, Math.max(1, b - a - 1), height - 1);
  }

  const redraw = framed(draw);

  // Focus.

  function nearest(row, time, reach) {
    const i = above(row.start, time);
    let best = -1, least = reach;
    for (const k of [i - 1, i]) {
      if (k < 0 || k >= row.start.length) continue;
      const distance = Math.max(row.start[k] - time, time - row.end[k], 0);
      if (distance <= least) {
        best = k;
        least = distance;
      }
    }
    return best;
  }

  function rowAt(clientY) {
    const head = pinnedCanvas.getBoundingClientRect();
    if (clientY < head.bottom) return clientY - head.top < AXIS ? -1 : Math.min(pinned.length - 1, Math.floor((clientY - head.top - AXIS) / ROW));
    const body = rows.scroller.getBoundingClientRect();
    return pinned.length + Math.floor((clientY - body.top + rows.scroller.scrollTop) / ROW);
  }

  function hover(event) {
    const row = all()[rowAt(event.clientY)];
    const px = event.clientX - box.getBoundingClientRect().left;
    if (!row || px < left) {
      if (row && row.source !== undefined) return tip.show(event.clientX, event.clientY, { title: row.label, pairs: [["held", count(row.start.length, "time")]] });
      return tip.hide();
    }
    const { from, to } = range.get();
    const item = nearest(row, at(px), 4 * (to - from) / (width - left));
    if (item < 0) tip.hide(); else tip.show(event.clientX, event.clientY, row.details(item));
  }

  function setFocus(row, item) {
    const list = all();
    if (!list[row] || item < 0) return;
    focus = { row, item };
    const { start, end, label } = list[row];
    range.reveal(start[item], end[item]);
    if (row >= pinned.length) rows.reveal(row - pinned.length);
    draw();
    const details = list[row].details(item);
    el("lanes-said").textContent = `${label}: ${spoken(details)}`;
    const body = row < pinned.length ? pinnedCanvas : rows.scroller;
    const y = row < pinned.length ? AXIS + row * ROW : (row - pinned.length) * ROW - rows.scroller.scrollTop;
    const frame = body.getBoundingClientRect();
    tip.show(frame.left + Math.max(left, Math.min(width, x((start[item] + end[item]) / 2))), frame.top + y + ROW / 2, details);
  }

  function move(rowBy, itemBy) {
    const list = all();
    if (list.length === 0) return;
    const { from, to } = range.get();
    const middle = (from + to) / 2;
    if (!focus || !list[focus.row] || focus.item >= list[focus.row].start.length) {
      const row = list.findIndex((r) => r.start.length > 0);
      return row >= 0 && setFocus(row, nearest(list[row], middle, Infinity));
    }
    if (itemBy) {
      const last = list[focus.row].start.length - 1;
      return setFocus(focus.row, Math.min(last, Math.max(0, focus.item + itemBy)));
    }
    // The next row that has items, at about the same time.
    const time = list[focus.row].start[focus.item];
    for (let row = focus.row + rowBy; list[row]; row += rowBy) {
      if (list[row].start.length > 0) return setFocus(row, nearest(list[row], time, Infinity));
    }
  }

  const zoomStep = (factor) => {
    const { from, to } = range.get();
    const item = focus && document.activeElement === box && all()[focus.row];
    const middle = item ? (item.start[focus.item] + item.end[focus.item]) / 2 : (from + to) / 2;
    range.zoom(factor, middle >= from && middle <= to ? middle : (from + to) / 2);
  };

  const KEYS = {
    ArrowLeft: () => move(0, -1),
    ArrowRight: () => move(0, 1),
    ArrowUp: () => move(-1, 0),
    ArrowDown: () => move(1, 0),
    Home: () => move(0, -Infinity),
    End: () => move(0, Infinity),
    "+": () => zoomStep(0.5),
    "=": () => zoomStep(0.5),
    "-": () => zoomStep(2),
    "0": () => range.fit(),
    Enter() {
      const row = focus && all()[focus.row];
      if (!row) return;
      range.frame(row.start[focus.item], row.end[focus.item]);
      setFocus(focus.row, focus.item);
    },
    Escape: () => tip.hide(),
  };

  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { from, to } = range.get();
    if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault();
      tip.hide();
      return range.pan((event.key === "ArrowLeft" ? -0.25 : 0.25) * (to - from));
    }
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  box.addEventListener("focus", redraw);
  box.addEventListener("blur", () => {
    tip.hide();
    redraw();
  });

  // The mouse: a drag moves, a click picks, Ctrl and the wheel zoom.

  let drag = null;
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, moved: false, ...range.get() };
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event);
    const by = event.clientX - drag.x;
    drag.moved ||= Math.abs(by) > 3;
    if (!drag.moved) return;
    tip.hide();
    const shift = by / (width - left) * (drag.to - drag.from);
    range.set(drag.from - shift, drag.to - shift);
  });
  box.addEventListener("pointerup", (event) => {
    const clicked = drag && !drag.moved;
    drag = null;
    if (!clicked) return;
    const index = rowAt(event.clientY), row = all()[index];
    if (!row) return;
    const { from, to } = range.get();
    const px = event.clientX - box.getBoundingClientRect().left;
    const item = px < left ? -1 : nearest(row, at(px), 4 * (to - from) / (width - left));
    if (item >= 0) setFocus(index, item);
    if (row.source !== undefined) picked.set(row.source);
  });
  box.addEventListener("pointercancel", () => drag = null);
  box.addEventListener("pointerleave", () => drag || tip.hide());
  box.addEventListener("dblclick", (event) => {
    range.zoom(0.25, at(event.clientX - box.getBoundingClientRect().left));
  });
  box.addEventListener("wheel", (event) => {
    const { from, to } = range.get();
    const lines = event.deltaMode === 0 ? 1 : 16;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const px = Math.max(left, event.clientX - box.getBoundingClientRect().left);
      range.zoom(Math.exp(event.deltaY * lines * 0.004), at(px));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = (event.deltaX || event.deltaY) * lines;
      range.pan(by / (width - left) * (to - from));
    }
    tip.hide();
  }, { passive: false });
  rows.scroller.addEventListener("scroll", redraw);

  // The strip: a drag chooses a range, a click moves there.

  let brush = null;
  const stripAt = (event) => {
    const frame = strip.getBoundingClientRect();
    return (event.clientX - frame.left - left) / (frame.width - left) * data.took;
  };
  strip.addEventListener("pointerdown", (event) => {
    brush = { x: event.clientX, at: stripAt(event) };
    strip.setPointerCapture(event.pointerId);
  });
  strip.addEventListener("pointermove", (event) => {
    if (brush && Math.abs(event.clientX - brush.x) > 3) {
      const to = stripAt(event);
      range.set(Math.min(brush.at, to), Math.max(brush.at, to));
    }
  });
  strip.addEventListener("pointerup", (event) => {
    if (brush && Math.abs(event.clientX - brush.x) <= 3) {
      const { from, to } = range.get();
      range.set(brush.at - (to - from) / 2, brush.at + (to - from) / 2);
    }
    brush = null;
  });

  el("zoom-in").addEventListener("click", () => zoomStep(0.5));
  el("zoom-out").addEventListener("click", () => zoomStep(2));
  el("fit").addEventListener("click", () => range.fit());

  range.listen(redraw);
  picked.listen(redraw);
  shownRows.listen((which) => {
    lanes = which.map((index) => sources[index]);
    if (focus && focus.row >= pinned.length) focus = null;
    redraw();
  });
  lanes = shownRows.get().map((index) => sources[index]);
  new ResizeObserver(redraw).observe(box);
})();
