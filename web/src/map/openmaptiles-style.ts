/** The muted map in the OpenMapTiles schema, which our own imports have too. */

import type { ExpressionSpecification, LayerSpecification } from 'maplibre-gl';

import { area, labelLayer, line, localName, type Palette } from './ink';

/** Road classes of the schema by how wide they are drawn. */
const MAJOR = ['motorway', 'trunk', 'primary'];
const MIDDLE = ['secondary', 'tertiary'];
const MINOR = ['minor', 'service', 'track', 'busway', 'raceway'];
const PATHS = ['path', 'pedestrian', 'footway'];
/** Lines that carry names in this schema but are no streets. */
const NOT_STREETS = ['rail', 'transit', 'ferry'];

export function openMapTilesLayers(colors: Palette, language: string): LayerSpecification[] {
  return [...areas(colors), ...roads(colors), ...labels(colors, language)];
}

function areas(colors: Palette): LayerSpecification[] {
  return [
    area('landuse', colors.built),
    area('landcover', colors.green),
    area('park', colors.green),
    area('water', colors.water),
    line('waterway', 'waterway', colors.water, 1, 4),
    area('aeroway', colors.built),
    {
      ...area('building', colors.building),
      minzoom: 13,
      paint: {
        'fill-color': colors.building,
        'fill-outline-color': colors.buildingEdge,
        'fill-opacity': ['interpolate', ['linear'], ['zoom'], 13, 0, 14.5, 1],
      },
    },
  ];
}

function roads(colors: Palette): LayerSpecification[] {
  return [
    { ...road('path', PATHS, colors.path, 0.5, 5), minzoom: 14 },
    { ...road('rail', ['rail', 'transit'], colors.rail, 0.6, 3), minzoom: 11 },
    { ...road('minor-edge', MINOR, colors.roadEdge, 0.8, 14), minzoom: 13 },
    road('middle-edge', MIDDLE, colors.roadEdge, 1.4, 21),
    road('major-edge', MAJOR, colors.roadEdge, 2.2, 28),
    { ...road('minor', MINOR, colors.road, 0.4, 12), minzoom: 12 },
    road('middle', MIDDLE, colors.road, 0.8, 19),
    road('major', MAJOR, colors.road, 1.4, 25),
    {
      ...line('boundary', 'boundary', colors.boundary, 0.8, 2),
      filter: ['<=', ['get', 'admin_level'], 8],
    },
  ];
}

function labels(colors: Palette, language: string): LayerSpecification[] {
  const name = localName(language);
  const streets = labelLayer('street-name', 'transportation_name', name, colors, {
    minzoom: 13,
    isAlongLine: true,
  });
  return [
    { ...streets, filter: ['!', ['in', ['get', 'class'], ['literal', NOT_STREETS]]] },
    labelLayer('water-name', 'water_name', name, colors, {}),
    labelLayer('place-name', 'place', name, colors, { maxzoom: 16, size: placeSize }),
  ];
}

/** Towns larger than their parts. */
const placeSize: ExpressionSpecification = [
  'match',
  ['get', 'class'],
  ['city', 'town'],
  15,
  ['village', 'suburb', 'quarter'],
  13,
  12,
];

function road(id: string, classes: string[], color: string, thin: number, thick: number) {
  return {
    ...line(`road-${id}`, 'transportation', color, thin, thick),
    filter: ['in', ['get', 'class'], ['literal', classes]],
  } satisfies LayerSpecification;
}
