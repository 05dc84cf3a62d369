// The page: it sends what is asked for to the server, one request after the other, and draws the answers.

import { Regions, drawLosses, drawNetwork, drawRegion, inputRegions } from "./drawing.js";
import { OFFERS, fromFragment, toFragment } from "./state.js";

const element = (id) => document.getElementById(id);
const regions = new Regions();
const drawn = []; // when the last frames were drawn, for whoever wants to know how many a second
let known = null, settings = null, session = null, picture = null, points = [], inputs = null, columns = [];
let version = 0, chosen = 0, last = Promise.resolve(), isLooping = false;

window.playground = {
  framesInASecond: () => drawn.filter((time) => time > performance.now() - 1000).length,
  picture: () => picture,
  settings: () => settings,
};

/** Ask the server for something, after what was asked for before. */
function ask(action, more = {}) {
  const request = last.then(() => send(action, more));
  last = request.catch(() => {});
  return request.catch(fail);
}

async function send(action, more) {
  const body = JSON.stringify({ do: action, session, version, ...more });
  const reply = await fetch("session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const answer = await reply.json();
  if (reply.status === 410 && action !== "open") return reopen(action);
  if (!reply.ok) throw new Error(answer.error);
  take(answer);
  return answer;
}

/** The server has forgotten this session: the same settings in a new one. */
async function reopen(action) {
  version = 0;
  await send("open", { settings });
  return action === "picture" ? picture : send(action, { settings });
}

function fail(error) {
  isLooping = false;
  const gone = error instanceof TypeError ? "The server does not answer: is fastnn playground still running?" : null;
  show(gone ?? error.message);
}

function show(problem) {
  element("problem").textContent = problem;
  element("problem").hidden = !problem;
}

function take(answer) {
  if (answer.session) ({ session } = answer);
  ({ version } = answer);
  picture = answer;
  points = answer.points ?? points;
  regions.fill(Uint8Array.from(atob(answer.regions), (one) => one.charCodeAt(0)), answer.side);
  inputs ??= inputRegions(answer.side);
  show(answer.problem);
  draw();
}

function draw() {
  if (!picture) return;
  if (chosen >= regions.canvases.length) chosen = 0;
  columns = drawNetwork(element("network"), inputs, regions, picture.weights, chosen);
  const region = chosen < 0 ? inputs.canvases[-1 - chosen] : regions.canvases[chosen];
  drawRegion(element("region"), region, points, picture.edge, element("test_points").checked);
  drawLosses(element("losses"), picture.records);
  element("shown").textContent = columns.flat().find((one) => one.number === chosen).name;
  element("run").textContent = picture.running ? "Pause" : "Start";
  element("steps").textContent = picture.steps.toLocaleString("en");
  element("epochs").textContent = picture.epochs.toLocaleString("en");
  const [train, test] = picture.accuracies.map((share) => `${(100 * share).toFixed(1)} %`);
  element("accuracy").textContent = train;
  element("test_accuracy").textContent = test;
  const [, loss, testLoss] = picture.records.at(-1) ?? [0, NaN, NaN];
  element("loss").textContent = loss.toFixed(4);
  element("test_loss").textContent = testLoss.toFixed(4);
  drawn.push(performance.now());
  if (drawn.length > 200) drawn.splice(0, 100);
}

/** Pictures, one for each frame that the screen shows, as long as the network trains. */
async function loop() {
  if (isLooping) return;
  isLooping = true;
  while (isLooping && picture.running) {
    const frame = new Promise(requestAnimationFrame);
    await ask("picture");
    await frame;
  }
  isLooping = false;
}

async function change() {
  history.replaceState(null, "", toFragment(settings, known) || "#");
  fillForm();
  await ask("change", { settings });
  loop();
}

function fillForm() {
  for (const [name, value] of Object.entries(settings)) {
    if (name === "hidden") continue;
    const input = element(name);
    if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === String(value))) {
      input.add(new Option(String(value), String(value))); // from a link
    }
    input.value = String(value);
  }
  element("strength").disabled = settings.penalty === "none";
  fillLayers();
}

function fillLayers() {
  const widths = settings.hidden;
  const row = (label, number, least, most, set) => {
    const shown = document.createElement("span"), line = document.createElement("div");
    const spans = [Object.assign(document.createElement("span"), { textContent: label }), shown];
    line.className = "layer";
    shown.className = "width";
    const button = (text, by, name) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      made.setAttribute("aria-label", name);
      made.disabled = number + by < least || number + by > most;
      made.onclick = () => {
        set(number + by);
        change();
      };
      return made;
    };
    const value = Object.assign(document.createElement("span"), { textContent: String(number) });
    shown.append(button("−", -1, `${label}: fewer`), value, button("+", 1, `${label}: more`));
    line.append(...spans);
    return line;
  };
  const setCount = (count) => {
    settings.hidden = Array.from({ length: count }, (_, i) => widths[i] ?? widths.at(-1) ?? 4);
  };
  const rows = widths.map((width, i) =>
    row(`Neurons ${i + 1}`, width, 1, known.most_neurons, (value) => {
      settings.hidden = widths.with(i, value);
    }),
  );
  element("hidden").replaceChildren(row("Layers", widths.length, 0, known.most_layers, setCount), ...rows);
}

function listen() {
  element("run").onclick = async () => {
    await ask(picture.running ? "pause" : "start");
    loop();
  };
  element("step").onclick = async () => {
    if (picture.running) await ask("pause");
    await ask("step");
  };
  element("reset").onclick = () => ask("reset");
  element("link").onclick = async () => {
    const link = element("link");
    try {
      await navigator.clipboard.writeText(location.href);
      link.textContent = "Copied";
    } catch {
      link.textContent = "See above"; // the address holds them
    }
    setTimeout(() => (link.textContent = "Link"), 1500);
  };
  element("test_points").onchange = draw;
  element("network").onclick = ({ offsetX, offsetY }) => {
    const hits = ({ x, y, side }) => offsetX >= x && offsetX <= x + side && offsetY >= y && offsetY <= y + side;
    const found = columns.flat().find(hits);
    chosen = found && found.number !== chosen ? found.number : 0;
    draw();
    if (found) element("region").scrollIntoView({ block: "nearest" }); // on telephones it may be above the screen
  };
  for (const name of Object.keys(settings)) {
    if (name === "hidden") continue;
    element(name).onchange = ({ target }) => {
      const wanted = new URLSearchParams({ [name]: target.value });
      const value = fromFragment(wanted.toString(), { ...known, defaults: settings })[name];
      settings = { ...settings, [name]: value };
      change();
    };
  }
  window.addEventListener("hashchange", () => {
    settings = fromFragment(location.hash, known);
    change();
  });
  new ResizeObserver(draw).observe(element("network"));
  document.addEventListener("visibilitychange", () => document.hidden || loop());
}

async function begin() {
  element("shown").textContent = "The kernels get ready ...";
  known = await ask("open");
  if (!known) return;
  settings = fromFragment(location.hash, known);
  for (const [name, values] of Object.entries({ ...known.choices, ...OFFERS })) {
    const label = (value) => (name === "speed" && value === 0 ? "no limit" : String(value).replace("_", " "));
    element(name).replaceChildren(...values.map((value) => new Option(label(value), String(value))));
  }
  listen();
  await change();
}

begin();
