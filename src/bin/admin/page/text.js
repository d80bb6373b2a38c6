// From values to text. What clients and workers wrote is never inserted as anything else.

// Characters that are invisible, or that hide, combine with or reorder others.
const HARMFUL = /[\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}]/gu;
const escaped = letter => `\\u{${letter.codePointAt(0).toString(16)}}`;
const visible = text => String(text).replace(HARMFUL, letter => letter === " " ? letter : escaped(letter));
// The same, with its lines.
const visibleLines = text => String(text).split("\n").map(line => line.split("\t").map(visible).join("\t")).join("\n");

const isKnown = value => value !== null && value !== undefined;
const known = (value, shown) => isKnown(value) ? shown(value) : "–";
const count = value => known(value, number => number.toLocaleString("en"));
const counted = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;
const age = value => known(value, seconds => {
  const whole = Math.floor(seconds);
  if (whole < 10) return seconds.toFixed(1) + " s";
  if (whole < 60) return whole + " s";
  if (whole < 3600) return Math.floor(whole / 60) + " min " + whole % 60 + " s";
  if (whole < 86400) return Math.floor(whole / 3600) + " h " + Math.floor(whole / 60) % 60 + " min";
  return Math.floor(whole / 86400) + " d " + Math.floor(whole / 3600) % 24 + " h";
});
const bytes = value => known(value, number => (number / 1048576).toFixed(1) + " MiB");
const rate = value => known(value, number => number < 10 ? String(+number.toFixed(1)) : count(Math.round(number)));
const duration = value => known(value, seconds => {
  if (seconds < 0.001) return Math.round(seconds * 1e6) + " µs";
  if (seconds < 0.01) return (seconds * 1e3).toFixed(1) + " ms";
  if (seconds < 1) return Math.round(seconds * 1e3) + " ms";
  return seconds < 60 ? seconds.toFixed(1) + " s" : age(seconds);
});

const element = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
};
// Changes only what is different, so that nothing is laid out, or read aloud, without need.
const put = (node, text, kind) => {
  if (node.textContent !== text) node.textContent = text;
  if (kind !== undefined && node.className !== kind) node.className = kind;
};
const label = (node, text) => {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
};
// A sign before a word, so that nothing is shown by its colour alone. Readers of the screen get the word.
const SIGNS = { good: "●", busy: "▶", wait: "◐", bad: "▲", "": "○" };
const badge = (node, text, kind) => {
  if (node.shown === kind + text) return;
  node.shown = kind + text;
  const sign = element("span", SIGNS[kind] + " ");
  sign.setAttribute("aria-hidden", "true");
  node.className = ("badge " + kind).trim();
  node.replaceChildren(sign, text);
};
