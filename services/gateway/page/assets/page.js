"use strict";
// The status page: asks for status.json and, where there is a demo, for its predictions; draws what came.

const everySeconds = 2;
const byId = (id) => document.getElementById(id);

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function age(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const words = { ready: "ready", starting: "not ready", down: "down" };

function drawServices(status) {
  const stale = Date.now() / 1000 - status.at > 15;
  const entries = status.processes;
  const ready = entries.filter((entry) => entry.state === "ready").length;
  const summary = byId("state-summary");
  summary.className = "badge" + (stale || ready === 0 ? " none" : ready < entries.length ? " some" : "");
  summary.textContent = stale ? "nobody is looking" : ready === entries.length ? "all ready" : `${ready} of ${entries.length} ready`;
  const order = { service: 0, gateway: 1, server: 2 };
  const list = byId("services");
  list.replaceChildren(...[...entries].sort((a, b) => order[a.kind] - order[b.kind]).map((entry) => {
    const item = byId("service-template").content.firstElementChild.cloneNode(true);
    item.classList.add(stale ? "down" : entry.state);
    item.querySelector("strong").textContent = entry.name;
    const since = entry.since ? ` for ${age(status.at - entry.since)}` : "";
    const version = entry.version ? ` · ${entry.version}` : "";
    const restarts = entry.restarts ? ` · ${entry.restarts} restart${entry.restarts > 1 ? "s" : ""}` : "";
    item.querySelector("small").textContent = (words[entry.state] ?? entry.state) + (entry.state === "ready" ? since : "") + version + restarts;
    return item;
  }));
}

const clock = (text) => (text ? new Date(text).toLocaleTimeString([], { hour12: false }) : "");

function spoken(row) {
  if (row.kind === "direction") return { "1": "▲ up", "-1": "▼ down", "0": "– flat" }[row.value] ?? row.value;
  if (row.kind === "probability") return `${(Number(row.value) * 100).toFixed(1)} % up`;
  if (row.kind === "return") return `${(Number(row.value) * 100).toFixed(3)} %`;
  return typeof row.value === "object" ? Object.values(row.value).join(" … ") : row.value;
}

// Which way the row leaned: 1, -1 or 0.
function leaning(row) {
  const number = Number(row.value);
  if (row.kind === "probability") return Math.sign(number - 0.5);
  if (row.kind === "price") return Math.sign(number - Number(row.reference_price));
  return Math.sign(number);
}

// The relative change in the prediction's window, once it is settled.
function change(row) {
  const outcome = row.outcome;
  return outcome && outcome.realised_return != null ? Number(outcome.realised_return) : null;
}

function told(row) {
  if (!row.outcome) return "open";
  const moved = change(row);
  if (moved === null) return row.outcome.state;
  // The window opens after the prediction was made: at another price than the one that was known then.
  const { open_price, close_price, correct } = row.outcome;
  const mark = correct === true ? "✓ " : correct === false ? "✗ " : "";
  return `${mark}${open_price} → ${close_price}`;
}

const drawn = new Map();

function drawSignal(about, body) {
  let card = drawn.get(about.id);
  if (!card) {
    card = byId("signal-template").content.firstElementChild.cloneNode(true);
    card.querySelector("h3").textContent = about.name;
    card.querySelector(".about").textContent = about.about;
    card.seen = 0;
    drawn.set(about.id, card);
    byId("signals").append(card);
  }
  const rows = body.items;
  card.querySelector(".none").hidden = rows.length > 0;
  card.querySelector(".rows").hidden = rows.length === 0;
  card.querySelector("tbody").replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    if (card.seen && Number(row.seq) > card.seen) line.className = "new";
    const correct = row.outcome?.correct;
    const cells = [row.seq, clock(row.made_at), spoken(row), row.reference_price ?? "", told(row)];
    cells.forEach((text, index) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (index === 2) cell.className = leaning(row) > 0 ? "up" : leaning(row) < 0 ? "down" : "open";
      const moved = index === 4 ? change(row) : null;
      if (moved !== null) cell.title = `${moved >= 0 ? "+" : "−"}${Math.abs(moved * 100).toFixed(3)} % in its window`;
      if (index === 4) cell.className = correct === true ? "right" : correct === false ? "wrong" : "open";
      line.append(cell);
    });
    return line;
  }));
  if (rows.length) card.seen = Math.max(card.seen, Number(rows[0].seq));
  const prices = [...rows].reverse().map((row) => Number(row.reference_price)).filter((price) => Number.isFinite(price));
  drawChart(card, prices);
  const decided = rows.filter((row) => row.outcome && row.outcome.correct !== null);
  const right = decided.filter((row) => row.outcome.correct).length;
  card.querySelector(".score").textContent = decided.length ? `Of the rows below ${decided.length} are decided, ${right} leaned the right way.` : "";
}

function drawChart(card, prices) {
  const chart = card.querySelector(".chart");
  chart.style.display = prices.length > 1 ? "" : "none";
  if (prices.length < 2) return;
  const least = Math.min(...prices), most = Math.max(...prices), span = most - least || 1;
  chart.querySelector("polyline").setAttribute("points", prices.map((price, index) =>
    `${(index / (prices.length - 1) * 300).toFixed(1)},${(56 - (price - least) / span * 52).toFixed(1)}`).join(" "));
  chart.setAttribute("aria-label", `reference prices of the last ${prices.length} predictions, ${least} to ${most}`);
}

let demo;

async function look() {
  try {
    drawServices(await read("/status.json"));
    byId("asked").textContent = `Asked at ${new Date().toLocaleTimeString([], { hour12: false })}.`;
  } catch (error) {
    byId("state-summary").className = "badge none";
    byId("state-summary").textContent = "no answer";
  }
  try {
    demo ??= await read("/demo/signals.json");
    byId("demo").hidden = demo.signals.length === 0;
    const bodies = await Promise.all(demo.signals.map((about) => read(`/demo/predictions/${about.id}`)));
    demo.signals.forEach((about, index) => drawSignal(about, bodies[index]));
  } catch (error) {
    // No demo here, or its service is away: the status above says so.
  }
}

async function forever() {
  await look();
  setTimeout(forever, everySeconds * 1000 * (document.hidden ? 10 : 1));
}
forever();
