import { expect, it } from 'vitest';
import { ago, clock, clockOrDay, dayName, dayPlus, dayShort, daysBetween, monthName, ordinal, soon } from './dates';

const NOW = '2026-11-22T17:42:10.000000Z';
const BERLIN = 'Europe/Berlin';

it('names days', () => {
  expect(dayName('2026-11-22')).toBe('Sun 22 Nov');
  expect(dayShort('2026-09-01')).toBe('1 Sep');
  expect(monthName('2026-11-22')).toBe('November');
});

it('counts days over the ends of months, leap days and changed clocks', () => {
  expect(dayPlus('2026-11-22', -29)).toBe('2026-10-24');
  expect(dayPlus('2028-02-28', 1)).toBe('2028-02-29');
  expect(daysBetween('2026-10-24', '2026-11-22')).toHaveLength(30);
  expect(daysBetween('2026-10-24', '2026-10-26')).toEqual(['2026-10-24', '2026-10-25', '2026-10-26']);
});

it('reads the clock of the zone that the ledger names', () => {
  expect(clock(NOW, BERLIN)).toBe('18:42');
  expect(clock(NOW, 'America/New_York')).toBe('12:42');
  expect(clock('2026-11-22T23:30:00Z', BERLIN)).toBe('00:30');
  expect(clock(NOW, 'Mars/Olympus')).toBe('17:42');
});

it('dates what is not of today', () => {
  expect(clockOrDay('2026-11-22T08:05:00Z', NOW, BERLIN)).toBe('09:05');
  expect(clockOrDay('2026-11-21T08:05:00Z', NOW, BERLIN)).toBe('21 Nov');
  expect(clockOrDay('2025-11-22T08:05:00Z', NOW, BERLIN)).toBe('22 Nov');
});

it('says when a limit will be crossed', () => {
  expect(soon('2026-11-26T10:00:00Z', NOW, BERLIN)).toBe('on Thu 26th');
  expect(soon('2026-11-22T19:40:00Z', NOW, BERLIN)).toBe('at 20:40');
});

it('writes ordinals', () => {
  expect([1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31].map(ordinal).join(' ')).toBe('1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st');
});

it('says how long ago', () => {
  const said = (ms: number) => ago(ms).replace('\u00a0', ' ');
  expect([-5, 400, 4_200, 59_999, 61_000, 3 * 3_600_000, 86_400_000, 200_000_000].map(said)).toEqual([
    'just now',
    'just now',
    '4 s ago',
    '59 s ago',
    '1 min ago',
    '3 h ago',
    '1 day ago',
    '2 days ago',
  ]);
});
