/** The bar on top: where this is, how the air is there, and how to read the page. */

import { element, iconButton, nameButton, setText } from './dom';
import { icon, type IconName } from './icons';
import { isLanguage, languages, type Language } from './i18n';
import { hourSpan } from './replay';
import { cityIndex, isCutOff } from './state';
import type { ThemeChoice, ThemeSwitch } from './theme';
import {
  bandWord,
  paintIndexBadge,
  paintSimulatedMark,
  simulatedMark,
  type Part,
  type View,
} from './view';

const themeIcons: Readonly<Record<ThemeChoice, IconName>> = {
  auto: 'device',
  light: 'sun',
  dark: 'moon',
};

export interface TopbarActions {
  onLanguage(language: Language): void;
  onTheme(): void;
  /** Open or close what stands at the side. */
  onSide(side: 'list' | 'report'): void;
}

export class Topbar implements Part {
  readonly #place = element('h1');
  readonly #mark = simulatedMark();
  readonly #badge = element('span', { class: 'index-badge' });
  readonly #word = element('strong');
  readonly #median = element('span', { class: 'muted' });
  readonly #link = element('p', { class: 'link', role: 'status' });
  readonly #language = languageSelect();
  readonly #listButton: HTMLButtonElement;
  readonly #reportButton: HTMLButtonElement;
  readonly #themeButton: HTMLButtonElement;
  readonly #theme: ThemeSwitch;
  #linkDrawn = '';
  readonly element: HTMLElement;

  constructor(theme: ThemeSwitch, actions: TopbarActions) {
    this.#theme = theme;
    this.#listButton = iconButton(icon('list'), () => actions.onSide('list'));
    this.#reportButton = iconButton(icon('report'), () => actions.onSide('report'));
    this.#themeButton = iconButton(icon('device'), actions.onTheme);
    this.#language.addEventListener('change', () => {
      if (isLanguage(this.#language.value)) actions.onLanguage(this.#language.value);
    });
    const reading = element('p', {}, this.#word, this.#median, this.#mark);
    this.element = element(
      'header',
      { class: 'topbar card' },
      this.#place,
      element('div', { class: 'city' }, this.#badge, reading),
      element(
        'div',
        { class: 'tools' },
        this.#listButton,
        this.#reportButton,
        this.#language,
        this.#themeButton,
      ),
      this.#link,
    );
  }

  /** The button that opens a side. */
  button(side: 'list' | 'report'): HTMLButtonElement {
    return side === 'list' ? this.#listButton : this.#reportButton;
  }

  render(view: View): void {
    const { state, words } = view;
    this.element.setAttribute('aria-label', words.say('bar.label'));
    setText(this.#place, state.status?.node.name ?? '');
    paintSimulatedMark(this.#mark, view);
    this.#renderCity(view);
    this.#renderTools(view);
    this.#renderLink(view);
  }

  /** A word is put in only when it is another: a screen reader hears what is put in. */
  #renderLink(view: View): void {
    const { state, words } = view;
    const text = linkMessages(view).join(' · ');
    const logIn = state.isBarred ? words.say('link.logIn') : '';
    if (text + logIn === this.#linkDrawn) return;
    this.#linkDrawn = text + logIn;
    const link = logIn ? [' ', element('a', { href: '/admin' }, logIn)] : [];
    this.#link.replaceChildren(text, ...link);
  }

  #renderCity(view: View): void {
    const { state, words, format } = view;
    const city = cityIndex(state, view.now_ms);
    paintIndexBadge(this.#badge, state.standard, city?.index ?? null, format);
    setText(this.#word, city ? bandWord(view, city.index) : words.say('bar.noMedian'));
    const sensors = city ? words.sensors(city.count, format.count(city.count)) : '';
    setText(this.#median, city ? words.say('bar.median', { sensors }) : '');
  }

  #renderTools({ state, words }: View): void {
    nameButton(this.#listButton, words.say('list.open'));
    this.#listButton.setAttribute('aria-expanded', String(state.side === 'list'));
    this.#reportButton.setAttribute('aria-expanded', String(state.side === 'report'));
    nameButton(this.#reportButton, words.say('report.open'));
    nameButton(this.#themeButton, words.say(`theme.${this.#theme.choice}`));
    this.#showThemeIcon(themeIcons[this.#theme.choice]);
    this.#language.setAttribute('aria-label', words.say('bar.language'));
    this.#language.value = words.language;
  }

  #showThemeIcon(name: IconName): void {
    if (this.#themeButton.dataset['icon'] === name) return;
    this.#themeButton.dataset['icon'] = name;
    this.#themeButton.replaceChildren(icon(name));
  }
}

function languageSelect(): HTMLSelectElement {
  const options = Object.entries(languages).map(([tag, { name }]) =>
    element('option', { value: tag, lang: tag }, name),
  );
  return element('select', {}, ...options);
}

/** Why the map is not of now, each reason; none while all is well. */
export function linkMessages(view: View): string[] {
  return [replayMessage(view), cutOffMessage(view)].filter((message) => message !== '');
}

function cutOffMessage({ state, words, format, now_ms }: View): string {
  if (state.isBarred) return words.say('link.barred');
  if (!isCutOff(state, now_ms)) return '';
  if (state.heardAt === null) return words.say('link.never');
  return words.say('link.lost', { time: format.clock(state.heardAt, now_ms) });
}

/** While the map shows the past, nobody may take it for now. */
function replayMessage(view: View): string {
  const { replayedHour } = view.state;
  if (replayedHour === null) return '';
  return view.words.say('replay.shown', { span: hourSpan(view, replayedHour) });
}
