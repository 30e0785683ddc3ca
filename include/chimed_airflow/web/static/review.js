// One keystroke a verdict: F take it out, J let it pass, S skip, B back; where rows are rated, a digit for each criterion.
// Texts are set as text, never as HTML.
"use strict";
const desk = document.getElementById("desk");
if (desk) {
  const { root, build, stage, token } = desk.dataset;
  const at = (id) => document.getElementById(id);
  const seen = [];      // records judged or skipped on this page, oldest first
  const skipped = new Set();
  let ahead = [];       // records to come
  let now = null;
  let over = false;     // nothing more is waiting
  let asking = null;    // the request for more, while it is under way
  let sending = Promise.resolve();

  const more = () => {
    if (asking || over) return asking;
    const beyond = [...ahead, ...(now ? [now] : [])].map((one) => one.record).concat(...skipped).join(",");
    const where = new URLSearchParams({ build, stage, beyond });
    asking = sending.then(() => fetch(`${root}/review/items?${where}`)).then((answer) => {
      if (!answer.ok) throw new Error(`${answer.status}`);
      return answer.json();
    }).then((found) => {
      const known = new Set([...ahead, ...seen, ...(now ? [now] : [])].map((one) => one.record));
      const fresh = found.filter((one) => !known.has(one.record));
      over = fresh.length === 0;
      ahead.push(...fresh);
    }).catch((error) => { at("said").textContent = `${desk.dataset.failed} ${error.message}`; })
      .finally(() => { asking = null; });
    return asking;
  };

  const criteria = desk.dataset.criteria ? desk.dataset.criteria.split(" ") : [];
  let scores = [];      // of the text now shown, one for each criterion so far

  const mark = () => {
    criteria.forEach((name, n) => {
      for (const button of desk.querySelectorAll(`[data-criterion="${name}"] button`)) {
        button.disabled = !now;
        button.setAttribute("aria-pressed", String(Number(button.value) === scores[n]));
      }
      desk.querySelector(`[data-criterion="${name}"]`).classList.toggle("next", Boolean(now) && n === nextCriterion());
    });
  };

  const nextCriterion = () => criteria.findIndex((_, n) => scores[n] === undefined);

  const score = (n, value) => {
    if (!now || n < 0) return;
    scores[n] = value;
    mark();
    if (nextCriterion() < 0) judge(scores.join(" "));
  };

  const show = () => {
    scores = [];
    mark();
    at("words").textContent = now ? now.text : desk.dataset.done;
    at("record").textContent = now ? now.record : "";
    at("place").textContent = now ? `${Number(desk.dataset.mine) + seen.length + 1} ${desk.dataset.of} ${desk.dataset.all}` : "";
    for (const id of ["flag", "pass", "skip"]) if (at(id)) at(id).disabled = !now;
    at("back").disabled = seen.length === 0;
    at("words").scrollTop = 0;
  };

  const next = async () => {
    if (!ahead.length) await more();
    now = ahead.shift() || null;
    show();
    if (ahead.length < 8) more();
  };

  const stand = (standing) => {
    at("judged").textContent = standing.judged;
    for (const box of document.querySelectorAll("[data-measure]")) {
      const measure = standing[box.dataset.measure];
      box.querySelector(".share").textContent = measure.share;
      box.querySelector(".counts").textContent = measure.counts;
      box.querySelector(".range").textContent = measure.interval;
      const svg = box.querySelector("svg");
      const part = (name) => svg.querySelector(name) || svg.appendChild(document.createElementNS(svg.namespaceURI, name.split(".")[0]));
      const bar = part("rect");
      const mark = svg.querySelector("line.at") || svg.appendChild(document.createElementNS(svg.namespaceURI, "line"));
      mark.setAttribute("class", "at");
      for (const [name, value] of Object.entries({ x: measure.low, y: 3.5, width: Math.max(measure.high - measure.low, 0.6), height: 5 })) bar.setAttribute(name, value);
      for (const [name, value] of Object.entries({ x1: measure.at, x2: measure.at, y1: 1, y2: 11 })) mark.setAttribute(name, value);
    }
    const line = (tag, text, kind = "") => { const made = document.createElement(tag); made.textContent = text; made.className = kind; return made; };
    at("reviewers").replaceChildren(...standing.reviewers.map((one) => {
      const row = document.createElement("tr");
      const name = line("th", one.name);
      name.scope = "row";
      row.append(name, line("td", one.verdicts, "n"), line("td", one.last));
      return row;
    }));
    at("disputes").replaceChildren(...standing.disputed.map((one) => {
      const entry = document.createElement("li");
      entry.append(line("p", `${one.record} · ${desk.dataset.differs} ${one.stage} · ${one.verdicts.join(" · ")}`, "about"));
      const words = line("p", "");
      words.append(line("bdi", one.text));
      entry.append(words);
      return entry;
    }));
  };

  const judge = (verdict) => {
    if (!now) return;
    const judged = now;
    seen.push(judged);
    skipped.delete(judged.record);
    sending = sending.then(() => fetch(`${root}/review/verdicts`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Chimed-Token": token },
      body: JSON.stringify({ build, stage, record: judged.record, verdict }),
    })).then(async (answer) => {
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      const told = await answer.json();
      const kind = criteria.length ? "" : desk.dataset[told.stage.kind];
      const reason = told.stage.reason ? `${kind ? ": " : ""}${told.stage.reason}` : "";
      const agrees = criteria.length ? told.stage.reason.startsWith(`${verdict} `) : told.stage.kind === verdict;
      at("said").textContent = `${judged.record} · ${agrees ? desk.dataset.agrees : desk.dataset.differs}: ${kind}${reason}`;
      stand(told.standing);
    }).catch((error) => {
      at("said").textContent = `${desk.dataset.failed} ${judged.record} ${error.message}`;
      seen.splice(seen.indexOf(judged), 1);
      over = false;
    });
    next();
  };

  const skip = () => { if (now) { seen.push(now); skipped.add(now.record); next(); } };
  const back = () => { if (seen.length) { if (now) ahead.unshift(now); now = seen.pop(); show(); } };
  const keys = { s: skip, b: back };
  if (criteria.length) {
    for (const digit of [1, 2, 3, 4, 5]) keys[digit] = () => score(nextCriterion(), digit);
    criteria.forEach((name, n) => {
      for (const button of desk.querySelectorAll(`[data-criterion="${name}"] button`)) {
        button.addEventListener("click", () => score(n, Number(button.value)));
      }
    });
  } else {
    Object.assign(keys, { f: () => judge("flagged"), j: () => judge("passed") });
  }
  const buttons = { flag: keys.f, pass: keys.j, skip, back };
  for (const [id, act] of Object.entries(buttons)) if (at(id)) at(id).addEventListener("click", act);
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    act();
  });
  next();
}
