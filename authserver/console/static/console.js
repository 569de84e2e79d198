// Improves pages that work without it. Everything is found by attributes; nothing here decides what may be done.

const body = document.body.dataset;
const words = document.getElementById("words")?.dataset ?? {};
const announcement = document.getElementById("announcement");

/** Tell screen readers and those who look, without moving the focus. */
export function say(text) {
  if (announcement) announcement.textContent = text;
}

/* --- moments: relative and kept so; exact in the zone of the browser, unless its reader chose one ------------- */

const locale = { en: "en-GB", de: "de-DE" }[document.documentElement.lang] ?? document.documentElement.lang;
// As in moments.py: the unit, its seconds, and from how many on it is used.
const steps = [["year", 31536000, 63072000], ["month", 2592000, 10454400], ["day", 86400, 172800], ["hour", 3600, 3600], ["minute", 60, 60], ["second", 1, 1]];
const distance = new Intl.RelativeTimeFormat(locale, { numeric: "always" });

export function relative(instant, now = Date.now()) {
  const seconds = Math.round((instant - now) / 1000);
  const [unit, size] = steps.find(([, , least]) => Math.abs(seconds) >= least) ?? [];
  if (!unit) return words.justNow;
  const count = Math.floor((Math.abs(seconds) + Math.floor(size / 1000)) / size);
  return distance.format(Math.sign(seconds) * count, unit);
}

const calendar = { day: "numeric", month: "short", year: "numeric" };
const zoneOf = (time) => time.dataset.zone || Intl.DateTimeFormat().resolvedOptions().timeZone;

function exact(time) {
  const zone = zoneOf(time);
  const shown = new Intl.DateTimeFormat(locale, { ...calendar, hour: "2-digit", minute: "2-digit", timeZone: zone });
  return `${shown.format(new Date(time.dateTime))} ${zone}`;
}

/** Bring every instant inside an element into the reader's zone. */
export function moments(root = document) {
  for (const time of root.querySelectorAll("time.exact")) time.textContent = exact(time);
  for (const time of root.querySelectorAll("time.day-of")) time.textContent = new Intl.DateTimeFormat(locale, { ...calendar, timeZone: zoneOf(time) }).format(new Date(time.dateTime));
  for (const time of root.querySelectorAll("time.when")) {
    time.querySelector(".when-short").textContent = relative(new Date(time.dateTime));
    time.querySelector(".when-exact").textContent = exact(time);
  }
}
setInterval(() => moments(), 30000);

/* --- copy: "Copied" only when it is true -------------------------------------------------------------------- */

function select(node) {
  if (node.select) return node.select();
  const range = document.createRange();
  range.selectNodeContents(node);
  const chosen = getSelection();
  chosen.removeAllRanges();
  chosen.addRange(range);
}

async function copy(button) {
  const node = document.getElementById(button.dataset.copy);
  const text = node.value ?? node.textContent;
  const face = button.querySelector("span") ?? button;
  const before = (button.dataset.face ??= face.textContent);
  try {
    await navigator.clipboard.writeText(text);
    face.textContent = words.copied;
    say(words.copied);
  } catch {
    select(node);
    node.focus?.();
    face.textContent = words.copyByHand;
    say(words.copyByHand);
  }
  setTimeout(() => { face.textContent = before; say(""); }, 4000);
}

/* --- a link to a confirming page opens it as a dialog -------------------------------------------------------- */

async function openPage(link) {
  const box = document.getElementById("page");
  let answer;
  try {
    answer = await fetch(link.href, { credentials: "same-origin" });
  } catch {
    return location.assign(link.href);
  }
  // A redirect is a question of its own (sign in, password): that is a page, not a dialog.
  if (answer.redirected || !answer.ok) return location.assign(link.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const inner = page.querySelector("[data-dialog-content]");
  if (!inner) return location.assign(link.href);
  box.replaceChildren(document.importNode(inner, true));
  const title = box.querySelector("h1, h2");
  if (title) title.id = "page-title";
  for (const form of box.querySelectorAll("form:not([action])")) form.action = link.href;
  ready(box);
  box.showModal();
  box.addEventListener("close", () => { box.replaceChildren(); link.focus(); }, { once: true });
}

/* --- the end of a sign-in is announced two minutes before ---------------------------------------------------- */

const idle = document.getElementById("idle");
let endsAt = Date.now() + Number(body.endsIn) * 1000;
let announced = false;
let typed = false;
document.addEventListener("input", () => { typed = true; });

function watch() {
  const left = Math.round((endsAt - Date.now()) / 1000);
  if (left <= 0) {
    // A form that is being filled in stays: sending it asks for a sign-in and loses nothing.
    if (!typed) return location.assign(`${body.signIn}?next=${encodeURIComponent(location.pathname + location.search)}`);
    if (idle.open) idle.close();
    if (announced) say(words.signedOut);
    announced = false;
  } else if (left <= 120) {
    if (!announced) say(words.left);
    announced = true;
    if (!idle.open) idle.showModal();
    document.getElementById("idle-left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}

async function stay() {
  const answer = await fetch(body.stay, { method: "POST", headers: { "X-CSRF-Token": body.csrf }, credentials: "same-origin", redirect: "manual" });
  if (answer.status !== 204) return location.reload();
  endsAt = Date.now() + Number(body.endsIn) * 1000;
  announced = false;
  idle.close();
}

/* --- keys ---------------------------------------------------------------------------------------------------- */

function keys(event) {
  if ("noShortcuts" in body || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
  if (event.key === "?") document.getElementById("keys")?.showModal();
  else {
    const found = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!found) return;
    if (found.matches("a, button")) found.click();
    else found.focus();
  }
  event.preventDefault();
}

/* --- everywhere ---------------------------------------------------------------------------------------------- */

/** Bring new content to life; pages with scripts of their own may call it. */
export function ready(root = document) {
  moments(root);
  for (const button of root.querySelectorAll("[data-copy][hidden], [data-show][hidden]")) button.hidden = false;
  root.querySelector("[data-focus]")?.focus();
  for (const form of root.querySelectorAll("form[data-autosend]")) {
    form.addEventListener("change", () => form.requestSubmit());
    for (const button of form.querySelectorAll("button")) button.classList.add("hidden");
  }
}

document.addEventListener("click", (event) => {
  const showing = event.target.closest("[data-show]");
  if (showing) {
    const field = document.getElementById(showing.dataset.show);
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    showing.setAttribute("aria-pressed", shown);
    return;
  }
  const copying = event.target.closest("[data-copy]");
  if (copying) return copy(copying);
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    return openPage(link);
  }
  const closing = event.target.closest("dialog [data-close]");
  if (closing) {
    event.preventDefault();
    return closing.closest("dialog").close();
  }
  if (event.target.closest("dialog")) return;
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return keys(event);
  // Escape closes what is on top: behind a dialog the menu that opened it stays, and gets the focus back.
  if (document.querySelector("dialog[open]")) return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
for (const menu of document.querySelectorAll("details.menu")) {
  menu.addEventListener("focusout", (event) => {
    const to = event.relatedTarget;
    if (to && !menu.contains(to) && !to.closest("dialog")) menu.open = false;
  });
}
for (const box of document.querySelectorAll("dialog.box")) {
  box.addEventListener("close", () => document.querySelector("[data-opener]")?.focus());
}
if (idle) {
  setInterval(watch, 1000);
  document.getElementById("idle-stay").addEventListener("click", stay);
  idle.addEventListener("cancel", (event) => { event.preventDefault(); stay(); });
}
ready();
