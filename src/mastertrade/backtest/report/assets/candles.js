// Candles with the trades on them. More bars than fit are merged into wider candles that keep every high and low.

const NARROWEST = 4; // points of the screen a candle needs
const CONNECTED = 160; // with more trades in sight, the lines from entry to exit would hide the price

class CandleChart extends Chart {
  constructor(view, holder, markets, trades) {
    super(view, holder, 440, "Candles with trades");
    this.trades = trades;
    this.choose(markets[0]);
  }

  choose(market) {
    this.market = market;
    this.ours = this.trades.order.filter((i) => this.trades.symbol[i] === market.symbol);
    this.view.draw();
  }

  draw() {
    const pen = this.begin(), { top, bottom, width } = this.plot, market = this.market;
    const first = Math.max(placeOf(market.time, this.view.from - market.interval), 0);
    const last = placeOf(market.time, this.view.to);
    if (last <= first) {
      this.times(pen);
      this.readout.textContent = "no bars here";
      return;
    }
    const size = Math.max(1, Math.ceil((last - first) / (width / NARROWEST)));
    const candles = this.merge(Math.floor(first / size) * size, last, size);
    let low = Infinity, high = -Infinity;
    for (const candle of candles) {
      low = Math.min(low, candle.low);
      high = Math.max(high, candle.high);
    }
    const room = (high - low) * 0.08 || high * 0.01;
    low -= room;
    high += room;
    this.y = (value) => top + (high - value) / (high - low) * (bottom - top);
    this.values(pen, low, high, this.y, (value) => significant(value, 5), top, bottom);
    this.clipped(pen, () => {
      this.drawCandles(pen, candles, market.interval * size);
      this.drawTrades(pen);
    });
    this.times(pen);
    this.read(pen, candles, size);
  }

  merge(first, last, size) {
    const { time, open, high, low, close } = this.market, candles = [];
    for (let start = first; start < last; start += size) {
      const end = Math.min(start + size, time.length);
      let top = -Infinity, floor = Infinity;
      for (let i = start; i < end; i++) {
        if (high[i] > top) top = high[i];
        if (low[i] < floor) floor = low[i];
      }
      candles.push({ time: time[start], open: open[start], high: top, low: floor, close: close[end - 1] });
    }
    return candles;
  }

  drawCandles(pen, candles, interval) {
    const wide = Math.max(this.x(this.view.from + interval) - this.plot.left, 1);
    const body = Math.max(Math.min(wide * 0.7, 14), 1);
    for (const rising of [true, false]) {
      pen.beginPath();
      pen.fillStyle = ink(rising ? "--up" : "--down");
      for (const candle of candles) {
        if (candle.close >= candle.open !== rising) continue;
        const x = this.x(candle.time + interval / 2), wick = this.y(candle.high);
        pen.rect(x - 0.5, wick, 1, Math.max(this.y(candle.low) - wick, 1));
        const from = this.y(Math.max(candle.open, candle.close)), to = this.y(Math.min(candle.open, candle.close));
        if (body > 1.5) pen.rect(x - body / 2, from, body, Math.max(to - from, 1));
      }
      pen.globalAlpha = 0.8;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  drawTrades(pen) {
    const { entry_time, exit_time, entry_price, exit_price, net, short } = this.trades;
    const seen = this.ours.filter((i) => exit_time[i] >= this.view.from && entry_time[i] <= this.view.to);
    this.spots = [];
    if (seen.length <= CONNECTED) {
      pen.lineWidth = 1.4;
      pen.setLineDash([3, 3]);
      for (const won of [true, false]) {
        pen.beginPath();
        pen.strokeStyle = ink(won ? "--good" : "--bad");
        for (const i of seen) {
          if (net[i] > 0 !== won) continue;
          pen.moveTo(this.x(entry_time[i]), this.y(entry_price[i]));
          pen.lineTo(this.x(exit_time[i]), this.y(exit_price[i]));
        }
        pen.stroke();
      }
      pen.setLineDash([]);
    }
    const taken = new Set(), size = seen.length > CONNECTED ? 3 : 4.5;
    const free = (kind, x, y) => {
      const spot = `${kind}${Math.round(x / 3)},${Math.round(y / 3)}`;
      return !taken.has(spot) && taken.add(spot);
    };
    for (const i of seen) {
      const x = this.x(entry_time[i]), y = this.y(entry_price[i]), end = this.x(exit_time[i]), out = this.y(exit_price[i]);
      this.spots.push([x, y, i], [end, out, i]);
      if (free("entry", x, y)) arrow(pen, x, y, size, short[i]);
      if (free(net[i] > 0, end, out)) disc(pen, end, out, size * 0.85, ink(net[i] > 0 ? "--good" : "--bad"));
    }
    const i = this.trades.chosen;
    if (i !== null && this.trades.symbol[i] === this.market.symbol) {
      pen.lineWidth = 2;
      pen.strokeStyle = ink("--ink");
      for (const [time, price] of [[entry_time[i], entry_price[i]], [exit_time[i], exit_price[i]]]) {
        pen.beginPath();
        pen.arc(this.x(time), this.y(price), 9, 0, 7);
        pen.stroke();
      }
    }
  }

  near({ x, y }) {
    let best = null, least = 14 * 14;
    for (const [left, top, i] of this.spots || []) {
      const distance = (left - x) ** 2 + (top - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  picked(pointer) {
    const found = this.near(pointer);
    if (found !== null) this.trades.choose(found, false);
  }

  step(by) {
    const { exit_time, entry_time, chosen } = this.trades, middle = (this.view.from + this.view.to) / 2;
    let place = this.ours.indexOf(chosen);
    if (place < 0) {
      place = this.ours.findIndex((i) => entry_time[i] >= middle);
      if (by > 0) place = (place < 0 ? this.ours.length : place) - 1;
      else if (place < 0) place = this.ours.length;
    }
    const next = this.ours[Math.min(Math.max(place + by, 0), this.ours.length - 1)];
    if (next === undefined) return;
    this.trades.choose(next, false);
    const width = Math.max((exit_time[next] - entry_time[next]) * 2.5, this.market.interval * 60);
    const centre = (entry_time[next] + exit_time[next]) / 2;
    this.view.show(centre - width / 2, centre + width / 2);
  }

  read(pen, candles, size) {
    const covers = size * this.market.merged;
    const each = covers > 1 ? `each candle covers ${covers} bars` : "each candle is a bar";
    if (!this.pointer) {
      const i = this.trades.chosen;
      if (i !== null && this.trades.symbol[i] === this.market.symbol) this.readout.replaceChildren(...this.trades.told(i));
      else this.readout.textContent = `${moment(this.view.from)} to ${moment(this.view.to)} UTC, ${each}`;
      return;
    }
    this.cross(pen, this.pointer.x, this.pointer.y);
    const trade = this.near(this.pointer);
    if (trade !== null) {
      this.readout.replaceChildren(...this.trades.told(trade));
      return;
    }
    const time = this.timeAt(this.pointer.x);
    const candle = candles.findLast((one) => one.time <= time) || candles[0];
    const parts = [moment(candle.time)];
    for (const name of ["open", "high", "low", "close"]) {
      parts.push(`  ${name} `, made("b", { textContent: significant(candle[name]) }));
    }
    this.readout.replaceChildren(...parts, `  ${each}`);
  }
}

function arrow(pen, x, y, size, down) {
  const tip = down ? size * 1.4 : -size * 1.4;
  pen.beginPath();
  pen.moveTo(x, y + tip);
  pen.lineTo(x - size * 1.1, y - tip * 0.6);
  pen.lineTo(x + size * 1.1, y - tip * 0.6);
  pen.closePath();
  outlined(pen, ink("--entry"));
}

function disc(pen, x, y, size, colour) {
  pen.beginPath();
  pen.arc(x, y, size, 0, 7);
  outlined(pen, colour);
}

function outlined(pen, colour) {
  pen.lineWidth = 2;
  pen.strokeStyle = ink("--card");
  pen.stroke();
  pen.fillStyle = colour;
  pen.fill();
}
