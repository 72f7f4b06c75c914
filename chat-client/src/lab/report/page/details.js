// A packet in words.

function wayInWords(packet) {
  return packet.way === OUT ? "from the sender to the receiver" : "from the receiver to the sender";
}

function carriesInWords(packet) {
  return isAck(packet) ? `acknowledgement ${packet.number}` : `data, number ${packet.number}`;
}

function fateInWords(packet) {
  const took = packet.arrived === null ? "" : ` after ${span(packet.arrived - packet.sent)}`;
  const again = packet.again === null ? "" : `, and again after ${span(packet.again - packet.sent)}`;
  return `${packet.fate.words}${took}${again}`;
}

/** Messages that the arrival of a packet let out: its own, and those that waited for it. */
function releasedInWords(packet, strategy) {
  const messages = packet.way === OUT && packet.fate.name === "arrived"
    ? strategy.released.get(packet.arrived) ?? [] : [];
  if (messages.length === 0) return "none";
  if (messages.length === 1) return `message ${messages[0]}`;
  return `${plural(messages.length, "message")}, ${messages[0]} to ${messages.at(-1)}: those behind ` +
    "the first had waited for it";
}

/** Fills `list` with what there is to say of a packet; `go` shows another one. */
function describePacket(list, packet, strategy, go) {
  const rows = [
    ["Packet", `${count(packet.index)}, ${wayInWords(packet)}`],
    ["Carries", `${carriesInWords(packet)}; ${count(packet.bytes)} bytes`],
    ["Why it left", packet.kind.words],
    ["Left at", moment(packet.sent)],
    ["Arrived at", packet.arrived === null ? "never" : moment(packet.arrived)],
    ["Fate", fateInWords(packet)],
  ];
  if (packet.way === OUT && !isAck(packet)) rows.push(["Let out", releasedInWords(packet, strategy)]);
  const entries = rows.flatMap(([term, words]) => [make("dt", {}, term), make("dd", {}, words)]);
  const tries = isAck(packet) ? [] : strategy.numbered.get(packet.number) ?? [];
  if (tries.length > 1) entries.push(make("dt", {}, "All tries"), make("dd", {}, triesOf(packet, tries, go)));
  list.replaceChildren(...entries);
}

/** Tries that are listed; a path that is gone for long makes hundreds. */
const TRIES_MAX = 12;

function triesOf(packet, tries, go) {
  const items = tries.slice(0, TRIES_MAX).map((one) => {
    const button = make("button", { type: "button", class: "link" }, moment(one.sent));
    button.disabled = one === packet;
    button.addEventListener("click", () => go(one));
    return make("li", {}, button, ` ${one.kind.name}, ${one.fate.name}`);
  });
  if (tries.length > TRIES_MAX) items.push(make("li", {}, `and ${tries.length - TRIES_MAX} more`));
  return make("ol", {}, ...items);
}
