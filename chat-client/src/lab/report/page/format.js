// Numbers as people read them. Times are in microseconds.

const THIN = "\u202f";

/** A number with at most so many digits behind the point, without zeros at its end. */
const trimmed = (value, digits) => String(Number(value.toFixed(digits)));

/** Digits in groups of three. */
const count = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);

/** A length of time in the unit that fits, with three or four digits. */
function span(us) {
  if (us === 0) return "0";
  if (us < 1_000) return `${trimmed(us, 0)}${THIN}µs`;
  if (us < 10_000) return `${trimmed(us / 1_000, 2)}${THIN}ms`;
  if (us < 1_000_000) return `${trimmed(us / 1_000, 1)}${THIN}ms`;
  return `${trimmed(us / 1_000_000, us < 10_000_000 ? 3 : 2)}${THIN}s`;
}

/** A moment, to the microsecond: what a packet's times are compared by. */
const moment = (us) => `${(us / 1_000_000).toFixed(6).replace(/(\.\d{3})(\d{3})$/, `$1${THIN}$2`)}${THIN}s`;

const milliseconds = (us) => (us / 1_000).toFixed(1);

function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
