/**
 * The same muted map in the Protomaps schema, as far back as it calls a feature's sort `pmap:kind`.
 */

import type { ExpressionSpecification, LayerSpecification } from 'maplibre-gl';

import { area, labelLayer, line, localName, type Palette } from './ink';

const kind: ExpressionSpecification = ['coalesce', ['get', 'kind'], ['get', 'pmap:kind'], ''];

const GREENS = [
  ...['park', 'forest', 'wood', 'grass', 'grassland', 'meadow', 'scrub'],
  ...['nature_reserve', 'cemetery'],
];
/** The older schema also passes on what OpenStreetMap calls it, where it has no sort of its own. */
const isGreen: ExpressionSpecification = [
  'any',
  ...['kind', 'pmap:kind', 'landuse', 'natural'].map((key): ExpressionSpecification => [
    'in',
    ['get', key],
    ['literal', GREENS],
  ]),
];
const PLAIN_WATER = ['river', 'stream', 'canal'];
const MAJOR = ['highway', 'major_road'];
const MIDDLE = ['medium_road'];
const MINOR = ['minor_road', 'other'];
const PATHS = ['path'];
/** Boundaries between countries and between their parts, in the newer and the older numbers. */
const LOWEST_BOUNDARY = 4;

export function protomapsLayers(colors: Palette, language: string): LayerSpecification[] {
  const name = localName(language);
  return [
    area('earth', colors.ground),
    { ...area('landuse', colors.green), filter: isGreen },
    { ...area('natural', colors.green), filter: isGreen },
    area('water', colors.water),
    { ...line('waterway', 'water', colors.water, 1, 4), filter: isKind(PLAIN_WATER) },
    { ...area('buildings', colors.building), minzoom: 13 },
    { ...road('path', PATHS, colors.path, 0.5, 5), minzoom: 14 },
    { ...road('rail', ['rail'], colors.rail, 0.6, 3), minzoom: 11 },
    { ...road('minor-edge', MINOR, colors.roadEdge, 0.8, 14), minzoom: 13 },
    road('middle-edge', MIDDLE, colors.roadEdge, 1.4, 21),
    road('major-edge', MAJOR, colors.roadEdge, 2.2, 28),
    { ...road('minor', MINOR, colors.road, 0.4, 12), minzoom: 12 },
    road('middle', MIDDLE, colors.road, 0.8, 19),
    road('major', MAJOR, colors.road, 1.4, 25),
    {
      ...line('boundary', 'boundaries', colors.boundary, 0.8, 2),
      filter: [
        '<=',
        ['coalesce', ['get', 'kind_detail'], ['get', 'pmap:min_admin_level'], 0],
        LOWEST_BOUNDARY,
      ],
    },
    labelLayer('street-name', 'roads', name, colors, { minzoom: 13, isAlongLine: true }),
    labelLayer('place-name', 'places', name, colors, { maxzoom: 16 }),
  ];
}

function isKind(kinds: string[]): ExpressionSpecification {
  return ['in', kind, ['literal', kinds]];
}

function road(id: string, kinds: string[], color: string, thin: number, thick: number) {
  return {
    ...line(`road-${id}`, 'roads', color, thin, thick),
    filter: isKind(kinds),
  } satisfies LayerSpecification;
}
