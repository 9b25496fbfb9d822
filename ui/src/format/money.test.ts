import { describe, expect, it } from 'vitest';
import { amount, isZero, unsigned, usd, usdField, usdOfCall, usdShort } from './money';

describe('usd', () => {
  it.each([
    ['0', '$0.00'],
    ['0.000000000000', '$0.00'],
    ['-0.000000000000', '$0.00'],
    ['14.270000000000', '$14.27'],
    ['1234.560000000000', '$1,234.56'],
    ['1234567.891000000000', '$1,234,567.89'],
    ['999999.995000000000', '$1,000,000.00'],
    ['0.004213500000', '$0.0042'],
    ['0.093400000000', '$0.0934'],
    ['0.5', '$0.50'],
    ['0.812500000000', '$0.81'],
    ['12', '$12.00'],
  ])('writes %s as %s', (exact, shown) => {
    expect(usd(exact)).toBe(shown);
  });

  it.each([
    ['14.274999999999', '$14.27'],
    ['14.275000000000', '$14.28'],
    ['14.265000000000', '$14.27'],
    ['0.004250000000', '$0.0043'],
    ['0.004249999999', '$0.0042'],
    // A float would hold 1.00499999999999989...
    ['1.005000000000', '$1.01'],
    ['0.099949999999', '$0.0999'],
  ])('rounds %s half up to %s', (exact, shown) => {
    expect(usd(exact)).toBe(shown);
  });

  it('has one look on each side of the border between cents and less', () => {
    expect(usd('0.100000000000')).toBe('$0.10');
    expect(usd('0.099950000000')).toBe('$0.10');
    expect(usd('0.994999999999')).toBe('$0.99');
    expect(usd('0.995000000000')).toBe('$1.00');
  });

  it('looks closer at a single call', () => {
    expect(usdOfCall('0.120200000000')).toBe('$0.1202');
    expect(usdOfCall('0.999949999999')).toBe('$0.9999');
    expect(usdOfCall('0.999950000000')).toBe('$1.00');
    expect(usdOfCall('1.120200000000')).toBe('$1.12');
    expect(usdOfCall('0')).toBe('$0.00');
  });

  it('never shows an amount as nothing', () => {
    expect(usd('0.000000000001')).toBe('<$0.0001');
    expect(usd('0.000099999999')).toBe('<$0.0001');
    expect(usd('0.000100000000')).toBe('$0.0001');
    expect(usd('-0.000000000001')).toBe('\u2212<$0.0001');
  });

  it('keeps the sign in front of the dollar', () => {
    expect(usd('-3.5')).toBe('\u2212$3.50');
    expect(usd('-1234.565')).toBe('\u2212$1,234.57');
  });

  it('is exact beyond the reach of floats', () => {
    expect(usd('9007199254740993.01')).toBe('$9,007,199,254,740,993.01');
  });

  it('shows what is no number as it came', () => {
    expect(usd('unknown')).toBe('unknown');
    expect(usd('1e5')).toBe('1e5');
  });
});

describe('the other forms', () => {
  it('parts an amount for large type', () => {
    expect(amount('14.27')).toEqual({ whole: '$14', fraction: '.27' });
    expect(amount('0.0042')).toEqual({ whole: '$0', fraction: '.0042' });
    expect(amount('0.00001')).toEqual({ whole: '<$0', fraction: '.0001' });
  });

  it('drops the cents of whole dollars only in limits', () => {
    expect(usdShort('400.000000000000')).toBe('$400');
    expect(usdShort('12.500000000000')).toBe('$12.50');
  });

  it('fills a field with the exact amount', () => {
    expect(usdField('400.000000000000')).toBe('400');
    expect(usdField('12.500000000000')).toBe('12.50');
    expect(usdField('0.004213500000')).toBe('0.0042135');
  });

  it('knows zero and drops a sign', () => {
    expect(isZero('0.000000000000')).toBe(true);
    expect(isZero('0.000000000001')).toBe(false);
    expect(unsigned('-12.40')).toBe('12.40');
  });
});
