/** How long to wait before asking again, so that a thousand screens do not ask at once. */

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5000;

/**
 * From 1 s to 5 s: at least half of a bound that doubles and ends, the rest by chance.
 *
 * `attempt` counts from 0, `random` lies in [0, 1).
 */
export function waitBeforeAttempt(attempt: number, random: number): number {
  const bound = Math.min(LONGEST_WAIT_MS, 2 * FIRST_WAIT_MS * 2 ** attempt);
  return bound / 2 + (random * bound) / 2;
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
      await wait(waitBeforeAttempt(attempt, Math.random()));
    }
  }
}

function wait(duration_ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration_ms));
}
