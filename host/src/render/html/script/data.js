// The embedded data, unpacked into columns. See host/src/render/html/data.rs.

const data = (() => {
  const raw = JSON.parse(document.getElementById("data").textContent);

  /** Gap and length in turn → starts and ends. */
  const spans = (turns) => {
    const n = turns.length / 2;
    const start = new Float64Array(n), end = new Float64Array(n);
    for (let i = 0, at = 0; i < n; i++) {
      start[i] = at += turns[2 * i];
      end[i] = at += turns[2 * i + 1];
    }
    return { start, end };
  };

  const a = raw.attempts;
  const n = a.gap.length;
  const attempts = { n, start: new Float64Array(n), end: new Float64Array(n), outcome: Uint8Array.from(a.outcome) };
  for (let i = 0, at = 0; i < n; i++) {
    attempts.start[i] = at += a.gap[i];
    attempts.end[i] = at + a.took[i];
  }
  attempts.slept = a.slept;
  attempts.entries = a.entries;
  attempts.word = (column, i) => raw.words[a[column][i]];

  /** The sources that kept attempt i from sleeping: label, whether that is proven, and whether it settled it. */
  attempts.causes = (i) => pairs(a.causes[i]).map(([label, flags]) => ({ label, proven: (flags & 1) !== 0, first: (flags & 2) !== 0 }));

  /** The interrupt and the source that ended its sleep, or null. */
  attempts.wake = (i) => {
    if (a.wake[i] < 0) return null;
    const [label, irq, evidence, charged] = raw.wakes[a.wake[i]];
    return { label, irq, evidence: raw.words[evidence], charged };
  };

  /** Its steps, `end` null where it did not come. */
  attempts.steps = (i) => {
    const steps = [], turns = a.steps[i];
    for (let k = 0, at = attempts.start[i]; k < turns.length; k += 3) {
      at += turns[k + 1];
      steps.push({ name: raw.words[turns[k]], start: at, end: turns[k + 2] < 0 ? null : at + turns[k + 2] });
    }
    return steps;
  };

  const waits = { n: raw.waits.length, start: [], end: [], result: [] };
  let at = 0;
  for (const [gap, took, idle, blockers, more] of raw.waits) {
    at += gap;
    waits.start.push(at);
    waits.end.push(at + took);
    waits.result.push({ idle, blockers: pairs(blockers), more });
  }

  function pairs(flat) {
    const all = [];
    for (let k = 0; k < flat.length; k += 2) all.push([flat[k], flat[k + 1]]);
    return all;
  }

  return {
    startReal: raw.start_real,
    took: Math.max(1, raw.took),
    empty: raw.took === 0,
    outcomes: raw.outcomes,
    steps: raw.steps,
    labels: raw.labels,
    // `duty`: which part of its spans a source was held for. Close holds are one span.
    sources: raw.spans.map((turns, index) => {
      const drawn = turns.reduce((sum, length, k) => k % 2 ? sum + length : sum, 0);
      return { ...spans(turns), duty: drawn > 0 ? Math.min(1, raw.held[index] / drawn) : 1 };
    }),
    charger: spans(raw.charger),
    // Holds no farther apart than this are one.
    grain: raw.grain,
    attempts,
    waits,
  };
})();

/** The first index whose value is above `value`: all arrays searched like this are sorted. */
function above(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}
