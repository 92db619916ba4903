/** A few icons of one hand: 20 px, 1.6 px strokes in the text's colour. */

const SVG = 'http://www.w3.org/2000/svg';

const paths = {
  list: 'M3 5h1M3 10h1M3 15h1M7.5 5H17M7.5 10H17M7.5 15H17',
  close: 'M5 5l10 10M15 5L5 15',
  plus: 'M10 4v12M4 10h12',
  minus: 'M4 10h12',
  warning: 'M10 3l8 14H2zM10 8v4M10 14.6v.1',
  report: 'M3.5 4h13v9H10l-4 3.5V13H3.5zM7 7.5h6M7 10h4',
  clock: 'M10 3a7 7 0 1 0 0 14 7 7 0 1 0 0-14M10 6v4.4l3 1.8',
  play: 'M6.5 4.5v11l9-5.5z',
  pause: 'M7 4.5v11M13 4.5v11',
  down: 'M5 8l5 5 5-5',
  sun: 'M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 1 0 0-7M10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6L16 16M16 4l-1.4 1.4M5.4 14.6L4 16',
  moon: 'M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z',
  device: 'M3 4h14v9.5H3zM7.5 17h5M10 13.5V17',
} as const;

export type IconName = keyof typeof paths;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', paths[name]);
  svg.append(path);
  return svg;
}
