// The order of the price list, and what of it is shown.

import type { ModelPrice, Tier } from '../api/types';

export const TIERS: readonly Tier[] = ['standard', 'batch', 'flex', 'priority', 'fast', 'ultrafast'];

export type Wanted = {
  /** Part of a model's name or alias. */
  name: string;
  /** One provider's; of all, where empty. */
  provider: string;
  tier: Tier;
};

/** The user's own first, whatever tier is looked at; else in the order that Rust sends. */
export function shelf(prices: ModelPrice[], { name, provider, tier }: Wanted): ModelPrice[] {
  const part = name.trim().toLowerCase();
  const wanted = prices.filter(
    (price) =>
      (price.tier ?? 'standard') === tier &&
      (provider === '' || price.provider === provider) &&
      [price.model, ...(price.aliases ?? [])].some((known) => known.toLowerCase().includes(part)),
  );
  return [...wanted.filter((price) => price.custom), ...wanted.filter((price) => !price.custom)];
}

/** What names a row among all of a book: no two of one model, tier and time. */
export const rowKey = ({ provider, model, tier, from, custom }: ModelPrice) => `${custom ? 'own ' : ''}${provider}/${model} ${tier ?? ''} ${from ?? ''}`;

/** `https://docs.x.ai/docs/models` as `docs.x.ai`; what is no address as it came. */
export const sourceName = (source: string) => /^https?:\/\/(?:www\.)?([^/?#]+)/.exec(source)?.[1] ?? source;

export const isAddress = (source: string) => /^https?:\/\//.test(source);
