// Two LLM calls through the library that the argument names: a plain answer, and a stream.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const url = process.env.MATRIX_URL;
const ca = readFileSync(process.env.MATRIX_CA);
const messages = [{ role: "user", content: "hello" }];
const headers = { "content-type": "application/json", authorization: "Bearer k" };
const body = (stream) => ({ model: "gpt-4o-mini", stream, messages });

// Modules are those of the install, wherever this script lies.
async function load(name) {
  const require = createRequire(pathToFileURL(`${process.env.MATRIX_MODULES}/`));
  const module = await import(pathToFileURL(require.resolve(name)));
  return module.default ?? module;
}

const libraries = {
  async openai() {
    const OpenAI = await load("openai");
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
    await client.chat.completions.create(body(false));
    for await (const _ of await client.chat.completions.create(body(true)));
  },
  async anthropic() {
    const Anthropic = await load("@anthropic-ai/sdk");
    const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
    const request = { model: "claude-sonnet-5", max_tokens: 64, messages };
    await client.messages.create(request);
    for await (const _ of await client.messages.create({ ...request, stream: true }));
  },
  async undici() {
    const { Client } = await load("undici");
    const client = new Client(url, { allowH2: true, connect: { ca } });
    for (const stream of [false, true]) {
      const request = { method: "POST", path: "/v1/chat/completions", headers, body: JSON.stringify(body(stream)) };
      const answer = await client.request(request);
      await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    }
    await client.close();
  },
  async http2() {
    const session = http2.connect(url, { ca });
    for (const stream of [false, true]) {
      const request = session.request({ ":method": "POST", ":path": "/v1/chat/completions", ...headers });
      request.end(JSON.stringify(body(stream)));
      const [answer] = await once(request, "response");
      if (answer[":status"] !== 200) throw new Error(`status ${answer[":status"]}`);
      for await (const _ of request);
    }
    session.close();
  },
};

await libraries[process.argv[2]]();
