/** How long a visitor may do nothing before a screen belongs to everybody again. */
const IDLE_MS = 60_000;
const TOUCHES = ['pointerdown', 'pointermove', 'keydown', 'wheel'];

/** Go to an address once nobody has touched anything for a while. */
export function returnWhenIdle(address: string): void {
  let timer = 0;
  const wait = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => location.assign(address), IDLE_MS);
  };
  onTouch(wait);
  wait();
}

/** From now on: whether nobody looks, or nobody has touched anything for a while. */
export function quietWatch(): () => boolean {
  let touched_ms = Date.now();
  onTouch(() => (touched_ms = Date.now()));
  return () => document.hidden || Date.now() - touched_ms > IDLE_MS;
}

function onTouch(action: () => void): void {
  for (const kind of TOUCHES) window.addEventListener(kind, action, { passive: true });
}
