/** Draws a marker's image: a number in a circle, told apart by shape as well as by colour. */

import type { Standard } from '../api-types';
import type { Theme } from './ink';
import { parseMarkerName, type ClusterMarker, type Marker, type SensorMarker } from './marker-name';
import { bandOfLevel, textColorOn } from '../standard';

/** Drawn finer than most screens show it, so that a number stays crisp on all of them. */
export const MARKER_PIXEL_RATIO = 2;

const SENSOR_RADIUS = 14;
/** From a lone sensor to a hundred and more. */
const CLUSTER_RADII = [SENSOR_RADIUS, 17, 20, 24];
const REPORT_SIDE = 12;
const MARGIN = 2;

interface Ink {
  readonly surface: string;
  readonly text: string;
  readonly muted: string;
  readonly hairline: string;
  readonly grey: string;
}

const inks: Readonly<Record<Theme, Ink>> = {
  light: {
    surface: '#ffffff',
    text: '#1b2126',
    muted: '#59636c',
    hairline: 'rgba(20, 26, 31, 0.45)',
    grey: '#dfe2e4',
  },
  dark: {
    surface: '#0b0f14',
    text: '#eef2f5',
    muted: '#a3afb9',
    hairline: 'rgba(226, 233, 239, 0.55)',
    grey: '#262e36',
  },
};

export interface MarkerInput {
  readonly standard: Standard;
  readonly theme: Theme;
}

/** The image of that name, null when it is not a marker's. */
export function drawMarker(name: string, { standard, theme }: MarkerInput): ImageData | null {
  const marker = parseMarkerName(name);
  if (!marker) return null;
  const context = blankCanvas(radiusOf(marker) + MARGIN);
  const ink = inks[theme];
  const colorOf = (level: number) => bandOfLevel(standard, level)?.color ?? ink.grey;
  if (marker.kind === 'sensor') drawSensor(context, marker, ink, colorOf(marker.level));
  else if (marker.kind === 'report') drawReport(context, ink);
  else drawCluster(context, marker, ink, colorOf(marker.level), colorOf(marker.worstLevel));
  const { width, height } = context.canvas;
  return context.getImageData(0, 0, width, height);
}

function radiusOf(marker: Marker): number {
  if (marker.kind === 'report') return REPORT_SIDE;
  if (marker.kind === 'cluster') return clusterRadius(marker);
  return marker.selected ? SENSOR_RADIUS + 5 : SENSOR_RADIUS;
}

function clusterRadius({ size }: ClusterMarker): number {
  return CLUSTER_RADII[size - 1] ?? SENSOR_RADIUS;
}

/** A transparent square whose middle is the origin and whose unit is one CSS pixel. */
function blankCanvas(halfWidth: number): OffscreenCanvasRenderingContext2D {
  const side = 2 * halfWidth * MARKER_PIXEL_RATIO;
  const context = new OffscreenCanvas(side, side).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no 2D canvas');
  context.scale(MARKER_PIXEL_RATIO, MARKER_PIXEL_RATIO);
  context.translate(halfWidth, halfWidth);
  return context;
}

function drawSensor(
  context: OffscreenCanvasRenderingContext2D,
  marker: SensorMarker,
  ink: Ink,
  color: string,
): void {
  if (marker.selected) {
    disc(context, SENSOR_RADIUS + 5, ink.text);
    disc(context, SENSOR_RADIUS + 2.5, ink.surface);
  } else {
    disc(context, SENSOR_RADIUS + 0.5, ink.hairline);
    disc(context, SENSOR_RADIUS - 0.5, ink.surface);
  }
  switch (marker.condition) {
    case 'fresh':
      disc(context, SENSOR_RADIUS - 2, color);
      return write(context, marker.number, textColorOn(marker.level ? color : ink.grey), 13);
    case 'flagged':
      circle(context, SENSOR_RADIUS - 2.5, ink.text, []);
      return write(context, '!', ink.text, 16);
    case 'stale':
    case 'stale-flagged':
      drawStale(context, SENSOR_RADIUS, ink);
      return write(context, marker.condition === 'stale' ? marker.number : '!', ink.muted, 13);
  }
}

function drawCluster(
  context: OffscreenCanvasRenderingContext2D,
  marker: ClusterMarker,
  ink: Ink,
  color: string,
  worstColor: string,
): void {
  const radius = clusterRadius(marker);
  disc(context, radius + 0.5, ink.hairline);
  if (marker.stale) {
    disc(context, radius - 0.5, ink.surface);
    drawStale(context, radius, ink);
    return write(context, marker.number, ink.muted, 11 + marker.size);
  }
  disc(context, radius - 0.5, marker.size > 1 ? worstColor : ink.surface);
  if (marker.size > 1) disc(context, radius - 4, ink.surface);
  disc(context, radius - (marker.size > 1 ? 5.5 : 2), color);
  write(context, marker.number, textColorOn(color), 11 + marker.size);
}

/** Grey, with a dashed ring: shape tells it as well as colour. */
function drawStale(context: OffscreenCanvasRenderingContext2D, radius: number, ink: Ink): void {
  disc(context, radius - 2, ink.grey);
  circle(context, radius - 1.5, ink.muted, [3.2, 2.7]);
}

/** A speech bubble: somebody says so. */
function drawReport(context: OffscreenCanvasRenderingContext2D, ink: Ink): void {
  const side = REPORT_SIDE - 2;
  context.beginPath();
  context.roundRect(-side, -side, 2 * side, 1.5 * side, 3);
  context.moveTo(-side / 2, side / 2);
  context.lineTo(-side / 2, side);
  context.lineTo(side / 4, side / 2);
  context.fillStyle = ink.text;
  context.fill();
  for (const x of [-5, 0, 5]) dot(context, x, -side / 4, ink.surface);
}

function disc(context: OffscreenCanvasRenderingContext2D, radius: number, color: string): void {
  context.beginPath();
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
}

function dot(
  context: OffscreenCanvasRenderingContext2D,
  x: number,
  y: number,
  color: string,
): void {
  context.beginPath();
  context.arc(x, y, 1.5, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
}

function circle(
  context: OffscreenCanvasRenderingContext2D,
  radius: number,
  color: string,
  dashes: number[],
): void {
  context.beginPath();
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.setLineDash(dashes);
  context.lineWidth = 1.8;
  context.strokeStyle = color;
  context.stroke();
}

/** Centred by the height of figures, which have no descenders. */
function write(
  context: OffscreenCanvasRenderingContext2D,
  text: string,
  color: string,
  size: number,
): void {
  const fitting = text.length > 3 ? size - 3 : text.length > 2 ? size - 1 : size;
  context.font = `650 ${fitting}px Inter, sans-serif`;
  context.textAlign = 'center';
  context.fillStyle = color;
  const { actualBoundingBoxAscent } = context.measureText('0');
  context.fillText(text, 0, actualBoundingBoxAscent / 2);
}
