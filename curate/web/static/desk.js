"use strict";
// The labelling page. Page text only ever becomes text nodes. What was said is kept here until the desk has it.

const AHEAD = 3; // pages fetched before they are needed
const LOOK_MS = 250; // a page must have been seen this long before a key counts for it
const RETRY_MS = [1000, 2000, 5000, 10000];
const LOOK_AGAIN_MS = 20000; // where all that is left lies on other screens

function askName() {
  $("who").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await ask("/api/rater", { name: $("name").value });
      location.replace(location.pathname === "/name" ? "/" : location.pathname);
    } catch (error) { complain(error.status ? error.message : "The desk does not answer. Is `curate label` still running?"); }
  });
}

function askPassword() {
  let tries = 0;
  $("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    const mine = ++tries;
    try {
      await ask("/api/login", { password: $("password").value });
      location.replace("/");
    } catch (error) {
      if (mine !== tries) return; // the answer to an earlier try that came late
      complain(error.status ? `${error.message}.` : "The desk does not answer. Is `curate label` still running?");
    }
  });
}

function label(facts) {
  const rater = facts.rater;
  const kept = `curate-unsaved-${facts.id}-`;
  let ahead = [], page = null, fetching = null, exhausted = false, undoing = false;
  let level = null, criteria = {}, asked = 0, unfolded = false, was = null;
  let unsaved = [], sending = null, tries = 0, retry = 0, tally = null;
  let shownAt = 0, activeSince = 0, activeMs = 0, first = null, lookAgain = 0;

  // Pages --------------------------------------------------------------------------------------------------------

  const inHand = () => [page, ...ahead, ...unsaved].filter(Boolean).map((one) => one.page_id);

  async function fetchAhead() {
    if (fetching || exhausted || ahead.length >= AHEAD) return;
    const query = new URLSearchParams({ rater, besides: inHand().join(","), count: AHEAD - ahead.length });
    fetching = ask(`/api/pages?${query}`);
    try {
      const answer = await fetching;
      const have = new Set(inHand());
      ahead.push(...answer.pages.filter((one) => !have.has(one.page_id)));
      exhausted = answer.pages.length === 0;
      count(answer.tally);
      if (!unsaved.length) complain("");
    } catch (error) {
      if (!unsaved.length) complain(why(error, "No further pages yet"));
      later();
      return;
    } finally { fetching = null; }
    if (!page) next();
    else if (ahead.length < AHEAD) fetchAhead();
  }

  function next() {
    const one = ahead.shift();
    if (one) show(one);
    else if (exhausted) finish();
    else { page = null; $("page").setAttribute("aria-busy", "true"); }
    fetchAhead();
  }

  function show(one) {
    clearTimeout(lookAgain);
    page = one;
    was = one.said || null;
    level = null; criteria = {}; asked = 0; unfolded = false; first = null;
    advise(facts.assist === "before" ? one.judge : null);
    $("page").hidden = false; $("answers").classList.remove("over"); $("end").hidden = true;
    $("page").setAttribute("aria-busy", "false");
    $("title").textContent = one.title || one.host || "Page without an address";
    const lines = [one.url, one.lang, `${one.chars.toLocaleString("en")} characters`].filter(Boolean);
    $("where").replaceChildren(...lines.map((words) => element("span", words)));
    $("text").textContent = one.text;
    $("text").lang = /^[a-z]{2,3}(-[a-z0-9]+)*$/i.test(one.lang) ? one.lang : "";
    $("unfold").hidden = !one.rest;
    $("unfold").replaceChildren(element("kbd", "r"), ` show the rest (${one.rest.length.toLocaleString("en")} more characters)`);
    $("note").value = was ? was.note : "";
    openNote(Boolean($("note").value));
    showChoices();
    scrollTo(0, 0);
    $("page").focus({ preventScroll: true });
    shownAt = performance.now();
    activeMs = 0; activeSince = document.hidden ? 0 : shownAt;
  }

  function unfold() {
    if (!page || !page.rest || unfolded) return;
    unfolded = true;
    $("text").append(page.rest);
    $("unfold").hidden = true;
    $("page").focus({ preventScroll: true });
  }

  // What the judge says, where the rater asked for it: with the page, or once a first choice is saved.
  function advise(judge, more = []) {
    $("judge").hidden = !judge;
    if (!judge) return;
    const sure = judge.probabilities[judge.level];
    $("judge").replaceChildren(
      element("p", ["The judge: ", element("b", facts.classes ? nameOf(judge.level) : `level ${judge.level}`), sure ? ` (${Math.round(100 * sure)} %)` : ""]),
      ...(judge.reason ? [element("p", judge.reason)] : []), ...more);
  }

  function reconsider(judge, given) {
    first = given;
    level = null; criteria = {}; asked = 0;
    was = { level: given.level, note: given.note };
    const stay = element("button", [element("kbd", "Enter"), ` keep ${nameOf(given.level)}`], "main");
    stay.type = "button";
    stay.addEventListener("click", next);
    advise(judge, [element("p", "Choose again to change your answer; your first one stays on record.", "soft"), stay]);
    showChoices();
    $("page").focus({ preventScroll: true });
    shownAt = performance.now();
    activeMs = 0; activeSince = document.hidden ? 0 : shownAt;
  }

  function wider() {
    if (page) $("text").classList.toggle("mono");
  }

  function finish() {
    const already = !$("end").hidden;
    page = null; first = null;
    advise(null);
    $("page").hidden = true; $("answers").classList.add("over"); $("end").hidden = false;
    const elsewhere = tally && tally.left > 0 && !tally.enough && !unsaved.length;
    clearTimeout(lookAgain);
    if (elsewhere) lookAgain = setTimeout(() => { exhausted = false; fetchAhead(); }, LOOK_AGAIN_MS);
    $("end-title").textContent = elsewhere ? "No page for you right now" : "No pages left for you";
    $("end-words").textContent = elsewhere
      ? `${number(tally.left)} that want a rater are on other screens. What nobody answers comes here; this page looks again by itself. Where the pipeline stands, says`
      : tally && tally.enough
      ? "There are enough labels. Press u to take back your last answer, or stop this desk with Ctrl-C and go on with"
      : "You have said something of every page that was drawn. Others may still label theirs, and a larger sample.pages draws more. Press u to take back your last answer. Where the pipeline stands, says";
    if (!already) $("end").focus();
  }

  // Answers ------------------------------------------------------------------------------------------------------

  const nameOf = (level) => facts.levels.find(([number]) => number === level)?.[3] ?? level;
  const question = () => (level === null ? null : facts.criteria[asked]);

  function showChoices() {
    const one = question();
    const levels = one ? one.levels : facts.levels;
    $("asks").textContent = one ? one.asks : $("asks").dataset.asks;
    $("step").hidden = !one;
    $("step").textContent = one ? `${facts.classes ? "" : "Level "}${nameOf(level)}. ${one.name}, ${asked + 1} of ${facts.criteria.length}` : "";
    const buttons = levels.map(([number, words, key]) => choice(key, words, () => choose(number)));
    if (!one && was && was.level !== null) buttons[was.level]?.classList.add("was");
    if (one) buttons.push(choice("Enter", "leave this open", () => choose(null), "open"));
    $("choices").classList.toggle("short", !one);
    $("choices").replaceChildren(...buttons);
    canUndo();
  }

  function choice(key, words, act, kind) {
    const button = element("button", [element("kbd", String(key)), element("span", words, "words")], kind);
    button.type = "button";
    button.setAttribute("aria-keyshortcuts", String(key));
    button.setAttribute("aria-label", kind ? words : `${key}: ${words}`);
    button.addEventListener("click", act);
    return button;
  }

  function choose(number) {
    if (!ready()) return;
    if (level === null) level = number;
    else {
      if (number !== null) criteria[facts.criteria[asked].name] = number;
      asked += 1;
    }
    if (!question()) return give({ level, criteria, flag: "" });
    showChoices();
    $("page").focus({ preventScroll: true });
    $("said").textContent = "";
  }

  // A key held down, or pressed twice, must not speak for a page that nobody has seen.
  const ready = () => page && !undoing && (level !== null || performance.now() - shownAt > LOOK_MS);

  function give(said) {
    const seconds = (activeMs + (activeSince ? performance.now() - activeSince : 0)) / 1000;
    const one = { rater, page_id: page.page_id, note: $("note").value.trim(), seconds: Math.round(seconds * 1000) / 1000, unfolded, ...said };
    if (first) {
      if (said.flag === "" && said.level === first.level && one.note === first.note) return next();
      one.after_judge = said.flag === "";
    }
    unsaved.push(one);
    keep(one);
    if (facts.assist === "after" && !first && !said.flag) compare(one);
    else { next(); flush(); }
  }

  // The first choice is saved before the judge is shown; where the desk does not answer, the next page comes as ever.
  async function compare(given) {
    undoing = true;
    await flush();
    undoing = false;
    const judge = unsaved.includes(given) ? null : given.judge;
    if (judge && page?.page_id === given.page_id) reconsider(judge, given);
    else if (page?.page_id === given.page_id) next();
  }

  const setAside = (flag) => ready() && give({ level: null, criteria: {}, flag });

  const canUndo = () => { $("undo").disabled = !tally?.undo && level === null && !unsaved.length; };

  async function undo() {
    if (level !== null) { // between level and last criterion: back to the level
      level = null; criteria = {}; asked = 0;
      showChoices();
      return;
    }
    if (undoing) return;
    undoing = true;
    try {
      await flush();
      if (unsaved.length) return;
      if (!tally || !tally.undo) { $("said").textContent = "nothing to take back"; return; }
      const answer = await ask("/api/undo", { rater, label_id: tally.undo });
      count(answer.tally);
      complain("");
      if (page) ahead.unshift(page);
      exhausted = false;
      ahead = ahead.filter((one) => one.page_id !== answer.page.page_id);
      show(answer.page);
      $("said").textContent = `taken back: you said ${answer.page.said.flag || nameOf(answer.page.said.level)}`;
    } catch (error) { complain(why(error, "Not taken back; press u again")); }
    finally { undoing = false; }
  }

  // Saving -------------------------------------------------------------------------------------------------------

  const spoken = (one) => ({ skipped: "skipped", unusable: "flagged as unusable" })[one.flag] || `saved ${nameOf(one.level)}`;

  function flush() {
    clearTimeout(retry);
    sending = sending || send().finally(() => { sending = null; });
    return sending;
  }

  async function send() {
    while (unsaved.length) {
      const one = unsaved[0];
      try {
        const answer = await ask("/api/labels", one);
        unsaved.shift();
        forget(one);
        one.judge = answer.judge || null;
        tries = 0;
        count(answer.tally);
        complain("");
        $("said").textContent = spoken(one);
      } catch (error) {
        $("said").textContent = "";
        if (error.status >= 400 && error.status < 500 && error.status !== 403) { // sent again it would be refused again
          unsaved.shift();
          forget(one);
          exhausted = false;
          complain(`Not saved: ${error.message}. The page comes again.`);
          continue;
        }
        complain(`${why(error, "Not saved yet")} ${unsaved.length} kept here; go on, they are sent again.`);
        later();
        return;
      }
    }
    if (!page && !$("end").hidden) finish();
    fetchAhead();
  }

  function later() {
    clearTimeout(retry);
    retry = setTimeout(flush, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  }

  function why(error, words) {
    if (error.status === 403) return `${words}: this desk was closed or started again. Open the new link.`;
    return error.status ? `${words}: ${error.message}.` : `${words}: the desk does not answer. Is curate label still running?`;
  }

  // One entry a label, so that two tabs do not overwrite each other's; gone as soon as the desk has it.
  const entry = (one) => `${kept}${one.rater}-${one.page_id}`;
  function keep(one) { try { localStorage.setItem(entry(one), JSON.stringify(one)); } catch { /* private window: kept in memory */ } }
  function forget(one) { try { localStorage.removeItem(entry(one)); } catch { /* as above */ } }
  function recall() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(`${kept}${rater}-`));
      unsaved = keys.map((key) => JSON.parse(localStorage.getItem(key)));
    } catch { unsaved = []; }
  }

  // How far we are -----------------------------------------------------------------------------------------------

  const number = (n) => n.toLocaleString("en");

  function count(found) {
    tally = found;
    $("progress").max = found.needed;
    $("progress").value = Math.min(found.labelled_pages, found.needed);
    const others = Object.entries(found.raters).filter(([name]) => name !== rater);
    const theirs = others.length > 2
      ? [`${others.length} others ${number(others.reduce((sum, [, n]) => sum + n, 0))}`]
      : others.map(([name, n]) => `${name} ${number(n)}`);
    $("counts").textContent = found.labelled_pages > found.needed
      ? `${number(found.labelled_pages)} pages labelled, ${number(found.needed)} needed`
      : `${number(found.labelled_pages)} of ${number(found.needed)} pages labelled`;
    const missing = Math.max(0, found.needed - found.labelled_pages);
    const pace = found.pages_an_hour
      ? [`${number(Math.round(found.pages_an_hour))} an hour`, ...(missing && found.left ? [`about ${span(missing / found.pages_an_hour)} left`] : [])] : [];
    $("pace").textContent = [`you ${number(found.mine)}`, ...theirs, ...pace, `${number(found.left)} unseen`].join(" · ");
    $("by-rater").textContent = Object.entries(found.raters).map(([name, n]) => `${name}: ${number(n)}`).join(", ");
    canUndo();
    const open = !missing && found.problems.length > 0;
    $("enough").hidden = !found.enough && !open;
    $("enough").className = `banner ${found.enough ? "good" : "bad"}`;
    $("enough").replaceChildren(...(found.enough
      ? [element("b", "Enough labels."), " Stop this desk with Ctrl-C and run ", element("code", $("desk").dataset.command), " to go on. Each further label narrows the intervals."]
      : [element("b", "Not enough yet: "), `${found.problems.join("; ")}. Label more pages.`]));
  }

  const span = (hours) => (hours < 1.5 ? `${Math.max(1, Math.round(hours * 60))} min` : `${(Math.round(hours * 2) / 2).toLocaleString("en")} h`);

  // Keys ---------------------------------------------------------------------------------------------------------

  function openNote(open) {
    $("note-box").hidden = !open;
    $("note-open").setAttribute("aria-expanded", String(open));
  }

  function note() {
    if (!page) return;
    openNote(true);
    $("note").focus();
  }

  // Latin letter or digit of a key, on whatever layout: where a key gives none, its place on the board counts.
  function key(event) {
    if (/^[a-z0-9?]$/i.test(event.key) || event.key.length > 1) return event.key.toLowerCase();
    return (!event.shiftKey && /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code)?.[1].toLowerCase()) || event.key;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("keys").open) return;
    if (event.target === $("note")) {
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        if (!$("note").value.trim()) openNote(false);
        $("page").focus({ preventScroll: true });
      }
      return;
    }
    const pressed = key(event);
    const onButton = event.target.closest?.("button, a, summary");
    const acts = { n: note, s: () => setAside("skipped"), f: () => setAside("unusable"), u: undo, r: unfold, w: wider, "?": help };
    let act = acts[pressed];
    const levels = question() ? question().levels : facts.levels;
    const answer = levels.find(([, , key]) => key === pressed);
    if (answer) act = () => choose(answer[0]);
    else if (/^[0-9]$/.test(pressed)) act = () => { $("said").textContent = `no level ${pressed} here`; };
    if (pressed === "enter" && first && level === null && !onButton) act = next;
    if (pressed === "enter" && question() && !onButton) act = () => choose(null);
    if (pressed === "escape" && level !== null) act = undo;
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act();
  });

  const help = () => $("keys").showModal();
  const on = (id, act) => $(id).addEventListener("click", act);
  on("help", help); on("note-open", note); on("undo", undo); on("unfold", unfold);
  on("skip", () => setAside("skipped"));
  on("flag", () => setAside("unusable"));
  on("words", () => $("words").setAttribute("aria-expanded", String($("answers").classList.toggle("spread"))));

  document.addEventListener("visibilitychange", () => { // seconds are those in which the page could be read
    if (document.hidden && activeSince) { activeMs += performance.now() - activeSince; activeSince = 0; }
    else if (!document.hidden && !activeSince) activeSince = performance.now();
  });
  addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });

  $("asks").dataset.asks = $("asks").textContent;
  showChoices();
  recall();
  flush();
}

if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", "/");
if ($("who")) askName();
if ($("login")) askPassword();
if ($("desk")) label(JSON.parse($("desk").dataset.facts));
