// Suspend stages: how long each takes, as a distribution over all attempts, and over time for the
// one that is chosen.

(() => {
  const host = el("stages");
  const { attempts } = data;
  const HEIGHT = 24;
  const FALLING = "going to sleep, in all", WAKING = "waking up, in all";

  // Durations by stage, with the attempts that they are of.
  const stages = new Map();
  const add = (name, took, i) => {
    let stage = stages.get(name);
    if (!stage) stages.set(name, stage = { name, all: [], of: [] });
    stage.all.push(took);
    stage.of.push(i);
  };
  for (let i = 0; i < attempts.n; i++) {
    const steps = attempts.steps(i);
    // The sleep itself is no latency.
    const sleeps = steps.filter((s) => s.name === "machine_suspend" && s.end !== null);
    for (const s of steps) {
      if (s.name !== "machine_suspend" && s.end !== null) add(s.name, s.end - s.start, i);
    }
    if (attempts.outcome[i] === 0 && sleeps.length) {
      add(FALLING, sleeps[0].start - attempts.start[i], i);
      add(WAKING, attempts.end[i] - sleeps[sleeps.length - 1].end, i);
    }
  }
  // In the order of an attempt, the sums last.
  const order = [...data.steps, FALLING, WAKING];
  const sum = (stage) => stage.name === FALLING || stage.name === WAKING;
  const list = [...stages.values()].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  if (list.length === 0) {
    host.append(make("p", { class: "empty" }, "No stage of an attempt is in this trace."));
    return;
  }
  let least = Infinity, most = 1;
  for (const stage of list) {
    stage.sorted = Float64Array.from(stage.all).sort();
    least = Math.min(least, stage.sorted[0]);
    most = Math.max(most, stage.sorted[stage.sorted.length - 1]);
  }
  // Whole decades, in µs.
  const low = Math.floor(Math.log10(Math.max(1, least)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(most)));
  const part = (us) => (Math.log10(Math.max(10 ** low, us)) - low) / (high - low);
  const quantile = (stage, q) => stage.sorted[Math.min(stage.sorted.length - 1, Math.floor(q * stage.sorted.length))];

  const axis = make("canvas", { "aria-hidden": "true" });
  const head = make("tr", {}, ...["stage", "count", "median", "95 %", "longest"].map((text) => make("th", { scope: "col" }, text)),
    make("th", { scope: "col", class: "strip" }, make("span", { class: "unseen" }, "distribution"), axis));
  const body = make("tbody");
  for (const stage of list) {
    const button = make("button", { type: "button", class: "pick", "aria-pressed": "false" }, stage.name.replaceAll("_", " "));
    stage.canvas = make("canvas", { "aria-hidden": "true" });
    stage.button = button;
    stage.tr = make("tr", sum(stage) ? { class: "sum" } : {},
      make("th", { scope: "row", class: "name" }, button),
      ...[stage.sorted.length.toLocaleString("en-GB"), time(quantile(stage, 0.5)), time(quantile(stage, 0.95)), time(quantile(stage, 1))].map((text) => make("td", {}, text)),
      make("td", { class: "strip" }, stage.canvas));
    stage.tr.addEventListener("click", () => choose(stage));
    body.append(stage.tr);
  }
  const table = make("table", { class: "stages" }, make("thead", {}, head), body);
  host.append(table);

  function draw() {
    // Without the canvases, which would keep the column as wide as it was.
    table.classList.add("measured");
    const width = Math.max(80, axis.parentElement.clientWidth - 20);
    table.classList.remove("measured");
    const inner = width - 2;
    const context = prepare(axis, width, 14);
    context.fillStyle = color("faint");
    // Where there is no room, the ends alone.
    const every = inner / (high - low) < 48 ? high - low : 1;
    for (let power = low; power <= high; power += every) {
      const text = `${10 ** (power % 3)} ${["µs", "ms", "s", "ks"][Math.floor(power / 3)] ?? ""}`;
      context.textAlign = power === low ? "left" : power === high ? "right" : "center";
      context.fillText(text, 1 + (power - low) / (high - low) * inner, 8);
    }
    for (const stage of list) strip(stage, width, inner);
  }

  /** A histogram of log durations, a pixel and a half wide each, with marks at median and 95 %. */
  function strip(stage, width, inner) {
    const context = prepare(stage.canvas, width, HEIGHT);
    context.strokeStyle = color("rule");
    context.beginPath();
    for (let power = low; power <= high; power++) {
      const x = Math.round((power - low) / (high - low) * inner) + 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, HEIGHT);
    }
    context.stroke();
    const bins = new Uint32Array(Math.ceil(inner / 2) + 1);
    for (const took of stage.sorted) bins[Math.floor(part(took) * inner / 2)]++;
    const peak = Math.max(...bins);
    context.fillStyle = color(sum(stage) ? "dim" : "held");
    bins.forEach((n, bin) => {
      if (n === 0) return;
      const h = Math.max(3, Math.sqrt(n / peak) * (HEIGHT - 8));
      context.fillRect(bin * 2, HEIGHT - 3 - h, 2, h);
    });
    const mark = (us, name, h) => {
      context.fillStyle = color(name);
      context.fillRect(1 + part(us) * inner - 1, HEIGHT - 3 - h, 2, h + 3);
    };
    mark(quantile(stage, 0.95), "l-blocked", HEIGHT - 8);
    mark(quantile(stage, 0.5), "text", HEIGHT - 6);
  }

  // The chosen stage over time.

  const course = el("course");
  const place = course.querySelector(".chart");
  let chosen = null, plot = null;

  function choose(stage) {
    chosen = chosen === stage ? null : stage;
    for (const other of list) {
      other.button.setAttribute("aria-pressed", String(other === chosen));
      other.tr.classList.toggle("picked", other === chosen);
    }
    course.hidden = chosen === null;
    chart();
  }

  const unix = (us) => (data.startReal + us) / 1e6;

  function chart() {
    plot?.destroy();
    plot = null;
    el("stage").textContent = chosen ? `${chosen.name.replaceAll("_", " ")} over time` : "choose one to see it over time";
    if (!chosen) return;
    const { from, to } = range.get();
    const slept = [], other = [], times = [];
    chosen.of.forEach((i, k) => {
      times.push(unix(attempts.start[i]));
      const ms = Math.max(chosen.all[k], 1) / MS;
      slept.push(attempts.outcome[i] === 0 ? ms : null);
      other.push(attempts.outcome[i] === 0 ? null : ms);
    });
    const line = { stroke: () => color("dim"), grid: { stroke: () => color("rule"), width: 1 }, ticks: { stroke: () => color("rule"), width: 1, size: 4 }, font: FONT };
    const points = (label, name) => ({
      label,
      paths: () => null,
      stroke: () => color(name),
      points: { show: true, size: 5, width: 0, fill: () => color(name), stroke: () => color(name) },
      value: (_, ms) => ms == null ? "–" : time(ms * MS),
    });
    plot = new uPlot({
      width: place.clientWidth,
      height: 220,
      tzDate: (second) => uPlot.tzDate(new Date(second * 1e3), "Etc/UTC"),
      scales: { x: { min: unix(from), max: unix(to) }, y: { distr: 3, log: 10 } },
      axes: [{ ...line, values: (_, marks, __, ___, every) => marks.map((s) => wall(s * 1e6 - data.startReal, digits(every * 1e6))) }, { ...line, size: 64, values: (_, marks) => marks.map((ms) => ms === null || !/^1(0*|e.*)$|^0\.0*1$/.test(String(ms)) ? "" : time(ms * MS + 1e-6)) }],
      series: [{ label: "UTC", value: (_, s) => s == null ? "–" : wall(s * 1e6 - data.startReal) }, points("slept", "o-slept"), points("did not", "o-aborted")],
      // A drag chooses the range of everything.
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      hooks: {
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          const at = (px) => u.posToVal(px, "x") * 1e6 - data.startReal;
          range.set(at(u.select.left), at(u.select.left + u.select.width));
        }],
      },
    }, [times, slept, other], place);
    place.setAttribute("aria-label", `${chosen.name} over time: ${count(chosen.all.length, "attempt")}, median ${time(quantile(chosen, 0.5))}, longest ${time(quantile(chosen, 1))}`);
  }

  // The keys move the chart's cursor from attempt to attempt.
  place.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!plot || !by) return;
    event.preventDefault();
    const last = chosen.all.length - 1;
    const now = plot.cursor.idx ?? above(plot.data[0], plot.scales.x.min) - (by > 0 ? 1 : 0);
    const k = Math.min(last, Math.max(0, now + by));
    const i = chosen.of[k];
    range.reveal(attempts.start[i], attempts.end[i]);
    plot.setCursor({ left: plot.valToPos(plot.data[0][k], "x"), top: plot.valToPos(Math.max(chosen.all[k], 1) / MS, "y") });
    el("course-said").textContent = `Attempt ${i}, ${data.outcomes[attempts.outcome[i]]}: ${time(chosen.all[k])} at ${elapsed(attempts.start[i])}`;
  });

  const redraw = framed(draw);
  redraws.push(chart);
  range.listen(({ from, to }) => plot?.setScale("x", { min: unix(from), max: unix(to) }));
  new ResizeObserver(() => {
    redraw();
    plot?.setSize({ width: place.clientWidth, height: 220 });
  }).observe(host);
  chart();
})();
