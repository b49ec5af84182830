// Equity over time with what lies below its peaks, or several equities over one another.

class CurveChart extends Chart {
  // lines: {name, time, values, colour, dashed}; the first one's falls are drawn below when asked for.
  constructor(view, holder, lines, { falls = false, format, label }) {
    super(view, holder, falls ? 420 : 340, label);
    Object.assign(this, { lines, format });
    if (falls) this.falls = fallsOf(lines[0].values);
  }

  draw() {
    const pen = this.begin(), { top, bottom } = this.plot;
    const split = this.falls ? bottom - 96 : bottom;
    let low = Infinity, high = -Infinity;
    for (const line of this.lines) {
      const [from, to] = this.seen(line.time);
      for (let i = from; i < to; i++) {
        if (line.values[i] < low) low = line.values[i];
        if (line.values[i] > high) high = line.values[i];
      }
    }
    const room = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
    low -= room;
    high += room;
    const y = (value) => top + (high - value) / (high - low) * (split - top - (this.falls ? 14 : 0));
    this.values(pen, low, high, y, this.format, top, split);
    this.clipped(pen, () => {
      this.lines.forEach((line, place) => this.curve(pen, line, y, place === 0 && this.lines.length < 3 ? split - 12 : null));
    });
    if (this.falls) this.drawFalls(pen, split, bottom);
    this.times(pen);
    this.read(pen);
  }

  seen(time) {
    return [Math.max(placeOf(time, this.view.from) - 1, 0), Math.min(placeOf(time, this.view.to) + 1, time.length)];
  }

  trace(pen, time, values, y, [from, to]) {
    for (let i = from; i < to; i++) pen.lineTo(this.x(time[i]), y(values[i]));
  }

  curve(pen, line, y, floor) {
    const range = this.seen(line.time);
    if (floor !== null) {
      pen.beginPath();
      pen.moveTo(this.x(line.time[range[0]]), floor);
      this.trace(pen, line.time, line.values, y, range);
      pen.lineTo(this.x(line.time[range[1] - 1]), floor);
      pen.globalAlpha = 0.12;
      pen.fillStyle = ink(line.colour);
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.beginPath();
    this.trace(pen, line.time, line.values, y, range);
    pen.strokeStyle = ink(line.colour);
    pen.lineWidth = line.dashed ? 1.2 : 1.7;
    pen.setLineDash(line.dashed ? [4, 3] : []);
    pen.stroke();
    pen.setLineDash([]);
  }

  drawFalls(pen, top, bottom) {
    const line = this.lines[0], [from, to] = this.seen(line.time);
    let low = 0;
    for (let i = from; i < to; i++) low = Math.min(low, this.falls[i]);
    low = low * 1.08 || -0.01;
    const y = (value) => top + value / low * (bottom - top);
    this.values(pen, low, 0, y, (value) => `${grouped(value * 100, low > -0.03 ? 1 : 0)} %`, top, bottom);
    this.clipped(pen, () => {
      pen.beginPath();
      pen.moveTo(this.x(line.time[from]), top);
      this.trace(pen, line.time, this.falls, y, [from, to]);
      pen.lineTo(this.x(line.time[to - 1]), top);
      pen.globalAlpha = 0.2;
      pen.fillStyle = pen.strokeStyle = ink("--bad");
      pen.fill();
      pen.globalAlpha = 1;
      pen.lineWidth = 1;
      pen.stroke();
    });
  }

  read(pen) {
    if (!this.pointer) {
      this.readout.replaceChildren(moment(this.view.from), " to ", moment(this.view.to), " UTC");
      return;
    }
    const time = Math.min(Math.max(this.timeAt(this.pointer.x), this.view.from), this.view.to);
    this.cross(pen, this.x(time));
    const parts = [moment(time)];
    for (const line of this.lines) {
      const place = Math.max(placeOf(line.time, time + 1) - 1, 0);
      parts.push("  ", `${line.name} `, made("b", { textContent: this.format(line.values[place]) }));
      if (line === this.lines[0] && this.falls) {
        parts.push("  below peak ", made("b", { textContent: `${grouped(this.falls[place] * 100, 2)} %` }));
      }
    }
    this.readout.replaceChildren(...parts);
  }
}

function fallsOf(values) {
  const falls = new Float64Array(values.length);
  let peak = -Infinity;
  for (let i = 0; i < values.length; i++) {
    peak = Math.max(peak, values[i]);
    falls[i] = peak > 0 ? values[i] / peak - 1 : 0;
  }
  return falls;
}
