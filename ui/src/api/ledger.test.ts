import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { LedgerFault } from './fault';
import { openLedger } from './ledger';

const tauri = vi.hoisted(() => ({
  invoke: vi.fn<(verb: string, args: unknown) => Promise<unknown>>(),
  unlisten: vi.fn(),
  listener: null as ((event: { payload: unknown }) => void) | null,
}));
vi.mock('@tauri-apps/api/core', () => ({ invoke: tauri.invoke }));
vi.mock('@tauri-apps/api/event', () => ({
  listen: (name: string, listener: (event: { payload: unknown }) => void) => {
    expect(name).toBe('changed');
    tauri.listener = listener;
    return Promise.resolve(tauri.unlisten);
  },
}));

beforeEach(() => {
  vi.stubGlobal('window', { __TAURI_INTERNALS__: {} });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetAllMocks();
});

it('asks and tells through the window', async () => {
  const ledger = await openLedger();
  tauri.invoke.mockResolvedValue({ budgets: [] });
  expect(await ledger.ask('budgets', {})).toEqual({ budgets: [] });
  await ledger.tell({ command: 'remove_budget', name: 'month' });
  expect(tauri.invoke.mock.calls).toEqual([
    ['ask', { name: 'budgets', question: {} }],
    ['tell', { command: { command: 'remove_budget', name: 'month' } }],
  ]);
});

it('gives the fault that Rust gave, or says what else went wrong', async () => {
  const ledger = await openLedger();
  const caught = async () => (await ledger.ask('health', {}).catch((reason: unknown) => reason)) as LedgerFault;
  tauri.invoke.mockRejectedValueOnce({ code: 'storage', message: 'the log is gone', hint: 'run "tollbar doctor"' });
  const fault = await caught();
  expect([fault.code, fault.message, fault.hint]).toEqual(['storage', 'the log is gone', 'run "tollbar doctor"']);
  tauri.invoke.mockRejectedValueOnce('command ask not found');
  expect([(await caught()).code, fault.stale]).toEqual(['internal', false]);
});

it('hears of changes until it stops', async () => {
  const ledger = await openLedger();
  const said: unknown[] = [];
  const say = (thing: unknown) => {
    said.push(thing);
  };
  const stop = ledger.watch(say, say);
  await vi.waitFor(() => {
    expect(said).toEqual(['connected']);
  });
  tauri.listener?.({ payload: { seq: 12 } });
  expect(said).toEqual(['connected', 12]);
  stop();
  expect(tauri.unlisten).toHaveBeenCalledOnce();
});

it('lets go of a window that is closed before it listens', async () => {
  const ledger = await openLedger();
  const say = vi.fn();
  ledger.watch(say, say)();
  await vi.waitFor(() => {
    expect(tauri.unlisten).toHaveBeenCalledOnce();
  });
  expect(say).not.toHaveBeenCalled();
});
