/** Lets the page open without its node, and brings a new version of it in at a quiet moment. */

const LOOK_EVERY_MS = 3_600_000;
/** Often: at the pace of a kiosk's stops it might always meet the same half of them. */
const QUIET_CHECK_MS = 1000;

/**
 * Where the browser allows it: over HTTPS, and on the node's own machine.
 *
 * `isQuiet` says when nobody minds that the page is loaded anew; `onFirst` is called when, for the
 * first time, what the page reads from now on is kept.
 */
export function standBy(isQuiet: () => boolean, onFirst: () => void): void {
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return;
  const workers = navigator.serviceWorker;
  let isKept = workers.controller !== null;
  let isRenewed = false;
  workers.addEventListener('controllerchange', () => {
    if (isKept) isRenewed = true;
    else onFirst();
    isKept = true;
  });
  // In a private window or with a full storage it fails: the page is as good while the node is there.
  workers.register('/sw.js', { updateViaCache: 'none' }).catch(() => null);
  void workers.ready.then((registration) => {
    const look = () => void registration.update().catch(() => null);
    window.setInterval(look, LOOK_EVERY_MS);
    window.addEventListener('online', look);
    window.setInterval(() => {
      if (!isQuiet()) return;
      if (isRenewed) location.reload();
      else registration.waiting?.postMessage('take over');
    }, QUIET_CHECK_MS);
  });
}

/** What was kept is for who could read it: nothing stays behind them. */
export function forgetKept(): void {
  if ('serviceWorker' in navigator) navigator.serviceWorker.controller?.postMessage('forget');
}
