// Times as people read them, as host/src/units.rs writes them. All times are µs from the session's
// start unless they say otherwise.

const MS = 1e3, SECOND = 1e6, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const two = (n) => String(n).padStart(2, "0");

/** A duration with three digits, or two units from a minute on: `12.3 ms`, `1.23 s`, `12 m 04 s`. */
function time(us) {
  if (us <= 0) return "0";
  for (const [unit, most, name] of [[1, 1000, "µs"], [MS, 1000, "ms"], [SECOND, 60, "s"]]) {
    const text = digits3(us / unit);
    if (Number(text) < most) return `${text} ${name}`;
  }
  const [seconds, minutes, hours] = [SECOND, MINUTE, HOUR].map((unit) => Math.round(us / unit));
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

function digits3(value) {
  const text = value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
  // 9.996 reads 10.0, not 10.00.
  return text.length > 4 && text.includes(".") ? Number(text).toFixed(Number(text) < 100 ? 1 : 0) : text;
}

/** Digits after the second that make marks `step` apart differ. */
function digits(step) {
  return step >= SECOND ? 0 : step >= MS ? 3 : 6;
}

/** A moment of the session: `1:02:03`, with `digits` after the second. */
function elapsed(us, digits = 3) {
  const whole = Math.floor(us / SECOND);
  const clock = `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return digits ? `${clock}.${fraction(us - whole * SECOND, digits)}` : clock;
}

/** The same moment on the wall, UTC. */
function wall(us, digits = 3) {
  const real = data.startReal + us;
  const second = Math.floor(real / SECOND);
  const date = new Date(second * 1e3);
  const clock = Number.isNaN(date.getTime()) ? "?" : date.toISOString().slice(11, 19);
  return digits ? `${clock}.${fraction(real - second * SECOND, digits)}` : clock;
}

function fraction(us, digits) {
  return String(Math.floor(us)).padStart(6, "0").slice(0, digits);
}

function day(us) {
  const date = new Date((data.startReal + us) / MS);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 10);
}

function percent(part, whole) {
  return whole > 0 ? `${(part / whole * 100).toFixed(1)} %` : "–";
}

function count(n, noun) {
  return `${n.toLocaleString("en-GB")} ${noun}${n === 1 ? "" : "s"}`;
}

const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400]
  .map((seconds) => seconds * SECOND);

/** The distance of marks so that about `most` of them fit into `span`. */
function step(span, most) {
  const least = span / Math.max(1, most);
  if (least <= SECOND) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
    return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? 10 * power;
  }
  return CLOCK_STEPS.find((n) => n >= least) ?? Math.ceil(least / DAY) * DAY;
}
