// How a budget stands, in words. The figures are Rust's.

import type { Budget, BudgetState } from '../api/types';
import { soon } from '../format/dates';
import { unsigned, usd, usdShort } from '../format/money';

/** Which calls a budget counts: `everything`, `billing-api`, `billing-api, claude-opus-5-5`. */
export function scopeWords(budget: Budget): string {
  const { project, model, provider } = budget.scope;
  const named = [project, model, provider].filter((name) => name !== undefined && name !== null && name !== '');
  return named.length === 0 ? 'everything' : named.join(', ');
}

/** Where it leads: `crosses $400 on Thu 26th`, `over by $12.40`, `$8.90 left of the day`. */
export function paceWords(state: BudgetState, now: string, zone: string): string {
  if (state.level === 'over') return state.left.startsWith('-') ? `over by ${usd(unsigned(state.left))}` : 'the limit is reached';
  if (state.crosses_at !== null) return `crosses ${usdShort(state.budget.limit)} ${soon(state.crosses_at, now, zone)}`;
  return `${usd(state.left)} left`;
}
