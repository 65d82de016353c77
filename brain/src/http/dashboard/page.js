// Shows what the Receptor API tells of apps, cells and tasks. A full look every few seconds is the
// truth; events only make the next look come sooner. All that comes from the platform is put into
// the page as text, never as markup.

const LOOK_EVERY_MS = 10_000;
const EVENTS_SETTLE_MS = 200;
const ROWS_MAX = 500;
const EVENTS = ["desired_lrp", "actual_lrp", "task"]
  .flatMap((noun) => ["created", "changed", "removed"].map((verb) => `${noun}_${verb}`))
  .concat("resync");

// === the platform ===

async function ask(path) {
  // A page opened as http://user:password@... would hand these on, and `fetch` refuses that.
  const answer = await fetch(location.origin + path);
  if (answer.status === 401) throw new Error("the password is not accepted any more; reload this page");
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json();
}

async function look() {
  const nouns = ["desired_lrps", "actual_lrps", "cells", "tasks", "version"];
  const answers = await Promise.all(nouns.map((noun) => ask(`/v1/${noun}`)));
  const [desired, actual, cells, tasks, version] = answers;
  return { desired, actual, cells, tasks, version };
}

// === what there is to show: data in, data out ===

function apps({ desired, actual }) {
  const all = new Map(desired.map((lrp) => [lrp.process_guid, { lrp, instances: [] }]));
  for (const instance of [...actual].sort((a, b) => a.index - b.index)) {
    all.get(instance.process_guid)?.instances.push(instance);
  }
  return [...all.values()].sort((a, b) => a.lrp.process_guid.localeCompare(b.lrp.process_guid));
}

const isRunning = (instance) => instance.state === "RUNNING";

function complaints(instances) {
  const said = new Map();
  for (const instance of instances) {
    const text = complaint(instance);
    if (text) said.set(text, [...(said.get(text) ?? []), instance.index]);
  }
  return [...said].map(([text, indices]) => `${indexList(indices)}: ${text}`);
}

function complaint(instance) {
  if (instance.suspect) return "its cell is not heard of";
  if (isRunning(instance)) return "";
  if (instance.placement_error) return instance.placement_detail || instance.placement_error;
  if (!instance.crash_reason) return "";
  const times = instance.crash_count > 1 ? ` (${instance.crash_count} times in a row)` : "";
  return instance.crash_reason + times;
}

function indexList(indices) {
  const shown = indices.slice(0, 8).map((index) => `#${index}`).join(" ");
  return indices.length > 8 ? `${shown} and ${indices.length - 8} more` : shown;
}

function routes({ routes, ports }) {
  const http = list(routes?.["cf-router"]).flatMap(({ hostnames, port }) =>
    list(hostnames).map((hostname) => httpRoute(String(hostname), port, ports)));
  const tcp = list(routes?.["tcp-router"]).map(({ external_port, container_port }) =>
    ({ text: `port ${external_port} → ${container_port}` }));
  return [...http, ...tcp];
}

function httpRoute(hostname, port, ports) {
  const [host, ...path] = hostname.split("/");
  const text = ports?.length > 1 ? `${hostname} → ${port}` : hostname;
  if (!/^[\w.-]+$/.test(host)) return { text };
  const from = location.port ? `:${location.port}` : "";
  return { text, href: `${location.protocol}//${host}${from}/${path.join("/")}` };
}

// Anybody may write anything into an app's routes.
const list = (value) => (Array.isArray(value) ? value.filter((entry) => entry !== null) : []);

function usage({ desired, actual, cells, tasks }) {
  const wanted = new Map(desired.map((lrp) => [lrp.process_guid, lrp]));
  const used = new Map();
  const take = (cell_id, { memory_mb = 0, disk_mb = 0 } = {}) => {
    if (!cell_id) return;
    const sum = used.get(cell_id) ?? { memory_mb: 0, disk_mb: 0, containers: 0 };
    used.set(cell_id, {
      memory_mb: sum.memory_mb + memory_mb,
      disk_mb: sum.disk_mb + disk_mb,
      containers: sum.containers + 1,
    });
  };
  for (const instance of actual) take(instance.cell_id, wanted.get(instance.process_guid));
  for (const task of tasks) take(task.cell_id, task);
  const present = new Map(cells.map((cell) => [cell.cell_id, cell]));
  const ids = [...new Set([...present.keys(), ...used.keys()])].sort();
  const nothing = { memory_mb: 0, disk_mb: 0, containers: 0 };
  return ids.map((id) => ({ id, cell: present.get(id), used: used.get(id) ?? nothing }));
}

function mebibytes(amount) {
  if (amount < 1024) return `${amount} MiB`;
  const unit = amount < 1024 * 1024 ? ["GiB", 1024] : ["TiB", 1024 * 1024];
  return `${(amount / unit[1]).toFixed(1).replace(/\.0$/, "")} ${unit[0]}`;
}

function since(nanoseconds) {
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - nanoseconds / 1e9));
  const [amount, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]
    .map(([length, name]) => [Math.floor(seconds / length), name])
    .find(([whole, name]) => whole > 0 || name === "s");
  return `${amount} ${unit}`;
}

// === the page ===

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const cell = (kind, ...children) => make("td", { class: kind }, ...children);

function fill(id, heads, rows, nothing) {
  const shown = rows.slice(0, ROWS_MAX);
  const span = { class: "nothing", colspan: heads.length };
  const row = (text) => make("tr", {}, make("td", span, text));
  if (rows.length === 0) shown.push(row(nothing));
  if (rows.length > ROWS_MAX) shown.push(row(`and ${rows.length - ROWS_MAX} more: ltc list shows all`));
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  document.getElementById(id).replaceChildren(
    make("thead", {}, head), make("tbody", {}, ...shown));
}

function appRow({ lrp, instances }) {
  const running = instances.filter(isRunning).length;
  const dots = instances.slice(0, 100).map((instance) => make("i", {
    class: instance.state.toLowerCase() + (instance.suspect ? " suspect" : ""),
    title: `#${instance.index} ${instance.state.toLowerCase()} for ${since(instance.since)}` +
      (instance.cell_id ? ` on ${instance.cell_id}` : ""),
  }));
  const links = routes(lrp).map(({ text, href }) =>
    make("div", {}, href ? make("a", { href, rel: "noreferrer", target: "_blank" }, text) : text));
  const tone = running >= lrp.instances ? "good" : running > 0 ? "wait" : "bad";
  return make("tr", {},
    cell("name", lrp.process_guid, make("small", {}, lrp.rootfs.replace(/^docker:\/\/\/?/, "")),
      ...complaints(instances).map((text) => make("p", { class: "complaint" }, text))),
    cell(`number state ${tone}`, `${running} of ${lrp.instances}`),
    cell("", make("div", { class: "instances" }, ...dots)),
    cell("number", lrp.memory_mb ? mebibytes(lrp.memory_mb) : "no limit"),
    cell("", ...(links.length ? links : ["none"])));
}

function cellRow({ id, cell: present, used }) {
  if (!present) {
    return make("tr", {}, cell("name", id), cell("state bad", "missing"), cell("", ""),
      cell("", ""), cell("number", `${used.containers}`));
  }
  const bar = (amount, all, text) => cell("number", `${text(amount)} of ${text(all)}`,
    make("meter", { value: amount, max: Math.max(all, 1), high: all * 0.9 }));
  const { memory_mb, disk_mb, containers } = present.capacity;
  return make("tr", {},
    cell("name", id, ...(present.zone ? [make("small", {}, present.zone)] : [])),
    cell("state good", "present"),
    bar(used.memory_mb, memory_mb, mebibytes),
    bar(used.disk_mb, disk_mb, mebibytes),
    bar(used.containers, containers, String));
}

function taskRow(task) {
  const failed = task.failed;
  const tone = failed ? "bad" : task.state === "COMPLETED" ? "good" : "wait";
  const outcome = failed ? task.failure_reason : task.result;
  return make("tr", {},
    cell("name", task.task_guid),
    cell(`state ${tone}`, failed ? "failed" : task.state.toLowerCase()),
    cell("", task.cell_id || "–"),
    cell("number", `${since(task.created_at)} ago`),
    cell("", outcome || task.rejection_reason || ""));
}

function summary(seen) {
  const wanted = seen.desired.reduce((sum, lrp) => sum + lrp.instances, 0);
  const running = seen.actual.filter(isRunning).length;
  const failing = apps(seen).filter(({ instances }) => complaints(instances).length > 0).length;
  const sums = [
    ["apps", seen.desired.length],
    ["instances running", running === wanted ? running : `${running} of ${wanted}`],
    ["apps with complaints", failing, failing > 0],
    ["cells", seen.cells.length, seen.cells.length === 0],
    ["tasks", seen.tasks.length],
  ];
  document.getElementById("summary").replaceChildren(...sums.map(([name, value, isBad]) =>
    make("div", isBad ? { class: "bad" } : {},
      make("dt", {}, name), make("dd", {}, String(value)))));
}

function show(seen) {
  summary(seen);
  fill("apps", ["App", "Running", "Instances", "Memory each", "Routes"],
    apps(seen).map(appRow), "no apps yet: ltc create web IMAGE");
  fill("cells", ["Cell", "State", "Memory", "Disk", "Containers"],
    usage(seen).map(cellRow), "no cells: nothing can be placed");
  const newest = [...seen.tasks].sort((a, b) => b.created_at - a.created_at);
  fill("tasks", ["Task", "State", "Cell", "Created", "Outcome"], newest.map(taskRow), "no tasks");
  document.getElementById("version").textContent = seen.version.lattice_release ?? "";
}

function tell(kind, text) {
  const freshness = document.getElementById("freshness");
  freshness.className = kind;
  freshness.textContent = text;
}

// === looking, again and again ===

let events;
let next;
let settleMs = EVENTS_SETTLE_MS;
let isLooking = false;
let isWanted = false;

async function lookAndShow() {
  if (isLooking) {
    isWanted = true;
    return;
  }
  isLooking = true;
  isWanted = false;
  const begun = performance.now();
  try {
    show(await look());
    if (events?.readyState === EventSource.CLOSED) subscribe();
    const isLive = events?.readyState === EventSource.OPEN;
    tell(isLive ? "live" : "", isLive ? "live" : `every ${LOOK_EVERY_MS / 1000} s`);
  } catch (error) {
    tell("lost", `not up to date: ${error.message}`);
  }
  // However much there is to show, most of the time it is not being asked for.
  settleMs = Math.max(EVENTS_SETTLE_MS, 5 * (performance.now() - begun));
  isLooking = false;
  plan(isWanted ? settleMs : LOOK_EVERY_MS);
}

function plan(delay) {
  clearTimeout(next);
  if (!document.hidden) next = setTimeout(lookAndShow, delay);
}

// A burst of events is one look; those that come while it is taken ask for another.
function hurry() {
  if (isLooking) isWanted = true;
  else if (!isWanted) {
    isWanted = true;
    plan(settleMs);
  }
}

// A stream that breaks is opened again by the browser; one that is refused, by the next look.
function subscribe() {
  events?.close();
  events = new EventSource(`${location.origin}/v1/events?tasks=true`);
  for (const name of EVENTS) events.addEventListener(name, hurry);
  events.addEventListener("open", hurry);
}

// A page that nobody sees holds no stream and asks for nothing.
function follow() {
  events?.close();
  events = undefined;
  clearTimeout(next);
  if (document.hidden) return;
  subscribe();
  isWanted = false;
  lookAndShow();
}

document.getElementById("domain").textContent = location.hostname.replace(/^dashboard\./, "");
document.addEventListener("visibilitychange", follow);
follow();
