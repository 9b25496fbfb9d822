// Invented answers with the troubles of real ones: unpriced, estimated, cut and unknown calls, no project, no model name.
// Money is whole micro-dollars here, so that the sums are exact.

import { advice, explain, missing, models, reprice } from './prices.mjs';

export const NOW = '2026-11-22T17:42:10.000000Z';
const ZONE = 'Europe/Berlin';
const MIDNIGHT = Date.parse('2026-11-21T23:00:00Z');
const HOUR_MS = 3_600_000;

let seed = 7;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;

export const usd = (micro) => {
  const sign = micro < 0 ? '-' : '';
  const size = Math.abs(micro);
  return `${sign}${Math.floor(size / 1e6)}.${String(size % 1e6).padStart(6, '0')}000000`;
};
const iso = (ms) => new Date(ms).toISOString().replace('Z', '000Z');

const spend = (change = {}) => ({
  calls: 0,
  usd: usd(change.micro ?? 0),
  tokens_in: 0,
  tokens_cached: 0,
  tokens_out: 0,
  unpriced_calls: 0,
  unpriced_tokens: 0,
  estimated_calls: 0,
  estimated_usd: usd(0),
  unknown_calls: 0,
  ...Object.fromEntries(Object.entries(change).filter(([name]) => name !== 'micro')),
});

const MODELS = [
  ['claude-opus-5-5', 6_000_000],
  ['gpt-6-sol', 4_400_000],
  ['claude-sonnet-5-5', 3_000_000],
  ['gemini-3.8-flash', 1_400_000],
  ['claude-haiku-5-5', 500_000],
  ['gpt-6-luna', 300_000],
];

/** How a model's calls fall to projects, in percent. */
const SHARES = [['billing-api', 58], ['tollbar', 30], ['paper-figures', 12]];

/** The dearest month's worth of days, by day, model and project. */
export function month() {
  seed = 7;
  const rows = [];
  for (let back = 29; back >= 0; back -= 1) {
    const at = new Date(Date.parse('2026-11-22T00:00:00Z') - back * 24 * HOUR_MS);
    const day = at.toISOString().slice(0, 10);
    const weekend = [0, 6].includes(at.getUTCDay()) ? 0.35 : 1;
    if (back === 12) continue;
    for (const [model, mean] of MODELS) {
      const micro = back === 0 ? TODAY_MODELS.find(([name]) => name === model)?.[1] ?? 0 : Math.round(mean * (0.45 + random()) * weekend * (back === 9 ? 1.9 : 1));
      if (micro <= 0) continue;
      let rest = micro;
      for (const [project, percent] of SHARES) {
        const part = project === 'paper-figures' ? rest : Math.floor((micro * percent) / 100);
        rest -= part;
        rows.push({ day, model, project, micro: part, calls: 1 + Math.floor((part / 1e6) * 22) });
      }
    }
    if (back % 9 === 0) rows.push({ day, model: 'qwen3-coder', project: null, micro: 0, calls: 2, unpriced: 2 });
  }
  return rows;
}

// name, micro-dollars, calls, in, cached, out, more
const TODAY_MODELS = [
  ['claude-opus-5-5', 7_912_344, 201, 21_400_000, 20_100_000, 98_000, {}],
  ['gpt-6-sol', 3_404_100, 88, 8_900_000, 7_700_000, 71_000, { estimated_calls: 3, estimated_usd: usd(52_200) }],
  ['claude-sonnet-5-5', 2_110_020, 79, 6_100_000, 5_500_000, 30_400, {}],
  ['gemini-3.8-flash', 812_500, 31, 1_300_000, 640_000, 12_000, {}],
  ['claude-haiku-5-5', 31_036, 11, 410_000, 380_000, 2_300, {}],
  ['qwen3-coder', 0, 2, 18_200, 0, 1_400, { unpriced_calls: 2, unpriced_tokens: 19_600 }],
  [null, 0, 1, 0, 0, 0, { unknown_calls: 1 }],
];
const TODAY_PROJECTS = [
  ['billing-api', 8_120_344, 214, 22_600_000, 21_200_000, 104_000, {}],
  ['tollbar', 4_310_120, 121, 11_100_000, 9_900_000, 80_000, { estimated_calls: 3, estimated_usd: usd(52_200) }],
  ['paper-figures', 1_787_036, 64, 4_200_000, 3_150_000, 28_000, {}],
  [null, 52_500, 14, 228_200, 70_000, 3_100, { unpriced_calls: 2, unpriced_tokens: 19_600, unknown_calls: 1 }],
];
const asRows = (table) =>
  table.map(([name, micro, calls, tokens_in, tokens_cached, tokens_out, more]) => ({
    names: [name],
    spend: spend({ micro, calls, tokens_in, tokens_cached, tokens_out, ...more }),
  }));

const TODAY_MICRO = TODAY_MODELS.reduce((sum, [, micro]) => sum + micro, 0);
const HOURS = [0, 0, 0, 0, 0, 0, 0, 0, 300, 1100, 1250, 900, 420, 1320, 1900, 1510, 1480, 1700, 1300];

function today(extraMicro = 0, extraCalls = 0) {
  const scale = TODAY_MICRO / HOURS.reduce((sum, hour) => sum + hour, 0);
  return {
    day: '2026-11-22',
    zone: ZONE,
    now: NOW,
    today: spend({
      micro: TODAY_MICRO + extraMicro,
      calls: 413 + extraCalls,
      tokens_in: 38_128_200,
      tokens_cached: 34_320_000,
      tokens_out: 215_100,
      unpriced_calls: 2,
      unpriced_tokens: 19_600,
      estimated_calls: 3,
      estimated_usd: usd(52_200),
      unknown_calls: 1,
    }),
    yesterday: spend({ micro: 18_040_000, calls: 530 }),
    week: spend({ micro: 96_402_117 + extraMicro, calls: 2114, tokens_in: 268_000_000, unpriced_calls: 4 }),
    month: spend({ micro: 312_851_900 + extraMicro, calls: 7404, estimated_calls: 14, estimated_usd: usd(3_200_000), unpriced_calls: 12, unpriced_tokens: 1_210_000 }),
    hours: Array.from({ length: 24 }, (_, hour) => ({
      from: iso(MIDNIGHT + hour * HOUR_MS),
      hour,
      ahead: hour > 18,
      spend: spend({ micro: Math.round((HOURS[hour] ?? 0) * scale), calls: Math.round((HOURS[hour] ?? 0) / 32) }),
    })),
    models: asRows(TODAY_MODELS),
    projects: asRows(TODAY_PROJECTS),
  };
}

function spendBy(question) {
  const { project } = question.filter;
  const rows = month().filter((row) => row.day >= question.first && row.day <= question.last && (project === null || row.project === project));
  const sums = new Map();
  for (const row of rows) {
    const names = question.by.map((dimension) => row[dimension] ?? null);
    const key = names.join('\0');
    const sum = sums.get(key) ?? { names, micro: 0, calls: 0, unpriced: 0 };
    sum.micro += row.micro;
    sum.calls += row.calls;
    sum.unpriced += row.unpriced ?? 0;
    sums.set(key, sum);
  }
  const list = [...sums.values()];
  if (question.by[0] !== 'day') list.sort((one, other) => other.micro - one.micro);
  const total = list.reduce((all, one) => ({ micro: all.micro + one.micro, calls: all.calls + one.calls }), { micro: 0, calls: 0 });
  return {
    first: question.first,
    last: question.last,
    total: spend({ ...total, unpriced_calls: 8, unpriced_tokens: 77_000 }),
    rows: list.map(({ names, micro, calls, unpriced }) => ({ names, spend: spend({ micro, calls, unpriced_calls: unpriced, unpriced_tokens: unpriced * 9800 }) })),
  };
}

const budget = (name, period, limit, scope, state) => ({
  budget: { name, period, limit: usd(limit * 1e6), scope: { project: null, model: null, provider: null, device: null, ...scope }, alert_percents: [80, 100] },
  period: { from: '2026-10-31T23:00:00.000000Z', until: '2026-11-30T23:00:00.000000Z' },
  unpriced_calls: 0,
  crosses_at: null,
  ...state,
});
const BUDGETS = [
  budget('month', 'month', 400, {}, {
    spent: usd(332_851_900), left: usd(67_148_100), percent: 83, elapsed_percent: 72, level: 'near', unpriced_calls: 12, crosses_at: '2026-11-26T11:00:00.000000Z',
  }),
  budget('day-billing', 'day', 15, { project: 'billing-api' }, { spent: usd(8_120_344), left: usd(6_879_656), percent: 54, elapsed_percent: 77, level: 'calm' }),
  budget('week-gemini', 'week', 4, { model: 'gemini-3.8-flash', provider: 'gemini' }, { spent: usd(4_910_000), left: usd(-910_000), percent: 122, elapsed_percent: 96, level: 'over' }),
];

let made = 0;
export function call(change = {}) {
  made += 1;
  return {
    key: made.toString(16).padStart(32, '0'),
    call_id: `msg_${made}`,
    request_id: null,
    at: NOW,
    provider: 'anthropic',
    model: 'claude-opus-5-5',
    client: 'claude-code',
    sources: ['log', 'proxy'],
    project: 'billing-api',
    session: null,
    branch: null,
    tier: 'standard',
    input: 1200,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 842,
    reasoning: 0,
    media: 0,
    web_search: 0,
    estimated: false,
    certainty: 'reported',
    priced: true,
    cost_usd: usd(93_400),
    cost_basis: 'book',
    cost_note: 'anthropic/claude-opus-5-5 from 2026-09-01',
    reported_cost_usd: null,
    latency_ms: 4120,
    status: 200,
    ...change,
  };
}

function recent() {
  made = 0;
  const list = [
    {},
    { input: 318, output: 96, cost_usd: usd(21_100), sources: ['proxy'] },
    { model: 'gpt-6-sol', provider: 'openai', project: 'tollbar', input: 6000, output: 1100, cost_usd: usd(22_900), sources: ['log'] },
    { model: 'claude-sonnet-5-5', project: 'tollbar', input: 2400, output: 640, cost_usd: usd(11_300) },
    { model: 'gemini-3.8-flash', provider: 'gemini', project: 'paper-figures', input: 18_000, output: 2000, cost_usd: usd(21_100), sources: ['proxy'] },
    { model: 'gpt-6-sol', provider: 'openai', project: null, input: 4200, output: 900, cost_usd: usd(17_400), certainty: 'estimated', estimated: true, sources: ['proxy'] },
    { input: 2000, cache_read: 118_000, output: 1500, cost_usd: usd(1_120_200) },
    { model: 'claude-haiku-5-5', input: 11_000, output: 220, cost_usd: usd(1_200), sources: ['otlp'] },
    { model: 'qwen3-coder', provider: 'local', project: null, input: 9100, output: 700, priced: false, cost_usd: null, cost_basis: 'unpriced', cost_note: 'no price for qwen3-coder of local', sources: ['proxy'] },
    { model: 'claude-sonnet-5-5', project: 'tollbar', input: 1100, output: 310, cost_usd: usd(5_200), certainty: 'partial', sources: ['proxy'] },
    { model: null, provider: 'openrouter', project: null, input: 0, output: 0, priced: false, cost_usd: null, cost_basis: 'unpriced', certainty: 'unknown', cost_note: 'the reply said nothing of tokens', status: 502, sources: ['proxy'] },
    { model: 'gemini-3.8-flash', provider: 'gemini', project: 'a-project-with-a-rather-long-name-for-one-line', input: 40, output: 3, cost_usd: '0.000021000000', sources: ['connect'] },
  ];
  const calls = list.map((change, index) => call({ at: iso(Date.parse(NOW) - 4_000 - index * 71_000), ...change }));
  for (let index = 0; index < 18; index += 1) calls.push(call({ at: iso(Date.parse(NOW) - (20 + index) * HOUR_MS), input: 900 + index * 311, cost_usd: usd(4000 + index * 911) }));
  return { now: NOW, calls };
}

const health = (change = {}) => ({
  version: '0.1.0',
  calls: 214_906,
  last_call_at: NOW,
  entries: 231_004,
  folder: '~/.local/share/tollbar',
  journal_bytes: 41_000_000,
  price_book: '9f31c2a7be04',
  zone: ZONE,
  mended: [],
  engine: {
    pid: 4711,
    started_at: '2026-11-22T06:00:00.000000Z',
    dashboard: 'http://127.0.0.1:8656',
    proxy: { address: 'http://127.0.0.1:8655', carried: 412, in_flight: 1, unobserved: 0, upstreams: ['anthropic', 'openai'] },
    warnings: [],
    not_recording: null,
  },
  ...change,
});

/** All answers of an engine in one mood: `busy`, `empty` (first run) or `quiet` (history, but nothing today). */
export function answers(mood = 'busy') {
  const nothing = { ...today(), today: spend(), models: [], projects: [] };
  nothing.hours = nothing.hours.map((hour) => ({ ...hour, spend: spend() }));
  const noSpend = (question) => ({ first: question.first, last: question.last, total: spend(), rows: [] });
  if (mood === 'empty') {
    return {
      today: () => ({ ...nothing, yesterday: spend(), week: spend(), month: spend() }),
      spend_by: noSpend,
      reprice: (question) => ({ ...reprice({ ...question, first: '9999', last: '9999' }), first: question.first, last: question.last }),
      models,
      missing_prices: (question) => ({ ...missing(question), calls: 0, tokens: 0, rows: [] }),
      advice: (question) => ({ ...advice(question), ideas: [] }),
      budgets: () => ({ budgets: [] }),
      recent: () => ({ now: NOW, calls: [] }),
      health: () => health({ calls: 0, entries: 0, last_call_at: null }),
    };
  }
  return {
    today: () => (mood === 'quiet' ? nothing : today()),
    spend_by: spendBy,
    reprice,
    models,
    missing_prices: missing,
    advice,
    explain: (question) => explain(recent().calls.find((one) => one.key === question.call)),
    budgets: () => ({ budgets: BUDGETS }),
    recent,
    health: () => health(),
    /** The same day, one call later. */
    todayAfter: (micro) => today(micro, 1),
  };
}
