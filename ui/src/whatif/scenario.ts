// What is supposed: which calls, and what else would have been true of them. Words and questions; no money.

import type { CacheTtl, Day, Reprice } from '../api/types';
import { dayFull, dayPlus, monthName } from '../format/dates';

export const SPANS = ['month', 'last-month', '90d', 'year'] as const;
export type SpanName = (typeof SPANS)[number];

const CACHE_TTLS: readonly CacheTtl[] = ['5m', '1h'];

/** In the place of a model's name: the one that cost most, whichever that is. */
export const DEAREST = '';
/** In the place of a model's name: each of them. */
export const EVERY = '*';

export type Scenario = {
  span: SpanName;
  project: string | null;
  /** The model whose calls another would have answered: a name, {@link DEAREST} or {@link EVERY}. */
  from: string;
  /** The model that would have answered; `null`: the same. */
  to: string | null;
  /** At which prices: those of each call's time, today's, or those of a day. */
  prices: 'call' | 'today' | { day: Day };
  batch: boolean;
  /** For how long caches were written; `null`: as they were. */
  cache: CacheTtl | null;
};

export const AS_IT_WAS: Scenario = { span: 'month', project: null, from: DEAREST, to: null, prices: 'call', batch: false, cache: null };

/** The first and the last day of a span, in the calendar of the ledger's zone. */
export function daysOf(span: SpanName, today: Day): { first: Day; last: Day } {
  switch (span) {
    case 'month':
      return { first: `${today.slice(0, 7)}-01`, last: today };
    case 'last-month': {
      const last = dayPlus(`${today.slice(0, 7)}-01`, -1);
      return { first: `${last.slice(0, 7)}-01`, last };
    }
    case '90d':
      return { first: dayPlus(today, -89), last: today };
    case 'year':
      return { first: dayPlus(today, -364), last: today };
  }
}

/** `November`, `October`, `the last 90 days`. */
export function spanWords(span: SpanName, today: Day): string {
  switch (span) {
    case 'month':
    case 'last-month':
      return monthName(daysOf(span, today).first);
    case '90d':
      return 'the last 90 days';
    case 'year':
      return 'the last year';
  }
}

/** The model whose calls another would have answered, {@link EVERY}, or `null` where none is swapped. `used`: dearest first. */
export function swapped(scenario: Scenario, used: string[]): string | null {
  const from = scenario.from === DEAREST ? (used[0] ?? null) : scenario.from;
  return scenario.to === null || from === scenario.to ? null : from;
}

/** Whether nothing is supposed: the sums are the same by definition. */
export const isAsItWas = (scenario: Scenario, used: string[]) =>
  swapped(scenario, used) === null && scenario.prices === 'call' && !scenario.batch && scenario.cache === null;

export type Question = Omit<Reprice, 'by' | 'also_by'>;

export function questionOf(scenario: Scenario, used: string[], today: Day): Question {
  const { to } = scenario;
  const from = swapped(scenario, used);
  return {
    as_of: typeof scenario.prices === 'string' ? scenario.prices : { instant: middayOf(scenario.prices.day) },
    book: null,
    ...daysOf(scenario.span, today),
    filter: { project: scenario.project, model: null, provider: null, client: null, device: null },
    models: to === null || from === null ? [] : [{ from: from === EVERY ? null : from, to, provider: null }],
    tier: scenario.batch ? 'batch' : null,
    cache_ttl: scenario.cache,
  };
}

/** Midday in UTC lies within the same day of nearly every zone; a price that changes at midnight does not fall beside it. */
const middayOf = (day: Day) => `${day}T12:00:00Z`;

/** `claude-opus-5-5 → claude-sonnet-5-5, by batch, at today's prices`; or that nothing is. */
export function scenarioWords(scenario: Scenario, used: string[]): string {
  const from = swapped(scenario, used);
  const words: string[] = [];
  if (scenario.to !== null && from !== null) words.push(`${from === EVERY ? 'every model' : from} → ${scenario.to}`);
  if (scenario.batch) words.push('by batch');
  if (scenario.cache !== null) words.push(`caches written for ${scenario.cache === '5m' ? '5 minutes' : '1 hour'}`);
  if (scenario.prices === 'today') words.push('at today’s prices');
  else if (scenario.prices !== 'call') words.push(`at the prices of ${dayFull(scenario.prices.day)}`);
  return words.length === 0 ? 'nothing is supposed' : words.join(', ');
}

/** For the address bar; what is as usual is left out. */
export function paramsOf(scenario: Scenario): URLSearchParams {
  const params = new URLSearchParams();
  const { span, project, from, to, prices, batch, cache } = scenario;
  if (span !== AS_IT_WAS.span) params.set('span', span);
  if (project !== null) params.set('project', project);
  if (from !== DEAREST) params.set('from', from);
  if (to !== null) params.set('to', to);
  if (prices !== 'call') params.set('prices', typeof prices === 'string' ? prices : prices.day);
  if (batch) params.set('batch', '');
  if (cache !== null) params.set('cache', cache);
  return params;
}

/** What the address bar says; of what it does not say or says wrongly, the usual. */
export function scenarioOf(params: URLSearchParams): Scenario {
  const prices = params.get('prices') ?? '';
  return {
    span: SPANS.find((span) => span === params.get('span')) ?? AS_IT_WAS.span,
    project: params.get('project'),
    from: params.get('from') ?? DEAREST,
    to: params.get('to'),
    prices: prices === 'today' ? 'today' : isDay(prices) ? { day: prices } : 'call',
    batch: params.has('batch'),
    cache: CACHE_TTLS.find((ttl) => ttl === params.get('cache')) ?? null,
  };
}

export const isDay = (text: string): text is Day => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`));
