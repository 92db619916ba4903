/** A muted basemap: streets to find one's way by, no colours of its own. */

import type {
  LayerSpecification,
  RasterSourceSpecification,
  VectorSourceSpecification,
} from 'maplibre-gl';

import type { TileJson } from '../api-types';
import { BASEMAP, type Palette, palettes, type Theme } from './ink';
import { openMapTilesLayers } from './openmaptiles-style';
import { protomapsLayers } from './protomaps-style';

/** Whether these tiles can be drawn here; what is of no known schema cannot. */
export function isDrawable(basemap: TileJson | null): basemap is TileJson {
  return basemap !== null && basemap.schema !== 'other';
}

export function basemapSource(
  basemap: TileJson,
): VectorSourceSpecification | RasterSourceSpecification {
  const { tiles, minzoom = 0, maxzoom = 14, bounds, attribution } = basemap;
  const source = {
    tiles,
    minzoom,
    maxzoom,
    ...(bounds && { bounds: bounds as [number, number, number, number] }),
    ...(attribution && { attribution }),
  };
  if (basemap.schema === 'raster') return { type: 'raster', tileSize: 256, ...source };
  return { type: 'vector', ...source };
}

/** The layers that this basemap has data for; all of them when it does not say what it holds. */
export function basemapLayers(
  basemap: TileJson,
  theme: Theme,
  language: string,
): LayerSpecification[] {
  if (basemap.schema === 'raster') return [rasterLayer(theme)];
  // Old Protomaps files call their layer `landuse` `land` in what they say of themselves.
  const isToldWrong = basemap.schema === 'protomaps-old';
  const held = isToldWrong ? undefined : basemap.vector_layers?.map((layer) => layer.id);
  return schemaLayers(basemap, palettes[theme], language).filter(
    (layer) => !held || !('source-layer' in layer) || held.includes(layer['source-layer'] ?? ''),
  );
}

function schemaLayers(
  { schema }: TileJson,
  colors: Palette,
  language: string,
): LayerSpecification[] {
  if (schema?.startsWith('protomaps')) return protomapsLayers(colors, language);
  return openMapTilesLayers(colors, language);
}

/** Pictures have colours of their own: only the air's may be bright. */
function rasterLayer(theme: Theme): LayerSpecification {
  const isDark = theme === 'dark';
  return {
    id: 'pictures',
    type: 'raster',
    source: BASEMAP,
    paint: {
      'raster-saturation': -0.8,
      ...(isDark && { 'raster-brightness-min': 0.3, 'raster-brightness-max': 0 }),
    },
  };
}

export function backgroundLayer(theme: Theme): LayerSpecification {
  return {
    id: 'ground',
    type: 'background',
    paint: { 'background-color': palettes[theme].ground },
  };
}
