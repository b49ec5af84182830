// Unpacks the numbers that codec.py packed: one compressed block, and a description of the columns in it.

async function unpacked(data) {
  const packed = Uint8Array.from(atob(data.block), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const columns = {};
  for (const [name, how] of Object.entries(data.columns)) columns[name] = column(bytes, how);
  for (const [name, how] of Object.entries(data.columns)) {
    if (!how.to) continue;
    // Open, high and low are told by how far they lie from the close, in whole steps of the price.
    const values = columns[name], close = columns[name.replace(/[^.]*$/, how.to)], scale = how.divisor;
    for (let i = 0; i < values.length; i++) values[i] = Math.round(close[i] * scale + values[i]) / scale;
  }
  return columns;
}

function column(bytes, how) {
  const size = how.kind === "f8" ? 8 : 4, count = how.count;
  const sorted = new Uint8Array(count * size);
  for (let b = 0; b < size; b++) {
    const from = how.at + b * count;
    for (let i = 0; i < count; i++) sorted[i * size + b] = bytes[from + i];
  }
  if (how.kind === "f8") return new Float64Array(sorted.buffer);
  const raw = how.kind === "f4" ? new Float32Array(sorted.buffer) : new Int32Array(sorted.buffer);
  const values = Float64Array.from(raw);
  if (how.kind !== "d4") return values;
  const base = how.base || 0, step = how.step || 1, divisor = how.divisor || 1;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += values[i];
    values[i] = base + (sum * step) / divisor;
  }
  return values;
}

// The first place whose value is not below the wanted one.
function placeOf(sorted, wanted) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (value) => String(value).padStart(2, "0");
const minus = (text) => text.replace(/^-/, "\u2212");

function moment(time) {
  const at = new Date(time);
  return `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

function grouped(value, decimals) {
  return minus(value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
}

function plus(value, decimals) {
  return (value > 0 ? "+" : "") + grouped(value, decimals);
}

function significant(value, digits = 6) {
  if (!value) return "0";
  const decimals = Math.min(Math.max(digits - 1 - Math.floor(Math.log10(Math.abs(value))), 0), 12);
  return minus(value.toLocaleString("en-US", { maximumFractionDigits: decimals }));
}

function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}
