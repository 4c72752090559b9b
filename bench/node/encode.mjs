// Rows to JSON lines the way a Node service does it: rows as database drivers give them (Date objects, numerics
// parsed from text, BigInt for 64-bit integers), JSON.stringify per row, lines collected in batches of buffers.
// Reads the rows that bench/encode.py wrote, builds the row objects before the clock starts, and prints one JSON
// line: {"cpuSeconds": ..., "bytes": ..., "rows": ...}. Waits for a line on standard input before every run.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

BigInt.prototype.toJSON = function () {
  return this.toString();
};

const [path] = process.argv.slice(2);
const { types, columns } = JSON.parse(readFileSync(path, "utf8"));
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
const names = Object.keys(columns);
const count = columns[names[0]].length;
const rows = [];
for (let row = 0; row < count; row += 1) {
  const object = {};
  for (const name of names) {
    const value = columns[name][row];
    object[name] = value === null ? null : convert[types[name]](value);
  }
  rows.push(object);
}

const BATCH_ROWS = 8192;

function encode() {
  let bytes = 0;
  let lines = "";
  for (let row = 0; row < count; row += 1) {
    lines += `${JSON.stringify(rows[row])}\n`;
    if ((row + 1) % BATCH_ROWS === 0 || row + 1 === count) {
      bytes += Buffer.from(lines, "utf8").length;
      lines = "";
    }
  }
  return bytes;
}

encode(); // let the compiler settle
console.log(JSON.stringify({ ready: true }));
for await (const _ of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage();
  const started = performance.now();
  const bytes = encode();
  const used = process.cpuUsage(before);
  const wallSeconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ cpuSeconds: (used.user + used.system) / 1e6, wallSeconds, bytes, rows: count }));
}
