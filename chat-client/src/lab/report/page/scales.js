// From values to pixels, and where the marks of an axis stand.

/** Round steps, about `wanted` of them, in a linear range. */
function linearTicks(from, to, wanted) {
  const rough = (to - from) / Math.max(1, wanted);
  if (!(rough > 0)) return [from];
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const ticks = [];
  for (let n = Math.ceil(from / step); n * step <= to; n += 1) ticks.push(n * step);
  return ticks;
}

/** Decades, and 2 and 5 between them if there are few. */
function logTicks(from, to) {
  const decades = Math.log10(to / from);
  const factors = decades > 3 ? [1] : decades > 1 ? [1, 3] : [1, 2, 3, 5, 7];
  const ticks = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power += 1) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (tick >= from * 0.999 && tick <= to * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

const linearScale = {
  place: (value, from, to) => (value - from) / (to - from || 1),
  value: (place, from, to) => from + place * (to - from),
  ticks: linearTicks,
};

const logScale = {
  place: (value, from, to) => Math.log(Math.max(value, from) / from) / Math.log(to / from || 2),
  value: (place, from, to) => from * (to / from) ** place,
  ticks: logTicks,
};
