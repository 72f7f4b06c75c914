// The time-sequence diagram of one strategy: sender on the left, receiver on the right, time goes
// down. This file keeps what is shown and answers to pointer and keys; ladder_paint.js draws.

/** Closest that one can look, in microseconds from top to bottom. */
const SPAN_MIN = 200;
/** How near a pointer has to be to a packet, in pixels. */
const NEAR = 9;
/** Packets that are shown at first, unless they are far apart: then so many times that one travels. */
const PACKETS_AT_FIRST = 24;
const FLIGHTS_AT_FIRST = 10;

class Ladder {
  /** `onView()` after a change of the times shown, `onSelect(packet)` after one of the packet. */
  constructor(canvas, { onView, onSelect }) {
    Object.assign(this, { canvas, onView, onSelect });
    this.strategy = null;
    this.view = [0, 1];
    this.selected = null;
    this.hovered = null;
    this.hasAcks = true;
    this.drag = null;
    this.surface = new Surface(canvas, (context, width, height) => {
      if (this.strategy) paintLadder(context, this, ladderPlot(width, height));
    });
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", () => { this.drag = null; });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(strategy) {
    this.strategy = strategy;
    this.hovered = null;
    this.select(null);
    this.lookAtBeginning();
  }

  /** The first packet that was lost or sent again, and what is around it. */
  lookAtBeginning() {
    const { packets } = this.strategy;
    const story = packets.find((it) => it.fate.name !== "arrived" || isRetransmission(it));
    const middle = story ?? packets[0];
    if (!middle) return this.lookAtAll();
    const at = (index) => packets[Math.min(packets.length - 1, Math.max(0, index))];
    const flights = (middle.ends - middle.sent) * FLIGHTS_AT_FIRST;
    const from = Math.max(at(middle.index - PACKETS_AT_FIRST / 3).sent, middle.sent - flights / 3);
    const to = Math.min(at(middle.index + PACKETS_AT_FIRST).ends, from + flights);
    return this.setView(from - (to - from) * 0.04, to + (to - from) * 0.04);
  }

  lookAtAll() {
    this.setView(0, this.strategy.ends);
  }

  setView(from, to) {
    const whole = this.strategy.ends * 1.02;
    const length = Math.min(Math.max(to - from, SPAN_MIN), whole * 1.04);
    const least = -whole * 0.02;
    const begin = Math.min(Math.max(from, least), whole - length + whole * 0.02);
    this.view = [begin, begin + length];
    this.surface.redraw();
    this.onView();
  }

  /** Makes the view `factor` times as long, around the time at `place` (0 top, 1 bottom). */
  zoom(factor, place = 0.5) {
    const [from, to] = this.view;
    const whole = this.strategy.ends * 1.06;
    const length = Math.min(Math.max((to - from) * factor, SPAN_MIN), whole);
    const fixed = from + place * (to - from);
    this.setView(fixed - place * length, fixed + (1 - place) * length);
  }

  /** Moves on by a part of what is shown. */
  pan(part) {
    const [from, to] = this.view;
    this.setView(from + part * (to - from), to + part * (to - from));
  }

  /** Shows a packet's details, and the packet, if it is out of sight. */
  select(packet) {
    this.selected = packet;
    if (packet) {
      const [from, to] = this.view;
      if (packet.sent < from || packet.ends > to) {
        const length = Math.max(to - from, (packet.ends - packet.sent) * 1.5);
        const begin = packet.sent - length * 0.25;
        this.setView(begin, begin + length);
      }
    }
    this.surface.redraw();
    this.onSelect(packet);
  }

  /** The next packet of a kind before or after the one selected, or the top of the view. */
  jump(direction, is) {
    const { packets } = this.strategy;
    const start = this.selected?.index ??
      firstIndex(packets.length, (index) => packets[index].sent >= this.view[0]) - (direction > 0 ? 1 : 0);
    for (let at = start + direction; at >= 0 && at < packets.length; at += direction) {
      if ((this.hasAcks || !isAck(packets[at])) && is(packets[at])) return this.select(packets[at]);
    }
    return undefined;
  }

  setHasAcks(hasAcks) {
    this.hasAcks = hasAcks;
    this.surface.redraw();
  }

  /** Packets that may be in sight, in the order of sending. */
  inView() {
    const { packets, flightMax } = this.strategy;
    const [from, to] = this.view;
    const begin = firstIndex(packets.length, (index) => packets[index].sent >= from - flightMax);
    const end = firstIndex(packets.length, (index) => packets[index].sent > to);
    const shown = packets.slice(begin, end).filter((it) => (it.again ?? it.ends) >= from);
    return this.hasAcks ? shown : shown.filter((it) => !isAck(it));
  }

  nearest({ x, y }) {
    const plot = ladderPlot(this.surface.width, this.surface.height);
    let [best, distance] = [null, NEAR];
    for (const packet of this.inView()) {
      const away = distanceTo(packetLine(packet, this.view, plot), x, y);
      // What is drawn on top wins.
      if (away < distance || (best && away < NEAR && rank(packet) > rank(best))) {
        [best, distance] = [packet, away];
      }
    }
    return best;
  }

  hover(packet) {
    if (packet === this.hovered) return;
    this.hovered = packet;
    this.canvas.classList.toggle("over-packet", packet !== null);
    this.surface.redraw();
    this.onSelect(packet ?? this.selected);
  }

  onWheel(event) {
    // Who only scrolls past is not held up: the wheel is ours once the diagram has the focus.
    if (document.activeElement !== this.canvas && !event.ctrlKey) return;
    event.preventDefault();
    if (event.shiftKey) return this.pan(Math.sign(event.deltaY || event.deltaX) * 0.1);
    const plot = ladderPlot(this.surface.width, this.surface.height);
    const place = (this.surface.at(event).y - plot.top) / plot.height;
    return this.zoom(1.0015 ** Math.max(-400, Math.min(400, event.deltaY)), place);
  }

  onDown(event) {
    if (event.button !== 0) return;
    this.drag = { y: this.surface.at(event).y, view: this.view, isMoved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  onMove(event) {
    const at = this.surface.at(event);
    if (!this.drag) return this.hover(this.nearest(at));
    const { y, view: [from, to] } = this.drag;
    if (Math.abs(at.y - y) > 3) this.drag.isMoved = true;
    if (!this.drag.isMoved) return undefined;
    const { height } = ladderPlot(this.surface.width, this.surface.height);
    const by = ((y - at.y) / height) * (to - from);
    return this.setView(from + by, to + by);
  }

  onUp(event) {
    if (this.drag && !this.drag.isMoved) this.select(this.nearest(this.surface.at(event)));
    this.drag = null;
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.strategy) return;
    const any = () => true;
    const act = {
      ArrowUp: () => this.pan(-0.15),
      ArrowDown: () => this.pan(0.15),
      PageUp: () => this.pan(-0.9),
      PageDown: () => this.pan(0.9),
      ArrowLeft: () => this.jump(-1, any),
      ArrowRight: () => this.jump(1, any),
      "+": () => this.zoom(0.7),
      "=": () => this.zoom(0.7),
      "-": () => this.zoom(1 / 0.7),
      Home: () => this.setView(0, this.view[1] - this.view[0]),
      End: () => this.setView(this.strategy.ends - (this.view[1] - this.view[0]), this.strategy.ends),
      0: () => this.lookAtAll(),
      r: () => this.jump(1, isRetransmission),
      R: () => this.jump(-1, isRetransmission),
      l: () => this.jump(1, isLost),
      L: () => this.jump(-1, isLost),
      Escape: () => this.select(null),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

const isAck = (packet) => packet.kind.name === "ack";
const isRetransmission = (packet) => !isAck(packet) && packet.kind.name !== "first";
const isLost = (packet) => packet.arrived === null && packet.fate.name !== "under way";

/** What is drawn over what. */
const rank = (packet) => (isRetransmission(packet) ? 2 : isLost(packet) ? 1 : 0);

/** Distance of a point from a piece of line. */
function distanceTo([x1, y1, x2, y2], x, y) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const part = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1);
  const at = Math.min(1, Math.max(0, part));
  return Math.hypot(x - x1 - at * dx, y - y1 - at * dy);
}
