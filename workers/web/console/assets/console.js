// What a browser with scripts does more: search while one types, lists that follow what happens, ticks that stay across
// pages, times in the reader's zone. Every page works without it.
"use strict";

const LOOK_MS = 20000;   // between two looks at whether a list has changed
const TOLD_LOOKS = 3;    // looks of which one is made if a stream tells of changes
const IDLE_MS = 900000;  // after which nobody seems to be there, and nothing is asked any more
const STALE_MS = 90000;  // without an answer, after which a page that is watched says that it is old
const TYPED_MS = 200;    // after the last letter that is typed

const page = document.documentElement;
let used = Date.now();
for (const kind of ["pointerdown", "keydown", "scroll"]) addEventListener(kind, () => { used = Date.now(); }, { passive: true });

// --- Times -------------------------------------------------------------------------------------------------------
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
function localise(within) {
  if (page.dataset.zone || !zone) return;
  const format = new Intl.DateTimeFormat(page.lang === "en" ? "en-GB" : page.lang, {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  for (const time of within.querySelectorAll("time")) time.textContent = format.format(new Date(time.dateTime)).replace(",", "");
  for (const name of within.querySelectorAll("[data-zone-name]")) name.textContent = zone;
}
if (!page.dataset.zone && zone) {
  document.cookie = `rollcall-zone=${encodeURIComponent(zone)}; path=/; max-age=34560000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
}

// --- The sections, which a phone shows in one line: the one that is open is in sight ---------------------------------
const open = document.querySelector(".sections [aria-current]");
if (open) {
  const line = open.closest("ul"), [all, one] = [line, open].map((it) => it.getBoundingClientRect());
  line.scrollLeft += one.left - all.left - (all.width - one.width) / 2;
}

// --- Ticks, kept while one goes from page to page ------------------------------------------------------------------
const many = () => document.querySelector("[data-many]");
const rows = (form) => [...form.querySelectorAll("tbody input[type=checkbox]")];
const store = (organisation) => `rollcall-ticked-${organisation}`;
function ticked() {
  const form = many();
  try { return new Map(JSON.parse(sessionStorage.getItem(store(form.dataset.many)) || "[]")); } catch { return new Map(); }
}
function keep(found) {
  try { sessionStorage.setItem(store(many().dataset.many), JSON.stringify([...found])); } catch { /* they hold for this page */ }
}
function show() {
  const form = many(), says = form && form.querySelector("[data-ticked]");
  if (!says) return;
  const found = ticked(), boxes = rows(form), every = form.querySelector("[data-every]");
  for (const box of boxes) box.checked = found.has(box.value);
  for (const box of [...boxes, form.querySelector("[data-tick-all]")]) box.disabled = Boolean(every && every.checked);
  const all = form.querySelector("[data-tick-all]");
  const here = boxes.filter((box) => box.checked).length;
  all.hidden = false;
  all.checked = boxes.length > 0 && here === boxes.length;
  all.indeterminate = here > 0 && here < boxes.length;
  form.querySelector("[data-untick]").hidden = found.size === 0 || (every && every.checked);
  if (!says.dataset.none) says.dataset.none = says.textContent;
  const number = new Intl.NumberFormat(page.lang), inactive = [...found.values()].filter((one) => one === "inactive").length;
  const text = every && every.checked ? says.dataset.every : found.size ? says.dataset.one.replace("{n}", number.format(found.size)).replace("{inactive}", number.format(inactive)) : says.dataset.none;
  if (says.textContent !== text) says.textContent = text;
  for (const act of form.querySelectorAll(".bar button:not(.link)")) act.hidden = !found.size && !(every && every.checked);
}
addEventListener("change", (event) => {
  const box = event.target;
  if (!box.closest || !box.closest("[data-many]") || box.type !== "checkbox") return;
  if (box.hasAttribute("data-every")) { show(); return; }
  const found = ticked();
  const boxes = box.hasAttribute("data-tick-all") ? rows(many()) : [box];
  for (const one of boxes) box.checked ? found.set(one.value, one.dataset.status) : found.delete(one.value);
  keep(found);
  show();
});
addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-done]")) {
    try { sessionStorage.removeItem(store(form.dataset.done)); } catch { /* nothing was kept */ }
  }
  if (!form.matches("[data-many]")) return;
  const every = form.querySelector("[data-every]"), boxes = rows(form), name = boxes.length ? boxes[0].name : "learner";
  for (const old of form.querySelectorAll(`input[type=hidden][name=${name}]`)) old.remove();
  if (every && every.checked) return;
  const here = new Set(boxes.map((box) => box.value));
  for (const [id] of ticked()) if (!here.has(id)) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value: id }));
  }
});

// --- Lists: searched while one types, and gone through, without the whole page -------------------------------------
const list = () => document.querySelector("[data-list]");
let asking = null;
async function fetched(url, signal, unused) {  // unused: nobody is there, so that the session is not used by it
  const headers = unused ? { Accept: "text/html", "Rollcall-Unused": "1" } : { Accept: "text/html" };
  const answer = await fetch(url, { headers, signal, redirect: "manual" });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}
async function go(url, how) {
  if (asking) asking.abort();
  const mine = asking = Object.assign(new AbortController(), { url });
  try {
    const whole = await fetched(url, mine.signal), found = whole.querySelector("[data-list]");
    if (!found) throw new Error("no list");
    localise(whole);
    const focused = document.activeElement, name = focused && focused.id, field = list().querySelector("[data-search]");
    fill(list(), found, how && (typing || field === focused) ? field : null);
    renew(document, whole);
    shows(whole);
    if (how) history[how]({}, "", url);
    const again = name && document.getElementById(name);
    if (again) {
      if (again !== document.activeElement) again.focus({ preventScroll: true });
    } else if (!document.activeElement || document.activeElement === document.body) {
      list().tabIndex = -1;
      list().focus({ preventScroll: true });
    }
    if (how === "pushState" && list().getBoundingClientRect().top < 0) list().scrollIntoView();
    show();
    listen();
    const says = list().querySelector("[data-say]");  // said again, so that a screen reader hears it
    if (says) { const text = says.textContent; says.textContent = ""; setTimeout(() => { says.textContent = text; }, 50); }
  } catch (problem) {
    if (problem.name !== "AbortError") location.assign(url);
  } finally {
    if (asking === mine) asking = null;
  }
}
// All that stands in `into` is replaced, but for a field in which somebody types, and what that stands in.
function fill(into, from, field) {
  const held = field && [...into.children].find((one) => one.contains(field));
  const twin = held && [...from.children].find((one) => one.id === field.id || one.querySelector(`#${CSS.escape(field.id)}`));
  if (!twin) { into.replaceChildren(...from.childNodes); return; }
  const others = [...from.childNodes], at = others.indexOf(twin);
  for (const one of [...into.childNodes]) if (one !== held) one.remove();
  held.before(...others.slice(0, at));
  held.after(...others.slice(at + 1));
  if (held !== field) fill(held, twin, field);
}
let typing = 0;
addEventListener("input", (event) => {
  if (!event.target.matches || !event.target.matches("[data-search]")) return;
  clearTimeout(typing);
  const field = event.target;
  typing = setTimeout(() => { typing = 0; go(address(field.form), "replaceState"); }, TYPED_MS);
});
function address(form) {  // what a link asked for that is not shown yet holds: a tab is not lost if one types at once
  const asked = asking && new URL(asking.url).searchParams;
  const said = [...new FormData(form)].map(([name, value]) => [name, asked && form.elements[name].type === "hidden" ? asked.get(name) || "" : value]).filter(([, value]) => value !== "");
  return `${form.action}?${new URLSearchParams(said)}`;
}
addEventListener("submit", (event) => {
  if (!event.target.matches("form.search") || !list()) return;
  event.preventDefault();
  clearTimeout(typing);
  typing = 0;
  go(address(event.target), "pushState");
});
addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest("[data-list] :is(.tabs, .pager, .search, .empty, thead) a:not([data-whole])");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    go(link.href, "pushState");
  }
  if (event.target.closest && event.target.closest("[data-untick]")) { keep(new Map()); show(); many().querySelector("[data-tick-all]").focus(); }
  if (event.target.closest && event.target.closest("[data-changes] button")) go(location.href, null);
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("popstate", () => { if (list()) go(location.href, null); });
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// --- What changes meanwhile: rows in their place; if others come or go, it is only said that they did --------------
const watched = () => document.querySelector("[data-watch]");  // left open on a second screen: asked on and on
const alone = () => Date.now() - used > IDLE_MS;
let answered = Date.now();
let looking = false, again = false;
async function look() {  // one after the other, so that no page is shown that is older than the one before
  if (looking) { again = true; return; }
  looking = true;
  again = false;
  await lookOnce();
  looking = false;
  if (again) look();
}
async function lookOnce() {
  const shown = document.querySelector("[data-live]");
  if (!shown || document.hidden || (alone() && !watched())) return;
  const stale = shown.querySelector("[data-stale]");
  if (stale) stale.hidden = Date.now() - answered < STALE_MS;
  try {
    const at = location.href, whole = await fetched(at, undefined, alone()), found = whole.querySelector("[data-live]");
    if (found) answered = Date.now();
    if (!found || at !== location.href) return;
    localise(found);
    if (renew(shown, found)) shows(whole);  // what was left as it is, is looked at again
    const before = [...shown.querySelectorAll("[data-key]")], after = [...found.querySelectorAll("[data-key]")];
    const same = before.length === after.length && before.every((row, n) => row.dataset.key === after[n].dataset.key);
    const notice = shown.querySelector("[data-changes]");
    if (notice) notice.hidden = same;
    if (!same) return;
    before.forEach((row, n) => [...row.cells].forEach((cell, m) => {
      const other = after[n].cells[m];
      if (other && !cell.querySelector("input, details") && cell.innerHTML !== other.innerHTML && !cell.contains(document.activeElement)) {
        cell.replaceChildren(...other.childNodes);
      }
      const box = cell.querySelector("input[data-status]"), now = other && other.querySelector("input[data-status]");
      if (box && now) box.dataset.status = now.dataset.status;
    }));
  } catch { /* the next look may find it */ }
}
// What stands in [data-part] is replaced where it is, unless somebody is in it, has opened something there, or marks text.
function renew(shown, found) {
  const marked = getSelection();
  let all = true;
  for (const part of shown.querySelectorAll("[data-part]")) {
    const other = found.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (!other || part.innerHTML === other.innerHTML) continue;
    const used = part.contains(document.activeElement) || part.querySelector("details[open]") || (!marked.isCollapsed && marked.containsNode(part, true));
    used ? all = false : part.replaceChildren(...other.childNodes);
  }
  return all;
}

// --- Told of changes: a stream while the page is seen, which says that something is another, and not what -----------
// [data-stream] is what the page was made of: what the stream says is compared with that, so that nothing is missed which
// changed before the stream began, or while the page was asked for again.
let told = null, heard = "";
const isBehind = () => heard !== "" && heard !== document.querySelector("[data-stream]")?.dataset.stream;
function shows(whole) {
  const here = document.querySelector("[data-stream]"), there = whole.querySelector("[data-stream]");
  if (here && there) here.dataset.stream = there.dataset.stream;
  document.title = whole.title;
}
function listen() {
  const wanted = document.querySelector("[data-stream]") && !document.hidden && (!alone() || watched());
  if (told && (!wanted || told.readyState === EventSource.CLOSED || told.of !== location.href)) {
    if (told.of !== location.href) heard = "";
    told.close();
    told = null;
  }
  if (!wanted || told) return;
  const stream = told = new EventSource(location.href);
  stream.of = location.href;
  stream.onmessage = (event) => {
    heard = event.data;
    if (isBehind()) look();
  };
  stream.onerror = () => { stream.close(); if (told === stream) told = null; };  // begun again at the next look
}
let looks = 0;
setInterval(() => {
  listen();
  if (!told || isBehind() || ++looks % TOLD_LOOKS === 0) look();
}, LOOK_MS);
document.addEventListener("visibilitychange", listen);

// --- Ticks of one page -----------------------------------------------------------------------------------------------
for (const all of document.querySelectorAll("[data-ticks] [data-tick-page]")) {
  const boxes = [...all.closest("form").querySelectorAll("tbody input[type=checkbox]")];
  all.hidden = boxes.length === 0;
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
  all.closest("form").addEventListener("change", () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  });
}

// --- Writing: mistakes, counts and the preview follow what is typed --------------------------------------------------
const SEEN_MS = 600;  // after the last letter
const draft = () => document.querySelector("[data-draft]");
let seeing = 0, looked = null, frames = 0, typedIn = null;
async function see() {
  const form = draft(), said = new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string"));
  if (looked) looked.abort();
  looked = new AbortController();
  let found;
  try {
    const answer = await fetch(form.dataset.see, { method: "POST", body: said, signal: looked.signal, redirect: "manual" });
    if (!answer.ok) return;
    found = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch { return; }
  for (const part of form.querySelectorAll("[data-seen]")) {
    const other = found.getElementById(part.id);
    if (other && other.innerHTML !== part.innerHTML) part.replaceChildren(...other.childNodes);
  }
  for (const field of form.querySelectorAll("[data-says]")) {
    const other = found.getElementById(field.id);
    for (const name of ["aria-invalid", "aria-describedby"]) {
      const value = other && other.getAttribute(name);
      value === null ? field.removeAttribute(name) : field.setAttribute(name, value);
    }
  }
  mark();
  if (!form.querySelector(".mistake")) preview(form, said);
}
function preview(form, said) {  // into a new frame each time: no step is added to the history, and nothing flickers
  const around = form.querySelector("[data-frames]"), old = around.querySelectorAll("iframe");
  const frame = Object.assign(document.createElement("iframe"), { name: `seen-${++frames}`, title: form.dataset.frameTitle, className: "coming" });
  frame.setAttribute("sandbox", "");
  around.append(frame);
  frame.addEventListener("load", () => {  // now that the empty one is there
    for (const one of old) one.remove();
    frame.className = "";
    form.querySelector("[data-preview]").setAttribute("formtarget", frame.name);
  });
  const sent = Object.assign(document.createElement("form"), { method: "post", action: form.dataset.frame, target: frame.name, hidden: true });
  for (const [name, value] of said) sent.append(Object.assign(document.createElement("textarea"), { name, value }));
  document.body.append(sent);
  sent.submit();
  sent.remove();
}
function mark() {  // the lines with mistakes, behind the text
  const text = document.getElementById("body"), behind = document.querySelector("[data-marked]");
  if (!behind || !text) return;
  const faults = new Map([...document.querySelectorAll("[data-line]")].reverse().map((one) => [Number(one.dataset.line), one.hasAttribute("data-warns")]));
  behind.replaceChildren(...text.value.split("\n").flatMap((line, n) => {
    const one = faults.has(n + 1) ? Object.assign(document.createElement("mark"), { className: faults.get(n + 1) ? "warns" : "" }) : document.createElement("span");
    one.textContent = line || " ";
    return [one, "\n"];
  }));
  behind.scrollTop = text.scrollTop;
}
function written(event) {
  const field = event.target;
  if (!draft() || !draft().contains(field)) return;
  if (field.id === "body") mark();
  clearTimeout(seeing);
  seeing = setTimeout(see, event.type === "change" ? 0 : SEEN_MS);
}
addEventListener("input", written);
addEventListener("change", (event) => { if (event.target.matches("[type=radio], [type=checkbox]")) written(event); });
addEventListener("focusin", (event) => { if (event.target.matches("[data-says]")) typedIn = event.target; });
addEventListener("scroll", (event) => { if (event.target.id === "body") document.querySelector("[data-marked]").scrollTop = event.target.scrollTop; }, { capture: true, passive: true });
addEventListener("click", (event) => {
  const field = event.target.closest && event.target.closest("[data-insert]"), line = event.target.closest && event.target.closest("[data-line]");
  if (field) {
    const into = typedIn && typedIn.isConnected ? typedIn : document.getElementById("body");
    field.closest("details").open = false;
    into.focus();
    into.setRangeText(field.dataset.insert, into.selectionStart, into.selectionEnd, "end");
    const gap = field.dataset.insert.indexOf("…"), from = into.selectionEnd - field.dataset.insert.length + gap;
    if (gap >= 0) into.setSelectionRange(from, from + 1);  // what is typed next takes its place
    into.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (line && draft()) {
    event.preventDefault();
    const text = document.getElementById("body"), lines = text.value.split("\n"), n = Number(line.dataset.line) - 1;
    const from = lines.slice(0, n).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(from, from + (lines[n] || "").length);
    text.scrollTop = Math.max(0, (text.scrollHeight * n) / lines.length - text.clientHeight / 3);
  }
});

localise(document);
if (many()) show();
listen();
mark();
