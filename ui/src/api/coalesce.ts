// Many causes to ask again, few askings.

/**
 * A function that runs `work` at once, but starts it at most every `intervalMs` and never twice at the same time.
 * What is asked for meanwhile is done by one run afterwards, so that the last cause is never lost.
 * `work` must not reject.
 */
export function coalesced(work: () => Promise<void>, intervalMs: number): () => void {
  let busy = false;
  let again = false;

  async function run(): Promise<void> {
    busy = true;
    const pause = new Promise((resolve) => setTimeout(resolve, intervalMs));
    try {
      await work();
    } finally {
      await pause;
      busy = false;
      if (again) {
        again = false;
        void run();
      }
    }
  }

  return () => {
    if (busy) again = true;
    else void run();
  };
}
