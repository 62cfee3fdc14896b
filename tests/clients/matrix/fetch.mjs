// Two chat completions with the runtime's own fetch: a plain answer, and a stream.
const env = (name) => globalThis.Deno?.env.get(name) ?? globalThis.process?.env[name];

for (const stream of [false, true]) {
  const answer = await fetch(`${env("MATRIX_URL")}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer k" },
    body: JSON.stringify({ model: "gpt-4o-mini", stream, messages: [] }),
  });
  await answer.text();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
}
