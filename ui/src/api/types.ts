// What comes over the wire, named and shaped as in the Rust crate `events` (query.rs, event.rs, time.rs, money.rs).
// Counts are numbers; an amount of money is a decimal string in USD with twelve places, exact; an instant is RFC 3339 in UTC;
// a day is `2026-11-22`; a request key is 32 hex digits.

export type Fault = { code: FaultCode; message: string; hint?: string };

export type FaultCode = 'refused' | 'not_found' | 'storage' | 'unreachable' | 'internal';

export type Spend = {
  calls: number;
  usd: string;
  tokens_in: number;
  tokens_cached: number;
  tokens_out: number;
  unpriced_calls: number;
  unpriced_tokens: number;
  estimated_calls: number;
  estimated_usd: string;
  unknown_calls: number;
};

export type Span = { from: string; until: string };

export type Period = 'day' | 'week' | 'month';

export type Today = Record<string, never>;

export type TodayAnswer = {
  day: string;
  zone: string;
  now: string;
  today: Spend;
  yesterday: Spend;
  week: Spend;
  month: Spend;
  hours: HourSpend[];
  models: SpendRow[];
  projects: SpendRow[];
};

export type HourSpend = { from: string; hour: number; ahead: boolean; spend: Spend };

export type Dimension = 'day' | 'model' | 'project' | 'provider' | 'client';

export type Filter = { project: string | null; model: string | null; provider: string | null; client: string | null };

export type SpendBy = { by: Dimension[]; first: string | null; last: string | null; filter: Filter };

export type SpendByAnswer = { first: string; last: string; total: Spend; rows: SpendRow[] };

export type SpendRow = { names: (string | null)[]; spend: Spend };

export type Budgets = Record<string, never>;

export type BudgetsAnswer = { budgets: BudgetState[] };

export type BudgetState = {
  budget: Budget;
  period: Span;
  spent: string;
  left: string;
  percent: number;
  elapsed_percent: number;
  level: BudgetLevel;
  unpriced_calls: number;
  crosses_at: string | null;
};

export type BudgetLevel = 'calm' | 'near' | 'over';

export type Budget = { name: string; period: Period; limit: string; scope: BudgetScope; alert_percents: number[] };

export type BudgetScope = { project?: string | null; model?: string | null; provider?: string | null };

export type Recent = { limit: number };

export type RecentAnswer = { now: string; calls: CallRow[] };

export type Certainty = 'unknown' | 'estimated' | 'partial' | 'reported';

export type Source = 'estimate' | 'manual' | 'otlp' | 'log' | 'connect' | 'proxy';

export type CostBasis = 'reported' | 'book' | 'unpriced';

export type CallRow = {
  key: string;
  call_id: string | null;
  request_id: string | null;
  at: string;
  provider: string;
  model: string | null;
  client: string | null;
  sources: Source[];
  project: string | null;
  session: string | null;
  branch: string | null;
  tier: string | null;
  input: number;
  cache_read: number;
  cache_write_5m: number;
  cache_write_1h: number;
  output: number;
  reasoning: number;
  media: number;
  web_search: number;
  estimated: boolean;
  certainty: Certainty;
  priced: boolean;
  cost_usd: string | null;
  cost_basis: CostBasis;
  cost_note: string;
  reported_cost_usd: string | null;
  latency_ms: number | null;
  status: number | null;
};

export type Health = Record<string, never>;

export type HealthAnswer = {
  version: string;
  calls: number;
  last_call_at: string | null;
  entries: number;
  folder: string;
  journal_bytes: number;
  price_book: string;
  zone: string;
  mended: string[];
  engine: EngineFacts | null;
};

export type EngineFacts = { pid: number; started_at: string; dashboard: string; proxy: ProxyFacts | null; warnings: string[] };

export type ProxyFacts = { address: string; carried: number; in_flight: number; unobserved: number; upstreams: string[] };

export type RepriceAsOf = 'today' | { instant: string } | 'call';

export type Reprice = {
  as_of: RepriceAsOf;
  book: string | null;
  first: string | null;
  last: string | null;
  filter: Filter;
  by: Dimension[];
};

export type RepriceAnswer = { first: string; last: string; total: RepriceRow; rows: RepriceRow[] };

export type RepriceRow = {
  names: (string | null)[];
  calls: number;
  then_usd: string;
  now_usd: string;
  difference_usd: string;
  unpriced_calls: number;
};
