// The section of a pool.

const ended = p => p.draining ? "draining" : p.stopping ? "stopping" : "";
const condition = p => p.error !== undefined ? ["cannot be read", "bad"]
  : ended(p) ? [ended(p), "wait"] : p.ready > 0 || p.wanted === 0 ? ["ready", "good"] : ["no worker is ready", "bad"];
const clock = seconds => {
  const at = new Date(seconds * 1000), time = at.toLocaleTimeString();
  return at.toDateString() === new Date().toDateString() ? time : at.toLocaleDateString() + " " + time;
};
const FACTS = [
  ["Workers", p => `${count(p.ready)} ready, ${count(p.wanted)} wanted, ${count(p.max)} at most`],
  ["Requests", p => `${count(p.requests)} finished`],
  ["Not run", p => `${count(p.disconnected)} disconnected, ${count(p.overloaded)} overloaded`],
  ["Too long", p => `${count(p.slow)} slow, ${count(p.timed_out)} timed out`],
  ["Processes", p => `${counted(p.forks, "fork", "forks")}, ${counted(p.deaths, "exit", "exits")}, ${count(p.recycled)} recycled`],
  ["Saturated", p => counted(p.saturated, "time", "times")],
  ["Manager", p => `PID ${p.manager}, ${visible(p.pm || "static")}, up ${age(p.uptime)}`],
  ["Version", p => visible(p.version)],
  ["Listens on", p => p.listeners.map(l => visible(l.address)).join(", ") || "–"],
  ["Replaced on disk", p => p.files.filter(f => f.replaced).map(f => visible(f.path)).join(", ") || "no file"],
];

// Title, form of a value, the column of the history, the value of now.
const CHARTS = [
  ["Requests/s", rate, "requests_per_second", null],
  ["Mean duration", duration, "mean_duration", null],
  ["Busy workers", count, "busy", p => `${count(p.busy)} of ${count(p.ready)}`],
  ["Listen queue", count, "listen_queue", p => count(p.listen_queue)],
];

const problems = p => {
  const found = [];
  if (p.reload.state === "failed") found.push(`The last reload failed ${age(p.reload.age)} ago. The old workers continue.`);
  const stuck = p.workers.filter(isLong).length;
  if (stuck > 0) found.push(`${counted(stuck, "request runs", "requests run")} for longer than ${LONG} s.`);
  if (p.listen_queue > 0 && p.idle === 0) found.push(`${count(p.listen_queue)} waiting in the listen queue, and no worker is idle.`);
  return found.join("\n");
};

const section = (name, number) => {
  const id = "pool-" + number, shownName = visible(name);
  const made = element("section"), title = element("h2", name === "" ? "Pool" : shownName);
  made.id = id;
  title.id = id + "-title";
  title.tabIndex = -1;
  made.setAttribute("aria-labelledby", title.id);
  const state = element("p"), top = element("div", undefined, "title"), error = element("p", "", "problem");
  top.append(title, state);
  const body = element("div"), charts = element("div", undefined, "charts");
  const lines = CHARTS.map(([text, shown]) => chart(text, shown));
  charts.append(...lines.map(line => line.made));
  const workers = workersTable(shownName, id + "-workers");
  const bottom = element("div", undefined, "bottom"), history = element("div"), about = element("div");
  const reloads = element("ol", undefined, "reloads"), totals = element("p", "", "shown");
  history.append(element("h3", "Reloads"), totals, reloads);
  const facts = element("dl");
  const cells = FACTS.map(([text]) => {
    const group = element("div"), value = element("dd");
    group.append(element("dt", text), value);
    facts.append(group);
    return value;
  });
  about.append(element("h3", "Details"), facts);
  bottom.append(history, about);
  body.append(charts, workers.made, bottom);
  made.append(top, error, body);

  // An entry of the index, where there are several pools.
  const entry = element("li"), link = element("a", name === "" ? "Pool" : shownName), mark = element("span");
  link.href = "#" + id;
  entry.append(link, " ", mark);

  let latest = null, past = null, known_reloads = "";
  const showNow = () => CHARTS.forEach(([, shown, column, now], index) => {
    const values = past === null ? [] : past.samples[column];
    if (latest === null) return;
    const isBad = column === "listen_queue" && latest.listen_queue > 0;
    lines[index].show(now === null ? known(values[values.length - 1], shown) : now(latest), isBad ? "long" : "");
  });
  const fill = pool => {
    const [word, kind] = condition(pool);
    badge(state, word, kind);
    badge(mark, word, kind);
    const isLost = pool.error !== undefined;
    latest = isLost ? null : pool;
    body.hidden = isLost;
    put(error, isLost ? visibleLines(pool.error) : problems(pool));
    error.hidden = error.textContent === "";
    if (isLost) return;
    showNow();
    workers.fill(pool.workers);
    FACTS.forEach(([, value], index) => put(cells[index], value(pool)));
    const { done, failed } = pool.reload;
    put(totals, pool.reload.state === "running" ? `${count(done)} done, ${count(failed)} failed; one is running for ${age(pool.reload.age)}`
      : `${count(done)} done, ${count(failed)} failed`);
  };
  const remember = of => {
    past = of;
    const { samples, length, interval } = of;
    CHARTS.forEach(([, , column], index) => {
      const least = column === "busy" && latest !== null ? latest.ready : 0;
      lines[index].draw(samples.age, samples[column], length, interval, least);
    });
    showNow();
    const all = JSON.stringify(of.reloads.map(r => [r.time, r.result]));
    if (all === known_reloads) return;
    known_reloads = all;
    reloads.replaceChildren(...of.reloads.map(reload => {
      const item = element("li"), line = element("p"), time = element("time", clock(reload.time)), result = element("span");
      time.dateTime = new Date(reload.time * 1000).toISOString();
      badge(result, reload.result, reload.result === "failed" ? "bad" : "good");
      const parts = [isKnown(reload.duration) ? "took " + duration(reload.duration) : "",
        reload.unseen > 0 ? `${count(reload.unseen)} more before it` : ""];
      line.append(time, " ", result, " ", element("span", parts.filter(Boolean).join(", "), "soft"));
      item.append(line);
      if (reload.message) item.append(element("pre", visibleLines(reload.message)));
      return item;
    }));
  };
  return { name, made, entry, fill, remember };
};
