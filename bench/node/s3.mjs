// As much of S3 as the baselines need: signed requests (AWS Signature Version 4) over kept-alive connections.

import { createHash, createHmac } from "node:crypto";
import { Agent, request } from "node:http";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const PAYLOAD = "UNSIGNED-PAYLOAD";
const REGION = "us-east-1";

export class Bucket {
  constructor({ endpoint, bucket, accessKeyId, secretAccessKey }) {
    this.endpoint = new URL(endpoint);
    this.bucket = bucket;
    this.accessKeyId = accessKeyId;
    this.secretAccessKey = secretAccessKey;
    this.agent = new Agent({ keepAlive: true });
  }

  headers(method, path, query) {
    const stamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, "");
    const day = stamp.slice(0, 8);
    const scope = `${day}/${REGION}/s3/aws4_request`;
    const names = "host;x-amz-content-sha256;x-amz-date";
    const signed = `host:${this.endpoint.host}\nx-amz-content-sha256:${PAYLOAD}\nx-amz-date:${stamp}\n`;
    const canonical = [method, path, query, signed, names, PAYLOAD].join("\n");
    const text = ["AWS4-HMAC-SHA256", stamp, scope, sha256(canonical)].join("\n");
    let key = `AWS4${this.secretAccessKey}`;
    for (const part of [day, REGION, "s3", "aws4_request"]) key = hmac(key, part);
    const credential = `Credential=${this.accessKeyId}/${scope}`;
    const signature = hmac(key, text).toString("hex");
    return {
      host: this.endpoint.host,
      "x-amz-date": stamp,
      "x-amz-content-sha256": PAYLOAD,
      authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}`,
    };
  }

  // Resolves to the answer, whose body is still to be read. `query` has sorted, encoded parameters.
  send(method, key, { query = "", body } = {}) {
    const path = `/${this.bucket}/${key}`;
    const headers = this.headers(method, path, query);
    if (body !== undefined) headers["content-length"] = body.length;
    const { hostname, port } = this.endpoint;
    const options = { hostname, port, method, headers, agent: this.agent, path: query ? `${path}?${query}` : path };
    return new Promise((resolve, reject) => {
      const sent = request(options, (answer) => {
        if (answer.statusCode === 200) resolve(answer);
        else text(answer).then((reason) => reject(new Error(`${method} ${path}: ${answer.statusCode} ${reason}`)));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  get(key) {
    return this.send("GET", key);
  }
}

export async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

// One object written in parts while the rest is still being made, a few parts under way at once.
export class MultipartUpload {
  static PART_BYTES = 5 * 1024 * 1024;
  static IN_FLIGHT = 4;

  static async begin(bucket, key) {
    const answer = await text(await bucket.send("POST", key, { query: "uploads=", body: Buffer.alloc(0) }));
    return new MultipartUpload(bucket, key, /<UploadId>([^<]+)</.exec(answer)[1]);
  }

  constructor(bucket, key, id) {
    Object.assign(this, { bucket, key, id, etags: [], underWay: new Set() });
  }

  // Resolves when there is room for another part.
  async part(body) {
    while (this.underWay.size >= MultipartUpload.IN_FLIGHT) await Promise.race(this.underWay);
    const number = this.etags.push("");
    const query = `partNumber=${number}&uploadId=${encodeURIComponent(this.id)}`;
    const sending = this.bucket.send("PUT", this.key, { query, body }).then(async (answer) => {
      await text(answer);
      this.etags[number - 1] = answer.headers.etag;
      this.underWay.delete(sending);
    });
    this.underWay.add(sending);
  }

  async finish() {
    await Promise.all(this.underWay);
    const parts = this.etags.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`);
    const query = `uploadId=${encodeURIComponent(this.id)}`;
    await text(await this.bucket.send("POST", this.key, { query, body }));
  }
}
