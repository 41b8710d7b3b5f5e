// Elements, colours, canvases. Text only ever reaches the page as text: names come from the device.

const el = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const printing = matchMedia("print");

/** A colour of the style sheet, as a canvas takes it. Looked up once per theme. */
const color = (() => {
  const probe = make("i", { class: "unseen", "aria-hidden": "true" });
  document.body.append(probe);
  let known = new Map();
  const look = (name) => {
    if (!known.has(name)) {
      probe.style.color = `var(--${name})`;
      known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
  };
  look.forget = () => known = new Map();
  return look;
})();

const redraws = [];

/** `draw`, at most once a frame. */
function framed(draw) {
  let waiting = false;
  const now = () => {
    waiting = false;
    draw();
  };
  redraws.push(draw);
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(now);
  };
}

/** Everything again, at once: the theme is another, or it is printed. */
function redrawAll() {
  color.forget();
  for (const draw of redraws) draw();
}

/** Sizes a canvas in CSS pixels and returns its context, cleared. */
function prepare(canvas, width, height) {
  const scale = printing.matches ? 2 : Math.max(1, devicePixelRatio);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.textBaseline = "middle";
  return context;
}

const FONT = "11.5px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

/** `text` cut in its middle to `width`: names differ at both ends. */
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const chars = [...text];
  let low = 0, high = chars.length;
  const cut = (n) => `${chars.slice(0, Math.ceil(n / 2)).join("")}…${n > 1 ? chars.slice(-Math.floor(n / 2)).join("") : ""}`;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(cut(middle)).width <= width) low = middle; else high = middle - 1;
  }
  return cut(low);
}

/** The box with details, beside a point of the window. */
const tip = {
  show(x, y, { title, pairs }) {
    const box = el("tip");
    const list = make("dl");
    for (const [what, value] of pairs) list.append(make("dt", {}, what), make("dd", {}, value));
    box.replaceChildren(make("strong", {}, title), list);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const top = Math.min(y + 14, innerHeight - height - 6);
    box.style.left = `${Math.max(6, left)}px`;
    box.style.top = `${Math.max(6, top)}px`;
  },
  hide() {
    el("tip").hidden = true;
  },
};

/** Details as one line, for a screen reader. */
function spoken({ title, pairs }) {
  return `${title}. ${pairs.map(([what, value]) => `${what} ${value}`).join(", ")}`;
}

/** Rows of one height in a box that scrolls: only those in sight are drawn. */
function rowsBox(box, height, most) {
  const scroller = box.querySelector(".rows");
  const room = box.querySelector(".room");
  return {
    scroller,
    canvas: scroller.querySelector("canvas"),
    /** Makes room for `n` rows; returns the first in sight, and the height and offset to draw. */
    fit(n) {
      const sight = Math.min(n, printing.matches ? 40 : most) * height;
      scroller.style.height = `${sight}px`;
      room.style.height = `${Math.max(0, n * height - sight)}px`;
      const top = Math.min(scroller.scrollTop, n * height - sight);
      return { sight, first: Math.floor(top / height), offset: -(top % height) };
    },
    /** Scrolls row `index` into sight. */
    reveal(index) {
      const top = index * height, sight = scroller.clientHeight;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + height > scroller.scrollTop + sight) scroller.scrollTop = top + height - sight;
    },
  };
}

/** Room for the names, left of the drawing. */
function gutter(width) {
  return Math.round(Math.min(220, Math.max(96, width * 0.2)));
}
