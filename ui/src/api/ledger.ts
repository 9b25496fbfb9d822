// The two verbs, `ask` and `tell`, and the news that something changed: all that the page knows of the rest of Tollbar.
// The only file that speaks to Tauri.

import { LedgerFault, isFault } from './fault';
import { httpLedger, tokenOfPage } from './http';
import type {
  Budget,
  Budgets,
  BudgetsAnswer,
  Health,
  HealthAnswer,
  Recent,
  RecentAnswer,
  Reprice,
  RepriceAnswer,
  SpendBy,
  SpendByAnswer,
  Today,
  TodayAnswer,
} from './types';

/** Each question by its name in `POST /ask/<name>`, and the type of its answer. */
export type Questions = {
  today: { question: Today; answer: TodayAnswer };
  spend_by: { question: SpendBy; answer: SpendByAnswer };
  budgets: { question: Budgets; answer: BudgetsAnswer };
  recent: { question: Recent; answer: RecentAnswer };
  health: { question: Health; answer: HealthAnswer };
  reprice: { question: Reprice; answer: RepriceAnswer };
};

export type QuestionName = keyof Questions;

/** A wish; Rust decides what becomes of it. */
export type Command = ({ command: 'set_budget' } & Budget) | { command: 'remove_budget'; name: string };

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
      throw new LedgerFault(isFault(reason) ? reason : { code: 'internal', message: String(reason) });
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
