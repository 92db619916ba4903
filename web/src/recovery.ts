/** A screen that nobody touches mends itself: it is loaded anew when the node is there to load it. */

const WAIT_MS = 15_000;
/** Once a night, when nobody looks, whatever has gathered is let go. */
const FRESH_START_H = 4;

/** Load the page anew after an error that nothing caught. */
export function recoverFromErrors(): void {
  const recover = once(() => void reloadWhenReachable());
  window.addEventListener('error', recover);
  window.addEventListener('unhandledrejection', recover);
}

/** Load the page anew every night. */
export function startFreshNightly(): void {
  const begun = Date.now();
  window.setInterval(() => {
    const isOld = Date.now() - begun > 3_600_000;
    if (isOld && new Date().getHours() === FRESH_START_H) void reloadWhenReachable();
  }, 600_000);
}

/** Without a node a reload would put the browser's own error in the place of the last data. */
async function reloadWhenReachable(): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    const how: RequestInit = { cache: 'no-store', signal: AbortSignal.timeout(WAIT_MS) };
    const answer = await fetch('/health/live', how).catch(() => null);
    if (answer?.ok) return location.reload();
  }
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}
