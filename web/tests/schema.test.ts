import { expect, test } from 'vitest';

import {
  byTag,
  matches,
  purpose,
  whoMay,
  type ApiDocument,
  type Schemas,
  type Told,
} from '../src/schema/document';
import { curl, example, exampleAddress } from '../src/schema/example';
import { kindOf, limitsOf, shapesIn } from '../src/schema/shape';

const NOW_MS = Date.UTC(2026, 10, 24, 10);
const SCHEMAS: Schemas = {
  Row: {
    type: 'object',
    properties: {
      sensor_id: { type: 'string' },
      pm25: { oneOf: [{ type: 'number' }, { type: 'null' }] },
      flags: { type: 'array', items: { type: 'string' } },
      place: { oneOf: [{ $ref: '#/components/schemas/Place' }, { type: 'null' }] },
    },
  },
  Place: {
    type: 'object',
    properties: { lat: { type: 'number' }, lng: { type: 'number' } },
  },
  Tree: {
    type: 'object',
    properties: { in_it: { type: 'array', items: { $ref: '#/components/schemas/Tree' } } },
  },
};
const ROW = { $ref: '#/components/schemas/Row' };
const NEEDS: Told['security'] = [{ bearer: ['operator'] }, { session: ['operator'] }];

function only(path: string, method: string, more: Partial<Told> = {}) {
  const told: Told = { tags: ['grids'], summary: 'GridRows', responses: {}, ...more };
  const document: ApiDocument = {
    info: { title: 'Node', version: '1' },
    paths: { [path]: { [method]: told } },
  };
  const [operation] = byTag(document).get('grids') ?? [];
  if (!operation) throw new Error('lost');
  return operation;
}

test('a link names an operation by its method and its path, in plain letters', () => {
  expect(only('/api/v1/grids/{grid_id}/data', 'get').id).toBe('get-api-v1-grids-grid_id-data');
  expect(only('/data.php', 'post').id).toBe('post-data.php');
});

test('an operation is found by any words of it, in any order', () => {
  const parameters = [{ name: 'minLat', in: 'query' }] as const;
  const found = only('/api/v1/grids/bounds', 'get', { parameters });
  for (const words of ['bounds get', 'minlat', 'GRID rows', '']) {
    expect(matches(found, words), words).toBe(true);
  }
  expect(matches(found, 'bounds post')).toBe(false);
});

test('what an operation does is said in words, or else by its name', () => {
  expect(purpose({ summary: 'GridRows', responses: {} })).toBe('Grid rows');
  const description = 'The readings of a grid.';
  expect(purpose({ summary: 'GridRows', description, responses: {} })).toBe(description);
});

test('who may ask is a sentence', () => {
  const told = (security?: Told['security']) =>
    whoMay({ responses: {}, ...(security && { security }) });
  expect(told()).toBe('Everybody may ask.');
  expect(told(NEEDS)).toBe('Needs a token of scope operator, or an admin’s, or a login.');
  expect(told([{ bearer: [] }])).toBe('Needs a token.');
  expect(told([{}, { bearer: [] }])).toBe('Everybody may ask; a token counts for more.');
});

test('an example has every field, by the names that the API uses', () => {
  expect(example({ type: 'array', items: ROW }, SCHEMAS)).toEqual([
    { sensor_id: 'school-12', pm25: 0, flags: ['…'], place: { lat: 60.171, lng: 24.941 } },
  ]);
});

test('a shape that holds itself comes to an end', () => {
  const text = JSON.stringify(example({ $ref: '#/components/schemas/Tree' }, SCHEMAS));
  expect(text.match(/in_it/g)?.length).toBeLessThan(10);
});

test('an example address has what is required, and the last day where a beginning is asked for', () => {
  const parameters = [
    { name: 'sensor_id', in: 'path', required: true, schema: { type: 'string' } },
    { name: 'from', in: 'query', schema: { type: 'string' } },
    { name: 'zoom', in: 'query', schema: { type: 'integer', default: 12 } },
    { name: 'minLat', in: 'query', required: true, schema: { type: 'number' } },
  ] as const;
  const operation = only('/api/v1/sensors/{sensor_id}/history', 'get', { parameters });
  expect(exampleAddress(operation, SCHEMAS, NOW_MS)).toBe(
    '/api/v1/sensors/school-12/history?from=2026-11-23T10:00:00Z&minLat=60.1',
  );
});

test('an example command sends a token where one is needed, and a body where there is one', () => {
  const requestBody = { content: { 'application/json': { schema: SCHEMAS['Place'] ?? {} } } };
  const operation = only('/api/v1/inbox/claim', 'post', { requestBody, security: NEEDS });
  expect(curl(operation, SCHEMAS, 'http://node', NOW_MS)).toBe(
    [
      "curl 'http://node/api/v1/inbox/claim' \\",
      "  -H 'Authorization: Bearer TOKEN' \\",
      "  -H 'Content-Type: application/json' \\",
      `  -d '{"lat":60.171,"lng":24.941}'`,
    ].join('\n'),
  );
  const gone = only('/api/v1/session', 'delete');
  expect(curl(gone, SCHEMAS, 'http://node', NOW_MS)).toBe(
    "curl 'http://node/api/v1/session' \\\n  -X DELETE",
  );
});

test('kinds and limits are told in words', () => {
  expect(kindOf({ type: 'array', items: ROW })).toBe('array of Row');
  expect(kindOf({ oneOf: [{ type: 'integer' }, { type: 'null' }] })).toBe('integer or null');
  expect(kindOf({ enum: ['csv', 'parquet'] })).toBe('"csv" or "parquet"');
  expect(kindOf({ type: 'object', additionalProperties: { type: 'number' } })).toBe(
    'number by name',
  );
  expect(limitsOf({ type: 'integer', minimum: 1, maximum: 10, default: 5 })).toBe(
    '1 to 10, 5 when left out',
  );
  expect(limitsOf({ anyOf: [{ type: 'string', maxLength: 120 }, { type: 'null' }] })).toBe(
    'at most 120 characters',
  );
});

test('the shapes in a value are named once, wherever in it they are', () => {
  const choice = { anyOf: [{ type: 'array', items: ROW }, ROW, { type: 'null' }] };
  expect(shapesIn(choice, SCHEMAS)).toEqual([ROW]);
  expect(shapesIn({ type: 'string' }, SCHEMAS)).toEqual([]);
});
