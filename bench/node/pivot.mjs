// Flat rows to pivoted JSON lines the way a Node service does it: row objects come in the order of row_index, each
// cell is put under its name into the object of its output row, and a Map remembers the columns that were met. The
// group value is formatted for every cell, by the type of its field.
// The first line of input, {"path": …}, names the file of rows that bench/pivot.py wrote; the row objects are built
// before the clock starts. Each further line is one run, answered by {"cpuSeconds", "bytes", "sha256"}.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const INDEX = "orders_customer_id";
const GROUPS = ["orders_city"];
const ITEMS = { orders_city: { fieldType: "dimension", type: "string" } };
const VALUE = { reference: "orders_amount", aggregation: "sum" };
const FLUSH_CHARACTERS = 1 << 20;

function loadRows(path) {
  const columns = JSON.parse(readFileSync(path, "utf8"));
  const names = Object.keys(columns);
  return columns[names[0]].map((_, row) => {
    const object = {};
    for (const name of names) object[name] = columns[name][row];
    return object;
  });
}

function rawValue(item, value) {
  if (value === null || (item.type !== "date" && item.type !== "timestamp")) return value;
  return `${new Date(value).toISOString().slice(0, 19)}Z`;
}

function formattedValue(item, value) {
  if (value === null) return "∅";
  switch (item.type) {
    case "number":
      return value.toLocaleString("en-US");
    case "boolean":
      return value ? "True" : "False";
    case "date":
      return new Date(value).toISOString().slice(0, 10);
    default:
      return `${value}`;
  }
}

function pivot(rows, write) {
  const columns = new Map();
  const base = `${VALUE.reference}_${VALUE.aggregation}`;
  let current;
  let output;
  let lines = "";
  for (const row of rows) {
    if (row.row_index !== current) {
      if (output !== undefined) {
        lines += `${JSON.stringify(output)}\n`;
        if (lines.length > FLUSH_CHARACTERS) {
          write(Buffer.from(lines, "utf8"));
          lines = "";
        }
      }
      current = row.row_index;
      output = { [INDEX]: row[INDEX] };
    }
    const groups = GROUPS.map((reference) => ({
      referenceField: reference,
      value: rawValue(ITEMS[reference], row[reference]),
      formatted: formattedValue(ITEMS[reference], row[reference]),
    }));
    const suffix = groups.map(({ value }) => (value === null ? "<null>" : String(value))).join("_");
    const name = suffix === "" ? base : `${base}_${suffix}`;
    output[name] = row[base];
    if (!columns.has(name)) {
      columns.set(name, {
        referenceField: VALUE.reference,
        pivotColumnName: name,
        aggregation: VALUE.aggregation,
        pivotValues: groups,
        columnIndex: row.column_index,
      });
    }
  }
  if (output !== undefined) write(Buffer.from(`${lines}${JSON.stringify(output)}\n`, "utf8"));
  return columns.size;
}

function bytesOf(rows) {
  let bytes = 0;
  pivot(rows, (buffer) => {
    bytes += buffer.length;
  });
  return bytes;
}

let rows;
let sha256;
for await (const input of createInterface({ input: process.stdin })) {
  if (rows === undefined) {
    rows = loadRows(JSON.parse(input).path);
    const hash = createHash("sha256");
    pivot(rows, (buffer) => hash.update(buffer)); // let the compiler settle, too
    sha256 = hash.digest("hex");
    continue;
  }
  const before = process.cpuUsage();
  const bytes = bytesOf(rows);
  const used = process.cpuUsage(before);
  console.log(JSON.stringify({ cpuSeconds: (used.user + used.system) / 1e6, bytes, sha256 }));
}
