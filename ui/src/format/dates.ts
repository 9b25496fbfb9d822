// Days and instants for people. The zone is the ledger's, not the browser's: it comes with each answer.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

type Fields = { weekday: string; day: string; month: string; year: string; hour: string; minute: string };

const formats = new Map<string, Intl.DateTimeFormat>();

function fieldsOf(at: Date, zone: string): Fields {
  let format = formats.get(zone);
  if (format === undefined) {
    const options = {
      weekday: 'short',
      day: 'numeric',
      month: 'short',
      year: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    } as const;
    try {
      format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone });
    } catch {
      // An old browser may not know a young zone.
      format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
    }
    formats.set(zone, format);
  }
  const fields: Record<string, string> = {};
  for (const part of format.formatToParts(at)) fields[part.type] = part.value;
  const { weekday = '', day = '', month = '', year = '', hour = '', minute = '' } = fields;
  // CLDR writes "Sept" where every other month has three letters.
  return { weekday, day, month: month.slice(0, 3), year, hour, minute };
}

const dayFields = (day: string) => fieldsOf(new Date(`${day}T00:00:00Z`), 'UTC');

/** `Sun 22 Nov` */
export function dayName(day: string): string {
  const at = dayFields(day);
  return `${at.weekday} ${at.day} ${at.month}`;
}

/** `22 Nov` */
export function dayShort(day: string): string {
  const at = dayFields(day);
  return `${at.day} ${at.month}`;
}

/** `22 Nov 2026` */
export function dayFull(day: string): string {
  const at = dayFields(day);
  return `${at.day} ${at.month} ${at.year}`;
}

/** `November` */
export function monthName(day: string): string {
  return new Intl.DateTimeFormat('en-GB', { month: 'long', timeZone: 'UTC' }).format(new Date(`${day}T00:00:00Z`));
}

/** The calendar day so many days later, or earlier. */
export function dayPlus(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Every day from `first` to `last`. */
export function daysBetween(first: string, last: string): string[] {
  const days: string[] = [];
  for (let day = first; day <= last; day = dayPlus(day, 1)) days.push(day);
  return days;
}

/** `22 Nov 2026, 14:02` */
export function moment(at: string, zone: string): string {
  const { day, month, year, hour, minute } = fieldsOf(new Date(at), zone);
  return `${day} ${month} ${year}, ${hour}:${minute}`;
}

/** `14:02` */
export function clock(at: string, zone: string): string {
  const { hour, minute } = fieldsOf(new Date(at), zone);
  return `${hour}:${minute}`;
}

/** `14:02` for an instant of the day that `now` lies in, else `21 Nov`. */
export function clockOrDay(at: string, now: string, zone: string): string {
  const then = fieldsOf(new Date(at), zone);
  const today = fieldsOf(new Date(now), zone);
  const same = then.day === today.day && then.month === today.month && then.year === today.year;
  return same ? `${then.hour}:${then.minute}` : `${then.day} ${then.month}`;
}

/** When something will happen, as one says it: `at 16:40` for the day of `now`, else `on Thu 26th`. */
export function soon(at: string, now: string, zone: string): string {
  const then = fieldsOf(new Date(at), zone);
  const today = fieldsOf(new Date(now), zone);
  if (then.month === today.month && then.day === today.day) return `at ${then.hour}:${then.minute}`;
  return `on ${then.weekday} ${ordinal(Number(then.day))}`;
}

/** `1st`, `22nd`, `13th` */
export function ordinal(day: number): string {
  const teen = day % 100 >= 11 && day % 100 <= 13;
  const ending = teen ? 'th' : (['th', 'st', 'nd', 'rd'][day % 10] ?? 'th');
  return `${day}${ending}`;
}

/** How long ago: `4 s ago`, `12 min ago`, `3 h ago`, `2 days ago`. What a foreign clock puts into the future is `just now`. */
export function ago(elapsedMs: number): string {
  if (elapsedMs < 1000) return 'just now';
  if (elapsedMs < MINUTE_MS) return `${Math.floor(elapsedMs / 1000)}\u00a0s ago`;
  if (elapsedMs < HOUR_MS) return `${Math.floor(elapsedMs / MINUTE_MS)}\u00a0min ago`;
  if (elapsedMs < DAY_MS) return `${Math.floor(elapsedMs / HOUR_MS)}\u00a0h ago`;
  const days = Math.floor(elapsedMs / DAY_MS);
  return `${days}\u00a0${days === 1 ? 'day' : 'days'} ago`;
}
