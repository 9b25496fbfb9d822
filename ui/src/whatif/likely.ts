// Which models stand on the rail: those that answered, and the newest of those that most calls are made of.

import type { ModelPrice } from '../api/types';

/** Whose own lists are looked through, and how their models' names begin. */
const MAKERS: Record<string, string> = { anthropic: 'claude', openai: 'gpt', google: 'gemini' };
const NEWEST_PER_MAKER = 4;

export type RailModel = { model: string; price: ModelPrice | null; used: boolean };

/** Dearest first, so that the way down is the way to less. Models that answered but have no price come last. */
export function rail(used: string[], prices: ModelPrice[], more: string | null): RailModel[] {
  const listed = prices.filter((price) => (price.tier ?? 'standard') === 'standard');
  const priceOf = (model: string) => {
    const names = [model, dateless(model)];
    const having = listed.filter((price) => names.includes(price.model) || (price.aliases ?? []).some((alias) => names.includes(alias)));
    return having.find((price) => price.provider in MAKERS) ?? having[0] ?? null;
  };
  const models: RailModel[] = used.map((model) => ({ model, price: priceOf(model), used: true }));
  const add = (model: string, price: ModelPrice | null) => {
    if (!models.some((known) => known.model === model || known.price?.model === model)) models.push({ model, price, used: false });
  };
  for (const price of Object.keys(MAKERS).flatMap((maker) => newestOf(maker, listed))) add(price.model, price);
  if (more !== null && !models.some((known) => known.model === more)) models.push({ model: more, price: priceOf(more), used: false });
  return models.sort((one, other) => outputRate(other.price) - outputRate(one.price));
}

/** The newest model of each kind (`opus`, `sol`, `flash`) of one maker, newest and then cheapest first. */
function newestOf(maker: string, prices: ModelPrice[]): ModelPrice[] {
  const kinds = new Map<string, { version: number[]; price: ModelPrice }>();
  for (const price of prices) {
    const named = price.provider === maker && !billsMedia(price) ? kindOf(price.model, MAKERS[maker] ?? '') : null;
    if (named === null) continue;
    const known = kinds.get(named.kind);
    if (known === undefined || newerFirst(known.version, named.version) > 0) kinds.set(named.kind, { version: named.version, price });
  }
  return [...kinds.values()]
    .sort((one, other) => newerFirst(one.version, other.version) || outputRate(one.price) - outputRate(other.price))
    .slice(0, NEWEST_PER_MAKER)
    .map(({ price }) => price);
}

/** `claude-opus-5-5` is an `opus` of version 5.5; names with more than one word beside the maker's are variants, and none. */
function kindOf(model: string, brand: string): { kind: string; version: number[] } | null {
  const [first, ...parts] = model.split('-');
  if (first !== brand) return null;
  const words = parts.filter((part) => !/^\d+(\.\d+)?$/.test(part));
  const version = parts.filter((part) => !words.includes(part)).flatMap((part) => part.split('.').map(Number));
  const [kind] = words;
  return kind === undefined || words.length > 1 || version.length === 0 ? null : { kind, version };
}

function newerFirst(one: number[], other: number[]): number {
  for (let place = 0; place < Math.max(one.length, other.length); place += 1) {
    const step = (other[place] ?? 0) - (one[place] ?? 0);
    if (step !== 0) return step;
  }
  return 0;
}

/** `claude-haiku-4-5-20251001` as `claude-haiku-4-5`: for finding the price that stands beside a name, not for pricing. */
const dateless = (model: string) => model.replace(/-\d{8}$|-\d{4}-\d\d-\d\d$/, '');

const billsMedia = ({ rates }: ModelPrice) =>
  (rates.output_audio ?? rates.output_image ?? rates.input_audio ?? rates.input_image ?? null) !== null || (rates.output ?? null) === null;

/** For the order on the rail only. */
const outputRate = (price: ModelPrice | null) => (price === null ? -1 : Number(price.rates.output ?? price.rates.input ?? 0));
