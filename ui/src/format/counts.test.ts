import { expect, it } from 'vitest';
import { compact, counted, grouped, percent } from './counts';

it.each([
  [0, '0'],
  [842, '842'],
  [999, '999'],
  [1000, '1.0 k'],
  [1234, '1.2 k'],
  [9949, '9.9 k'],
  [9950, '10 k'],
  [18_400, '18 k'],
  [999_499, '999 k'],
  [999_500, '1.0 M'],
  [412_000_000, '412 M'],
  [2_100_000_000, '2.1 G'],
])('writes %d tokens as %s', (count, shown) => {
  expect(compact(count).replace('\u00a0', ' ')).toBe(shown);
});

it('groups thousands and counts one thing in the singular', () => {
  expect(grouped(214906)).toBe('214,906');
  expect(counted(1, 'call')).toBe('1\u00a0call');
  expect(counted(2288, 'call')).toBe('2,288\u00a0calls');
});

it('says 0 % and 100 % only where it is so', () => {
  expect(percent(0, 10)).toBe('0\u00a0%');
  expect(percent(1, 10_000)).toBe('1\u00a0%');
  expect(percent(9_999, 10_000)).toBe('99\u00a0%');
  expect(percent(10, 10)).toBe('100\u00a0%');
  expect(percent(913, 1000)).toBe('91\u00a0%');
  expect(percent(0, 0)).toBeNull();
});
