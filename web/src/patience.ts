/** How long to wait before asking again, so that a thousand screens do not ask at once. */

import { isUnauthorized } from './api';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5000;
/** Until somebody has logged in, which nobody does in a hurry. */
const LOGIN_WAIT_MS = 30_000;

/**
 * From 1 s to 5 s: at least half of a bound that doubles and ends, the rest by chance.
 *
 * `attempt` counts from 0, `random` lies in [0, 1).
 */
export function waitBeforeAttempt(attempt: number, random: number): number {
  return apart(Math.min(LONGEST_WAIT_MS, 2 * FIRST_WAIT_MS * 2 ** attempt), random);
}

/** The same, and longer where the node wants a login first. */
export function waitAfter(error: unknown, attempt: number, random: number): number {
  return isUnauthorized(error) ? apart(LOGIN_WAIT_MS, random) : waitBeforeAttempt(attempt, random);
}

/** Ask for ever, with growing waits; `onFailure` hears of each failed attempt. */
export async function untilAnswered<Answer>(
  ask: () => Promise<Answer>,
  onFailure: (error: unknown) => void,
): Promise<Answer> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      onFailure(error);
      await wait(waitAfter(error, attempt, Math.random()));
    }
  }
}

/** At least half of a bound, the rest by chance. */
function apart(bound_ms: number, random: number): number {
  return bound_ms / 2 + (random * bound_ms) / 2;
}

function wait(duration_ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration_ms));
}
