// Keeps a page true without loading it again.
//
// Everything shown is made by the catalog, at the address in the address bar; this asks
// there again and puts in what has changed. It never makes HTML of what a record says.
"use strict";

const EVERY_MS = 5000;
const PATIENCE_MS = 20000;
const TYPING_MS = 200;

const main = document.querySelector("main");
const state = document.getElementById("state");
const form = document.querySelector("form");

let shown = location.href;  // The address of what is on the page.
let clockMs = 0;            // How far the catalog's clock is ahead of ours.
let answered = new Date();
let timer = 0;
let asking = null;

// Asking

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  asking = null;
  if (document.hidden) return;
  const mine = asking = new AbortController();
  const patience = setTimeout(() => mine.abort("it takes too long"), PATIENCE_MS);
  const where = location.href.split("#")[0];
  // Its tag says what we have: nothing but a few letters come if that is all there is.
  const headers = where === shown ? { "If-None-Match": `"${main.dataset.tag}"` } : {};
  try {
    const reply = await fetch(where, { cache: "no-store", headers, signal: mine.signal });
    if (reply.status === 200) show(await reply.text(), where);
    else if (reply.status !== 304) throw new Error(`it says ${reply.status}`);
    answered = new Date();
    tell("");
  } catch {
    if (asking !== mine) return;  // Somebody wants to see something else by now.
    tell(`The catalog has not answered since ${answered.toLocaleTimeString()}. ` +
         "This is what it said then.");
  } finally {
    clearTimeout(patience);
    if (asking === mine) timer = setTimeout(refresh, EVERY_MS);
  }
  grow();
}

function tell(words) {
  if (state.textContent !== words) state.textContent = words;
  document.documentElement.classList.toggle("silent", words !== "");
}

// Showing

function show(text, where) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const news = page.querySelector("main");
  if (!news) throw new Error("that is no page of a catalog");
  const focus = whoHasFocus();
  main.dataset.tag = news.dataset.tag;
  keepTime(news.dataset.now);
  grow();  // The same words for the same time, so that only what is new differs.
  grow(news);
  for (const id of ["count", "heads", "sums", "pages", "types", "record"]) {
    const before = document.getElementById(id);
    const after = page.getElementById(id);
    if (before && after && before !== document.activeElement) replace(before, after);
  }
  const rows = page.getElementById("rows");
  if (rows) replaceRows(document.getElementById("rows"), rows);
  shown = where;
  giveFocus(focus);
}

function replace(before, after) {
  if (before.innerHTML === after.innerHTML) return;
  before.replaceChildren(...after.childNodes);
  if (before.id === "types") before.value = inAddress("type", "");
}

// A row that says the same stays the same, so that what is selected in it stays so.
function replaceRows(before, after) {
  const known = new Map();
  for (const row of before.rows) known.set(nameOf(row), row);
  const wanted = Array.from(after.rows, (row) => {
    const old = known.get(nameOf(row));
    return old?.innerHTML === row.innerHTML ? old : row;
  });
  const kept = new Set(wanted);
  for (const row of Array.from(before.rows)) if (!kept.has(row)) row.remove();
  wanted.forEach((row, place) => {
    if (before.rows[place] !== row) before.insertBefore(row, before.rows[place] ?? null);
  });
}

function nameOf(row) {
  return row.querySelector("a").getAttribute("href");
}

function whoHasFocus() {
  const here = document.activeElement;
  return here?.closest("main") ? [here.id, here.getAttribute("href")] : ["", null];
}

function giveFocus([id, link]) {
  const wanted = id ? document.getElementById(id)
    : link && main.querySelector(`a[href="${CSS.escape(link)}"]`);
  if (wanted && wanted !== document.activeElement) wanted.focus({ preventScroll: true });
}

// Time

function keepTime(now) {
  clockMs = Number(now) * 1000 - Date.now();
}

function grow(page = main) {
  const now = Date.now() + clockMs;
  for (const each of page.querySelectorAll("data")) {
    const words = ago(now / 1000 - Number(each.value));
    if (each.textContent !== words) each.textContent = words;
  }
}

// The catalog writes it like this, too.
function ago(seconds) {
  const whole = Math.max(0, Math.trunc(seconds));
  for (const [unit, length] of [["day", 86400], ["h", 3600], ["min", 60]]) {
    if (whole >= 2 * length) {
      return `${Math.trunc(whole / length)} ${unit}${unit === "day" ? "s" : ""} ago`;
    }
  }
  return `${whole} s ago`;
}

// What people do

function go(address, write) {
  if (address === location.href) return;
  write.call(history, null, "", address);
  refresh();
}

function wanted() {
  const told = new URLSearchParams(new FormData(form));
  for (const [name, value] of Array.from(told)) {
    if (!value || (name === "sort" && value === "name")) told.delete(name);
  }
  const query = told.toString();
  return form.action + (query ? `?${query}` : "");
}

function followAddress() {
  form.elements.sort.value = inAddress("sort", "name");
  form.elements.type.value = inAddress("type", "");
  form.elements.filter.value = inAddress("filter", "");
}

function inAddress(name, otherwise) {
  return new URLSearchParams(location.search).get(name) || otherwise;
}

function isPlain(click) {
  return click.button === 0 && !(click.ctrlKey || click.metaKey || click.shiftKey || click.altKey);
}

if (form) {
  let typing = 0;
  document.documentElement.classList.add("live");
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    const pause = event.target.name === "filter" ? TYPING_MS : 0;
    typing = setTimeout(() => go(wanted(), history.replaceState), pause);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go(wanted(), history.replaceState);
  });
  main.addEventListener("click", (event) => {
    const link = event.target.closest("#heads a, #pages a");
    if (!link || !isPlain(event)) return;
    event.preventDefault();
    go(link.href, history.pushState);
    followAddress();
    if (link.closest("#pages")) document.getElementById("table").scrollIntoView();
  });
  addEventListener("popstate", () => { followAddress(); refresh(); });
}

// Back to the list as it was, with its order, its filter and its place.
document.getElementById("back")?.addEventListener("click", (event) => {
  const from = document.referrer && new URL(document.referrer);
  if (!from || from.origin !== location.origin || !isPlain(event)) return;
  if (!["/", "/query.html"].includes(from.pathname) || history.length < 2) return;
  event.preventDefault();
  history.back();
});

document.addEventListener("visibilitychange", refresh);
addEventListener("pageshow", (event) => {
  // Who comes back sees an old page, whose idea of the time is as old.
  const kind = performance.getEntriesByType("navigation")[0]?.type;
  const isOld = event.persisted || kind === "back_forward";
  if (isOld) shown = "";
  else keepTime(main.dataset.now);
  if (form) followAddress();
  timer = setTimeout(refresh, isOld ? 0 : EVERY_MS);
});
