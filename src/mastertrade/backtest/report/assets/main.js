// Where a script can run, drawings become charts that answer; where not, they stay what they are.

function tools(chart, ...extra) {
  const view = chart.view, bar = made("div", { className: "tools" }, ...extra);
  const button = (text, label, act) => {
    const one = made("button", { type: "button", textContent: text, title: label, onclick: act });
    one.setAttribute("aria-label", label);
    bar.append(one);
  };
  button("+", "Zoom in", () => view.zoom(0.6));
  button("\u2212", "Zoom out", () => view.zoom(1 / 0.6));
  button("All", "Show the whole time", () => view.show(view.start, view.end));
  if (chart.step) {
    button("\u2039 Trade", "Previous trade", () => chart.step(-1));
    button("Trade \u203a", "Next trade", () => chart.step(1));
  }
  const touch = matchMedia("(pointer: coarse)").matches;
  const hint = touch ? "Drag to move, pinch to zoom." : "Click, then scroll to zoom; drag to move; double-click for all.";
  bar.append(made("span", { className: "hint", textContent: hint }));
  chart.stage.prepend(bar);
}

function holderOf(name) {
  const holder = document.querySelector(`[data-chart="${name}"]`);
  return holder && { holder, still: [...holder.children] };
}

function replace(place, build) {
  if (!place) return null;
  const chart = build(place.holder);
  for (const element of place.still) element.remove();
  return chart;
}

const money = (value) => grouped(value, Math.abs(value) < 100 ? 2 : 0);

function showRun(data, columns) {
  const time = columns["equity.time"], markets = data.markets.map((market) => ({
    ...market,
    symbol: data.symbols.indexOf(market.name),
    time: columns[`${market.key}.time`], open: columns[`${market.key}.open`], high: columns[`${market.key}.high`],
    low: columns[`${market.key}.low`], close: columns[`${market.key}.close`],
  }));
  if (!time.length) return;
  const smallest = Math.max(...markets.map((market) => market.interval), 60000) * 20;
  const view = new View(time[0], time[time.length - 1], smallest), trades = new Trades(data, columns);
  replace(holderOf("equity"), (holder) => {
    const lines = [{ name: "equity", time, values: columns["equity.value"], colour: "--equity" }];
    if (columns["equity.hold"]) {
      lines.push({ name: "buy and hold", time: columns["equity.hold_time"], values: columns["equity.hold"], colour: "--hold", dashed: true });
    }
    const chart = new CurveChart(view, holder, lines, { falls: true, format: money, label: "Equity and drawdown" });
    tools(chart);
    return chart;
  });
  const candles = replace(markets.length ? holderOf("candles") : null, (holder) => {
    const chart = new CandleChart(view, holder, markets, trades);
    tools(chart, ...(markets.length > 1 ? [choice(markets, chart)] : []));
    return chart;
  });
  const table = document.querySelector("table.trades");
  if (table) new TradeTable(trades, table);
  trades.listeners.push((i, show) => {
    if (!candles) return;
    const market = markets.find((one) => one.symbol === trades.symbol[i]);
    if (market && market !== candles.market) candles.choose(market);
    if (show) {
      candles.step(0);
      document.getElementById("candles").scrollIntoView({ block: "start" });
    } else view.draw();
  });
  view.draw();
}

function choice(markets, chart) {
  const select = made("select", {}, ...markets.map((market, place) => made("option", { value: place, textContent: market.name })));
  select.setAttribute("aria-label", "Market");
  select.onchange = () => chart.choose(markets[select.value]);
  chart.trades.listeners.push(() => { select.value = markets.indexOf(chart.market); });
  return select;
}

function showCurves(names, columns, keys, format, label) {
  const lines = keys.map((key, place) => ({
    name: names[place], time: columns[`${key}.time`], values: columns[`${key}.value`], colour: `--run${place}`,
  }));
  const start = Math.min(...lines.map((line) => line.time[0]));
  const end = Math.max(...lines.map((line) => line.time[line.time.length - 1]));
  const view = new View(start, end, 20 * 60000);
  replace(holderOf("equity"), (holder) => {
    const chart = new CurveChart(view, holder, lines, { falls: lines.length === 1, format, label });
    tools(chart);
    return chart;
  });
  view.draw();
}

async function main() {
  const element = document.getElementById("report-data");
  if (element && typeof DecompressionStream !== "undefined") await enliven(element);
  document.documentElement.dataset.ready = "yes";
}

async function enliven(element) {
  const data = JSON.parse(element.textContent), columns = await unpacked(data);
  if (data.kind === "run") showRun(data, columns);
  else if (data.kind === "walk_forward") showCurves(["equity"], columns, ["equity"], money, "Equity out of sample");
  else {
    const percent = (value) => `${grouped((value - 1) * 100, 1)} %`;
    showCurves(data.runs, columns, data.runs.map((_, place) => `run${place}`), percent, "Equity of the runs");
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours.clear();
    for (const view of views) view.draw();
  });
}

main();
