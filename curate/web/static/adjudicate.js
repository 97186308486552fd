"use strict";
// Settling disagreements. Page text and notes only ever become text nodes.

const facts = JSON.parse($("settling").dataset.facts);
let disputes = [], left = 0, at = null, last = null, busy = false, unfolded = false, shownAt = 0;

const level = (number) => facts.levels.find(([one]) => one === number);
const named = (number) => (facts.classes ? level(number)[3] : `Level ${number}`);

async function fetchDisputes() {
  try {
    const answer = await ask(`/api/disputes?${new URLSearchParams({ rater: facts.rater })}`);
    const later = new Set(skipped);
    disputes = [...answer.disputes.filter((one) => !later.has(one.page_id)), ...answer.disputes.filter((one) => later.has(one.page_id))];
    left = answer.left;
    complain("");
  } catch (error) { complain(`${error.message}. Is curate label still running?`); return; }
  show();
}

const skipped = [];

function show() {
  at = disputes[0] || null;
  $("counts").textContent = left === 1 ? "1 disagreement to settle" : `${left} disagreements to settle`;
  $("page").hidden = !at; $("answers").classList.toggle("over", !at); $("end").hidden = Boolean(at);
  $("page").setAttribute("aria-busy", "false");
  if (!at) { $("end").focus(); return; }
  $("title").textContent = at.title || at.host || "Page without an address";
  $("where").replaceChildren(...[at.url, at.lang, `${at.chars.toLocaleString("en")} characters`].filter(Boolean).map((words) => element("span", words)));
  $("text").textContent = at.text;
  $("unfold").hidden = !at.rest;
  $("note").value = "";
  unfolded = false;
  openNote(false);
  $("border").textContent = (at.border ? "Some would keep this page, some would not." : "All are on the same side of the border.")
    + (at.own ? " You are one of its raters: if you can, let somebody else settle it." : "");
  $("sides").replaceChildren(...at.said_by.map(side));
  $("choices").replaceChildren(...facts.levels.map(([number, words, key]) => {
    const button = element("button", [element("kbd", String(key)), element("span", words, "words")]);
    button.type = "button";
    button.setAttribute("aria-label", `${key}: ${words}`);
    button.setAttribute("aria-keyshortcuts", String(key));
    button.addEventListener("click", () => settle(number));
    return button;
  }));
  scrollTo(0, 0);
  $("page").focus({ preventScroll: true });
  shownAt = performance.now();
}

function side(one) {
  const criteria = Object.entries(one.criteria).map(([name, number]) => `${name} ${number}`).join(", ");
  return element("section", [
    element("h3", [`${one.who}: `, element("span", named(one.level), "level"), one.assisted ? " (with the judge's help)" : ""]),
    element("p", level(one.level)[1], "soft"),
    ...(criteria ? [element("p", criteria, "soft")] : []),
    ...(one.note ? [element("blockquote", one.note)] : []),
  ]);
}

async function settle(number) {
  if (!at || busy || performance.now() - shownAt < 250) return;
  busy = true;
  const given = { rater: facts.rater, page_id: at.page_id, level: number, note: $("note").value.trim(), unfolded, seconds: Math.round(performance.now() - shownAt) / 1000 };
  try {
    last = (await ask("/api/rulings", given)).saved;
    $("undo").disabled = false;
    $("said").textContent = `settled: ${named(number)}`;
    await fetchDisputes();
  } catch (error) { complain(`Not saved: ${error.message}`); }
  finally { busy = false; }
}

async function undo() {
  if (!last || busy) return;
  busy = true;
  try {
    await ask("/api/undo", { rater: facts.rater, label_id: last });
    last = null;
    $("undo").disabled = true;
    $("said").textContent = "taken back";
    await fetchDisputes();
  } catch (error) { complain(`Not taken back: ${error.message}`); }
  finally { busy = false; }
}

function later() {
  if (!at || disputes.length < 2) return;
  skipped.push(at.page_id);
  disputes.push(disputes.shift());
  show();
}

function unfold() {
  if (!at || !at.rest || $("unfold").hidden) return;
  unfolded = true;
  $("text").append(at.rest);
  $("unfold").hidden = true;
}

function openNote(open) {
  $("note-box").hidden = !open;
  $("note-open").setAttribute("aria-expanded", String(open));
}

function note() {
  if (!at) return;
  openNote(true);
  $("note").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target === $("note")) {
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); $("page").focus({ preventScroll: true }); }
    return;
  }
  const pressed = event.key.toLowerCase();
  const answer = facts.levels.find(([, , key]) => key === pressed);
  const act = answer ? () => settle(answer[0]) : { n: note, s: later, u: undo, r: unfold }[pressed];
  if (!act || event.repeat) return;
  event.preventDefault();
  act();
});
for (const [id, act] of Object.entries({ "note-open": note, skip: later, undo, unfold })) $(id).addEventListener("click", act);
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", "/adjudicate");
fetchDisputes();
