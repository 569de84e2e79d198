// The forms of a credential: the browser's zone for the end of a day, and the sentence that says what will be.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
for (const field of document.querySelectorAll("[data-zone-field]")) field.value ||= zone;

const form = document.getElementById("create");
const review = document.getElementById("review");
const shown = document.getElementById("zone-text");
// Whoever chose a zone in the profile keeps it; the server says so by not saying UTC.
if (shown?.textContent === "UTC") shown.textContent = zone;

let latest = 0;
let waiting;

async function say() {
  const mine = ++latest;
  const sent = new URLSearchParams(new FormData(form));
  sent.set("step", "sentence");
  try {
    const answer = await fetch(location.pathname, { method: "POST", body: sent, credentials: "same-origin", redirect: "manual" });
    if (!answer.ok || mine !== latest) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    review.replaceChildren(...page.body.childNodes);
  } catch {
    // The sentence is a service; sending the form shows what is wrong.
  }
}

if (form) {
  document.getElementById("review-button").hidden = true;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(say, 150);
  });
  say();
}
