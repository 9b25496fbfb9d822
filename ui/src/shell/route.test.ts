import { expect, it } from 'vitest';
import { hashOf, routeOf } from './route';

it('reads back what it wrote', () => {
  const params = new URLSearchParams({ span: 'month', to: 'qwen/qwen3-coder:free', project: 'a & b?' });
  const route = routeOf(hashOf('what-if', params));
  expect(route.page).toBe('what-if');
  expect([...route.params]).toEqual([...params]);
  expect(hashOf('prices')).toBe('#prices');
});

it('leads to today from wherever it does not know', () => {
  for (const hash of ['', '#', '#token=abc', '#nowhere?span=month', '#__proto__']) expect(routeOf(hash).page, hash).toBe('today');
});
