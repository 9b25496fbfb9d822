import { expect, it } from 'vitest';
import { tickLabel, ticksUpTo } from './scale';

const labels = (max: number) => {
  const ticks = ticksUpTo(max, 3);
  return ticks.map((tick) => tickLabel(tick, ticks[1] ?? 1)).join(' ');
};

it('steps in round amounts', () => {
  expect(labels(23)).toBe('$0 $10 $20 $30');
  expect(labels(30)).toBe('$0 $10 $20 $30');
  expect(labels(4100)).toBe('$0 $2,000 $4,000 $6,000');
  expect(labels(0.07)).toBe('$0 $0.05 $0.10');
  expect(labels(1.4)).toBe('$0 $0.50 $1.00 $1.50');
  expect(labels(0.003)).toBe('$0 $0.001 $0.002 $0.003');
  expect(labels(0.0004)).toBe('$0 $0.0002 $0.0004');
  expect(labels(0)).toBe('$0');
});

it('always holds the highest bar', () => {
  for (let max = 0.0001; max < 100_000; max *= 1.37) {
    const ticks = ticksUpTo(max, 3);
    expect((ticks.at(-1) ?? 0) * 1.001, String(max)).toBeGreaterThanOrEqual(max);
    expect(ticks.length, String(max)).toBeLessThanOrEqual(5);
  }
});
