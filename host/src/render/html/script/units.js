// Times as people read them, as host/src/units.rs writes them. All times are µs from the session's
// start unless they say otherwise.

const MS = 1e3, SECOND = 1e6, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const two = (n) => String(n).padStart(2, "0");

/** A duration: `12.3 ms`, `1.234 s`, `12 m 04 s`. Rounds down, so that no unit overflows. */
function time(us) {
  const seconds = Math.floor(us / SECOND);
  if (us <= 0) return "0";
  if (us < MS) return `${us >= 10 ? Math.floor(us) : Math.floor(us * 10) / 10} µs`;
  if (us < SECOND) return `${(Math.floor(us / 100) / 10).toFixed(1)} ms`;
  if (us < MINUTE) return `${(Math.floor(us / MS) / 1e3).toFixed(3)} s`;
  if (us < HOUR) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  if (us < DAY) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} m`;
  return `${Math.floor(seconds / 86400)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
}

/** Digits after the second that tell marks `step` apart. */
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
