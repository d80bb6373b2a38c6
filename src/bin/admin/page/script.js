// Reads once a second, and shows whether that works.

const INTERVAL = 1000, LIMIT = 8000, SILENCE = 3000;
const connection = document.getElementById("connection"), updated = document.getElementById("updated");
const pools = document.getElementById("pools"), index = document.getElementById("index"), news = document.getElementById("news");
let sections = [], conditions = new Map(), last = null, readAt = 0, ends = "", timer = 0;

const idOf = name => /^[\w.-]*$/.test(name) ? name : "-" + Array.from(name, letter => letter.codePointAt(0)).join("-");
const byName = answer => answer.pools ? Object.entries(answer.pools) : [["", answer]];

const show = answer => {
  const named = byName(answer);
  if (JSON.stringify(sections.map(s => s.name)) !== JSON.stringify(named.map(n => n[0]))) {
    // A pool that remains keeps its section, with what is selected in it.
    const before = new Map(sections.map(s => [s.name, s]));
    sections = named.map(([name]) => before.get(name) || section(name, idOf(name)));
    pools.replaceChildren(...sections.map(s => s.made));
    index.firstElementChild.replaceChildren(...sections.map(s => s.entry));
    index.hidden = sections.length < 2;
    readAt = 0;
  }
  named.forEach(([, pool], number) => sections[number].fill(pool));
  announce(named);
};

// Read aloud: only what changes rarely and matters.
const announce = named => {
  const changes = [], now = new Map();
  for (const [name, pool] of named) {
    const failed = pool.reload && pool.reload.state === "failed" ? ", its last reload failed" : "";
    const text = condition(pool)[0] + failed;
    now.set(name, text);
    if (conditions.has(name) && conditions.get(name) !== text) changes.push(`${name === "" ? "Pool" : "Pool " + visible(name)}: ${text}`);
  }
  conditions = now;
  if (changes.length > 0) put(news, changes.join("; "));
  const isBad = named.some(([, pool]) => condition(pool)[1] === "bad");
  const busy = named.reduce((sum, [, pool]) => sum + (pool.busy || 0), 0);
  const title = `${isBad ? "▲ " : ""}${count(busy)} busy · fcgipm`;
  if (document.title !== title) document.title = title;
};

const get = async path => {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(LIMIT) });
  return [response, await response.json()];
};
const remember = answer => {
  const past = new Map(byName(answer));
  for (const one of sections) if (past.has(one.name)) one.remember(past.get(one.name));
};
const lose = (word, reason) => {
  badge(connection, word, "bad");
  put(updated, visible(reason) + (last === null ? "" : `; what is shown is of ${last.toLocaleTimeString()}`));
  document.body.classList.add("stale");
  if (!document.title.startsWith("▲")) document.title = "▲ " + document.title;
};
const poll = async () => {
  clearTimeout(timer);
  const silence = setTimeout(() => lose("connection lost", `no answer for ${SILENCE / 1000} s`), SILENCE);
  try {
    const [response, answer] = await get("status.json");
    if (!response.ok) {
      lose("no data", answer.error || "status " + response.status);
    } else {
      show(answer);
      // The history has a new sample every few seconds, and the end of a reload immediately.
      const reloads = JSON.stringify(byName(answer).map(([, pool]) => pool.reload && [pool.reload.done, pool.reload.failed]));
      if (Date.now() - readAt >= 5 * INTERVAL || reloads !== ends) {
        const [found, past] = await get("history.json");
        if (found.ok) {
          remember(past);
          [readAt, ends] = [Date.now(), reloads];
        }
      }
      last = new Date();
      badge(connection, "live", "good");
      put(updated, "updated " + last.toLocaleTimeString());
      document.body.classList.remove("stale");
    }
  } catch (error) {
    lose("connection lost", error.message);
  }
  clearTimeout(silence);
  timer = setTimeout(poll, INTERVAL);
};
poll();
