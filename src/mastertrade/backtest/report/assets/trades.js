// The trades: their numbers by column, which one is chosen, and the table that sorts.

const ROWS = 100;

class Trades {
  constructor(data, columns) {
    for (const name of Object.keys(columns)) {
      if (name.startsWith("trade.")) this[name.slice(6)] = columns[name];
    }
    this.names = data.symbols;
    this.reasons = data.reasons;
    this.count = data.trades;
    this.order = [...this.number.keys()];
    this.chosen = null;
    this.listeners = [];
  }
  choose(i, show) {
    this.chosen = i;
    for (const listener of this.listeners) listener(i, show);
  }
  told(i) {
    const made_ = (text, className = "") => made("b", { textContent: text, className });
    const tone = this.net[i] > 0 ? "good" : "bad";
    return [
      `trade ${this.number[i]}, ${this.short[i] ? "short" : "long"}: in ${moment(this.entry_time[i])} at `,
      made_(significant(this.entry_price[i])), `, out ${moment(this.exit_time[i])} at `,
      made_(significant(this.exit_price[i])), `, ${this.reason_of(i)}, net `, made_(plus(this.net[i], 2), tone),
      ` (${plus(this.value_return[i] * 100, 2)} %)`,
    ];
  }
  reason_of(i) { return this.reasons[this.reason[i]] + (this.ambiguous[i] ? " (ambiguous)" : ""); }
}

// What each column of the table shows, and by what it is sorted.
const COLUMNS = {
  "#": ["number", (t, i) => String(t.number[i])],
  market: ["symbol", (t, i) => t.names[t.symbol[i]]],
  side: ["short", (t, i) => (t.short[i] ? "short" : "long")],
  entered: ["entry_time", (t, i) => moment(t.entry_time[i])],
  left: ["exit_time", (t, i) => moment(t.exit_time[i])],
  "in at": ["entry_price", (t, i) => significant(t.entry_price[i])],
  "out at": ["exit_price", (t, i) => significant(t.exit_price[i])],
  bars: ["bars", (t, i) => grouped(t.bars[i], 0)],
  costs: ["costs", (t, i) => grouped(t.costs[i], 2)],
  net: ["net", (t, i) => plus(t.net[i], 2)],
  return: ["value_return", (t, i) => `${plus(t.value_return[i] * 100, 2)} %`],
  "why left": ["reason", (t, i) => t.reason_of(i)],
};
const TONED = new Set(["net", "return"]);
const WORDS = new Set(["market", "side", "why left"]); // left, like their heads

class TradeTable {
  constructor(trades, table) {
    this.trades = trades;
    this.body = table.tBodies[0];
    this.order = [...trades.order];
    this.shown = ROWS;
    this.heads = [...table.tHead.rows[0].cells];
    this.names = this.heads.map((head) => head.textContent);
    this.note = document.getElementById("trades-shown");
    this.more = made("button", { type: "button", className: "more", textContent: "Show more" });
    this.more.onclick = () => {
      this.shown += 4 * ROWS;
      this.fill();
    };
    table.classList.add("live");
    table.parentElement.after(this.more);
    this.heads.forEach((head, place) => this.sortable(head, place));
    trades.listeners.push(() => this.mark());
    this.fill();
  }

  sortable(head, place) {
    const name = this.names[place], button = made("button", { type: "button", textContent: name });
    head.replaceChildren(button);
    head.setAttribute("aria-sort", place === 0 ? "ascending" : "none");
    button.onclick = () => {
      const upwards = head.getAttribute("aria-sort") === "descending";
      for (const other of this.heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      const values = this.trades[COLUMNS[name][0]], sign = upwards ? 1 : -1;
      this.order.sort((one, other) => sign * (values[one] - values[other]) || one - other);
      this.fill();
    };
  }

  fill() {
    const trades = this.trades, rows = [];
    for (const i of this.order.slice(0, this.shown)) {
      const row = made("tr", { tabIndex: 0 });
      row.dataset.trade = i;
      for (const name of this.names) {
        const cell = made("td", { textContent: COLUMNS[name][1](trades, i) });
        if (!WORDS.has(name)) cell.className = "figure";
        if (TONED.has(name)) cell.className += trades.net[i] > 0 ? " good" : trades.net[i] < 0 ? " bad" : "";
        row.append(cell);
      }
      row.onclick = () => trades.choose(i, true);
      row.onkeydown = (event) => {
        if (event.key === "Enter") trades.choose(i, true);
      };
      rows.push(row);
    }
    this.body.replaceChildren(...rows);
    this.mark();
    const seen = Math.min(this.shown, this.order.length), carried = this.order.length;
    const kept = carried < trades.count ? ` of the ${grouped(carried, 0)} largest` : "";
    this.note.textContent = `${grouped(seen, 0)}${kept} of ${grouped(trades.count, 0)} trades. A row shows its trade on the candles.`;
    this.more.hidden = seen >= carried;
  }

  mark() {
    for (const row of this.body.rows) row.classList.toggle("chosen", Number(row.dataset.trade) === this.trades.chosen);
  }
}
