import { expect, it } from 'vitest';
import { AS_IT_WAS, daysOf, EVERY, isAsItWas, paramsOf, questionOf, scenarioOf, scenarioWords, type Scenario } from './scenario';

const USED = ['claude-opus-5-5', 'gpt-6-sol'];
const supposed = (change: Partial<Scenario>) => ({ ...AS_IT_WAS, ...change });

it('reads back from the address what it wrote there', () => {
  const all = [
    AS_IT_WAS,
    supposed({ span: '90d', project: 'a & b', from: EVERY, to: 'x/y:free', prices: 'today', batch: true, cache: '1h' }),
    supposed({ prices: { day: '2026-10-01' } }),
  ];
  for (const scenario of all) expect(scenarioOf(new URLSearchParams(paramsOf(scenario).toString()))).toEqual(scenario);
  expect(paramsOf(AS_IT_WAS).toString()).toBe('');
});

it('takes for usual what an address says wrongly', () => {
  expect(scenarioOf(new URLSearchParams('span=century&prices=soon&cache=2h'))).toEqual(AS_IT_WAS);
});

it('counts days in the calendar', () => {
  expect(daysOf('month', '2026-03-01')).toEqual({ first: '2026-03-01', last: '2026-03-01' });
  expect(daysOf('last-month', '2026-03-15')).toEqual({ first: '2026-02-01', last: '2026-02-28' });
  expect(daysOf('last-month', '2026-01-31')).toEqual({ first: '2025-12-01', last: '2025-12-31' });
  expect(daysOf('90d', '2026-11-22')).toEqual({ first: '2026-08-25', last: '2026-11-22' });
});

it('swaps the dearest model, a named one, or every one', () => {
  const models = (change: Partial<Scenario>) => questionOf(supposed(change), USED, '2026-11-22').models;
  expect(models({})).toEqual([]);
  expect(models({ to: 'gpt-6-sol' })).toEqual([{ from: 'claude-opus-5-5', to: 'gpt-6-sol', provider: null }]);
  expect(models({ from: 'gpt-6-sol', to: 'm' })).toEqual([{ from: 'gpt-6-sol', to: 'm', provider: null }]);
  expect(models({ from: EVERY, to: 'm' })).toEqual([{ from: null, to: 'm', provider: null }]);
});

it('supposes nothing where a model is swapped for itself', () => {
  expect(questionOf(supposed({ to: 'claude-opus-5-5' }), USED, '2026-11-22').models).toEqual([]);
  expect(isAsItWas(supposed({ to: 'claude-opus-5-5' }), USED)).toBe(true);
  expect(isAsItWas(supposed({ batch: true }), USED)).toBe(false);
});

it('says in words what is supposed', () => {
  expect(scenarioWords(AS_IT_WAS, USED)).toBe('nothing is supposed');
  expect(scenarioWords(supposed({ from: EVERY, to: 'm', batch: true, prices: { day: '2026-10-01' } }), USED)).toBe(
    'every model → m, by batch, at the prices of 1 Oct 2026',
  );
});
