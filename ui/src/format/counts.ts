// Counts for people.

const NBSP = '\u00a0';
const UNITS = ['', 'k', 'M', 'G', 'T'] as const;

/** `842`, `1.2 k`, `18 k`, `412 M`: two digits where one would say little. */
export function compact(count: number): string {
  let scaled = count;
  let unit = 0;
  // 999.5 of a unit would be written as 1000 of it.
  while (scaled >= (unit === 0 ? 1000 : 999.5) && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const name = UNITS[unit];
  if (name === undefined || unit === 0) return String(count);
  return `${scaled < 9.95 ? scaled.toFixed(1) : scaled.toFixed(0)}${NBSP}${name}`;
}

/** `214,906` */
export const grouped = (count: number) => String(count).replace(/\B(?=(\d{3})+$)/g, ',');

/** `1 call`, `2,288 calls` */
export const counted = (count: number, one: string, many = `${one}s`) => `${grouped(count)}${NBSP}${count === 1 ? one : many}`;

/** A part of a whole, in whole percent; 0 and 100 only where they are true. `null` without a whole. */
export function percent(part: number, whole: number): string | null {
  if (whole <= 0) return null;
  if (part <= 0) return `0${NBSP}%`;
  if (part >= whole) return `100${NBSP}%`;
  return `${Math.min(99, Math.max(1, Math.round((part / whole) * 100)))}${NBSP}%`;
}
