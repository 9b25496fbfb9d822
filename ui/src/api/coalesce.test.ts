import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { coalesced } from './coalesce';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('asks at once, then at most once an interval, and never loses the last cause', async () => {
  let runs = 0;
  const ask = coalesced(() => {
    runs += 1;
    return Promise.resolve();
  }, 250);
  for (let ms = 0; ms < 1000; ms += 10) {
    ask();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(runs).toBeGreaterThanOrEqual(4);
  expect(runs).toBeLessThanOrEqual(5);
  await vi.advanceTimersByTimeAsync(1000);
  const settled = runs;
  expect(settled).toBeLessThanOrEqual(6);
  await vi.advanceTimersByTimeAsync(5000);
  expect(runs).toBe(settled);
});

it('does not start again while an asking is under way', async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  const ask = coalesced(async () => {
    runs += 1;
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 900));
    running -= 1;
  }, 250);
  ask();
  await vi.advanceTimersByTimeAsync(500);
  ask();
  ask();
  await vi.advanceTimersByTimeAsync(3000);
  expect({ most, runs }).toEqual({ most: 1, runs: 2 });
});
