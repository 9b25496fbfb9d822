// Invented answers about prices: the same month, priced again; the book; one call, line by line.
// A call's cost is taken to be all output, so that another model's price is a ratio; money is whole micro-dollars.

import { month, usd } from './fixtures.mjs';

const NOT = { cache_write_30m: null, cache_write_12h: null, input_audio: null, cache_read_audio: null, input_image: null, output_audio: null, output_image: null };
const rates = (input, output, cache_read = null, writes = null) => ({
  ...NOT, input, output, cache_read, cache_write_5m: writes?.[0] ?? null, cache_write_1h: writes?.[1] ?? null, web_search: null,
});
const price = (provider, model, of, more = {}) => ({
  provider, model, aliases: [], tier: 'standard', from: null, until: null, rates: of, bands: [], geo: {}, hours: null, inferred: [],
  source: `https://prices.example/${provider}`, set: 'genai-prices 0.2.3', note: null, custom: false, multiplier: null, ...more,
});

export const BOOK = [
  price('', 'house-model', rates('0.25', '1'), { custom: true, source: 'config.toml', set: 'yours', from: '2026-10-01T00:00:00.000000Z' }),
  price('anthropic', 'claude-fable-5-2', rates('8', '40', '0.8', ['10', '16'])),
  price('anthropic', 'claude-haiku-5-5', rates('0.1', '0.5', '0.01', ['0.125', '0.2'])),
  price('anthropic', 'claude-opus-4-8', rates('5', '25', '0.5', ['6.25', '10'])),
  price('anthropic', 'claude-opus-5-5', rates('4', '20', '0.4', ['5', '8']), { from: '2026-09-01T00:00:00.000000Z', geo: { us: '1.1' } }),
  price('anthropic', 'claude-opus-5-5', rates('2', '10', '0.2', ['2.5', '4']), { tier: 'batch', from: '2026-09-01T00:00:00.000000Z' }),
  price('anthropic', 'claude-sonnet-5-5', rates('2', '10', '0.2', ['2.5', '4']), { from: '2026-10-07T00:00:00.000000Z', until: '2026-12-01T00:00:00.000000Z', bands: [{ above: 200_000, rates: rates('4', '15') }], note: 'introductory price' }),
  price('google', 'gemini-3.8-flash', rates('0.75', '3.75', '0.075'), { inferred: ['cache_read'] }),
  price('google', 'gemini-4-argon', rates('2', '10', '0.2')),
  price('openai', 'gpt-6-astra', rates('10', '50', '1')),
  price('openai', 'gpt-6-luna', rates('0.1', '0.5', '0.01')),
  price('openai', 'gpt-6-sol', rates('2', '10', '0.2'), { multiplier: '1.2' }),
  price('openai', 'gpt-6.1-terra', rates('1', '5', '0.1')),
];
const UPCOMING = [
  price('anthropic', 'claude-sonnet-5-5', rates('3', '15', '0.3', ['3.75', '6']), { from: '2026-12-01T00:00:00.000000Z' }),
  price('openai', 'gpt-6-sol', rates('1.75', '8', '0.175'), { from: '2027-01-15T00:00:00.000000Z' }),
];

export function models(question) {
  const wanted = (row) => row.model.includes(question.name ?? '') && (question.provider === null || row.provider === question.provider);
  return {
    at: '2026-11-22T17:42:10.000000Z',
    books: [
      { id: '9f31c2a7be04'.padEnd(64, '1'), from: null, bundled: true, rows: 1138 },
      { id: '31aa07'.padEnd(64, '2'), from: '2026-11-03T06:00:00.000000Z', bundled: false, rows: 41 },
    ],
    rows: (question.upcoming ? UPCOMING : BOOK).filter(wanted),
  };
}

export const missing = (question) => ({
  first: question.first ?? '2026-10-24',
  last: question.last ?? '2026-11-22',
  calls: 11,
  tokens: 1_210_000,
  rows: [
    { provider: 'local', model: 'qwen3-coder', tier: null, reason: 'no price for qwen3-coder of local', calls: 8, tokens_in: 1_090_000, tokens_out: 31_000, first_at: '2026-10-25T09:12:00.000000Z', last_at: '2026-11-22T17:32:00.000000Z', nearest: [{ provider: 'together', model: 'qwen3-coder-480b' }, { provider: 'cerebras', model: 'qwen-3-coder' }] },
    { provider: 'openai', model: 'gpt-6.2-sol', tier: 'flex', reason: 'gpt-6.2-sol has no flex price', calls: 3, tokens_in: 88_000, tokens_out: 1000, first_at: '2026-11-20T10:00:00.000000Z', last_at: '2026-11-21T10:00:00.000000Z', nearest: [] },
  ],
});

const listOf = (model) => BOOK.find((row) => row.model === model && row.tier === 'standard');

export function reprice(question) {
  const swap = (model) => question.models.find(({ from }) => from === null || from === model)?.to ?? model;
  const now = ({ model, micro }) => {
    const [was, is] = [listOf(model), listOf(swap(model))];
    if (was === undefined || is === undefined) return null;
    const ratio = (Number(is.rates.output) / Number(was.rates.output)) * (question.tier === 'batch' ? 0.5 : 1) * (question.cache_ttl === '5m' ? 0.94 : 1) * (question.as_of === 'call' ? 1 : 0.97);
    return Math.round(micro * ratio);
  };
  const row = (names) => ({ names, calls: 0, then: 0, now: 0, unpriced: 0 });
  const total = row([]);
  const cuts = [question.by, ...(question.also_by ?? [])].map((by) => ({ by, sums: new Map() }));
  for (const used of month().filter((one) => one.day >= question.first && one.day <= question.last && (question.filter.project === null || one.project === question.filter.project))) {
    const cut = ({ by, sums }) => {
      const names = by.map((dimension) => used[dimension] ?? null);
      const key = names.join('\0');
      if (!sums.has(key)) sums.set(key, row(names));
      return sums.get(key);
    };
    for (const sum of [total, ...cuts.map(cut)]) {
      const cost = now(used);
      sum.calls += used.calls;
      if (cost === null) sum.unpriced += used.calls;
      else {
        sum.then += used.micro;
        sum.now += cost;
      }
    }
  }
  const told = ({ names, calls, then, now: later, unpriced }) => ({ names, calls, then_usd: usd(then), now_usd: usd(later), difference_usd: usd(later - then), unpriced_calls: unpriced });
  const rowsOf = ({ by, sums }) => {
    const rows = [...sums.values()];
    if (by[0] !== 'day') rows.sort((one, other) => Math.abs(other.now - other.then) - Math.abs(one.now - one.then));
    return rows.map(told);
  };
  const [rows, ...also] = cuts.map(rowsOf);
  const made = [...new Set(month().map(({ model }) => model))].filter((model) => listOf(model) !== undefined);
  return {
    first: question.first,
    last: question.last,
    total: told(total),
    rows,
    also_rows: also,
    rates: made.map((model) => ({ provider: listOf(model).provider, model, tier: 'standard', calls: 1, then_usd: usd(0), now_usd: usd(0), then: [listOf(model)], now: [listOf(swap(model))].filter(Boolean) })),
    assumes: [
      ...(question.models.length > 0 ? ['another model would have counted the same tokens and answered at the same length', 'what the other model\'s cache has no rate for costs as its other writes, or else as input'] : []),
      ...(question.tier === 'batch' ? ['every call could have been served as batch; a model without such a price is in neither sum'] : []),
      ...(question.cache_ttl === null ? [] : ['the same tokens would have been written and read: what lives longer is not read more often']),
    ],
  };
}

export const advice = (question) => ({
  first: question.first,
  last: question.last,
  calls: 7404,
  usd: usd(312_851_900),
  ideas: [
    idea('model', 'claude-sonnet-5-5 instead of claude-opus-5-5', 'claude-opus-5-5', 'claude-sonnet-5-5', 2710, 120_400_000, 60_200_000),
    idea('batch', 'batches for what openai-python calls', 'openai-python', 'batch', 611, 40_100_000, 20_050_000),
    idea('cache_ttl', 'cache writes for 5 minutes instead of 1 hour', '1 hour', '5 minutes', 3900, 90_000_000, 84_600_000),
    idea('model', 'gpt-6-sol instead of claude-haiku-5-5', 'claude-haiku-5-5', 'gpt-6-sol', 800, 9_000_000, 180_000_000),
  ],
});
const idea = (kind, title, from, to, calls, then, now) => ({
  kind, title, from, to, calls, then_usd: usd(then), now_usd: usd(now), saves_usd: usd(then - now), unpriced_calls: 0, assumes: ['the same tokens'],
});

/** `call`: a row of the live calls. */
export function explain(call) {
  const list = listOf(call.model);
  const line = (name, units, each, more = {}) => ({ class: name, units, rate: each, amount: each === null ? null : ((units * Number(each)) / 1e6).toFixed(7), inferred: false, scaled: true, ...more });
  const base = { call, request_model: call.model === null ? null : 'claude-opus-latest', geo: list === undefined ? null : 'us', entries: [
    { seq: 231_002, recorded_at: call.at, sources: ['proxy'], certainty: 'partial', tokens: 1200 },
    { seq: 231_004, recorded_at: call.at, sources: ['log', 'proxy'], certainty: call.certainty, tokens: 2042 },
  ] };
  if (list === undefined) return { ...base, reason: call.cost_note, listed_usd: null, listed_exact: null, price: null, lines: [line('input', call.input, null), line('output', call.output, null)], factors: [] };
  return {
    ...base,
    reason: 'the price book as of the call',
    listed_usd: call.cost_usd,
    listed_exact: call.cost_usd,
    price: { row: list, custom: false, matched: 'alias', why: 'claude-opus-latest is another name of claude-opus-5-5', tier: 'standard', band_above: null, book: '9f31c2a7be04'.padEnd(64, '1'), book_from: null, back_filled: false },
    lines: [line('input', call.input, list.rates.input), line('cache_read', 118_000, list.rates.cache_read, { inferred: true }), line('output', call.output, list.rates.output), line('web_search', 2, '10000', { scaled: false })],
    factors: [{ why: 'processed in us', factor: '1.1' }],
  };
}
