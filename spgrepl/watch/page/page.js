"use strict";

// The page draws what /events pushes; it keeps nothing but the lag of the last ten minutes, and the last positions,
// from which it makes rates. All text goes in as text, never as HTML.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SPAN = 600;
  const SERIES = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"];
  const MOST_DRAWN = 8;
  const GOOD = new Set(["streaming", "serving"]);
  const BUSY = new Set(["connecting", "starting", "bootstrapping", "copying", "hello", "catalogue", "snapshot", "delayed"]);
  const history = new Map();
  const rates = new Map();
  const views = new Map();
  const byId = (id) => document.getElementById(id);
  let announced = null;

  // -- small things ---------------------------------------------------------------------------------------------

  function make(name, attributes = {}, text = null, parent = null) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  function draw(parent, name, attributes = {}, text = null) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    parent.append(element);
    return element;
  }

  // Text that is too long for its place loses its middle: how long it is depends on the fonts that are there.
  function fit(element, room) {
    const text = element.textContent;
    for (let most = Math.min(text.length, 100) - 1; most > 3 && element.getComputedTextLength() > room; most -= 1) {
      element.textContent = shorten(text, most);
    }
  }

  const tone = (state) => (GOOD.has(state) ? "good" : BUSY.has(state) ? "warn" : "bad");

  const number = (value) => (value === null || value === undefined ? "unknown" : value.toLocaleString("en-US"));

  function bytes(value) {
    if (value === null || value === undefined) return "unknown";
    if (value < 10000) return `${number(Math.round(value))} B`;
    const units = ["kB", "MB", "GB", "TB"];
    let size = value / 1000, unit = 0;
    while (size >= 1000 && unit < units.length - 1) { size /= 1000; unit += 1; }
    return `${size.toFixed(size < 100 ? 1 : 0)} ${units[unit]}`;
  }

  function seconds(value) {
    if (value === null || value === undefined) return "unknown";
    if (value < 0.005) return "0 s";
    if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
    if (value < 120) return `${Math.round(value)} s`;
    if (value < 7200) return `${Math.round(value / 60)} min`;
    return `${(value / 3600).toFixed(1)} h`;
  }

  function shorten(text, most) {
    return text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(text.length - Math.floor(most / 2))}`;
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // A value, and what it is in /status: tests and scripts read the latter.
  function setValue(element, field, value, text) {
    element.dataset.field = field;
    element.dataset.value = JSON.stringify(value === undefined ? null : value);
    setText(element, text);
  }

  // -- what is remembered ---------------------------------------------------------------------------------------

  function remember(samples) {
    for (const name of Object.keys(samples)) {
      if (!history.has(name)) history.set(name, new Array(SPAN).fill(null));
    }
    for (const [name, values] of history) {
      values.push(name in samples ? samples[name] : null);
      values.splice(0, values.length - SPAN);
      if (values.every((value) => value === null)) history.delete(name);
    }
  }

  // Bytes a second, smoothed over some seconds; a position that goes back begins again.
  function rate(key, position, now) {
    if (position === null || position === undefined) { rates.delete(key); return null; }
    const before = rates.get(key);
    if (!before || position < before.position || now <= before.now) {
      if (!before || position < before.position) rates.set(key, { position, now, rate: null });
      return rates.get(key).rate;
    }
    const fresh = (position - before.position) / (now - before.now);
    const value = before.rate === null ? fresh : before.rate + (fresh - before.rate) * 0.4;
    rates.set(key, { position, now, rate: value < 0.5 ? 0 : value });
    return rates.get(key).rate;
  }

  // -- the drawing ----------------------------------------------------------------------------------------------

  function node(svg, x, y, width, name, note, state, self) {
    const group = draw(svg, "g");
    draw(group, "rect", { x, y, width, height: 44, rx: 8, class: self ? "node self" : "node", "data-tone": self ? "" : tone(state) });
    fit(draw(group, "text", { x: x + 10, y: y + 18, class: "name" }, name), width - 18);
    fit(draw(group, "text", { x: x + 10, y: y + 34, class: "note", "data-tone": tone(state) }, note), width - 18);
    draw(group, "title", {}, `${name}: ${note}`);
  }

  function wire(svg, x1, y1, x2, y2, state) {
    const middle = (x1 + x2) / 2;
    draw(svg, "path", { class: "wire", "data-tone": tone(state), d: `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2 - 8},${y2}` });
    draw(svg, "path", { class: "tip", "data-tone": tone(state), d: `M${x2},${y2} l-9,-5 v10 z` });
  }

  function wireDown(svg, x1, y1, x2, y2, state) {
    const level = x1 === x2;
    draw(svg, "path", { class: "wire", "data-tone": tone(state), d: level ? `M${x1},${y1} V${y2 - 8}` : `M${x1},${y1} V${y2} H${x2 - 8}` });
    draw(svg, "path", { class: "tip", "data-tone": tone(state), d: level ? `M${x2},${y2} l-5,-9 h10 z` : `M${x2},${y2} l-9,-5 v10 z` });
  }

  const upstreamOf = (role) => (role.role === "master" ? null : (role.upstream && role.upstream.address) || "its master");

  // Side by side where there is room, else one below the other; letters keep their size.
  function drawStreams(svg, role) {
    svg.replaceChildren();
    const peers = role.peers || [];
    const order = { bad: 0, warn: 1, good: 2 };
    const shown = [...peers].sort((a, b) => order[tone(a.state)] - order[tone(b.state)]).slice(0, MOST_DRAWN);
    const more = peers.length - shown.length;
    const upstream = upstreamOf(role);
    const width = Math.max(280, svg.clientWidth || 540);
    const narrow = width < 460;
    const rows = shown.length + (more > 0 ? 1 : 0);
    const columns = [upstream !== null, true, peers.length > 0].filter(Boolean).length;
    const gap = narrow ? 34 : 56;
    const box = narrow ? width - gap - 8 : columns === 1 ? 220 : (width - gap * (columns - 1) - 8) / columns;
    const above = narrow && upstream !== null ? 54 + 22 : 0;
    const height = narrow ? above + 52 + rows * 54 : Math.max(96, Math.max(1, rows) * 54 + 6);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    const said = [];
    const self = narrow ? { x: 4, y: above + 4 } : { x: 4 + (upstream === null ? 0 : box + gap), y: height / 2 - 22 };
    if (upstream !== null) {
      node(svg, 4, narrow ? 4 : self.y, box, upstream, "upstream", role.state, false);
      if (narrow) wireDown(svg, 22, 48, 22, self.y, role.state);
      else wire(svg, 4 + box, self.y + 22, self.x, self.y + 22, role.state);
      said.push(`${upstream} streams to ${role.name}, ${role.state}`);
    }
    node(svg, self.x, self.y, box, role.name || role.role, `${role.role}, ${role.state}`, role.state, true);
    const first = narrow ? above + 58 : (height - rows * 54 + 10) / 2;
    const x = narrow ? self.x + gap : self.x + box + gap;
    shown.forEach((peer, index) => {
      const name = peer.name || peer.address;
      const y = first + index * 54;
      if (narrow) wireDown(svg, 22, self.y + 44, x, y + 22, peer.state);
      else wire(svg, self.x + box, self.y + 22, x, y + 22, peer.state);
      node(svg, x, y, box, name, peer.lag_bytes ? `${peer.state}, ${bytes(peer.lag_bytes)} to go` : peer.state, peer.state, false);
      said.push(`${role.name} streams to ${name}, ${peer.state}`);
    });
    if (more > 0) {
      draw(svg, "text", { x: x + 10, y: first + shown.length * 54 + 20, class: "note" }, `and ${more} more, in the table below`);
      said.push(`and ${more} more`);
    }
    svg.setAttribute("aria-label", said.length ? said.join("; ") : `${role.name || role.role}: nobody is connected`);
  }

  // -- curves ---------------------------------------------------------------------------------------------------

  function path(values, top, width, height) {
    let d = "", down = false;
    values.forEach((value, index) => {
      if (value === null) { down = false; return; }
      const x = (index / (SPAN - 1)) * width, y = height - 2 - (value / top) * (height - 6);
      d += `${down ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`;
      if (!down && (index === SPAN - 1 || values[index + 1] === null)) d += "h1";
      down = true;
    });
    return d;
  }

  const highest = (values) => values.reduce((most, value) => (value !== null && value > most ? value : most), 0);

  function roundUp(value) {
    if (value <= 0) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
  }

  function drawChart(view, role, key) {
    const own = role.role !== "master";
    const names = own ? [`${key}:seconds`] : [...history.keys()].filter((name) => name.startsWith(`${key}:peer:`));
    const series = names
      .map((name) => ({ label: own ? role.name : name.slice(`${key}:peer:`.length), values: history.get(name) || [] }))
      .filter((one) => one.values.some((value) => value !== null))
      .sort((a, b) => highest(b.values) - highest(a.values))
      .slice(0, SERIES.length);
    const format = own ? seconds : bytes;
    const top = roundUp(series.reduce((most, one) => Math.max(most, highest(one.values)), own ? 1 : 1000));
    const svg = view.chart;
    svg.replaceChildren();
    for (const part of [0.25, 0.5, 0.75]) {
      draw(svg, "line", { class: "grid", x1: 0, x2: 600, y1: 158 - part * 154, y2: 158 - part * 154 });
      draw(svg, "line", { class: "grid", y1: 0, y2: 160, x1: part * 600, x2: part * 600 });
    }
    series.forEach((one, place) => {
      draw(svg, "path", { class: "curve", d: path(one.values, top, 600, 160) }).style.stroke = `var(${SERIES[place]})`;
    });
    setText(view.chartTitle, own ? "Lag in seconds, last ten minutes" : "Bytes waiting for peers, last ten minutes");
    setText(view.axisTop, `scale: 0 to ${format(top)}`);
    svg.setAttribute("aria-label", series.length
      ? series.map((one) => `${one.label}: now ${format(one.values[SPAN - 1])}, at most ${format(highest(one.values))}`).join("; ")
      : "nothing is known yet");
    view.legend.replaceChildren();
    series.forEach((one, place) => {
      const entry = make("span", {}, null, view.legend);
      make("i", {}, null, entry).style.background = `var(${SERIES[place]})`;
      entry.append(`${one.label}: now ${format(one.values[SPAN - 1])}, most ${format(highest(one.values))}`);
    });
    if (!series.length) setText(view.legend, "Nothing is known yet.");
  }

  function spark(svg, values) {
    svg.replaceChildren();
    const known = values || [];
    const top = Math.max(highest(known), 1e-9);
    svg.setAttribute("aria-hidden", "true");
    draw(svg, "path", { class: "curve", d: path(known, top, 140, 24) }).style.stroke = "var(--s1)";
  }

  // -- a role ---------------------------------------------------------------------------------------------------

  const keyOf = (role) => `${role.role} ${role.name || ""}`;
  let made = 0;

  function newView() {
    const index = made++;
    const root = byId("role-template").content.firstElementChild.cloneNode(true);
    const find = (selector) => root.querySelector(selector);
    const title = find(".title");
    title.id = `role-${index}`;
    root.setAttribute("aria-labelledby", title.id);
    const axis = make("p", { class: "axis", "aria-hidden": "true" });
    find(".chart svg").after(axis);
    make("span", {}, "10 min ago", axis);
    const axisTop = make("span", {}, "", axis);
    make("span", {}, "now", axis);
    const view = {
      index, root, title, state: find(".state"), facts: find(".facts"), streams: find(".streams svg"), chart: find(".chart svg"),
      chartTitle: find(".chart-title"), legend: find(".legend"), axisTop, progress: find(".progress"), bars: find(".bars"),
      peers: find(".peers tbody"), peersScroll: find(".scroll"), peersNone: find(".peers-none"), errors: find(".errors tbody"),
      errorsScroll: find(".errors-scroll"), errorsNone: find(".errors-none"), rows: new Map(), terms: new Map(), bar: new Map(), role: null,
    };
    // A phone that is turned, a scroll bar that comes: the drawing fits at once, not with the next event.
    let drawn = view.streams.clientWidth;
    new ResizeObserver(() => {
      if (view.role === null || view.streams.clientWidth === drawn) return;
      drawn = view.streams.clientWidth;
      drawStreams(view.streams, view.role);
    }).observe(view.streams);
    return view;
  }

  function fact(view, term, field, value, text) {
    let found = view.terms.get(term);
    if (!found) {
      const group = make("div", {}, null, view.facts);
      make("dt", {}, term, group);
      found = make("dd", {}, null, group);
      view.terms.set(term, found);
    }
    setValue(found, field, value, text);
  }

  function showFacts(view, role, now, key) {
    const positions = role.positions;
    const own = role.role !== "master";
    if (own) {
      const lag = role.lag;
      fact(view, "Lag in time", "lag.seconds", lag.seconds, seconds(lag.seconds));
      fact(view, "Lag in bytes", "lag.bytes", lag.bytes, bytes(lag.bytes));
    }
    fact(view, own ? "Master’s log" : "Log", "positions.source", positions.source, number(positions.source));
    if (own) {
      fact(view, "Received", "positions.received", positions.received, number(positions.received));
      fact(view, "Durable", "positions.durable", positions.durable, number(positions.durable));
    }
    fact(view, "Applied", "positions.applied", positions.applied, number(positions.applied));
    const speed = rate(key, positions.applied, now);
    fact(view, "Rate", "rate", speed, speed === null ? "unknown" : `${bytes(speed)}/s`);
    if (own) {
      fact(view, "Last contact", "heard_seconds", role.heard_seconds, role.heard_seconds === null ? "never" : `${seconds(role.heard_seconds)} ago`);
      fact(view, "Statements", "statements", role.statements, number(role.statements));
      fact(view, "Reconnects", "reconnects", role.reconnects, number(role.reconnects));
    }
    if (role.connections !== undefined) fact(view, "Connections", "connections", role.connections, number(role.connections));
    if (role.open_transactions) {
      fact(view, "Open transactions", "open_transactions", role.open_transactions, `${role.open_transactions.count}, for ${seconds(role.open_transactions.seconds)}`);
    } else if (view.terms.has("Open transactions")) {
      fact(view, "Open transactions", "open_transactions", null, "none");
    }
  }

  function showBar(view, seen, key, label, done, all, note) {
    seen.add(key);
    let found = view.bar.get(key);
    if (!found) {
      const item = make("li", {}, null, view.bars);
      const id = `bar-${view.index}-${view.bars.childElementCount}-${made++}`;
      found = { item, label: make("label", { for: id }, null, item), bar: make("progress", { id }, null, item) };
      view.bar.set(key, found);
    }
    // Where nothing is known of the end, the bar says that something is done, and not how much.
    const share = done === null ? "" : `${Math.floor((all > 0 ? done / all : 0) * 100)} %`;
    const text = [share, note].filter(Boolean).join(", ");
    found.bar.max = all || 1;
    if (done === null) found.bar.removeAttribute("value"); else found.bar.value = done;
    found.bar.textContent = share;
    found.bar.setAttribute("aria-valuetext", text);
    setText(found.label, `${label}: ${text}`);
  }

  const STEPS = {
    digest: "Comparing its digest", check: "Checking it", convert: "Making a SQLite database of it", copy: "Copying rows",
    index: "Making indexes", replace: "Replacing the copy before", commit: "Committing it",
  };

  function showPlacing(view, seen, placing) {
    const parts = [];
    if (placing.table !== null) parts.push(`table ${placing.table}`);
    if (placing.rows !== null) parts.push(placing.rows_total === null ? `${number(placing.rows)} rows` : `${number(placing.rows)} of ${number(placing.rows_total)} rows`);
    if (placing.bytes !== null) parts.push(placing.bytes_total === null ? bytes(placing.bytes) : `${bytes(placing.bytes)} of ${bytes(placing.bytes_total)}`);
    if (placing.bytes_per_second) parts.push(`${bytes(placing.bytes_per_second)}/s`);
    parts.push(placing.seconds_left === null ? `for ${seconds(placing.seconds)}` : `${seconds(placing.seconds_left)} left`);
    showBar(view, seen, "placing", STEPS[placing.step] || placing.step, placing.share, 1, parts.join(", "));
  }

  function showProgress(view, role) {
    const seen = new Set();
    const coming = role.bootstrap || role.copy;
    if (coming) {
      showBar(view, seen, "snapshot", "Snapshot", coming.received, coming.length, `${bytes(coming.received)} of ${bytes(coming.length)}`);
      if (coming.placing) showPlacing(view, seen, coming.placing);
    }
    const current = role.segments && role.segments.current;
    if (current) showBar(view, seen, "segment", `Cold segment ${current.id}`, current.chunks, current.of, `${bytes(current.bytes)} at ${bytes(current.rate)}/s`);
    for (const peer of role.peers || []) {
      const sent = peer.segments;
      if (sent && sent.of > sent.sent) showBar(view, seen, `peer ${peer.address}`, `Cold segments to ${peer.name || peer.address}`, sent.sent, sent.of, `${sent.sent} of ${sent.of}, ${bytes(sent.rate)}/s`);
    }
    for (const [key, found] of view.bar) {
      if (!seen.has(key)) { found.item.remove(); view.bar.delete(key); }
    }
    view.progress.hidden = seen.size === 0;
  }

  const LABELS = ["Peer", "Direction", "State", "Position", "Lag", "Rate", "Ten minutes"];

  function newRow(view) {
    const row = make("tr", {}, null, view.peers);
    const cells = LABELS.map((label, place) => make("td", { "data-label": label, class: place >= 3 && place <= 5 ? "number" : place === 6 ? "wide" : "" }, null, row));
    const value = cells.map((cell, place) => (place === 2 ? make("span", { class: "badge" }, null, cell) : place === 6 ? null : make("span", {}, null, cell)));
    const curve = draw(cells[6], "svg", { viewBox: "0 0 140 24", preserveAspectRatio: "none" });
    return { row, value, curve };
  }

  function showRow(view, seen, key, values) {
    seen.add(key);
    let row = view.rows.get(key);
    if (!row) { row = newRow(view); view.rows.set(key, row); }
    const [name, direction, state, position, lag, speed, curve, peer] = values;
    row.row.dataset.peer = peer;
    setValue(row.value[0], "peer", peer, name);
    setText(row.value[1], direction);
    setValue(row.value[2], "state", state, state);
    row.value[2].dataset.tone = tone(state);
    setValue(row.value[3], "position", position, number(position));
    setValue(row.value[4], "lag", lag[0], lag[1]);
    setText(row.value[5], speed === null ? "unknown" : `${bytes(speed)}/s`);
    spark(row.curve, history.get(curve));
  }

  function showPeers(view, role, now, own) {
    const seen = new Set();
    const upstream = upstreamOf(role);
    if (upstream !== null) {
      const lag = role.lag;
      const text = lag.bytes === null ? "unknown" : `${bytes(lag.bytes)}, ${seconds(lag.seconds)}`;
      showRow(view, seen, "upstream", [upstream, "incoming", role.state, role.positions.received, [lag.bytes, text], rate(`${own}:up`, role.positions.received, now), `${own}:seconds`, upstream]);
    }
    for (const peer of role.peers || []) {
      const label = peer.name || peer.address;
      const name = peer.name ? `${peer.name} (${peer.address})` : peer.address;
      const state = peer.stalled_seconds > 3 ? "stalled" : peer.state;
      const key = peer.name && peer.state === "away" ? peer.name : peer.address;
      const away = peer.state === "away" ? (peer.away_seconds === null ? "never seen" : `away for ${seconds(peer.away_seconds)}`) : bytes(peer.lag_bytes);
      const what = peer.publications ? `outgoing: ${peer.publications.join(", ") || "all tables"}` : "outgoing";
      showRow(view, seen, `peer ${key}`, [name, what, state, peer.position, [peer.lag_bytes, away], rate(`${own}:${key}`, peer.position, now), `${own}:peer:${label}`, label]);
    }
    for (const [key, row] of view.rows) {
      if (!seen.has(key)) { row.row.remove(); view.rows.delete(key); rates.delete(`${own}:${key}`); }
    }
    view.peersScroll.hidden = seen.size === 0;
    view.peersNone.hidden = seen.size !== 0;
  }

  function showErrors(view, role) {
    const last = (role.errors && role.errors.last) || [];
    const mark = JSON.stringify(last);
    view.errorsScroll.hidden = last.length === 0;
    view.errorsNone.hidden = last.length !== 0;
    if (view.errorsMark === mark) return;
    view.errorsMark = mark;
    view.errors.replaceChildren();
    for (const error of last) {
      const row = make("tr", { "data-kind": error.kind }, null, view.errors);
      const when = new Date(error.last * 1000);
      const cell = (label, text, kind = "") => make("td", { "data-label": label, class: kind }, text, row);
      make("time", { datetime: when.toISOString() }, when.toLocaleString("sv-SE"), cell("When", null));
      cell("Kind", error.kind.replaceAll("_", " "), "kind");
      cell("Times", number(error.times), "number");
      cell("Table", error.table || "–");
      cell("Key", error.key || "–", "key");
      cell("Record", error.record || "–", "record");
      cell("What", error.text);
    }
  }

  // -- all of it ------------------------------------------------------------------------------------------------

  function showProblems(roles) {
    const found = roles.flatMap((role) => (role.problems || []).map((problem) => ({ ...problem, role })));
    const list = byId("problems-list");
    list.replaceChildren();
    for (const problem of found) {
      const item = make("li", { "data-kind": problem.kind }, null, list);
      make("b", {}, problem.kind.replaceAll("_", " "), item);
      item.append(`${problem.role.name || problem.role.role}: ${problem.reason}`);
    }
    const none = byId("problems-none");
    none.hidden = found.length > 0;
    setText(none, "None.");
    document.title = `${found.length ? `(${found.length}) ` : ""}${roles.map((role) => `${role.name || role.role} ${role.state}`).join(", ")} – spgrepl`;
    // Read out when what is wrong changes, not each second while its numbers grow.
    const said = found.map((problem) => problem.kind.replaceAll("_", " ")).join(", ");
    if (said !== announced) {
      if (announced !== null || said) setText(byId("announcer"), said ? `Problems: ${said}` : "No problems any more");
      announced = said;
    }
  }

  function show(content) {
    remember(content.samples);
    showProblems(content.roles);
    const here = new Set(content.roles.map(keyOf));
    for (const [key, view] of views) {
      if (!here.has(key)) { view.root.remove(); views.delete(key); }
    }
    const roots = byId("roles").children;
    content.roles.forEach((role, place) => {
      const key = keyOf(role);
      if (!views.has(key)) views.set(key, newView());
      const view = views.get(key);
      // In the order of the process; what is in its place stays untouched, with the focus in it.
      if (roots[place] !== view.root) byId("roles").insertBefore(view.root, roots[place] || null);
      setText(view.title, key.trim());
      setValue(view.state, "state", role.state, role.state);
      view.state.dataset.tone = tone(role.state);
      showFacts(view, role, content.now, key);
      view.role = role;
      drawStreams(view.streams, role);
      drawChart(view, role, key);
      showProgress(view, role);
      showPeers(view, role, content.now, key);
      showErrors(view, role);
    });
    document.body.dataset.shown = String(content.now);
  }

  function connection(state, text) {
    const line = byId("connection");
    line.dataset.state = state;
    setText(line, text);
    document.body.classList.toggle("stale", state === "lost");
  }

  async function past() {
    const answer = await fetch("history", { cache: "no-store" });
    const content = await answer.json();
    history.clear();
    for (const [name, values] of Object.entries(content.series)) history.set(name, values.slice(-SPAN));
  }

  function follow() {
    const events = new EventSource("events");
    events.onopen = () => {
      const lost = byId("connection").dataset.state === "lost";
      connection("live", "live");
      if (lost) past().catch(() => connection("lost", "connection lost, trying again: what is shown is old"));
    };
    events.onmessage = (event) => show(JSON.parse(event.data));
    events.onerror = () => {
      connection("lost", "connection lost, trying again: what is shown is old");
      if (events.readyState === EventSource.CLOSED) setTimeout(begin, 3000);
    };
  }

  function begin() {
    past().then(follow, () => {
      connection("lost", "no answer, trying again");
      setTimeout(begin, 3000);
    });
  }

  const THEMES = ["system", "light", "dark"];

  function theme(chosen) {
    document.documentElement.dataset.theme = chosen;
    setText(byId("theme"), `Theme: ${chosen}`);
    try { localStorage.setItem("theme", chosen); } catch { /* a browser that stores nothing */ }
  }

  let stored = "system";
  try { stored = localStorage.getItem("theme") || "system"; } catch { /* as above */ }
  theme(THEMES.includes(stored) ? stored : "system");
  byId("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]));
  begin();
})();
