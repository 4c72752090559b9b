// Rows to JSON lines the way a Node service does it: rows as database drivers give them (Date objects, numerics
// parsed from text, BigInt for 64-bit integers), JSON.stringify per row, lines collected in batches of buffers.
// The first line of input, {"path": …}, names the file of rows that bench/encode.py wrote; the row objects are built
// before the clock starts. Each further line is one run, answered by {"cpuSeconds", "wallSeconds", "bytes", "rows"}.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

BigInt.prototype.toJSON = function () {
  return this.toString();
};

const convert = {
  bigint: (text) => BigInt(text),
  int: Number,
  numeric: (text) => parseFloat(text),
  float: Number,
  date: (text) => new Date(text),
  timestamp: (text) => new Date(text),
  text: (text) => text,
  bool: (value) => value,
};

function loadRows(path) {
  const { types, columns } = JSON.parse(readFileSync(path, "utf8"));
  const names = Object.keys(columns);
  return columns[names[0]].map((_, row) => {
    const object = {};
    for (const name of names) {
      const value = columns[name][row];
      object[name] = value === null ? null : convert[types[name]](value);
    }
    return object;
  });
}

const BATCH_ROWS = 8192;

function encode(rows) {
  let bytes = 0;
  let lines = "";
  for (let row = 0; row < rows.length; row += 1) {
    lines += `${JSON.stringify(rows[row])}\n`;
    if ((row + 1) % BATCH_ROWS === 0 || row + 1 === rows.length) {
      bytes += Buffer.from(lines, "utf8").length;
      lines = "";
    }
  }
  return bytes;
}

let rows;
for await (const input of createInterface({ input: process.stdin })) {
  if (rows === undefined) {
    rows = loadRows(JSON.parse(input).path);
    encode(rows); // let the compiler settle
    continue;
  }
  const before = process.cpuUsage();
  const started = performance.now();
  const bytes = encode(rows);
  const used = process.cpuUsage(before);
  const wallSeconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ cpuSeconds: (used.user + used.system) / 1e6, wallSeconds, bytes, rows: rows.length }));
}
