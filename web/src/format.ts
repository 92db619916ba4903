/** Numbers, units, times and ages, written the way a language and a place write them. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Units that languages space differently; all others follow the number after a fixed space. */
const LOCAL_UNITS: Readonly<Record<string, string>> = { '%': 'percent', '°C': 'celsius' };

export interface Format {
  /** An index: a whole number. */
  index(value: number): string;
  /** A measured value with its unit: one decimal below 10, none above. */
  quantity(value: number, unit: string): string;
  count(value: number): string;
  /** 'now', '12 seconds ago', '3 hours ago'. */
  age(age_ms: number): string;
  /** '12 s', '25 min', '3 h', '2 d': SI's symbols, as on the map. */
  shortAge(age_ms: number): string;
  /** The time of day; with the date when it was not today. */
  clock(at_ms: number, now_ms: number): string;
}

/** `timeZone` is the node's, so that everyone who talks about a number means the same moment. */
export function createFormat(locale: string, timeZone?: string): Format {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const ago = new Intl.RelativeTimeFormat(locale, { numeric: 'always' });
  const now = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(0, 'second');
  const zone = knownTimeZone(timeZone);
  return {
    index: (value) => whole.format(Math.round(value)),
    quantity: (value, unit) => withUnit(locale, value, unit),
    count: (value) => whole.format(value),
    age: (age_ms) => {
      const { amount, unit } = inLargestUnit(age_ms);
      return amount === 0 ? now : ago.format(-amount, unit);
    },
    shortAge: (age_ms) => {
      const { amount, symbol } = inLargestUnit(age_ms);
      return `${whole.format(amount)}\u00a0${symbol}`;
    },
    clock: (at_ms, now_ms) => clock(locale, zone, at_ms, now_ms),
  };
}

function withUnit(locale: string, value: number, unit: string): string {
  const digits = Math.abs(Number(value.toFixed(1))) < 10 ? 1 : 0;
  // Grouping would write 1013 hPa as 1.013 in German, which reads as another number.
  const options = {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    useGrouping: 'min2' as const,
  };
  const local = LOCAL_UNITS[unit];
  if (local) {
    return new Intl.NumberFormat(locale, { ...options, style: 'unit', unit: local }).format(value);
  }
  return `${new Intl.NumberFormat(locale, options).format(value)}\u00a0${unit}`;
}

const AGE_UNITS = [
  { unit: 'day', symbol: 'd', length_ms: DAY_MS, from_ms: 2 * DAY_MS },
  { unit: 'hour', symbol: 'h', length_ms: HOUR_MS, from_ms: HOUR_MS },
  { unit: 'minute', symbol: 'min', length_ms: MINUTE_MS, from_ms: MINUTE_MS },
  { unit: 'second', symbol: 's', length_ms: 1000, from_ms: 0 },
] as const;

/** Whole units, rounded down; a clock that runs behind makes no age negative. */
function inLargestUnit(age_ms: number) {
  const age = Math.max(0, age_ms);
  const { unit, symbol, length_ms } =
    AGE_UNITS.find(({ from_ms }) => age >= from_ms) ?? AGE_UNITS[3];
  return { amount: Math.floor(age / length_ms), unit, symbol };
}

function clock(
  locale: string,
  timeZone: string | undefined,
  at_ms: number,
  now_ms: number,
): string {
  const zone = timeZone ? { timeZone } : {};
  const day = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', ...zone });
  const time = new Intl.DateTimeFormat(locale, { timeStyle: 'short', ...zone });
  if (day.format(at_ms) === day.format(now_ms)) return time.format(at_ms);
  return `${day.format(at_ms)}, ${time.format(at_ms)}`;
}

/** A node may name a zone this browser does not know; its own zone is better than no time. */
function knownTimeZone(timeZone: string | undefined): string | undefined {
  try {
    new Intl.DateTimeFormat('en', timeZone ? { timeZone } : {});
    return timeZone;
  } catch {
    return undefined;
  }
}
