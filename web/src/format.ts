/** Numbers, units, times and ages, written the way a language and a place write them. */

import { QUANTITIES } from './quantities';

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
  /** As it was computed with: up to two decimals. */
  exact(value: number, unit: string): string;
  /** The same of a quantity by its name; an index is a bare number. */
  measured(quantity: string, value: number): string;
  count(value: number): string;
  /** A bare number as an axis has it: up to two decimals. */
  tick(value: number): string;
  /** A share of 1 in per cent, rounded down: 99.949 % are not 99.95 %. */
  share(value: number): string;
  /** How much of a work is done, in whole per cent. */
  done(value: number): string;
  /** '40 seconds', '22 minutes', '3 hours'. */
  span(length_s: number): string;
  /** 'now', '12 seconds ago', '3 hours ago'. */
  age(age_ms: number): string;
  /** '12 s', '25 min', '3 h', '2 d': SI's symbols, as on the map. */
  shortAge(age_ms: number): string;
  /** The time of day; with the date when it was not today. */
  clock(at_ms: number, now_ms: number): string;
  /** The time of day to the second, as on a wall clock. */
  second(at_ms: number): string;
  /** The same, as long as it is of today; else as `clock`. */
  lately(at_ms: number, now_ms: number): string;
  /** The time of day by 24 hours, short enough for an axis. */
  hour(at_ms: number): string;
  /** Day and month. */
  day(at_ms: number): string;
  /** Day, month and time of day. */
  moment(at_ms: number): string;
}

/**
 * `timeZone` is the node's, so that everyone who talks about a number means the same moment. Where
 * clocks here, by default those of the browser, show another time, its name stands beside it.
 */
export function createFormat(locale: string, timeZone?: string, zoneHere?: string): Format {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const hundredths = new Intl.NumberFormat(locale, {
    maximumFractionDigits: 2,
    useGrouping: false,
  });
  const percent = new Intl.NumberFormat(locale, { style: 'percent', minimumFractionDigits: 2 });
  const wholePercent = new Intl.NumberFormat(locale, { style: 'percent' });
  const ago = new Intl.RelativeTimeFormat(locale, { numeric: 'always' });
  const now = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(0, 'second');
  const zone = knownTimeZone(timeZone);
  const writer = (options: Intl.DateTimeFormatOptions) => {
    const written = new Intl.DateTimeFormat(
      locale,
      zone ? { ...options, timeZone: zone } : options,
    );
    return (at_ms: number) => written.format(at_ms);
  };
  const zoneName = zoneNamer(locale, zone, zoneHere);
  const named = (write: (at_ms: number) => string) => (at_ms: number) =>
    write(at_ms) + zoneName(at_ms);
  const date = writer({ dateStyle: 'medium' });
  const time = named(writer({ timeStyle: 'short' }));
  const second = named(writer({ timeStyle: 'medium' }));
  const clock = (at_ms: number, now_ms: number) =>
    date(at_ms) === date(now_ms) ? time(at_ms) : `${date(at_ms)}, ${time(at_ms)}`;
  return {
    index: (value) => whole.format(Math.round(value)),
    quantity: (value, unit) => withUnit(locale, value, unit),
    exact: (value, unit) => `${hundredths.format(value)}\u00a0${unit}`,
    measured: (quantity, value) => {
      const unit = QUANTITIES.find(({ name }) => name === quantity)?.unit;
      return unit ? withUnit(locale, value, unit) : whole.format(Math.round(value));
    },
    count: (value) => whole.format(value),
    tick: (value) => hundredths.format(value),
    share: (value) => percent.format(Math.floor(value * 1e4 + 1e-6) / 1e4),
    done: (value) => wholePercent.format(value),
    span: (length_s) => span(locale, length_s),
    age: (age_ms) => {
      const { amount, unit } = inLargestUnit(age_ms);
      return amount === 0 ? now : ago.format(-amount, unit);
    },
    shortAge: (age_ms) => {
      const { amount, symbol } = inLargestUnit(age_ms);
      return `${whole.format(amount)}\u00a0${symbol}`;
    },
    clock,
    second,
    lately: (at_ms, now_ms) =>
      date(at_ms) === date(now_ms) ? second(at_ms) : clock(at_ms, now_ms),
    hour: writer({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
    day: writer({ day: 'numeric', month: 'short' }),
    moment: named(writer({ day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' })),
  };
}

function span(locale: string, length_s: number): string {
  const { amount, unit } = inLargestUnit(length_s * 1000);
  const whole = { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 } as const;
  return new Intl.NumberFormat(locale, whole).format(amount);
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

/** A zone's short name at a moment, after a fixed space; nothing when clocks here show the same. */
function zoneNamer(locale: string, there: string | undefined, here: string | undefined) {
  if (!there) return () => '';
  const hourIn = (timeZone: string | undefined) =>
    new Intl.DateTimeFormat('en', { dateStyle: 'short', timeStyle: 'short', timeZone });
  const [hourThere, hourHere] = [hourIn(there), hourIn(here)];
  const written = new Intl.DateTimeFormat(locale, { timeZone: there, timeZoneName: 'short' });
  return (at_ms: number) => {
    if (hourThere.format(at_ms) === hourHere.format(at_ms)) return '';
    const name = written.formatToParts(at_ms).find(({ type }) => type === 'timeZoneName');
    return name ? `\u00a0${name.value}` : '';
  };
}

/** A node may name a zone this browser does not know; its own zone is better than no time. */
export function knownTimeZone(timeZone: string | undefined): string | undefined {
  try {
    new Intl.DateTimeFormat('en', timeZone ? { timeZone } : {});
    return timeZone;
  } catch {
    return undefined;
  }
}
