/** One operation: what it is called and does, and, once opened, everything said of it. */

import {
  asksForToken,
  nameOf,
  purpose,
  whoMay,
  type Answer,
  type Content,
  type Operation,
  type Parameter,
  type Schemas,
  type Told,
} from './document';
import { bodyExample, curl, exampleAddress } from './example';
import { drawnField, drawnShapes, folded, kindOf, prose, type Side } from './shape';
import { element } from '../dom';

export function drawnOperation(operation: Operation, schemas: Schemas): HTMLDetailsElement {
  const { id, method, path, told } = operation;
  const summary = element(
    'summary',
    {},
    element('span', { class: `method ${method.toLowerCase()}` }, method),
    element('code', {}, ...breakable(path)),
    element('span', { class: 'muted' }, heading(told)),
  );
  const made = element('details', { id, class: 'operation card' }, summary);
  const fill = () => made.append(element('div', { class: 'body' }, ...body(operation, schemas)));
  made.addEventListener('toggle', fill, { once: true });
  return made;
}

function heading(told: Told): string {
  return purpose(told).split(/[.;]\s/)[0] ?? '';
}

/** A path may go on in a new line after each of its slashes. */
function breakable(path: string): Node[] {
  const parts = path.split(/(?<=\/)/);
  return parts.flatMap((part) => [element('wbr'), document.createTextNode(part)]);
}

function body(operation: Operation, schemas: Schemas): (Node | null)[] {
  const { id, method, told } = operation;
  const now_ms = Date.now();
  const isGood = ([status]: [string, Answer]) => status < '4';
  const answers = Object.entries(told.responses).sort(([one], [other]) => (one < other ? -1 : 1));
  const refusals = answers.filter((answer) => !isGood(answer));
  const address = exampleAddress(operation, schemas, now_ms);
  return [
    purpose(told) === heading(told) ? null : prose(purpose(told)),
    element('p', {}, whoMay(told), ' ', element('a', { href: `#${id}` }, 'Link to this')),
    ...parameters(told.parameters ?? [], schemas),
    ...(told.requestBody
      ? [title('Body'), ...contents(told.requestBody.content, schemas, 'asked')]
      : []),
    title('Answers'),
    ...answers
      .filter(isGood)
      .flatMap(([status, answer]) => [
        element('p', {}, element('code', {}, status), ` ${answer.description ?? ''}`),
        ...contents(answer.content ?? {}, schemas, 'answered'),
      ]),
    refused(refusals, schemas),
    title('Example'),
    code(curl(operation, schemas, location.origin, now_ms)),
    method === 'GET' && !asksForToken(told)
      ? element('p', {}, element('a', { href: address }, 'See what is answered'))
      : null,
  ];
}

function title(text: string): HTMLElement {
  return element('h3', {}, text);
}

function parameters(all: readonly Parameter[], schemas: Schemas): HTMLElement[] {
  if (all.length === 0) return [];
  const places = { path: 'in the path', query: '', header: 'a header', cookie: 'a cookie' };
  const drawn = all.map(({ name, in: place, description, required = false, schema = {} }) => {
    const isNeeded = required && place !== 'path';
    const about = description ? { about: description } : {};
    const made = drawnField({ name, schema, isNeeded, side: 'asked', ...about }, schemas);
    if (places[place]) made.querySelector('code')?.after(` (${places[place]})`);
    return made;
  });
  return [title('Parameters'), element('ul', { class: 'fields' }, ...drawn)];
}

/** What a body or an answer may be, by media type: its kind, its fields, and an example. */
function contents(content: Content, schemas: Schemas, side: Side): HTMLElement[] {
  return Object.entries(content).map(([type, { schema = {} }]) => {
    const kind = kindOf(schema);
    const text = bodyExample(type, schema, schemas);
    return element(
      'div',
      { class: 'content' },
      element('code', {}, type),
      kind === 'anything' ? null : element('span', { class: 'muted' }, ` ${kind}`),
      ...drawnShapes(schema, schemas, side),
      text ? folded('Example', () => [code(text)]) : null,
    );
  });
}

/** What else may be answered, by status; most share one shape, which is shown once. */
function refused(refusals: readonly [string, Answer][], schemas: Schemas): HTMLElement | null {
  if (refusals.length === 0) return null;
  const rows = refusals.map(([status, { description = '' }]) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, element('code', {}, status)),
      element('td', {}, description),
    ),
  );
  const shapes = new Map<string, Content>();
  for (const [, { content = {} }] of refusals) {
    for (const [type, { schema = {} }] of Object.entries(content)) {
      shapes.set(type + nameOf(schema), { [type]: { schema } });
    }
  }
  const drawn = () => [...shapes.values()].flatMap((one) => contents(one, schemas, 'answered'));
  const statuses = refusals.map(([status]) => status).join(', ');
  return folded(`Refusals: ${statuses}`, () => [element('table', {}, ...rows), ...drawn()]);
}

/** Code is wider than a phone: it is moved by finger and by arrow keys. */
export function code(text: string): HTMLElement {
  return element('pre', { tabindex: '0' }, element('code', {}, text));
}
