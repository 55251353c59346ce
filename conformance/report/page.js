(() => {
"use strict";

// The data is plain: "data" has what the matrix shows; "details" holds a gzipped
// text for each case, unpacked when one of its cells is opened.
const DATA = JSON.parse(document.getElementById("data").textContent);
const DETAILS = JSON.parse(document.getElementById("details").textContent);
const VERDICTS = {
  p: ["pass", "✓"], f: ["fail", "✗"], w: ["warn", "!"], i: ["info", "i"],
  n: ["not-testable", "–"], k: ["known", "≈"], u: ["unexpected-pass", "‽"], e: ["error", "E"],
};
const LETTERS = Object.keys(VERDICTS);
const byId = (id) => document.getElementById(id);
const words = (verdict) => verdict.replace("-", " ");

// Builds an element; texts are never taken for markup.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function escape(text) {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
}

// Texts of cases may have ``words`` that are code.
const marked = (text) => text.split("``").map((part, n) => (n % 2 ? make("code", {}, part) : part));

function link(address, text) {
  const good = /^https?:\/\//.test(address || "");
  return good ? make("a", { href: address, rel: "noreferrer", target: "_blank" }, text) : document.createTextNode(text);
}

// ---- the matrix -----------------------------------------------------------

const many = DATA.clients.length > 5;
const rows = [];

function drawTop() {
  const started = DATA.started.slice(0, 16).replace("T", " ");
  const parts = [`suite ${DATA.suite}`, `${DATA.cases.length} cases`, `${started} UTC`];
  if (DATA.suiteVersion) parts.push(`cases of ${DATA.suiteVersion} count`);
  if (DATA.strict) parts.push("strict");
  byId("about").textContent = parts.join(" · ");
  if (DATA.broken.length) {
    byId("broken").hidden = false;
    byId("broken").textContent = DATA.broken.join("\n");
  }
  DATA.clients.forEach((client, place) => byId("clients").append(drawClient(client, place)));
}

function drawClient(client, place) {
  const counts = {};
  for (const one of DATA.cases) counts[one.v[place]] = (counts[one.v[place]] || 0) + 1;
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  const said = [];
  for (const letter of LETTERS) {
    if (!counts[letter]) continue;
    const part = make("i", { class: `v-${VERDICTS[letter][0]}` });
    part.style.flexGrow = counts[letter];
    part.style.background = letter === "n" ? "var(--line)" : "var(--v)";
    bar.append(part);
    said.push(`${counts[letter]} ${words(VERDICTS[letter][0])}`);
  }
  return make("li", {}, make("strong", {}, client.name), ` ${client.version}`, bar,
    make("div", { class: "counts" }, said.join(" · ")));
}

function drawMatrix() {
  const table = byId("matrix");
  table.classList.toggle("many", many);
  const columns = make("colgroup", {}, make("col", { class: "case" }), make("col", { class: "level" }),
    ...DATA.clients.map(() => make("col", { class: "verdict" })));
  table.prepend(columns);
  table.tHead.append(make("tr", {}, make("th", { scope: "col" }, "case"), make("th", { scope: "col" }, "level"),
    ...DATA.clients.map((client) => make("th", { scope: "col", class: "verdict" },
      make("span", {}, client.name, make("small", {}, ` ${client.version}`))))));
  const areas = new Map();
  DATA.cases.forEach((one, number) => {
    if (!areas.has(one.area)) areas.set(one.area, []);
    areas.get(one.area).push(drawRow(one, number));
  });
  for (const [area, drawn] of areas) {
    const body = make("tbody", { "data-area": area });
    body.innerHTML = `<tr class="group"><th scope="rowgroup" colspan="${DATA.clients.length + 2}">${escape(area)}</th></tr>${drawn.join("")}`;
    table.append(body);
  }
  for (const row of table.querySelectorAll("tr[data-n]")) rows[Number(row.dataset.n)] = row;
}

function drawRow(one, number) {
  const cells = DATA.clients.map((client, place) => {
    const known = VERDICTS[one.v[place]];
    if (!known) return `<td class="absent" aria-label="${escape(client.name)}: not run"></td>`;
    const [verdict, sign] = known;
    const reason = DATA.reasons[one.r[place]] || "";
    const light = one.u && one.u.includes(place) ? " light" : "";
    const label = `${client.name}: ${words(verdict)}${light ? " (does not count)" : ""}${reason ? `; ${reason}` : ""}`;
    const shown = many ? sign : `${sign} ${words(verdict)}`;
    return `<td class="cell v-${verdict}${light}" role="gridcell" tabindex="-1" data-c="${place}" aria-label="${escape(label)}" title="${escape(label)}"><span aria-hidden="true">${shown}</span></td>`;
  });
  const critical = one.critical ? ' <b title="fails even where the clause says SHOULD">critical</b>' : "";
  return `<tr data-n="${number}"><th scope="row">${escape(one.title).replace(/``(.+?)``/g, "<var>$1</var>")}<code>${escape(one.id)}</code></th>` +
    `<td class="level">${one.level}${critical}</td>${cells.join("")}</tr>`;
}

// ---- filters ----------------------------------------------------------------

function drawFilters() {
  const fill = (id, values) => byId(id).append(...values.map(([value, text]) => make("option", { value }, text)));
  fill("area", [...new Set(DATA.cases.map((one) => one.area))].map((area) => [area, area]));
  fill("level", [...new Set(DATA.cases.map((one) => one.level))].map((level) => [level, level]));
  fill("client", DATA.clients.map((client, place) => [place, `${client.name} ${client.version}`]));
  for (const letter of LETTERS) {
    const [verdict, sign] = VERDICTS[letter];
    const some = DATA.cases.some((one) => one.v.includes(letter));
    const chip = make("button", { type: "button", class: `v-${verdict}`, "aria-pressed": "false", "data-v": letter },
      `${sign} ${words(verdict)}`);
    chip.disabled = !some;
    byId("verdicts").append(chip);
  }
}

let haystack = null;

function textOf(number) {
  if (haystack === null) {
    haystack = DATA.cases.map((one) =>
      [one.id, one.title, ...one.r.map((place) => DATA.reasons[place] || "")].join(" ").toLowerCase());
  }
  return haystack[number];
}

function filter() {
  const wanted = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const area = byId("area").value;
  const level = byId("level").value;
  const client = byId("client").value;
  const letters = [...byId("verdicts").querySelectorAll('[aria-pressed="true"]')].map((chip) => chip.dataset.v);
  let shown = 0;
  const areas = new Set();
  DATA.cases.forEach((one, number) => {
    const verdicts = client === "" ? one.v : one.v[Number(client)];
    const fits = (!area || one.area === area) && (!level || one.level === level) &&
      (client === "" || verdicts !== ".") &&
      (!letters.length || letters.some((letter) => verdicts.includes(letter))) &&
      wanted.every((word) => textOf(number).includes(word));
    if (rows[number].hidden === fits) rows[number].hidden = !fits;
    if (fits) { shown += 1; areas.add(one.area); }
  });
  for (const body of byId("matrix").tBodies) body.hidden = !areas.has(body.dataset.area);
  byId("count").textContent = `${shown} of ${DATA.cases.length} cases`;
  byId("nothing").hidden = shown > 0;
  byId("matrix").hidden = shown === 0;
  tabStop(firstCell());
}

// ---- the keyboard -------------------------------------------------------------

let stop = null;

function tabStop(cell) {
  if (stop) stop.tabIndex = -1;
  stop = cell;
  if (stop) stop.tabIndex = 0;
}

const visible = () => rows.filter((row) => !row.hidden);
const firstCell = () => { const row = rows.find((one) => !one.hidden); return row ? row.querySelector(".cell") : null; };

function move(cell, down, right) {
  const shown = visible();
  const place = shown.indexOf(cell.parentElement) + down;
  const row = shown[Math.max(0, Math.min(shown.length - 1, place))];
  const column = Number(cell.dataset.c) + right;
  const cells = [...row.querySelectorAll(".cell")];
  const next = cells.find((one) => Number(one.dataset.c) === column) ||
    (down ? cells[0] : cell);
  tabStop(next);
  next.focus();
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

const STEPS = {
  ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
  PageDown: [15, 0], PageUp: [-15, 0], Home: [-1e6, 0], End: [1e6, 0],
};

function listen() {
  const table = byId("matrix");
  const cellOf = (event) => event.target.closest("td.cell");
  table.addEventListener("click", (event) => { const cell = cellOf(event); if (cell) { tabStop(cell); open(cell); } });
  table.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") open(cell);
    else if (STEPS[event.key]) move(cell, ...STEPS[event.key]);
    else return;
    event.preventDefault();
  });
  for (const kind of ["input", "change"]) byId("filters").addEventListener(kind, filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => {
    for (const chip of byId("verdicts").children) chip.setAttribute("aria-pressed", "false");
    setTimeout(filter);
  });
  byId("verdicts").addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (!chip) return;
    chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") === "false");
    filter();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !byId("page").open && !/INPUT|SELECT/.test(event.target.tagName)) {
      event.preventDefault();
      byId("text").focus();
    }
  });
  byId("page").addEventListener("close", closed);
  addEventListener("hashchange", follow);
}

// ---- one cell --------------------------------------------------------------------

async function unpack(number) {
  const bytes = Uint8Array.from(atob(DETAILS[number]), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function addressOf(number, place) {
  const client = DATA.clients[place];
  return `#${encodeURIComponent(DATA.cases[number].id)}/${encodeURIComponent(client.name)}/${encodeURIComponent(client.version)}`;
}

function open(cell) {
  location.hash = addressOf(Number(cell.parentElement.dataset.n), Number(cell.dataset.c));
}

function closed() {
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (stop) { stop.focus(); stop.scrollIntoView({ block: "nearest" }); }
}

async function follow() {
  const page = byId("page");
  const [id, name, version] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const number = DATA.cases.findIndex((one) => one.id === id);
  const place = DATA.clients.findIndex((one) => one.name === name && one.version === version);
  if (number < 0 || place < 0 || DATA.cases[number].v[place] === ".") { if (page.open) page.close(); return; }
  const details = await unpack(number);
  page.replaceChildren(drawHead(number, place), drawBody(details, number, place));
  page.scrollTop = 0;
  tabStop(rows[number].querySelector(`[data-c="${place}"]`));
  if (!page.open) page.showModal();
}

function step(number, place, by) {
  const shown = visible().map((row) => Number(row.dataset.n)).filter((n) => DATA.cases[n].v[place] !== ".");
  const at = shown.indexOf(number) + by;
  return at >= 0 && at < shown.length ? addressOf(shown[at], place) : null;
}

function drawHead(number, place) {
  const one = DATA.cases[number];
  const client = DATA.clients[place];
  const [verdict, sign] = VERDICTS[one.v[place]];
  const close = make("button", { type: "button", class: "plain" }, "Close");
  close.addEventListener("click", () => byId("page").close());
  const turn = (text, by) => {
    const target = step(number, place, by);
    const button = make("button", { type: "button" }, text);
    button.disabled = target === null;
    button.addEventListener("click", () => { location.hash = target; });
    return button;
  };
  return make("header", { class: "page-head" },
    make("div", {},
      make("span", { class: `badge v-${verdict}` }, `${sign} ${words(verdict)}`), ` ${client.name} ${client.version}`,
      make("h2", { id: "page-title", tabindex: "-1", autofocus: "" }, ...marked(one.title)),
      make("code", { class: "quiet" }, one.id)),
    make("nav", { "aria-label": "Cases" }, turn("Previous", -1), turn("Next", 1), close));
}

function drawBody(details, number, place) {
  const one = DATA.cases[number];
  const cell = details.cells[place];
  const body = make("div", { class: "page-body" });
  const section = (title, ...children) => body.append(make("h3", {}, title), ...children);
  section("What was seen", ...drawReason(one, cell, place));
  section("What the case asks", ...drawCase(details, one, place));
  if (cell.trace && cell.trace.faults.length) section("What the registry did", drawFaults(cell.trace.faults));
  if (cell.trace) section("What the client said", ...cell.trace.pulls.map(drawPull));
  section("On the wire", ...drawWire(details, cell, place));
  const name = DATA.clients[place].name;
  section("To repeat it", make("pre", {}, `pull-conformance replay ${one.id} --client ${name} --run`),
    make("p", { class: "quiet" }, "With --adapter FILE in place of --client where the client is not a bundled one; without --run the registry waits for a client that you start."));
  return body;
}

function drawReason(one, cell, place) {
  const verdict = VERDICTS[one.v[place]][0];
  const drawn = [make("p", { class: `reason v-${verdict}` }, cell.reason || "The client did as the case asks.")];
  if (cell.expected) {
    drawn.push(make("p", {}, `Expected to fail: ${cell.expected.reason} (`, link(cell.expected.link, cell.expected.link), ")"));
  }
  if (cell.uncounted) drawn.push(make("p", {}, `It is never red: ${cell.uncounted}.`));
  if (cell.flaky) drawn.push(make("p", {}, "Runs of it did not end alike."));
  if (cell.details) drawn.push(make("pre", {}, cell.details));
  return drawn;
}

function drawCase(details, one, place) {
  const facts = make("dl", { class: "facts" });
  const fact = (name, ...value) => facts.append(make("dt", {}, name), make("dd", {}, ...value));
  fact("level", one.level + (one.critical ? ", critical: not met, it fails whatever the level" : ""));
  if (details.needs.length) fact("needs", details.needs.join(", "));
  if (details.twin) {
    const twin = DATA.cases.findIndex((other) => other.id === details.twin);
    const there = twin >= 0 && DATA.cases[twin].v[place] !== ".";
    fact("twin", there ? make("a", { href: addressOf(twin, place) }, details.twin) : details.twin,
      " (the same without the fault)");
  }
  const clause = make("blockquote", {}, details.clause);
  if (details.link) clause.append(" ", link(details.link, "read it"));
  return [make("p", { class: "described" }, ...marked(details.description || one.title)), clause, facts];
}

function drawFaults(faults) {
  return make("ul", {}, ...faults.map((fault) => make("li", {},
    make("code", {}, fault.what), fault.fired ? `, met ${fault.fired} times` : ", never met")));
}

function drawPull(pull) {
  const how = pull.ok === null ? "still running" : pull.ok ? "success" : pull.exit === null ? "failure" : `exit status ${pull.exit}`;
  const time = pull.seconds === null ? "" : `, ${(1000 * pull.seconds).toFixed(0)} ms`;
  const drawn = make("div", {}, make("p", {}, make("code", {}, pull.ref), ` — ${how}${time}${pull.reason ? ` (${pull.reason})` : ""}`));
  for (const [name, text] of [[pull.error_class || "error", pull.error], ["stderr", pull.stderr], ["stdout", pull.stdout]]) {
    if (text) drawn.append(make("div", { class: "quiet" }, name), make("pre", { tabindex: "0" }, text));
  }
  return drawn;
}

// ---- two logs side by side ---------------------------------------------------------

// Ports, and what is made anew in each run, differ without meaning anything.
const masked = (text) => decodeURIComponent(text.replace(/%(?![0-9a-f]{2})/gi, "%25"))
  .replace(/(127\.0\.0\.1|localhost|registry-?\d*|cdn-?\d*)(:\d+)/g, "$1").replace(/\[redacted\]/g, "…");
const header = (pairs, name) => (pairs.find(([key]) => key.toLowerCase() === name) || ["", ""])[1];

function keyOf(exchange) {
  let target;
  try { target = masked(exchange.target); } catch { target = exchange.target; }
  return [exchange.server, exchange.method, target, exchange.status, header(exchange.request, "range")].join(" ");
}

// A ping of the API's root says nothing about the pull.
const neutral = (exchange) => /^\/v2\/?$/.test(exchange.target);

// Returns pairs of places, aligned by their longest common sequence.
function align(left, right) {
  const length = left.map(() => new Uint16Array(right.length + 1));
  length.push(new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      length[i][j] = left[i] === right[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  const pairs = [];
  let [i, j, lonely] = [0, 0, [[], []]];
  const flush = () => {
    for (let n = 0; n < Math.max(lonely[0].length, lonely[1].length); n += 1) pairs.push([lonely[0][n] ?? null, lonely[1][n] ?? null]);
    lonely = [[], []];
  };
  while (i < left.length && j < right.length) {
    if (left[i] === right[j]) { flush(); pairs.push([i, j]); i += 1; j += 1; }
    else if (length[i + 1][j] >= length[i][j + 1]) { lonely[0].push(i); i += 1; }
    else { lonely[1].push(j); j += 1; }
  }
  while (i < left.length) { lonely[0].push(i); i += 1; }
  while (j < right.length) { lonely[1].push(j); j += 1; }
  flush();
  return pairs;
}

// Requests that the other side never sent; the same in another order is no difference.
function strangers(mine, theirs) {
  const left = new Map();
  for (const key of theirs) left.set(key, (left.get(key) || 0) + 1);
  return mine.map((key) => { const n = left.get(key) || 0; left.set(key, n - 1); return n < 1; });
}

function drawWire(details, cell, place) {
  const client = DATA.clients[place];
  const isReference = client.name === "refimpl";
  const mine = cell.trace ? cell.trace.exchanges : null;
  const theirs = details.reference && !isReference ? details.reference.exchanges : null;
  const heads = [];
  if (mine) heads.push(`${client.name} ${client.version}`);
  if (theirs) heads.push(`refimpl, ${details.reference.origin}`);
  const table = make("table", { id: "wire" },
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)))));
  const said = [];
  const say = (text) => said.push(make("p", { class: "quiet" }, text));
  // Reports of earlier versions have none.
  const account = cell.trace && cell.trace.account;
  if (account) said.push(make("p", { class: "account" }, account.sentence));
  if (!mine) say("Of this client nothing was recorded: the case did not run, or the report was saved without it (--trace all).");
  else if (!mine.length) say("The client asked for nothing.");
  if (!theirs && !isReference) say("The reference has no recording of this case.");
  if (mine && theirs) say(drawPairs(table, mine, theirs));
  else table.append(make("tbody", {}, ...(mine || theirs || []).map((one) => make("tr", {}, make("td", {}, drawExchange(one))))));
  if (cell.trace && cell.trace.omitted) say(`${cell.trace.omitted} exchanges in the middle are left out.`);
  return table.rows.length > 1 ? [...said, table] : said;
}

function drawPairs(table, everything, theirs) {
  // What is neutral is shown, but on no line with something else.
  const mine = everything.filter((one) => !neutral(one) || theirs.some(neutral));
  const [left, right] = [mine.map(keyOf), theirs.map(keyOf)];
  const odd = [strangers(left, right), strangers(right, left)];
  const body = make("tbody", {});
  for (const one of everything.filter((other) => !mine.includes(other))) {
    body.append(make("tr", {}, make("td", {}, drawExchange(one)), make("td", {})));
  }
  let first = 0;
  align(left, right).forEach(([i, j]) => {
    const differs = (i !== null && odd[0][i] && !neutral(mine[i])) || (j !== null && odd[1][j] && !neutral(theirs[j]));
    const row = make("tr", { class: differs ? "differs" : "" },
      make("td", {}, i === null ? "" : drawExchange(mine[i])), make("td", {}, j === null ? "" : drawExchange(theirs[j])));
    if (differs && !first) {
      first = body.rows.length + 1;
      row.classList.add("first");
      body.append(make("tr", { class: "note" }, make("td", { colspan: "2" }, "The first difference")));
    }
    body.append(row);
  });
  table.append(body);
  return first ? `From line ${first} on, the requests are not the reference's; lines that only one side has are marked.`
    : "The same requests and answers as the reference's (their order aside).";
}

function drawExchange(one) {
  const target = one.target.replace(/(sha(?:256|512):[0-9a-f]{12})[0-9a-f]+/g, "$1…");
  const range = header(one.request, "range");
  const status = one.status === 0 ? "no answer" : String(one.status);
  const ended = one.outcome === "complete" ? "" : `, ${one.outcome || "in flight"}`;
  const line = make("summary", {},
    `${one.method} ${target} `, make("span", { class: one.status >= 400 || one.status === 0 ? "status bad" : "status" }, status),
    make("span", { class: "meta" }, ` ${one.bytes.toLocaleString("en")} B${ended}${range ? `, ${range}` : ""}${one.server === "registry" ? "" : `, ${one.server}`}`));
  const list = make("ul", { class: "headers" });
  const entry = (name, value) => list.append(make("li", {}, make("b", {}, `${name} `), value));
  entry("asked", one.target);
  if (one.form) entry("form", one.form);
  for (const [name, value] of one.request) entry(`> ${name}:`, value);
  for (const [name, value] of one.response) entry(`< ${name}:`, value);
  if (one.at !== undefined) entry("when", `${(1000 * one.at).toFixed(1)} ms after the first, on connection ${one.connection}`);
  return make("details", {}, line, list);
}

drawTop();
drawMatrix();
drawFilters();
listen();
filter();
follow();
})();
