// Renders /openapi.json and sends requests to the routes that it describes. No library, no other host.
"use strict";

const byId = (id) => document.getElementById(id);

// Text is inserted as text nodes only: nothing of the document or of a response is parsed as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// `code` in backquotes becomes a code element, and a link where it is the code of a problem.
function prose(text) {
  return (text || "").split("`").map((part, index) => (index % 2 ? linked(part, part, problems) : part));
}

const problems = new Set();
const linked = (text, id, known) => {
  const code = make("code", {}, text);
  return known.has(id) ? make("a", { href: `#${id}` }, code) : code;
};

const schemaId = (name) => `schema-${name}`;
const schemaLink = (name, text = name) => make("a", { href: `#${schemaId(name)}` }, text);
const REFERENCE = /("#\/components\/schemas\/(\w+)")/;

// JSON as text, with each reference to a schema as a link to it.
function jsonWithLinks(value) {
  const parts = JSON.stringify(value, null, 2).split(REFERENCE);
  return parts.flatMap((part, index) => (index % 3 === 0 ? part : index % 3 === 1 ? schemaLink(parts[index + 1], part) : []));
}

const resolve = (api, thing) =>
  thing && thing.$ref ? thing.$ref.slice(2).split("/").reduce((at, name) => at[name], api) : thing;

// A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix time in milliseconds, then random bits.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  for (let index = 0; index < 6; index += 1) bytes[index] = Math.floor(now / 2 ** (8 * (5 - index))) % 256;
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function renderRoute(api, path, method, operation) {
  const fields = (operation.parameters || []).map((parameter) => renderParameter(resolve(api, parameter)));
  const example = operation.requestBody && operation.requestBody.content["application/json"].example;
  const body = example && make("textarea", { spellcheck: "false" }, JSON.stringify(example, null, 2));
  const answer = make("div", { "aria-live": "polite" });
  const send = make("button", { type: "button" }, "Send");
  send.addEventListener("click", async () => {
    send.disabled = true;
    await trySending(path, method, operation, fields, body, answer);
    send.disabled = false;
  });
  return make(
    "details",
    { id: operation.operationId },
    make("summary", {}, make("span", { class: `method ${method}` }, method), make("span", { class: "path" }, path),
      make("span", { class: "says" }, operation.summary)),
    make("div", {}, make("p", {}, ...prose(operation.description)), renderAnswers(operation), make("h3", {}, "Try it out"),
      ...fields.map((field) => field.row), body ? make("label", {}, "Body (JSON)", body) : "", send, answer),
  );
}

function renderParameter(parameter) {
  const input = make("input", { type: "text", placeholder: (parameter.schema.enum || []).join(" or ") });
  const row = make("div", { class: "row" }, make("label", {}, `${parameter.name} (${parameter.in})`, input));
  if (parameter.name === "Idempotency-Key") {
    row.append(make("button", { type: "button", class: "quiet", onclick: () => (input.value = newKey()) }, "make one"));
  }
  const says = parameter.description ? make("p", { class: "says" }, ...prose(parameter.description)) : "";
  return { parameter, input, row: make("div", {}, row, says) };
}

function renderAnswers(operation) {
  const list = Object.entries(operation.responses).map(([status, response]) =>
    make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, ...prose(response.description)),
      make("td", {}, ...Object.entries(response.content || {}).map(([kind, content]) => renderBody(kind, content.schema)))));
  return make("details", { class: "answers" }, make("summary", {}, `Answers (${list.length})`),
    make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...list))));
}

function renderBody(kind, schema) {
  return schema && schema.$ref ? schemaLink(schema.$ref.split("/").pop()) : kind;
}

async function trySending(path, method, operation, fields, body, answer) {
  const headers = {};
  let url = path;
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) headers[parameter.name] = input.value;
  }
  if (body) headers["Content-Type"] = "application/json";
  const token = byId("token").value;
  // Header values are bytes; a token beyond ASCII travels as UTF-8.
  // An empty list says that the operation needs no token.
  const secured = !operation.security || operation.security.length > 0;
  if (token && secured) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}`;
  const began = performance.now();
  try {
    const response = await fetch(url, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
    const text = await response.text();
    showAnswer(answer, response, text, performance.now() - began);
  } catch (error) {
    answer.replaceChildren(make("p", { class: "status bad" }, `No answer: ${error.message}`));
  }
}

function showAnswer(answer, response, text, milliseconds) {
  const names = ["content-type", "retry-after", "allow", "ratelimit", "ratelimit-policy"];
  const headers = names.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
  answer.replaceChildren(
    make("p", { class: `status ${response.ok ? "good" : "bad"}` }, `${response.status} in ${milliseconds.toFixed(0)} ms`),
    make("pre", {}, headers.join("\n")),
    make("pre", { class: "body" }, pretty(text)),
  );
}

function renderSchema([name, schema]) {
  return make("details", { id: schemaId(name) }, make("summary", {}, make("span", { class: "path" }, name),
    make("span", { class: "says" }, ...prose(schema.description))),
  make("div", {}, make("pre", {}, ...jsonWithLinks(schema))));
}

function renderProblem(problem) {
  return make("tr", { id: problem.code }, make("td", {}, make("code", {}, problem.code)), make("td", {}, String(problem.status)),
    make("td", {}, problem.title), make("td", {}, ...prose(problem.remedy)));
}

// A link may point into what is folded.
function openTarget() {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
}

async function show() {
  const api = await (await fetch("/openapi.json")).json();
  for (const problem of api["x-problems"]) problems.add(problem.code);
  byId("version").textContent = api.info.version;
  byId("about").replaceChildren(...prose(api.info.description), " ", make("a", { href: "/openapi.json" }, "/openapi.json"));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      byId("routes").append(renderRoute(api, path, method, operation));
    }
  }
  byId("routes").querySelector("details").open = true;
  byId("schemas").append(...Object.entries(api.components.schemas).map(renderSchema));
  byId("problems").append(...api["x-problems"].map(renderProblem));
  // What a problem's `type` and other links point to exists only now.
  if (location.hash) location.replace(location.hash);
  window.addEventListener("hashchange", openTarget);
  openTarget();
}

show().catch((error) => { byId("about").textContent = `The description could not be loaded: ${error.message}`; });
