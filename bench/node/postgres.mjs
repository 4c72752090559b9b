// As much of PostgreSQL's protocol as the baseline needs: login with SCRAM-SHA-256, one simple query, rows as text.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { connect } from "node:net";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const BIGINT = 20;
const NUMERIC = 1700;

// What a driver usually makes of a type's text: 64-bit integers stay text, numerics become numbers.
const PARSERS = {
  16: (text) => text === "t",
  21: Number,
  23: Number,
  700: Number,
  701: Number,
  1082: (text) => new Date(`${text}T00:00:00Z`),
  1114: (text) => new Date(`${text.replace(" ", "T")}Z`),
  1184: (text) => new Date(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00")),
  [BIGINT]: (text) => text,
  [NUMERIC]: parseFloat,
};

function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(`${part}\0`))));
  const head = Buffer.alloc(type ? 5 : 4);
  if (type) head.write(type);
  head.writeInt32BE(body.length + 4, type ? 1 : 0);
  return Buffer.concat([head, body]);
}

const int32 = (value) => {
  const data = Buffer.alloc(4);
  data.writeInt32BE(value);
  return data;
};

// Yields lists of messages, each [type, buffer, start, end], from a socket, which is not read while the caller is busy.
async function* messages(socket) {
  let rest = Buffer.alloc(0);
  for await (const data of socket) {
    rest = rest.length ? Buffer.concat([rest, data]) : data;
    const found = [];
    let at = 0;
    while (rest.length - at >= 5) {
      const end = at + 1 + rest.readInt32BE(at + 1);
      if (end > rest.length) break;
      found.push([String.fromCharCode(rest[at]), rest, at + 5, end]);
      at = end;
    }
    rest = rest.subarray(at);
    yield found;
  }
}

function scram(password) {
  const nonce = randomBytes(18).toString("base64");
  const bare = `n=,r=${nonce}`;
  const first = Buffer.from(`n,,${bare}`);
  return {
    first: message("p", "SCRAM-SHA-256", int32(first.length), first),
    answer(challenge) {
      const given = Object.fromEntries(challenge.split(",").map((part) => [part[0], part.slice(2)]));
      const salted = pbkdf2Sync(password, Buffer.from(given.s, "base64"), Number(given.i), 32, "sha256");
      const key = hmac(salted, "Client Key");
      const last = `c=biws,r=${given.r}`;
      const signature = hmac(createHash("sha256").update(key).digest(), `${bare},${challenge},${last}`);
      const proof = Buffer.from(key.map((byte, i) => byte ^ signature[i])).toString("base64");
      return message("p", Buffer.from(`${last},p=${proof}`));
    },
  };
}

function columnsOf(data, start) {
  const columns = [];
  let at = start + 2;
  for (let count = data.readInt16BE(start); count > 0; count -= 1) {
    const end = data.indexOf(0, at);
    columns.push({ name: data.toString("utf8", at, end), parse: PARSERS[data.readInt32BE(end + 7)] });
    at = end + 19;
  }
  return columns;
}

function rowOf(columns, data, start) {
  const row = {};
  let at = start + 2;
  for (const { name, parse } of columns) {
    const length = data.readInt32BE(at);
    at += 4;
    if (length < 0) {
      row[name] = null;
      continue;
    }
    const text = data.toString("utf8", at, at + length);
    row[name] = parse ? parse(text) : text;
    at += length;
  }
  return row;
}

// Yields lists of rows of one statement, as objects, as many as each read of the socket brought.
export async function* query({ host, port, user, password, database }, sql) {
  const socket = connect({ host, port, noDelay: true });
  socket.write(message("", int32(196608), "user", user, "database", database, "client_encoding", "UTF8", Buffer.alloc(1)));
  const login = scram(password);
  let columns;
  let asked = false;
  let over = false;
  for await (const found of messages(socket)) {
    const rows = [];
    for (const [type, data, start, end] of found) {
      if (type === "D") rows.push(rowOf(columns, data, start));
      else if (type === "T") columns = columnsOf(data, start);
      else if (type === "E") throw new Error(data.toString("utf8", start, end).replaceAll("\0", " "));
      else if (type === "Z" && asked) over = true;
      else if (type === "Z") {
        asked = true;
        socket.write(message("Q", sql));
      } else if (type === "R" && data.readInt32BE(start) === 10) socket.write(login.first);
      else if (type === "R" && data.readInt32BE(start) === 11) {
        socket.write(login.answer(data.toString("utf8", start + 4, end)));
      }
    }
    if (rows.length) yield rows;
    if (over) break;
  }
  socket.destroy();
}
