/** Logging in: the token is sent once, and from then on a cookie stands for it. */

import { desk } from './api';
import { refusalIn, type Say } from './words';
import { ApiError, isUnauthorized } from '../api';
import { element, setText } from '../dom';
import type { Language } from '../i18n';

const COMMAND = 'urbanos-edge token create --scope operator';

export class LoginForm {
  readonly #notice = element('p', { class: 'notice', role: 'alert' });
  readonly element: HTMLFormElement;

  /** `onDone` is called when somebody has logged in. */
  constructor(say: Say, language: Language, onDone: () => void) {
    const token = element('input', { type: 'password', autocomplete: 'off', required: '' });
    const go = element('button', { type: 'submit', class: 'button' }, say('login.go'));
    this.element = element(
      'form',
      { class: 'login card fields' },
      element('h1', {}, say('login.title')),
      element('p', {}, say('login.what'), ' ', element('code', {}, COMMAND)),
      element('label', {}, say('login.token'), token),
      go,
      this.#notice,
      element('p', {}, element('a', { href: '/' }, say('map'))),
    );
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      go.disabled = true;
      desk
        .logIn(token.value.trim())
        .then(onDone, (error: unknown) => this.tell(told(say, language, error)))
        .finally(() => (go.disabled = false));
    });
  }

  /** Why the last login did not do. */
  tell(problem: string): void {
    setText(this.#notice, problem);
  }
}

function told(say: Say, language: Language, error: unknown): string {
  if (isUnauthorized(error)) return say('login.wrong');
  const why = error instanceof ApiError ? refusalIn(language, error) : '';
  return say('failed', { why });
}
