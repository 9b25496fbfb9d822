// Generated from the Rust types by `UPDATE_TYPES=1 cargo test -p events typescript`. Do not edit.

/**
 * What would have been cheaper?
 */
export type Advice = { 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, 
/**
 * Models to compare with; where none is named, the others that the log knows.
 */
models: Array<string>, };

/**
 * The answer to [`Advice`].
 */
export type AdviceAnswer = { 
/**
 * The first day that is counted.
 */
first: Day, 
/**
 * The last day that is counted.
 */
last: Day, 
/**
 * The calls.
 */
calls: number, 
/**
 * What they cost.
 */
usd: Usd, 
/**
 * What saves most first; what would have cost more is told too, last.
 */
ideas: Array<Idea>, };

/**
 * What a price is for.
 */
export type AgreedName = { 
/**
 * The model, by a name that calls have, as it is or without date, region and reseller.
 */
model: string, 
/**
 * Only calls to this provider; to every one, if not named.
 */
provider?: string | null, 
/**
 * As which tier calls are served.
 */
tier: Tier, };

/**
 * A price that the user agreed with a provider, or found out: it goes before every book.
 */
export type AgreedPrice = { 
/**
 * Whose.
 */
name: AgreedName, 
/**
 * The first instant at which it holds. In a wish, now if not named, and then it fills in.
 */
from?: Timestamp | null, 
/**
 * Whether it prices earlier calls too that have no price.
 */
fills?: boolean, 
/**
 * The first instant at which it no longer holds; until another begins, if not named.
 */
until?: Timestamp | null, 
/**
 * The rates. Where the cache has none, it costs as input does.
 */
rates: Rates, };

/**
 * What a call costs whose prompt is larger than `above`.
 */
export type Band = { 
/**
 * In tokens. A prompt of exactly so many is still below (a provider that counts "from 200,000" is written as above 199,999).
 */
above: number, 
/**
 * The rates that differ from the row's.
 */
rates: Rates, };

/**
 * How far it is known from when a price holds.
 */
export type Basis = "listed" | "documented" | "observed" | "inferred";

/**
 * A book, and from when on it holds.
 */
export type BookFacts = { 
/**
 * SHA-256 of its bytes, in hex.
 */
id: string, 
/**
 * From when on calls are priced by it; from ever, where not given.
 */
from: Timestamp | null, 
/**
 * Whether it is the one that the program ships with.
 */
bundled: boolean, 
/**
 * How many prices it has, or how many it changes where it is not the first.
 */
rows: number, };

/**
 * An amount that shall not be exceeded in a period.
 */
export type Budget = { 
/**
 * Its name, unique among budgets.
 */
name: string, 
/**
 * How its time is cut.
 */
period: Period, 
/**
 * The amount for one period.
 */
limit: Usd, 
/**
 * Which calls count; everything where nothing is named.
 */
scope: BudgetScope, 
/**
 * At how many percent of the limit the user is told, ascending.
 */
alert_percents: Array<number>, };

/**
 * How near a budget's end is.
 */
export type BudgetLevel = "calm" | "near" | "over";

/**
 * Which calls a budget counts: those that match all that is named.
 */
export type BudgetScope = { 
/**
 * Only calls for this project.
 */
project: string | null, 
/**
 * Only calls to this model.
 */
model: string | null, 
/**
 * Only calls to this provider.
 */
provider: string | null, 
/**
 * Only calls made on this machine.
 */
device: string | null, };

/**
 * One budget in its present period.
 */
export type BudgetState = { 
/**
 * The budget.
 */
budget: Budget, 
/**
 * The period that now lies in.
 */
period: Span, 
/**
 * What was spent in it.
 */
spent: Usd, 
/**
 * What is left; negative when over.
 */
left: Usd, 
/**
 * Spent in whole percent of the limit.
 */
percent: number, 
/**
 * How much of the period has passed, in whole percent.
 */
elapsed_percent: number, 
/**
 * Calm, near or over.
 */
level: BudgetLevel, 
/**
 * Calls in the period that have no price and so are not in `spent`.
 */
unpriced_calls: number, 
/**
 * When the limit is crossed if spending goes on at the period's mean pace; `null` when over already, or not within the period.
 */
crosses_at: Timestamp | null, };

/**
 * How do the budgets stand?
 */
export type Budgets = Record<symbol, never>;

/**
 * The answer to [`Budgets`], by name.
 */
export type BudgetsAnswer = { 
/**
 * Each budget in its present period.
 */
budgets: Array<BudgetState>, };

/**
 * How long what is written to a cache lives there (Anthropic).
 */
export type CacheTtl = "5m" | "1h";

/**
 * One row per call, or per summary of several. The names are an interface that scripts rely on.
 */
export type CallRow = { 
/**
 * The identity of the call in the log, or of the summary.
 */
key: RequestKey, 
/**
 * The provider's id of the answer.
 */
call_id: string | null, 
/**
 * The provider's id of the HTTP request.
 */
request_id: string | null, 
/**
 * When the call began.
 */
at: Timestamp, 
/**
 * Who was called.
 */
provider: string, 
/**
 * The model that answered.
 */
model: string | null, 
/**
 * The program that called.
 */
client: string | null, 
/**
 * Who saw the call.
 */
sources: Array<Source>, 
/**
 * What the call was made for.
 */
project: string | null, 
/**
 * The client's session.
 */
session: string | null, 
/**
 * The branch that was checked out.
 */
branch: string | null, 
/**
 * How it was served, in the provider's word.
 */
tier: string | null, 
/**
 * Uncached input tokens of every modality.
 */
input: number, 
/**
 * Cached input tokens.
 */
cache_read: number, 
/**
 * Tokens written to a cache of minutes (five or thirty), or of unnamed lifetime.
 */
cache_write_5m: number, 
/**
 * Tokens written to a cache of hours (one or twelve).
 */
cache_write_1h: number, 
/**
 * Output tokens of every modality, reasoning included.
 */
output: number, 
/**
 * Of the output: reasoning.
 */
reasoning: number, 
/**
 * Of all those: audio and image tokens that are billed apart.
 */
media: number, 
/**
 * Web searches that the provider ran.
 */
web_search: number, 
/**
 * What else is billed by the piece: the classes that occur, and their counts.
 */
pieces: Pieces, 
/**
 * How many requests the row sums, where it is not one; 0 where nobody counted them.
 */
requests: number | null, 
/**
 * Whether the tokens are our estimate.
 */
estimated: boolean, 
/**
 * How far the tokens can be trusted.
 */
certainty: Certainty, 
/**
 * Whether the cost is known.
 */
priced: boolean, 
/**
 * The cost, if it is known.
 */
cost_usd: Usd | null, 
/**
 * Where the cost comes from.
 */
cost_basis: CostBasis, 
/**
 * The row of the price book that made it, or why there is none.
 */
cost_note: string, 
/**
 * The cost that the provider or client itself reported.
 */
reported_cost_usd: Usd | null, 
/**
 * From the first byte of the request to the last of the reply.
 */
latency_ms: number | null, 
/**
 * The HTTP status of the reply.
 */
status: number | null, 
/**
 * The machine that made the call, by the name of its part of the journal.
 */
device: string, 
/**
 * How many calls the row is of: one, if it is no summary.
 */
calls: number, 
/**
 * Whether it is a summary: sums, and no ids, session, branch, status and latency.
 */
summary: boolean, };

/**
 * The proxy's own name for a call that it carried.
 */
export type CallUuid = string;

/**
 * Every call in a span of days, by its own time.
 */
export type Calls = { 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, };

/**
 * The answer to [`Calls`], oldest first.
 */
export type CallsAnswer = { 
/**
 * The calls.
 */
calls: Array<CallRow>, };

/**
 * How far the tokens of a call can be trusted; better ones are greater.
 */
export type Certainty = "unknown" | "estimated" | "partial" | "reported";

/**
 * A wish. The window, the command line and the control API all tell the ledger these.
 */
export type Command = { "command": "log_usage", 
/**
 * The sightings, at most [`BATCH_FACTS_MAX`].
 */
sightings: Array<Sighting>, } | { "command": "remeter", 
/**
 * What is right, at most [`BATCH_FACTS_MAX`].
 */
calls: Array<Remetered>, } | { "command": "rebuild", } | { "command": "set_budget", 
/**
 * Its name, unique among budgets.
 */
name: string, 
/**
 * How its time is cut.
 */
period: Period, 
/**
 * The amount for one period.
 */
limit: Usd, 
/**
 * Which calls count; everything where nothing is named.
 */
scope: BudgetScope, 
/**
 * At how many percent of the limit the user is told, ascending.
 */
alert_percents: Array<number>, } | { "command": "remove_budget", 
/**
 * Its name.
 */
name: string, } | { "command": "adopt_price_book", 
/**
 * Its text.
 */
book: string, 
/**
 * From when on; from now, if not named. Never before the newest book began.
 */
from: Timestamp | null, } | { "command": "take_prices", 
/**
 * Its events, at most [`BATCH_FACTS_MAX`].
 */
events: Array<unknown>, } | { "command": "pin_price_book", } | { "command": "set_price", 
/**
 * The price. One of the same name and day takes the other's place; one that begins later ends the one before.
 */
price: AgreedPrice, } | { "command": "unset_price", 
/**
 * Whose.
 */
name: AgreedName, 
/**
 * From when on; as if it had never been, if not named.
 */
from: Timestamp | null, } | { "command": "multiply_prices", 
/**
 * Whose, and by how much.
 */
multiplier: Multiplier, } | { "command": "match", 
/**
 * The matches, at most [`BATCH_FACTS_MAX`].
 */
matches: Array<Match>, } | { "command": "rename_projects", 
/**
 * How they are shown now.
 */
names: Array<string>, 
/**
 * How they shall be shown.
 */
name: string, } | { "command": "restore_project", 
/**
 * That name.
 */
recorded: string, };

/**
 * Where a cost comes from.
 */
export type CostBasis = "reported" | "agreed" | "book" | "unpriced";

/**
 * What lines are multiplied by.
 */
export type CostFactor = { 
/**
 * Why, in words: a region, hours of the day, the user's multiplier.
 */
why: string, 
/**
 * By how much.
 */
factor: Factor, };

/**
 * What was consumed of one class.
 */
export type CostLine = { 
/**
 * The class of tokens, or of fees (`web_search`, `file_search`, `page`, ...).
 */
class: string, 
/**
 * How many tokens, searches, pages, ...
 */
units: number, 
/**
 * In dollars per million; `null` where the price says nothing of the class.
 */
rate: Rate | null, 
/**
 * Dollars, exact, with up to eighteen places, before any factor.
 */
amount: string | null, 
/**
 * Whether no source lists the rate, and it follows from the provider's rules.
 */
inferred: boolean, 
/**
 * Whether factors for regions and hours apply to it.
 */
scaled: boolean, };

/**
 * Who saw the calls of each client? Reads the log.
 */
export type Coverage = { 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, 
/**
 * Whether the calls of the hidden spend are to be told one by one.
 */
calls: boolean, };

/**
 * The answer to [`Coverage`].
 */
export type CoverageAnswer = { 
/**
 * The first day that is counted.
 */
first: Day, 
/**
 * The last day that is counted.
 */
last: Day, 
/**
 * All clients together.
 */
total: CoverageRow, 
/**
 * The most hidden first, then the dearest.
 */
rows: Array<CoverageRow>, 
/**
 * The calls of the hidden spend, oldest first, if they were asked for.
 */
hidden_calls: Array<CallRow>, };

/**
 * Who saw the calls of a client.
 */
export type CoverageRow = { 
/**
 * The client; `null` where the calls name none, and in the total.
 */
client: string | null, 
/**
 * Whether the ledger has anything from a log of the client's, whenever it was.
 */
keeps_log: boolean, 
/**
 * Calls that stand in the client's log, and that the proxy did not carry.
 */
log_only: Seen, 
/**
 * Calls that the proxy carried, and that no log tells of.
 */
proxy_only: Seen, 
/**
 * Calls that both saw.
 */
both: Seen, 
/**
 * Calls that neither saw: entered by hand, or told by telemetry.
 */
neither: Seen, 
/**
 * Of `proxy_only`: what a log hides that is kept.
 */
hidden: Seen, };

/**
 * A calendar day in some zone. As JSON `2026-11-22`.
 */
export type Day = string;

/**
 * What spend can be cut by.
 */
export type Dimension = "day" | "model" | "project" | "provider" | "client" | "device";

/**
 * What only a running engine knows.
 */
export type EngineFacts = { 
/**
 * Its process.
 */
pid: number, 
/**
 * When it started.
 */
started_at: Timestamp, 
/**
 * The dashboard, without its token.
 */
dashboard: string, 
/**
 * The proxy, if it listens.
 */
proxy: ProxyFacts | null, 
/**
 * What the user should know: one line each.
 */
warnings: Array<string>, 
/**
 * Why calls pass and are not recorded now; `null` while they are recorded.
 */
not_recording: Fault | null, };

/**
 * An entry of the log about a call.
 */
export type EntryFacts = { 
/**
 * Its place.
 */
seq: Seq, 
/**
 * When it was written.
 */
recorded_at: Timestamp, 
/**
 * Who had seen the call by then.
 */
sources: Array<Source>, 
/**
 * How far the tokens could be trusted by then.
 */
certainty: Certainty, 
/**
 * All billed tokens by then.
 */
tokens: number, };

/**
 * Why does one call cost what it costs?
 */
export type Explain = { 
/**
 * Its key, or the beginning of one (eight digits and more), or the provider's id of the answer or request.
 */
call: string, };

/**
 * The answer to [`Explain`].
 */
export type ExplainAnswer = { 
/**
 * The call as the export shows it, with its cost and where that comes from.
 */
call: CallRow, 
/**
 * The model that was asked for, where it differs from the one that answered.
 */
request_model: string | null, 
/**
 * Where it was served, where that has a price.
 */
geo: string | null, 
/**
 * Whose word decides, in a sentence.
 */
reason: string, 
/**
 * What the call costs by list, whoever's word decides; `null` where there is no price.
 */
listed_usd: Usd | null, 
/**
 * What is not rounded yet of `listed_usd`: dollars with up to eighteen places.
 */
listed_exact: string | null, 
/**
 * The price that makes `listed_usd`.
 */
price: PriceFacts | null, 
/**
 * What was consumed, class by class.
 */
lines: Array<CostLine>, 
/**
 * What the lines are multiplied by, in order.
 */
factors: Array<CostFactor>, 
/**
 * Every entry of the log that speaks of the call, oldest first.
 */
entries: Array<EntryFacts>, };

/**
 * A multiplier, exact to thousandths. As JSON a decimal string (`"1.1"`).
 */
export type Factor = string;

/**
 * What went wrong at the edge, for a reader: one line of cause, one line of what to do.
 */
export type Fault = { 
/**
 * For readers that are programs.
 */
code: FaultCode, 
/**
 * The cause: lower case, no trailing period, with the value in question.
 */
message: string, 
/**
 * What to do; empty where there is nothing.
 */
hint: string, };

/**
 * Kinds of [`Fault`]; a new one only when some reader acts on it.
 */
export type FaultCode = "refused" | "not_found" | "storage" | "unreachable" | "internal";

/**
 * What is billed by the piece rather than by the token.
 */
export type Fees = { 
/**
 * Web searches that the provider ran.
 */
web_search: number, 
/**
 * Everything else that is billed so.
 */
pieces: Pieces, };

/**
 * Which calls count: those that match all that is named.
 */
export type Filter = { 
/**
 * Only this project.
 */
project: string | null, 
/**
 * Only this model.
 */
model: string | null, 
/**
 * Only this provider.
 */
provider: string | null, 
/**
 * Only this client.
 */
client: string | null, 
/**
 * Only this device.
 */
device: string | null, };

/**
 * Is everything well?
 */
export type Health = Record<symbol, never>;

/**
 * The answer to [`Health`].
 */
export type HealthAnswer = { 
/**
 * The version of the program that holds the log.
 */
version: string, 
/**
 * The calls that are recorded.
 */
calls: number, 
/**
 * The last call, by its own time.
 */
last_call_at: Timestamp | null, 
/**
 * The entries of the log.
 */
entries: number, 
/**
 * The folder that holds the log.
 */
folder: string, 
/**
 * The bytes of the journal on disk.
 */
journal_bytes: number, 
/**
 * The price book in force, by the first twelve digits of its hash.
 */
price_book: string, 
/**
 * The zone in which days begin and end.
 */
zone: string, 
/**
 * What the log mended when it was opened, in words.
 */
mended: Array<string>, 
/**
 * The engine that runs, if one does.
 */
engine: EngineFacts | null, };

/**
 * One hour of a day.
 */
export type HourSpend = { 
/**
 * When it began.
 */
from: Timestamp, 
/**
 * What a clock on the wall showed then.
 */
hour: number, 
/**
 * Whether it lies in the future still.
 */
ahead: boolean, 
/**
 * What was spent in it.
 */
spend: Spend, };

/**
 * That a row's tokens cost `factor` times as much during the hours of a schedule.
 */
export type Hours = { 
/**
 * The name of a schedule of the same book.
 */
schedule: string, 
/**
 * By how much.
 */
factor: Factor, };

/**
 * One thing that could have been otherwise.
 */
export type Idea = { 
/**
 * Of which kind.
 */
kind: IdeaKind, 
/**
 * What would be otherwise, in a line.
 */
title: string, 
/**
 * The model, client or plan that it is about.
 */
from: string | null, 
/**
 * What would take its place.
 */
to: string | null, 
/**
 * The calls that it is about.
 */
calls: number, 
/**
 * What they cost.
 */
then_usd: Usd, 
/**
 * What they would have cost.
 */
now_usd: Usd, 
/**
 * What is saved; less than zero where it would have cost more.
 */
saves_usd: Usd, 
/**
 * Calls that lack a price then or now, and so stand in neither sum.
 */
unpriced_calls: number, 
/**
 * What it takes for granted, in sentences.
 */
assumes: Array<string>, };

/**
 * What could have been otherwise.
 */
export type IdeaKind = "model" | "cache_ttl" | "batch" | "plan";

/**
 * A row under a client's own id, and the call that it tells of.
 */
export type Match = { 
/**
 * The key of the client's id.
 */
key: RequestKey, 
/**
 * The call.
 */
call: RequestKey, 
/**
 * By what it was known.
 */
by: MatchedBy, };

/**
 * How a call's model leads to a price.
 */
export type Matched = "exact" | "alias" | "inexact";

/**
 * What agreed between a call that the proxy carried and a row of a client's log, beside model and tokens.
 */
export type MatchedBy = "session" | "time";

/**
 * How many of these calls does the ledger not have, or not as well?
 */
export type Missing = { 
/**
 * The calls, at most [`BATCH_FACTS_MAX`].
 */
calls: Array<Sought>, };

/**
 * The answer to [`Missing`].
 */
export type MissingAnswer = { 
/**
 * How many are not there, or with fewer tokens.
 */
missing: number, };

/**
 * Which calls have no price? Those about whose tokens nothing is known are not among them: no price would help.
 */
export type MissingPrices = { 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, };

/**
 * The answer to [`MissingPrices`].
 */
export type MissingPricesAnswer = { 
/**
 * The first day that is counted.
 */
first: Day, 
/**
 * The last day that is counted.
 */
last: Day, 
/**
 * All calls without a price.
 */
calls: number, 
/**
 * Their tokens.
 */
tokens: number, 
/**
 * Most tokens first.
 */
rows: Array<MissingPricesRow>, };

/**
 * Calls without a price that have all in common that decides about one.
 */
export type MissingPricesRow = { 
/**
 * Who was called.
 */
provider: string, 
/**
 * The model, where one is known.
 */
model: string | null, 
/**
 * How it was served, in the provider's word.
 */
tier: string | null, 
/**
 * Why there is no price.
 */
reason: string, 
/**
 * The calls.
 */
calls: number, 
/**
 * Tokens that went in, cached ones included.
 */
tokens_in: number, 
/**
 * Tokens that came out.
 */
tokens_out: number, 
/**
 * The first of them.
 */
first_at: Timestamp, 
/**
 * The last of them.
 */
last_at: Timestamp, 
/**
 * Priced models whose names look alike, the likest first. A hint for a reader: no call is priced by it.
 */
nearest: Array<NearName>, };

/**
 * One dated price.
 */
export type ModelPrice = { 
/**
 * Whether it is the user's own.
 */
custom: boolean, 
/**
 * What the provider's book prices are multiplied by, where the user said so.
 */
multiplier: Factor | null, 
/**
 * Whose price: `openai`, `anthropic`, `google`, `azure`.
 */
provider: string, 
/**
 * The model as the provider writes it.
 */
model: string, 
/**
 * Other exact names of the model. It is enough that one row of a model has them.
 */
aliases?: Array<string>, 
/**
 * How it is served.
 */
tier?: Tier, 
/**
 * The first instant at which it holds; always before, where not given.
 */
from?: Timestamp | null, 
/**
 * The first instant at which it no longer holds; for ever, where not given.
 */
until?: Timestamp | null, 
/**
 * The rates, up to the first band.
 */
rates: Rates, 
/**
 * What larger prompts cost, ascending. The whole call is billed at the last band that its prompt exceeds.
 */
bands?: Array<Band>, 
/**
 * By which factor tokens cost more where they are processed in a region (`us`).
 */
geo?: { [key in string]: Factor }, 
/**
 * By which factor tokens cost more (or less) at hours of the day.
 */
hours?: Hours | null, 
/**
 * Classes whose rate no source lists, and which follow from the provider's rules (a cache without discount costs as input does).
 */
inferred?: Array<string>, 
/**
 * How far it is known from when it holds.
 */
basis?: Basis, 
/**
 * Where it is published.
 */
source: string, 
/**
 * Which data set told it.
 */
set: string, 
/**
 * That no data set lists the model any more. Old calls still need its price.
 */
retired?: boolean, 
/**
 * What a reader should know of it.
 */
note?: string | null, };

/**
 * As if calls of one model had been made of another.
 */
export type ModelSwap = { 
/**
 * The model of the calls, by the name they have or by what is left of it without date, region and reseller; every model, if not named.
 */
from: string | null, 
/**
 * The model by whose prices they are priced.
 */
to: string, 
/**
 * Whose price of it; the calls' own provider's if not named, or else its maker's.
 */
provider: string | null, };

/**
 * What do models cost? The prices in force, the user's own first.
 */
export type Models = { 
/**
 * Only models whose name or alias has this in it, in any case of letters.
 */
name: string | null, 
/**
 * Only this provider's.
 */
provider: string | null, 
/**
 * The prices of an instant, now if not named.
 */
as_of: Timestamp | null, 
/**
 * Only prices that begin later than that.
 */
upcoming: boolean, };

/**
 * The answer to [`Models`].
 */
export type ModelsAnswer = { 
/**
 * As of when.
 */
at: Timestamp, 
/**
 * The books in force one after the other, oldest first.
 */
books: Array<BookFacts>, 
/**
 * By provider, model, tier and time; the user's own first.
 */
rows: Array<ModelPrice>, 
/**
 * Every price of the user's own, whatever was asked for.
 */
own: Array<Row>, 
/**
 * By what list prices are multiplied, by provider and time.
 */
multipliers: Array<Multiplier>, };

/**
 * By what the list prices of a provider are multiplied: a relay's surcharge, or a discount.
 */
export type Multiplier = { 
/**
 * Whose, by the name of the upstream.
 */
provider: string, 
/**
 * By how much; 1 ends it.
 */
factor: Factor, 
/**
 * From when on. In a wish, from now on if not named.
 */
from?: Timestamp | null, };

/**
 * A model of the book.
 */
export type NearName = { 
/**
 * Whose.
 */
provider: string, 
/**
 * Its name.
 */
model: string, };

/**
 * How a budget's time is cut.
 */
export type Period = "day" | "week" | "month";

/**
 * How many pieces of each class one call consumed. As JSON a map of the classes that occur.
 */
export type Pieces = { 
/**
 * Searches of the user's own files (OpenAI's `file_search`).
 */
file_search: number, 
/**
 * Sessions in which code was run.
 */
code_execution: number, 
/**
 * Prompts that were grounded by a map.
 */
maps_search: number, 
/**
 * Searches of posts (xAI's `x_search`).
 */
x_search: number, 
/**
 * Searches of a ranking.
 */
rerank_search: number, 
/**
 * Pages of documents that were read.
 */
page: number, 
/**
 * Seconds of sound.
 */
second: number, 
/**
 * Characters that were spoken.
 */
character: number, 
/**
 * Pictures that were made.
 */
image: number, 
/**
 * Requests with a small search context (Perplexity's request fee).
 */
request_low: number, 
/**
 * Requests with a medium search context.
 */
request_medium: number, 
/**
 * Requests with a large search context.
 */
request_high: number, };

/**
 * A subscription, as the configuration has it.
 */
export type Plan = { 
/**
 * Its name: `claude-max`.
 */
name: string, 
/**
 * What it costs a month.
 */
monthly: Usd, 
/**
 * Only calls by this client are covered.
 */
client: string | null, 
/**
 * Only calls to this provider are covered.
 */
provider: string | null, 
/**
 * Its first day; from ever, if not named.
 */
from: Day | null, 
/**
 * Its last day; for ever, if not named.
 */
until: Day | null, };

/**
 * One plan in one month.
 */
export type PlanMonth = { 
/**
 * The plan.
 */
plan: string, 
/**
 * The month's first day that the plan covers.
 */
first: Day, 
/**
 * The last such day.
 */
last: Day, 
/**
 * Whether the month is over.
 */
over: boolean, 
/**
 * What was paid.
 */
paid_usd: Usd, 
/**
 * What the calls would have cost by the token, at list prices.
 */
worth: Spend, 
/**
 * `worth.usd` less `paid_usd`.
 */
gain_usd: Usd, };

/**
 * What were the plans worth, month by month?
 */
export type Plans = { 
/**
 * A day of the first month, that of the first call if not named.
 */
first: Day | null, 
/**
 * A day of the last month, that of today if not named.
 */
last: Day | null, };

/**
 * The answer to [`Plans`].
 */
export type PlansAnswer = { 
/**
 * The plans of the configuration.
 */
plans: Array<Plan>, 
/**
 * By month ascending, then by plan.
 */
months: Array<PlanMonth>, 
/**
 * All calls that no plan covers: what was billed by the token.
 */
billed: Spend, 
/**
 * All calls that a plan covers, at list prices: what nobody was billed.
 */
covered: Spend, 
/**
 * What was paid for all plans.
 */
paid_usd: Usd, };

/**
 * A price, and why it is the one.
 */
export type PriceFacts = { 
/**
 * The price. Of one of the user's own, the provider is empty where it holds for every one.
 */
row: Row, 
/**
 * Whether it is the user's own.
 */
custom: boolean, 
/**
 * How the call's model leads to it.
 */
matched: Matched, 
/**
 * The same in a sentence.
 */
why: string, 
/**
 * As which tier the call was served.
 */
tier: Tier, 
/**
 * The limit that its prompt exceeds, where larger prompts cost otherwise.
 */
band_above: number | null, 
/**
 * The book that has it, by SHA-256.
 */
book: string | null, 
/**
 * From when on calls are priced by that book.
 */
book_from: Timestamp | null, 
/**
 * Whether the book came after the call, which had no price until then.
 */
back_filled: boolean, };

/**
 * What a call was made for, and how that is known. Surer ways are smaller, so that the least of two is the surer.
 */
export type Project = { 
/**
 * How the name is known.
 */
by: ProjectBy, 
/**
 * Its name.
 */
name: string, };

/**
 * How a project's name is known, surest first.
 */
export type ProjectBy = "hand" | "path" | "header" | "folder";

/**
 * A project, or several that are shown as one.
 */
export type ProjectRow = { 
/**
 * The name that is shown.
 */
name: string, 
/**
 * The names under which its calls were recorded.
 */
recorded: Array<string>, 
/**
 * What all of its calls cost.
 */
spend: Spend, };

/**
 * Which projects are there?
 */
export type Projects = Record<symbol, never>;

/**
 * The answer to [`Projects`].
 */
export type ProjectsAnswer = { 
/**
 * The dearest first.
 */
projects: Array<ProjectRow>, };

/**
 * How the proxy does.
 */
export type ProxyFacts = { 
/**
 * Where it listens: `http://127.0.0.1:8655`.
 */
address: string, 
/**
 * Calls that it carried since it started.
 */
carried: number, 
/**
 * Calls that it carries now.
 */
in_flight: number, 
/**
 * Calls that could not be observed or recorded.
 */
unobserved: number, 
/**
 * Calls that may be billed and that no dialect reads, by the shape of their path; the last one stands for all further shapes.
 */
unmetered: Array<Unmetered>, 
/**
 * Calls that were recorded without project, branch and program, because their folder or process did not answer in time.
 */
unplaced: number, 
/**
 * Whose dialects it knows by name.
 */
upstreams: Array<string>, };

/**
 * A price per token (or per request), exact: atto-dollars (1e-18 USD) per unit.
 *
 * As JSON the decimal string in dollars per million units, the unit in which price pages are written (`"3"`, `"0.003625"`).
 */
export type Rate = string;

/**
 * A rate for each class of [`Tokens`], and for each class of [`Fees`]. As JSON decimal strings in dollars per million tokens (per
 * million searches, pages, seconds, ...).
 *
 * A class without a rate is not free: it cannot be priced. Only what is written to a cache costs as input where no write has a
 * rate.
 */
export type Rates = { 
/**
 *For `input`.
 */
input: Rate | null, 
/**
 *For `cache_read`.
 */
cache_read: Rate | null, 
/**
 *For `cache_write_5m`.
 */
cache_write_5m: Rate | null, 
/**
 *For `cache_write_30m`.
 */
cache_write_30m: Rate | null, 
/**
 *For `cache_write_1h`.
 */
cache_write_1h: Rate | null, 
/**
 *For `cache_write_12h`.
 */
cache_write_12h: Rate | null, 
/**
 *For `output`.
 */
output: Rate | null, 
/**
 *For `input_audio`.
 */
input_audio: Rate | null, 
/**
 *For `cache_read_audio`.
 */
cache_read_audio: Rate | null, 
/**
 *For `input_image`.
 */
input_image: Rate | null, 
/**
 *For `output_audio`.
 */
output_audio: Rate | null, 
/**
 *For `output_image`.
 */
output_image: Rate | null, 
/**
 *For each `web_search`.
 */
web_search: Rate | null, 
/**
 *For each `file_search`.
 */
file_search: Rate | null, 
/**
 *For each `code_execution`.
 */
code_execution: Rate | null, 
/**
 *For each `maps_search`.
 */
maps_search: Rate | null, 
/**
 *For each `x_search`.
 */
x_search: Rate | null, 
/**
 *For each `rerank_search`.
 */
rerank_search: Rate | null, 
/**
 *For each `page`.
 */
page: Rate | null, 
/**
 *For each `second`.
 */
second: Rate | null, 
/**
 *For each `character`.
 */
character: Rate | null, 
/**
 *For each `image`.
 */
image: Rate | null, 
/**
 *For each `request_low`.
 */
request_low: Rate | null, 
/**
 *For each `request_medium`.
 */
request_medium: Rate | null, 
/**
 *For each `request_high`.
 */
request_high: Rate | null, };

/**
 * Which were the last calls?
 */
export type Recent = { 
/**
 * How many, at most [`RECENT_CALLS_MAX`](crate::RECENT_CALLS_MAX).
 */
limit: number, };

/**
 * The answer to [`Recent`], newest first.
 */
export type RecentAnswer = { 
/**
 * When this was asked.
 */
now: Timestamp, 
/**
 * The calls.
 */
calls: Array<CallRow>, };

/**
 * A known call as a corrected meter counts it.
 */
export type Remetered = { 
/**
 * The call.
 */
key: RequestKey, 
/**
 * As what it was known when it was metered again. A call that is known otherwise by now stays as it is.
 */
before?: Usage, 
/**
 * What is right.
 */
after: Usage, 
/**
 * What stands beside it in the journal: whose word it is.
 */
said: Said, };

/**
 * What would the same calls cost at other prices? Reads the log; changes no event.
 */
export type Reprice = { 
/**
 * At which prices.
 */
as_of: RepriceAsOf, 
/**
 * A price book in JSON to use instead of the one in force.
 */
book: string | null, 
/**
 * As if calls of some models had been made of others. The first that fits a call holds.
 */
models: Array<ModelSwap>, 
/**
 * As if every call had been served so. A model that has no such price is unpriced.
 */
tier: Tier | null, 
/**
 * As if all that was written to a cache of five minutes or one hour had been written for so long.
 */
cache_ttl: CacheTtl | null, 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, 
/**
 * One to three dimensions; a row stands for each combination that has calls.
 */
by: Array<Dimension>, 
/**
 * The same calls cut otherwise, at most four times: each costs little beside reading the log.
 */
also_by: Array<Array<Dimension>>, };

/**
 * The answer to [`Reprice`].
 */
export type RepriceAnswer = { 
/**
 * The first day that is counted.
 */
first: Day, 
/**
 * The last day that is counted.
 */
last: Day, 
/**
 * All of it.
 */
total: RepriceRow, 
/**
 * By day ascending where the first dimension is the day; else the greatest difference first.
 */
rows: Array<RepriceRow>, 
/**
 * The same for each cut that was asked for besides, in its order.
 */
also_rows?: Array<Array<RepriceRow>>, 
/**
 * By which prices: one for each kind of calls, the greatest difference first.
 */
rates: Array<RepriceRates>, 
/**
 * What is taken for granted, in sentences.
 */
assumes: Array<string>, };

/**
 * At which prices a call is priced again.
 */
export type RepriceAsOf = "today" | { "instant": Timestamp } | "call" | { "known": Timestamp };

/**
 * By which prices some calls were priced then and now.
 */
export type RepriceRates = { 
/**
 * Who was called.
 */
provider: string, 
/**
 * The model that answered.
 */
model: string | null, 
/**
 * How it was served, in the provider's word.
 */
tier: string | null, 
/**
 * The calls.
 */
calls: number, 
/**
 * What they cost as of each call.
 */
then_usd: Usd, 
/**
 * What they cost at the prices asked for.
 */
now_usd: Usd, 
/**
 * The prices that held at the times of the calls, in order of time; none where the cost was reported or there is no price.
 */
then: Array<Row>, 
/**
 * The prices asked for.
 */
now: Array<Row>, };

/**
 * What one combination of names cost then, and would cost now.
 */
export type RepriceRow = { 
/**
 * One name for each dimension that was asked for.
 */
names: Array<string | null>, 
/**
 * The calls.
 */
calls: number, 
/**
 * What they cost as of each call.
 */
then_usd: Usd, 
/**
 * What they cost at the prices asked for.
 */
now_usd: Usd, 
/**
 * `now_usd` less `then_usd`, over calls that have both.
 */
difference_usd: Usd, 
/**
 * Calls that lack a price then or now, and so stand in neither sum.
 */
unpriced_calls: number, };

/**
 * The identity of a call: the first 16 bytes of SHA-256 over provider family and the provider's id.
 */
export type RequestKey = string;

/**
 * One dated price of one model. As JSON one line of a price book; fields that are not known here are ignored.
 */
export type Row = { 
/**
 * Whose price: `openai`, `anthropic`, `google`, `azure`.
 */
provider: string, 
/**
 * The model as the provider writes it.
 */
model: string, 
/**
 * Other exact names of the model. It is enough that one row of a model has them.
 */
aliases?: Array<string>, 
/**
 * How it is served.
 */
tier?: Tier, 
/**
 * The first instant at which it holds; always before, where not given.
 */
from?: Timestamp | null, 
/**
 * The first instant at which it no longer holds; for ever, where not given.
 */
until?: Timestamp | null, 
/**
 * The rates, up to the first band.
 */
rates: Rates, 
/**
 * What larger prompts cost, ascending. The whole call is billed at the last band that its prompt exceeds.
 */
bands?: Array<Band>, 
/**
 * By which factor tokens cost more where they are processed in a region (`us`).
 */
geo?: { [key in string]: Factor }, 
/**
 * By which factor tokens cost more (or less) at hours of the day.
 */
hours?: Hours | null, 
/**
 * Classes whose rate no source lists, and which follow from the provider's rules (a cache without discount costs as input does).
 */
inferred?: Array<string>, 
/**
 * How far it is known from when it holds.
 */
basis?: Basis, 
/**
 * Where it is published.
 */
source: string, 
/**
 * Which data set told it.
 */
set: string, 
/**
 * That no data set lists the model any more. Old calls still need its price.
 */
retired?: boolean, 
/**
 * What a reader should know of it.
 */
note?: string | null, };

/**
 * The usage object of a provider or client (numbers and names only, never content), as JSON text.
 *
 * Text, because it is written far more often than it is read.
 */
export type Said = unknown;

/**
 * Some calls.
 */
export type Seen = { 
/**
 * How many they are.
 */
calls: number, 
/**
 * What those of them cost that have a price.
 */
usd: Usd, 
/**
 * How many of them have none.
 */
unpriced_calls: number, };

/**
 * The place of an entry in the log of one machine: 1, 2, 3, ... without gaps.
 */
export type Seq = number;

/**
 * One sighting of a call on its way to the log: the usage, and what the provider or client said in its own words.
 */
export type Sighting = { 
/**
 * What was seen. In a place of its own, which it keeps on its way from hand to hand.
 */
usage: Usage, 
/**
 * What the provider or client said in its own words, kept in the journal so that a corrected meter can be run over the past.
 */
said?: unknown, };

/**
 * A call that a history tells of.
 */
export type Sought = { 
/**
 * Its key.
 */
key: RequestKey, 
/**
 * When it began.
 */
at: Timestamp, 
/**
 * What it consumed.
 */
tokens: Tokens, };

/**
 * Who saw a call; better witnesses of tokens are greater.
 */
export type Source = "estimate" | "manual" | "otlp" | "log" | "connect" | "proxy";

/**
 * A set of sources. As JSON a list of words.
 */
export type Sources = Array<Source>;

/**
 * Instants from `from` (included) to `until` (not included).
 */
export type Span = { 
/**
 * The first instant inside.
 */
from: Timestamp, 
/**
 * The first instant after.
 */
until: Timestamp, };

/**
 * What some calls cost, and how sure that is.
 */
export type Spend = { 
/**
 * The calls.
 */
calls: number, 
/**
 * What those of them that have a price cost.
 */
usd: Usd, 
/**
 * Tokens that went in, cached ones included.
 */
tokens_in: number, 
/**
 * Of `tokens_in`: those read from a cache.
 */
tokens_cached: number, 
/**
 * Tokens that came out, reasoning included.
 */
tokens_out: number, 
/**
 * Calls whose model has no price: not in `usd`.
 */
unpriced_calls: number, 
/**
 * Their tokens.
 */
unpriced_tokens: number, 
/**
 * Calls whose tokens are our estimate, or were cut short.
 */
estimated_calls: number, 
/**
 * What those cost: in `usd`, but less sure.
 */
estimated_usd: Usd, 
/**
 * Calls about whose tokens nothing is known: not in `usd`.
 */
unknown_calls: number, };

/**
 * What was spent from `first` to `last`, cut by each dimension in turn?
 */
export type SpendBy = { 
/**
 * One to three dimensions; a row stands for each combination that has calls.
 */
by: Array<Dimension>, 
/**
 * The first day, from the first call on if not named.
 */
first: Day | null, 
/**
 * The last day, today if not named.
 */
last: Day | null, 
/**
 * Which calls count.
 */
filter: Filter, };

/**
 * The answer to [`SpendBy`].
 */
export type SpendByAnswer = { 
/**
 * The first day that is counted.
 */
first: Day, 
/**
 * The last day that is counted.
 */
last: Day, 
/**
 * All of it.
 */
total: Spend, 
/**
 * By day ascending where the first dimension is the day; else dearest first.
 */
rows: Array<SpendRow>, };

/**
 * What one combination of names cost.
 */
export type SpendRow = { 
/**
 * One name for each dimension that was asked for; `null` where the calls have none.
 */
names: Array<string | null>, 
/**
 * What they cost.
 */
spend: Spend, };

/**
 * How a call is served, where that has a price of its own.
 */
export type Tier = "standard" | "batch" | "flex" | "priority" | "fast" | "ultrafast";

/**
 * An instant: microseconds since 1970-01-01T00:00:00Z. As JSON an RFC 3339 text in UTC.
 */
export type Timestamp = string;

/**
 * What does today cost, and the week and the month that it lies in?
 */
export type Today = Record<symbol, never>;

/**
 * The answer to [`Today`].
 */
export type TodayAnswer = { 
/**
 * The day, in `zone`.
 */
day: Day, 
/**
 * The IANA name of the zone in which the day began.
 */
zone: string, 
/**
 * When this was asked.
 */
now: Timestamp, 
/**
 * Since midnight.
 */
today: Spend, 
/**
 * The whole day before.
 */
yesterday: Spend, 
/**
 * Since Monday.
 */
week: Spend, 
/**
 * Since the first of the month.
 */
month: Spend, 
/**
 * Each hour of the day, in order; 23 to 25 of them.
 */
hours: Array<HourSpend>, 
/**
 * Today by model, dearest first.
 */
models: Array<SpendRow>, 
/**
 * Today by project, dearest first.
 */
projects: Array<SpendRow>, };

/**
 * What one call consumed, in tokens. The classes are disjoint: their sum (without [`reasoning`](Tokens::reasoning),
 * which is part of `output`) is what was billed.
 *
 * Each dialect of `meter` and each reader of `logs` converts the provider's own counting into these classes in one function;
 * the inclusion rules are those of the provider's usage documentation.
 */
export type Tokens = { 
/**
 * Uncached text input.
 */
input: number, 
/**
 * Input served from the provider's cache.
 */
cache_read: number, 
/**
 * Input written to a cache that lives five minutes (Anthropic), or of a lifetime that the provider does not name.
 */
cache_write_5m: number, 
/**
 * Input written to a cache that lives thirty minutes (OpenAI).
 */
cache_write_30m: number, 
/**
 * Input written to a cache that lives one hour (Anthropic).
 */
cache_write_1h: number, 
/**
 * Input written to a cache that lives twelve hours (OpenAI).
 */
cache_write_12h: number, 
/**
 * Output, reasoning included.
 */
output: number, 
/**
 * Audio input that is billed apart.
 */
input_audio: number, 
/**
 * Cached audio input that is billed apart.
 */
cache_read_audio: number, 
/**
 * Image input that is billed apart.
 */
input_image: number, 
/**
 * Audio output that is billed apart.
 */
output_audio: number, 
/**
 * Image output that is billed apart.
 */
output_image: number, 
/**
 * Of `output`: tokens of reasoning, as information. Not billed apart.
 */
reasoning: number, };

/**
 * Calls of one shape that passed and were not metered.
 */
export type Unmetered = { 
/**
 * The upstream and the shape: `openai POST /v1/agents`, with a star for each id and without the query.
 */
shape: string, 
/**
 * How many.
 */
calls: number, };

/**
 * What one billable call consumed. No prices, no content: counts, names, ids and times.
 */
export type Usage = { 
/**
 * When the call began, as near as its sources know.
 */
at: Timestamp, 
/**
 * Who was called, by the name of the upstream: `openai`, `anthropic`, `openrouter`, or the user's own name.
 */
provider: string, 
/**
 * Whose API was spoken, and so whose ids these are: `openai`, `anthropic`, `gemini`. Several providers may speak one.
 */
family: string, 
/**
 * The model that answered, as the provider names it; else the one that was asked for.
 */
model: string | null, 
/**
 * The model that was asked for, where it differs from `model`.
 */
request_model: string | null, 
/**
 * The provider's id of the answer (`msg_...`, `resp_...`, `chatcmpl-...`): the root of the request key.
 */
call_id: string | null, 
/**
 * The provider's id of the HTTP request, from a response header.
 */
request_id: string | null, 
/**
 * Given by the proxy to the call that it carried; tells two calls apart to which a careless server gave one id.
 */
carried: CallUuid | null, 
/**
 * The machine that made the call, by the name of its part of the journal; where it is not named, the one whose log this is.
 */
device: string | null, 
/**
 * The program that called: `claude-code`, `codex`, `openai-python`.
 */
client: string | null, 
/**
 * What the call was made for.
 */
project: Project | null, 
/**
 * The client's session.
 */
session: string | null, 
/**
 * The branch that was checked out.
 */
branch: string | null, 
/**
 * How it was served, in the provider's word: `default`, `standard`, `flex`, `batch`, `priority`, `fast`.
 */
tier: string | null, 
/**
 * Where it was served, where that has a price (`us`).
 */
geo: string | null, 
/**
 * The tokens, in disjoint classes.
 */
tokens: Tokens, 
/**
 * What is billed by the piece.
 */
fees: Fees, 
/**
 * How far `tokens` can be trusted.
 */
certainty: Certainty, 
/**
 * How many requests this is the sum of, where it is not one; 0 where they were several and nobody counted them.
 */
requests: number | null, 
/**
 * The cost that the provider or client itself reported.
 */
reported_cost: Usd | null, 
/**
 * From the first byte of the request to the last of the reply, in milliseconds.
 */
latency_ms: number | null, 
/**
 * The HTTP status of the reply.
 */
status: number | null, 
/**
 * Who saw the call.
 */
sources: Sources, };

/**
 * An amount of US dollars, exact to 1e-12.
 *
 * As JSON a decimal string with twelve places (`"0.004213500000"`), in MessagePack an integer of pico-dollars.
 */
export type Usd = string;

/** Every question, by its name in `POST /ask/<name>`. */
export type Questions = {
  today: { question: Today; answer: TodayAnswer };
  spend_by: { question: SpendBy; answer: SpendByAnswer };
  budgets: { question: Budgets; answer: BudgetsAnswer };
  recent: { question: Recent; answer: RecentAnswer };
  health: { question: Health; answer: HealthAnswer };
  reprice: { question: Reprice; answer: RepriceAnswer };
  calls: { question: Calls; answer: CallsAnswer };
  coverage: { question: Coverage; answer: CoverageAnswer };
  missing: { question: Missing; answer: MissingAnswer };
  projects: { question: Projects; answer: ProjectsAnswer };
  models: { question: Models; answer: ModelsAnswer };
  missing_prices: { question: MissingPrices; answer: MissingPricesAnswer };
  explain: { question: Explain; answer: ExplainAnswer };
  advice: { question: Advice; answer: AdviceAnswer };
  plans: { question: Plans; answer: PlansAnswer };
};
