/** The OpenAPI document of a node, or of the centre: as much of it as this page shows. */

export interface Schema {
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

export type Schemas = Readonly<Record<string, Schema>>;

/** Schemas by media type. */
export type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header' | 'cookie';
  readonly description?: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}

export interface Answer {
  readonly description?: string;
  readonly content?: Content;
}

export interface Told {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, Answer>>;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
}

export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Told>>>>;
  readonly components?: { readonly schemas?: Schemas };
}

export interface Operation {
  /** What a link to it ends in: `get-api-v1-grids-bounds`. */
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly told: Told;
}

/** All operations by their first tag, in the order of the document. */
export function byTag({ paths }: ApiDocument): Map<string, Operation[]> {
  const found = new Map<string, Operation[]>();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const tag = told.tags?.[0] ?? 'other';
      const operation = { id: idOf(method, path), method: method.toUpperCase(), path, told };
      found.set(tag, [...(found.get(tag) ?? []), operation]);
    }
  }
  return found;
}

/** The same as long as the path is, and nothing in it that a chat program cuts a link off at. */
function idOf(method: string, path: string): string {
  const words = `${method} ${path}`.match(/[\w.]+/g) ?? [];
  return words.join('-');
}

/** What it does, in the document's words; at least its name: `GridRows` is "Grid rows". */
export function purpose({ description, summary = '' }: Told): string {
  if (description) return description;
  const words = summary.replace(/(?<=[a-z])(?=[A-Z0-9])/g, ' ').toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Whether an operation has all the words, in any order, in what is said of it. */
export function matches({ method, path, told }: Operation, words: string): boolean {
  const names = (told.parameters ?? []).map(({ name }) => name);
  const text = [method, path, purpose(told), ...(told.tags ?? []), ...names].join(' ');
  const lower = text.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Who may ask, in a sentence. */
export function whoMay(told: Told): string {
  const { security = [] } = told;
  if (security.length === 0) return 'Everybody may ask.';
  const ways = new Set(security.flatMap((way) => Object.keys(way)));
  const scopes = [...new Set(security.flatMap((way) => Object.values(way).flat()))];
  const kinds = scopes.length > 0 ? ` of scope ${scopes.join(' or ')}, or an admin’s` : '';
  const login = ways.has('session') ? ', or a login' : '';
  const token = `a token${kinds}${login}`;
  return asksForToken(told) ? `Needs ${token}.` : `Everybody may ask; ${token} counts for more.`;
}

/** Whether nobody is answered without a token. */
export function asksForToken({ security }: Told): boolean {
  const ways = security ?? [];
  return ways.length > 0 && ways.every((way) => Object.keys(way).length > 0);
}

const REFERENCE = '#/components/schemas/';

/** The name of the shape that a schema refers to; empty where it is spelled out. */
export function nameOf(schema: Schema): string {
  return schema.$ref?.replace(REFERENCE, '') ?? schema.title ?? '';
}

export function resolved(schema: Schema, schemas: Schemas): Schema {
  return schema.$ref ? (schemas[schema.$ref.replace(REFERENCE, '')] ?? {}) : schema;
}

/** What a value may be one of; itself where there is no choice. */
export function options(schema: Schema): readonly Schema[] {
  return schema.oneOf ?? schema.anyOf ?? [schema];
}

export function isNull({ type }: Schema): boolean {
  return type === 'null';
}
