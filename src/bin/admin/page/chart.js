// Lines of the last minutes, as SVG.

const NAMESPACE = document.getElementById("drawing").namespaceURI;
const WIDTH = 300, HEIGHT = 56;

const shape = (name, attributes) => {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// The end of the scale: a round number.
const ceiling = value => {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(step => step * power >= value) * power;
};

const chart = (title, shown) => {
  const made = element("div", undefined, "chart");
  const now = element("p", "–", "now"), range = element("p", "", "range");
  const heading = element("h3", title);
  const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const area = shape("path", { class: "area" }), line = shape("path", { class: "line" });
  const base = shape("path", { class: "base", d: `M0 ${HEIGHT - 1}H${WIDTH}` });
  drawing.append(base, area, line);
  made.append(heading, now, drawing, range);
  label(drawing, title + " over the last 15 minutes: nothing is known yet");

  // `least`: the scale reaches this value at least.
  const draw = (ages, values, length, interval, least) => {
    const points = [];
    ages.forEach((past, index) => {
      if (isKnown(values[index])) points.push([past, values[index]]);
    });
    const numbers = points.map(point => point[1]);
    const lowest = Math.min(...numbers), highest = Math.max(...numbers);
    const top = ceiling(Math.max(numbers.length ? highest : 0, least));
    const x = past => +(WIDTH * (1 - past / length)).toFixed(1);
    const y = value => +(HEIGHT - 2 - (HEIGHT - 6) * value / top).toFixed(1);
    let path = "", fill = "", start = null, before = null;
    const close = () => {
      if (before === null) return;
      // A point alone is a dot.
      if (start === before) path += "h0";
      fill += `L${x(before)} ${HEIGHT - 1}H${x(start)}Z`;
    };
    for (const [past, value] of points) {
      // Nothing is drawn where nothing was measured.
      const isNext = before !== null && before - past < 2.5 * interval;
      if (!isNext) {
        close();
        start = past;
      }
      path += `${isNext ? "L" : "M"}${x(past)} ${y(value)}`;
      fill += isNext ? `L${x(past)} ${y(value)}` : `M${x(past)} ${HEIGHT - 1}V${y(value)}`;
      before = past;
    }
    close();
    line.setAttribute("d", path);
    area.setAttribute("d", fill);
    const minutes = Math.round(length / 60);
    const text = points.length === 0 ? "nothing is known yet" : `lowest ${shown(lowest)}, highest ${shown(highest)}`;
    put(range, points.length === 0 ? `last ${minutes} min` : `${shown(lowest)} to ${shown(highest)} in ${minutes} min`);
    label(drawing, `${title} over the last ${minutes} minutes: ${text}`);
  };
  return { made, draw, show: (text, kind) => put(now, text, ("now " + (kind || "")).trim()) };
};
