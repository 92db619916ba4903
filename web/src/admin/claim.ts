/** Whoever claims a sender says where it stands, best by a click on the map. */

import { desk as node, type RecognisedBy } from './api';
import { select } from './rules';
import { plainButton, type Acts } from './view';
import type { Say } from './words';
import { element } from '../dom';
import type { Format } from '../format';
import type { Place } from '../state';

const RULES: readonly RecognisedBy[] = ['address', 'token', 'basic', 'open'];

export interface ClaimInput {
  readonly say: Say;
  readonly format: Format;
  readonly acts: Acts;
  readonly sender: string;
  /** What is known of it: its sensor's name, where it stands, and the address it sends from. */
  readonly name: string;
  readonly place: Place | null;
  readonly address: string;
  /** Somewhere was pointed at, by hand or by click. */
  onPlace(place: Place): void;
  onClose(): void;
}

export class ClaimForm {
  readonly #input: ClaimInput;
  readonly #title: HTMLElement;
  readonly #name = element('input', { type: 'text', maxlength: '120', autocomplete: 'off' });
  readonly #lat = degrees(90);
  readonly #lng = degrees(180);
  readonly #rule: HTMLSelectElement;
  readonly #go: HTMLButtonElement;
  /** A secret stays in sight until the form is closed. */
  readonly #secret = element('p', { class: 'secret', role: 'status' });
  readonly element: HTMLFormElement;

  constructor(input: ClaimInput) {
    const { say, sender, name, place, address, onClose } = input;
    this.#input = input;
    this.#title = element('h3', { tabindex: '-1' }, say('claim.title', { sender }));
    const from = address && ` (${address})`;
    const added = (rule: RecognisedBy) => (rule === 'address' ? from : '');
    this.#rule = select(RULES.map((rule) => [rule, say(`claim.${rule}`) + added(rule)]));
    this.#go = element('button', { type: 'submit', class: 'button' }, say('claim.do'));
    this.#name.value = name;
    if (place) this.point(place);
    const fields = [
      ['claim.name', this.#name],
      ['claim.lat', this.#lat],
      ['claim.lng', this.#lng],
      ['claim.rule', this.#rule],
    ] as const;
    this.element = element(
      'form',
      { class: 'fields' },
      this.#title,
      element('p', {}, say('claim.what')),
      ...fields.map(([key, field]) => element('label', {}, say(key), field)),
      this.#go,
      plainButton(say('confirm.cancel'), onClose),
      this.#secret,
    );
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void input.acts.act(this.#go, () => this.#claim());
    });
    for (const field of [this.#lat, this.#lng]) {
      field.addEventListener('change', () => input.onPlace(this.#place()));
    }
  }

  focus(): void {
    this.#title.focus();
  }

  point({ lat, lng }: Place): void {
    this.#lat.value = lat.toFixed(6);
    this.#lng.value = lng.toFixed(6);
  }

  #place(): Place {
    return { lat: Number(this.#lat.value), lng: Number(this.#lng.value) };
  }

  async #claim(): Promise<string> {
    const { say, format, sender, onClose } = this.#input;
    const name = this.#name.value.trim() || sender;
    const rule = RULES.find((known) => known === this.#rule.value) ?? 'address';
    const { imported, secret } = await node.claim({ sender, name, rule, ...this.#place() });
    if (secret === null) onClose();
    else this.#secret.replaceChildren(say('claim.secret'), ' ', element('code', {}, secret));
    return say('claim.done', { name, count: format.count(imported) });
  }
}

function degrees(most: number): HTMLInputElement {
  const limits = { min: String(-most), max: String(most) };
  return element('input', { type: 'number', step: 'any', required: '', ...limits });
}
