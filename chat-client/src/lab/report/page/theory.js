// The report of formulas and measurements.

const data = JSON.parse(byId("data").textContent);
const percentOf = (value, digits) => `${value.toFixed(digits)}${THIN}%`;

function fillAbout() {
  document.title = "Formulas and measurements – laboratory report";
  byId("version").textContent = `chat-client ${data.version}`;
  byId("runs").textContent = data.runs;
  byId("seed").textContent = data.seed;
  byId("command").textContent = data.command;
  byId("copy").addEventListener("click", () => copyText(byId("command"), byId("copy")));
}

function fillFormulas() {
  const entries = data.strategies.flatMap(({ name, formula, source }) => [
    make("dt", {}, name),
    make("dd", {}, formula, make("br"), make("span", { class: "source" },
      source)),
  ]);
  byId("formulas").replaceChildren(...entries);
}

function fillTable() {
  const rows = data.strategies.flatMap(({ name, slot, points }) =>
    points.map(([lost, expected, measured, error], index) => {
      const head = make("th", { scope: "row" });
      if (index === 0) head.append(swatch(`line slot${slot}`), ` ${name}`);
      else head.append(make("span", { class: "hidden" }, name));
      const difference = (measured / expected - 1) * 100;
      const sign = difference < 0 ? "−" : "+";
      const cells = [percentOf(lost, 0), expected.toFixed(4), measured.toFixed(4), error.toFixed(4),
        `${sign}${percentOf(Math.abs(difference), 2)}`];
      return make("tr", {}, head, ...cells.map((cell) => make("td", {}, cell)));
    }));
  byId("figures").replaceChildren(...rows);
}

function startPlot() {
  const chart = new Chart(byId("plot"), {
    x: { scale: linearScale, format: (value) => percentOf(value, value % 1 === 0 ? 0 : 1), label: "packets lost", fixed: [-0.5, 30.5] },
    y: { scale: logScale, format: (value) => trimmed(value, 3), label: "", fixed: [0.015, 1.3] },
    readout: byId("plot-says"),
    hint: "",
    hasNames: true,
  });
  chart.set(data.strategies.flatMap(({ name, slot, curve, points }) => [
    { name, slot, points: curve },
    { name, slot, isPoints: true, points: points.map(([lost, , measured]) => [lost, measured]),
      errors: points.map(([, , , error]) => error) },
  ]));
  byId("legend").replaceChildren(...data.strategies.map(({ name, slot }) =>
    make("span", {}, swatch(`line slot${slot}`), ` ${name}`)));
}

startTheme();
fillAbout();
fillFormulas();
fillTable();
startPlot();
document.documentElement.dataset.ready = "theory";
document.documentElement.dataset.rows = byId("figures").rows.length;
