// The geometry of a bar chart. Lengths on a screen: floats are welcome here, and stay here.

/** Round steps for an axis from zero that holds `max`, about `steps` of them; the last one is the top of the chart. */
export function ticksUpTo(max: number, steps: number): number[] {
  if (!(max > 0)) return [0];
  const raw = max / steps;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((nice) => nice * power >= raw * 0.999) ?? 10);
  const count = Math.ceil((max / step) * 0.999);
  return Array.from({ length: count + 1 }, (_, index) => index * step);
}

/** The label of a step: `$20`, `$0.05`, `$1,500`. */
export function tickLabel(value: number, step: number): string {
  const places = step >= 1 ? 0 : Math.max(2, Math.ceil(-Math.log10(step) - 1e-9));
  return `$${value.toLocaleString('en-US', { minimumFractionDigits: value === 0 ? 0 : places, maximumFractionDigits: places })}`;
}
