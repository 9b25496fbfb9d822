// What goes wrong on the way to an answer, in the shape that Rust gives it.

import type { Fault } from './types';

/** A {@link Fault} that can be thrown. */
export class LedgerFault extends Error {
  readonly code: Fault['code'];
  readonly hint: string;
  /** Whether the engine no longer knows this page's token. */
  readonly stale: boolean;

  constructor(fault: Fault, stale = false) {
    super(fault.message);
    this.name = 'LedgerFault';
    this.code = fault.code;
    this.hint = fault.hint ?? '';
    this.stale = stale;
  }
}

export function isFault(value: unknown): value is Fault {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value && typeof value.message === 'string';
}

/** Whatever was thrown, as a fault. */
export function faultOf(reason: unknown): LedgerFault {
  if (reason instanceof LedgerFault) return reason;
  return new LedgerFault({ code: 'internal', message: reason instanceof Error ? reason.message : String(reason) });
}
