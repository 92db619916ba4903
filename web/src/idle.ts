/** How long a visitor may do nothing before a screen belongs to everybody again. */
const IDLE_MS = 60_000;

/** Go to an address once nobody has touched anything for a while. */
export function returnWhenIdle(address: string): void {
  let timer = 0;
  const wait = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => location.assign(address), IDLE_MS);
  };
  for (const kind of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
    window.addEventListener(kind, wait, { passive: true });
  }
  wait();
}
