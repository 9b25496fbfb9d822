// Amounts for people, from the exact decimal strings that Rust sends. Rounds for display by whole numbers; computes no money.

const PLACES = 12;
const PICO = 10n ** BigInt(PLACES);

/** In whole pico-dollars (1e-12 USD); `null` for what is no plain decimal. Further places are cut: Rust sends none. */
function pico(exact: string): bigint | null {
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(exact.trim());
  if (match === null) return null;
  const [, sign = '', whole = '0', fraction = ''] = match;
  const amount = BigInt(whole) * PICO + BigInt(fraction.slice(0, PLACES).padEnd(PLACES, '0'));
  return sign === '-' ? -amount : amount;
}

/** A non-negative amount with so many places, rounded half up. */
function rounded(amount: bigint, places: number): { whole: bigint; fraction: string } {
  const unit = 10n ** BigInt(PLACES - places);
  const units = (amount + unit / 2n) / unit;
  const perDollar = 10n ** BigInt(places);
  return { whole: units / perDollar, fraction: places === 0 ? '' : String(units % perDollar).padStart(places, '0') };
}

const grouped = (whole: bigint) => String(whole).replace(/\B(?=(\d{3})+$)/g, ',');

/** An amount in two pieces, so that the second can be set smaller: `$14` and `.27`. */
export type Amount = { whole: string; fraction: string };

/** Below this a total has four places, because two would say little. */
const CENTS_FROM = PICO / 10n;

/**
 * Two places from `centsFrom` (in pico-dollars) on, four below it; never a zero that is none: `<$0.0001`.
 * Amounts below zero carry a minus sign (U+2212). What is no number is shown as it came.
 */
export function amount(exact: string, centsFrom = CENTS_FROM): Amount {
  const value = pico(exact);
  if (value === null) return { whole: exact, fraction: '' };
  const sign = value < 0n ? '\u2212' : '';
  const size = value < 0n ? -value : value;
  if (size === 0n) return { whole: '$0', fraction: '.00' };
  if (size < PICO / 10_000n) return { whole: `${sign}<$0`, fraction: '.0001' };
  // What four places would round up to the border lies beyond it.
  const parts = rounded(size, size + PICO / 20_000n >= centsFrom ? 2 : 4);
  return { whole: `${sign}$${grouped(parts.whole)}`, fraction: `.${parts.fraction}` };
}

/** A total in one piece: `$14.27`, `$0.81`, `$0.0042`, `<$0.0001`, `$1,234.56`. */
export function usd(exact: string): string {
  const parts = amount(exact);
  return parts.whole + parts.fraction;
}

/** The cost of one call, which is mostly a matter of cents: four places below a dollar, `$0.1202`. */
export function usdOfCall(exact: string): string {
  const parts = amount(exact, PICO);
  return parts.whole + parts.fraction;
}

/** For limits, which people set in whole dollars: `$400`, but `$12.50`. */
export function usdShort(exact: string): string {
  return usd(exact).replace(/\.00$/, '');
}

/** As a person would type it into a field: `12.50`, `400`; exact. */
export function usdField(exact: string): string {
  const [whole = '', fraction = ''] = exact.split('.');
  const places = fraction.replace(/0+$/, '');
  return places === '' ? whole : `${whole}.${places.padEnd(2, '0')}`;
}

/** Every digit that there is: `$0.0004213`, `$12.50`. */
export const usdExact = (exact: string) => `$${usdField(exact).replace(/^(\d+)$/, '$1.00')}`;

/** The amount without its sign, for sentences that say the direction in words. */
export const unsigned = (exact: string) => exact.replace(/^-/, '');

export const isZero = (exact: string) => pico(exact) === 0n;

export const isNegative = (exact: string) => exact.startsWith('-') && !isZero(exact);

/** For the geometry of charts only: lengths on a screen, never a shown value. */
export const toGeometry = (exact: string) => Number(exact);
