import type { AveragingPeriod, Band, Standard } from './api-types';

/** The band an index falls in; one beyond the table belongs to the last band. */
export function bandOfIndex(standard: Standard, index: number): Band | undefined {
  return standard.bands.findLast((band) => index >= band.low) ?? standard.bands[0];
}

/** The standard's own colours, or those for people who do not tell red from green. */
export type Palette = 'standard' | 'assist';

/** The standard with the colours of a palette. */
export function colored(standard: Standard, palette: Palette): Standard {
  if (palette === 'standard') return standard;
  const bands = standard.bands.map((band) => ({ ...band, color: band.assist_color }));
  return { ...standard, bands };
}

/** A category behind a chart: from which value on it applies. */
export interface Step {
  readonly low: number;
  readonly band: Band;
}

/** The categories of one quantity, rising, and the length of the means they are made for. */
export interface Steps {
  /** Null for an index: its categories need no mean. */
  readonly period: AveragingPeriod['period'] | null;
  readonly steps: readonly Step[];
}

/**
 * The categories of an index or a pollutant; null for what the standard does not rate.
 *
 * Of a pollutant with two scales the first is taken: only that one begins at the best category.
 */
export function stepsOf(standard: Standard, quantity: string): Steps | null {
  if (quantity === 'aqi') {
    return { period: null, steps: standard.bands.map((band) => ({ low: band.low, band })) };
  }
  const scale = standard.periods[quantity]?.[0];
  if (!scale) return null;
  const steps = scale.starts.flatMap(({ level, low }) => {
    const band = bandOfLevel(standard, level);
    return band ? [{ low, band }] : [];
  });
  return { period: scale.period, steps };
}

/** The category that a value falls in; below the first it is the first. */
export function stepAt({ steps }: Steps, value: number): Band | undefined {
  return (steps.findLast(({ low }) => value >= low) ?? steps[0])?.band;
}

export function bandOfLevel(standard: Standard, level: number): Band | undefined {
  return standard.bands.find((band) => band.level === level);
}

/**
 * Where an index stands on a bar whose bands are equally wide, from 0 to 1.
 *
 * Equal widths keep the low bands readable; an open last band is taken as wide as the one before.
 */
export function positionOnBands(standard: Standard, index: number): number {
  const band = bandOfIndex(standard, index);
  if (!band) return 0;
  const place = standard.bands.indexOf(band);
  const before = standard.bands[place - 1];
  const width = band.high !== null ? band.high - band.low : before ? band.low - before.low : 1;
  // A band of a single index (the European standards') is met in its middle.
  const within = width === 0 ? 0.5 : Math.min(Math.max((index - band.low) / width, 0), 1);
  return (place + within) / standard.bands.length;
}

/** Black or white, whichever stands out more from `color` (WCAG 2 contrast; always ≥ 4.5). */
export function textColorOn(color: string): '#000000' | '#ffffff' {
  // Contrast with black and with white is equal at this luminance: sqrt(1.05 * 0.05) - 0.05.
  return relativeLuminance(color) > 0.1791 ? '#000000' : '#ffffff';
}

/** WCAG 2.2, relative luminance of an sRGB colour written `#rrggbb`. */
export function relativeLuminance(color: string): number {
  const [red, green, blue] = [1, 3, 5].map((start) => linear(color.slice(start, start + 2)));
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}

function linear(hex: string): number {
  const channel = parseInt(hex, 16) / 255;
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}
