const byId = (id) => document.getElementById(id), all = (selector) => [...document.querySelectorAll(selector)];
const study = JSON.parse(byId("study").textContent), key = `licframe blind ${study.study}`;
const stage = document.querySelector(".stage"), figures = all(".stage figure"), GAP = 8;
const AROUND = [0, 1, 2, 1];  // A, original, B, original: each is seen beside the original
const narrow = matchMedia("(max-width: 40rem)");
let state = load(), step = 0, seen = new Set(), ready = false, begun = 0, scale = 1;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    if (Array.isArray(kept.answers) && kept.answers.length <= study.trials.length) return kept;
  } catch { /* nothing kept, or nothing can be */ }
  return { started: "", finished: "", answers: [] };
}

function keep() {
  try {
    localStorage.setItem(key, JSON.stringify(state));
  } catch {
    byId("hint").textContent = "This browser keeps nothing for this page: do not close it before the end.";
  }
}

function revealed(text) {
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
}

const sawBoth = () => seen.has(0) && seen.has(2);
const isAll = () => stage.classList.contains("all");
const columns = () => (isAll() && !narrow.matches ? 3 : 1);

function fit() {
  if (byId("trial").hidden) return;
  stage.classList.toggle("three", columns() === 3);
  scale = lay(stage, study.trials[state.answers.length].width, byId("zoom").value, columns(), GAP);
  byId("scale").textContent = scaleInWords(scale);
}

function show(which) {
  const layout = which === "all" ? "all" : "one";
  stage.classList.toggle("all", layout === "all");
  stage.classList.toggle("one", layout === "one");
  for (const [number, figure] of figures.entries()) figure.classList.toggle("seen", number === which);
  for (const button of all("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === String(which));
  for (const number of layout === "all" ? [0, 1, 2] : [which]) seen.add(number);
  if (sawBoth()) byId("hint").textContent = "";
  fit();
}

function flicker() {
  step = (step + 1) % AROUND.length;
  show(AROUND[step]);
}

function direct(which) {
  step = AROUND.lastIndexOf(which);
  show(which);
}

async function ask() {
  const number = state.answers.length, trial = study.trials[number];
  if (!trial) return end();
  ready = false;
  byId("trial").hidden = false;
  byId("end").hidden = true;
  byId("where").textContent = `Trial ${number + 1} of ${study.trials.length}`;
  Object.assign(byId("progress"), { max: study.trials.length, value: number });
  byId("back").disabled = number === 0;
  stage.setAttribute("aria-busy", true);
  const images = figures.map((figure) => figure.querySelector("img"));
  for (const [place, image] of images.entries()) {
    Object.assign(image, { width: trial.width, height: trial.height, draggable: false, decoding: "sync" });
    image.src = study.pictures[trial.shown[place]];
  }
  await Promise.all(images.map((image) => image.decode()));
  stage.removeAttribute("aria-busy");
  seen = new Set();
  direct(isAll() || (number === 0 && !narrow.matches && fitsThrice(trial)) ? "all" : 1);
  begun = performance.now();
  ready = true;
}

function fitsThrice(trial) {
  return 3 * trial.width / devicePixelRatio + 2 * GAP <= document.querySelector("main").clientWidth;
}

function answer(what) {
  if (!ready) return;
  if (!sawBoth()) {
    byId("hint").textContent = "Look at both A and B first: F, or the buttons above the picture.";
    return;
  }
  const trial = study.trials[state.answers.length], { rate, a, b } = revealed(trial.hidden), now = new Date().toISOString();
  state.started ||= now;
  state.finished = now;
  const seconds = Math.round((performance.now() - begun) / 100) / 10, layout = isAll() ? "all" : "one";
  state.answers.push({ picture: trial.picture, rate, a: a.codec, b: b.codec, bytes: [a.bytes, b.bytes], answer: what,
    seconds, layout, scale: Math.round(scale * 1000) / 1000 });
  byId("help").open = false;
  keep();
  if (state.answers.length === study.trials.length) { end(); save(); } else ask();
}

function back() {
  state.answers.pop();
  keep();
  ask();
}

// The two-sided sign test: twice the smaller tail of the binomial distribution with equal chances.
function signTest(wins, losses) {
  let term = 0.5 ** (wins + losses), tail = term;
  for (let k = 1; k <= Math.min(wins, losses); k++) tail += term *= (wins + losses - k + 1) / k;
  return Math.min(1, 2 * tail);
}

function result() {
  const { codec } = revealed(study.hidden), rows = {};
  for (const { a, b, answer } of state.answers) {
    const row = rows[a === codec ? b : a] ||= { codec, other: a === codec ? b : a, wins: 0, losses: 0, undecided: 0 };
    const nearer = { a, b }[answer];
    row[nearer === undefined ? "undecided" : nearer === codec ? "wins" : "losses"]++;
  }
  return Object.values(rows).map((row) => ({ ...row, p: signTest(row.wins, row.losses) }));
}

function save() {
  const { title, study: id, seed } = study, { codec } = revealed(study.hidden), { started, finished, answers } = state;
  const page = { width: screen.width, height: screen.height, pixel_ratio: devicePixelRatio };
  const record = { schema: "licframe-blind-1", title, study: id, seed, codec, started, finished, screen: page,
    trials: answers, result: result() };
  const file = new Blob([JSON.stringify(record, null, 1) + "\n"], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `answers-${id}-${finished.slice(0, 19).replaceAll(":", "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function fill(table, head, rows) {
  table.replaceChildren();
  const line = (cells, tag, parent) => {
    const row = parent.insertRow();
    for (const cell of cells) row.append(Object.assign(document.createElement(tag), { textContent: cell }));
  };
  line(head, "th", table.createTHead());
  for (const cell of table.tHead.rows[0].cells) cell.scope = "col";
  const body = table.createTBody();
  for (const row of rows) line(row, "td", body);
}

function end() {
  ready = false;
  byId("trial").hidden = true;
  byId("help").open = false;
  byId("end").hidden = false;
  fill(byId("result"), ["codec", "nearer", "other", "nearer", "cannot tell", "p"],
    result().map((r) => [r.codec, r.wins, r.other, r.losses, r.undecided, r.p.toPrecision(2)]));
  fill(byId("answers"), ["picture", "rate", "A", "bytes", "B", "bytes", "nearer"],
    state.answers.map((t) => [t.picture, t.rate, t.a, t.bytes[0], t.b, t.bytes[1], { a: t.a, b: t.b }[t.answer] || "cannot tell"]));
  byId("done").focus();
}

const KEYS = { a: () => answer("a"), arrowleft: () => answer("a"), b: () => answer("b"), arrowright: () => answer("b"),
  c: () => answer("none"), f: flicker, 1: () => direct(0), 2: () => direct(1), 3: () => direct(2), 4: () => direct("all") };
addEventListener("keydown", (event) => {
  const act = KEYS[event.key.toLowerCase()], frame = event.target.closest(".frame");
  const scrolls = event.key.startsWith("Arrow") && frame && frame.scrollWidth > frame.clientWidth;
  if (!act || !isOurs(event) || scrolls || byId("trial").hidden) return;
  event.preventDefault();
  act();
});
for (const button of all("[data-show]"))
  button.addEventListener("click", () => direct(button.dataset.show === "all" ? "all" : Number(button.dataset.show)));
for (const button of all("[data-answer]")) button.addEventListener("click", () => answer(button.dataset.answer));
byId("flicker").addEventListener("click", flicker);
byId("back").addEventListener("click", back);
byId("save").addEventListener("click", save);
byId("again").addEventListener("click", () => {
  if (!confirm("Start again? The answers kept in this browser are deleted; a saved file is not.")) return;
  state = { started: "", finished: "", answers: [] };
  keep();
  ask();
});
byId("zoom").addEventListener("change", fit);
addEventListener("resize", fit);
byId("help").open = state.answers.length === 0 && !narrow.matches;  // small screens are for pictures
ask();
