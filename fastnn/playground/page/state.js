// The settings, and the fragment of the address that keeps them: #data=spiral&hidden=8,8&lr=0.03

// What the menus offer, beside the names that the server knows. Any number within its ranges may stand in a link.
export const OFFERS = {
  n: [50, 100, 200, 400, 1000],
  noise: [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5],
  batch: [1, 5, 10, 20, 50, 100],
  lr: [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
  strength: [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1],
  speed: [0, 1, 10, 100, 1000],
};

/** The settings in a fragment; names that are not there, or make no sense, keep their defaults. */
export function fromFragment(fragment, known) {
  const settings = structuredClone(known.defaults);
  for (const [name, text] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    const value = name === "hidden" ? layers(text, known) : single(name, text, known);
    if (value !== null) settings[name] = value;
  }
  return settings;
}

function layers(text, known) {
  const widths = text === "" ? [] : text.split(",").map(Number);
  const fits = (width) => Number.isInteger(width) && width >= 1 && width <= known.most_neurons;
  return widths.length <= known.most_layers && widths.every(fits) ? widths : null;
}

function single(name, text, known) {
  if (Object.hasOwn(known.choices, name)) return known.choices[name].includes(text) ? text : null;
  if (!Object.hasOwn(known.ranges, name) || text.trim() === "") return null;
  const [low, high] = known.ranges[name];
  const value = Number(text);
  const isWhole = Number.isInteger(known.defaults[name]) && !Object.hasOwn(OFFERS_OF_FRACTIONS, name);
  return value >= low && value <= high && (!isWhole || Number.isInteger(value)) ? value : null;
}

const OFFERS_OF_FRACTIONS = { noise: true, lr: true, strength: true };

/** The fragment for settings, without those that are as in the beginning. */
export function toFragment(settings, known) {
  const parts = [];
  for (const [name, value] of Object.entries(settings)) {
    if (String(value) !== String(known.defaults[name])) parts.push(`${name}=${value}`);
  }
  return `#${parts.join("&")}`;
}
