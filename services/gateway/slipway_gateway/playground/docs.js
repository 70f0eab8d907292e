// The API's documentation, drawn from /openapi.json. Everything becomes text nodes; nothing is loaded from elsewhere.
"use strict";

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function block(title, value) {
  const details = element("details");
  details.append(element("summary", "", title), element("pre", "schema", JSON.stringify(value, null, 2)));
  return details;
}

function resolved(schema, schemas, depth) {
  if (Array.isArray(schema)) return schema.map((item) => resolved(item, schemas, depth));
  if (!schema || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 4 ? { see: name } : resolved(schemas[name] || { see: name }, schemas, depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, schemas, depth)]));
}

function drawn(method, path, operation, schemas) {
  const article = element("article", "operation");
  const heading = element("h2");
  heading.append(element("span", "method", method.toUpperCase()), document.createTextNode(path));
  article.append(heading, element("p", "", operation.description || operation.summary || ""));
  const media = operation.requestBody?.content?.["application/json"];
  if (media?.example) article.append(block("Example", media.example));
  if (media?.schema) article.append(block("Request", resolved(media.schema, schemas, 0)));
  article.append(block("Answers", resolved(operation.responses || {}, schemas, 0)));
  return article;
}

async function draw() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("version").textContent = api.info.version;
  const schemas = api.components?.schemas || {};
  const list = document.getElementById("operations");
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) list.append(drawn(method, path, operation, schemas));
  }
}

draw();
