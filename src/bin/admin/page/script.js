"use strict";
(() => {
  const INTERVAL = 1000, LIMIT = 8000;
  const CLASSES = { idle: "good", busy: "busy", reading: "busy", finishing: "busy", starting: "wait",
    retiring: "wait", exiting: "wait", killed: "bad", unknown: "bad" };
  const connection = document.getElementById("connection");
  const pools = document.getElementById("pools");
  let last = null;

  // Everything is set as text, so nothing that a client or a worker wrote can become markup.
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const put = (node, text, kind) => {
    if (node.textContent !== text) node.textContent = text;
    if (kind !== undefined && node.className !== kind) node.className = kind;
  };
  const known = (value, shown) => value === null || value === undefined ? "–" : shown(value);
  const count = value => known(value, number => number.toLocaleString("en"));
  const age = value => known(value, seconds => {
    const whole = Math.floor(seconds);
    if (whole < 10) return seconds.toFixed(1) + " s";
    if (whole < 60) return whole + " s";
    if (whole < 3600) return Math.floor(whole / 60) + " min " + whole % 60 + " s";
    if (whole < 86400) return Math.floor(whole / 3600) + " h " + Math.floor(whole / 60) % 60 + " min";
    return Math.floor(whole / 86400) + " d " + Math.floor(whole / 3600) % 24 + " h";
  });
  const bytes = value => known(value, number => (number / 1048576).toFixed(1) + " MiB");

  const COLUMNS = [
    ["PID", "number", w => [String(w.pid)]],
    ["State", "", w => [w.state, CLASSES[w.state] || ""]],
    ["For", "number", w => [age(w.since)]],
    ["Method", "", w => [w.method || ""]],
    ["URI", "uri", w => [w.uri || ""]],
    ["Age of request", "number", w => [w.request_age === null ? "" : age(w.request_age)]],
    ["Requests", "number", w => [count(w.requests)]],
    ["Memory", "number", w => [bytes(w.memory)]],
    ["Age", "number", w => [age(w.age)]],
  ];
  const ended = p => p.draining ? "draining" : p.stopping ? "stopping" : "";
  const FACTS = [
    ["State", p => p.ready > 0 && !ended(p) ? ["ready", "good"] : [ended(p) || "no worker is ready", "bad"]],
    ["Workers ready, wanted", p => [`${p.ready}, ${p.wanted}`]],
    ["Busy, idle", p => [`${p.busy}, ${p.idle}`]],
    ["Listen queue", p => [count(p.listen_queue), p.listen_queue > 0 ? "bad" : ""]],
    ["Requests", p => [count(p.requests)]],
    ["Disconnected, overloaded", p => [`${count(p.disconnected)}, ${count(p.overloaded)}`]],
    ["Forks, exits, recycled", p => [`${count(p.forks)}, ${count(p.deaths)}, ${count(p.recycled)}`]],
    ["Reloads done, failed", p => [`${count(p.reload.done)}, ${count(p.reload.failed)}`]],
    ["Last reload", p => [p.reload.state === "none" ? "none" : `${p.reload.state}, ${age(p.reload.age)} ago`,
      p.reload.state === "failed" ? "bad" : ""]],
    ["Manager", p => [`PID ${p.manager}, ${p.pm || "static"}, up ${age(p.uptime)}`]],
    ["Version", p => [p.version]],
    ["Listens on", p => [p.listeners.map(l => l.address).join(", ")]],
    ["Replaced on disk", p => [p.files.filter(f => f.replaced).map(f => f.path).join(", ") || "no file"]],
  ];

  const section = name => {
    const made = element("section");
    const title = element("h2", name === "" ? "Pool" : "Pool " + name);
    title.id = "pool-" + pools.children.length;
    made.setAttribute("aria-labelledby", title.id);
    const error = element("p", "", "bad"), facts = element("dl"), message = element("pre");
    const cells = FACTS.map(([label]) => {
      const group = element("div"), value = element("dd");
      group.append(element("dt", label), value);
      facts.append(group);
      return value;
    });
    const table = element("table"), head = element("thead"), row = element("tr"), body = element("tbody");
    for (const [label, kind] of COLUMNS) {
      const cell = element("th", label, kind === "number" ? "number" : "");
      cell.scope = "col";
      row.append(cell);
    }
    head.append(row);
    table.append(element("caption", "Workers"), head, body);
    const scroll = element("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Workers" + (name === "" ? "" : " of " + name));
    scroll.append(table);
    made.append(title, error, facts, message, scroll);
    return { name, made, error, facts, cells, message, scroll, body };
  };

  let sections = [];
  const show = status => {
    const named = status.pools ? Object.entries(status.pools) : [["", status]];
    if (sections.map(s => s.name).join("\n") !== named.map(n => n[0]).join("\n")) {
      pools.replaceChildren();
      sections = named.map(([name]) => { const s = section(name); pools.append(s.made); return s; });
    }
    named.forEach(([, pool], index) => fill(sections[index], pool));
  };
  const fill = (part, pool) => {
    const lost = pool.error !== undefined;
    put(part.error, lost ? pool.error : "");
    for (const node of [part.facts, part.message, part.scroll]) node.hidden = lost;
    if (lost) return;
    FACTS.forEach(([, value], index) => {
      const [text, kind] = value(pool);
      put(part.cells[index], text, kind || "");
    });
    part.message.hidden = !pool.reload.message;
    put(part.message, pool.reload.message);
    const rows = part.body;
    while (rows.rows.length > pool.workers.length) rows.deleteRow(-1);
    while (rows.rows.length < pool.workers.length) {
      const row = rows.insertRow();
      for (let i = 0; i < COLUMNS.length; i++) row.insertCell();
    }
    pool.workers.forEach((worker, number) => COLUMNS.forEach(([, column, value], index) => {
      const [text, kind] = value(worker);
      put(rows.rows[number].cells[index], text, [column, kind].filter(Boolean).join(" "));
    }));
  };

  const lose = reason => {
    const since = last === null ? "" : "; the data is from " + last.toLocaleTimeString();
    put(connection, "connection lost: " + reason + since, "lost");
    pools.classList.add("stale");
  };
  const poll = async () => {
    try {
      const response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(LIMIT) });
      const status = await response.json();
      if (!response.ok) {
        lose(status.error || "status " + response.status);
      } else {
        show(status);
        last = new Date();
        put(connection, "connected", "");
        pools.classList.remove("stale");
      }
    } catch (error) {
      lose(error.message);
    }
    setTimeout(poll, INTERVAL);
  };
  poll();
})();
