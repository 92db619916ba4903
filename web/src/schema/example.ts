/** Examples made of the document: a value of a schema, an address, and a command that asks it. */

import {
  asksForToken,
  isNull,
  options,
  resolved,
  type Operation,
  type Schema,
  type Schemas,
} from './document';

const MOMENT = '2026-11-23T10:00:00Z';
/** What the API's own names stand for, so that an example can be sent as it is. */
const SAMPLES: Readonly<Record<string, unknown>> = {
  sensor_id: 'school-12',
  sensor: 'school-12',
  grid_id: 'z12-x2331-y1185',
  gridId: 'z12-x2331-y1185',
  gridIds: 'z12-x2331-y1185',
  cell: 'z18-x149208-y75850',
  lat: 60.171,
  lng: 24.941,
  minLat: 60.1,
  maxLat: 60.3,
  minLng: 24.8,
  maxLng: 25.2,
  bbox: '24.8,60.1,25.2,60.3',
  gridSize: 0.01,
  z: 12,
  x: 2331,
  y: 1185,
  file: '1185.mvt',
  monitor: 'airgradient:84fce612f5b8',
  entity: 'Datastreams(1)',
  number: 1,
  timestamp: MOMENT,
  from: MOMENT,
  to: MOMENT,
  at: MOMENT,
  quantity: 'pm25',
  aqi: 57,
};
/** What stands under names of the reader's own: by what it is called that holds them. */
const NAMES: Readonly<Record<string, string>> = { values: 'pm25', series: 'pm25' };
const LINE = 'air,sensor_id=school-12 pm25=12.3,temperature=4.5';
/** A shape that holds itself is shown to this depth. */
const DEEPEST = 8;
const DAY_MS = 86_400_000;

export function example(schema: Schema, schemas: Schemas, name = '', depth = 0): unknown {
  const told = resolved(schema, schemas);
  if (told.examples?.length) return told.examples[0];
  const chosen = options(told).find((option) => !isNull(option)) ?? {};
  if (chosen !== told) return example(chosen, schemas, name, depth);
  const kind = [told.type].flat().find((type) => type !== 'null');
  const sample = SAMPLES[name] ?? (name.endsWith('_at') ? MOMENT : undefined);
  if (typeof sample === (kind === 'integer' ? 'number' : kind)) return sample;
  if (told.enum) return told.enum.find((value) => value !== null);
  if (kind === 'array') {
    return depth < DEEPEST ? [example(told.items ?? {}, schemas, name, depth + 1)] : [];
  }
  if (kind === 'object') return depth < DEEPEST ? members(told, schemas, name, depth + 1) : {};
  return told.default ?? plain(told, kind);
}

function members(told: Schema, schemas: Schemas, holder: string, depth: number) {
  const named = Object.entries(told.properties ?? {}).map(([name, schema]) => {
    return [name, example(schema, schemas, name, depth)];
  });
  const others = told.additionalProperties;
  if (named.length === 0 && typeof others === 'object') {
    named.push([NAMES[holder] ?? 'name', example(others, schemas, '', depth)]);
  }
  return Object.fromEntries(named) as Record<string, unknown>;
}

function plain({ format, minimum }: Schema, kind: string | undefined): unknown {
  if (kind === 'string') return format === 'date-time' ? MOMENT : '…';
  if (kind === 'boolean') return true;
  return kind === 'integer' || kind === 'number' ? Math.max(minimum ?? 0, 0) : null;
}

/** The address with what it cannot do without; a beginning is a day ago, and no export lacks one. */
export function exampleAddress({ path, told }: Operation, schemas: Schemas, now_ms: number) {
  const dayAgo = new Date(now_ms - DAY_MS).toISOString().replace(/\.\d+/, '');
  const value = (name: string, schema: Schema = {}) =>
    name === 'from' ? dayAgo : String(SAMPLES[name] ?? example(schema, schemas, name));
  const schemaOf = new Map(told.parameters?.map(({ name, schema }) => [name, schema]));
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURI(value(name, schemaOf.get(name))),
  );
  const asked = (told.parameters ?? []).filter(
    ({ in: where, name, required }) => where === 'query' && (required || name === 'from'),
  );
  const query = asked.map(({ name, schema }) => `${name}=${encodeURI(value(name, schema))}`);
  return query.length > 0 ? `${filled}?${query.join('&')}` : filled;
}

/** What a shell takes; the body is one line, as it would be sent. */
export function curl(operation: Operation, schemas: Schemas, origin: string, now_ms: number) {
  const { method, told } = operation;
  const lines = [`curl '${origin}${exampleAddress(operation, schemas, now_ms)}'`];
  if (method === 'DELETE' || (method === 'POST' && !told.requestBody)) lines.push(`-X ${method}`);
  if (asksForToken(told)) lines.push("-H 'Authorization: Bearer TOKEN'");
  const [[type, { schema = {} }] = ['', {}]] = Object.entries(told.requestBody?.content ?? {});
  const body = bodyExample(type, schema, schemas, 0);
  if (type) lines.push(`-H 'Content-Type: ${type}'`, `-d '${body.replaceAll("'", "'\\''")}'`);
  return lines.join(' \\\n  ');
}

/** A body of a media type as text; empty where the document does not say what is in it. */
export function bodyExample(type: string, schema: Schema, schemas: Schemas, indent = 2): string {
  if (type.endsWith('json') && (schema.$ref ?? schema.type ?? schema.oneOf ?? schema.anyOf)) {
    const isText = resolved(schema, schemas).type === 'string';
    return isText ? '' : JSON.stringify(example(schema, schemas), null, indent);
  }
  return type === 'text/plain' ? LINE : '';
}
