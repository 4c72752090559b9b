// One page of a result that is a single JSONL object: read the object from its start to its end, split it into lines,
// parse those of the page, and write the answer's rows. The first line of input says where the object is; each further
// one, {"how": "readline" | "bytes", "first": …, "count": …}, is answered by {"milliseconds", "bytes", "body"}.
//
// "readline" is the usual way, through node:readline. "bytes" looks for newlines in the raw buffers and makes text only
// of the page's own lines: about the fastest scan that Node has.

import { createInterface } from "node:readline";

import { Bucket } from "./s3.mjs";

function readlineScan(stream, first, count) {
  return new Promise((resolve, reject) => {
    const wanted = [];
    let row = 0;
    stream.on("error", reject);
    createInterface({ input: stream, crlfDelay: Infinity })
      .on("line", (line) => {
        if (row >= first && row < first + count) wanted.push(line);
        row += 1;
      })
      .on("close", () => resolve(wanted));
  });
}

async function bytesScan(stream, first, count) {
  const wanted = [];
  let row = 0;
  let rest = Buffer.alloc(0);
  for await (const data of stream) {
    let start = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      if (row >= first && row < first + count) {
        const line = start === 0 ? Buffer.concat([rest, data.subarray(0, end)]) : data.subarray(start, end);
        wanted.push(line.toString("utf8"));
      }
      row += 1;
      start = end + 1;
    }
    rest = start === 0 ? Buffer.concat([rest, data]) : data.subarray(start);
  }
  return wanted;
}

const show = (value) => (value === null ? "∅" : String(value));

const answerRow = (line) => {
  const cells = {};
  for (const [name, raw] of Object.entries(JSON.parse(line))) {
    cells[name] = { value: { raw, formatted: show(raw) } };
  }
  return cells;
};

let place;
let bucket;
for await (const input of createInterface({ input: process.stdin })) {
  const command = JSON.parse(input);
  if (place === undefined) {
    place = command;
    bucket = new Bucket(place);
    continue;
  }
  const began = performance.now();
  const stream = await bucket.get(place.key);
  let bytes = 0;
  stream.on("data", (data) => (bytes += data.length));
  const scan = command.how === "bytes" ? bytesScan : readlineScan;
  const lines = await scan(stream, command.first, command.count);
  const body = JSON.stringify(lines.map(answerRow));
  console.log(JSON.stringify({ milliseconds: performance.now() - began, bytes, body }));
}
