// PostgreSQL to one S3 object, row by row: row objects as a driver gives them, JSON.stringify per row, a multipart
// upload of 5 MiB parts, four under way. The first line of input says where both are; each further one, {"key": …}, is
// answered by {"milliseconds", "cpuSeconds", "rows", "bytes"}.

import { createInterface } from "node:readline";

import { query } from "./postgres.mjs";
import { Bucket, MultipartUpload } from "./s3.mjs";

async function exportRows(setup, key) {
  const upload = await MultipartUpload.begin(new Bucket(setup), key);
  let rows = 0;
  let bytes = 0;
  let pieces = [];
  let pending = 0;
  let lines = "";
  const flush = () => {
    const piece = Buffer.from(lines, "utf8");
    lines = "";
    pieces.push(piece);
    pending += piece.length;
  };
  const send = async () => {
    bytes += pending;
    const body = Buffer.concat(pieces);
    pieces = [];
    pending = 0;
    await upload.part(body);
  };
  for await (const some of query(setup.postgres, setup.sql)) {
    for (const row of some) lines += `${JSON.stringify(row)}\n`;
    rows += some.length;
    if (lines.length >= 65536) {
      flush();
      if (pending >= MultipartUpload.PART_BYTES) await send();
    }
  }
  flush();
  await send();
  await upload.finish();
  return { rows, bytes };
}

let setup;
for await (const input of createInterface({ input: process.stdin })) {
  const command = JSON.parse(input);
  if (setup === undefined) {
    setup = command;
    continue;
  }
  const before = process.cpuUsage();
  const began = performance.now();
  const { rows, bytes } = await exportRows(setup, command.key);
  const milliseconds = performance.now() - began;
  const used = process.cpuUsage(before);
  console.log(JSON.stringify({ milliseconds, cpuSeconds: (used.user + used.system) / 1e6, rows, bytes }));
}
