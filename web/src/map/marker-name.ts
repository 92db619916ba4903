/** The names of marker images: everything a marker shows, and nothing else. */

import { conditionOf, type Condition, type Latest } from '../state';

/** What stands in a circle when there is no index. */
export const NO_NUMBER = '–';

/** What stands for the levels of a cluster of which no sensor is current. */
export const STALE = 'stale';

export interface SensorMarker {
  readonly kind: 'sensor';
  readonly condition: Condition;
  /** Level of the standard, 0 for none. */
  readonly level: number;
  readonly number: string;
  readonly selected: boolean;
}

export interface ClusterMarker {
  readonly kind: 'cluster';
  /** 1 (one sensor) to 4 (a hundred and more). */
  readonly size: number;
  readonly stale: boolean;
  readonly level: number;
  readonly worstLevel: number;
  readonly number: string;
}

/** What somebody reported; all look the same. */
export interface ReportMarker {
  readonly kind: 'report';
}

export type Marker = SensorMarker | ClusterMarker | ReportMarker;

export function selectedMarkerName(latest: Latest | null, now_ms: number): string {
  if (!latest) return `sensor|stale|0|${NO_NUMBER}|selected`;
  const number = latest.index === null ? NO_NUMBER : String(Math.round(latest.index));
  return `sensor|${conditionOf(latest, now_ms)}|${latest.level ?? 0}|${number}|selected`;
}

export function parseMarkerName(name: string): Marker | null {
  if (name === 'report') return { kind: 'report' };
  const [kind, first = '', second = '', third = '', fourth] = name.split('|');
  if (kind === 'cluster') {
    const stale = second === STALE;
    const [level = 0, worstLevel = 0] = stale ? [] : [second, third].map(Number);
    return { kind, size: Number(first), stale, level, worstLevel, number: fourth ?? NO_NUMBER };
  }
  if (kind !== 'sensor') return null;
  const selected = fourth === 'selected';
  return {
    kind,
    condition: first as Condition,
    level: Number(second),
    number: third,
    selected,
  };
}
