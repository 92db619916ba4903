/** A sensor's history as columns that a chart draws and a spreadsheet reads; pure. */

import type { Buckets, Readings, Series } from '../api-types';
import { knownTimeZone } from '../format';

/**
 * Spans that can be asked for: how long, how fine the answer is, and what standards call that. A
 * day's mean here is of its readings, however few; standards take hourly means, most of 24.
 */
export const SPANS = {
  day: { length_s: 86_400, resolution: '5m', step_s: 300, period: null },
  week: { length_s: 7 * 86_400, resolution: '1h', step_s: 3600, period: '1h' },
  month: { length_s: 31 * 86_400, resolution: '1h', step_s: 3600, period: '1h' },
  quarter: { length_s: 90 * 86_400, resolution: '1d', step_s: 86_400, period: null },
} as const;

export type SpanName = keyof typeof SPANS;

/** Numbers by moment; null where there are none. */
export type Column = (number | null)[];

/** What is drawn of one sensor, column by column, `at` in epoch seconds. */
export interface Course {
  readonly at: number[];
  readonly avg: Column;
  readonly low: Column;
  readonly high: Column;
  /** Where something was measured that is not trusted: its height in the chart. */
  readonly doubtful: Column;
}

/** The quantities of which anything is known, in the order of the answer. */
export function quantitiesIn(history: Buckets): string[] {
  return Object.entries(history.series)
    .filter(([, { count, flagged }]) => count.some(Boolean) || flagged.some(Boolean))
    .map(([name]) => name);
}

/**
 * One quantity of a history. Where a bucket is missing, an empty one stands, so that the line
 * breaks; days are 23 to 25 hours long, which is no gap.
 */
export function courseOf(history: Buckets, quantity: string, step_s: number): Course {
  const course: Course = { at: [], avg: [], low: [], high: [], doubtful: [] };
  const series = history.series[quantity];
  if (!series) return course;
  const floor = Math.min(...series.avg.filter((value) => value !== null));
  history.at.map(epochSeconds).forEach((at, place) => {
    const before = course.at.at(-1);
    if (before !== undefined && at - before > 1.5 * step_s) push(course, before + step_s, null, 0);
    push(course, at, pointOf(series, place), floor);
  });
  return course;
}

/** Bring two courses onto the moments of both: the columns of the second beside the first. */
export function together(course: Course, other: Course): { at: number[]; columns: Column[] } {
  const at = [...new Set([...course.at, ...other.at])].sort((a, b) => a - b);
  return { at, columns: [...spread(course, at), ...spread(other, at)] };
}

/** Where values stand that no line leads to, because nothing is known before and after them. */
export function lonePlaces(column: readonly (number | null | undefined)[]): number[] {
  const isKnown = (place: number) => column[place] != null;
  const places = [...column.keys()];
  return places.filter((place) => isKnown(place) && !isKnown(place - 1) && !isKnown(place + 1));
}

/**
 * RFC 4180: a line per bucket, and per quantity what it comes to; nothing where there is none. The
 * beginning of a bucket stands there as the node says it and as clocks in its zone show it, or in
 * UTC where this browser does not know that zone.
 */
export function asCsv(history: Buckets): string {
  const names = quantitiesIn(history);
  const parts = ['avg', 'min', 'max', 'count', 'flagged'] as const;
  const zone = knownTimeZone(history.time_zone) ?? 'UTC';
  const local = localTime(zone);
  const head = [
    'at',
    `time (${zone})`,
    ...names.flatMap((name) => parts.map((part) => titled(history, name, part))),
  ];
  const lines = history.at.map((at, place) => [
    at,
    local(at),
    ...names.flatMap((name) => parts.map((part) => rounded(history.series[name]?.[part][place]))),
  ]);
  return [head, ...lines].map((line) => line.map(cell).join(',') + '\r\n').join('');
}

/** Whether an answer has anything to do with what begins then: one that was kept may end before. */
export function reaches(history: Buckets, from_ms: number): boolean {
  return Date.parse(history.to) > from_ms;
}

/** Whether an answer is in buckets; single readings come without. */
export function isBuckets(history: Buckets | Readings): history is Buckets {
  return !('flags' in history);
}

interface Point {
  readonly avg: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly isDoubtful: boolean;
}

function pointOf({ avg, min, max, flagged }: Series, place: number): Point {
  return {
    avg: avg[place] ?? null,
    low: min[place] ?? null,
    high: max[place] ?? null,
    isDoubtful: (flagged[place] ?? 0) > 0,
  };
}

function push(course: Course, at: number, point: Point | null, floor: number): void {
  course.at.push(at);
  course.avg.push(point?.avg ?? null);
  course.low.push(point?.low ?? null);
  course.high.push(point?.high ?? null);
  const height = point?.avg ?? (Number.isFinite(floor) ? floor : 0);
  course.doubtful.push(point?.isDoubtful ? height : null);
}

function spread({ at, avg, low, high, doubtful }: Course, moments: number[]): Column[] {
  const places = new Map(at.map((moment, place) => [moment, place]));
  return [avg, low, high, doubtful].map((column) =>
    moments.map((moment) => column[places.get(moment) ?? -1] ?? null),
  );
}

function titled(history: Buckets, name: string, part: string): string {
  const unit = history.series[name]?.unit;
  const hasUnit = part !== 'count' && part !== 'flagged' && unit && unit !== 'index';
  return hasUnit ? `${name}_${part} (${unit})` : `${name}_${part}`;
}

/** As precise as anything is told: to a thousandth. */
function rounded(value: number | null | undefined): number | '' {
  return value == null ? '' : Number(value.toFixed(3));
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `2026-11-23 10:00:00`, which every spreadsheet takes for a moment; the locale is for its form. */
function localTime(timeZone: string): (at: string) => string {
  const written = new Intl.DateTimeFormat('sv-SE', {
    dateStyle: 'short',
    timeStyle: 'medium',
    timeZone,
  });
  return (at) => written.format(new Date(at));
}

function epochSeconds(moment: string): number {
  return Date.parse(moment) / 1000;
}
