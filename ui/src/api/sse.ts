// Server-sent events from a byte stream, as the WHATWG HTML standard parses them (section 9.2.6), without `id` and `retry`.

/** An event that is longer ends the stream: nothing that we watch is. */
export const EVENT_CHARS_MAX = 64 * 1024;

export type ServerEvent = { event: string; data: string };

/** Yields each event of the stream. `heard` is called for every piece that arrives, comments included. */
export async function* readEvents(stream: ReadableStream<Uint8Array>, heard: () => void = () => undefined): AsyncGenerator<ServerEvent> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let event = '';
  let data: string[] = [];
  let chars = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      rest += decoder.decode(value, { stream: true });
      for (let line = takeLine(); line !== null; line = takeLine()) {
        if (line === '') {
          // A block without data is no event.
          if (data.length > 0) yield { event: event === '' ? 'message' : event, data: data.join('\n') };
          event = '';
          data = [];
          chars = 0;
          continue;
        }
        const colon = line.indexOf(':');
        // A colon in the first place makes a comment.
        if (colon === 0) continue;
        chars += line.length;
        const field = colon === -1 ? line : line.slice(0, colon);
        const text = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (field === 'event') event = text;
        else if (field === 'data') data.push(text);
      }
      if (rest.length + chars > EVENT_CHARS_MAX) throw new Error(`an event is longer than ${EVENT_CHARS_MAX} characters`);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }

  /** The next whole line, ended by LF, CR LF or CR; `null` where there is none yet. */
  function takeLine(): string | null {
    const end = rest.search(/[\r\n]/);
    if (end === -1) return null;
    // A CR at the very end may be the first half of a CR LF.
    if (rest[end] === '\r' && end === rest.length - 1) return null;
    const line = rest.slice(0, end);
    rest = rest.slice(rest[end] === '\r' && rest[end + 1] === '\n' ? end + 2 : end + 1);
    return line;
  }
}
