// The two verbs, `ask` and `tell`, and the news that something changed: all that the page knows of the rest of Tollbar.
// The only file that speaks to Tauri.

import { internalFault, isFault, LedgerFault } from './fault';
import { httpLedger, tokenOfPage } from './http';
import type { Command, Questions } from './types';

export type { Command, Questions };

export type QuestionName = keyof Questions;

/** `stale`: the engine answers, but no longer to this page's token. */
export type Connection = 'connected' | 'lost' | 'stale';

export interface Ledger {
  /** Rejects with a {@link LedgerFault}. */
  ask<N extends QuestionName>(name: N, question: Questions[N]['question']): Promise<Questions[N]['answer']>;
  /** Rejects with a {@link LedgerFault} that says why the wish was refused. */
  tell(command: Command): Promise<void>;
  /** Calls `onChanged` with the log's newest sequence number whenever it grew. Returns what ends the watch. */
  watch(onChanged: (seq: number) => void, onState: (state: Connection) => void): () => void;
}

/** The ledger of the place that the page runs in: Tauri's window, or a browser that the engine served the page to. */
export async function openLedger(): Promise<Ledger> {
  if ('__TAURI_INTERNALS__' in window) return windowLedger();
  return httpLedger({ origin: location.origin, token: tokenOfPage, fetch: fetch.bind(window) });
}

async function windowLedger(): Promise<Ledger> {
  const [{ invoke }, { listen }] = await Promise.all([import('@tauri-apps/api/core'), import('@tauri-apps/api/event')]);
  const call = async <T>(verb: string, args: Record<string, unknown>): Promise<T> => {
    try {
      return await invoke<T>(verb, args);
    } catch (reason) {
      throw new LedgerFault(isFault(reason) ? reason : internalFault(String(reason)));
    }
  };
  return {
    ask: (name, question) => call('ask', { name, question }),
    tell: (command) => call('tell', { command }),
    watch(onChanged, onState) {
      let ended = false;
      let unlisten = () => {
        ended = true;
      };
      listen<{ seq: number }>('changed', (event) => {
        onChanged(event.payload.seq);
      }).then(
        (stop) => {
          if (ended) stop();
          else {
            unlisten = stop;
            onState('connected');
          }
        },
        () => {
          onState('lost');
        },
      );
      return () => {
        unlisten();
      };
    },
  };
}
