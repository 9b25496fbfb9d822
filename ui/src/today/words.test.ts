import { expect, it } from 'vitest';
import type { BudgetState } from '../api/types';
import { paceWords, scopeWords } from './words';

const NOW = '2026-11-22T17:42:10Z';

function state(change: Partial<BudgetState>): BudgetState {
  return {
    budget: { name: 'month', period: 'month', limit: '400.000000000000', scope: { project: null, model: null, provider: null, device: null }, alert_percents: [80, 100] },
    period: { from: '2026-10-31T23:00:00Z', until: '2026-11-30T23:00:00Z' },
    spent: '312.850000000000',
    left: '87.150000000000',
    percent: 78,
    elapsed_percent: 72,
    level: 'calm',
    unpriced_calls: 0,
    crosses_at: null,
    ...change,
  };
}

const words = (change: Partial<BudgetState>) => paceWords(state(change), NOW, 'Europe/Berlin');

it('says in plain words where a budget leads', () => {
  expect(words({ crosses_at: '2026-11-26T10:00:00Z', level: 'near' })).toBe('crosses $400 on Thu 26th');
  expect(words({ crosses_at: '2026-11-22T19:40:00Z' })).toBe('crosses $400 at 20:40');
  expect(words({})).toBe('$87.15 left');
  expect(words({ level: 'over', left: '-12.400000000000', crosses_at: null })).toBe('over by $12.40');
  expect(words({ level: 'over', left: '0.000000000000' })).toBe('the limit is reached');
});

it('names what a budget counts, whether Rust leaves the rest out or sends null', () => {
  const { budget } = state({});
  expect(scopeWords(budget)).toBe('everything');
  expect(scopeWords({ ...budget, scope: { project: null, model: null, provider: null, device: null } })).toBe('everything');
  expect(scopeWords({ ...budget, scope: { project: 'billing-api', model: null, provider: 'anthropic', device: null } })).toBe('billing-api, anthropic');
});
