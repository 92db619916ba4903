/** Draws parts of the page anew, and leaves whoever reads or works in them where they are. */

import { element } from '../dom';

const FOCUSABLE = 'a, button, [tabindex]';
const ROWS = 'tr, li';
const TOUCHES = ['pointerdown', 'pointermove', 'pointerup', 'pointercancel'] as const;

/** What has the focus: where in which row, so that it is found again; `row` null: in none. */
interface Focused {
  readonly row: string | null;
  readonly place: number;
}

export class Drawing {
  readonly #drawn = new WeakMap<HTMLElement, string>();
  /** Where a pointer went down that is still down. */
  #pressed: Node | null = null;

  /** `page` holds all that is drawn. */
  constructor(page: HTMLElement) {
    for (const kind of TOUCHES) {
      page.addEventListener(kind, ({ buttons, target }) => {
        this.#pressed = buttons === 0 ? null : (this.#pressed ?? (target as Node));
      });
    }
  }

  /**
   * What reads the same as before stays. Where something is being pressed, or marked unless it
   * `isDue`, the next time will do.
   */
  draw(target: HTMLElement, content: readonly (string | Node)[], isDue: boolean): void {
    const made = element('div', {}, ...content);
    const written = made.innerHTML;
    if (this.#drawn.get(target) === written || target.contains(this.#pressed)) return;
    if (!isDue && isMarked(target)) return;
    this.#drawn.set(target, written);
    const scrolled = target.querySelector('.wide');
    const [top, left] = [scrolled?.scrollTop ?? 0, scrolled?.scrollLeft ?? 0];
    const focused = focusedIn(target);
    target.replaceChildren(...made.childNodes);
    target.querySelector('.wide')?.scrollTo({ top, left, behavior: 'instant' });
    if (focused) focusAgain(target, focused);
  }
}

/** Say what a row is about, by whatever of it stays the same when its words change. */
export function keyed<Made extends HTMLElement>(made: Made, key: string | number): Made {
  made.dataset['key'] = String(key);
  return made;
}

/** Whether any of it is selected, to be copied. */
function isMarked(target: HTMLElement): boolean {
  const selection = document.getSelection();
  return selection?.type === 'Range' && selection.containsNode(target, true);
}

function focusedIn(target: HTMLElement): Focused | null {
  const focused = document.activeElement;
  if (!focused || focused === target || !target.contains(focused)) return null;
  const row = focused.closest(ROWS);
  const place = [...(row ?? target).querySelectorAll(FOCUSABLE)].indexOf(focused);
  return { row: row && nameOf(row), place };
}

/** A row that is gone leaves its reader in the table, not at the top of the page. */
function focusAgain(target: HTMLElement, { row, place }: Focused): void {
  const found =
    row === null ? target : [...target.querySelectorAll(ROWS)].find((one) => nameOf(one) === row);
  const focusable = found?.querySelectorAll<HTMLElement>(FOCUSABLE)[place];
  const kept = focusable ?? target.querySelector<HTMLElement>('.wide') ?? target;
  if (kept === target) target.tabIndex = -1;
  kept.focus({ preventScroll: true });
}

/** By its key, else by what its first cell says. */
function nameOf(row: Element): string {
  const key = row.querySelector<HTMLElement>('[data-key]')?.dataset['key'];
  return key ?? row.querySelector('th')?.textContent ?? '';
}
