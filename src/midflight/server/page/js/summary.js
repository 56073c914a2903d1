// What the lists know of each session: its state in a mark, what it does now, and since when.

import {because, retried} from './words.js';

// How `last` begins where a turn has not ended well.
const ENDED = /^(failed|limit|interrupted)\b/;

// What a session is after it has ended for a reason; else it is closed.
const AT_REST = {parked: 'idle', waiting: 'waiting'};

/** One session in the lists. `info` is what the server says of it. */
export class Summary {
  constructor(info) {
    this.doing = '';
    this.isCall = false;
    this.turnSince = null;
    this.endedAt = null;
    this.outcome = null; // the last `turn.ended`
    this.retry = null;
    this.heldUntil = null;
    this.estimated = false;
    this.steps = 0;
    this.learn(info);
  }

  /** Take what the server says of it now. */
  learn(info) {
    this.info = {...info, pending: [...(info.pending ?? [])]};
    this.doing = info.waits_for ? `waits for ${info.waits_for}` : this.doing || info.last;
    if (this.runs) this.turnSince = info.turn_started ?? this.turnSince; // an older host tells none
    else this.endedAt ??= info.updated;
  }

  get id() { return this.info.id; }

  /** The requests that wait, the oldest first. */
  get pending() { return this.info.pending; }

  get runs() { return ['running', 'waiting', 'starting'].includes(this.info.status); }

  /** Which of the marks it has. `seen` is the newest event that the person has seen. */
  state(seen = Infinity) {
    if (this.pending.length) return 'waits';
    if (this.runs) return this.retry ? 'retry' : 'running';
    if (this.heldUntil) return 'held';
    const ended = this.outcome?.status ?? ENDED.exec(this.info.last)?.[1];
    if (ended === 'failed' || ended === 'limit') return ended;
    if (ended === 'interrupted' || this.info.status === 'closed') return 'ended';
    return this.info.seq > seen ? 'done' : 'rest';
  }

  /** Take an event that is newer than `info`. */
  take(event) {
    const info = this.info;
    if (event.seq !== null) {
      if (event.seq <= info.seq) return;
      info.seq = event.seq;
      info.updated = event.time;
    }
    switch (event.type) {
      case 'session.started':
        if (event.model) info.model = event.model;
        if (info.status === 'starting') info.status = 'idle';
        break;
      case 'turn.started':
        Object.assign(this, {turnSince: event.time, outcome: null, retry: null, heldUntil: null, steps: 0, doing: 'begins', isCall: false});
        info.status = 'running';
        info.turns = event.turn ?? info.turns;
        break;
      case 'turn.ended':
        this.end(event);
        break;
      case 'session.ended':
        info.status = AT_REST[event.reason] ?? 'closed';
        info.pending = [];
        break;
      case 'session.resumed':
        info.status = 'idle';
        info.waits_for = '';
        break;
      case 'permission.requested':
      case 'question.requested':
        info.pending.push(event);
        info.status = 'waiting';
        break;
      case 'permission.resolved':
      case 'question.resolved':
        info.pending = info.pending.filter((one) => one.request !== event.request);
        if (!info.pending.length && info.status === 'waiting') info.status = 'running';
        if (event.rule && event.by === 'user' && !info.rules.includes(event.rule)) info.rules = [...info.rules, event.rule];
        break;
      case 'rule.revoked':
        info.rules = info.rules.filter((rule) => rule !== event.rule);
        break;
      case 'limits.changed':
        info.limits = event.limits;
        break;
      case 'usage':
        info.total_cost_usd = event.total_cost_usd;
        this.estimated = event.estimated;
        if (!event.parent) this.steps += 1;
        break;
      case 'usage_limit.reached':
        this.heldUntil = event.at;
        break;
      default:
        this.note(event);
    }
  }

  end(event) {
    Object.assign(this, {endedAt: event.time, outcome: event, retry: null, isCall: false});
    this.info.status = 'idle';
    this.info.pending = [];
    this.info.total_cost_usd = event.total_cost_usd;
    this.estimated = false;
    this.doing = event.status === 'completed' ? lastLine(event.text) || 'done'
      : event.status === event.reason ? event.status : `${event.status}: ${because(event.reason)}`;
  }

  /** What it does now, in a few words; sub-agents speak for themselves. */
  note(event) {
    if (event.parent) return;
    if (event.type === 'tool.started') Object.assign(this, {doing: `${event.name} ${event.title}`.trim(), isCall: true, retry: null});
    else if (event.type === 'thinking.delta' || event.type === 'thinking') Object.assign(this, {doing: 'thinking', isCall: false, retry: null});
    else if (event.type === 'text.delta' || event.type === 'text') Object.assign(this, {doing: 'writing', isCall: false, retry: null});
    else if (event.type === 'retry') {
      this.retry = event;
      Object.assign(this, {doing: `tries again (${event.attempt}) in ${event.delay_s.toFixed(0)} s: ${retried(event)}`, isCall: false});
    } else if (event.type === 'stalled') Object.assign(this, {doing: `silent for ${event.silent_s.toFixed(0)} s`, isCall: false});
  }
}

function lastLine(text) {
  const lines = (text ?? '').split('\n').map((line) => line.trim()).filter((line) => /[\p{L}\p{N}]/u.test(line));
  return (lines.at(-1) ?? '').slice(0, 200);
}
