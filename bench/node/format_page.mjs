// Formats one page the usual way in Node: cell by cell, one cached Intl.NumberFormat per column.
//
// The first line of input, {"path": …}, names a file of {"columns": [{"kind", ...}], "cells": [[...], ...]}, column-wise.
// Each further line is one run, answered by {"milliseconds", "first"}: its time and the texts of the first row.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const units = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];
const pad = (number, width) => String(number).padStart(width, "0");

const numberFormatter = (options, scale = 1, prefix = "", suffix = "") => {
  const format = new Intl.NumberFormat(options.locale ?? "en-US", options);
  return (value) => prefix + format.format(Number(value) * scale).replace("\u00a0", " ") + suffix;
};

const formatters = {
  number: (column) => numberFormatter(column.options ?? { maximumFractionDigits: 3 }, column.scale, "", column.suffix),
  auto: () => {
    const format = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
    return (value) => {
      const unit = units.find(([least]) => Math.abs(value) >= least);
      return unit ? format.format(value / unit[0]) + unit[1] : format.format(value);
    };
  },
  integer: () => {
    const format = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
    return (value) => format.format(typeof value === "string" ? BigInt(value) : value);
  },
  date: () => (value) => {
    const date = new Date(value);
    return `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1, 2)}`;
  },
  timestamp: () => (value) => {
    const date = new Date(value);
    const day = `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
    const time = `${pad(date.getUTCHours(), 2)}:${pad(date.getUTCMinutes(), 2)}:${pad(date.getUTCSeconds(), 2)}`;
    return `${day}, ${time}:${pad(date.getUTCMilliseconds(), 3)} (+00:00)`;
  },
  boolean: () => (value) => (value ? "True" : "False"),
};

const formatPage = (page) =>
  page.columns.map((column, index) => {
    const format = formatters[column.kind](column);
    return page.cells[index].map((value) => (value === null ? "∅" : format(value)));
  });

let page;
for await (const input of createInterface({ input: process.stdin })) {
  if (page === undefined) {
    page = JSON.parse(readFileSync(JSON.parse(input).path, "utf8"));
    formatPage(page); // let the compiler settle
    continue;
  }
  const began = performance.now();
  const texts = formatPage(page);
  const milliseconds = performance.now() - began;
  console.log(JSON.stringify({ milliseconds, first: texts.map((column) => column[0]) }));
}
