/** The chosen sensor for others: a link to it, and what to write into a page of one's own. */

import { embedAddress, shareAddress } from '../address';
import { element, setText } from '../dom';
import type { Selection } from '../state';
import type { View } from '../view';

const COPIED_FOR_MS = 3000;

export class Share {
  readonly #summary = element('summary');
  readonly #link = new Copyable();
  readonly #embed = new Copyable();
  readonly element: HTMLDetailsElement;

  constructor() {
    this.element = element(
      'details',
      { class: 'share' },
      this.#summary,
      this.#link.element,
      this.#embed.element,
    );
  }

  render({ words, state }: View, { id }: Selection): void {
    setText(this.#summary, words.say('share.title'));
    const title = state.sensors.get(id)?.name ?? id;
    const copy = [words.say('share.copy'), words.say('share.copied')] as const;
    this.#link.render(words.say('share.link'), shareAddress(id), ...copy);
    this.#embed.render(words.say('share.embed'), embedCode(embedAddress(id), title), ...copy);
  }
}

/** A text to take along. Where the page is not secure there is no clipboard: then it is selected. */
class Copyable {
  readonly #label = element('span');
  readonly #text = element('input', { type: 'text', readonly: '' });
  readonly #button = element('button', { type: 'button', class: 'text-button' });
  readonly element = element(
    'div',
    { class: 'copyable' },
    element('label', {}, this.#label, this.#text),
    this.#button,
  );
  #copiedUntil = 0;

  constructor() {
    this.#text.addEventListener('focus', () => this.#text.select());
    this.#button.addEventListener('click', () => void this.#copy());
  }

  render(label: string, text: string, copy: string, copied: string): void {
    setText(this.#label, label);
    if (this.#text.value !== text) this.#text.value = text;
    setText(this.#button, Date.now() < this.#copiedUntil ? copied : copy);
  }

  async #copy(): Promise<void> {
    this.#text.select();
    // Absent outside of https and localhost, whatever the type says.
    const clipboard = navigator.clipboard as Clipboard | undefined;
    await clipboard?.writeText(this.#text.value).then(
      () => (this.#copiedUntil = Date.now() + COPIED_FOR_MS),
      () => null,
    );
  }
}

/** HTML that shows the sensor; what a sensor is called is not ours, so it is escaped. */
export function embedCode(address: string, title: string): string {
  const attribute = (text: string) =>
    text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
  return `<iframe src="${attribute(address)}" title="${attribute(title)}" width="400" height="600" style="border:0" loading="lazy"></iframe>`;
}
