// The playground: asks through the public API like any other client. Model text and file text only ever become text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const MARK = /\[(\d{1,3})\]/g;
const REASONS = {
  abstention: "not in the sources",
  ungrounded: "does not stand on the sources",
  fallback: "quoted from the sources, without the model",
  safety: "withheld by the safety policy",
};
let running = null;

const key = () => $("key").value.trim();
const headers = () => ({ authorization: `Bearer ${key()}` });

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function complain(message) {
  $("problem").textContent = message || "";
  $("problem").hidden = !message;
}

async function problemOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

// --- models -----------------------------------------------------------------

async function loadModels() {
  complain("");
  if (!key()) {
    $("settings").open = true;
    $("key").focus();
    return;
  }
  const response = await fetch("/v1/models", { headers: headers() }).catch(() => null);
  if (!response || !response.ok) {
    complain(response ? await problemOf(response) : "The gateway cannot be reached.");
    if (response && response.status === 401) $("settings").open = true;
    return;
  }
  const chosen = $("model").value;
  $("model").replaceChildren();
  for (const card of (await response.json()).data) {
    const option = element("option", "", card.id);
    option.value = card.id;
    option.dataset.digest = card.digest || "";
    $("model").append(option);
  }
  if (chosen) $("model").value = chosen;
  showRelease();
}

function showRelease() {
  const digest = $("model").selectedOptions[0]?.dataset.digest || "";
  $("release").textContent = digest.slice(0, 19);
  $("release").title = digest ? `the release that answers: ${digest}` : "";
}

// --- one turn ----------------------------------------------------------------

function newTurn(question) {
  $("welcome").hidden = true;
  const turn = element("li", "turn");
  turn.append(element("p", "asked", question));
  const answer = element("div", "answer streaming");
  const said = element("p", "said");
  answer.append(said);
  const timings = element("div", "timings");
  turn.append(answer, timings);
  $("turns").append(turn);
  $("turns").setAttribute("aria-busy", "true");
  turn.scrollIntoView({ block: "start" });
  return { answer, said, timings, text: "", annotations: [], begun: performance.now(), first: null };
}

function showTimings(turn, stages, usage) {
  const parts = [];
  if (turn.first !== null) parts.push(`first token ${Math.round(turn.first)} ms`);
  parts.push(`total ${Math.round(performance.now() - turn.begun)} ms`);
  for (const [name, ms] of stages) if (!["ttft", "total"].includes(name)) parts.push(`${name} ${Number(ms).toFixed(1)} ms`);
  if (usage) parts.push(`${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  turn.timings.replaceChildren(...parts.map((part) => element("span", "", part)));
}

function showCitations(turn) {
  const cited = new Map();
  for (const note of turn.annotations) if (note.type === "file_citation") cited.set(note.number, note);
  const pieces = [];
  let from = 0;
  for (const match of turn.text.matchAll(MARK)) {
    const note = cited.get(Number(match[1]));
    if (!note) continue;
    pieces.push(document.createTextNode(turn.text.slice(from, match.index)), citeButton(note));
    from = match.index + match[0].length;
  }
  pieces.push(document.createTextNode(turn.text.slice(from)));
  turn.said.replaceChildren(...pieces);
  showTags(turn);
  if (cited.size) turn.answer.append(sourceList(cited));
}

function citeButton(note) {
  const button = element("button", "cite", String(note.number));
  button.type = "button";
  button.setAttribute("aria-label", `Source ${note.number}: ${note.filename}`);
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => openSource(note, button));
  return button;
}

function sourceList(cited) {
  const list = element("ol", "sources");
  for (const note of cited.values()) {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.append(element("b", "", `[${note.number}]`), document.createTextNode(`${note.filename}  ·  ${note.quote}`));
    button.addEventListener("click", () => openSource(note, button));
    item.append(button);
    list.append(item);
  }
  return list;
}

function showTags(turn) {
  const tags = element("div", "tags");
  for (const note of turn.annotations) {
    if (!REASONS[note.type]) continue;
    const tag = element("span", "tag", REASONS[note.type]);
    tag.dataset.type = note.type;
    tag.title = note.reason || "";
    tags.append(tag);
  }
  if (tags.childElementCount) turn.answer.append(tags);
}

function fail(turn, message) {
  const tags = element("div", "tags");
  tags.append(element("span", "tag error", message));
  turn.answer.append(tags);
}

// --- the stream ---------------------------------------------------------------

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value.replaceAll("\r\n", "\n");
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      yield buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
    }
  }
}

function parseTimings(text) {
  return text.split(";").map((pair) => pair.split("=")).filter((pair) => pair.length === 2);
}

function take(turn, document_) {
  if (document_.error) throw new Error(document_.error.message);
  for (const choice of document_.choices || []) {
    const delta = choice.delta || {};
    if (delta.annotations) turn.annotations.push(...delta.annotations);
    const text = delta.content || delta.refusal || "";
    if (!text) continue;
    if (turn.first === null) turn.first = performance.now() - turn.begun;
    turn.text += text;
    turn.said.append(document.createTextNode(text));
  }
  return document_.usage || null;
}

async function ask(question) {
  const turn = newTurn(question);
  running = new AbortController();
  $("send").textContent = "Stop";
  let stages = [];
  let usage = null;
  let ended = false;
  try {
    const body = { model: $("model").value, stream: true, stream_options: { include_usage: true }, messages: [{ role: "user", content: question }] };
    body.retrieval = $("retrieval").checked ? {} : false;
    const response = await fetch("/v1/chat/completions", {
      method: "POST", headers: { ...headers(), "content-type": "application/json" }, body: JSON.stringify(body), signal: running.signal,
    });
    if (!response.ok) throw new Error(await problemOf(response));
    stages = parseTimings(response.headers.get("x-slipway-timing") || "");
    for await (const event of events(response)) {
      if (event.startsWith(": x-slipway-timing ")) stages = parseTimings(event.slice(19));
      const line = event.split("\n").find((part) => part.startsWith("data:"));
      if (!line) continue;
      if (line.slice(5).trim() === "[DONE]") { ended = true; continue; }
      usage = take(turn, JSON.parse(line.slice(5))) || usage;
    }
    if (!ended) throw new Error("The stream broke off before its end.");
  } catch (error) {
    fail(turn, error.name === "AbortError" ? "stopped" : error.message);
  } finally {
    running = null;
    $("send").textContent = "Ask";
    $("turns").setAttribute("aria-busy", "false");
    turn.answer.classList.remove("streaming");
    turn.answer.classList.add("finished");
    showCitations(turn);
    showTimings(turn, stages, usage);
    turn.answer.scrollIntoView({ block: "nearest" });
  }
}

// --- the source ---------------------------------------------------------------

async function openSource(note, button) {
  for (const other of document.querySelectorAll(".cite[aria-expanded=true]")) other.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-expanded", "true");
  $("source").hidden = false;
  $("source-name").textContent = note.filename;
  $("source-where").textContent = `passage ${note.number}, characters ${note.start} to ${note.end}, score ${note.score}`;
  $("source-text").replaceChildren(element("mark", "", note.quote));
  $("source-text").focus();
  const response = await fetch(`/v1/files/${encodeURIComponent(note.file_id)}/content`, { headers: headers() }).catch(() => null);
  if (!response || !response.ok || !(response.headers.get("content-type") || "").startsWith("text/")) return;
  const whole = await response.text();
  const at = whole.indexOf(note.quote);
  if (at < 0) return;
  const mark = element("mark", "", note.quote);
  $("source-text").replaceChildren(whole.slice(0, at), mark, whole.slice(at + note.quote.length));
  mark.scrollIntoView({ block: "center" });
}

function closeSource() {
  $("source").hidden = true;
  const opener = document.querySelector(".cite[aria-expanded=true]");
  opener?.setAttribute("aria-expanded", "false");
  (opener || $("question")).focus();
}

// --- uploads -------------------------------------------------------------------

async function upload(file) {
  $("upload-state").textContent = `Adding ${file.name} ...`;
  const form = new FormData();
  form.append("purpose", "assistants");
  form.append("file", file);
  const stored = await fetch("/v1/files", { method: "POST", headers: headers(), body: form });
  if (!stored.ok) throw new Error(await problemOf(stored));
  const { id } = await stored.json();
  const path = "/v1/vector_stores/vs_default/files";
  const added = await fetch(path, {
    method: "POST", headers: { ...headers(), "content-type": "application/json" }, body: JSON.stringify({ file_id: id }),
  });
  if (!added.ok) throw new Error(await problemOf(added));
  let state = await added.json();
  while (state.status === "in_progress") {
    await new Promise((resolve) => setTimeout(resolve, 300));
    state = await (await fetch(`${path}/${id}`, { headers: headers() })).json();
  }
  if (state.status === "failed") throw new Error(state.last_error?.message || "The file could not be read.");
  $("upload-state").textContent = `${file.name} can be asked about now.`;
}

// --- wiring ---------------------------------------------------------------------

function grow() {
  $("question").style.height = "auto";
  $("question").style.height = `${$("question").scrollHeight + 2}px`;
}

function submit() {
  if (running) { running.abort(); return; }
  const question = $("question").value.trim();
  if (!question) return;
  $("question").value = "";
  grow();
  ask(question);
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("question").addEventListener("input", grow);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (running) running.abort();
  else if (!$("source").hidden) closeSource();
  else $("settings").open = false;
});
for (const example of document.querySelectorAll(".example")) example.addEventListener("click", () => { $("question").value = example.textContent; submit(); });
$("source-close").addEventListener("click", closeSource);
$("model").addEventListener("change", showRelease);
$("key").addEventListener("change", loadModels);
$("upload").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (file) upload(file).catch((error) => { $("upload-state").textContent = error.message; }).finally(() => { event.target.value = ""; });
});

const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given) {
  $("key").value = given;
  // The key leaves the address bar, so that it lands in no history and no screenshot.
  history.replaceState(null, "", location.pathname);
}
loadModels();
