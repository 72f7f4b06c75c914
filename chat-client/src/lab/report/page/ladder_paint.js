// Draws the time-sequence diagram. Every kind of packet differs from the others in dash, width or
// letter as well as in colour.

/** Of each kind of packet: colour, dash, width, and the letter that stands at its sender. */
const KINDS = {
  first: { colour: "first", dash: [], width: 1.3, mark: "" },
  ack: { colour: "ack", dash: [], width: 1, mark: "" },
  timeout: { colour: "late", dash: [], width: 2.6, mark: "T " },
  overtaken: { colour: "overtaken", dash: [9, 4], width: 2.2, mark: "O " },
  "go-back": { colour: "goback", dash: [2, 3], width: 2.2, mark: "G " },
  copy: { colour: "copy", dash: [9, 3, 2, 3], width: 2, mark: "C " },
};
/** Height of a line of text. */
const LINE = 14;
/** How far apart packets are drawn that leave at the same moment, and how many of them. */
const APART = 3;
const APART_MAX = 4;

/** Where the two lines stand. */
function ladderPlot(width, height) {
  const isNarrow = width < 520;
  const left = isNarrow ? 108 : 150;
  const right = width - (isNarrow ? 62 : 110);
  return { left, right, top: 34, height: height - 46, isNarrow, width };
}

const toY = (time, [from, to], plot) => plot.top + ((time - from) / (to - from)) * plot.height;

/** From where to where a packet goes, in pixels. */
function packetLine(packet, view, plot) {
  const [from, to] = packet.way === OUT ? [plot.left, plot.right] : [plot.right, plot.left];
  const end = packet.arrived === null ? from + (to - from) * LOST_AT : to;
  const apart = Math.min(packet.place, APART_MAX) * APART;
  return [from, toY(packet.sent, view, plot) + apart, end, toY(packet.ends, view, plot) + apart];
}

function paintLadder(context, ladder, plot) {
  const { view, strategy } = ladder;
  const packets = ladder.inView();
  context.save();
  context.beginPath();
  context.rect(0, plot.top - 2, plot.width, plot.height + 14);
  context.clip();
  paintTimes(context, view, plot);
  paintBands(context, view, plot);
  paintEnds(context, strategy, view, plot);
  const isSpecial = (packet) => rank(packet) > 0;
  paintUsual(context, packets.filter((it) => !isSpecial(it)), view, plot);
  const specials = packets.filter(isSpecial);
  paintSpecial(context, specials, view, plot);
  const shown = [ladder.selected, ladder.hovered].filter((it) => it && packets.includes(it));
  for (const packet of shown) paintShown(context, packet, view, plot);
  paintNumbers(context, [...shown, ...specials, ...packets], view, plot);
  paintTimers(context, strategy, view, plot);
  context.restore();
  paintHeads(context, plot);
}

function paintHeads(context, plot) {
  context.fillStyle = colour("ink");
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText("sender", plot.left, 14);
  context.fillText("receiver", plot.right, 14);
  context.setLineDash([]);
  context.strokeStyle = colour("ink");
  context.lineWidth = 1.5;
  for (const x of [plot.left, plot.right]) drawLine(context, x, 26, x, plot.top + plot.height + 12);
}

function paintTimes(context, view, plot) {
  context.setLineDash([]);
  context.lineWidth = 1;
  context.strokeStyle = colour("grid");
  context.fillStyle = colour("muted");
  context.textAlign = "left";
  const ticks = linearTicks(...view, plot.height / 60);
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10((ticks[1] ?? 1e6) - ticks[0]) + 6)));
  for (const tick of ticks) {
    if (tick < 0) continue;
    const y = Math.round(toY(tick, view, plot)) + 0.5;
    drawLine(context, 0, y, plot.right, y);
    context.fillText(`${(tick / 1e6).toFixed(digits)}${THIN}s`, 2, y - 8);
  }
}

/** Blackouts as bands, changes of the path as lines across. */
function paintBands(context, view, plot) {
  context.font = "12px system-ui, sans-serif";
  for (const { from, to, words } of data.bands) {
    const [top, bottom] = [toY(from, view, plot), toY(to ?? from, view, plot)];
    if (bottom < plot.top || top > plot.top + plot.height) continue;
    context.fillStyle = colour("band");
    context.fillRect(plot.left, top, plot.right - plot.left, Math.max(2, bottom - top));
    context.fillStyle = colour("muted");
    drawLabel(context, words, (plot.left + plot.right) / 2, Math.max(top, plot.top) + 9, "center");
  }
}

/** Messages: when they were written, at the sender, and given out, at the receiver. */
function paintEnds(context, strategy, view, plot) {
  context.fillStyle = colour("muted");
  const [from, to] = view;
  let last = -Infinity;
  const begin = firstIndex(strategy.messages.length, (index) => strategy.messages[index][0] >= from);
  for (let at = begin; at < strategy.messages.length && strategy.messages[at][0] <= to; at += 1) {
    const y = toY(strategy.messages[at][0], view, plot);
    if (y - last < 1) continue;
    last = y;
    context.fillRect(plot.left - 7, y - 1, 5, 2);
  }
  last = -Infinity;
  for (const [delivered] of strategy.released) {
    const y = toY(delivered, view, plot);
    if (delivered < from || delivered > to || Math.abs(y - last) < 1) continue;
    last = y;
    context.beginPath();
    context.moveTo(plot.right + 2, y - 3.5);
    context.lineTo(plot.right + 8, y);
    context.lineTo(plot.right + 2, y + 3.5);
    context.fill();
  }
}

/** Most packets by far: those that fall onto the pixels of the last one are not drawn again. */
function paintUsual(context, packets, view, plot) {
  const perPixel = packets.length / plot.height;
  context.setLineDash([]);
  for (const kind of ["ack", "first"]) {
    context.strokeStyle = colour(KINDS[kind].colour);
    context.lineWidth = KINDS[kind].width;
    context.globalAlpha = Math.max(0.35, Math.min(1, 0.6 / Math.max(perPixel, 0.01)));
    context.beginPath();
    let [before, end] = [-Infinity, -Infinity];
    for (const packet of packets) {
      if (packet.kind.name !== kind) continue;
      const line = packetLine(packet, view, plot);
      if (Math.abs(line[1] - before) < 0.75 && Math.abs(line[3] - end) < 0.75) continue;
      [before, end] = [line[1], line[3]];
      context.moveTo(line[0], line[1]);
      context.lineTo(line[2], line[3]);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
  if (perPixel < 0.2) for (const packet of packets) paintHead(context, packet, view, plot);
}

/** Losses and what is sent again, as far as they do not fall onto the one before of their kind. */
function paintSpecial(context, packets, view, plot) {
  const before = new Map();
  for (const packet of packets) {
    const line = packetLine(packet, view, plot);
    const last = before.get(packet.kind) ?? [0, -Infinity, 0, -Infinity];
    const isCovered = line.every((place, index) => Math.abs(place - last[index]) < 0.75);
    if (isCovered) continue;
    before.set(packet.kind, line);
    paintPacket(context, packet, view, plot);
  }
}

function paintPacket(context, packet, view, plot) {
  const look = KINDS[packet.kind.name];
  context.strokeStyle = colour(look.colour);
  context.lineWidth = look.width;
  context.setLineDash(look.dash);
  drawLine(context, ...packetLine(packet, view, plot));
  paintHead(context, packet, view, plot);
}

/** The arrow's head, or the cross of a packet that was lost. */
function paintHead(context, packet, view, plot) {
  const [x1, y1, x2, y2] = packetLine(packet, view, plot);
  context.setLineDash([]);
  context.strokeStyle = colour(KINDS[packet.kind.name].colour);
  context.lineWidth = 1.5;
  if (packet.arrived === null || packet.fate.name === "damaged") {
    if (packet.fate.name === "under way") return;
    context.strokeStyle = colour("lost");
    context.lineWidth = 2.4;
    drawLine(context, x2 - 4.5, y2 - 4.5, x2 + 4.5, y2 + 4.5);
    drawLine(context, x2 - 4.5, y2 + 4.5, x2 + 4.5, y2 - 4.5);
    return;
  }
  const angle = Math.atan2(y2 - y1, x2 - x1);
  for (const turn of [0.42, -0.42]) {
    drawLine(context, x2, y2, x2 - 8 * Math.cos(angle + turn), y2 - 8 * Math.sin(angle + turn));
  }
}

/** The packet that is pointed to or selected, and its second arrival, if it came twice. */
function paintShown(context, packet, view, plot) {
  const [x1, y1, x2, y2] = packetLine(packet, view, plot);
  context.setLineDash([]);
  context.strokeStyle = colour("shown");
  context.lineWidth = 7;
  context.lineCap = "round";
  drawLine(context, x1, y1, x2, y2);
  if (packet.again !== null) drawLine(context, x1, y1, x2, toY(packet.again, view, plot));
  context.lineCap = "butt";
  paintPacket(context, packet, view, plot);
}

/** Numbers beside the lines, and reasons beside crosses, as far as there is room: the first come. */
function paintNumbers(context, packets, view, plot) {
  const taken = [new Set(), new Set(), new Set()];
  const isFree = (column, y) => {
    const row = Math.round(y / 5);
    for (let at = row - 2; at <= row + 2; at += 1) if (taken[column].has(at)) return false;
    taken[column].add(row);
    return true;
  };
  const isInside = (y) => y > plot.top - 6 && y < plot.top + plot.height + LINE;
  const named = new Set();
  context.font = "12px system-ui, sans-serif";
  for (const packet of packets) {
    const [, y1, x2, y2] = packetLine(packet, view, plot);
    const look = KINDS[packet.kind.name];
    if (isInside(y1) && !named.has(packet.moment) && isFree(packet.way, y1)) {
      named.add(packet.moment);
      context.fillStyle = colour(isAck(packet) ? "muted" : look.colour);
      const text = momentInShort(packet.moment);
      const [x, align] = packet.way === OUT ? [plot.left - 12, "right"] : [plot.right + 12, "left"];
      drawLabel(context, text, x, y1, align);
    }
    if (isLost(packet) && isInside(y2) && isFree(2, y2)) {
      context.fillStyle = colour("lost");
      const [x, align] = packet.way === OUT ? [x2 + 10, "left"] : [x2 - 10, "right"];
      drawLabel(context, packet.fate.name, x, y2, align);
    }
  }
}

/** The numbers of the packets that left together. */
function momentInShort({ first, last, count }) {
  const said = (one) => (isAck(one) ? `ack ${one.number}` : `${KINDS[one.kind.name].mark}${one.number}`);
  if (count === 1) return said(first);
  const end = last.kind === first.kind ? last.number : said(last);
  return `${said(first)}${count === 2 ? "," + THIN : "…"}${end}`;
}

/** Timers of the sender that went off. */
function paintTimers(context, strategy, view, plot) {
  context.lineWidth = 1.6;
  context.setLineDash([]);
  context.strokeStyle = colour("late");
  context.fillStyle = colour("paper");
  let last = -Infinity;
  const begin = firstIndex(strategy.timers.length, (index) => strategy.timers[index] >= view[0]);
  for (let at = begin; at < strategy.timers.length && strategy.timers[at] <= view[1]; at += 1) {
    const y = toY(strategy.timers[at], view, plot);
    if (y - last < 6) continue;
    last = y;
    context.beginPath();
    context.moveTo(plot.left, y - 5);
    context.lineTo(plot.left + 5, y);
    context.lineTo(plot.left, y + 5);
    context.lineTo(plot.left - 5, y);
    context.closePath();
    context.fill();
    context.stroke();
  }
}
