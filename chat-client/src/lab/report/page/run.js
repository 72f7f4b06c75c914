// The report of a run: fills page and table, and connects the drawings with one another.

const strategies = data.strategies.map(readStrategy);
const isShown = new Map(strategies.map((strategy) => [strategy, true]));
const shown = () => strategies.filter((strategy) => isShown.get(strategy));

/** The curves, and how each is read from a strategy. */
const CURVES = [
  { id: "curve-round-trip", key: "roundTrip", scale: logScale, format: span },
  { id: "curve-timeout", key: "timeout", scale: logScale, format: span },
  { id: "curve-window", key: "window", scale: logScale, format: (value) => count(Math.round(value)) },
  { id: "curve-in-flight", key: "inFlight", scale: linearScale, format: (value) => trimmed(value, 1) },
];

function fillAbout() {
  document.title = `${data.title} – laboratory report`;
  byId("title").textContent = data.title;
  byId("version").textContent = `chat-client ${data.version}`;
  byId("explain").replaceChildren(...data.explain.map((words) => make("p", { dir: "auto" }, words)));
  byId("path").replaceChildren(...data.path.map((words) => make("li", {}, words)));
  byId("seed").textContent = data.seed;
  byId("again").textContent = data.again;
  byId("command").textContent = data.command;
  byId("copy").addEventListener("click", () => copyText(byId("command"), byId("copy")));
  byId("source").textContent = data.source ?? "";
  byId("source-section").hidden = data.source === null;
}

function nameCell(strategy) {
  return make("th", { scope: "row" }, swatch(`line slot${strategy.slot}`), " ", make("bdi", {}, strategy.name));
}

function fillTable() {
  const rows = strategies.map((strategy) => {
    const { measures, expectations } = strategy;
    const met = expectations.filter((it) => it.instead === null).length;
    const cells = [
      `${trimmed((100 * measures.delivered) / measures.messages, 1)}${THIN}%`,
      ...[measures.mean, measures.p50, measures.p99, measures.max].map(milliseconds),
      (measures.overhead / 1_000).toFixed(2),
      ((measures.goodput * 8) / 1_000_000).toFixed(3),
      count(measures.packets),
      ...measures.again.map(count),
      count(measures.timeouts),
    ];
    const verdict = expectations.length === 0 ? "–"
      : `${met === expectations.length ? "✓" : "✗"} ${met} of ${expectations.length}`;
    const verdictClass = met === expectations.length ? "met" : "unmet";
    return make("tr", {}, nameCell(strategy), ...cells.map((cell) => make("td", {}, cell)),
      make("td", { class: verdictClass }, verdict));
  });
  byId("figures").replaceChildren(...rows);
}

function fillExpectations() {
  const items = strategies.flatMap((strategy) => strategy.expectations.map((one) => {
    const isMet = one.instead === null;
    const words = isMet ? "✓ met" : `✗ not met: it is ${one.instead}`;
    return make("li", {}, make("bdi", {}, strategy.name), ": ", make("code", {}, make("bdi", {}, one.expected)), " ",
      make("span", { class: isMet ? "met" : "unmet" }, words));
  }));
  byId("expectations").replaceChildren(...items);
  byId("expectations-section").hidden = items.length === 0;
}

function startLadder() {
  const details = byId("details");
  const picker = byId("strategy");
  picker.replaceChildren(...strategies.map((it, index) => make("option", { value: index }, it.name)));
  const ladder = new Ladder(byId("ladder"), {
    onView: () => { minimap.surface.redraw(); refreshCurves?.(); },
    onSelect: (packet) => {
      byId("details-hint").hidden = packet !== null;
      details.hidden = packet === null;
      if (packet) describePacket(details, packet, ladder.strategy, (one) => ladder.select(one));
    },
  });
  const minimap = new Minimap(byId("minimap"), ladder);
  let refreshCurves = null;

  const show = () => {
    const strategy = strategies[picker.value];
    ladder.show(strategy);
    minimap.renew();
    byId("left-out").textContent = leftOut(strategy);
    byId("numbers").textContent = strategy.numbers;
  };
  picker.addEventListener("change", show);
  byId("acks").addEventListener("change", (event) => ladder.setHasAcks(event.target.checked));
  const on = (id, act) => byId(id).addEventListener("click", act);
  on("zoom-in", () => ladder.zoom(0.6));
  on("zoom-out", () => ladder.zoom(1 / 0.6));
  on("whole", () => ladder.lookAtAll());
  on("beginning", () => ladder.lookAtBeginning());
  const wanted = () => ({ again: isRetransmission, lost: isLost, any: () => true })[byId("jump").value];
  on("previous", () => ladder.jump(-1, wanted()));
  on("next", () => ladder.jump(1, wanted()));
  // Scenarios name the simplest strategy first, and the one that is ours last.
  picker.value = strategies.length - 1;
  show();
  return { ladder, onChange: (refresh) => { refreshCurves = refresh; } };
}

function leftOut(strategy) {
  const parts = [
    [strategy.packets.length, strategy.packetsTotal, "packet"],
    [strategy.messages.length, strategy.measures.messages, "message"],
    [strategy.timers.length, strategy.measures.timeouts, "timer"],
  ].filter(([kept, all]) => kept < all);
  if (parts.length === 0) return `All ${plural(strategy.packetsTotal, "packet")} are here.`;
  const words = parts.map(([kept, all, name]) => `${count(kept)} of ${plural(all, name)}`);
  return `Here are the first ${words.join(", ")}. Table, curves and latencies are of all.`;
}

function startCurves({ ladder, onChange }) {
  const follow = byId("follow");
  const charts = CURVES.map(({ id, key, scale, format }) => {
    const chart = new Chart(byId(id), {
      x: { scale: linearScale, format: span, label: "time since the beginning" },
      y: { scale, format, label: "" },
      readout: byId(`${id}-says`),
      hint: "",
    });
    return { chart, key };
  });
  const refresh = () => {
    const range = follow.checked ? ladder.view.map((time) => Math.max(0, time))
      : [0, shown().reduce((last, it) => Math.max(last, it.lasted), 1)];
    for (const { chart, key } of charts) {
      const series = shown().map((it) => ({ ...looks(it), points: it.curves[key], isSteps: true }));
      chart.set(series, range);
    }
  };
  follow.addEventListener("change", refresh);
  onChange(() => { if (follow.checked) refresh(); });
  refresh();
  return refresh;
}

const looks = ({ name, slot }) => ({ name, slot, isStrong: slot === 5 });

/** Percentiles, each nine as wide as the one before: tails are what differs. */
const NINES = [[0, "0"], [0.5, "50"], [0.9, "90"], [0.99, "99"], [0.999, "99.9"], [0.9999, "99.99"], [0.99999, "99.999"]];
const ninesScale = {
  place: (nines, from, to) => (nines - from) / (to - from || 1),
  value: (place, from, to) => from + place * (to - from),
  ticks: (from, to) => NINES.map(([share]) => -Math.log10(1 - share)).filter((it) => it <= to + 1e-9),
};

function percentile(nines) {
  const known = NINES.find(([share]) => Math.abs(-Math.log10(1 - share) - nines) < 1e-6);
  const percent = known ? known[1] : trimmed(100 * (1 - 10 ** -nines), Math.ceil(nines) + 1);
  return `${percent}${THIN}%`;
}

function startLatencies() {
  const chart = new Chart(byId("latency"), {
    x: { scale: ninesScale, format: percentile, label: "share of all messages" },
    y: { scale: logScale, format: span, label: "" },
    readout: byId("latency-says"),
    hint: "",
    hasNames: true,
  });
  const refresh = () => chart.set(shown().map((strategy) => {
    const { messages, delivered } = strategy.measures;
    // Nobody was slower than the slowest: it stands half a message before the end.
    const points = strategy.latencies.map(([slower, time]) =>
      [-Math.log10(Math.max(slower + messages - delivered, 0.5) / messages), time]);
    const missing = messages - delivered;
    const name = missing === 0 ? strategy.name : `${strategy.name} (${count(missing)} never)`;
    return { ...looks(strategy), name, points };
  }));
  refresh();
  return refresh;
}

function startLegend(refreshes) {
  const boxes = strategies.map((strategy) => {
    const box = make("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => {
      isShown.set(strategy, box.checked);
      for (const refresh of refreshes) refresh();
    });
    return make("label", {}, box, " ", swatch(`line slot${strategy.slot}`), " ", make("bdi", {}, strategy.name));
  });
  byId("legend").replaceChildren(...boxes);
}

function fillKey() {
  const items = data.kinds.map(({ name, words }) => {
    const { mark } = KINDS[name];
    const letter = mark ? ` (${mark.trim()})` : "";
    return make("li", {}, swatch(`line kind-${name}`), ` ${words}${letter}`);
  });
  byId("kinds").prepend(...items);
}

startTheme();
fillAbout();
fillTable();
fillExpectations();
fillKey();
const ladderParts = startLadder();
startLegend([startCurves(ladderParts), startLatencies()]);
document.documentElement.dataset.ready = "run";
document.documentElement.dataset.rows = strategies.length;
document.documentElement.dataset.packets = strategies.map((it) => it.packets.length).join(" ");
