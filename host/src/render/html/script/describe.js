// The details of an item, for the box beside the pointer and for a screen reader: a title, and pairs
// of words.

const describe = (() => {
  const { attempts, waits } = data;

  function when(start, end) {
    return [["at", `${elapsed(start)} · ${wall(start)} UTC`], ["took", time(end - start)]];
  }

  function span(title, start, end) {
    return { title, pairs: when(start, end) };
  }

  function hold(label, start, end, duty) {
    if (duty > 0.98) return span(`${label} held`, start, end);
    const item = span(`${label} held repeatedly`, start, end);
    item.pairs.push(["held", `${percent(duty, 1)} of the drawn time, over the session`]);
    if (data.grain > 0) item.pairs.push(["gaps", `up to ${time(data.grain)} are not drawn`]);
    return item;
  }

  function attempt(i) {
    const pairs = when(attempts.start[i], attempts.end[i]);
    if (attempts.slept[i] > 0) pairs.push(["slept", time(attempts.slept[i])]);
    pairs.push(["ended at", attempts.word("stage", i)], ["returned", attempts.word("returned", i)], ["mode", attempts.word("mode", i)]);
    if (attempts.entries[i] > 1) pairs.push(["entered s2idle", `${attempts.entries[i]} times`]);
    if (attempts.word("failure", i)) pairs.push(["failed by", attempts.word("failure", i)]);
    if (attempts.word("reason", i)) pairs.push(["resumed by", attempts.word("reason", i)]);
    for (const { label, proven, first } of attempts.causes(i)) pairs.push([first ? "first kept awake by" : "kept awake by", data.labels[label] + (proven ? "" : " (likely)")]);
    const wake = attempts.wake(i);
    if (wake) {
      const by = [wake.irq && `interrupt ${wake.irq}`, wake.label >= 0 && data.labels[wake.label]].filter(Boolean);
      if (by.length) pairs.push(["woken by", by.join(", ") + (wake.evidence === "proven" ? "" : ` (${wake.evidence})`)]);
    }
    // Where the time went, the sleep itself aside.
    const slow = attempts.steps(i).filter((s) => s.end !== null && s.name !== "machine_suspend" && s.end > s.start)
      .sort((a, b) => (b.end - b.start) - (a.end - a.start)).slice(0, 3);
    for (const s of slow) pairs.push([s.name, time(s.end - s.start)]);
    return { title: `Attempt ${i}: ${data.outcomes[attempts.outcome[i]]}`, pairs };
  }

  function wait(k) {
    const { idle, blockers, more } = waits.result[k];
    const pairs = when(waits.start[k], waits.end[k]);
    pairs.push(["ended", idle === 1 ? "no source was active" : idle === 0 ? "interrupted" : "after the trace"]);
    for (const [label, share] of blockers) pairs.push([time(share), data.labels[label]]);
    if (more > 0) pairs.push(["and", count(more, "other source")]);
    return { title: "User space waits until no source is active", pairs };
  }

  return { span, hold, attempt, wait };
})();
