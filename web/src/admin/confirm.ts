/** Asks before something is done that cannot be undone. */

import type { Say } from './words';
import { element } from '../dom';

/** True once agreed; where `word` is given, it has to be typed. */
export function confirmed(say: Say, what: string, go: string, word?: string): Promise<boolean> {
  const typed = element('input', { type: 'text', autocomplete: 'off', autocapitalize: 'off' });
  const agree = element('button', { type: 'submit', value: 'go', class: 'button danger' }, go);
  const cancel = element('button', { type: 'button', class: 'text-button' }, say('confirm.cancel'));
  const form = element(
    'form',
    { method: 'dialog', class: 'fields' },
    element('p', { id: 'asked' }, what),
    word ? element('label', {}, say('confirm.type', { word }), typed) : null,
    agree,
    cancel,
  );
  const dialog = element('dialog', { class: 'card', 'aria-labelledby': 'asked' }, form);
  agree.disabled = word !== undefined;
  typed.addEventListener('input', () => (agree.disabled = typed.value.trim() !== word));
  cancel.addEventListener('click', () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'go');
    });
  });
}
