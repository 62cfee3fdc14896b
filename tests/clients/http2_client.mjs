// Chat completions on one HTTP/2 connection, all at once unless told otherwise. Tells what it does in lines of JSON.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: {
    url: { type: "string" },
    model: { type: "string" },
    stream: { type: "boolean", default: false },
    count: { type: "string", default: "1" },
    // Wait for a line on stdin before each call, which is over before the next one begins.
    step: { type: "boolean", default: false },
    // Reset the stream of the first call at its first byte.
    leave: { type: "boolean", default: false },
  },
});

const tell = (event, facts) => console.log(JSON.stringify({ event, ...facts }));
const session = http2.connect(args.url, { ca: readFileSync(process.env.SSL_CERT_FILE) });

async function call(leaves) {
  const headers = { ":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json", authorization: "Bearer k" };
  const request = session.request({ ...headers, "user-agent": "http2-client/1" });
  request.setEncoding("utf8");
  request.end(JSON.stringify({ model: args.model, stream: args.stream, stream_options: args.stream ? { include_usage: true } : undefined, messages: [] }));
  let text = "";
  request.on("data", (part) => {
    text += part;
    if (leaves) request.close(http2.constants.NGHTTP2_CANCEL);
  });
  await once(request, "close");
  if (leaves) return;
  const whole = args.stream ? text.match(/^data: (.*)$/m)[1] : text;
  tell("done", { id: JSON.parse(whole).id });
}

tell("ready", { pid: process.pid });
const count = Number(args.count);
if (args.leave) await call(true);
if (args.step) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (let i = 0; i < count; i++) {
    await lines.next();
    await call(false);
  }
} else {
  await Promise.all(Array.from({ length: count }, () => call(false)));
}
session.close();
process.stdin.destroy();
