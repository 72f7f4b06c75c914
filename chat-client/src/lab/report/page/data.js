// What the program has written into the page, in the shape that the drawings use.

const OUT = 0;

const data = JSON.parse(byId("data").textContent);

/** Where a packet that never arrived ends in the drawing: how far it got, nobody knows. */
const LOST_AT = 0.55;

/** Rows of numbers become packets. `flight` of a lost one is that of the last that arrived. */
function readPackets(rows) {
  const flights = [0, 0];
  for (const way of [0, 1]) {
    const first = rows.find((row) => row[0] === way && row[2] !== null);
    flights[way] = first ? first[2] - first[1] : 20_000;
  }
  const moments = [null, null];
  return rows.map(([way, sent, arrived, bytes, kind, number, fate, again], index) => {
    if (arrived !== null) flights[way] = arrived - sent;
    const ends = arrived ?? sent + flights[way] * LOST_AT;
    const packet = { index, way, sent, arrived, bytes, number, again, ends,
      kind: data.kinds[kind], fate: data.fates[fate] };
    // Those that leave at this moment, this way, and the how-manieth of them it is.
    if (moments[way]?.first.sent !== sent) moments[way] = { first: packet, count: 0 };
    const moment = moments[way];
    moment.last = packet;
    packet.moment = moment;
    packet.place = moment.count;
    moment.count += 1;
    return packet;
  });
}

function readStrategy(written) {
  const packets = readPackets(written.packets);
  const numbered = new Map();
  for (const packet of packets) {
    if (packet.way !== OUT || packet.kind.name === "ack") continue;
    if (!numbered.has(packet.number)) numbered.set(packet.number, []);
    numbered.get(packet.number).push(packet);
  }
  const released = new Map();
  written.messages.forEach(([, delivered], message) => {
    if (delivered === null) return;
    if (!released.has(delivered)) released.set(delivered, []);
    released.get(delivered).push(message);
  });
  const flightMax = packets.reduce((longest, it) => Math.max(longest, (it.again ?? it.ends) - it.sent), 1);
  const ends = packets.reduce((last, it) => Math.max(last, it.again ?? it.ends), 1);
  return { ...written, packets, numbered, released, flightMax, ends };
}
