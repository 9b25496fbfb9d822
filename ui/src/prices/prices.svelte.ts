// The state of the page: what was asked of the books, and of the calls that have no price.

import type { Ledger } from '../api/ledger';
import { Asked } from '../figures.svelte';

export class Prices {
  readonly models = new Asked<'models'>();
  readonly upcoming = new Asked<'models'>();
  readonly missing = new Asked<'missing_prices'>();

  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  async look(): Promise<void> {
    const every = { name: null, provider: null, as_of: null };
    await Promise.all([
      this.models.take(this.#ledger.ask('models', { ...every, upcoming: false })),
      this.upcoming.take(this.#ledger.ask('models', { ...every, upcoming: true })),
      this.missing.take(
        this.#ledger.ask('missing_prices', { first: null, last: null, filter: { project: null, model: null, provider: null, client: null, device: null } }),
      ),
    ]);
  }
}
