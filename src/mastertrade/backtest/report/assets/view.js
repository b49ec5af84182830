// The part of the time that all charts of the page show, and the hands that move it.

const views = [];

class View {
  constructor(start, end, smallest) {
    Object.assign(this, { start, end, from: start, to: end, smallest, charts: [], waiting: false });
    views.push(this);
  }
  get span() { return this.to - this.from; }
  show(from, to) {
    const whole = this.end - this.start;
    const span = Math.min(Math.max(to - from, this.smallest), whole);
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - span / 2, this.start), this.end - span);
    this.to = this.from + span;
    this.draw();
  }
  zoom(factor, around = (this.from + this.to) / 2) {
    const span = Math.min(Math.max(this.span * factor, this.smallest), this.end - this.start);
    const part = (around - this.from) / this.span;
    this.show(around - span * part, around + span * (1 - part));
  }
  move(part) { this.show(this.from + this.span * part, this.to + this.span * part); }
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      for (const chart of this.charts) chart.draw();
    });
  }
}

// A canvas with the time along it, values at its right edge, and everything that moves the view.
class Chart {
  constructor(view, holder, height, label) {
    this.view = view;
    this.height = height;
    this.pointer = null;
    this.fingers = new Map();
    this.canvas = made("canvas", { tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${label}. Arrow keys move, plus and minus zoom, 0 shows everything.`);
    this.readout = made("p", { className: "readout" });
    this.stage = made("div", { className: "stage" }, this.readout, this.canvas);
    holder.append(this.stage);
    this.listen();
    view.charts.push(this);
    new ResizeObserver(() => view.draw()).observe(this.canvas);
  }

  listen() {
    const canvas = this.canvas, view = this.view;
    canvas.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      const ours = document.activeElement === canvas || event.ctrlKey || event.metaKey;
      if (!sideways && !ours) return; // the page scrolls until somebody chose the chart
      event.preventDefault();
      if (sideways) view.move(event.deltaX / this.plot.width);
      else view.zoom(Math.exp(event.deltaY * 0.0016), this.timeAt(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, event.offsetX);
      this.moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.fingers.has(event.pointerId)) this.drag(event);
      else {
        this.pointer = { x: event.offsetX, y: event.offsetY };
        view.draw();
      }
    });
    const release = (event) => {
      if (event.type === "pointerup" && this.fingers.size === 1 && this.moved < 5) {
        this.pointer = { x: event.offsetX, y: event.offsetY };
        this.picked?.(this.pointer);
        view.draw();
      }
      this.fingers.delete(event.pointerId);
    };
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, release);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      this.pointer = null;
      view.draw();
    });
    canvas.addEventListener("dblclick", () => view.show(view.start, view.end));
    canvas.addEventListener("keydown", (event) => {
      const keys = {
        ArrowLeft: () => view.move(-0.15), ArrowRight: () => view.move(0.15),
        "+": () => view.zoom(0.7), "=": () => view.zoom(0.7), "-": () => view.zoom(1 / 0.7),
        0: () => view.show(view.start, view.end), Home: () => view.show(view.start, view.start + view.span),
        End: () => view.show(view.end - view.span, view.end), n: () => this.step?.(1), p: () => this.step?.(-1),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  drag(event) {
    const view = this.view, before = this.fingers.get(event.pointerId), now = event.offsetX;
    this.moved += Math.abs(now - before);
    if (this.fingers.size === 1) view.move((before - now) / this.plot.width);
    else {
      const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
      const wider = Math.max(Math.abs(before - other), 8) / Math.max(Math.abs(now - other), 8);
      view.zoom(wider, this.timeAt((now + other) / 2));
    }
    this.fingers.set(event.pointerId, now);
  }

  timeAt(x) { return this.view.from + (x - this.plot.left) / this.plot.width * this.view.span; }
  x(time) { return this.plot.left + (time - this.view.from) / this.view.span * this.plot.width; }

  // Clears the canvas at the screen's own resolution and says where one may draw.
  begin() {
    const width = this.canvas.clientWidth, density = window.devicePixelRatio || 1, height = this.height;
    const wide = Math.round(width * density), high = Math.round(height * density);
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      Object.assign(this.canvas, { width: wide, height: high });
      this.canvas.style.height = `${height}px`;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    pen.lineJoin = "round";
    this.plot = { left: 2, width: Math.max(width - 66, 40), top: 6, bottom: height - 22 };
    return pen;
  }

  clipped(pen, draw) {
    const { left, width, top, bottom } = this.plot;
    pen.save();
    pen.beginPath();
    pen.rect(left, top - 4, width, bottom - top + 8);
    pen.clip();
    draw();
    pen.restore();
  }

  times(pen) {
    const { bottom, left, width } = this.plot;
    pen.fillStyle = ink("--soft");
    pen.textBaseline = "top";
    for (const [time, text] of timeTicks(this.view.from, this.view.to, width / 84)) {
      const x = this.x(time), half = pen.measureText(text).width / 2;
      if (x - half < left || x + half > left + width) continue;
      pen.fillText(text, x - half, bottom + 7);
    }
  }

  values(pen, low, high, y, format, top, bottom) {
    pen.strokeStyle = ink("--grid");
    pen.fillStyle = ink("--soft");
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    const { left, width } = this.plot;
    for (const value of valueTicks(low, high, Math.max((bottom - top) / 56, 2))) {
      const at = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(left, at);
      pen.lineTo(left + width, at);
      pen.stroke();
      pen.fillText(format(value), left + width + 8, at);
    }
  }

  cross(pen, x, y) {
    pen.strokeStyle = ink("--soft");
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, this.plot.top);
    pen.lineTo(Math.round(x) + 0.5, this.plot.bottom);
    if (y !== undefined) {
      pen.moveTo(this.plot.left, y);
      pen.lineTo(this.plot.left + this.plot.width, y);
    }
    pen.stroke();
    pen.setLineDash([]);
  }
}

// Reading a style costs; the colours change only with the system's wish.
const colours = new Map();
function ink(name) {
  if (!colours.has(name)) {
    colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  }
  return colours.get(name);
}

function valueTicks(low, high, wanted) {
  const raw = (high - low) / wanted, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((one) => one >= raw * (1 - 1e-9)), ticks = [];
  for (let place = Math.ceil(low / step); place * step <= high; place++) ticks.push(place * step);
  return ticks;
}

const MINUTE = 60000, DAY = 1440 * MINUTE;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720].map((minutes) => minutes * MINUTE)
  .concat([1, 2, 4, 7, 14].map((days) => days * DAY));

function timeTicks(from, to, wanted) {
  const raw = (to - from) / wanted, step = STEPS.find((one) => one >= raw);
  if (step) {
    const ticks = [];
    for (let time = Math.ceil(from / step) * step; time <= to; time += step) ticks.push([time, tickText(time, step)]);
    return ticks;
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120].find((one) => one * 30 * DAY >= raw) || 240, ticks = [];
  const first = new Date(from);
  for (let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; ; month += months) {
    const time = Date.UTC(Math.floor(month / 12), month % 12);
    if (time > to) return ticks;
    ticks.push([time, `${MONTHS[month % 12]} ${Math.floor(month / 12)}`]);
  }
}

function tickText(time, step) {
  const at = new Date(time), date = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  if (step < DAY && time % DAY) return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return step < DAY ? date : `${date} ${two(at.getUTCFullYear() % 100)}`;
}
