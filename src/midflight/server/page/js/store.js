// What the page knows, and when it is painted: sessions, the one that is open, the connection.

import {ask, NoConnection, path, Problem} from './http.js';
import {Conversation, folded} from './conversation.js';
import {isSeen} from './places.js';
import {EventStream} from './stream.js';
import {Summary} from './summary.js';

const PAGE = 300;
const AT_ONCE_S = 0.3;
const HIDDEN_MS = 500; // how often a hidden page is painted, for its title and what it tells

const MOST_AT_ONCE = 1_000; // events that the server gives

/** Of a session whose end is read so many events are kept, and twice as many before some are let go. */
const KEPT = 2_000;

export const state = {
  sessions: new Map(), // by id
  loaded: false,
  lostSince: null, // since when there is no connection
  withdrawn: false,
  open: null, // `{id, conversation, events, older, loading}` of the session on the screen
  settled: new Map(), // requests that were resolved while they stood on the screen
  seen: JSON.parse(localStorage.getItem('midflight.seen') ?? 'null'), // by id: the newest event
};

let paint = () => {};
let asked = false;
let changes = 0;

/** Say what paints. */
export function onChange(painter) {
  paint = painter;
}

/** How often anything has changed but the text that streams: what shows none of it stays as it is. */
export function looksOfAll() {
  return changes;
}

/** Paint once, with the next frame; while the page is hidden there are none, and its title counts on. */
export function changed() {
  changes += 1;
  paintSoon();
}

function paintSoon() {
  if (asked) return;
  asked = true;
  if (isSeen()) requestAnimationFrame(paintNow);
  else setTimeout(paintNow, HIDDEN_MS);
}

function paintNow() {
  const began = performance.now();
  asked = false;
  paint();
  painted.port2.postMessage(began);
}

document.addEventListener('visibilitychange', paintNow); // what was asked for as a frame may never come

// Painting takes a fifth of the time at most while nothing but text comes: so a phone stays cool.
const REST = 4;
const painted = new MessageChannel(); // what it carries comes when the frame is through
let restUntil = 0;
let rest = null;

painted.port1.onmessage = ({data: began}) => {
  const now = performance.now();
  restUntil = now + REST * (now - began);
};

function paintText() {
  rest ??= setTimeout(() => {
    rest = null;
    paintSoon();
  }, restUntil - performance.now());
}

// Clocks go on without events.
setInterval(() => {
  if (isSeen()) changed();
}, 1000);

let asksFor = null; // the session whose deltas the stream was asked for

/** What a session has said so far is read first: the stream goes on from there, in mid-sentence too. */
function isKnown(open) {
  return open !== null && !open.loading && !open.gone && !open.missed;
}

const stream = new EventStream({
  path() {
    const query = new URLSearchParams();
    asksFor = stream.cursor && isKnown(state.open) ? state.open : null;
    if (asksFor) query.set('live', asksFor.id);
    if (isSeen()) query.set('attend', '1');
    return `events?${query}`;
  },
  take,
  removed(session) {
    state.sessions.delete(session);
    changed();
  },
  missed() {
    forgetRemoved().catch(() => {}); // the next gap looks again
  },
  following() {
    if (asksFor) asksFor.isLive = true;
    follow();
    changed();
  },
  began: learnAll,
  connected(since) {
    state.lostSince = since;
    if (since === null && state.open?.missed) reopen().then(follow);
    changed();
  },
  withdrawn() {
    state.withdrawn = true;
    changed();
  },
});

/** Have the stream bring the deltas of the open session, once it is known what they go on from. */
function follow() {
  if (stream.cursor && isKnown(state.open) && asksFor !== state.open) stream.again();
}

export function begin() {
  stream.run();
}

export function tryNow() {
  stream.again();
}

export function nextTryInS() {
  return Math.max(0, Math.ceil((stream.retryAt - Date.now()) / 1000));
}

/** Whether it is known that there is no connection: a short gap is nobody's business. */
export function isLost() {
  return state.lostSince !== null && Date.now() / 1000 - state.lostSince > 3;
}

/** Leave out the sessions that are gone; return those that are there. */
async function forgetRemoved() {
  const known = [...state.sessions.keys()]; // and not what begins meanwhile
  const infos = await ask('GET', 'sessions', undefined, {within: 20_000});
  const ids = new Set(infos.map((info) => info.id));
  for (const id of known) if (!ids.has(id)) state.sessions.delete(id);
  changed();
  return infos;
}

async function learnAll() {
  const infos = await forgetRemoved();
  for (const info of infos) learn(info);
  state.seen ??= Object.fromEntries(infos.map((info) => [info.id, info.seq])); // all is old at first
  state.loaded = true;
  if (state.open) await reopen();
  changed();
}

/** Take what the server says of a session now. */
export function learn(info) {
  const summary = state.sessions.get(info.id);
  if (summary) summary.learn(info);
  else state.sessions.set(info.id, new Summary(info));
  changed();
}

const unknown = new Map(); // sessions that were asked for, with the events that came meanwhile

function take(event) {
  const summary = state.sessions.get(event.session);
  if (!summary) {
    meet(event);
    return;
  }
  noteSettled(summary, event);
  const did = summary.doing;
  summary.take(event);
  if (state.open?.id === event.session) keep(event);
  if (event.seq === null && summary.doing === did) paintText(); // which goes on, and nothing else
  else changed();
}

/** A session that began elsewhere: ask what it is, then take what has come since. */
async function meet(event) {
  const waiting = unknown.get(event.session);
  if (waiting) {
    waiting.push(event);
    return;
  }
  unknown.set(event.session, [event]);
  try {
    learn(await ask('GET', path(event.session)));
    for (const each of unknown.get(event.session)) take(each);
  } catch {
    // It is gone again, or may not be read here.
  } finally {
    unknown.delete(event.session);
  }
}

/** A request that is answered stays where it stood, as one line. */
function noteSettled(summary, event) {
  if (!event.type.endsWith('.resolved')) return;
  const request = summary.pending.find((one) => one.request === event.request);
  if (request && event.time - request.time < AT_ONCE_S) return; // by a rule: nobody has seen it
  const mine = state.settled.get(event.request)?.mine;
  if (request) state.settled.set(event.request, {request, resolved: event, session: summary.id, at: Date.now(), mine});
}

/** Remember what was decided here, to tell it from what another one decided first. */
export function decided(request, decision) {
  state.settled.set(request.request, {...state.settled.get(request.request), mine: decision});
}

// The open session ---------------------------------------------------------------------------

function keep(event) {
  const open = state.open;
  if (event.seq === null) {
    if (asksFor === open) open.conversation.take(event);
    return;
  }
  if (open.loading) {
    open.arrived.push(event);
    return;
  }
  if (event.seq <= (open.events.at(-1)?.seq ?? 0)) return; // it was read before the stream had it
  open.events.push(event);
  open.conversation.take(event);
}

/** Who reads the end of a session needs no more: what is older is fetched again when it is looked for. */
export function forgetOlder() {
  const {open} = state;
  if (open.events.length <= 2 * KEPT) return;
  open.events.splice(0, open.events.length - KEPT);
  open.older = true;
  open.conversation = folded(open.events, open.conversation);
  changed();
}

/** Show a session: its newest events first, so that a long one opens as fast as a short one. */
export async function openSession(id) {
  if (state.open?.id === id) return;
  state.open = {id, conversation: new Conversation(), events: [], arrived: [], older: false, loading: true, isLive: false, agent: null, gone: false, missed: false, past: null};
  await reopen();
  follow();
}

/** What the screen shows of the open session: its end, or what was looked for in its past. */
export function shown() {
  return state.open?.past ?? state.open;
}

export function closeSession() {
  if (!state.open) return;
  state.open = null;
  stream.again();
}

async function reopen() {
  const open = state.open;
  open.loading = true;
  changed();
  try {
    const newest = state.sessions.get(open.id)?.info.seq ?? 0;
    if (newest - (open.events.at(-1)?.seq ?? newest) > KEPT) open.events = []; // it has gone on for long without this page
    const from = Math.max(0, open.events.at(-1)?.seq ?? newest - PAGE);
    const events = await pages(open.id, from, newest); // what is newer comes with the stream
    open.older = open.events.length ? open.older : from > 0;
    open.events.push(...events);
    open.gone = open.missed = false;
    ask('GET', path(open.id, '/agent')).then((agent) => Object.assign(open, {agent})).catch(() => {}).finally(changed);
  } catch (error) {
    open.gone = error instanceof Problem;
    open.missed = !open.gone;
  }
  if (state.open !== open) return;
  open.loading = false;
  const known = open.events.at(-1)?.seq ?? 0;
  open.events.push(...open.arrived.filter((event) => event.seq > known));
  open.arrived = [];
  open.conversation = folded(open.events);
  changed();
}

/** The events behind `after` up to `until`. */
async function pages(id, after, until) {
  const events = [];
  while (after < until) {
    const page = await ask('GET', path(id, `/events?after=${after}&limit=${Math.min(MOST_AT_ONCE, until - after)}`));
    if (!page.length) break;
    events.push(...page);
    after = page.at(-1).seq;
  }
  return events;
}

/** Fetch more of the open session, into the part of it that is on the screen. */
async function more(fetch) {
  const part = shown();
  if (!part || part.loadingMore) return;
  part.loadingMore = true;
  try {
    await fetch(part, state.open);
  } catch (error) {
    if (!(error instanceof NoConnection)) throw error;
  } finally {
    part.loadingMore = false;
    changed();
  }
}

/** Fetch what happened before the oldest event on the screen. */
export function loadOlder() {
  return more(async (part, open) => {
    const first = part.events[0]?.seq ?? 0;
    if (first <= 1) return;
    const from = Math.max(0, first - 1 - 2 * PAGE);
    part.events.unshift(...await pages(open.id, from, first - 1));
    part.older = from > 0;
    part.conversation = folded(part.events, part.conversation);
  });
}

/** Fetch what happened after the newest event on the screen, until that is the session's end. */
export function loadNewer() {
  return more(async (past, open) => {
    if (past !== open.past) return;
    const last = past.events.at(-1).seq;
    const end = open.events[0].seq; // from here on all is known
    past.events.push(...await pages(open.id, last, Math.min(last + 2 * PAGE, end - 1)));
    if (past.events.at(-1).seq === end - 1) {
      open.events.unshift(...past.events);
      Object.assign(open, {older: past.older, past: null, conversation: folded(open.events, open.conversation)});
    } else past.conversation = folded(past.events);
  });
}

/** Have the event of a number on the screen, with what happened around it. Throws `NoConnection`. */
export async function showAround(seq) {
  const open = state.open;
  const has = (part) => part && part.events[0]?.seq <= seq && seq <= part.events.at(-1).seq;
  if (has(open.past)) return;
  if (has(open)) open.past = null;
  else {
    const from = Math.max(0, seq - PAGE);
    const events = await pages(open.id, from, Math.min(seq + PAGE, open.events[0].seq - 1));
    open.past = {events, older: from > 0, loadingMore: false, conversation: folded(events)};
  }
  changed();
}

/** Leave the past, and show the session's end. */
export function showEnd() {
  if (state.open) state.open.past = null;
  changed();
}

// What was seen ------------------------------------------------------------------------------

export function seenUpTo(id) {
  return state.seen?.[id] ?? 0;
}

/** The person has this session on the screen: what it has done is not new any more. */
export function markSeen(summary) {
  if (!state.seen || state.seen[summary.id] === summary.info.seq || !isSeen()) return;
  state.seen[summary.id] = summary.info.seq;
  for (const id of Object.keys(state.seen)) if (state.loaded && !state.sessions.has(id)) delete state.seen[id];
  localStorage.setItem('midflight.seen', JSON.stringify(state.seen));
}

// The lists ----------------------------------------------------------------------------------

export function all() {
  return [...state.sessions.values()];
}

/** The session of an id, whatever others are called, or of a name. */
export function named(name) {
  return state.sessions.get(name) ?? all().find((one) => one.info.name === name);
}

/** What waits for the person, the oldest first: `{summary, request}`. */
export function waiting() {
  return all()
    .flatMap((summary) => summary.pending.map((request) => ({summary, request})))
    .sort((a, b) => a.request.time - b.request.time);
}

export function childrenOf(summary) {
  return all().filter((one) => one.info.parent === summary.id).sort((a, b) => a.info.created - b.info.created);
}

function isChild(summary) {
  return summary.info.parent !== null && state.sessions.has(summary.info.parent);
}

/** The sessions that run or are held, by their start; children stand below their parent. */
export function runningNow() {
  const busy = (one) => one.runs || one.heldUntil;
  return all()
    .filter((one) => !isChild(one) && (busy(one) || childrenOf(one).some(busy)))
    .sort((a, b) => Number(Boolean(a.heldUntil)) - Number(Boolean(b.heldUntil)) || (a.turnSince ?? 0) - (b.turnSince ?? 0));
}

export function atRest() {
  const running = new Set(runningNow());
  return all()
    .filter((one) => !one.runs && !one.heldUntil && !running.has(one) && !isChild(one))
    .sort((a, b) => (b.endedAt ?? b.info.updated) - (a.endedAt ?? a.info.updated));
}

/** What all sessions that were active since midnight have cost: `{usd, about}`. */
export function today() {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  const active = all().filter((one) => one.info.updated >= midnight);
  const known = active.filter((one) => one.info.total_cost_usd !== null);
  return {
    usd: known.reduce((sum, one) => sum + one.info.total_cost_usd, 0),
    about: known.length < active.length || active.some((one) => one.estimated || one.info.created < midnight),
  };
}
