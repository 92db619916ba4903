/** What people reported, as text: what the map shows of it, for those who do not see that. */

import type { ReportList, Shown } from '../api-types';
import { element, setText } from '../dom';
import type { Part, View } from '../view';
import { reportTitle } from './card';

/** The newest; more lines than anyone reads. */
const MOST_LINES = 100;
const READ_EVERY_MS = 60_000;

export type ReadReports = () => Promise<ReportList>;

export interface ReportLine {
  readonly title: string;
  readonly note: string;
}

export class ReportLines implements Part {
  readonly #title = element('h3');
  readonly #list = element('ul', { class: 'report-lines' });
  readonly #note = element('p', { class: 'muted', role: 'status' });
  readonly #read: ReadReports;
  readonly element: HTMLElement;
  #view: View | null = null;
  #asked = '';
  /** How often somebody said that there are others. */
  #changes = 0;
  #told: ReportList | 'nothing' | null = null;
  #drawn = '';

  constructor(read: ReadReports) {
    this.#read = read;
    this.element = element('section', {}, this.#title, this.#list, this.#note);
  }

  render(view: View): void {
    this.#view = view;
    this.element.hidden = !view.state.reportsShown;
    if (this.element.hidden) return;
    setText(this.#title, view.words.say('report.layer'));
    void this.#load(`${this.#changes} ${Math.floor(view.now_ms / READ_EVERY_MS)}`);
    this.#draw(view);
  }

  /** There are others by now; read when they are next shown. */
  refresh(): void {
    this.#changes++;
  }

  /** What was read last stays when it cannot be read again. */
  async #load(key: string): Promise<void> {
    if (key === this.#asked) return;
    this.#asked = key;
    const told = await this.#read().catch(() => null);
    if (key !== this.#asked) return;
    this.#told = told ?? this.#told ?? 'nothing';
    if (this.#view) this.render(this.#view);
  }

  #draw(view: View): void {
    const told = this.#told;
    setText(this.#note, note(view, told));
    const lines = told && told !== 'nothing' ? reportLines(view, told.reports) : [];
    const looks = JSON.stringify(lines);
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    this.#list.replaceChildren(
      ...lines.map(({ title, note }) =>
        element('li', {}, element('strong', {}, title), note ? element('p', {}, note) : null),
      ),
    );
  }
}

/** The newest, as their cards on the map have them. */
export function reportLines(view: View, reports: readonly Shown[]): ReportLine[] {
  return reports
    .slice(0, MOST_LINES)
    .map((report) => ({ title: reportTitle(view, report), note: report.note }));
}

function note({ words, format }: View, told: ReportList | 'nothing' | null): string {
  if (told === null) return words.say('trend.loading');
  if (told === 'nothing') return words.say('report.unread');
  const { length } = told.reports;
  if (length === 0) return words.say('report.none');
  if (length <= MOST_LINES) return '';
  return words.say('report.more', {
    shown: format.count(MOST_LINES),
    count: format.count(length),
  });
}
