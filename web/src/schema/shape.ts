/** The shape of a value: what its fields are called, which kinds they have, and their limits. */

import { isNull, nameOf, options, resolved, type Schema, type Schemas } from './document';
import { element } from '../dom';

/** The kind of a value in words: `array of Row`, `number or null`. */
export function kindOf(schema: Schema): string {
  if (schema.$ref) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' or ');
  const choices = options(schema);
  if (choices[0] !== schema) return [...new Set(choices.map(kindOf))].join(' or ');
  const kinds = [schema.type ?? 'anything'].flat();
  return kinds.map((kind) => wordsFor(kind, schema)).join(' or ');
}

function wordsFor(kind: string, schema: Schema): string {
  if (kind === 'array') return `array of ${schema.items ? kindOf(schema.items) : 'anything'}`;
  if (kind !== 'object') return kind;
  const others = schema.additionalProperties;
  const isByName = typeof others === 'object' && !schema.properties;
  return isByName ? `${kindOf(others)} by name` : nameOf(schema) || 'object';
}

/** What a value may not leave, in words; empty where there is nothing. */
export function limitsOf(schema: Schema): string {
  const told = options(schema).find((option) => !isNull(option)) ?? schema;
  const said = [
    range(told.minimum, told.maximum, ''),
    range(told.minLength, told.maxLength, ' characters'),
    range(told.minItems, told.maxItems, ' entries'),
    told.format ?? '',
  ];
  const usual = schema.default ?? told.default;
  const isSaid = usual !== undefined && usual !== null && typeof usual !== 'object' && usual !== '';
  if (isSaid) said.push(`${String(usual)} when left out`);
  return said.filter(Boolean).join(', ');
}

function range(least: number | undefined, most: number | undefined, unit: string): string {
  if (least === undefined && most === undefined) return '';
  if (least === undefined) return `at most ${most}${unit}`;
  return most === undefined ? `at least ${least}${unit}` : `${least} to ${most}${unit}`;
}

/** The shapes with fields that a value may have, or have in it. */
export function shapesIn(schema: Schema, schemas: Schemas): readonly Schema[] {
  if (schema.$ref) {
    const told = resolved(schema, schemas);
    return told.properties ? [schema] : shapesIn(told, schemas);
  }
  const choices = options(schema);
  if (choices[0] !== schema) return distinct(choices.flatMap((one) => shapesIn(one, schemas)));
  if (schema.properties) return [schema];
  const inner = [schema.items, schema.additionalProperties];
  return inner.flatMap((one) => (typeof one === 'object' ? shapesIn(one, schemas) : []));
}

function distinct(shapes: readonly Schema[]): readonly Schema[] {
  return [...new Map(shapes.map((shape) => [nameOf(shape) || shape, shape])).values()];
}

/** Who has to give the fields: what may be missing is said of an answer, what may not of a body. */
export type Side = 'asked' | 'answered';

/** Each shape with its fields; those of what is in a field are made when somebody looks. */
export function drawnShapes(schema: Schema, schemas: Schemas, side: Side): HTMLElement[] {
  return shapesIn(schema, schemas).map((shape) => {
    const told = resolved(shape, schemas);
    const fields = Object.entries(told.properties ?? {}).map(([name, inner]) => {
      const isNeeded = told.required?.includes(name) ?? false;
      return drawnField({ name, schema: inner, isNeeded, side }, schemas);
    });
    const about = told.description ? prose(told.description) : null;
    const list = element('ul', { class: 'fields' }, ...fields);
    return folded(nameOf(shape) || 'Fields', () => [about, list]);
  });
}

export interface Field {
  readonly name: string;
  readonly schema: Schema;
  readonly isNeeded: boolean;
  readonly side: Side;
  /** In words; what the schema says where there are none. */
  readonly about?: string;
}

export function drawnField(field: Field, schemas: Schemas): HTMLLIElement {
  const { name, schema, isNeeded, side, about = schema.description } = field;
  const kind = [kindOf(schema), limitsOf(schema)].filter(Boolean).join(', ');
  const mark = side === 'asked' ? isNeeded && 'required' : !isNeeded && 'may be missing';
  return element(
    'li',
    {},
    element('code', {}, name),
    element('span', { class: 'muted' }, ` ${kind}`),
    mark ? element('strong', {}, ` ${mark}`) : null,
    about ? prose(about) : null,
    ...drawnShapes(schema, schemas, side),
  );
}

/** A part that is opened by its title, and made when it is. */
export function folded(title: string, make: () => (Node | string | null)[]): HTMLDetailsElement {
  const made = element('details', {}, element('summary', {}, title));
  made.addEventListener('toggle', () => made.append(...make().filter((part) => part !== null)), {
    once: true,
  });
  return made;
}

/** Words of the document: what stands between backticks is code. */
export function prose(text: string): HTMLParagraphElement {
  const parts = text.replace(/\s+/g, ' ').split('`');
  const drawn = parts.map((part, place) => (place % 2 ? element('code', {}, part) : part));
  return element('p', {}, ...drawn);
}
