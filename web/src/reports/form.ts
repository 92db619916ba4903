/** For whoever smells or sees something: what it is, where, and a note; shown after a look at it. */

import { ApiError, type NewReport } from '../api';
import { element, iconButton, nameButton, setText } from '../dom';
import { icon } from '../icons';
import type { PlainKey } from '../i18n';
import type { Place } from '../state';
import type { Part, View } from '../view';

export const KINDS = [
  'smoke',
  'burning',
  'traffic',
  'industrial',
  'chemical',
  'dust',
  'sewage',
  'other',
] as const;

/** What the node takes of a note. */
const MAX_NOTE = 500;

export interface ReportActions {
  /** Where the reader points: the middle of what is seen of the map; none without a map. */
  place(): Place | null;
  send(report: NewReport): Promise<unknown>;
  onClose(): void;
}

type Outcome = 'report.sent' | 'report.failed' | 'report.tooMany' | null;

export class ReportForm implements Part {
  readonly #title = element('h2', { tabindex: '-1' });
  readonly #close: HTMLButtonElement;
  readonly #kind = element('select', { required: '' });
  readonly #kindLabel = element('span');
  readonly #note = element('textarea', { rows: '3', maxlength: String(MAX_NOTE) });
  readonly #noteLabel = element('span');
  readonly #place = element('p');
  readonly #privacy = element('p', { class: 'muted' });
  readonly #send = element('button', { type: 'submit', class: 'button' });
  readonly #outcome = element('p', { class: 'notice', role: 'status' });
  readonly #actions: ReportActions;
  readonly element: HTMLElement;
  #said: Outcome = null;
  #view: View | null = null;
  #languageDrawn = '';

  constructor(actions: ReportActions) {
    this.#actions = actions;
    this.#close = iconButton(icon('close'), actions.onClose);
    const form = element(
      'form',
      {},
      element('label', {}, this.#kindLabel, this.#kind),
      element('label', {}, this.#noteLabel, this.#note),
      this.#place,
      this.#privacy,
      this.#send,
      this.#outcome,
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    const head = element('div', { class: 'panel-head' }, this.#title, this.#close);
    this.element = element('section', { class: 'report-form card' }, head, form);
    this.element.hidden = true;
  }

  focus(): void {
    this.#title.focus();
  }

  render(view: View): void {
    this.#view = view;
    this.element.hidden = view.state.side !== 'report';
    if (this.element.hidden) {
      this.#said = null;
      return;
    }
    this.#write(view);
    setText(this.#outcome, this.#said ? view.words.say(this.#said) : '');
  }

  #write({ words }: View): void {
    if (words.language === this.#languageDrawn) return;
    this.#languageDrawn = words.language;
    const texts: [Element, PlainKey][] = [
      [this.#title, 'report.title'],
      [this.#kindLabel, 'report.kind'],
      [this.#noteLabel, 'report.note'],
      [this.#place, 'report.place'],
      [this.#privacy, 'report.privacy'],
      [this.#send, 'report.send'],
    ];
    for (const [target, key] of texts) setText(target, words.say(key));
    this.element.setAttribute('aria-label', words.say('report.title'));
    nameButton(this.#close, words.say('panel.close'));
    const chosen = this.#kind.value;
    this.#kind.replaceChildren(
      element('option', { value: '' }, '…'),
      ...KINDS.map((kind) => element('option', { value: kind }, words.say(`report.${kind}`))),
    );
    this.#kind.value = chosen;
  }

  async #submit(): Promise<void> {
    const place = this.#actions.place();
    if (!place) return this.#end('report.failed');
    this.#send.disabled = true;
    const report = { ...place, kind: this.#kind.value, note: this.#note.value.trim() };
    const outcome: Outcome = await this.#actions.send(report).then(
      () => 'report.sent' as const,
      (error: unknown) => (isTooMany(error) ? 'report.tooMany' : 'report.failed'),
    );
    this.#send.disabled = false;
    if (outcome === 'report.sent') {
      this.#kind.value = '';
      this.#note.value = '';
    }
    this.#end(outcome);
  }

  #end(outcome: Outcome): void {
    this.#said = outcome;
    if (this.#view) this.render(this.#view);
  }
}

function isTooMany(error: unknown): boolean {
  return error instanceof ApiError && error.status === 429;
}
