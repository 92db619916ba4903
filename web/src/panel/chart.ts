/** Draws courses with uPlot; loaded when the first chart is wanted. */

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import { lonePlaces, together, type Course } from './series';
import { knownTimeZone } from '../format';
import type { Step } from '../standard';

const HEIGHT_PX = 176;
const FONT = "12px Inter, 'Noto Sans TC Variable', system-ui, sans-serif";

export interface ChartInput {
  readonly course: Course;
  /** A second sensor's, drawn dashed. */
  readonly other: Course | null;
  /** The categories, rising, faintly behind the line. */
  readonly steps: readonly Step[];
  /** Epoch seconds at the left and the right edge. */
  readonly from: number;
  readonly to: number;
  readonly timeZone: string | undefined;
  /** What stands below the chart at a moment, in epoch seconds. */
  writeMoment(at: number): string;
  writeValue(value: number): string;
  /** Where the pointer is: the moment and both values there. */
  onPoint(at: number | null, value: number | null, other: number | null): void;
}

/** The places of the columns that `together` gives, after the moments. */
const AVG = 1;
const LOW = 2;
const HIGH = 3;
const DOUBTFUL = 4;
const OTHER_AVG = 5;

export class Chart {
  #plot: uPlot | null = null;
  readonly #host: HTMLElement;

  constructor(host: HTMLElement) {
    this.#host = host;
  }

  draw(input: ChartInput): void {
    this.clear();
    const nothing: Course = { at: [], avg: [], low: [], high: [], doubtful: [] };
    const { at, columns } = together(input.course, input.other ?? nothing);
    const size = { width: Math.max(this.#host.clientWidth, 160), height: HEIGHT_PX };
    const plot = new uPlot({ ...size, ...options(input) }, [at, ...columns], this.#host);
    this.#plot = plot;
    // A canvas does not wait for a font, nor is it drawn again when one has come.
    const sample = input.writeMoment(input.from);
    void document.fonts.load(FONT, sample).then(() => this.#plot === plot && plot.redraw(false));
  }

  /** Take the width there is now. */
  fit(): void {
    const width = this.#host.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: HEIGHT_PX });
    }
  }

  clear(): void {
    this.#plot?.destroy();
    this.#plot = null;
  }
}

function options(input: ChartInput): Omit<uPlot.Options, 'width' | 'height'> {
  const ink = inks();
  const zone = knownTimeZone(input.timeZone);
  return {
    legend: { show: false },
    ...(zone && { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1000), zone) }),
    scales: {
      x: { time: true, range: () => [input.from, input.to] },
      y: { range: (_plot, low, high) => heights(low, high) },
    },
    axes: axes(input, ink),
    series: series(ink),
    bands: [{ series: [HIGH, LOW], fill: ink.spread }],
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    hooks: {
      drawAxes: [(plot) => drawSteps(plot, input.steps)],
      setCursor: [(plot) => tell(plot, input)],
    },
  };
}

function axes({ writeMoment, writeValue }: ChartInput, ink: Inks): uPlot.Axis[] {
  const common = { font: FONT, stroke: ink.muted };
  const grid = { stroke: ink.line, width: 1 };
  return [
    {
      ...common,
      grid: { show: false },
      ticks: { ...grid, size: 4 },
      space: 64,
      size: 28,
      values: (_plot, moments) => moments.map(writeMoment),
    },
    {
      ...common,
      grid,
      ticks: { show: false },
      size: 44,
      gap: 6,
      values: (_plot, values) => values.map(writeValue),
    },
  ];
}

function series(ink: Inks): uPlot.Series[] {
  const unseen = { stroke: 'transparent', width: 0, points: { show: false } };
  return [
    {},
    { stroke: ink.text, width: 1.75, points: dots(ink.text) },
    unseen,
    unseen,
    {
      stroke: ink.text,
      paths: () => null,
      points: { show: true, size: 6, fill: ink.surface, stroke: ink.text, width: 1.5 },
    },
    { stroke: ink.accent, width: 1.75, dash: [6, 4], points: dots(ink.accent) },
    unseen,
    unseen,
    unseen,
  ];
}

/** All of them where there is room, else those that no line shows. */
function dots(color: string): uPlot.Series.Points {
  return {
    size: 4,
    fill: color,
    filter: (plot, column, areAllShown) =>
      areAllShown ? null : lonePlaces(Array.from(plot.data[column] ?? [])),
  };
}

/** From zero where values cannot lie below it and start near it; with air above. */
function heights(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 0.02, 0.5);
  return [low >= 0 && low <= high * 0.6 ? 0 : low - room, high + room];
}

function drawSteps(plot: uPlot, steps: readonly Step[]): void {
  const { ctx, bbox } = plot;
  const height = (value: number) =>
    Math.min(Math.max(plot.valToPos(value, 'y', true), bbox.top), bbox.top + bbox.height);
  ctx.save();
  ctx.globalAlpha = 0.22;
  steps.forEach(({ low, band }, place) => {
    const next = steps[place + 1];
    const bottom = height(place === 0 ? -Infinity : low);
    const top = height(next ? next.low : Infinity);
    ctx.fillStyle = band.color;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  });
  ctx.restore();
}

function tell(plot: uPlot, { onPoint }: ChartInput): void {
  const place = plot.cursor.idx;
  if (place == null) return onPoint(null, null, null);
  const value = (column: number) => plot.data[column]?.[place] ?? null;
  onPoint(plot.data[0][place] ?? null, value(AVG) ?? value(DOUBTFUL), value(OTHER_AVG));
}

interface Inks {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly surface: string;
  readonly accent: string;
  readonly spread: string;
}

/** The page's own colours, as the theme has them now. */
function inks(): Inks {
  const probe = document.createElement('span');
  document.body.append(probe);
  const color = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const [text, muted, line, surface, accent] = [
    ...(['text', 'muted', 'line', 'surface', 'focus'] as const),
  ].map(color) as [string, string, string, string, string];
  probe.remove();
  return { text, muted, line, surface, accent, spread: withAlpha(muted, 0.25) };
}

function withAlpha(color: string, alpha: number): string {
  return color.replace('rgb(', 'rgba(').replace(')', `, ${alpha})`);
}
