// Lines, and points with error bars, of several series over one axis; a cursor tells their values.

const MARGIN = { top: 12, right: 12, bottom: 42, left: 62 };
/** Room for names at the ends of lines, if the chart is wide enough to have some. */
const NAMES_WIDTH = 122;
const NAMES_FROM_WIDTH = 560;
/** Width of a column in which only the highest value is drawn, in pixels. */
const COLUMN = 2;
/** How lines differ besides their colour, by slot; page.css has the same for legends. */
const DASHES = [[2, 3], [10, 4], [6, 3], [12, 3, 2, 3], [5, 2, 1, 2, 1, 2], [], [1, 2], [16, 4]];

class Chart {
  /**
   * `options`: `x` and `y` with `scale`, `format`, `label`, and `range` unless it follows from the
   * series; `readout`, an element that says what is under the cursor; `hasNames`.
   * A series is `{ name, slot, points: [[x, y]…], isSteps, errors: [half-width…], isPoints }`.
   */
  constructor(canvas, options) {
    Object.assign(this, { hasNames: false }, options);
    this.series = [];
    this.cursor = null;
    this.surface = new Surface(canvas, (context, width, height) => this.paint(context, width, height));
    canvas.addEventListener("pointermove", (event) => this.pointTo(this.surface.at(event).x));
    canvas.addEventListener("pointerleave", () => this.setCursor(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("blur", () => this.setCursor(null));
  }

  set(series, range = null) {
    this.series = series;
    this.x.range = range ?? this.x.fixed ?? extent(series, 0);
    this.y.range = this.y.fixed ?? this.yRange();
    this.setCursor(null);
  }

  yRange() {
    const [from, to] = this.x.range;
    const seen = this.series.map((one) => ({ ...one, points: visible(one.points, from, to) }));
    const [low, high] = extent(seen, 1);
    if (this.y.scale === logScale) return [Math.max(low, 1) / 1.3, Math.max(high, 2) * 1.3];
    return [0, high * 1.08 || 1];
  }

  plot() {
    const { width, height } = this.surface;
    const named = this.hasNames && width >= NAMES_FROM_WIDTH;
    const right = named ? NAMES_WIDTH : MARGIN.right;
    return { x: MARGIN.left, y: MARGIN.top, named,
      width: width - MARGIN.left - right, height: height - MARGIN.top - MARGIN.bottom };
  }

  toX(value, plot) {
    return plot.x + this.x.scale.place(value, ...this.x.range) * plot.width;
  }

  toY(value, plot) {
    return plot.y + (1 - this.y.scale.place(value, ...this.y.range)) * plot.height;
  }

  paint(context) {
    if (!this.x.range) return;
    const plot = this.plot();
    this.paintAxes(context, plot);
    context.save();
    context.beginPath();
    context.rect(plot.x, plot.y - 2, plot.width + 1, plot.height + 4);
    context.clip();
    for (const one of this.series) this.paintSeries(context, plot, one);
    if (this.cursor !== null) {
      context.setLineDash([]);
      context.strokeStyle = colour("muted");
      context.lineWidth = 1;
      const x = this.toX(this.cursor, plot);
      drawLine(context, x, plot.y, x, plot.y + plot.height);
    }
    context.restore();
    if (plot.named) this.paintNames(context, plot);
  }

  paintAxes(context, plot) {
    const bottom = plot.y + plot.height;
    context.lineWidth = 1;
    context.setLineDash([]);
    context.strokeStyle = colour("grid");
    context.fillStyle = colour("muted");
    context.textAlign = "right";
    for (const tick of this.y.scale.ticks(...this.y.range, plot.height / 40)) {
      const y = Math.round(this.toY(tick, plot)) + 0.5;
      drawLine(context, plot.x, y, plot.x + plot.width, y);
      context.fillText(this.y.format(tick), plot.x - 8, y);
    }
    context.textAlign = "center";
    let free = 0;
    for (const tick of this.x.scale.ticks(...this.x.range, plot.width / 90)) {
      const x = Math.round(this.toX(tick, plot)) + 0.5;
      drawLine(context, x, plot.y, x, bottom);
      const text = this.x.format(tick);
      const half = context.measureText(text).width / 2;
      if (x - half < free) continue;
      free = x + half + 6;
      context.fillText(text, x, bottom + 12);
    }
    context.fillText(this.x.label, plot.x + plot.width / 2, bottom + 31);
  }

  paintSeries(context, plot, one) {
    const [from, to] = this.x.range;
    context.strokeStyle = colour(`slot${one.slot}`);
    context.fillStyle = context.strokeStyle;
    context.lineWidth = one.isStrong ? 2.6 : 1.8;
    context.setLineDash(DASHES[one.slot]);
    if (one.isPoints) return this.paintPoints(context, plot, one);
    context.beginPath();
    let before = null;
    for (const at of this.places(plot, visible(one.points, from, to))) {
      if (before === null) context.moveTo(...at);
      else {
        if (one.isSteps) context.lineTo(at[0], before);
        context.lineTo(...at);
      }
      before = at[1];
    }
    context.stroke();
  }

  /** Where points stand. Of those that share a column of pixels, the highest: otherwise a value that
   * goes up and down would paint a wall over all others. */
  places(plot, points) {
    const places = [];
    for (const [x, y] of points) {
      const [left, top] = [Math.round(this.toX(x, plot) / COLUMN) * COLUMN, this.toY(y, plot)];
      const last = places.at(-1);
      if (last?.[0] === left) last[1] = Math.min(last[1], top);
      else places.push([left, top]);
    }
    return places;
  }

  paintPoints(context, plot, one) {
    context.setLineDash([]);
    one.points.forEach(([x, y], index) => {
      const at = this.toX(x, plot);
      const error = one.errors[index];
      const [low, high] = [this.toY(y - error, plot), this.toY(y + error, plot)];
      drawLine(context, at, low, at, high);
      for (const end of [low, high]) drawLine(context, at - 4, end, at + 4, end);
      context.beginPath();
      context.arc(at, this.toY(y, plot), 3, 0, 2 * Math.PI);
      context.fill();
    });
  }

  /** At the ends of the lines, pushed apart where they would cover one another. */
  paintNames(context, plot) {
    const named = this.series.filter((one) => one.points.length > 0 && !one.isPoints);
    const ends = named.map((one) => {
      const [x, y] = visible(one.points, ...this.x.range).at(-1);
      return { one, x: this.toX(Math.min(x, this.x.range[1]), plot), y: this.toY(y, plot) };
    });
    ends.sort((a, b) => a.y - b.y);
    ends.forEach((end, index) => {
      end.place = Math.max(end.y, index > 0 ? ends[index - 1].place + 14 : plot.y + 6);
    });
    const over = (ends.at(-1)?.place ?? 0) - (plot.y + plot.height);
    context.textAlign = "left";
    context.setLineDash([]);
    context.lineWidth = 1;
    for (const end of ends) {
      const y = end.place - Math.max(0, over);
      const right = plot.x + plot.width;
      context.strokeStyle = colour("grid");
      drawLine(context, Math.min(end.x + 2, right), end.y, right + 4, y);
      context.fillStyle = colour(`slot${end.one.slot}`);
      context.fillText(end.one.name, right + 8, y);
    }
  }

  pointTo(x) {
    const plot = this.plot();
    const place = (x - plot.x) / plot.width;
    this.setCursor(place < 0 || place > 1 ? null : this.x.scale.value(place, ...this.x.range));
  }

  onKey(event) {
    const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
    if (step === undefined || !this.x.range) return;
    event.preventDefault();
    const place = this.cursor === null ? 0.5 : this.x.scale.place(this.cursor, ...this.x.range);
    const moved = Math.min(1, Math.max(0, place + step * (event.shiftKey ? 10 : 1)));
    this.setCursor(this.x.scale.value(moved, ...this.x.range));
  }

  setCursor(cursor) {
    this.cursor = cursor;
    if (this.readout) this.readout.textContent = cursor === null ? this.hint ?? "" : this.says(cursor);
    this.surface.redraw();
  }

  says(cursor) {
    const values = this.series.filter((one) => !one.isPoints).map((one) => {
      const value = valueAt(one, cursor);
      return `${one.name} ${value === null ? "–" : this.y.format(value)}`;
    });
    return `${this.x.format(cursor)}: ${values.join(" · ")}`;
  }
}

function extent(series, dimension) {
  let [low, high] = [Infinity, -Infinity];
  for (const one of series) {
    one.points.forEach((point, index) => {
      const error = dimension === 1 ? one.errors?.[index] ?? 0 : 0;
      low = Math.min(low, point[dimension] - error);
      high = Math.max(high, point[dimension] + error);
    });
  }
  return low > high ? [0, 1] : [low, high];
}

/** The first index at which `is(index)`, which is false up to there and true from there on. */
function firstIndex(length, is) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Points in a range of x, and one more on either side, so that lines go to the edge. */
function visible(points, from, to) {
  const begin = firstIndex(points.length, (index) => points[index][0] >= from);
  const end = firstIndex(points.length, (index) => points[index][0] > to);
  return points.slice(Math.max(0, begin - 1), end + 1);
}

function valueAt(one, x) {
  const next = firstIndex(one.points.length, (index) => one.points[index][0] > x);
  if (next === 0 || (next === one.points.length && x > one.points.at(-1)[0])) return null;
  const [x1, y1] = one.points[next - 1];
  if (one.isSteps || next === one.points.length) return y1;
  const [x2, y2] = one.points[next];
  return y1 + ((y2 - y1) * (x - x1)) / (x2 - x1 || 1);
}
