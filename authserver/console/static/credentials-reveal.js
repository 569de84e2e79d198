// The page that shows a secret: nobody leaves it by accident, snippets come in tabs, and the secret can be tried.

const base = await import(document.querySelector('script[src*="console.js"]').src);
const reveal = document.getElementById("reveal");
const stored = document.getElementById("stored");
const done = document.getElementById("done-button");

/* --- leaving ------------------------------------------------------------------------------------------------- */

const leave = document.getElementById("leave");
let wanted = null;
let free = false;

function arm() {
  done.disabled = !stored.checked;
}
stored.addEventListener("change", arm);
arm();

function ask(target) {
  wanted = target;
  leave.showModal();
}

// Back is a step within this page first, so that it can ask; whoever reloads then finds the credential, not the form.
const BACK = Symbol("back");
const after = document.getElementById("done").action;
history.pushState(null, "", after);
addEventListener("popstate", () => {
  if (free || stored.checked) return history.back();
  ask(BACK);
});
leave.addEventListener("close", () => {
  if (wanted === BACK && !free) history.pushState(null, "", after);
  wanted = null;
});

document.getElementById("done").addEventListener("submit", () => { free = true; });
document.getElementById("leave-button").addEventListener("click", () => {
  free = true;
  if (wanted === BACK) history.back();
  else location.assign(wanted ?? after);
});
addEventListener("beforeunload", (event) => {
  if (free || stored.checked) return;
  event.preventDefault();
  event.returnValue = "";
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || stored.checked || document.querySelector("dialog[open], details.menu[open]")) return;
  event.preventDefault();
  ask(null);
}, true);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || stored.checked || link.target || link.hasAttribute("download") || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  ask(link.href);
}, true);
// Counts as typing: when the sign-in ends, the page with the secret is not taken away.
document.dispatchEvent(new Event("input"));

/* --- snippets in tabs ---------------------------------------------------------------------------------------- */

const box = document.getElementById("snippets");
const panels = [...box.querySelectorAll(".snippet")];
const list = Object.assign(document.createElement("div"), { className: "tabs" });
list.setAttribute("role", "tablist");
list.setAttribute("aria-label", box.dataset.label);
const tabs = panels.map((panel) => {
  const tab = Object.assign(document.createElement("button"), { type: "button", id: `tab-${panel.id}`, textContent: panel.dataset.tab });
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panel.id);
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", tab.id);
  tab.addEventListener("click", () => open(tab));
  list.append(tab);
  return tab;
});

function open(tab, focus = false) {
  for (const [index, each] of tabs.entries()) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    panels[index].hidden = !chosen;
  }
  if (focus) tab.focus();
}

list.addEventListener("keydown", (event) => {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  open(tabs.at(to % tabs.length), true);
});
box.classList.add("tabbed");
box.prepend(list);
open(tabs[0]);

for (const button of box.querySelectorAll("[data-download]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = document.getElementById(button.dataset.download).textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
    link.download = button.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

/* --- try it -------------------------------------------------------------------------------------------------- */

const test = document.getElementById("test");
const result = document.getElementById("test-result");
const button = document.getElementById("test-button");
const words = test.dataset;
test.hidden = false;

function put(tag, text, className = "") {
  const node = Object.assign(document.createElement(tag), { textContent: text, className });
  result.append(node);
  return node;
}

function facts(pairs) {
  const shown = put("dl", "", "facts");
  for (const [name, text] of pairs) {
    shown.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: text }));
  }
}

function span(seconds) {
  const [unit, length] = seconds >= 7200 ? ["hour", 3600] : seconds >= 120 ? ["minute", 60] : ["second", 1];
  const shown = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" });
  return shown.format(Math.floor(seconds / length));
}

function claims(token) {
  const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function tryIt() {
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: words.id,
    client_secret: document.getElementById(words.secretAt).textContent,
  });
  if (words.resource) body.set("resource", words.resource);
  button.disabled = true;
  result.replaceChildren();
  put("p", words.textBusy, "hint");
  try {
    const answer = await fetch(words.url, { method: "POST", body, credentials: "omit", cache: "no-store" });
    const told = await answer.json();
    result.replaceChildren();
    if (answer.ok) {
      put("p", words.textGood, "verdict good");
      facts([[words.textLife, words.textMost.replace("{span}", span(told.expires_in))], [words.textRoles, told.scope]]);
      put("h3", words.textClaims);
      put("pre", JSON.stringify(claims(told.access_token), null, 2)).tabIndex = 0;
    } else {
      put("p", words.textBad, "verdict bad");
      put("p", words.textWait, "hint");
      put("pre", JSON.stringify(told, null, 2)).tabIndex = 0;
    }
  } catch {
    result.replaceChildren();
    put("p", words.textLost, "verdict bad");
  }
  button.disabled = false;
  button.focus();
}
button.addEventListener("click", tryIt);

base.ready(reveal);
