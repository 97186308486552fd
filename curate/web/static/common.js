"use strict";
// What every page of the desk does: ask the desk, make elements, say what went wrong. Page text only ever becomes text nodes.

const $ = (id) => document.getElementById(id);

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options || {});
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { answer = { message: text.trim() || response.statusText }; }
  if (response.ok) return answer;
  const error = new Error(answer.message || `the desk answered ${response.status}`);
  error.status = response.status;
  throw error;
}

function element(name, content, kind) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...[content].flat());
  return made;
}

function complain(words) {
  $("trouble").textContent = words;
  $("trouble").hidden = !words;
}
