// The table of workers: sorted, filtered, and no longer than necessary.

const ROWS = 20, URI = 120, LONG = 10;
const KINDS = { idle: "", busy: "busy", reading: "busy", finishing: "busy", starting: "wait", retiring: "wait",
  exiting: "wait", killed: "bad", unknown: "bad", silent: "" };
const hasRequest = worker => isKnown(worker.request_age);
const isLong = worker => hasRequest(worker) && worker.request_age >= LONG;

// Title, class, the value to sort by, whether the highest comes first.
const COLUMNS = [
  ["PID", "", w => w.pid, false],
  ["State", "", w => w.state, false],
  ["For", "number", w => hasRequest(w) ? 1e9 + w.request_age : w.since, true],
  ["Request", "request", w => w.uri, false],
  ["Requests", "number", w => w.requests, true],
  ["Memory", "number", w => w.memory, true],
  ["CPU", "number", w => w.cpu, true],
  ["Age", "number", w => w.age, true],
];
const FIRST = 2;

const row = () => {
  const made = element("tr");
  made.setAttribute("role", "row");
  const cells = COLUMNS.map(([title, kind], index) => {
    const cell = element(index === 0 ? "th" : "td", undefined, kind);
    if (index === 0) cell.scope = "row";
    cell.setAttribute("role", index === 0 ? "rowheader" : "cell");
    cell.dataset.label = title;
    made.append(cell);
    return cell;
  });
  const state = element("span"), method = element("span", "", "method"), uri = element("span", "", "uri");
  const more = element("button", "", "more");
  more.type = "button";
  cells[1].append(state);
  cells[3].append(method, " ", uri, " ", more);
  let whole = "", isWhole = false;
  const showUri = () => {
    const letters = Array.from(whole), isCut = letters.length > URI;
    put(uri, isCut && !isWhole ? letters.slice(0, URI).join("") + "…" : whole);
    more.hidden = !isCut;
    if (isCut) put(more, isWhole ? "Show less" : `Show all ${count(letters.length)} characters`);
    more.setAttribute("aria-expanded", String(isWhole));
  };
  more.addEventListener("click", () => { isWhole = !isWhole; showUri(); });
  const fill = w => {
    put(cells[0], String(w.pid));
    badge(state, visible(w.state), isKnown(KINDS[w.state]) ? KINDS[w.state] : "");
    put(cells[2], (isLong(w) ? "⚠ " : "") + age(hasRequest(w) ? w.request_age : w.since), isLong(w) ? "number long" : "number");
    put(method, visible(w.method || ""));
    const text = visible(w.uri || "");
    if (whole !== text) {
      [whole, isWhole] = [text, false];
      showUri();
    }
    put(cells[4], count(w.requests));
    put(cells[5], bytes(w.memory));
    put(cells[6], known(w.cpu, seconds => seconds.toFixed(1) + " s"));
    put(cells[7], age(w.age));
  };
  showUri();
  return { made, fill };
};

const option = (list, text, value) => {
  const made = element("option", text);
  made.value = value;
  list.append(made);
};
const field = (text, control, kind) => {
  const made = element("label", text + " ", kind);
  made.append(control);
  return made;
};

const workersTable = (name, id) => {
  const made = element("div", undefined, "workers"), heading = element("h3", "Workers");
  heading.id = id;
  const state = element("select"), text = element("input"), sort = element("select");
  text.type = "search";
  text.autocomplete = "off";
  text.spellcheck = false;
  option(state, "all", "");
  option(state, "with a request", "request");
  for (const word of Object.keys(KINDS)) option(state, word, word);
  COLUMNS.forEach(([title, , , down], index) => 
    option(sort, index === FIRST ? "longest request" : title + (down ? ", highest first" : ""), String(index)));
  const controls = element("div", undefined, "controls");
  controls.setAttribute("role", "group");
  controls.setAttribute("aria-label", "Filter of workers" + (name === "" ? "" : " of " + name));
  controls.append(field("State", state), field("URI contains", text), field("Sort by", sort, "narrow"));

  const table = element("table"), head = element("thead"), body = element("tbody"), titles = element("tr");
  table.setAttribute("aria-labelledby", id);
  for (const [node, role] of [[table, "table"], [head, "rowgroup"], [body, "rowgroup"], [titles, "row"]]) node.setAttribute("role", role);
  let by = FIRST, isDown = true, all = [], isAll = false;
  const headers = COLUMNS.map(([title, kind, , down], index) => {
    const cell = element("th", undefined, kind), button = element("button", title);
    const arrow = element("span", "", "arrow");
    arrow.setAttribute("aria-hidden", "true");
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    button.type = "button";
    button.append(arrow);
    button.addEventListener("click", () => {
      [by, isDown] = index === by ? [by, !isDown] : [index, down];
      update();
    });
    cell.append(button);
    titles.append(cell);
    return { cell, arrow };
  });
  head.append(titles);
  table.append(head, body);
  const none = element("p", "No worker matches.", "none");
  const shown = element("p", "", "shown"), more = element("button");
  more.type = "button";
  const end = element("div", undefined, "end");
  end.append(shown, more);
  made.append(heading, controls, table, none, end);

  const rows = new Map();
  const update = () => {
    const words = text.value.toLowerCase(), wanted = state.value;
    const found = all.filter(w => (wanted === "" || (wanted === "request" ? hasRequest(w) : w.state === wanted)) &&
      (words === "" || visible(w.uri || "").toLowerCase().includes(words)));
    const value = COLUMNS[by][2], direction = isDown ? -1 : 1;
    const keys = new Map(found.map(w => [w, value(w)]));
    found.sort((a, b) => {
      const [one, two] = [keys.get(a), keys.get(b)];
      // What is not known comes last in either direction.
      if (isKnown(one) !== isKnown(two)) return isKnown(one) ? -1 : 1;
      if (!isKnown(one) || one === two) return a.pid - b.pid;
      return (one < two ? -1 : 1) * direction;
    });
    const visibleOnes = isAll ? found : found.slice(0, ROWS);
    const pids = new Set(visibleOnes.map(w => w.pid)), focused = document.activeElement;
    for (const [pid, one] of rows) {
      if (pids.has(pid)) continue;
      one.made.remove();
      rows.delete(pid);
    }
    visibleOnes.forEach((worker, index) => {
      let one = rows.get(worker.pid);
      if (!one) rows.set(worker.pid, one = row());
      one.fill(worker);
      if (body.rows[index] !== one.made) body.insertBefore(one.made, body.rows[index] || null);
    });
    // A row that has moved must not lose the focus.
    if (focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true });
    headers.forEach(({ cell, arrow }, index) => {
      put(arrow, index === by ? isDown ? " ↓" : " ↑" : "");
      if (index === by) cell.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    if (sort.value !== String(by)) sort.value = String(by);
    none.hidden = found.length > 0 || all.length === 0;
    const part = visibleOnes.length === all.length ? "" : `${count(visibleOnes.length)} of `;
    put(shown, part + counted(all.length, "worker", "workers"));
    more.hidden = found.length <= ROWS;
    put(more, isAll ? `Show only ${ROWS}` : `Show all ${count(found.length)}`);
  };
  more.addEventListener("click", () => { isAll = !isAll; update(); });
  state.addEventListener("change", update);
  text.addEventListener("input", update);
  sort.addEventListener("change", () => { by = Number(sort.value); isDown = COLUMNS[by][3]; update(); });
  return { made, fill: workers => { all = workers; update(); } };
};
