// A hand that drags is faster than any answer.

/**
 * A function that does one wish at a time, and after it the newest: what was wished in between is passed over, so that nothing queues.
 * `work` must not reject.
 */
export function newest<W>(work: (wish: W) => Promise<void>): (wish: W) => void {
  let busy = false;
  let next: { wish: W } | null = null;

  async function run(first: W): Promise<void> {
    busy = true;
    try {
      for (let wish = first; ; ) {
        await work(wish);
        if (next === null) return;
        wish = next.wish;
        next = null;
      }
    } finally {
      busy = false;
    }
  }

  return (wish) => {
    if (busy) next = { wish };
    else void run(wish);
  };
}
