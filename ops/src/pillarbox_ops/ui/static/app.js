// The page works without this file; it adds new e-mails by themselves, moving figures, and keys.
"use strict";

const EVERY_MS = 2000;
const $ = (id) => document.getElementById(id);
const store = (kind, name, value) => {
  try {
    return value === undefined ? kind().getItem(name) : kind().setItem(name, value);
  } catch {
    return null; // a browser may refuse storage
  }
};
const session = () => window.sessionStorage;
const local = () => window.localStorage;

// ---- parts of the page that are loaded again -------------------------------------------------------------------

async function load(path) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return answer.ok ? page : null;
}

function repeat(step) {
  let failures = 0;
  const run = async () => {
    if (!document.hidden) {
      const done = await step().catch(() => false);
      failures = done === false ? failures + 1 : 0;
    }
    setTimeout(run, EVERY_MS * Math.min(2 ** failures, 8));
  };
  setTimeout(run, EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || step().catch(() => false));
}

function pulse(text) {
  const place = $("pulse");
  if (place && place.textContent !== text) place.textContent = text;
}

// Rows that are there stay the same elements: focus, selection and scroll position keep their place.
function merge(page) {
  const [rows, newRows] = [$("rows"), page.getElementById("rows")];
  const known = new Map([...rows.children].map((row) => [row.dataset.id, row]));
  const wanted = new Set([...newRows.children].map((row) => row.dataset.id));
  for (const [id, row] of known) if (!wanted.has(id)) row.remove();
  let next = rows.firstElementChild;
  for (const row of [...newRows.children]) {
    if (known.has(row.dataset.id)) {
      next = known.get(row.dataset.id).nextElementSibling;
    } else {
      row.classList.add("fresh");
      rows.insertBefore(document.adoptNode(row), next);
    }
  }
  for (const id of ["count", "pager"]) $(id).replaceChildren(...page.getElementById(id).childNodes);
  const empty = document.querySelector("#live .state");
  if (empty && wanted.size) empty.remove();
}

function followDay(live) {
  const button = $("fresh");
  let waiting = null;
  const show = () => {
    if (waiting) merge(waiting);
    waiting = null;
    button.hidden = true;
  };
  button.addEventListener("click", () => {
    show();
    window.scrollTo({ top: 0 });
    document.querySelector(".row a")?.focus({ preventScroll: true });
  });
  pulse("New e-mails appear here");
  repeat(async () => {
    const page = await load(live.dataset.live).catch(() => null);
    if (!page) {
      pulse("No answer at present; trying again");
      return false;
    }
    pulse("New e-mails appear here");
    const known = new Set([...document.querySelectorAll("#rows > .row")].map((row) => row.dataset.id));
    const fresh = [...page.querySelectorAll("#rows > .row")].filter((row) => !known.has(row.dataset.id)).length;
    waiting = page;
    if (window.scrollY < 40) show();
    else if (fresh) button.hidden = false;
    return true;
  });
}

function followPart(live) {
  repeat(async () => {
    const page = await load(live.dataset.swap);
    if (!page) return false;
    const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    live.replaceChildren(...page.body.childNodes);
    if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
    return true;
  });
}

function followMissing() {
  repeat(async () => {
    if (await load(location.href)) location.reload();
    return true;
  });
}

// ---- keys ----------------------------------------------------------------------------------------------------------

function move(step) {
  const places = [...document.querySelectorAll(".row > a, .row summary")];
  const at = places.indexOf(document.activeElement);
  const next = places[at < 0 ? (step > 0 ? 0 : places.length - 1) : at + step];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  } else {
    document.querySelector(places.length ? `.pager [rel=${step > 0 ? "next" : "prev"}]` : null)?.focus();
  }
}

function turn(step) {
  if (document.querySelector(".email")) document.querySelector(`.crumbs [rel=${step > 0 ? "next" : "prev"}]`)?.click();
  else if (document.querySelector(".row")) move(step);
}

const letters = {
  j: () => turn(1),
  k: () => turn(-1),
  h: () => $("earlier")?.click(),
  l: () => $("later")?.click(),
  ".": () => $("fresh")?.hidden === false && $("fresh").click(),
  "/": () => $("q").select() || $("q").focus(),
  "?": () => $("keys").showModal(),
};

function up() {
  if (document.activeElement instanceof HTMLInputElement) return document.activeElement.blur();
  const link = $("up");
  if (!link) return document.activeElement.blur();
  const list = store(session, "list");
  // Back to the part of the list, or to the search, that the e-mail was opened from.
  if (document.querySelector(".email") && list) location.assign(list);
  else link.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys")?.open) return;
  if (event.key === "Escape") return up();
  if (event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select")) return;
  if (letters[event.key] && store(local, "keys") !== "off") {
    event.preventDefault();
    letters[event.key]();
  }
});

// ---- at the start --------------------------------------------------------------------------------------------------

for (const box of document.querySelectorAll(".keys-on")) {
  box.checked = store(local, "keys") !== "off";
  box.addEventListener("change", () => store(local, "keys", box.checked ? "on" : "off"));
}
$("show-keys")?.addEventListener("click", (event) => {
  event.preventDefault();
  $("keys").showModal();
});
document.addEventListener("change", (event) => {
  if (event.target.name === "id") $("which-ticked").checked = true;
});
if ($("rows") && !document.querySelector(".cards")) {
  store(session, "list", location.pathname + location.search);
  $("rows").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) store(session, "opened", row.dataset.id);
  });
  const opened = store(session, "opened");
  document.querySelector(`.row[data-id="${CSS.escape(opened ?? "")}"] > a`)?.focus();
}
const live = $("live");
if (live?.dataset.live) followDay(live);
if (live?.dataset.swap) followPart(live);
if ($("missing")?.dataset.wait) followMissing();
