// The `openai` package of npm against the platform: prints one line of JSON with what it saw, which test_openai_npm.py judges.
import OpenAI, { toFile } from "openai";

const { BASE_URL, PLANNER_URL, API_KEY, MODEL, PLANNER } = process.env;
const options = { apiKey: API_KEY, maxRetries: 0 };
const client = new OpenAI({ ...options, baseURL: BASE_URL });
const planned = new OpenAI({ ...options, baseURL: PLANNER_URL });
const seen = {};

const until = async (look, ready) => {
  for (;;) {
    const found = await look();
    if (ready(found)) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
};

seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);

const asked = { model: MODEL, messages: [{ role: "user", content: "When do boats leave for Lundy?" }], max_tokens: 6, temperature: 0, retrieval: false };
const whole = await client.chat.completions.create(asked);
seen.whole = whole.choices[0].message.content;
seen.usage = whole.usage;
seen.streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })) {
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) seen.streamedUsage = chunk.usage;
}

const parameters = { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] };
const add = { name: "add_numbers", description: "Adds.", parameters, parse: JSON.parse, function: ({ a, b }) => `${a + b}` };
const runner = planned.chat.completions.runTools({
  model: PLANNER,
  messages: [{ role: "user", content: "add_numbers: 19 and 23" }],
  tools: [{ type: "function", function: add }],
  stream: true,
});
seen.tool = await runner.finalContent();

const response = planned.responses.stream({ model: PLANNER, input: "My name is Ada." });
seen.events = [];
for await (const event of response) seen.events.push(event.type);
seen.response = (await response.finalResponse()).output_text;

const embedding = await client.embeddings.create({ model: "minilm", input: "a lighthouse" });
seen.dimensions = embedding.data[0].embedding.length;
seen.moderation = (await client.moderations.create({ input: "A fine day." })).results[0].flagged;

const file = await client.files.create({ file: await toFile(Buffer.from("The mill was built in 1712.\n"), "mill.txt"), purpose: "assistants" });
const store = await client.vectorStores.create({ name: "mill" });
const filed = await client.vectorStores.fileBatches.createAndPoll(store.id, { file_ids: [file.id] }, { pollIntervalMs: 100 });
seen.filed = filed.file_counts;
seen.found = (await client.vectorStores.search(store.id, { query: "When was the mill built?" })).data[0].content[0].text;
await client.vectorStores.delete(store.id);
await client.files.delete(file.id);

const line = { custom_id: "one", method: "POST", url: "/v1/embeddings", body: { model: "minilm", input: "x" } };
const input = await client.files.create({ file: await toFile(Buffer.from(JSON.stringify(line)), "in.jsonl"), purpose: "batch" });
const made = await client.batches.create({ input_file_id: input.id, endpoint: "/v1/embeddings", completion_window: "24h" });
const batch = await until(() => client.batches.retrieve(made.id), (one) => ["completed", "failed"].includes(one.status));
seen.batch = batch.request_counts;
seen.output = JSON.parse(await (await client.files.content(batch.output_file_id)).text()).custom_id;

try {
  await client.chat.completions.create({ ...asked, model: "no-such-model" });
} catch (error) {
  seen.error = [error.constructor.name, error.status, error.code];
}
console.log(JSON.stringify(seen));
