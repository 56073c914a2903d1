// One stream of events feeds the whole page: it is read by fetch, and comes back where it broke. A tab
// without a place for a stream asks for pages of the same events, behind the same cursor.

import {headers} from './http.js';
import {isSeen, takePlace} from './places.js';

const SILENT_MS = 40_000; // the server says "still here" more often
const WAITS_MS = [250, 1000, 2000, 4000, 8000];
const PAGE_MS = {seen: 1000, hidden: 20_000}; // how often a tab without a stream asks
const MANY = 100; // with so many events in a page there may be more
const LASTING_MS = 1000; // a stream that ends sooner has failed: who ends it may do so each time
const GAP_MS = 1000; // in a shorter one, as when another session is opened, nothing is removed
const LOOK_MS = 30_000; // how often a tab without a stream looks what was removed

/** Yields the frames of a server-sent stream: `{event, data, id}`. */
async function* frames(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let frame = {event: 'message', data: [], id: null};
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    heard();
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (frame.data.length || frame.id !== null) yield {...frame, data: frame.data.join('\n')};
        frame = {event: 'message', data: [], id: null};
      } else if (line.startsWith('data:')) frame.data.push(line.slice(line[5] === ' ' ? 6 : 5));
      else if (line.startsWith('id:')) frame.id = line.slice(3).trim();
      else if (line.startsWith('event:')) frame.event = line.slice(6).trim();
    }
  }
}

export class EventStream {
  /**
   * `path()` says what to read; `take(event)` gets each event, `removed(session)` the id of each
   * session that is gone, and `missed()` is called where one of these may have been missed.
   * `connected(since)` is told null when events come, and since when they do not, `following()` when
   * the server follows what it was asked for; `began()` is awaited at each beginning without a cursor;
   * `withdrawn()` is called where the server does not know this device any more.
   */
  constructor({path, take, removed, missed, connected, following, began, withdrawn}) {
    Object.assign(this, {path, take, removed, missed, connected, following, began, withdrawn});
    this.cursor = '';
    this.failures = 0;
    this.heardAt = 0;
    this.retryAt = 0;
    this.lostAt = null;
    this.deafSince = null; // since when `removed` is not told
    this.lookedAt = Date.now();
    this.stopped = false;
    this.called = false; // to begin anew at once
    this.abort = null;
    this.wake = null;
    document.addEventListener('visibilitychange', () => this.again()); // a phone drops sockets without saying so
    addEventListener('online', () => this.again());
    setInterval(() => this.watch(), 5000);
  }

  /** Read for as long as the page lives. */
  async run() {
    this.stopped = false; // a device that was withdrawn may have logged in anew
    while (!this.stopped) {
      let pause = null;
      const began = Date.now();
      try {
        if (await takePlace()) await this.readStream();
        else pause = await this.readPages();
        this.failures = pause !== null || Date.now() - began > LASTING_MS ? 0 : this.failures + 1;
      } catch {
        if (!this.called) this.failures += 1;
      }
      if (this.stopped) return;
      if (pause === null) this.connected(this.lostAt ??= Date.now() / 1000);
      await this.sleep(this.called ? 0 : pause ?? WAITS_MS[Math.min(this.failures, WAITS_MS.length) - 1] ?? 0);
    }
  }

  sleep(ms) {
    this.retryAt = Date.now() + ms;
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, ms);
    });
  }

  /** Ask for what comes behind the cursor; null where this device may not know. */
  async ask(accept) {
    this.called = false;
    this.abort = new AbortController();
    this.heardAt = Date.now();
    const response = await fetch(this.path(), {
      headers: headers({accept, ...(this.cursor && {'last-event-id': this.cursor})}),
      cache: 'no-store',
      signal: this.abort.signal,
    });
    if (response.status === 401) {
      this.stopped = true;
      this.withdrawn();
      return null;
    }
    if (response.status === 400) this.cursor = ''; // it leads nowhere any more: begin anew
    if (!response.ok) throw new Error(`status ${response.status}`);
    if (!this.cursor) await this.began();
    this.lostAt = null;
    this.connected(null);
    return response;
  }

  async readStream() {
    const response = await this.ask('text/event-stream');
    if (!response) return;
    try {
      for await (const frame of frames(response.body, () => (this.heardAt = Date.now()))) {
        if (frame.id) this.cursor = frame.id;
        if (frame.event === 'begin') {
          if (this.deafSince !== null && Date.now() - this.deafSince > GAP_MS) this.missed();
          this.following();
        }
        if (frame.event === 'message' && frame.data) this.take(JSON.parse(frame.data));
        if (frame.event === 'removed') this.removed(JSON.parse(frame.data).session);
        if (frame.event === 'error') throw new Error('the server has failed');
        if (frame.event === 'lagged') return;
      }
    } finally {
      this.deafSince = Date.now();
    }
  }

  /** Read what there is by now; return how long to wait until the next time. */
  async readPages() {
    for (;;) {
      const response = await this.ask('application/json');
      if (!response) return null;
      const {cursor, events} = await response.json();
      for (const event of events) this.take(event);
      this.cursor = cursor;
      if (events.length >= MANY) continue;
      this.following();
      this.deafSince = 0; // pages have events only
      if (Date.now() - this.lookedAt > LOOK_MS) {
        this.lookedAt = Date.now();
        this.missed();
      }
      return isSeen() ? PAGE_MS.seen : PAGE_MS.hidden;
    }
  }

  /** Begin to read again at once: what is followed has changed, or a person asks for it. */
  again() {
    this.called = true;
    this.abort?.abort();
    this.wake?.();
  }

  watch() {
    if (Date.now() - this.heardAt > SILENT_MS) this.abort?.abort();
  }
}
